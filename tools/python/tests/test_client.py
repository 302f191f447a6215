"""The blocking client against a real server."""
import os
import unittest

import numpy as np

import spandrel
from real import DIM, K, QUERIES, VECTORS, Served, Server, assert_expected, attention_mass, made, made_column, made_keys, run


class RealServer(Served):
    def test_every_form_of_queries_gives_the_same(self):
        for queries in (self.queries, self.queries.astype(np.float32), self.queries.astype(np.float64)):
            answers = self.client.search(queries, K)
            assert_expected(answers)
            self.assertEqual((answers.missing, answers.effort), ([None] * QUERIES, [None] * QUERIES))
            self.assertFalse(answers.estimated.any())
            self.assertEqual((answers.index_versions, answers.index_uuids), ([1], [self.client.describe().uuid]))
            self.assertEqual(repr(answers), f"<Answers {QUERIES} queries, k={K}, index_versions=[1]>")
        assert_expected(self.client.search(self.queries[7], K), 7)
        assert_expected(self.client.search(self.queries[7].tolist(), K), 7)
        assert_expected(self.client.search(self.queries[7:8], K), slice(7, 8))
        # Not contiguous, and big-endian.
        assert_expected(self.client.search(np.asfortranarray(self.queries)[::2], K), slice(None, None, 2))
        assert_expected(self.client.search(self.queries.astype(">f4"), K))

    def test_options(self):
        options = spandrel.Options(max_lists=1, with_vectors=True, with_work=True)
        answers = self.client.search(self.queries[:300], 200, options)
        self.assertEqual(answers.ids.shape, (300, 200))
        missing = answers.ids == -1
        self.assertTrue(missing.any() and np.isnan(answers.distances[missing]).all())
        np.testing.assert_array_equal(missing.sum(axis=1), 200 - answers.counts)
        found = ~missing
        np.testing.assert_array_equal(answers.vectors[found], self.rows[answers.ids[found]])
        self.assertEqual(answers.vectors.dtype, np.uint8)
        self.assertEqual({work.lists for work in answers.work}, {1})
        few, many = (
            self.client.search(self.queries, K, spandrel.Options(rerank_errors=errors, with_work=True))
            for errors in (0.0, 3.0)
        )
        self.assertLess(sum(work.reranked for work in few.work), sum(work.reranked for work in many.work))
        self.assertGreater(self.client.describe().details["default_rerank_errors"], 0.0)
        for wrong in (spandrel.Options(rerank_errors=-1.0), spandrel.Options(rerank=9, rerank_errors=1.0)):
            with self.assertRaises(spandrel.InvalidArgument) as raised:
                self.client.search(self.queries, K, wrong)
            self.assertEqual(list(raised.exception.fields), ["options.rerank_errors"])
        for recall in (0.5, 0.9):
            asked = self.client.search(self.queries, K, spandrel.Options(recall=recall))
            self.assertTrue(asked.reached.all() and (asked.expected_recall > recall - 1e-9).all())
        own = self.client.search(self.queries, K, spandrel.Options(max_lists=3))
        self.assertTrue(np.isnan(own.expected_recall).all() and not own.reached.any())
        self.assertTrue(self.client.describe().details["calibration"]["curves"])
        with self.assertRaises(spandrel.InvalidArgument) as raised:
            self.client.search(self.queries, K, spandrel.Options(min_head_score=1.0))
        self.assertEqual(list(raised.exception.fields), ["options.min_head_score"])
        with self.assertRaises(spandrel.InvalidArgument) as raised:
            self.client.search(self.queries, K, spandrel.Options(embedding_version="v9"))
        self.assertEqual(list(raised.exception.fields), ["options.embedding_version"])
        with self.assertRaises(spandrel.InvalidArgument) as raised:
            list(self.client.search_range(self.queries[0], 1.0, spandrel.RangeOptions(embedding_version="v9")))
        self.assertEqual(list(raised.exception.fields), ["embedding_version"])
        explained = self.client.search(self.queries[:300], K, spandrel.Options(explain=True))
        self.assertEqual(len(explained.explanations), 300)
        for told, work, ids in zip(explained.explanations, explained.work, explained.ids):
            self.assertEqual(sum(found.scanned for found in told.lists), work.codes)
            self.assertLessEqual(set(ids.tolist()), {vector.id for vector in told.compared})
        self.assertIsNone(answers.explanations)
        self.assertEqual(len(self.client.search(self.queries[0], K, spandrel.Options(explain=True)).explanations), 1)
        single = self.client.search(self.queries[0], 3, options)
        self.assertEqual((single.ids.shape, single.vectors.shape), ((3,), (3, DIM)))

    def test_filters(self):
        ids = list(range(100, 2000, 7))
        distances = ((self.rows[ids].astype(np.int64) - self.queries[3]) ** 2).sum(axis=1)
        nearest = np.array(ids)[np.lexsort((ids, distances))]
        exact = {"max_lists": 4096, "rerank": 10_000}
        for text in (f"id in {ids}", {"id": {"$in": ids}}):
            options = spandrel.Options(filter=text, **exact)
            one = self.client.search(self.queries[3], K, options)
            np.testing.assert_array_equal(one.ids, nearest[:K])
            self.assertEqual([of.matches for of in one.filtered], [len(ids)])
            self.assertIn(one.filtered[0].plan, ("exact", "codes", "lists", "post"))
            many = self.client.search(self.queries[:5], K, options)
            self.assertTrue(set(many.ids.ravel().tolist()) <= set(ids))
            self.assertEqual([of.matches for of in many.filtered], [len(ids)] * 5)
            own = self.client.search_by_id(5, K, options)
            self.assertTrue(set(own.ids.tolist()) <= set(ids))
            streamed = list(self.client.search_stream(self.queries[3:4], K, options))
            np.testing.assert_array_equal(streamed[0].answer.ids, nearest[:K])
            parts = list(self.client.search_range(self.queries[3], 1e9, spandrel.RangeOptions(filter=text)))
            self.assertEqual({id for part in parts for id in part.ids.tolist()}, set(ids))
            self.assertEqual(parts[-1].end.filtered, spandrel.Filtered(len(ids)))
        few = self.client.search(self.queries[3], K, spandrel.Options(filter="id in [4, 9]"))
        self.assertEqual((few.counts.tolist(), set(few.ids.tolist())), ([2], {4, 9, -1}))
        self.assertEqual(self.client.search(self.queries[3], K).filtered, [None])
        price, tags = self.client.describe().details["attributes"]
        self.assertEqual((price["name"], price["type"], price["nulls"]), ("price", "f64", 0))
        self.assertEqual((tags["type"], tags["values"], len(tags["most_frequent"])), ("tags", 7, 7))
        ids = [id for id in range(VECTORS) if id % 97 < 20 and (id % 5 == 3 or id % 7 == 3)]
        for filter in (
            'price < 20.5 and tags contains "t3"',
            {"price": {"$lt": 20.5}, "tags": {"$contains": "t3"}},
        ):
            parts = list(self.client.search_range(self.queries[3], 1e9, spandrel.RangeOptions(filter=filter)))
            self.assertEqual({id for part in parts for id in part.ids.tolist()}, set(ids))
            answers = self.client.search(self.queries[:5], K, spandrel.Options(filter=filter))
            self.assertTrue(set(answers.ids.ravel().tolist()) <= set(ids))
            self.assertEqual({of.matches for of in answers.filtered}, {len(ids)})
        for wrong, field, position, attribute in (
            ("id in [4, 9", "options.filter.text", 11, None),
            ("prise < 7", "options.filter.text", None, "prise"),
            ({"price": {"$below": 7}}, "options.filter.json", None, None),
        ):
            with self.assertRaises(spandrel.InvalidArgument) as raised:
                self.client.search(self.queries[:3], K, spandrel.Options(filter=wrong))
            said = raised.exception
            self.assertEqual((list(said.fields), said.position, said.attribute), ([field], position, attribute))
        for wrong, kind in ((7, TypeError), ({"price": float("nan")}, ValueError)):
            with self.assertRaises(kind):
                self.client.search(self.queries[:3], K, spandrel.Options(filter=wrong))

    def test_attributes_come_with_neighbours(self):
        def of(id):
            return {"price": id % 97 + 0.5, "tags": sorted({f"t{id % 5}", f"t{id % 7}"})}

        every = [[of(id) for id in row] for row in made().ids[:300]]
        answers = self.client.search(self.queries[:300], K, spandrel.Options(with_attributes=True))
        self.assertEqual(answers.attributes, every)
        prices = [[{"price": row["price"]} for row in rows] for rows in every]
        options = spandrel.Options(with_attributes=["price"], with_vectors=True)
        self.assertEqual(self.client.search(self.queries[:300], K, options).attributes, prices)
        self.assertEqual(self.client.search(self.queries[3], K, options).attributes, [prices[3]])
        streamed = {item.number: item.answer.attributes for item in self.client.search_stream(self.queries[:9], K, options)}
        self.assertEqual(streamed, {number: [prices[number]] for number in range(9)})
        fetched = self.client.fetch([7, VECTORS + 7, 0], with_attributes=["tags", "price"])
        self.assertEqual(fetched.attributes, [of(7), None, of(0)])
        self.assertEqual(list(fetched.attributes[0]), ["tags", "price"])
        for none in (spandrel.Options(), spandrel.Options(with_attributes=[])):
            self.assertIsNone(self.client.search(self.queries[0], K, none).attributes)
        self.assertIsNone(self.client.fetch([7]).attributes)
        with self.assertRaisesRegex(spandrel.InvalidArgument, "the nearest is `price`") as raised:
            self.client.search(self.queries[0], K, spandrel.Options(with_attributes=["prise"]))
        self.assertEqual(list(raised.exception.fields), ["options.with_attributes"])
        with self.assertRaises(TypeError):
            self.client.search(self.queries[0], K, spandrel.Options(with_attributes="price"))

    def test_the_parts_of_a_filter_are_told(self):
        text = "price < 7 and not (tags contains 't1')"
        answers = self.client.search(self.queries[:2], K, spandrel.Options(filter=text, explain=True))
        cheap = [id for id in range(VECTORS) if id % 97 + 0.5 < 7]
        tagged = [id for id in range(VECTORS) if 1 in (id % 5, id % 7)]
        both = len(set(cheap) - set(tagged))
        expected = [
            (0, "and", both),
            (1, "price < 7", len(cheap)),
            (1, "not", VECTORS - len(tagged)),
            (2, 'tags contains "t1"', len(tagged)),
        ]
        for told in answers.explanations:
            self.assertEqual([(part.depth, part.text, part.matches) for part in told.filter.parts], expected)

    def test_ranges(self):
        squared = ((self.rows.astype(np.int64) - self.queries[7].astype(np.int64)) ** 2).sum(axis=1)
        radius = float(np.sort(squared)[200])
        expected = np.flatnonzero(squared <= radius)
        *parts, last = self.client.search_range(self.queries[7], radius)
        ids = np.concatenate([part.ids for part in parts])
        np.testing.assert_array_equal(np.sort(ids), expected)
        np.testing.assert_array_equal(np.concatenate([part.distances for part in parts]), squared[ids])
        self.assertEqual((len(last.ids), last.end.results, last.end.completeness), (0, len(expected), 1.0))
        self.assertEqual((last.end.missing, last.end.limited_by, last.end.work), (None, None, None))
        options = spandrel.RangeOptions(max_results=5, completeness=0.5, with_work=True)
        best, last = self.client.search_range(self.queries[7], radius, options)
        self.assertEqual((len(best.ids), last.end.limited_by, last.end.completeness), (5, "max_results", 0.5))
        self.assertGreater(last.end.work.lists, 0)
        with self.assertRaises(spandrel.InvalidArgument) as raised:
            list(self.client.search_range(self.queries[7], -1.0))
        self.assertEqual(list(raised.exception.fields), ["radius"])
        with self.assertRaises(ValueError):
            next(self.client.search_range(self.queries[:2], radius))
        # One that is given up leaves the client as it was.
        next(self.client.search_range(self.queries[7], 1e9))
        assert_expected(self.client.search(self.queries[7], K), 7)

    def test_streams(self):
        def queries():
            yield from self.queries[:50]
            yield np.zeros(5, np.uint8)
            yield from self.queries[50:100]

        seen = {}
        for item in self.client.search_stream(queries(), K):
            seen[item.number] = item
        self.assertEqual(len(seen), 101)
        error = seen.pop(50).error
        self.assertIsInstance(error, spandrel.InvalidArgument)
        self.assertEqual(list(error.fields), ["query"])
        for number, item in seen.items():
            assert_expected(item.answer, number - (number > 50))
        with self.assertRaisesRegex(TypeError, "numbers"):
            list(self.client.search_stream([["not a vector"]], K))

    def test_vectors_of_the_index_are_searched_for_by_their_ids(self):
        ids = list(range(0, VECTORS, 7))
        expected = self.client.search(self.rows[ids], K)
        found = self.client.search_by_id(ids, K)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.distances, expected.distances)
        self.assertFalse(found.distances[:, 0].any(), "each finds itself")
        one = self.client.search_by_id(7, K, spandrel.Options(with_vectors=True))
        self.assertEqual((one.ids.shape, one.vectors.shape), ((K,), (K, DIM)))
        np.testing.assert_array_equal(one.ids, expected.ids[1])
        many = self.client.search_by_id(ids[:100], K, spandrel.Options(with_vectors=True))
        np.testing.assert_array_equal(many.vectors, self.rows[many.ids])
        with self.assertRaisesRegex(spandrel.NotFound, f"no vector {VECTORS}"):
            self.client.search_by_id([0, VECTORS])
        with self.assertRaises(ValueError):
            self.client.search_by_id([])

    def test_fetch(self):
        fetched = self.client.fetch([5, VECTORS + 7, 0] * 200)
        self.assertEqual(fetched.found.tolist(), [True, False, True] * 200)
        np.testing.assert_array_equal(fetched.vectors[0], self.rows[5])
        self.assertFalse(fetched.vectors[1].any())
        self.assertEqual((fetched.vectors.dtype, fetched.index_versions), (np.uint8, [1]))
        self.assertFalse(fetched.damaged.any())
        none = self.client.fetch([VECTORS + 7])
        self.assertEqual((none.found.tolist(), none.vectors.shape[0]), ([False], 1))

    def test_candidates_are_compared_in_a_column(self):
        index, few = "column", slice(0, 40)
        coarse, fine = self.queries[few, : DIM // 4], self.queries[few]
        everything = spandrel.Options(max_lists=1000, rerank=VECTORS, with_vectors=True, with_work=True)
        with Server("--index", f"{index}={made_column()}") as server, spandrel.Client(server.address) as client:
            answers = client.search(coarse, K, everything, column_queries={"fine": fine})
            # All vectors are compared, so that these are the nearest of all.
            exact = ((fine[:, None].astype(np.int64) - self.rows.astype(np.int64)) ** 2).sum(axis=2)
            np.testing.assert_array_equal(answers.distances, np.sort(exact, axis=1)[:, :K])
            self.assertEqual(answers.vectors.shape, (40, K, DIM))
            self.assertEqual({work.reranked for work in answers.work}, {VECTORS})
            self.assertTrue(np.isnan(answers.expected_recall).all())
            one = client.search(coarse[3], K, everything, column_queries={"fine": fine[3]})
            np.testing.assert_array_equal(one.distances, answers.distances[3])
            by_id = client.search_by_id([5, 7], K, everything, column="fine")
            np.testing.assert_array_equal(by_id.ids[:, 0], [5, 7])
            self.assertEqual(by_id.distances[:, 0].tolist(), [0.0, 0.0])
            stream = client.search_stream(iter(coarse), K, everything, column_queries={"fine": iter(fine)})
            for item in stream:
                np.testing.assert_array_equal(item.answer.distances, answers.distances[item.number])
            np.testing.assert_array_equal(client.fetch([9, 0], column="fine").vectors, self.rows[[9, 0]])
            np.testing.assert_array_equal(client.fetch([9, 0]).vectors, self.rows[[9, 0], : DIM // 4])
            column = client.describe().details["column"]
            expected = {"name": "fine", "dim": DIM, "dtype": "u8", "metric": "l2", "keeps_coarse": True}
            self.assertEqual(column, expected)
            for wrong in ({"fine": fine[:3]}, {}, {"fine": fine, "other": fine}):
                with self.assertRaises(ValueError):
                    client.search(coarse, K, column_queries=wrong)
            with self.assertRaises(ValueError):
                list(client.search_stream(iter(coarse), K, column_queries={"fine": iter(fine[:3])}))
            with self.assertRaises(spandrel.InvalidArgument) as unknown:
                client.search(coarse, K, column_queries={"other": fine})
            self.assertEqual(list(unknown.exception.fields), ["column_queries.column"])
            with self.assertRaises(spandrel.InvalidArgument):
                client.search(coarse, K, spandrel.Options(rerank_errors=1.0), column_queries={"fine": fine})

    def test_answers_have_their_attention_mass(self):
        keys, queries, index = made_keys()
        with Server("--index", f"keys={index}") as server, spandrel.Client(server.address, batch_size=4) as client:
            for scale in (0.25, 3.0):
                answers = client.search(queries, K, spandrel.Options(attention_scale=scale))
                expected = [attention_mass(keys, query, ids, scale) for query, ids in zip(queries, answers.ids)]
                np.testing.assert_allclose(answers.attention_mass, expected, rtol=1e-4)
            one = client.search(queries[0], K, spandrel.Options(attention_scale=0.25))
            np.testing.assert_allclose(one.attention_mass, [attention_mass(keys, queries[0], one.ids, 0.25)], rtol=1e-4)
            self.assertIsNone(client.search(queries, K).attention_mass)
            streamed = list(client.search_stream(queries, K, spandrel.Options(attention_scale=0.25)))
            self.assertTrue(all(item.answer.attention_mass.shape == (1,) for item in streamed))
        with self.assertRaises(spandrel.InvalidArgument) as raised:
            self.client.search(self.queries, K, spandrel.Options(attention_scale=1.0))
        self.assertEqual(list(raised.exception.fields), ["options.attention_scale"])

    def test_several_indexes_are_searched_as_one(self):
        everything, few = spandrel.Options(max_lists=1000, rerank=VECTORS), self.queries[:20]
        flags = ["--index", f"a={made().index}", "--index", f"b={made().index}", "--index", f"column={made_column()}"]
        with Server(*flags) as server, spandrel.Client(server.address) as client:
            alone = client.search(few, K, everything, index="a")
            best = client.search(few, K, everything, index=spandrel.Indexes(["a", "b"]))
            np.testing.assert_array_equal(best.ids, alone.ids)
            self.assertTrue((best.indexes == 0).all() and (best.unlike == 0).all())
            kept = client.search(few, 2 * K, everything, index=spandrel.Indexes(["b", "a"], duplicates="keep"))
            np.testing.assert_array_equal(kept.ids[:, ::2], alone.ids)
            np.testing.assert_array_equal(kept.ids[:, 1::2], alone.ids)
            np.testing.assert_array_equal(kept.indexes, np.tile([0, 1], (20, K)))
            one = client.search(few[3], K, everything, index=spandrel.Indexes(["a", "b"]))
            np.testing.assert_array_equal((one.ids, one.indexes), (alone.ids[3], np.zeros(K)))
            self.assertIsNone(alone.indexes)
            self.assertIsNone(alone.versions)
            self.assertEqual((best.versions, one.versions), ({"a": [1], "b": [1]}, {"a": [1], "b": [1]}))
            told = spandrel.Options(max_lists=1000, rerank=VECTORS, explain=True, with_vectors=True)
            explained = client.search(few, K, told, index=spandrel.Indexes(["a", "b"]))
            self.assertEqual([len(of) for of in explained.explained], [2] * len(few))
            self.assertIsNone(explained.explanations)
            for of, work in zip(explained.explained, explained.work):
                self.assertEqual(sum(index.work.codes for index in of), work.codes)
            np.testing.assert_array_equal(explained.vectors, self.rows[alone.ids])
            self.assertEqual(len(client.search(few[3], K, told, index=spandrel.Indexes(["a", "b"])).explained[0]), 2)
            split = spandrel.Client(server.address, batch_size=7)
            self.assertEqual(split.search(few, K, index=spandrel.Indexes(["b", "a"])).versions, {"a": [1], "b": [1]})
            split.close()
            for names in (["a", "column"], ["a", "a"]):
                with self.assertRaises(spandrel.InvalidArgument) as refused:
                    client.search(few, K, index=spandrel.Indexes(names))
                self.assertEqual(list(refused.exception.fields), ["indexes"])
            with self.assertRaises(spandrel.NotFound):
                client.search(few, K, index=spandrel.Indexes(["a", "c"]))
            for wrong in (spandrel.Indexes([]), spandrel.Indexes("ab"), spandrel.Indexes(["a"], duplicates="all")):
                with self.assertRaises(ValueError):
                    client.search(few, K, index=wrong)

    def test_refusals_name_the_field(self):
        for queries, k, kind, field in [
            (self.queries[0], 0, spandrel.InvalidArgument, "k"),
            (np.zeros(DIM - 1, np.float32), 1, spandrel.InvalidArgument, "query"),
            (np.full(DIM, np.nan, np.float32), 1, spandrel.InvalidArgument, "query"),
            (self.queries[0].astype(np.int8), 1, spandrel.InvalidArgument, "query"),
            (self.queries[0].astype(np.float16), 1, spandrel.InvalidArgument, "query"),
            (np.full((3, DIM), 0.5, np.float32), 1, spandrel.InvalidArgument, "queries"),
            (self.queries[0], 5000, spandrel.InvalidArgument, "k"),
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

    def test_rows_of_a_type_that_the_index_s_type_holds_are_widened(self):
        path, index = (os.path.join(made().folder, name) for name in ("wide.fbin", "wide"))
        run("data", "convert", os.path.join(made().folder, "base.u8bin"), path)
        run("build", "--base", path, "--metric", "l2", "--out", index, "--list-size", "32")
        with Server("--index", f"vectors={index}") as server, spandrel.Client(server.address) as client:
            expected = client.search(self.queries.astype(np.float32), K)
            small = self.queries // 2
            by_kind = client.search(small.astype(np.float32), K)
            for queries, answers in [
                (self.queries, expected),
                (self.queries.astype(np.float16), expected),
                (self.queries.astype(np.int64), expected),
                (small.astype(np.int8), by_kind),
            ]:
                found = client.search(queries, K)
                np.testing.assert_array_equal(found.ids, answers.ids)
                np.testing.assert_array_equal(found.distances, answers.distances)
            np.testing.assert_array_equal(client.search(self.queries[0], K).ids, expected.ids[0])
            with self.assertRaisesRegex(ValueError, "int64"):
                client.search(np.full(DIM, 2**24 + 1), K)

    def test_another_dimension_is_refused(self):
        # Rows of half the dimension were answered two by two, rows of twice the dimension twice each.
        for dim in (DIM // 2, 2 * DIM, DIM + 1):
            for kind in (np.float32, np.uint8):
                with self.assertRaisesRegex(spandrel.InvalidArgument, f"{dim} elements, the index has {DIM}") as raised:
                    self.client.search(np.zeros((8, dim), kind), K)
                self.assertEqual(list(raised.exception.fields), ["queries"])

    def test_answers_too_large_for_a_message_are_asked_for_in_parts(self):
        with Server("--index", f"vectors={self.index}", "--vectors", "memory", "--max-message", "9MiB") as server:
            with spandrel.Client(server.address) as client:
                answers = client.search(self.queries[:256], 300, spandrel.Options(with_vectors=True))
        self.assertEqual(answers.vectors.shape, (256, 300, DIM))
        np.testing.assert_array_equal(answers.vectors, self.rows[answers.ids])


if __name__ == "__main__":
    unittest.main()
