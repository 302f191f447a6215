"""Generates the messages when the package is built, from the .proto files of the repository."""
import pathlib
import shutil
import sys

from setuptools import setup
from setuptools.command.build_py import build_py

PROTO = pathlib.Path(__file__).resolve().parent.parent.parent / "proto"
FILES = ["spandrel/v1/explanation.proto", "spandrel/v1/search.proto", "spandrel/v1/admin.proto"]


class Generate(build_py):
    """Builds the package with its generated modules."""

    def run(self):
        if not self.editable_mode:
            # What an earlier build left there would be packaged, too.
            shutil.rmtree(pathlib.Path(self.build_lib) / "spandrel", ignore_errors=True)
        super().run()
        if not PROTO.is_dir():
            sys.exit(f"{PROTO} is missing: install from a checkout of the repository, with pip 21.3 or newer")
        import grpc_tools
        from grpc_tools import protoc

        out, common = self.build_lib, pathlib.Path(grpc_tools.__file__).parent / "_proto"
        arguments = ["protoc", f"-I{PROTO}", f"-I{common}", f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
        if protoc.main([*arguments, *FILES]) != 0:
            sys.exit("the messages could not be generated")


setup(cmdclass={"build_py": Generate})
