"""The client that blocks."""
from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterable, Iterator, List, Optional, Sequence, TypeVar

import grpc
import numpy.typing as npt

from . import _errors, _messages
from ._options import LONG, Options, Retry, Tls, call_metadata, channel_options, proxy_of
from ._results import Answers, Fetched, IndexInfo, StreamAnswer
from .v1 import admin_pb2, admin_pb2_grpc, search_pb2, search_pb2_grpc

T = TypeVar("T")


class Client:
    """A client of one server, for any number of threads.

    `target` is HOST:PORT; `index` is used where a call names none; `timeout` is the time for a call in seconds, all attempts
    together, and at least an hour for `load`, `switch` and `verify`. Batches larger than `batch_size` queries, or too large for a message, are sent as several calls, `calls_at_once`
    at a time.
    """

    def __init__(
        self,
        target: str,
        *,
        index: str = "",
        token: Optional[str] = None,
        tls: Optional[Tls] = None,
        timeout: float = 30.0,
        retry: Retry = Retry(),
        batch_size: int = 256,
        calls_at_once: int = 4,
        max_message_bytes: int = 64 << 20,
    ) -> None:
        options = channel_options(target, tls, max_message_bytes)
        self._proxy = proxy_of(target)
        if tls is None:
            self._channel = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, tls.credentials(), options)
        self._search = search_pb2_grpc.SearchServiceStub(self._channel)
        self._admin = admin_pb2_grpc.AdminServiceStub(self._channel)
        self._metadata = call_metadata(token)
        self._index, self._timeout, self._retry = index, timeout, retry
        self._batch_size, self._calls_at_once = batch_size, calls_at_once

    def close(self) -> None:
        """Closes the connection. Calls under way fail."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def search(
        self,
        queries: npt.ArrayLike,
        k: int = 10,
        options: Options = Options(),
        *,
        index: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Answers:
        """The k nearest vectors of queries of shape (n, dim), or (dim,) for one.

        float32 is sent as numbers, which an index of any element type takes where they fit; float16, int8 and uint8 as they
        are, which an index takes whose type holds all their values.
        """
        rows, single = _messages.queries_of(queries)
        deadline = self._deadline(timeout)
        if len(rows) == 0:
            raise ValueError("no queries")

        def part(of: slice) -> search_pb2.SearchBatchResponse:
            request = search_pb2.SearchBatchRequest(
                index=self._name(index), queries=_messages.vectors_of(rows[of]), k=k, options=options.message()
            )
            response: search_pb2.SearchBatchResponse = self._call(self._search.SearchBatch, request, deadline)
            return _messages.whole(response, len(rows[of]))

        if single:
            request = search_pb2.SearchRequest(
                index=self._name(index), query=_messages.vectors_of(rows), k=k, options=options.message()
            )
            return _messages.one_of(self._call(self._search.Search, request, deadline), k)
        return _messages.answers_of(self._map(part, _messages.batches(rows, k, options, self._batch_size)), k, single)

    def search_stream(
        self,
        queries: Iterable[npt.ArrayLike],
        k: int = 10,
        options: Options = Options(),
        *,
        index: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Iterator[StreamAnswer]:
        """Answers to queries of shape (dim,) as they finish, in any order; one that is refused carries its error.

        Queries are taken from `queries` as the server takes them in. Without `timeout` the stream may go on for ever. It is not
        tried again when it breaks, and neither is a query that is refused.
        """

        def requests() -> Iterator[search_pb2.SearchStreamRequest]:
            for tag, query in enumerate(queries):
                rows, _ = _messages.queries_of(query)
                vectors = _messages.vectors_of(rows)
                request = search_pb2.SearchRequest(
                    index=self._name(index), query=vectors, k=k, options=options.message()
                )
                yield search_pb2.SearchStreamRequest(tag=tag, request=request)

        failures: List[Exception] = []
        call = self._search.SearchStream(_guarded(requests(), failures), timeout=timeout, metadata=self._metadata)
        try:
            for item in call:
                yield _stream_answer(item, k)
        except grpc.RpcError as error:
            if failures:
                raise failures[0] from None
            raise _errors.of_rpc(error, self._proxy) from None
        finally:
            call.cancel()

    def fetch(self, ids: Sequence[int], *, index: Optional[str] = None, timeout: Optional[float] = None) -> Fetched:
        """Vectors by id, in the order of `ids`, with zeros for those that the index does not have."""
        if len(ids) == 0:
            raise ValueError("no ids")
        deadline = self._deadline(timeout)

        def part(of: slice) -> search_pb2.FetchResponse:
            request = search_pb2.FetchRequest(index=self._name(index), ids=[int(id) for id in ids[of]])
            response: search_pb2.FetchResponse = self._call(self._search.Fetch, request, deadline)
            return response

        return _messages.fetched_of(self._map(part, _messages.chunks(len(ids), self._batch_size)), len(ids))

    def indexes(self, *, timeout: Optional[float] = None) -> List[IndexInfo]:
        """The indexes of the server, by name."""
        listed = self._call(self._admin.ListIndexes, admin_pb2.ListIndexesRequest(), self._deadline(timeout))
        return [_messages.info_of(summary) for summary in listed.indexes]

    def describe(self, index: Optional[str] = None, *, timeout: Optional[float] = None) -> IndexInfo:
        """One index in full; what is more than its summary is in `details`."""
        request = admin_pb2.DescribeIndexRequest(index=self._name(index))
        return _messages.details_of(self._call(self._admin.DescribeIndex, request, self._deadline(timeout)))

    def load(
        self,
        index: str,
        path: str,
        *,
        codes: Optional[str] = None,
        vectors: Optional[str] = None,
        estimates: bool = False,
        timeout: Optional[float] = None,
    ) -> IndexInfo:
        """Opens a further index from a folder of the server.

        `codes` and `vectors` say where those are, 'memory' or 'ssd': without them as the index was built for, and on SSD.
        With `estimates` its ids are kept in memory, so that answers may carry estimates.
        """
        request = _messages.load_of(index, path, codes, vectors, estimates)
        return _messages.info_of(self._call(self._admin.LoadIndex, request, self._deadline(timeout, LONG), Retry(1)).summary)

    def unload(self, index: str, *, timeout: Optional[float] = None) -> None:
        """Stops serving an index."""
        request = admin_pb2.UnloadIndexRequest(index=index)
        self._call(self._admin.UnloadIndex, request, self._deadline(timeout), Retry(1))

    def switch(self, index: str, path: str = "", *, timeout: Optional[float] = None) -> IndexInfo:
        """Puts the newest version in `path`, or in the folder it has, in the place of an index."""
        request = admin_pb2.SwitchIndexRequest(index=index, path=path)
        return _messages.info_of(self._call(self._admin.SwitchIndex, request, self._deadline(timeout, LONG), Retry(1)).summary)

    def verify(self, index: str, *, deep: bool = False, timeout: Optional[float] = None) -> Optional[str]:
        """Reads an index from end to end: None if it is whole, else the first thing found wrong."""
        request = admin_pb2.VerifyRequest(index=index, deep=deep)
        answer = self._call(self._admin.Verify, request, self._deadline(timeout, LONG))
        return None if answer.whole else answer.problem

    def _name(self, index: Optional[str]) -> str:
        return self._index if index is None else index

    def _deadline(self, timeout: Optional[float], usual: float = 0.0) -> float:
        return time.monotonic() + (max(usual, self._timeout) if timeout is None else timeout)

    def _map(self, part: Callable[[slice], T], parts: List[slice]) -> List[T]:
        if len(parts) == 1:
            return [part(parts[0])]
        # Threads of its own: those of another call may be busy until after the deadline of this one.
        with ThreadPoolExecutor(min(self._calls_at_once, len(parts)), thread_name_prefix="spandrel") as pool:
            return list(pool.map(part, parts))

    def _call(self, method: Any, request: Any, deadline: float, retry: Optional[Retry] = None) -> Any:
        policy, attempt = retry or self._retry, 1
        while True:
            left = deadline - time.monotonic()
            if left <= 0.0:
                raise _errors.too_late()
            try:
                return method(request, timeout=left, metadata=self._metadata)
            except grpc.RpcError as error:
                failure = _errors.of_rpc(error, self._proxy)
            attempt += 1
            pause = policy.pause(failure, attempt)
            if pause is None or time.monotonic() + pause >= deadline:
                raise failure
            time.sleep(pause)


def _guarded(requests: Iterator[T], failures: List[Exception]) -> Iterator[T]:
    """grpcio swallows what goes wrong in a stream of requests: keeps it for the caller."""
    try:
        yield from requests
    except Exception as failure:
        failures.append(failure)
        raise


def _stream_answer(item: search_pb2.SearchStreamResponse, k: int) -> StreamAnswer:
    if item.HasField("answer"):
        return StreamAnswer(item.tag, _messages.one_of(item.answer, k), None)
    status = item.status
    return StreamAnswer(item.tag, None, _errors.of_item(status.code, status.message, status.retry_after_ms))
