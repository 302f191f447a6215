"""The client for asyncio against a real server."""
import asyncio
import unittest

import numpy as np

import spandrel
from real import (
    DIM,
    K,
    VECTORS,
    Server,
    assert_expected,
    attention_mass,
    made,
    made_column,
    made_documents,
    made_keys,
)


class RealServer(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.rows, cls.queries = made().rows, made().queries
        cls.server = Server("--index", f"vectors={made().index}")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    async def asyncSetUp(self):
        self.client = spandrel.AsyncClient(self.server.address)

    async def asyncTearDown(self):
        await self.client.close()

    async def test_searching(self):
        assert_expected(await self.client.search(self.queries, K))
        many = await asyncio.gather(*(self.client.search(query, K) for query in self.queries[:100]))
        for number, answers in enumerate(many):
            assert_expected(answers, number)
        np.testing.assert_array_equal((await self.client.fetch([3])).vectors[0], self.rows[3])
        options = spandrel.Options(with_attributes=["price"])
        answers = await self.client.search(self.queries[:3], K, options)
        self.assertEqual(answers.attributes, [[{"price": id % 97 + 0.5} for id in row] for row in answers.ids.tolist()])
        one = [item.answer.attributes async for item in self.client.search_stream(self.queries[:1], K, options)]
        self.assertEqual(one, [answers.attributes[:1]])
        fetched = await self.client.fetch([3], with_attributes=True)
        self.assertEqual(fetched.attributes, [{"price": 3.5, "tags": ["t3"]}])
        by_id = await self.client.search_by_id([3, 4], K)
        np.testing.assert_array_equal(by_id.ids, (await self.client.search(self.rows[3:5], K)).ids)

    async def test_documents_are_found(self):
        documents, queries = self.rows.reshape(-1, 5, DIM), self.queries[:12].reshape(3, 4, DIM)
        products = np.einsum("qtd,nsd->qnts", queries.astype(np.int64), documents.astype(np.int64))
        best = np.argsort(-products.max(axis=3).sum(axis=2), axis=1, kind="stable")[:, :K]
        async with spandrel.AsyncClient(self.address_of_documents()) as client:
            answers = await client.search_documents(queries, K, spandrel.Options(rerank=VECTORS // 5))
            np.testing.assert_array_equal(answers.ids, best)

    async def test_answers_have_their_attention_mass(self):
        keys, queries, index = made_keys()
        with Server("--index", f"keys={index}") as server:
            async with spandrel.AsyncClient(server.address) as client:
                answers = await client.search(queries, K, spandrel.Options(attention_scale=0.25))
                expected = [attention_mass(keys, query, ids, 0.25) for query, ids in zip(queries, answers.ids)]
                np.testing.assert_allclose(answers.attention_mass, expected, rtol=1e-4)

    async def test_several_indexes_are_searched_as_one(self):
        several = spandrel.Indexes(["a", "b"], duplicates="keep")
        with Server("--index", f"a={made().index}", "--index", f"b={made().index}") as server:
            async with spandrel.AsyncClient(server.address) as client:
                alone = await client.search(self.queries[:5], K, index="a")
                both = await client.search(self.queries[:5], 2 * K, spandrel.Options(max_lists=1000, rerank=VECTORS), index=several)
                best = await client.search(self.queries[:5], K, spandrel.Options(max_lists=1000, rerank=VECTORS), index="b")
                np.testing.assert_array_equal(both.ids[:, ::2], best.ids)
                np.testing.assert_array_equal(both.indexes, np.tile([0, 1], (5, K)))
                self.assertEqual((list(both.versions), alone.versions), (["a", "b"], None))
                with self.assertRaises(spandrel.InvalidArgument):
                    await client.search(self.queries[0], K, index=spandrel.Indexes(["a", "a"]))
                # All other calls take one index.
                for call in (
                    client.search_by_id(3, K, index=several),
                    client.search_documents(self.queries[:4], K, index=several),
                    client.fetch([3], index=several),
                    client.describe(several),
                ):
                    with self.assertRaisesRegex(TypeError, "takes one index"):
                        await call
                with self.assertRaisesRegex(TypeError, "takes one index"):
                    async for _ in client.search_stream(self.queries[:2], K, index=several):
                        pass
                radius = float(alone.distances[0, -1])
                *parts, last = [part async for part in client.search_range(self.queries[0], radius, index=several)]
                ids, indexes = [np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "indexes")]
                self.assertEqual((last.end.results, list(last.end.versions)), (len(ids), ["a", "b"]))
                np.testing.assert_array_equal(np.sort(ids[indexes == 0]), np.sort(ids[indexes == 1]))
                self.assertGreaterEqual((indexes == 1).sum(), K)
                with self.assertRaises(spandrel.InvalidArgument) as raised:
                    async for _ in client.search_range(self.queries[0], radius, index=spandrel.Indexes(["a", "b"])):
                        pass
                self.assertEqual(list(raised.exception.fields), ["max_results"])

    def address_of_documents(self):
        server = Server("--index", f"documents={made_documents()}")
        self.addCleanup(server.__exit__)
        return server.address

    async def test_candidates_are_compared_in_a_column(self):
        coarse, fine = self.queries[:30, : DIM // 4], self.queries[:30]
        everything = spandrel.Options(max_lists=1000, rerank=VECTORS)
        exact = ((fine[:, None].astype(np.int64) - self.rows.astype(np.int64)) ** 2).sum(axis=2)
        nearest = np.sort(exact, axis=1)[:, :K]

        async def one_by_one():
            for row in fine:
                yield row

        with Server("--index", f"vectors={made_column()}") as server:
            async with spandrel.AsyncClient(server.address) as client:
                answers = await client.search(coarse, K, everything, column_queries={"fine": fine})
                np.testing.assert_array_equal(answers.distances, nearest)
                stream = client.search_stream(coarse, K, everything, column_queries={"fine": one_by_one()})
                async for item in stream:
                    np.testing.assert_array_equal(item.answer.distances, nearest[item.number])
                self.assertEqual((await client.search_by_id(5, K, everything, column="fine")).ids[0], 5)
                np.testing.assert_array_equal((await client.fetch([9], column="fine")).vectors, self.rows[[9]])
                with self.assertRaises(ValueError):
                    async for _ in client.search_stream(coarse, K, column_queries={"fine": fine[:3]}):
                        pass

    async def test_ranges(self):
        squared = ((self.rows.astype(np.int64) - self.queries[7].astype(np.int64)) ** 2).sum(axis=1)
        radius = float(np.sort(squared)[200])
        *parts, last = [part async for part in self.client.search_range(self.queries[7], radius)]
        ids = np.sort(np.concatenate([part.ids for part in parts]))
        np.testing.assert_array_equal(ids, np.flatnonzero(squared <= radius))
        self.assertEqual(last.end.results, len(ids))
        with self.assertRaises(spandrel.InvalidArgument):
            async for _ in self.client.search_range(self.queries[7], float("nan")):
                pass

    async def test_streams(self):
        async def queries():
            for query in self.queries[:100]:
                yield query

        for source in (self.queries[:100], queries()):
            seen = set()
            async for item in self.client.search_stream(source, K):
                assert_expected(item.answer, item.number)
                seen.add(item.number)
            self.assertEqual(seen, set(range(100)))

    async def test_a_failure_of_the_source_reaches_the_caller(self):
        async def queries():
            yield self.queries[0]
            raise LookupError("no more")

        for kind, source in ((LookupError, queries()), (TypeError, [["not a vector"]])):
            with self.assertRaises(kind):
                async for _ in self.client.search_stream(source, K):
                    pass

    async def test_cancelling_a_stream_is_not_taken_for_a_failure(self):
        async def queries():
            yield self.queries[0]
            await asyncio.sleep(60)

        begun = asyncio.Event()

        async def ask():
            async for _ in self.client.search_stream(queries(), K):
                begun.set()

        task = asyncio.ensure_future(ask())
        await begun.wait()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_refusals(self):
        with self.assertRaises(spandrel.InvalidArgument) as raised:
            await self.client.search(self.queries[0], 0)
        self.assertEqual(list(raised.exception.fields), ["k"])
        with self.assertRaises(spandrel.NotFound):
            await self.client.search(self.queries[0], index="other")
        with self.assertRaises(spandrel.DeadlineExceeded):
            await self.client.search(self.queries[0], timeout=0.0)

    async def test_another_event_loop_is_refused(self):
        async def ask():
            with self.assertRaises(spandrel.WrongEventLoop) as raised:
                await self.client.search(self.queries, K)
            with self.assertRaises(spandrel.WrongEventLoop):
                async for _ in self.client.search_stream(self.queries, K):
                    pass
            with self.assertRaises(spandrel.WrongEventLoop):
                await self.client.close()
            return raised.exception

        error = await asyncio.to_thread(lambda: asyncio.run(ask()))
        self.assertIn("event loop", error.message)
        with self.assertRaises(spandrel.WrongEventLoop):
            await asyncio.to_thread(lambda: spandrel.AsyncClient(self.server.address))
        assert_expected(await self.client.search(self.queries, K))

    async def test_administration_under_load(self):
        self.assertEqual((await self.client.indexes())[0].name, "vectors")
        self.assertEqual((await self.client.describe()).vectors, VECTORS)
        self.assertIsNone(await self.client.verify("vectors"))
        self.assertEqual((await self.client.operations())[-1].kind, "verify")
        stop, calls = asyncio.Event(), 0

        async def ask():
            nonlocal calls
            while not stop.is_set():
                assert_expected(await self.client.search(self.queries[:32], K), slice(0, 32))
                calls += 1

        asking = asyncio.gather(*(ask() for _ in range(4)))
        for _ in range(10):
            before = calls
            self.assertEqual((await self.client.switch("vectors")).version, 1)
            while calls == before and not asking.done():
                await asyncio.sleep(0.001)
        stop.set()
        await asking


if __name__ == "__main__":
    unittest.main()
