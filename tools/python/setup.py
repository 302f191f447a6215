"""Generates the messages when the package is built, from the copy of the .proto files that lies beside this file: pip may
build from a copy of this folder alone. `.ci/run` holds the copy against the original."""
import pathlib
import sys

from setuptools import setup
from setuptools.command.build_py import build_py

PROTO = pathlib.Path(__file__).resolve().parent / "proto"
FILES = ["spandrel/v1/search.proto", "spandrel/v1/admin.proto"]


class Generate(build_py):
    """Builds the package with its generated modules."""

    def run(self):
        super().run()
        from grpc_tools import protoc

        out = self.build_lib
        arguments = ["protoc", f"-I{PROTO}", f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
        if protoc.main([*arguments, *FILES]) != 0:
            sys.exit("the messages could not be generated")


setup(cmdclass={"build_py": Generate})
