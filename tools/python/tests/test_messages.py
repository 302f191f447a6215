"""Between arrays and messages, without a server."""
import datetime
import pickle
import unittest

import grpc
import numpy as np

import spandrel
from spandrel import _answers, _queries
from spandrel.v1 import search_pb2


class Queries(unittest.TestCase):
    def test_floats_are_what_they_would_be_one_by_one(self):
        for count in (1, 31, 32, 4095, 4096, 600_000):
            row = np.random.default_rng(count).standard_normal((1, count)).astype(np.float32)
            floats = search_pb2.Floats(values=row.ravel().tolist())
            self.assertEqual(_queries.vectors_of(row), search_pb2.Vectors(floats=floats, dim=count), count)
        strided = np.arange(12, dtype=np.float32).reshape(3, 4).T
        self.assertEqual(list(_queries.vectors_of(strided).floats.values), strided.ravel().tolist())

    def test_other_elements_are_bytes(self):
        for kind, code in (("f2", "F16"), ("i1", "I8"), ("u1", "U8")):
            row = np.array([[1, 2, 3]], kind)
            message = _queries.vectors_of(row)
            raw = search_pb2.Raw(data=row.tobytes(), dtype=search_pb2.Dtype.Value(f"DTYPE_{code}"))
            self.assertEqual(message, search_pb2.Vectors(raw=raw, dim=3))

    def test_ids_are_whole_numbers(self):
        self.assertEqual(_queries.ids_of(7), ([7], True))
        self.assertEqual(_queries.ids_of(np.array([2**64 - 1, 0], np.uint64)), ([2**64 - 1, 0], False))
        for wrong, kind in ((1.5, spandrel.InvalidArgument), (["a"], spandrel.InvalidArgument), ([[1]], ValueError)):
            with self.assertRaises(kind):
                _queries.ids_of(wrong)

    def test_batches_cover_all_within_both_limits(self):
        two = spandrel.Options(with_attributes=["price", "tags"])
        for rows, k, options, size, longest in [
            (np.zeros((700, 128), np.uint8), 1000, two, 256, 58),
            (np.zeros((700, 128), np.uint8), 1000, spandrel.Options(with_attributes=True), 256, 12),
            (np.zeros((700, 128), np.uint8), 10, spandrel.Options(), 256, 256),
            (np.zeros((700, 16384), np.float32), 10, spandrel.Options(), 256, 128),
            (np.zeros((700, 128), np.uint8), 1000, spandrel.Options(with_vectors=True), 256, 58),
            (np.zeros((3, 16384), np.float32), 1000, spandrel.Options(with_vectors=True), 256, 1),
        ]:
            parts = _queries.chunks(len(rows), _queries.batch_size(rows.shape[1] * rows.itemsize, k, options, size))
            self.assertEqual([n for part in parts for n in range(len(rows))[part]], list(range(len(rows))))
            self.assertEqual(max(part.stop - part.start for part in parts), longest)


class Attributes(unittest.TestCase):
    def test_values_are_of_their_types(self):
        value = search_pb2.AttributeValue
        utc = datetime.timezone.utc
        for message, expected in [
            (value(), None),
            (value(keyword=""), ""),
            (value(tags=search_pb2.Tags(tags=["a", "b"])), ["a", "b"]),
            (value(boolean=False), False),
            (value(integer=-(2**63)), -(2**63)),
            (value(number=2.5), 2.5),
            (value(timestamp=1_714_564_800_000_001), datetime.datetime(2024, 5, 1, 12, 0, 0, 1, utc)),
            (value(timestamp=2**62), 2**62),
        ]:
            found = _answers._value_of(message)
            self.assertEqual((found, type(found)), (expected, type(expected)))

    def test_values_of_other_vectors_are_refused(self):
        values = search_pb2.AttributeValues(name="price", values=[search_pb2.AttributeValue(number=1.0)])
        batch = search_pb2.SearchBatchResponse(counts=[2], ids=[4, 9], distances=[1.0, 2.0], attributes=[values])
        with self.assertRaisesRegex(spandrel.SpandrelError, "1 values of price of 2 vectors"):
            _answers.answers_of([batch], 2, single=False, asked=True)


class Answers(unittest.TestCase):
    def test_answers_of_several_indexes_say_which_versions(self):
        def batch(*versions):
            said = [search_pb2.IndexVersion(name=name, version=version) for name, version in versions]
            return search_pb2.SearchBatchResponse(counts=[1], ids=[4], distances=[1.0], indexes=[0], versions=said, unlike=[0])

        switched = [batch(("a", 1), ("b", 7)), batch(("a", 2), ("b", 7))]
        answers = _answers.answers_of(switched, 1, single=False, names=["a", "b"])
        self.assertEqual(answers.versions, {"a": [1, 2], "b": [7]})
        # A server that does not know of several indexes searches its only one.
        for older in (batch(), batch(("a", 1))):
            with self.assertRaisesRegex(spandrel.SpandrelError, "does not search several as one"):
                _answers.answers_of([switched[0], older], 1, single=False, names=["a", "b"])

    def test_short_ones_are_padded(self):
        first = search_pb2.SearchBatchResponse(
            counts=[2, 0],
            ids=[4, 9],
            distances=[1.0, 2.0],
            estimated=[False, True],
            missing=[search_pb2.Missing(), search_pb2.Missing(lists=1, pages=2)],
            index_version=3,
            index_uuid="b",
        )
        second = search_pb2.SearchBatchResponse(
            counts=[1],
            ids=[7],
            distances=[0.5],
            effort=[search_pb2.Effort(asked_lists=8, searched_lists=4)],
            index_version=2,
            index_uuid="a",
            limited_by=[search_pb2.LIMIT_MAX_BYTES],
        )
        answers = _answers.answers_of([first, second], 3, single=False)
        self.assertEqual(answers.ids.tolist(), [[4, 9, -1], [-1] * 3, [7, -1, -1]])
        np.testing.assert_array_equal(answers.distances, [[1, 2, np.nan], [np.nan] * 3, [0.5, np.nan, np.nan]])
        self.assertEqual(answers.estimated.tolist(), [[False, True, False], [False] * 3, [False] * 3])
        self.assertEqual((answers.counts.tolist(), answers.missing), ([2, 0, 1], [None, spandrel.Missing(1, 2), None]))
        self.assertEqual(answers.effort, [None, None, spandrel.Effort(8, 4)])
        self.assertEqual((answers.index_versions, answers.index_uuids), ([2, 3], ["a", "b"]))
        expected = "<Answers 3 queries, k=3, index_versions=[2, 3], short: 3, estimated: 1, missing: 1, effort: 1, limited_by: 1>"
        self.assertEqual(repr(answers), expected)
        self.assertEqual(answers.limited_by, [None, None, "max_bytes"])
        self.assertEqual((answers.ids.dtype, answers.distances.dtype), (np.int64, np.float32))

    def test_ids_of_all_sizes_are_kept(self):
        largest = 2**64 - 2
        response = search_pb2.SearchBatchResponse(counts=[2], ids=[largest, 1], distances=[1.0, 2.0])
        ids = _answers.answers_of([response], 3, single=False).ids
        self.assertEqual((ids.dtype, ids.tolist()), (np.uint64, [[largest, 1, 2**64 - 1]]))
        response.ids[0] = 2**63 - 1
        ids = _answers.answers_of([response], 3, single=False).ids
        self.assertEqual((ids.dtype, ids.tolist()), (np.int64, [[2**63 - 1, 1, -1]]))

    def test_other_rows_than_asked_for_are_refused(self):
        right = search_pb2.SearchBatchResponse(counts=[1, 0], ids=[4], distances=[1.0])
        self.assertIs(_answers.whole(right, 2), right)
        for asked, wrong in [
            (1, right),
            (4, right),
            (2, search_pb2.SearchBatchResponse(counts=[1, 1], ids=[4], distances=[1.0])),
            (2, search_pb2.SearchBatchResponse(counts=[1, 0], ids=[4])),
        ]:
            with self.assertRaisesRegex(spandrel.SpandrelError, f"to {asked} queries .INTERNAL"):
                _answers.whole(wrong, asked)
        with self.assertRaisesRegex(spandrel.SpandrelError, "1 answers to 2 ids"):
            _answers.fetched_of([search_pb2.FetchResponse(found=[False])], 2)

    def test_damaged_vectors_are_told_from_absent_ones(self):
        raw = search_pb2.Raw(data=bytes([1, 2]), dtype=search_pb2.DTYPE_U8)
        first = search_pb2.FetchResponse(found=[False, True], damaged=[0], vectors=search_pb2.Vectors(dim=2, raw=raw))
        second = search_pb2.FetchResponse(found=[False, False], damaged=[1])
        fetched = _answers.fetched_of([first, second], 4)
        self.assertEqual(fetched.found.tolist(), [False, True, False, False])
        self.assertEqual(fetched.damaged.tolist(), [True, False, False, True])
        self.assertEqual(fetched.vectors.tolist(), [[0, 0], [1, 2], [0, 0], [0, 0]])
        self.assertIn("1 of 4, damaged: 2", repr(fetched))

    def test_none_at_all_has_no_vectors(self):
        empty = search_pb2.SearchBatchResponse(counts=[0], vectors=search_pb2.Vectors(raw=search_pb2.Raw(dtype=search_pb2.DTYPE_U8)))
        self.assertEqual(_answers.answers_of([empty], 3, single=False).vectors.shape, (1, 3, 0))


class Errors(unittest.TestCase):
    def test_they_pass_between_processes(self):
        error = spandrel.InvalidArgument(grpc.StatusCode.INVALID_ARGUMENT, "k is 0", {"k": "is 0"}, 0.5)
        again = pickle.loads(pickle.dumps(error))
        self.assertIs(type(again), spandrel.InvalidArgument)
        self.assertEqual((str(again), vars(again)), ("k is 0 (INVALID_ARGUMENT)", vars(error)))


if __name__ == "__main__":
    unittest.main()
