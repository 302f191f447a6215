"""Messages with answers as arrays."""
from __future__ import annotations

import datetime
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple, TypeVar

import numpy as np
import numpy.typing as npt

from . import _errors
from ._queries import DTYPES
from ._results import Answers, Effort, Fetched, Filtered, Missing, RangeEnd, RangePart, StreamAnswer
from .v1 import explanation_pb2, search_pb2

T = TypeVar("T")

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


def rows_of(vectors: search_pb2.Vectors, rows: int) -> npt.NDArray[Any]:
    """The rows that a message carries."""
    if rows == 0:
        return np.zeros((0, 0), np.float32)
    flat = np.frombuffer(vectors.raw.data, DTYPES[vectors.raw.dtype])
    return flat.reshape(rows, -1)


def _are_documents(vectors: search_pb2.Vectors) -> bool:
    return bool(vectors.WhichOneof("form") == "documents")


def _documents_in(vectors: search_pb2.Vectors, count: int) -> List[npt.NDArray[Any]]:
    """The vectors of each of `count` documents that a message carries."""
    offsets, raw = np.asarray(vectors.documents.offsets, np.int64), vectors.documents.raw
    rows = np.frombuffer(raw.data, DTYPES[raw.dtype]).reshape(-1, max(vectors.dim, 1))
    if len(offsets) != count + 1 or offsets[0] != 0 or offsets[-1] != len(rows) or (np.diff(offsets) < 0).any():
        raise _errors.broken(f"{len(rows)} vectors and {len(offsets)} offsets of {count} documents")
    return [rows[start:end] for start, end in zip(offsets, offsets[1:])]


def _by_query(
    responses: Sequence[search_pb2.SearchBatchResponse], of: Callable[[search_pb2.SearchBatchResponse], List[T]]
) -> List[List[T]]:
    """What `of` tells of all neighbours of a response, query by query."""
    rows: List[List[T]] = []
    for response in responses:
        all, first = of(response), 0
        for count in response.counts:
            rows.append(all[first : first + count])
            first += count
    return rows


def _documents_of_queries(responses: Sequence[search_pb2.SearchBatchResponse]) -> List[List[npt.NDArray[Any]]]:
    """The vectors of the documents of each query."""
    return _by_query(responses, lambda response: _documents_in(response.vectors, len(response.ids)))


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
    each = [_explained_of(r, row, len(names)) for r in responses if r.explained for row in range(len(r.counts))]
    masses = [mass for r in responses for mass in r.attention_masses]
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
        explained=each or None,
        attention_mass=np.array(masses, np.float64) if masses else None,
    )


def _explained_of(response: search_pb2.SearchBatchResponse, row: int, count: int) -> List[Any]:
    """How each of `count` indexes answered a query of a response."""
    if len(response.explained) != count * len(response.counts):
        raise _errors.broken(f"{len(response.explained)} explanations of {count} indexes and {len(response.counts)} queries")
    return list(response.explained[row * count : (row + 1) * count])


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
    return _by_query(responses, lambda response: _attributes_of(response.attributes, len(response.ids)))


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


def range_part(message: search_pb2.SearchRangeResponse, asked: int = 0) -> RangePart:
    """One message of an answer within a radius; `asked` indexes were asked as one."""
    told = len(message.end.versions) if message.HasField("end") else asked
    if asked and (told != asked or len(message.indexes) != len(message.ids)):
        raise _errors.broken(f"an answer that does not say which of {asked} indexes it is of: the server does not search several as one; update it")
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
            versions={version.name: version.version for version in said.versions} if asked else None,
            unlike=said.unlike,
        )
    distances = np.asarray(message.distances, np.float32)
    indexes = np.asarray(message.indexes, np.int64) if asked else None
    return RangePart(_signed(ids.view(np.int64), ids), distances, _flags(message), end, indexes)


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
        explained=response.explained,
        attention_masses=[response.attention_mass] if response.HasField("attention_mass") else [],
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
