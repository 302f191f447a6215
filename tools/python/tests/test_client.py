"""The client against a real server, and against one that misbehaves on purpose.

SPANDREL_BIN names the program; everything else is made in a temporary folder.
"""
import asyncio
import os
import subprocess
import tempfile
import threading
import time
import unittest
from concurrent import futures

import grpc
import numpy as np
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

import spandrel
from spandrel.v1 import search_pb2, search_pb2_grpc

SPANDREL = os.environ["SPANDREL_BIN"]
DIM, VECTORS, QUERIES, K = 128, 3000, 700, 10


def run(*arguments):
    done = subprocess.run([SPANDREL, "-q", *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


class Server:
    """A server process of its own."""

    def __init__(self, *flags):
        fixed = ["serve", "--metrics", "off"] + ([] if "--listen" in flags else ["--listen", "127.0.0.1:0"])
        self.process = subprocess.Popen(
            [SPANDREL, "-q", *fixed, *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.address = self.process.stdout.readline().strip().removeprefix("listening on ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(30) == 0
        self.process.stdout.close()


class RealServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.base, cls.queries_path, cls.index = (
            os.path.join(cls.folder.name, name) for name in ("base.u8bin", "queries.u8bin", "index")
        )
        made = ["--vectors", str(VECTORS), "--out", cls.base, "--queries", str(QUERIES), "--queries-out", cls.queries_path]
        run("data", "generate", "sift", *made)
        run("build", "--base", cls.base, "--metric", "l2", "--out", cls.index, "--list-size", "32")
        cls.rows = np.fromfile(cls.base, np.uint8, offset=8).reshape(VECTORS, DIM)
        cls.queries = np.fromfile(cls.queries_path, np.uint8, offset=8).reshape(QUERIES, DIM)
        lines = run("query", "--index", cls.index, "--queries", cls.queries_path, "--k", str(K)).splitlines()
        table = np.array([line.split("\t") for line in lines]).reshape(QUERIES, K, 4)
        cls.ids, cls.distances = table[:, :, 2].astype(np.int64), table[:, :, 3].astype(np.float32)
        cls.server = Server("--index", f"vectors={cls.index}", "--root", cls.folder.name)
        cls.client = spandrel.Client(cls.server.address)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.__exit__()
        cls.folder.cleanup()

    def assert_expected(self, answers, of=slice(None)):
        np.testing.assert_array_equal(answers.ids, self.ids[of])
        np.testing.assert_array_equal(answers.distances, self.distances[of])

    def test_every_form_of_queries_gives_the_same(self):
        for queries in (self.queries, self.queries.astype(np.float32), self.queries.astype(np.float64)):
            answers = self.client.search(queries, K)
            self.assert_expected(answers)
            self.assertEqual(answers.partial.shape, (QUERIES,))
            self.assertFalse(answers.partial.any() or answers.estimated.any() or answers.degraded)
            self.assertEqual(answers.index_versions, [1])
        self.assert_expected(self.client.search(self.queries[7], K), 7)
        self.assert_expected(self.client.search(self.queries[7].tolist(), K), 7)
        self.assert_expected(self.client.search(self.queries[7:8], K), slice(7, 8))
        # Not contiguous, and big-endian.
        self.assert_expected(self.client.search(np.asfortranarray(self.queries)[::2], K), slice(None, None, 2))
        self.assert_expected(self.client.search(self.queries.astype(">f4"), K))

    def test_options(self):
        options = spandrel.Options(max_lists=1, with_vectors=True, with_work=True)
        answers = self.client.search(self.queries[:300], 200, options)
        self.assertEqual(answers.ids.shape, (300, 200))
        missing = answers.ids == -1
        self.assertTrue(missing.any() and np.isinf(answers.distances[missing]).all())
        found = ~missing
        np.testing.assert_array_equal(answers.vectors[found], self.rows[answers.ids[found]])
        self.assertEqual({work.lists for work in answers.work}, {1})
        single = self.client.search(self.queries[0], 3, options)
        self.assertEqual((single.ids.shape, single.vectors.shape), ((3,), (3, DIM)))

    def test_streams(self):
        def queries():
            yield from self.queries[:50]
            yield np.zeros(5, np.uint8)
            yield from self.queries[50:100]

        seen = {}
        for item in self.client.search_stream(queries(), K):
            seen[item.number] = item
        self.assertEqual(len(seen), 101)
        self.assertIsInstance(seen.pop(50).error, spandrel.InvalidArgument)
        for number, item in seen.items():
            self.assert_expected(item.answer, number - (number > 50))
        with self.assertRaisesRegex(TypeError, "numbers"):
            list(self.client.search_stream([["not a vector"]], K))

    def test_fetch(self):
        fetched = self.client.fetch([5, VECTORS + 7, 0] * 200)
        self.assertEqual(fetched.found.tolist(), [True, False, True] * 200)
        np.testing.assert_array_equal(fetched.vectors[0], self.rows[5])
        self.assertFalse(fetched.vectors[1].any())
        none = self.client.fetch([VECTORS + 7])
        self.assertEqual((none.found.tolist(), none.vectors.shape[0]), ([False], 1))

    def test_refusals_name_the_field(self):
        for queries, k, kind, field in [
            (self.queries[0], 0, spandrel.InvalidArgument, "k"),
            (np.zeros(DIM - 1, np.float32), 1, spandrel.InvalidArgument, "query"),
            (np.full(DIM, np.nan, np.float32), 1, spandrel.InvalidArgument, "query"),
            (self.queries[0].astype(np.int8), 1, spandrel.InvalidArgument, "query"),
            (np.full((3, DIM), 0.5, np.float32), 1, spandrel.InvalidArgument, "queries"),
            (self.queries[0], 5000, spandrel.Overloaded, None),
        ]:
            with self.assertRaises(kind) as raised:
                self.client.search(queries, k)
            self.assertEqual(list(raised.exception.fields), [field] if field else [])
        with self.assertRaisesRegex(spandrel.NotFound, "only 'vectors'"):
            self.client.search(self.queries[0], index="other")
        for wrong in (np.zeros((2, 2, 2)), np.float32(1), np.zeros((0, DIM)), []):
            with self.assertRaises(ValueError):
                self.client.search(wrong)
        with self.assertRaises(spandrel.DeadlineExceeded):
            self.client.search(self.queries[0], timeout=0.0)

    def test_administration(self):
        (info,) = self.client.indexes()
        self.assertEqual((info.name, info.vectors, info.dim, info.dtype, info.metric), ("vectors", VECTORS, DIM, "u8", "l2"))
        about = self.client.describe()
        self.assertGreater(about.details["memory_bytes"]["heads"], 0)
        self.assertIsNone(self.client.verify("vectors", deep=True))
        with self.assertRaises(spandrel.PermissionDenied):
            self.client.load("second", "/")
        self.assertEqual(self.client.load("second", self.index).name, "second")
        with self.assertRaisesRegex(spandrel.InvalidArgument, "second"):
            self.client.search(self.queries[0])
        self.client.unload("second")
        self.assert_expected(self.client.search(self.queries, K))

    def test_switching_under_load_fails_no_call(self):
        stop, failures, calls = threading.Event(), [], []

        def ask():
            while not stop.is_set():
                try:
                    self.assert_expected(self.client.search(self.queries[:64], K), slice(0, 64))
                    calls.append(1)
                except BaseException as failure:
                    failures.append(failure)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            self.assertEqual(self.client.switch("vectors").version, 1)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertGreater(len(calls), 3)

    def test_tokens(self):
        tokens = os.path.join(self.folder.name, "tokens")
        with open(tokens, "w") as file:
            file.write("search 0123456789abcdef\n")
        with Server("--index", f"vectors={self.index}", "--tokens", tokens) as server:
            for token in (None, "0123456789abcdeX"):
                with spandrel.Client(server.address, token=token) as client:
                    with self.assertRaises(spandrel.PermissionDenied):
                        client.search(self.queries[0])
            with spandrel.Client(server.address, token="0123456789abcdef") as client:
                self.assert_expected(client.search(self.queries, K))
                with self.assertRaises(spandrel.PermissionDenied):
                    client.switch("vectors")

    def test_a_restart_is_survived(self):
        with Server("--index", f"vectors={self.index}") as server:
            client = spandrel.Client(server.address)
            self.assert_expected(client.search(self.queries[0], K), 0)
        again = []
        thread = threading.Timer(
            0.5, lambda: again.append(Server("--index", f"vectors={self.index}", "--listen", server.address))
        )
        thread.start()
        self.assert_expected(client.search(self.queries[0], K, timeout=20), 0)
        thread.join()
        client.close()
        again[0].__exit__()
        self.assertEqual(again[0].address, server.address)

    def test_asyncio(self):
        async def all_of_it():
            async with spandrel.AsyncClient(self.server.address) as client:
                self.assert_expected(await client.search(self.queries, K))
                many = await asyncio.gather(*(client.search(query, K) for query in self.queries[:100]))
                for number, answers in enumerate(many):
                    self.assert_expected(answers, number)
                count = 0
                async for item in client.search_stream(self.queries[:100], K):
                    self.assert_expected(item.answer, item.number)
                    count += 1
                self.assertEqual(count, 100)
                np.testing.assert_array_equal((await client.fetch([3])).vectors[0], self.rows[3])
                with self.assertRaises(spandrel.InvalidArgument):
                    await client.search(self.queries[0], 0)
                self.assertEqual((await client.indexes())[0].name, "vectors")
                self.assertEqual((await client.describe()).vectors, VECTORS)
                self.assertIsNone(await client.verify("vectors"))

        asyncio.run(all_of_it())


class Moody(search_pb2_grpc.SearchServiceServicer):
    """Fails as it is told, then answers."""

    def __init__(self):
        self.moods, self.calls = [], []

    def Search(self, request, context):
        self.calls.append(time.monotonic())
        if not self.moods:
            return search_pb2.SearchResponse(ids=[1], distances=[0.5])
        code, retry_after = self.moods.pop(0)
        if retry_after is not None:
            detail = any_pb2.Any()
            pause = duration_pb2.Duration()
            pause.FromMilliseconds(int(retry_after * 1000))
            detail.Pack(error_details_pb2.RetryInfo(retry_delay=pause))
            status = status_pb2.Status(code=code.value[0], message="moody", details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, "moody")


class MoodyServer(unittest.TestCase):
    def setUp(self):
        self.moody = Moody()
        self.grpc = grpc.server(futures.ThreadPoolExecutor(4))
        search_pb2_grpc.add_SearchServiceServicer_to_server(self.moody, self.grpc)
        port = self.grpc.add_insecure_port("127.0.0.1:0")
        self.grpc.start()
        self.client = spandrel.Client(f"127.0.0.1:{port}")

    def tearDown(self):
        self.client.close()
        self.grpc.stop(None)

    def test_what_may_help_is_tried_again(self):
        unavailable, exhausted = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED
        self.moody.moods = [(unavailable, None), (exhausted, 0.3), (unavailable, None)]
        self.assertEqual(self.client.search([1.0], 1).ids.tolist(), [1])
        self.assertEqual(len(self.moody.calls), 4)
        self.assertGreaterEqual(self.moody.calls[2] - self.moody.calls[1], 0.3, "the server's word is kept")

    def test_what_does_not_help_is_told(self):
        for code, kind in [
            (grpc.StatusCode.RESOURCE_EXHAUSTED, spandrel.Overloaded),
            (grpc.StatusCode.INTERNAL, spandrel.SpandrelError),
            (grpc.StatusCode.INVALID_ARGUMENT, spandrel.InvalidArgument),
        ]:
            self.moody.moods, self.moody.calls = [(code, None)], []
            with self.assertRaises(kind) as raised:
                self.client.search([1.0], 1)
            self.assertEqual((raised.exception.code, len(self.moody.calls)), (code, 1))

    def test_deadlines_hold_over_all_attempts(self):
        self.moody.moods = [(grpc.StatusCode.UNAVAILABLE, None)] * 100
        begun = time.monotonic()
        with self.assertRaises(spandrel.Unavailable):
            self.client.search([1.0], 1, timeout=0.4)
        self.assertLess(time.monotonic() - begun, 2.0)
        self.moody.moods = [(grpc.StatusCode.RESOURCE_EXHAUSTED, 60.0)]
        with self.assertRaises(spandrel.Overloaded) as raised:
            self.client.search([1.0], 1)
        self.assertEqual(raised.exception.retry_after, 60.0)


if __name__ == "__main__":
    unittest.main()
