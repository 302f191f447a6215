"""Between arrays and messages."""
from __future__ import annotations

import datetime
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple, TypeVar, Union

import numpy as np
import numpy.typing as npt

from . import _errors
from ._options import ColumnQueries, Options
from ._results import Answers, Effort, Fetched, Filtered, IndexInfo, Missing, Operation, RangeEnd, RangePart, StreamAnswer
from .v1 import admin_pb2, explanation_pb2, search_pb2

T = TypeVar("T")
S = TypeVar("S")

# Half of what a server takes and gives in a message, unless it was set.
_BATCH_BYTES = 8 << 20
# Of an explanation at most.
_EXPLANATION_BYTES = 42 << 10
# Of a value of an attribute, and of the attributes of a vector where all are asked for; a guess, since only the server knows.
_VALUE_BYTES = 64
_ATTRIBUTES_BYTES = 640
# Of the longest vector that an index may hold.
DIM_BYTES_MAX = 4 << 14

_DTYPES: Dict[search_pb2.Dtype, Any] = {
    search_pb2.DTYPE_F32: np.dtype("<f4"),
    search_pb2.DTYPE_F16: np.dtype("<f2"),
    search_pb2.DTYPE_I8: np.dtype("i1"),
    search_pb2.DTYPE_U8: np.dtype("u1"),
}
_DTYPE_NAMES = {
    search_pb2.DTYPE_F32: "f32",
    search_pb2.DTYPE_F16: "f16",
    search_pb2.DTYPE_I8: "i8",
    search_pb2.DTYPE_U8: "u8",
}
_TIERS = {"memory": admin_pb2.TIER_MEMORY, "ssd": admin_pb2.TIER_SSD}
_METRICS = {
    search_pb2.METRIC_SQUARED_L2: "l2",
    search_pb2.METRIC_INNER_PRODUCT: "ip",
    search_pb2.METRIC_COSINE: "cosine",
}
_KINDS = {
    admin_pb2.OPERATION_KIND_LOAD: "load",
    admin_pb2.OPERATION_KIND_SWITCH: "switch",
    admin_pb2.OPERATION_KIND_VERIFY: "verify",
}
_STATES = {
    admin_pb2.OPERATION_STATE_RUNNING: "running",
    admin_pb2.OPERATION_STATE_DONE: "done",
    admin_pb2.OPERATION_STATE_FAILED: "failed",
    admin_pb2.OPERATION_STATE_CANCELLED: "cancelled",
}
_SOURCES = {
    admin_pb2.CALIBRATION_SOURCE_ROWS: "rows",
    admin_pb2.CALIBRATION_SOURCE_QUERIES: "queries",
}
_TYPES = {
    search_pb2.ATTRIBUTE_TYPE_KEYWORD: "keyword",
    search_pb2.ATTRIBUTE_TYPE_TAGS: "tags",
    search_pb2.ATTRIBUTE_TYPE_BOOL: "bool",
    search_pb2.ATTRIBUTE_TYPE_I64: "i64",
    search_pb2.ATTRIBUTE_TYPE_F64: "f64",
    search_pb2.ATTRIBUTE_TYPE_TIMESTAMP: "timestamp",
}
_PLANS = {
    explanation_pb2.FILTER_PLAN_EXACT: "exact",
    explanation_pb2.FILTER_PLAN_CODES: "codes",
    explanation_pb2.FILTER_PLAN_LISTS: "lists",
    explanation_pb2.FILTER_PLAN_POST: "post",
}
_LIMITS = {
    search_pb2.LIMIT_MAX_LISTS: "max_lists",
    search_pb2.LIMIT_MAX_BYTES: "max_bytes",
    search_pb2.LIMIT_MAX_RESULTS: "max_results",
    search_pb2.LIMIT_MIN_HEAD_SCORE: "min_head_score",
}


def queries_of(given: npt.ArrayLike) -> Tuple[npt.NDArray[Any], bool]:
    """Queries as rows, and whether there was only one, without a row of its own.

    float64, lists and integers that are no bytes become float32, which the server converts where that is exact; integers
    have to be so themselves.
    """
    array = np.asarray(given)
    if array.ndim not in (1, 2) or array.shape[-1] == 0:
        raise ValueError(f"queries have shape {array.shape}, expected (n, dim) or (dim,)")
    if array.dtype.kind not in "fiu":
        raise TypeError(f"queries are of {array.dtype}, expected numbers")
    if array.dtype not in (np.float32, np.float16, np.int8, np.uint8):
        with np.errstate(all="ignore"):
            narrow = array.astype(np.float32)
            if array.dtype.kind in "iu" and (narrow.astype(np.float64) != array).any():
                raise ValueError(f"queries of {array.dtype} hold numbers that float32 does not hold exactly")
        array = narrow
    return np.atleast_2d(array), array.ndim == 1


def documents_of(given: Any, offsets: Optional[npt.ArrayLike]) -> Tuple[npt.NDArray[Any], npt.NDArray[np.int64], bool]:
    """The vectors of query documents as rows, the first row of each and the number of rows, and whether there was only one, without a
    row of its own."""
    if offsets is not None:
        rows, single = queries_of(given)
        if single:
            raise ValueError("one vector with offsets, expected (rows, dim)")
        return rows, _offsets_of(offsets, len(rows)), False
    if isinstance(given, (list, tuple)) and len(given) > 0 and all(np.ndim(document) == 2 for document in given):
        parts = [queries_of(document)[0] for document in given]
        dims, types = {part.shape[1] for part in parts}, {part.dtype for part in parts}
        if len(dims) > 1 or len(types) > 1:
            raise ValueError("documents of several dimensions or types, expected arrays (tokens, dim) of one")
        starts = np.cumsum([0, *(len(part) for part in parts)])
        return np.concatenate(parts), _offsets_of(starts, int(starts[-1])), False
    array = np.asarray(given)
    if array.ndim == 3 and array.size > 0:
        count, tokens, dim = array.shape
        return queries_of(array.reshape(count * tokens, dim))[0], np.arange(count + 1) * tokens, False
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"documents have shape {array.shape}, expected (tokens, dim), (n, tokens, dim), a list of (tokens, dim), or (rows, dim) with offsets"
        )
    return queries_of(array)[0], np.array([0, len(array)]), True


def _offsets_of(given: npt.ArrayLike, rows: int) -> npt.NDArray[np.int64]:
    """The first row of each document, and the number of rows."""
    array = np.asarray(given)
    if array.ndim != 1 or len(array) < 2 or array.dtype.kind not in "iu":
        raise ValueError(f"offsets have shape {array.shape} and type {array.dtype}, expected (n + 1,) whole numbers")
    offsets = array.astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != rows or (np.diff(offsets) < 1).any():
        raise ValueError(f"offsets from {offsets[0]} to {offsets[-1]}, expected to ascend from 0 to {rows}, a document has a row at least")
    return offsets


def of_documents(rows: npt.NDArray[Any], offsets: npt.NDArray[np.int64]) -> search_pb2.Vectors:
    """The message that carries documents; `offsets` count from anywhere."""
    vectors = vectors_of(rows[offsets[0] : offsets[-1]])
    documents = search_pb2.Documents(offsets=(offsets - offsets[0]).tolist())
    if vectors.WhichOneof("form") == "floats":
        documents.floats.CopyFrom(vectors.floats)
    else:
        documents.raw.CopyFrom(vectors.raw)
    return search_pb2.Vectors(dim=vectors.dim, documents=documents)


def one_column(given: Optional[Mapping[str, S]]) -> Optional[Tuple[str, S]]:
    """The only column that is given, if one is."""
    if given is None:
        return None
    if len(given) != 1:
        raise ValueError(f"{len(given)} columns, expected one: an index has one besides the vectors that are searched")
    ((name, vectors),) = given.items()
    return name, vectors


def too_few(name: str, found: int) -> ValueError:
    """A stream of a column that ends before its queries."""
    return ValueError(f"{found} vectors of column {name} for more queries, expected one for each")


def column_of(given: Optional[ColumnQueries], count: int) -> Tuple[str, Optional[npt.NDArray[Any]]]:
    """The name of a column and what `count` queries have in it; no array where nothing is given."""
    column = one_column(given)
    if column is None:
        return "", None
    name, vectors = column
    rows, _ = queries_of(vectors)
    if len(rows) != count:
        raise ValueError(f"{len(rows)} vectors of column {name} for {count} queries")
    return name, rows


def vectors_of(rows: npt.NDArray[Any]) -> search_pb2.Vectors:
    """The message that carries rows, with their dimension, which the server compares with its index's."""
    if rows.dtype == np.float32:
        # Packed floats, which an index of any element type takes. As they lie on the wire: one by one takes 300 times as long.
        data = np.ascontiguousarray(rows, "<f4").tobytes()
        floats = b"\x0a" + _varint(len(data))
        head = b"\x08" + _varint(rows.shape[1]) + b"\x12" + _varint(len(floats) + len(data))
        return search_pb2.Vectors.FromString(b"".join((head, floats, data)))
    dtype = next(code for code, kind in _DTYPES.items() if kind == rows.dtype.newbyteorder("<"))
    raw = search_pb2.Raw(data=np.ascontiguousarray(rows, _DTYPES[dtype]).tobytes(), dtype=dtype)
    return search_pb2.Vectors(dim=rows.shape[1], raw=raw)


def ids_of(given: Union[int, Sequence[int]]) -> Tuple[List[int], bool]:
    """Ids, and whether there was only one, without a list of its own."""
    array = np.asarray(given)
    if array.ndim > 1:
        raise ValueError(f"ids have shape {array.shape}, expected (n,) or one number")
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"ids are of {array.dtype}, expected whole numbers")
    return [int(id) for id in np.atleast_1d(array)], array.ndim == 0


def of_ids(ids: Sequence[int]) -> search_pb2.Vectors:
    """The message that stands for vectors of the index itself."""
    return search_pb2.Vectors(ids=search_pb2.Ids(values=ids))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def rows_of(vectors: search_pb2.Vectors, rows: int) -> npt.NDArray[Any]:
    """The rows that a message carries."""
    if rows == 0:
        return np.zeros((0, 0), np.float32)
    flat = np.frombuffer(vectors.raw.data, _DTYPES[vectors.raw.dtype])
    return flat.reshape(rows, -1)


def _are_documents(vectors: search_pb2.Vectors) -> bool:
    return bool(vectors.WhichOneof("form") == "documents")


def _documents_in(vectors: search_pb2.Vectors, count: int) -> List[npt.NDArray[Any]]:
    """The vectors of each of `count` documents that a message carries."""
    offsets, raw = np.asarray(vectors.documents.offsets, np.int64), vectors.documents.raw
    rows = np.frombuffer(raw.data, _DTYPES[raw.dtype]).reshape(-1, max(vectors.dim, 1))
    if len(offsets) != count + 1 or offsets[0] != 0 or offsets[-1] != len(rows) or (np.diff(offsets) < 0).any():
        raise _errors.broken(f"{len(rows)} vectors and {len(offsets)} offsets of {count} documents")
    return [rows[start:end] for start, end in zip(offsets, offsets[1:])]


def _documents_of_queries(responses: Sequence[search_pb2.SearchBatchResponse]) -> List[List[npt.NDArray[Any]]]:
    """The vectors of the documents of each query."""
    rows: List[List[npt.NDArray[Any]]] = []
    for response in responses:
        all, first = _documents_in(response.vectors, len(response.ids)), 0
        for count in response.counts:
            rows.append(all[first : first + count])
            first += count
    return rows


def _padded(flat: npt.NDArray[Any], present: npt.NDArray[np.bool_], fill: Any) -> npt.NDArray[Any]:
    out = np.full(present.shape + flat.shape[1:], fill, flat.dtype)
    out[present] = flat
    return out


def whole(response: search_pb2.SearchBatchResponse, asked: int) -> search_pb2.SearchBatchResponse:
    """The response to a batch of `asked` queries, which has a row for each."""
    rows, ids, distances = len(response.counts), len(response.ids), len(response.distances)
    if rows != asked or not sum(response.counts) == ids == distances:
        raise _errors.broken(f"{rows} answers with {ids} ids and {distances} distances to {asked} queries")
    return response


def answers_of(
    responses: Sequence[search_pb2.SearchBatchResponse], k: int, single: bool, asked: bool = False, names: Sequence[str] = ()
) -> Answers:
    """Responses to batches, in order, as one; `asked` where attributes were asked for, `names` of indexes that were asked as one."""
    for response in responses:
        if names and len(response.versions) != len(names):
            raise _errors.broken(
                f"an answer of {len(response.versions)} of {len(names)} indexes: the server does not search several as one; update it"
            )
    counts = np.concatenate([np.asarray(r.counts, np.int64) for r in responses])
    flat_ids = np.concatenate([np.asarray(r.ids, np.uint64) for r in responses])
    present = np.arange(k)[None, :] < counts[:, None]
    ids = _signed(_padded(flat_ids.view(np.int64), present, -1), flat_ids)
    flat_distances = np.concatenate([np.asarray(r.distances, np.float32) for r in responses])
    flags = [_flags(r) for r in responses]
    vectors, documents = None, None
    if any(_are_documents(r.vectors) for r in responses):
        documents = _documents_of_queries(responses)
    elif any(r.HasField("vectors") for r in responses):
        parts = [rows_of(r.vectors, len(r.ids)) for r in responses if r.ids]
        vectors = _padded(np.concatenate(parts or [np.zeros((0, 0), np.float32)]), present, 0)
    work: List[Any] = [message for r in responses for message in r.work]
    explanations: List[Any] = [message for r in responses for message in r.explanations]
    filtered = [of for r in responses for of in _for_each(r, r.filtered, _filtered_of)]
    promises = [_promise_of(promise) for r in responses for promise in _for_each(r, r.promises, lambda promise: promise)]

    is_united = any(r.versions for r in responses)
    unlike = [left_out for r in responses for left_out in (r.unlike or [0] * len(r.counts))]

    def shaped(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array[0] if single else array

    return Answers(
        ids=shaped(ids),
        distances=shaped(_padded(flat_distances, present, np.nan)),
        counts=counts,
        estimated=shaped(_padded(np.concatenate(flags), present, False)),
        missing=[missing for r in responses for missing in _for_each(r, r.missing, _missing_of)],
        effort=[effort for r in responses for effort in _for_each(r, r.effort, _effort_of)],
        limited_by=[limit for r in responses for limit in _for_each(r, r.limited_by, _LIMITS.get)],
        index_versions=sorted({r.index_version for r in responses}),
        index_uuids=sorted({r.index_uuid for r in responses}),
        expected_recall=np.array([expected for expected, _ in promises], np.float64),
        reached=np.array([reached for _, reached in promises], np.bool_),
        vectors=None if vectors is None else shaped(vectors),
        documents=documents,
        work=work or None,
        explanations=explanations or None,
        filtered=filtered,
        attributes=_of_queries(responses) if asked else None,
        indexes=shaped(_indexes_of(responses, present)) if is_united else None,
        unlike=np.array(unlike, np.int64) if is_united else None,
        versions=_versions_of(responses) if is_united else None,
    )


def _versions_of(responses: Sequence[search_pb2.SearchBatchResponse]) -> Dict[str, List[int]]:
    """The versions of each index that answered."""
    versions: Dict[str, Set[int]] = {}
    for response in responses:
        for of in response.versions:
            versions.setdefault(of.name, set()).add(of.version)
    return {name: sorted(numbers) for name, numbers in versions.items()}


def _indexes_of(responses: Sequence[search_pb2.SearchBatchResponse], present: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The place of each neighbour's index."""
    for response in responses:
        if len(response.indexes) != len(response.ids):
            raise _errors.broken(f"{len(response.indexes)} indexes of {len(response.ids)} neighbours")
    return _padded(np.concatenate([np.asarray(r.indexes, np.int64) for r in responses]), present, -1)


def _of_queries(responses: Sequence[search_pb2.SearchBatchResponse]) -> List[List[Dict[str, Any]]]:
    """What the neighbours of each query have."""
    rows: List[List[Dict[str, Any]]] = []
    for response in responses:
        all, first = _attributes_of(response.attributes, len(response.ids)), 0
        for count in response.counts:
            rows.append(all[first : first + count])
            first += count
    return rows


def _attributes_of(attributes: Sequence[search_pb2.AttributeValues], count: int) -> List[Dict[str, Any]]:
    """What each of `count` vectors has."""
    for attribute in attributes:
        if len(attribute.values) != count:
            raise _errors.broken(f"{len(attribute.values)} values of {attribute.name} of {count} vectors")
    return [{attribute.name: _value_of(attribute.values[at]) for attribute in attributes} for at in range(count)]


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def _value_of(message: search_pb2.AttributeValue) -> Any:
    kind = message.WhichOneof("kind")
    if kind is None:
        return None
    value = getattr(message, kind)
    if kind == "tags":
        return list(value.tags)
    if kind == "timestamp":
        try:
            return _EPOCH + datetime.timedelta(microseconds=value)
        except OverflowError:
            return value
    return value


def _signed(ids: npt.NDArray[np.int64], given: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
    """Ids as whole numbers with a sign, unless one of those given is too large for that."""
    return ids.view(np.uint64) if (given > np.iinfo(np.int64).max).any() else ids


def _flags(message: Any) -> npt.NDArray[np.bool_]:
    """Which distances are estimates."""
    return np.asarray(message.estimated, np.bool_) if message.estimated else np.zeros(len(message.ids), np.bool_)


def range_part(message: search_pb2.SearchRangeResponse) -> RangePart:
    """One message of an answer within a radius."""
    if len(message.ids) != len(message.distances):
        raise _errors.broken(f"{len(message.ids)} ids with {len(message.distances)} distances within a radius")
    ids, end = np.asarray(message.ids, np.uint64), None
    if message.HasField("end"):
        said = message.end
        end = RangeEnd(
            results=said.results,
            missing=_missing_of(said.missing),
            limited_by=_LIMITS.get(said.limited_by),
            completeness=said.completeness,
            index_version=said.index_version,
            index_uuid=said.index_uuid,
            work=said.work if said.HasField("work") else None,
            filtered=_filtered_of(said.filtered) if said.HasField("filtered") else None,
        )
    distances = np.asarray(message.distances, np.float32)
    return RangePart(_signed(ids.view(np.int64), ids), distances, _flags(message), end)


def has_ended(last: Optional[RangePart]) -> None:
    """Raises where an answer within a radius stopped before its end."""
    if last is None or last.end is None:
        raise _errors.broken("the answer within a radius stopped before its end")


def _for_each(
    response: search_pb2.SearchBatchResponse, items: Sequence[Any], convert: Callable[[Any], Optional[T]]
) -> List[Optional[T]]:
    """What a response says of each query; where it says nothing, None."""
    return [convert(item) for item in items] if items else [None] * len(response.counts)


def _missing_of(message: search_pb2.Missing) -> Optional[Missing]:
    return Missing(message.lists, message.pages) if message.lists or message.pages else None


def _promise_of(message: Optional[search_pb2.Promise]) -> Tuple[float, bool]:
    if message is None or not message.HasField("expected_recall"):
        return float("nan"), False
    return message.expected_recall, message.reached


def _filtered_of(message: search_pb2.Filtered) -> Filtered:
    return Filtered(message.matches, _PLANS.get(message.plan), message.widened)


def _effort_of(message: search_pb2.Effort) -> Optional[Effort]:
    return Effort(message.asked_lists, message.searched_lists) if message.asked_lists else None


def one_of(response: search_pb2.SearchResponse, k: int, asked: bool, names: Sequence[str] = ()) -> Answers:
    """The response to a single query; `asked` and `names` as of `answers_of`."""
    batch = search_pb2.SearchBatchResponse(
        counts=[len(response.ids)],
        ids=response.ids,
        distances=response.distances,
        estimated=response.estimated,
        missing=[response.missing],
        effort=[response.effort],
        limited_by=[response.limited_by],
        index_version=response.index_version,
        index_uuid=response.index_uuid,
        vectors=response.vectors if response.HasField("vectors") else None,
        work=[response.work] if response.HasField("work") else [],
        explanations=[response.explanation] if response.HasField("explanation") else [],
        promises=[response.promise] if response.HasField("promise") else [],
        filtered=[response.filtered] if response.HasField("filtered") else [],
        attributes=response.attributes,
        indexes=response.indexes,
        versions=response.versions,
        unlike=[response.unlike],
    )
    return answers_of([batch], k, single=True, asked=asked, names=names)


def stream_answer(item: search_pb2.SearchStreamResponse, k: int, asked: bool) -> StreamAnswer:
    """One item of a stream; `asked` where attributes were asked for."""
    if item.HasField("answer"):
        return StreamAnswer(item.tag, one_of(item.answer, k, asked), None)
    return StreamAnswer(item.tag, None, _errors.of_item(item.status))


def fetched_of(responses: Sequence[search_pb2.FetchResponse], asked: int, with_attributes: bool = False) -> Fetched:
    """Responses to fetches of `asked` ids, in order, as one."""
    found = np.concatenate([np.asarray(r.found, np.bool_) for r in responses])
    if len(found) != asked:
        raise _errors.broken(f"{len(found)} answers to {asked} ids")
    documents: Optional[List[Optional[npt.NDArray[Any]]]] = None
    parts = []
    if any(_are_documents(r.vectors) for r in responses):
        those = iter([of for r in responses for of in _documents_in(r.vectors, sum(r.found))])
        documents = [next(those) if is_found else None for is_found in found]
    else:
        parts = [rows_of(r.vectors, sum(r.found)) for r in responses if any(r.found)]
    rows = np.concatenate(parts or [np.zeros((0, 0), np.float32)])
    damaged, start = np.zeros(asked, np.bool_), 0
    for response in responses:
        damaged[[start + at for at in response.damaged]] = True
        start += len(response.found)
    attributes: Optional[List[Optional[Dict[str, Any]]]] = None
    if with_attributes:
        there = iter([row for r in responses for row in _attributes_of(r.attributes, sum(r.found))])
        attributes = [next(there) if is_found else None for is_found in found]
    versions, uuids = sorted({r.index_version for r in responses}), sorted({r.index_uuid for r in responses})
    vectors = np.zeros((asked, 0), np.float32) if documents is not None else _padded(rows, found, 0)
    return Fetched(found, vectors, damaged, versions, uuids, attributes, documents)


def info_of(summary: admin_pb2.IndexSummary, details: Optional[Dict[str, Any]] = None) -> IndexInfo:
    """An index's summary."""
    return IndexInfo(
        name=summary.name,
        version=summary.version,
        uuid=summary.uuid,
        vectors=summary.vectors,
        dim=summary.dim,
        dtype=_DTYPE_NAMES.get(summary.dtype, "unknown"),
        metric=_METRICS.get(summary.metric, "unknown"),
        quarantined=summary.quarantined,
        details=details or {},
    )


def load_of(
    index: str, path: str, version: Optional[int], codes: Optional[str], vectors: Optional[str], estimates: bool
) -> admin_pb2.StartLoadRequest:
    """The request to open an index."""
    for name, tier in (("codes", codes), ("vectors", vectors)):
        if tier is not None and tier not in _TIERS:
            raise ValueError(f"{name} is {tier!r}, expected 'memory' or 'ssd'")
    return admin_pb2.StartLoadRequest(
        index=index,
        path=path,
        version=version or 0,
        codes=None if codes is None else _TIERS[codes],
        vectors=None if vectors is None else _TIERS[vectors],
        estimates=estimates,
    )


def operation_of(message: admin_pb2.Operation) -> Operation:
    """An operation as it is now."""
    return Operation(
        id=message.id,
        kind=_KINDS.get(message.kind, "unknown"),
        index=message.index,
        state=_STATES.get(message.state, "unknown"),
        seconds=message.seconds,
        done_bytes=message.done_bytes,
        total_bytes=message.total_bytes,
        opened=info_of(message.opened.summary) if message.HasField("opened") else None,
        problem=message.verified.problem or None if message.HasField("verified") else None,
        error=_errors.of_item(message.error) if message.HasField("error") else None,
    )


def _calibration_of(message: admin_pb2.Calibration) -> Dict[str, Any]:
    return {
        "source": _SOURCES.get(message.source, "unknown"),
        "confidence": message.confidence if message.HasField("confidence") else None,
        "curves": [
            {
                "k": curve.k,
                "queries": curve.queries,
                "points": [
                    {"lists": point.lists, "rerank_errors": point.rerank_errors, "recall": point.recall}
                    for point in curve.points
                ],
            }
            for curve in message.curves
        ],
    }


def _column_of(message: admin_pb2.ColumnSummary) -> Dict[str, Any]:
    return {
        "name": message.name,
        "dim": message.dim,
        "dtype": _DTYPE_NAMES.get(message.dtype, "unknown"),
        "metric": _METRICS.get(message.metric, "unknown"),
        "keeps_coarse": message.keeps_coarse,
    }


def _documents_of(message: admin_pb2.DocumentsSummary) -> Dict[str, Any]:
    return {
        "count": message.count,
        "vectors_min": message.vectors_min,
        "vectors_max": message.vectors_max,
        "vectors_mean": message.vectors_mean,
    }


def details_of(response: admin_pb2.DescribeIndexResponse) -> IndexInfo:
    """An index's full description."""
    tier = {code: name for name, code in _TIERS.items()}
    details = {
        "path": response.path,
        "lists": response.lists,
        "code": response.code,
        "codes": tier.get(response.codes, "unknown"),
        "vectors": tier.get(response.vectors, "unknown"),
        "estimates": response.estimates,
        "memory_bytes": dict(response.memory_bytes),
        "disk_bytes": response.disk_bytes,
        "default_max_lists": response.default_max_lists,
        "default_epsilon": response.default_epsilon,
        "default_rerank_errors": response.default_rerank_errors,
        "quarantined": list(response.quarantined),
        "open_seconds": response.open_seconds,
        "served_seconds": response.served_seconds,
        "calibration": _calibration_of(response.calibration) if response.HasField("calibration") else None,
        "column": _column_of(response.column) if response.HasField("column") else None,
        "documents": _documents_of(response.documents) if response.HasField("documents") else None,
        "attributes": [
            {
                "name": attribute.name,
                "type": _TYPES.get(attribute.type, "unknown"),
                "values": attribute.values,
                "nulls": attribute.nulls,
                "most_frequent": {counted.value: counted.vectors for counted in attribute.most_frequent},
            }
            for attribute in response.attributes
        ],
        "measured_recall": [
            {
                "k": measured.k,
                "target": measured.target,
                "recall": measured.recall,
                "low": measured.low,
                "high": measured.high,
                "queries": measured.queries,
            }
            for measured in response.measured_recall
        ],
    }
    return info_of(response.summary, details)


def batch_size(query_bytes: int, k: int, options: Options, most: int) -> int:
    """Queries of one call: at most `most`, and of no more bytes of queries or answers than `_BATCH_BYTES`."""
    # An id takes up to ten bytes on the wire, a distance four, the flag one. Elements of the index are no wider than those
    # of a query that it takes.
    given = options.with_attributes
    attributes = (_ATTRIBUTES_BYTES if given is True else _VALUE_BYTES * len(given)) if given else 0
    vectors = query_bytes if options.with_vectors else 0
    answer = k * (15 + vectors + attributes) + (_EXPLANATION_BYTES if options.explain else 0)
    return max(1, min(most, _BATCH_BYTES // max(query_bytes, answer, 1)))


def chunks(count: int, size: int) -> List[slice]:
    """Parts of at most `size`."""
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]
