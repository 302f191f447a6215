"""Arguments that cannot be meant are refused before anything is sent, with the name of their field."""
import asyncio
import unittest

import numpy as np

import spandrel
from spandrel import InvalidArgument, Options, RangeOptions, Retry, Tls

# Where nobody listens: what is sent there is UNAVAILABLE.
NOWHERE = "127.0.0.1:1"
QUERY = np.zeros(4, np.float32)
NOT_WHOLE = (-1, 1 << 64, 1.0, "3", True, float("nan"), np.float32(2), [1])
NOT_REAL = ("0.9", True, [0.9], 1j, 10**400)
NOT_SECONDS = (-1.0, float("nan"), "3", True)

# The field that is told, how it is given, and values that it does not take.
SEARCHES = (
    ("k", lambda c, v: c.search(QUERY, v), (0, *NOT_WHOLE)),
    ("k", lambda c, v: c.search_by_id(1, v), (0, 1 << 32, *NOT_WHOLE)),
    ("k", lambda c, v: c.search_documents([[QUERY]], v), NOT_WHOLE),
    ("k", lambda c, v: c.search(QUERY, v, scorer=len, budget=9), NOT_WHOLE),
    ("budget", lambda c, v: c.search(QUERY, 1, scorer=len, budget=v), NOT_WHOLE),
    ("batch", lambda c, v: c.search(QUERY, 1, scorer=len, budget=9, batch=v), NOT_WHOLE),
    ("ids", lambda c, v: c.search_by_id([1, v], 1), NOT_WHOLE[:-1]),
    ("ids", lambda c, v: c.fetch([v, 1]), NOT_WHOLE[:-1]),
    ("ids", lambda c, v: c.fetch(np.array([v])), (-1, 1.5)),
    *((f"options.{name}", lambda c, v, name=name: c.search(QUERY, 1, Options(**{name: v})), NOT_WHOLE)
      for name in ("max_lists", "max_bytes", "rerank")),
    *((f"options.{name}", lambda c, v, name=name: c.search(QUERY, 1, Options(**{name: v})), NOT_REAL)
      for name in ("recall", "epsilon", "rerank_errors", "min_head_score", "attention_scale")),
    ("timeout", lambda c, v: c.search(QUERY, timeout=v), NOT_SECONDS),
    ("timeout", lambda c, v: c.load("a", "b", timeout=v), NOT_SECONDS),
    ("version", lambda c, v: c.load("a", "b", version=v), (0, *NOT_WHOLE)),
    ("version", lambda c, v: c.switch("a", version=v), (0, *NOT_WHOLE)),
    ("operation", lambda c, v: c.cancel(v), NOT_WHOLE),
)
STREAMS = (
    ("k", lambda c, v: c.search_stream([QUERY], v), NOT_WHOLE),
    ("options.rerank", lambda c, v: c.search_stream([QUERY], 1, Options(rerank=v)), NOT_WHOLE),
    ("timeout", lambda c, v: c.search_stream([QUERY], timeout=v), NOT_SECONDS),
    ("radius", lambda c, v: c.search_range(QUERY, v), NOT_REAL),
    ("completeness", lambda c, v: c.search_range(QUERY, 1.0, RangeOptions(completeness=v)), NOT_REAL),
    ("max_results", lambda c, v: c.search_range(QUERY, 1.0, RangeOptions(max_results=v)), NOT_WHOLE),
    ("max_bytes", lambda c, v: c.search_range(QUERY, 1.0, RangeOptions(max_bytes=v)), NOT_WHOLE),
    ("timeout", lambda c, v: c.search_range(QUERY, 1.0, timeout=v), NOT_SECONDS),
)


class Arguments(unittest.TestCase):
    def refused(self, field, value, raised):
        self.assertEqual(list(raised.exception.fields), [field], repr(value))
        self.assertIn(field, raised.exception.message)

    def test_numbers_are_checked(self):
        with spandrel.Client(NOWHERE, timeout=1.0) as client:
            for calls, ended in ((SEARCHES, lambda call: call), (STREAMS, list)):
                for field, call, values in calls:
                    for value in values:
                        with self.assertRaises(InvalidArgument, msg=f"{field} {value!r}") as raised:
                            ended(call(client, value))
                        self.refused(field, value, raised)

    def test_numbers_are_checked_under_asyncio(self):
        async def ended(stream):
            return [item async for item in stream]

        async def all_of_it():
            async with spandrel.AsyncClient(NOWHERE, timeout=1.0) as client:
                for calls, wait in ((SEARCHES, lambda call: call), (STREAMS, ended)):
                    for field, call, values in calls:
                        for value in values:
                            with self.assertRaises(InvalidArgument, msg=f"{field} {value!r}") as raised:
                                await wait(call(client, value))
                            self.refused(field, value, raised)

        asyncio.run(all_of_it())

    def test_numbers_of_numpy_are_numbers(self):
        options = Options(recall=np.float32(0.5), max_lists=np.int64(3), max_bytes=np.uint64(1 << 40), rerank_errors=2)
        message = options.message()
        self.assertEqual((message.recall, message.max_lists, message.max_bytes), (0.5, 3, 1 << 40))
        with spandrel.Client(NOWHERE, timeout=0.3) as client:
            for ids in ([np.int64(1), 2], np.array([1, (1 << 64) - 1], np.uint64), range(3), ((1 << 64) - 1,)):
                with self.assertRaises(spandrel.Unavailable):
                    client.fetch(ids)

    def test_settings_of_clients_are_checked(self):
        async def asynchronous(*arguments, **named):
            spandrel.AsyncClient(*arguments, **named)

        makers = (spandrel.Client, lambda *a, **n: asyncio.run(asynchronous(*a, **n)))
        for make in makers:
            for field, values in (
                ("timeout", NOT_SECONDS),
                ("batch_size", (0, *NOT_WHOLE)),
                ("calls_at_once", (0, *NOT_WHOLE)),
                ("max_message_bytes", (1 << 31, *NOT_WHOLE)),
            ):
                for value in values:
                    with self.assertRaises(InvalidArgument, msg=f"{field} {value!r}") as raised:
                        make(NOWHERE, **{field: value})
                    self.refused(field, value, raised)
            for target, tls, says in (
                ("there", None, "the port is missing"),
                ("http://there/", None, "the port is missing"),
                ("[::1]", None, "the port is missing"),
                ("::1:7700", None, "in brackets"),
                (":7700", None, "the host is missing"),
                ("there:70000", None, "no number from 1 to 65535"),
                ("there:0", None, "no number from 1 to 65535"),
                ("there:x", None, "no number from 1 to 65535"),
                ("http://there:7700/v1", None, "nothing behind"),
                ("a:1,b:2", None, "of one server"),
                ("grpc://there:7700", None, "https://HOST:PORT for TLS"),
                ("http://there:7700", Tls(), "http:// is without TLS"),
                (7700, None, "HOST:PORT"),
            ):
                with self.assertRaisesRegex(InvalidArgument, says, msg=target) as raised:
                    make(target, tls=tls)
                self.assertEqual(list(raised.exception.fields), ["target"], target)
        for field, value in (("attempts", 0), ("first_pause", -1.0), ("longest_pause", "1")):
            with self.assertRaises(InvalidArgument) as raised:
                Retry(**{field: value})
            self.refused(f"retry.{field}", value, raised)

    def test_a_target_may_begin_as_a_url(self):
        from spandrel import _target

        own = Tls(name="there")
        for target, tls, expected in (
            ("there:1", None, ("there:1", None)),
            ("http://there:1/", None, ("there:1", None)),
            ("https://there:1", None, ("there:1", Tls())),
            ("HTTPS://there:1/", own, ("there:1", own)),
            ("[::1]:1", None, ("[::1]:1", None)),
            ("dns:///there:1", own, ("dns:///there:1", own)),
            ("unix:/run/socket", None, ("unix:/run/socket", None)),
            ("dns:7700", None, ("dns:///dns:7700", None)),
            ("unix:7700", own, ("dns:///unix:7700", own)),
            ("http://dns:7700", None, ("dns:///dns:7700", None)),
            ("unixbox:7700", None, ("unixbox:7700", None)),
        ):
            self.assertEqual(_target.read(target, tls), expected)


if __name__ == "__main__":
    unittest.main()
