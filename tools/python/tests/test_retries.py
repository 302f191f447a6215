"""Trying again, deadlines and broken streams, against a server that misbehaves on purpose."""
import asyncio
import os
import threading
import time
import unittest
import unittest.mock
from concurrent import futures

import grpc
import numpy as np
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

import spandrel
from spandrel import _options
from spandrel.v1 import search_pb2, search_pb2_grpc

UNAVAILABLE, EXHAUSTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED
REFUSED = 7  # the k that no batch may have
ANSWER = search_pb2.SearchResponse(ids=[1], distances=[0.5])


class Moody(search_pb2_grpc.SearchServiceServicer):
    """Fails as it is told, then answers."""

    def __init__(self):
        self.moods, self.calls, self.batches = [], [], 0

    def Search(self, request, context):
        self.calls.append(time.monotonic())
        if not self.moods:
            return ANSWER
        code, retry_after = self.moods.pop(0)
        if retry_after is not None:
            detail = any_pb2.Any()
            pause = duration_pb2.Duration()
            pause.FromMilliseconds(int(retry_after * 1000))
            detail.Pack(error_details_pb2.RetryInfo(retry_delay=pause))
            status = status_pb2.Status(code=code.value[0], message="moody", details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, "moody")

    def SearchBatch(self, request, context):
        self.batches += 1
        if request.k == REFUSED:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "moody")
        time.sleep(0.2)
        return search_pb2.SearchBatchResponse(counts=[1], ids=[1], distances=[0.5])

    def SearchStream(self, requests, context):
        for number, request in enumerate(requests):
            yield search_pb2.SearchStreamResponse(tag=request.tag, answer=ANSWER)
            if number == 2:
                context.abort(UNAVAILABLE, "stopping")


class MoodyServer(unittest.TestCase):
    def ask(self, **given):
        """How either client asks."""

        async def with_asyncio():
            async with spandrel.AsyncClient(self.address) as client:
                return await client.search([1.0], 1, **given)

        return (lambda: self.client.search([1.0], 1, **given)), (lambda: asyncio.run(with_asyncio()))

    def setUp(self):
        self.moody = Moody()
        self.grpc = grpc.server(futures.ThreadPoolExecutor(16))
        search_pb2_grpc.add_SearchServiceServicer_to_server(self.moody, self.grpc)
        port = self.grpc.add_insecure_port("127.0.0.1:0")
        self.grpc.start()
        self.address = f"127.0.0.1:{port}"
        self.client = spandrel.Client(self.address)

    def tearDown(self):
        self.client.close()
        self.grpc.stop(None)

    def test_what_may_help_is_tried_again(self):
        for ask in self.ask():
            self.moody.moods, self.moody.calls = [(UNAVAILABLE, None), (EXHAUSTED, 0.3), (UNAVAILABLE, None)], []
            self.assertEqual(ask().ids.tolist(), [1])
            self.assertEqual(len(self.moody.calls), 4)
            self.assertGreaterEqual(self.moody.calls[2] - self.moody.calls[1], 0.3, "the server's word is kept")

    def test_what_does_not_help_is_told(self):
        for code, kind in [
            (EXHAUSTED, spandrel.SpandrelError),
            (grpc.StatusCode.INTERNAL, spandrel.SpandrelError),
            (grpc.StatusCode.INVALID_ARGUMENT, spandrel.InvalidArgument),
        ]:
            for ask in self.ask():
                self.moody.moods, self.moody.calls = [(code, None)], []
                with self.assertRaises(kind) as raised:
                    ask()
                self.assertEqual((raised.exception.code, len(self.moody.calls)), (code, 1))
                self.assertNotIsInstance(raised.exception, spandrel.Overloaded)

    def test_loopback_is_asked_without_a_proxy_and_a_proxy_is_named(self):
        proxy = {"http_proxy": "http://user:secret@127.0.0.1:1", "no_proxy": "", "https_proxy": "", "grpc_proxy": ""}
        with unittest.mock.patch.dict(os.environ, proxy):
            for ask in self.ask():
                self.assertEqual(ask().ids.tolist(), [1])
            with spandrel.Client(self.address) as client:
                self.assertEqual(client.search([1.0], 1).ids.tolist(), [1])
            elsewhere = {"timeout": 2.0, "retry": spandrel.Retry(1)}
            with spandrel.Client("192.0.2.1:7700", **elsewhere) as client:
                with self.assertRaises(spandrel.Unavailable) as raised:
                    client.search([1.0], 1)
        self.assertIn("the proxy http://127.0.0.1:1 of http_proxy", raised.exception.message)
        self.assertNotIn("secret", str(raised.exception))

    def test_proxies_are_told_from_the_environment(self):
        proxies = {"https_proxy": "http://proxy:3128", "no_proxy": "10.0.0.1, .inside.example"}
        with unittest.mock.patch.dict(os.environ, proxies, clear=True):
            for target, proxied in [
                ("outside.example:7700", True),
                ("dns:///outside.example:7700", True),
                ("10.0.0.1:7700", False),
                ("a.inside.example:7700", False),
                ("notinside.example:7700", True),
                ("localhost:7700", False),
                ("dns:localhost:7700", False),
                ("127.8.9.1:7700", False),
                ("[::1]:7700", False),
                ("ipv6:[::1]:7700", False),
                ("[2001:db8::1]:7700", True),
                ("unix:///run/spandrel", False),
                ("unixbox:7700", True),
            ]:
                self.assertEqual(_options.proxy_of(target) is not None, proxied, target)

    def test_attempts_are_counted(self):
        self.moody.moods = [(UNAVAILABLE, None)] * 10
        with spandrel.Client(self.address, retry=spandrel.Retry(3)) as client:
            with self.assertRaises(spandrel.Unavailable):
                client.search([1.0], 1)
        self.assertEqual(len(self.moody.calls), 3)

    def test_pauses_grow_and_differ(self):
        failure = spandrel.Unavailable(UNAVAILABLE, "")
        retry = spandrel.Retry(attempts=20, first_pause=0.1, longest_pause=1.0)
        for attempt, longest in ((2, 0.1), (3, 0.2), (5, 0.8), (6, 1.0), (20, 1.0)):
            pauses = [retry.pause(failure, attempt) for _ in range(100)]
            self.assertTrue(all(longest / 2 <= pause <= longest for pause in pauses))
            self.assertGreater(len(set(pauses)), 50)
        self.assertIsNone(retry.pause(failure, 21))

    def test_deadlines_hold_over_all_attempts(self):
        for ask in self.ask(timeout=0.4):
            self.moody.moods = [(UNAVAILABLE, None)] * 100
            begun = time.monotonic()
            with self.assertRaises(spandrel.Unavailable):
                ask()
            self.assertLess(time.monotonic() - begun, 2.0)
            # The server asks for more time than there is: told at once.
            self.moody.moods = [(EXHAUSTED, 60.0)]
            with self.assertRaises(spandrel.Overloaded) as raised:
                ask()
            self.assertEqual(raised.exception.retry_after, 60.0)

    def test_a_deadline_holds_beside_another_thread_s_batches(self):
        # One pool of threads for all calls made this one wait until those of the other were through.
        with spandrel.Client(self.address, batch_size=1) as client:
            other = threading.Thread(target=client.search, args=(np.zeros((40, 1), np.float32), 1))
            other.start()
            begun = time.monotonic()
            with self.assertRaises(spandrel.DeadlineExceeded):
                client.search(np.zeros((8, 1), np.float32), 1, timeout=0.3)
            self.assertLess(time.monotonic() - begun, 1.5)
            other.join()

    def test_a_stream_that_the_server_breaks_is_unavailable(self):
        # The source being closed at that moment was once taken for its failure, in one stream of thirty.
        def queries():
            while True:
                yield [1.0]
                time.sleep(0.001)

        for _ in range(200):
            answered = []
            with self.assertRaises(spandrel.Unavailable):
                for item in self.client.search_stream(queries(), 1):
                    answered.append(item.number)
            self.assertEqual(answered, [0, 1, 2])

    def test_a_failure_of_one_batch_ends_the_others(self):
        async def with_asyncio():
            async with spandrel.AsyncClient(self.address, batch_size=1, calls_at_once=1) as client:
                with self.assertRaises(spandrel.InvalidArgument):
                    await client.search(np.zeros((8, 1), np.float32), REFUSED)
                await asyncio.sleep(0.3)

        asyncio.run(with_asyncio())
        # The next one may have begun while the failure was told.
        self.assertLessEqual(self.moody.batches, 2)
        self.moody.batches = 0
        with spandrel.Client(self.address, batch_size=1, calls_at_once=1) as client:
            with self.assertRaises(spandrel.InvalidArgument):
                client.search(np.zeros((100, 1), np.float32), REFUSED)
        self.assertLess(self.moody.batches, 50, "those that had not begun did not begin")


if __name__ == "__main__":
    unittest.main()
