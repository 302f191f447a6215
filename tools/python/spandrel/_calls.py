"""What both clients ask, and what they make of the answers. They differ in the calling alone."""
from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Generic, List, Optional, Sequence, Tuple, TypeVar, Union

import numpy.typing as npt

from . import _answers, _errors, _indexes, _queries, _target
from ._numbers import U32_MAX, U64_MAX, real, real_or_none, seconds, whole, whole_or_none
from ._options import (
    Attributes,
    ColumnQueries,
    Indexes,
    Options,
    RangeOptions,
    Retry,
    Tls,
    attributes_of,
    call_metadata,
    channel_options,
    distances_of,
    duplicates_of,
    filter_of,
    proxy_of,
)
from ._results import Answers, Fetched, IndexInfo, Operation
from .v1 import admin_pb2, admin_pb2_grpc, search_pb2, search_pb2_grpc

T = TypeVar("T")


@dataclass(frozen=True)
class Plan(Generic[T]):
    """Calls of one method, and what their responses come to.

    Requests are made when their turn comes. `again` tells whether a call that failed may be made once more.
    """

    method: Any
    requests: List[Callable[[], Any]]
    join: Callable[[List[Any]], T]
    again: bool = True


@dataclass(frozen=True)
class _Made:
    """What makes the messages of some of the queries: of their vectors, and with the name of a column, of those in it."""

    vectors: Callable[[slice], search_pb2.Vectors]
    column: Optional[Tuple[str, Callable[[slice], search_pb2.Vectors]]]

    def column_queries(self, of: slice) -> Optional[search_pb2.ColumnQueries]:
        """Those in the column; none where no column is asked."""
        if self.column is None:
            return None
        name, vectors = self.column
        return search_pb2.ColumnQueries(column=name, vectors=vectors(of))


class Calls:
    """The calls of one client. `transport` is grpc or grpc.aio."""

    def __init__(
        self,
        transport: Any,
        target: str,
        *,
        index: str,
        token: Optional[str],
        tls: Optional[Tls],
        timeout: float,
        retry: Retry,
        batch_size: int,
        calls_at_once: int,
        max_message_bytes: int,
    ) -> None:
        target, tls = _target.read(target, tls)
        seconds("timeout", timeout)
        for name, number in (("batch_size", batch_size), ("calls_at_once", calls_at_once)):
            whole(name, number, 1, U32_MAX)
        # What grpcio holds.
        whole("max_message_bytes", max_message_bytes, 1, (1 << 31) - 1)
        options = channel_options(target, tls, max_message_bytes)
        if tls is None:
            self.channel = transport.insecure_channel(target, options)
        else:
            self.channel = transport.secure_channel(target, tls.credentials(), options)
        self.stub = search_pb2_grpc.SearchServiceStub(self.channel)
        self._admin = admin_pb2_grpc.AdminServiceStub(self.channel)
        self.proxy, self.metadata, self.calls_at_once = proxy_of(target), call_metadata(token), calls_at_once
        self._index, self._timeout, self._retry, self._batch_size = index, timeout, retry, batch_size

    def search(
        self,
        queries: npt.ArrayLike,
        k: int,
        options: Options,
        index: Union[str, Indexes, None],
        column: Optional[ColumnQueries],
    ) -> Plan[Answers]:
        """Queries as rows of an array."""
        rows, single = _queries.queries_of(queries)
        if len(rows) == 0:
            raise ValueError("no queries")
        name, fine = _queries.column_of(column, len(rows))
        row_bytes = rows.shape[1] * rows.itemsize + (0 if fine is None else fine.shape[1] * fine.itemsize)
        k = _k(k)
        several = len(index.names) if isinstance(index, Indexes) else 1
        size = _queries.batch_size(row_bytes, k, options, self._batch_size, several)
        made = _Made(_of_rows(rows), None if fine is None else (name, _of_rows(fine)))
        return self._search(made, len(rows), single, size, k, options, index)

    def search_documents(
        self,
        documents: Union[npt.ArrayLike, Sequence[npt.ArrayLike]],
        k: int,
        options: Options,
        index: Optional[str],
        offsets: Optional[npt.ArrayLike],
    ) -> Plan[Answers]:
        """Query documents as rows of an array, several arrays, or rows with offsets."""
        rows, starts, single = _queries.documents_of(documents, offsets)
        longest = int((starts[1:] - starts[:-1]).max()) * rows.shape[1] * rows.itemsize
        # How long documents of answers are only the server knows.
        answered = max(longest, _queries.DIM_BYTES_MAX) if options.with_vectors else longest
        k = _k(k)
        size = _queries.batch_size(answered, k, options, self._batch_size)

        def of_documents(of: slice) -> search_pb2.Vectors:
            return _queries.of_documents(rows, starts[of.start : of.stop + 1])

        self._name(index)
        return self._search(_Made(of_documents, None), len(starts) - 1, single, size, k, options, index)

    def search_by_id(
        self, ids: Union[int, Sequence[int]], k: int, options: Options, index: Optional[str], column: Optional[str]
    ) -> Plan[Answers]:
        """Vectors of the index itself as queries."""
        (numbers, single), k = _ids(ids), _k(k)
        # How long a vector is only the server knows: the longest for which it is asked in one piece.
        size = _queries.batch_size(_queries.DIM_BYTES_MAX if options.with_vectors else 1, k, options, self._batch_size)

        def of_ids(of: slice) -> search_pb2.Vectors:
            return _queries.of_ids(numbers[of])

        self._name(index)
        made = _Made(of_ids, None if column is None else (column, of_ids))
        return self._search(made, len(numbers), single, size, k, options, index)

    def _search(
        self,
        made: _Made,
        count: int,
        single: bool,
        size: int,
        k: int,
        options: Options,
        index: Union[str, Indexes, None],
    ) -> Plan[Answers]:
        which, message = self._which(index), options.message()
        asked, names = message.HasField("with_attributes"), which.get("indexes", [])
        if single:

            def one() -> search_pb2.SearchRequest:
                query, column = made.vectors(slice(0, 1)), made.column_queries(slice(0, 1))
                return search_pb2.SearchRequest(query=query, k=k, options=message, column_queries=column, **which)

            return Plan(self.stub.Search, [one], lambda responses: _answers.one_of(responses[0], k, asked, names))
        parts = _queries.chunks(count, size)

        def part(of: slice) -> search_pb2.SearchBatchRequest:
            queries, column = made.vectors(of), made.column_queries(of)
            return search_pb2.SearchBatchRequest(queries=queries, k=k, options=message, column_queries=column, **which)

        def join(responses: List[Any]) -> Answers:
            for response, of in zip(responses, parts):
                _answers.whole(response, of.stop - of.start)
            return _answers.answers_of(responses, k, single=False, asked=asked, names=names)

        return Plan(self.stub.SearchBatch, [_later(part, of) for of in parts], join)

    def stream_request(
        self,
        number: int,
        query: npt.ArrayLike,
        k: int,
        options: Options,
        index: Optional[str],
        column: Optional[ColumnQueries],
    ) -> search_pb2.SearchStreamRequest:
        """One query of a stream."""
        rows, _ = _queries.queries_of(query)
        vectors = _queries.vectors_of(rows)
        request = search_pb2.SearchRequest(index=self._name(index), query=vectors, k=_k(k), options=options.message())
        name, fine = _queries.column_of(column, len(rows))
        if fine is not None:
            fine_vectors = _queries.vectors_of(fine)
            request.column_queries.CopyFrom(search_pb2.ColumnQueries(column=name, vectors=fine_vectors))
        return search_pb2.SearchStreamRequest(tag=number, request=request)

    def range_request(
        self, query: npt.ArrayLike, radius: float, options: RangeOptions, index: Union[str, Indexes, None]
    ) -> search_pb2.SearchRangeRequest:
        """One query for all within a radius."""
        rows, single = _queries.queries_of(query)
        if not single and len(rows) != 1:
            raise ValueError(f"{len(rows)} queries within a radius, expected one")
        return search_pb2.SearchRangeRequest(
            **self._which(index),
            query=_queries.vectors_of(rows),
            radius=real("radius", radius),
            completeness=real_or_none("completeness", options.completeness),
            max_results=whole_or_none("max_results", options.max_results, 0, U32_MAX),
            embedding_version=options.embedding_version,
            max_bytes=whole_or_none("max_bytes", options.max_bytes, 0, U64_MAX),
            distances=distances_of(options.distances),
            with_work=options.with_work,
            filter=filter_of(options.filter),
        )

    def check_stream(self, k: int, options: Options, timeout: Optional[float]) -> None:
        """Raises what is wrong with the numbers of a stream before it is opened."""
        _k(k)
        options.message()
        if timeout is not None:
            seconds("timeout", timeout)

    def timeout(self, timeout: Optional[float]) -> float:
        """The time that a call has, in seconds."""
        return self._timeout if timeout is None else seconds("timeout", timeout)

    def fetch(
        self, ids: Sequence[int], with_attributes: Attributes, index: Optional[str], column: str
    ) -> Plan[Fetched]:
        """Vectors and attributes by id."""
        numbers, _ = _ids(ids)
        name, selection = self._name(index), attributes_of(with_attributes)

        def part(of: slice) -> search_pb2.FetchRequest:
            return search_pb2.FetchRequest(index=name, ids=numbers[of], with_attributes=selection, column=column)

        parts = _queries.chunks(len(numbers), self._batch_size)
        requests = [_later(part, of) for of in parts]
        asked = selection is not None
        return Plan(self.stub.Fetch, requests, lambda responses: _answers.fetched_of(responses, len(numbers), asked))

    def indexes(self) -> Plan[List[IndexInfo]]:
        """The indexes of the server."""

        def join(responses: List[Any]) -> List[IndexInfo]:
            return [_indexes.info_of(summary) for summary in responses[0].indexes]

        return Plan(self._admin.ListIndexes, [admin_pb2.ListIndexesRequest], join)

    def describe(self, index: Optional[str]) -> Plan[IndexInfo]:
        """One index in full."""
        request = admin_pb2.DescribeIndexRequest(index=self._name(index))
        return Plan(self._admin.DescribeIndex, [lambda: request], lambda responses: _indexes.details_of(responses[0]))

    def load(
        self,
        index: str,
        path: str,
        version: Optional[int],
        codes: Optional[str],
        vectors: Optional[str],
        estimates: bool,
    ) -> Plan[Operation]:
        """Beginning to open a further index."""
        request = _indexes.load_of(index, path, _version(version), codes, vectors, estimates)
        return Plan(self._admin.StartLoad, [lambda: request], _operation, again=False)

    def unload(self, index: str) -> Plan[None]:
        """Serving an index no more."""
        request = admin_pb2.UnloadIndexRequest(index=index)
        return Plan(self._admin.UnloadIndex, [lambda: request], lambda _: None, again=False)

    def switch(self, index: str, path: str, version: Optional[int]) -> Plan[Operation]:
        """Beginning to put another version in the place of an index."""
        request = admin_pb2.StartSwitchRequest(index=index, path=path, version=_version(version))
        return Plan(self._admin.StartSwitch, [lambda: request], _operation, again=False)

    def verify(self, index: str, deep: bool) -> Plan[Operation]:
        """Beginning to read an index from end to end."""
        request = admin_pb2.StartVerifyRequest(index=index, deep=deep)
        return Plan(self._admin.StartVerify, [lambda: request], _operation, again=False)

    def operation(self, id: int) -> Plan[Operation]:
        """An operation as it is now."""
        request = admin_pb2.GetOperationRequest(id=whole("operation", id, 0, U64_MAX))
        return Plan(self._admin.GetOperation, [lambda: request], _operation)

    def operations(self) -> Plan[List[Operation]]:
        """The operations that the server remembers."""

        def join(responses: List[Any]) -> List[Operation]:
            return [_indexes.operation_of(operation) for operation in responses[0].operations]

        return Plan(self._admin.ListOperations, [admin_pb2.ListOperationsRequest], join)

    def cancel(self, id: int) -> Plan[Operation]:
        """Giving up an operation."""
        request = admin_pb2.CancelOperationRequest(id=whole("operation", id, 0, U64_MAX))
        return Plan(self._admin.CancelOperation, [lambda: request], _operation)

    def _which(self, index: Union[str, Indexes, None]) -> Dict[str, Any]:
        """The fields of a request that say which indexes are searched."""
        if not isinstance(index, Indexes):
            return {"index": self._name(index)}
        if isinstance(index.names, str) or len(index.names) == 0:
            raise ValueError(f"names of indexes are {index.names!r}, expected a list of one or more")
        return {"indexes": list(index.names), "duplicates": duplicates_of(index.duplicates)}

    def _name(self, index: Union[str, Indexes, None]) -> str:
        if isinstance(index, Indexes):
            raise TypeError("index is Indexes, and this call takes one index by its name")
        return self._index if index is None else index

    def deadline(self, timeout: Optional[float]) -> float:
        """When all calls of a plan have to be over."""
        return time.monotonic() + self.timeout(timeout)

    def attempts(self, plan: Plan[T], deadline: float) -> Attempts:
        """The attempts at one call of a plan."""
        return Attempts(self._retry if plan.again else Retry(1), deadline, self.proxy)


class Attempts:
    """Attempts at one call, until its deadline."""

    def __init__(self, retry: Retry, deadline: float, proxy: Optional[str]) -> None:
        self._retry, self._deadline, self._proxy, self._made = retry, deadline, proxy, 0

    def left(self) -> float:
        """Begins an attempt: the time it has, in seconds."""
        self._made += 1
        left = self._deadline - time.monotonic()
        if left <= 0.0:
            raise _errors.too_late()
        return left

    def pause(self, error: Any) -> float:
        """Seconds before the next attempt; raises the failure where another does not help or would be too late."""
        failure = _errors.of_rpc(error, self._proxy)
        pause = self._retry.pause(failure, self._made + 1)
        if pause is None or time.monotonic() + pause >= self._deadline:
            raise failure from None
        return pause


class Looks:
    """Looks at an operation until it has ended, or for `timeout` seconds if there is a limit."""

    def __init__(self, timeout: Optional[float]) -> None:
        self._deadline = None if timeout is None else time.monotonic() + seconds("timeout", timeout)
        self._pause = 0.01

    def pause(self) -> Optional[float]:
        """Seconds until the next look; None once the time is over."""
        self._pause = min(1.0, 1.5 * self._pause)
        if self._deadline is None:
            return self._pause
        left = self._deadline - time.monotonic()
        return min(left, self._pause) if left > 0.0 else None


def done(operation: Operation) -> Operation:
    """An operation that has ended, if it is done; else raises why not."""
    if operation.error is not None:
        raise operation.error
    if operation.state == "cancelled":
        raise _errors.cancelled(operation.id)
    return operation


def opened(operation: Operation) -> IndexInfo:
    """The index that an operation opened."""
    if operation.opened is None:
        raise _errors.broken(f"operation {operation.id} is done without the index that it opened")
    return operation.opened


def _ids(given: Union[int, Sequence[int]]) -> tuple[List[int], bool]:
    numbers, single = _queries.ids_of(given)
    if not numbers:
        raise ValueError("no ids")
    return numbers, single


def _k(given: int) -> int:
    return whole("k", given, 1, U32_MAX)


def _version(given: Optional[int]) -> int:
    """A version as it is sent; 0 where none is named."""
    return 0 if given is None else whole("version", given, 1, U64_MAX)


def _of_rows(rows: npt.NDArray[Any]) -> Callable[[slice], search_pb2.Vectors]:
    return lambda of: _queries.vectors_of(rows[of])


def _operation(responses: List[Any]) -> Operation:
    return _indexes.operation_of(responses[0])


def _later(make: Callable[[slice], T], of: slice) -> Callable[[], T]:
    return lambda: make(of)
