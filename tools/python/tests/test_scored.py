"""Searches whose answers a scorer decides, against a real server."""
import asyncio
import time
import unittest

import numpy as np

import spandrel
from real import VECTORS, Server, made

EXACT = spandrel.Options(max_lists=4096)


def score_of(ids):
    """A score that has nothing to do with distances."""
    return (np.asarray(ids, np.int64) * 7919 % 1009).astype(np.float64)


def best_of(ids, k):
    ids = np.asarray(ids, np.int64)
    return ids[np.lexsort((ids, -score_of(ids)))][:k]


class Unreadable:
    """As a tensor of another device, which raises what it likes when it is made an array."""

    def __array__(self, *_, **__):
        raise RuntimeError("on another device")


class Scored(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.query = made().queries[0]
        cls.server = Server("--index", f"vectors={made().index}")
        cls.client = spandrel.Client(cls.server.address)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.__exit__()

    def test_the_best_by_score_of_the_nearest(self):
        near = self.client.search(self.query, 50, EXACT)
        asked = []

        def scorer(ids):
            asked.append(ids.copy())
            scores = score_of(ids)
            ids[:] = 0  # It is the scorer's own.
            return scores

        answers = self.client.search(self.query, 5, EXACT, scorer=scorer, budget=50, batch=20)
        np.testing.assert_array_equal(answers.ids, best_of(near.ids, 5))
        np.testing.assert_array_equal(answers.scores, score_of(answers.ids))
        np.testing.assert_array_equal(np.concatenate(asked), near.ids)
        self.assertEqual(([len(ids) for ids in asked], answers.scored.tolist()), ([20, 20, 10], [50]))
        at = {id: distance for id, distance in zip(near.ids.tolist(), near.distances)}
        self.assertEqual(answers.distances.tolist(), [at[id] for id in answers.ids.tolist()])
        row = self.client.search(self.query[None], 5, EXACT, scorer=score_of, budget=50)
        np.testing.assert_array_equal(row.ids, answers.ids[None])
        # Fewer match than are wanted.
        few = self.client.search(self.query, 5, spandrel.Options(filter="id in [4, 9]"), scorer=score_of, budget=50)
        self.assertEqual((few.ids.tolist()[2:], few.counts.tolist(), few.scored.tolist()), ([-1] * 3, [2], [2]))
        self.assertTrue(np.isnan(few.scores[2:]).all())

    def test_what_is_known_is_not_scored_again(self):
        near = self.client.search(self.query, 50, EXACT)
        far = int(np.setdiff1d(np.arange(VECTORS), near.ids)[0])
        known = ([int(near.ids[3]), far], [score_of(near.ids[3]), 1e6])
        asked = []

        def scorer(ids):
            asked.extend(ids.tolist())
            return score_of(ids)

        answers = self.client.search(self.query, 50, EXACT, scorer=scorer, budget=50, known=known)
        self.assertEqual(asked, [id for id in near.ids.tolist() if id != near.ids[3]][:48])
        self.assertEqual((answers.ids[0], answers.scores[0], answers.scored.tolist()), (far, 1e6, [50]))
        self.assertTrue(np.isnan(answers.distances[0]) and np.isfinite(answers.distances[1:]).all())
        # A filter holds for it too.
        filtered = spandrel.Options(max_lists=4096, filter=f"id != {far}")
        answers = self.client.search(self.query, 50, filtered, scorer=score_of, budget=50, known=known)
        self.assertNotIn(far, answers.ids)
        self.assertIn(near.ids[3], answers.ids)

    def test_a_scorer_that_fails_loses_nothing(self):
        def failing(wrong):
            calls = []

            def scorer(ids):
                calls.append(len(ids))
                return wrong(score_of(ids)) if len(calls) == 2 else score_of(ids)

            return scorer

        def raising(_):
            raise RuntimeError("no model")

        near = self.client.search(self.query, 50, EXACT)
        for wrong, says in (
            (raising, "no model"),
            (lambda scores: scores[1:], "shape (19,) for 20 items"),
            (lambda scores: scores[:, None], "shape (20, 1)"),
            (lambda scores: np.where(scores == scores[4], np.nan, scores), f"the score of item {near.ids[24]} is nan"),
            (lambda scores: scores + np.inf, "is inf"),
            (lambda scores: ["a"] * 20, "no array of numbers"),
            (lambda scores: Unreadable(), "no array of numbers: on another device"),
            (lambda scores: None, "shape ()"),
        ):
            with self.assertRaises(spandrel.ScorerFailed) as raised:
                self.client.search(self.query, 5, EXACT, scorer=failing(wrong), budget=50, batch=20)
            self.assertIn(says, raised.exception.message)
            ids, scores = raised.exception.scored
            np.testing.assert_array_equal(ids, near.ids[:20])
            np.testing.assert_array_equal(scores, score_of(ids))
            asked = []
            again = self.client.search(
                self.query, 5, EXACT, scorer=lambda ids: (asked.append(len(ids)), score_of(ids))[1], budget=50, known=(ids, scores)
            )
            self.assertEqual((sum(asked), again.scored.tolist()), (30, [50]))
            np.testing.assert_array_equal(again.ids, best_of(near.ids, 5))
        self.assertIsInstance(raised.exception.__cause__, (TypeError, ValueError, type(None)))

    def test_ids_of_all_64_bits_are_kept(self):
        def failing(ids):
            raise RuntimeError("no model")

        def kept_of(known):
            with self.assertRaises(spandrel.ScorerFailed) as raised:
                self.client.search(self.query, 5, EXACT, scorer=failing, budget=50, known=known)
            return raised.exception.scored

        large = [3, (1 << 63) + 1, (1 << 64) - 2]
        for given in (large, np.array(large, np.uint64), [np.uint64(id) for id in large]):
            ids, scores = kept_of((given, [1.0, 2.0, 3.0]))
            self.assertEqual((ids.tolist(), ids.dtype, scores.tolist()), (large, np.uint64, [1.0, 2.0, 3.0]))
            again = kept_of((ids, scores))
            np.testing.assert_array_equal(again[0], ids)
        for known in (None, ([], []), (np.zeros(0), np.zeros(0))):
            ids, scores = kept_of(known)
            self.assertEqual((ids.dtype, len(ids), len(scores)), (np.int64, 0, 0))
            self.assertEqual(len(kept_of((ids, scores))[0]), 0)
        answers = self.client.search(self.query, 3, EXACT, scorer=score_of, budget=3, known=(large, [1.0, 2.0, 3.0]))
        self.assertEqual((answers.ids.tolist(), answers.ids.dtype), (large[::-1], np.uint64))

    def test_a_search_that_fails_loses_nothing(self):
        known = ([5, 1 << 63], [1.0, 2.0])
        given = {"scorer": score_of, "budget": 50, "known": known, "index": "none"}

        async def search():
            async with spandrel.AsyncClient(self.server.address) as client:
                await client.search(self.query, 5, **given)

        for call in (lambda: self.client.search(self.query, 5, **given), lambda: asyncio.run(search())):
            with self.assertRaises(spandrel.NotFound) as raised:
                call()
            ids, scores = raised.exception.scored
            self.assertEqual((ids.tolist(), scores.tolist()), known)

    def test_an_item_of_several_indexes_is_scored_once(self):
        flags = ["--index", f"a={made().index}", "--index", f"b={made().index}"]
        near = self.client.search(self.query, 200, EXACT)
        far = int(np.setdiff1d(np.arange(VECTORS), near.ids)[0])
        with Server(*flags) as server, spandrel.Client(server.address) as client:
            for duplicates, items in (("keep", 25), ("best", 50)):
                asked = []

                def scorer(ids):
                    asked.extend(ids.tolist())
                    return score_of(ids)

                indexes = spandrel.Indexes(["b", "a"], duplicates=duplicates)
                candidates = client.search(self.query, 50, EXACT, index=indexes).ids.tolist()
                expected = list(dict.fromkeys(candidates))
                self.assertEqual((len(candidates), len(expected)), (50, items))
                # The budget is the number of candidates: an item that is kept twice is two of them.
                answers = client.search(self.query, 7, EXACT, scorer=scorer, budget=50, index=indexes)
                self.assertEqual(asked, expected)
                np.testing.assert_array_equal(answers.ids, best_of(expected, 7))
                np.testing.assert_array_equal(answers.indexes, np.zeros(7))
                self.assertEqual((answers.indexes.shape, answers.unlike.tolist()), ((7,), [0]))
                self.assertEqual(answers.scored.tolist(), [len(expected)])
                # What the search did not find is of no index.
                known = {"budget": 50, "known": ([far], [1e6]), "index": indexes}
                answers = client.search(self.query, 3, EXACT, scorer=score_of, **known)
                self.assertEqual((answers.ids[0], answers.indexes.tolist()), (far, [-1, 0, 0]))

    def test_the_time_is_looked_at_between_batches(self):
        def slow(ids):
            time.sleep(0.4)
            return score_of(ids)

        with self.assertRaises(spandrel.DeadlineExceeded) as raised:
            self.client.search(self.query, 5, EXACT, scorer=slow, budget=50, batch=10, timeout=1.0)
        self.assertIn(len(raised.exception.scored[0]), (10, 20, 30))

    def test_wrong_arguments(self):
        given = {"scorer": score_of, "budget": 50}
        for arguments, field in (
            ({**given, "budget": None}, "budget"),
            ({**given, "budget": 4}, "budget"),
            ({**given, "budget": 4000}, "budget"),
            ({"budget": 50}, "budget"),
            ({"known": ([1], [1.0])}, "known"),
            ({**given, "batch": 0}, "batch"),
            ({**given, "k": 0}, "k"),
            ({**given, "queries": made().queries[:2]}, "queries"),
            ({**given, "options": spandrel.Options(with_vectors=True)}, "options.with_vectors"),
            ({**given, "options": spandrel.Options(with_attributes=True)}, "options.with_attributes"),
            ({**given, "options": spandrel.Options(explain=True)}, "options.explain"),
            ({**given, "options": spandrel.Options(attention_scale=1.0)}, "options.attention_scale"),
            ({**given, "known": ([1, 1], [1.0, 2.0])}, "known"),
            ({**given, "known": ([1, 2], [1.0])}, "known"),
            ({**given, "known": ([1], [np.nan])}, "known"),
            ({**given, "known": ([-1], [1.0])}, "known"),
            ({**given, "known": ([1.5], [1.0])}, "known"),
            ({**given, "known": ([True], [1.0])}, "known"),
            ({**given, "known": ([(1 << 64) - 1], [1.0])}, "known"),
            ({**given, "known": ([[1], [2, 3]], [1.0])}, "known"),
            ({**given, "known": (np.array([1.0]), [1.0])}, "known"),
            ({**given, "known": ([1], ["a"])}, "known"),
            ({**given, "known": (range(51), np.ones(51))}, "budget"),
        ):
            with self.assertRaises(spandrel.InvalidArgument) as raised:
                self.client.search(**{"queries": self.query, "k": 5, **arguments})
            self.assertEqual(list(raised.exception.fields), [field], arguments)

    def test_asyncio(self):
        async def waiting(ids):
            await asyncio.sleep(0)
            return score_of(ids)

        async def failing(ids):
            raise RuntimeError("no model")

        async def all_of_it():
            async with spandrel.AsyncClient(self.server.address) as client:
                for scorer in (waiting, score_of):
                    answers = await client.search(self.query, 5, EXACT, scorer=scorer, budget=50, batch=20)
                    np.testing.assert_array_equal(answers.ids, best_of(near.ids, 5))
                with self.assertRaises(spandrel.ScorerFailed) as raised:
                    known = (near.ids[:3], score_of(near.ids[:3]))
                    await client.search(self.query, 5, EXACT, scorer=failing, budget=50, known=known)
                self.assertEqual(len(raised.exception.scored[0]), 3)
                self.assertIsInstance(raised.exception.__cause__, RuntimeError)
                with self.assertRaises(spandrel.DeadlineExceeded):
                    late = {"budget": 50, "batch": 10, "timeout": 1.0}
                    await client.search(self.query, 5, EXACT, scorer=lambda ids: (time.sleep(0.4), score_of(ids))[1], **late)

        near = self.client.search(self.query, 50, EXACT)
        asyncio.run(all_of_it())

    def test_asyncio_waits_for_a_scorer_until_the_time_is_over(self):
        begun, ended = [], []

        async def hanging(ids):
            begun.append(len(ids))
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cancelled")
                begun.clear()

        async def late(ids):
            raise asyncio.TimeoutError("of the scorer itself")

        async def cancelled(ids):
            raise asyncio.CancelledError

        async def all_of_it():
            async with spandrel.AsyncClient(self.server.address) as client:
                begin = time.monotonic()
                with self.assertRaises(spandrel.DeadlineExceeded) as raised:
                    known = {"known": ([7, 1 << 63], [1.0, 2.0])}
                    await client.search(self.query, 5, EXACT, scorer=hanging, budget=50, timeout=0.5, **known)
                self.assertLess(time.monotonic() - begin, 10)
                self.assertEqual(raised.exception.scored[0].tolist(), [7, 1 << 63])
                await asyncio.sleep(0)
                self.assertEqual(ended, ["cancelled"])
                for scorer in (late, cancelled):
                    with self.assertRaises(spandrel.ScorerFailed) as raised:
                        await client.search(self.query, 5, EXACT, scorer=scorer, budget=50)
                    self.assertEqual(len(raised.exception.scored[0]), 0)
                # Cancelled while its scorer is waited for, which ends with it.
                search = asyncio.ensure_future(client.search(self.query, 5, EXACT, scorer=hanging, budget=50))
                while not begun:
                    await asyncio.sleep(0.01)
                search.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await search
                await asyncio.sleep(0)
                self.assertEqual(ended, ["cancelled"] * 2)

        asyncio.run(asyncio.wait_for(all_of_it(), 60))


if __name__ == "__main__":
    unittest.main()
