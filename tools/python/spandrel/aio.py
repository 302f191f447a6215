"""The client for asyncio."""
from __future__ import annotations

import asyncio
import time
from typing import Any, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, List, Optional, Sequence, TypeVar, Union

import grpc
import grpc.aio
import numpy.typing as npt

from . import _errors, _messages
from ._options import LONG, Options, Retry, Tls, call_metadata, channel_options, proxy_of
from ._results import Answers, Fetched, IndexInfo, StreamAnswer
from .client import _stream_answer
from .v1 import admin_pb2, admin_pb2_grpc, search_pb2, search_pb2_grpc

T = TypeVar("T")


class AsyncClient:
    """As `spandrel.Client`, with coroutines. Belongs to the running event loop that it is made in."""

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
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise _errors.wrong_loop() from None
        options = channel_options(target, tls, max_message_bytes)
        self._proxy = proxy_of(target)
        if tls is None:
            self._channel = grpc.aio.insecure_channel(target, options)
        else:
            self._channel = grpc.aio.secure_channel(target, tls.credentials(), options)
        self._search = search_pb2_grpc.SearchServiceStub(self._channel)
        self._admin = admin_pb2_grpc.AdminServiceStub(self._channel)
        self._metadata = call_metadata(token)
        self._index, self._timeout, self._retry = index, timeout, retry
        self._batch_size, self._calls_at_once = batch_size, calls_at_once

    async def close(self) -> None:
        """Closes the connection."""
        self._check_loop()
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def search(
        self,
        queries: npt.ArrayLike,
        k: int = 10,
        options: Options = Options(),
        *,
        index: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Answers:
        """As `Client.search`."""
        rows, single = _messages.queries_of(queries)
        deadline = self._deadline(timeout)
        if len(rows) == 0:
            raise ValueError("no queries")
        if single:
            request = search_pb2.SearchRequest(
                index=self._name(index), query=_messages.vectors_of(rows), k=k, options=options.message()
            )
            return _messages.one_of(await self._call(self._search.Search, request, deadline), k)

        async def part(of: slice) -> search_pb2.SearchBatchResponse:
            request = search_pb2.SearchBatchRequest(
                index=self._name(index), queries=_messages.vectors_of(rows[of]), k=k, options=options.message()
            )
            response: search_pb2.SearchBatchResponse = await self._call(self._search.SearchBatch, request, deadline)
            return _messages.whole(response, len(rows[of]))

        return _messages.answers_of(await self._map(part, _messages.batches(rows, k, options, self._batch_size)), k, single)

    async def search_stream(
        self,
        queries: Union[Iterable[npt.ArrayLike], AsyncIterable[npt.ArrayLike]],
        k: int = 10,
        options: Options = Options(),
        *,
        index: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> AsyncIterator[StreamAnswer]:
        """As `Client.search_stream`."""
        self._check_loop()

        async def requests() -> AsyncIterator[search_pb2.SearchStreamRequest]:
            tag = 0
            async for query in _async(queries):
                rows, _ = _messages.queries_of(query)
                request = search_pb2.SearchRequest(
                    index=self._name(index), query=_messages.vectors_of(rows), k=k, options=options.message()
                )
                yield search_pb2.SearchStreamRequest(tag=tag, request=request)
                tag += 1

        failures: List[Exception] = []
        call = self._search.SearchStream(_guarded(requests(), failures), timeout=timeout, metadata=self._metadata)
        try:
            async for item in call:
                yield _stream_answer(item, k)
        except asyncio.CancelledError:
            # grpcio cancels the call when its stream of requests fails.
            if failures:
                raise failures[0] from None
            raise
        except grpc.aio.AioRpcError as error:
            if failures:
                raise failures[0] from None
            raise _errors.of_rpc(error, self._proxy) from None
        finally:
            call.cancel()

    async def fetch(
        self, ids: Sequence[int], *, index: Optional[str] = None, timeout: Optional[float] = None
    ) -> Fetched:
        """As `Client.fetch`."""
        if len(ids) == 0:
            raise ValueError("no ids")
        deadline = self._deadline(timeout)

        async def part(of: slice) -> search_pb2.FetchResponse:
            request = search_pb2.FetchRequest(index=self._name(index), ids=[int(id) for id in ids[of]])
            response: search_pb2.FetchResponse = await self._call(self._search.Fetch, request, deadline)
            return response

        return _messages.fetched_of(await self._map(part, _messages.chunks(len(ids), self._batch_size)), len(ids))

    async def indexes(self, *, timeout: Optional[float] = None) -> List[IndexInfo]:
        """As `Client.indexes`."""
        listed = await self._call(self._admin.ListIndexes, admin_pb2.ListIndexesRequest(), self._deadline(timeout))
        return [_messages.info_of(summary) for summary in listed.indexes]

    async def describe(self, index: Optional[str] = None, *, timeout: Optional[float] = None) -> IndexInfo:
        """As `Client.describe`."""
        request = admin_pb2.DescribeIndexRequest(index=self._name(index))
        return _messages.details_of(await self._call(self._admin.DescribeIndex, request, self._deadline(timeout)))

    async def load(
        self,
        index: str,
        path: str,
        *,
        codes: Optional[str] = None,
        vectors: Optional[str] = None,
        estimates: bool = False,
        timeout: Optional[float] = None,
    ) -> IndexInfo:
        """As `Client.load`."""
        request = _messages.load_of(index, path, codes, vectors, estimates)
        answer = await self._call(self._admin.LoadIndex, request, self._deadline(timeout, LONG), Retry(1))
        return _messages.info_of(answer.summary)

    async def unload(self, index: str, *, timeout: Optional[float] = None) -> None:
        """As `Client.unload`."""
        request = admin_pb2.UnloadIndexRequest(index=index)
        await self._call(self._admin.UnloadIndex, request, self._deadline(timeout), Retry(1))

    async def switch(self, index: str, path: str = "", *, timeout: Optional[float] = None) -> IndexInfo:
        """As `Client.switch`."""
        request = admin_pb2.SwitchIndexRequest(index=index, path=path)
        answer = await self._call(self._admin.SwitchIndex, request, self._deadline(timeout, LONG), Retry(1))
        return _messages.info_of(answer.summary)

    async def verify(self, index: str, *, deep: bool = False, timeout: Optional[float] = None) -> Optional[str]:
        """As `Client.verify`."""
        request = admin_pb2.VerifyRequest(index=index, deep=deep)
        answer = await self._call(self._admin.Verify, request, self._deadline(timeout, LONG))
        return None if answer.whole else answer.problem

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise _errors.wrong_loop()

    def _name(self, index: Optional[str]) -> str:
        return self._index if index is None else index

    def _deadline(self, timeout: Optional[float], usual: float = 0.0) -> float:
        return time.monotonic() + (max(usual, self._timeout) if timeout is None else timeout)

    async def _map(self, part: Callable[[slice], Awaitable[T]], parts: List[slice]) -> List[T]:
        places = asyncio.Semaphore(self._calls_at_once)

        async def one(of: slice) -> T:
            async with places:
                return await part(of)

        tasks = [asyncio.ensure_future(one(of)) for of in parts]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            # When one failed the others are for nobody, and none outlives the call.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self, method: Any, request: Any, deadline: float, retry: Optional[Retry] = None) -> Any:
        self._check_loop()
        policy, attempt = retry or self._retry, 1
        while True:
            left = deadline - time.monotonic()
            if left <= 0.0:
                raise _errors.too_late()
            try:
                return await method(request, timeout=left, metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                failure = _errors.of_rpc(error, self._proxy)
            attempt += 1
            pause = policy.pause(failure, attempt)
            if pause is None or time.monotonic() + pause >= deadline:
                raise failure
            await asyncio.sleep(pause)


async def _guarded(requests: AsyncIterator[T], failures: List[Exception]) -> AsyncIterator[T]:
    try:
        async for request in requests:
            yield request
    except Exception as failure:
        failures.append(failure)
        raise


async def _async(items: Union[Iterable[T], AsyncIterable[T]]) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
