"""Indexes of a server that are loaded, switched and verified, and servers that are restarted, by the blocking client."""
import fcntl
import os
import shutil
import signal
import threading
import time
import unittest

import spandrel
from real import DIM, K, VECTORS, Served, Server, assert_expected, made
from spandrel.v1 import admin_pb2


class Managing(Served):
    def test_administration(self):
        (info,) = self.client.indexes()
        self.assertEqual((info.name, info.vectors, info.dim, info.dtype, info.metric), ("vectors", VECTORS, DIM, "u8", "l2"))
        about = self.client.describe()
        self.assertGreater(about.details["memory_bytes"]["heads"], 0)
        told = {field.name for field in admin_pb2.DescribeIndexResponse.DESCRIPTOR.fields} - {"summary"}
        self.assertEqual(set(about.details), told)
        self.assertTrue(0.0 < about.details["open_seconds"] < 60.0)
        self.assertIsNone(self.client.verify("vectors", deep=True))
        with self.assertRaises(spandrel.PermissionDenied):
            self.client.load("second", "/")
        with self.assertRaisesRegex(ValueError, "'disk'"):
            self.client.load("second", self.index, codes="disk")
        loaded = self.client.load("second", self.index, codes="ssd", vectors="memory", estimates=True)
        self.assertEqual(loaded.name, "second")
        about = self.client.describe("second").details
        self.assertEqual((about["codes"], about["vectors"], about["estimates"]), ("ssd", "memory", True))
        with self.assertRaisesRegex(spandrel.InvalidArgument, "second"):
            self.client.search(self.queries[0])
        self.client.unload("second")
        load, verify = (
            next(o for o in reversed(self.client.operations()) if o.kind == kind) for kind in ("load", "verify")
        )
        self.assertEqual((load.index, load.state, load.opened.vectors), ("second", "done", VECTORS))
        self.assertEqual((verify.state, verify.problem, verify.error), ("done", None, None))
        self.assertTrue(verify.done_bytes == verify.total_bytes > 0)
        with self.assertRaisesRegex(spandrel.SpandrelError, "no version 7"):
            self.client.switch("vectors", version=7)
        self.assertEqual(self.client.switch("vectors", version=1).version, 1)
        self.assertEqual(self.client.cancel(load.id).state, "done", "what has ended stays as it is")
        with self.assertRaisesRegex(spandrel.NotFound, "no operation 4711"):
            self.client.cancel(4711)
        assert_expected(self.client.search(self.queries, K))

    def test_an_operation_that_takes_too_long_is_given_up(self):
        folder = os.path.join(made().folder, "slow")
        shutil.copytree(self.index, folder)
        # Read whether or not a version was approved, unlike CURRENT.
        manifest = os.path.join(folder, "manifest-1")
        with open(manifest, "r+") as file:
            # Opening waits until the lease is given back; the signal that tells of it is one that is ignored.
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            with self.assertRaises(spandrel.DeadlineExceeded):
                self.client.load("slow", folder, timeout=0.3)
        last = self.client.operations()[-1]
        self.assertEqual((last.kind, last.index, last.state), ("load", "slow", "cancelled"))
        self.assertEqual([info.name for info in self.client.indexes()], ["vectors"])

    def test_switching_under_load_fails_no_call(self):
        stop, failures, calls = threading.Event(), [], []

        def ask():
            while not stop.is_set():
                try:
                    assert_expected(self.client.search(self.queries[:64], K), slice(0, 64))
                    calls.append(1)
                except BaseException as failure:
                    failures.append(failure)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            before = len(calls)
            self.assertEqual(self.client.switch("vectors").version, 1)
            while len(calls) == before and not failures:
                time.sleep(0.001)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_a_restart_is_survived(self):
        with Server("--index", f"vectors={self.index}") as server:
            client = spandrel.Client(server.address)
            assert_expected(client.search(self.queries[0], K), 0)
        again = []

        def start():
            again.append(Server("--index", f"vectors={self.index}", "--listen", server.address))

        thread = threading.Timer(0.5, start)
        thread.start()
        try:
            assert_expected(client.search(self.queries[0], K, timeout=20), 0)
        finally:
            # Also where this fails: the server would outlive the tests.
            thread.join()
            client.close()
            again[0].__exit__()
        self.assertEqual(again[0].address, server.address)


if __name__ == "__main__":
    unittest.main()
