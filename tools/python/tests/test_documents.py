"""Documents of many vectors, by the blocking client."""
import unittest

import numpy as np

import spandrel
from real import DIM, DOCUMENT_IDS, K, VECTORS, Served, Server, made_documents, made_known_documents


class Documents(Served):
    def test_documents_are_found_by_max_sim(self):
        everything = spandrel.Options(rerank=VECTORS // 5, with_work=True)
        documents, queries = self.rows.reshape(-1, 5, DIM), self.queries[:12].reshape(3, 4, DIM)
        products = np.einsum("qtd,nsd->qnts", queries.astype(np.int64), documents.astype(np.int64))
        scores = products.max(axis=3).sum(axis=2)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        with Server("--index", f"index={made_documents()}") as server, spandrel.Client(server.address) as client:
            answers = client.search_documents(queries, K, everything)
            np.testing.assert_array_equal(answers.ids, best)
            np.testing.assert_array_equal(answers.distances, np.take_along_axis(scores, best, axis=1))
            self.assertEqual({work.documents for work in answers.work}, {VECTORS // 5})
            # Documents of other lengths, as a list and with offsets, and one alone.
            parts = [self.queries[:4], self.queries[4:5], self.queries[5:12]]
            listed = client.search_documents(parts, K, everything)
            rows = client.search_documents(self.queries[:12], K, everything, offsets=[0, 4, 5, 12])
            np.testing.assert_array_equal(listed.ids, rows.ids)
            np.testing.assert_array_equal(listed.ids[0], best[0])
            one = client.search_documents(queries[1].astype(np.float32), K, everything)
            np.testing.assert_array_equal(one.ids, best[1])
            expected = {"count": VECTORS // 5, "vectors_min": 5, "vectors_max": 5, "vectors_mean": 5.0}
            details = client.describe().details
            usual = {"by_encodings": False, "default_lists": min(16, details["lists"]), "default_compared": min(60, VECTORS // 5)}
            self.assertEqual(details["documents"], {**expected, **usual})
            for wrong, offsets in [
                (self.queries[0], None),
                (self.queries[:4], [0, 3]),
                (self.queries[:4], [0, 2, 2, 4]),
                (self.queries[:4], [0.0, 4.0]),
                ([self.queries[:4], self.queries[:4, :3]], None),
                (np.zeros((2, 0, DIM)), None),
            ]:
                with self.assertRaises(ValueError):
                    client.search_documents(wrong, K, offsets=offsets)
            with self.assertRaises(spandrel.InvalidArgument) as plain:
                client.search(self.queries[:2], K)
            self.assertEqual(list(plain.exception.fields), ["queries"])
            explained = client.search_documents(queries, K, spandrel.Options(explain=True))
            np.testing.assert_array_equal(explained.ids, client.search_documents(queries, K).ids)
            for told, work in zip(explained.explanations, explained.work):
                self.assertEqual(sum(search.codes for search in told.documents.searches), work.codes)
                self.assertEqual(len(told.documents.compared) + told.documents.compared_more, work.documents)
        with self.assertRaises(spandrel.InvalidArgument) as other:
            self.client.search_documents(queries, K)
        self.assertEqual(list(other.exception.fields), ["queries"])

    def test_documents_are_filtered_and_come_with_their_vectors(self):
        documents, query = self.rows.reshape(-1, 5, DIM), self.queries[:4]
        products = np.einsum("td,nsd->nts", query.astype(np.int64), documents.astype(np.int64))
        order = np.argsort(-products.max(axis=2).sum(axis=1), kind="stable")
        cheap = order[order % 100 < 30]
        options = spandrel.Options(filter="price < 30", with_vectors=True, with_attributes=True, rerank=VECTORS // 5)
        with Server("--index", f"index={made_known_documents()}") as server, spandrel.Client(server.address) as client:
            for queries in (query, [query, self.queries[4:6]]):
                answers = client.search_documents(queries, K, options)
                np.testing.assert_array_equal(np.atleast_2d(answers.ids)[0], DOCUMENT_IDS[cheap[:K]])
                self.assertEqual((answers.filtered[0].matches, answers.filtered[0].plan), (len(cheap), "exact"))
                self.assertEqual([of["price"] for of in answers.attributes[0]], [int(of) % 100 for of in cheap[:K]])
                self.assertIsNone(answers.vectors)
                for found, of in zip(answers.documents[0], cheap[:K]):
                    np.testing.assert_array_equal(found, documents[of])
            fetched = client.fetch([int(DOCUMENT_IDS[7]), 1, int(DOCUMENT_IDS[3])], with_attributes=["price"])
            self.assertEqual(list(fetched.found), [True, False, True])
            np.testing.assert_array_equal(fetched.documents[0], documents[7])
            self.assertIsNone(fetched.documents[1])
            np.testing.assert_array_equal(fetched.documents[2], documents[3])
            self.assertEqual(fetched.attributes, [{"price": 7}, None, {"price": 3}])
            self.assertIn("documents", repr(fetched))
            none = client.search_documents(query, K, spandrel.Options(filter="price > 100", with_vectors=True))
            self.assertEqual((none.counts[0], none.documents, none.filtered[0].matches), (0, [[]], 0))
            with self.assertRaises(spandrel.InvalidArgument) as wrong:
                client.search_documents(query, K, spandrel.Options(filter="cost < 3"))
            self.assertEqual(list(wrong.exception.fields), ["options.filter.text"])


if __name__ == "__main__":
    unittest.main()
