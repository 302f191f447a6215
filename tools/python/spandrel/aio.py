"""The client for asyncio."""
from __future__ import annotations

import asyncio
from typing import Any, AsyncIterable, AsyncIterator, Callable, Iterable, List, Mapping, Optional, Sequence, TypeVar, Union

import grpc
import grpc.aio
import numpy.typing as npt

from . import _answers, _errors, _queries
from ._calls import Calls, Looks, Plan, done, opened
from ._options import Attributes, ColumnQueries, Indexes, Options, RangeOptions, Retry, Tls
from ._scored import AsyncScorer, Known, scoring_of
from ._results import Answers, Fetched, IndexInfo, Operation, RangePart, StreamAnswer
from .v1 import search_pb2

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
        self._calls = Calls(
            grpc.aio,
            target,
            index=index,
            token=token,
            tls=tls,
            timeout=timeout,
            retry=retry,
            batch_size=batch_size,
            calls_at_once=calls_at_once,
            max_message_bytes=max_message_bytes,
        )

    async def close(self) -> None:
        """Closes the connection."""
        self._check_loop()
        await self._calls.channel.close()

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
        column_queries: Optional[ColumnQueries] = None,
        scorer: Optional[AsyncScorer] = None,
        budget: Optional[int] = None,
        known: Optional[Known] = None,
        batch: int = 64,
        index: Union[str, Indexes, None] = None,
        timeout: Optional[float] = None,
    ) -> Answers:
        """As `Client.search`. What `scorer` gives may be awaitable; a scorer that computes should be, and do so in a thread.
        It is waited for until `timeout` is over. A task that is cancelled meanwhile loses what was scored, which an error would have."""
        scoring, deadline = scoring_of(queries, k, options, scorer, budget, known, batch), self._calls.deadline(timeout)
        if scoring is None:
            return await self._run(self._calls.search(queries, k, options, index, column_queries), timeout)
        with scoring.keeping():
            found = await self._run(self._calls.search(queries, scoring.budget, options, index, column_queries), timeout)
        for ids in scoring.batches(found, deadline):
            scoring.take(ids, await scoring.call_async(ids, deadline))
        return scoring.answers(found)

    async def search_documents(
        self,
        documents: Union[npt.ArrayLike, Sequence[npt.ArrayLike]],
        k: int = 10,
        options: Options = Options(),
        *,
        offsets: Optional[npt.ArrayLike] = None,
        index: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Answers:
        """As `Client.search_documents`."""
        return await self._run(self._calls.search_documents(documents, k, options, index, offsets), timeout)

    async def search_by_id(
        self,
        ids: Union[int, Sequence[int]],
        k: int = 10,
        options: Options = Options(),
        *,
        column: Optional[str] = None,
        index: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Answers:
        """As `Client.search_by_id`."""
        return await self._run(self._calls.search_by_id(ids, k, options, index, column), timeout)

    async def search_stream(
        self,
        queries: Union[Iterable[npt.ArrayLike], AsyncIterable[npt.ArrayLike]],
        k: int = 10,
        options: Options = Options(),
        *,
        column_queries: Optional[Mapping[str, Union[Iterable[npt.ArrayLike], AsyncIterable[npt.ArrayLike]]]] = None,
        index: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> AsyncIterator[StreamAnswer]:
        """As `Client.search_stream`."""
        self._check_loop()

        async def requests() -> AsyncIterator[search_pb2.SearchStreamRequest]:
            number = 0
            column = _queries.one_column(column_queries)
            fine = None if column is None else _async(column[1])
            async for query in _async(queries):
                beside = None
                if column is not None and fine is not None:
                    try:
                        beside = {column[0]: await fine.__anext__()}
                    except StopAsyncIteration:
                        raise _queries.too_few(column[0], number) from None
                yield self._calls.stream_request(number, query, k, options, index, beside)
                number += 1

        self._calls.check_stream(k, options, timeout)
        failures: List[Exception] = []
        guarded = _guarded(requests(), failures)
        call = self._calls.stub.SearchStream(guarded, timeout=timeout, metadata=self._calls.metadata)
        try:
            async for item in call:
                yield _answers.stream_answer(item, k, bool(options.with_attributes))
        except asyncio.CancelledError:
            # grpcio cancels the call when its stream of requests fails.
            if failures:
                raise failures[0] from None
            raise
        except grpc.aio.AioRpcError as error:
            if failures:
                raise failures[0] from None
            raise _errors.of_rpc(error, self._calls.proxy) from None
        finally:
            call.cancel()

    async def search_range(
        self,
        query: npt.ArrayLike,
        radius: float,
        options: RangeOptions = RangeOptions(),
        *,
        index: Union[str, Indexes, None] = None,
        timeout: Optional[float] = None,
    ) -> AsyncIterator[RangePart]:
        """As `Client.search_range`."""
        self._check_loop()
        request = self._calls.range_request(query, radius, options, index)
        timeout = self._calls.timeout(timeout)
        call, part = self._calls.stub.SearchRange(request, timeout=timeout, metadata=self._calls.metadata), None
        try:
            async for message in call:
                part = _answers.range_part(message, len(request.indexes))
                yield part
        except grpc.aio.AioRpcError as error:
            raise _errors.of_rpc(error, self._calls.proxy) from None
        finally:
            call.cancel()
        _answers.has_ended(part)

    async def fetch(
        self,
        ids: Sequence[int],
        *,
        with_attributes: Attributes = False,
        column: str = "",
        index: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Fetched:
        """As `Client.fetch`."""
        return await self._run(self._calls.fetch(ids, with_attributes, index, column), timeout)

    async def indexes(self, *, timeout: Optional[float] = None) -> List[IndexInfo]:
        """As `Client.indexes`."""
        return await self._run(self._calls.indexes(), timeout)

    async def describe(self, index: Optional[str] = None, *, timeout: Optional[float] = None) -> IndexInfo:
        """As `Client.describe`."""
        return await self._run(self._calls.describe(index), timeout)

    async def load(
        self,
        index: str,
        path: str,
        *,
        version: Optional[int] = None,
        codes: Optional[str] = None,
        vectors: Optional[str] = None,
        estimates: bool = False,
        timeout: Optional[float] = None,
    ) -> IndexInfo:
        """As `Client.load`."""
        return opened(await self._ended(self._calls.load(index, path, version, codes, vectors, estimates), timeout))

    async def unload(self, index: str, *, timeout: Optional[float] = None) -> None:
        """As `Client.unload`."""
        await self._run(self._calls.unload(index), timeout)

    async def switch(
        self, index: str, path: str = "", *, version: Optional[int] = None, timeout: Optional[float] = None
    ) -> IndexInfo:
        """As `Client.switch`."""
        return opened(await self._ended(self._calls.switch(index, path, version), timeout))

    async def verify(self, index: str, *, deep: bool = False, timeout: Optional[float] = None) -> Optional[str]:
        """As `Client.verify`."""
        return (await self._ended(self._calls.verify(index, deep), timeout)).problem

    async def operations(self, *, timeout: Optional[float] = None) -> List[Operation]:
        """As `Client.operations`."""
        return await self._run(self._calls.operations(), timeout)

    async def cancel(self, operation: int, *, timeout: Optional[float] = None) -> Operation:
        """As `Client.cancel`."""
        return await self._run(self._calls.cancel(operation), timeout)

    async def _ended(self, plan: Plan[Operation], timeout: Optional[float]) -> Operation:
        looks = Looks(timeout)
        operation = await self._run(plan, timeout)
        while operation.state == "running":
            pause = looks.pause()
            if pause is None:
                await self.cancel(operation.id)
                raise _errors.too_late()
            await asyncio.sleep(pause)
            operation = await self._run(self._calls.operation(operation.id), None)
        return done(operation)

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise _errors.wrong_loop()

    async def _run(self, plan: Plan[T], timeout: Optional[float]) -> T:
        self._check_loop()
        deadline = self._calls.deadline(timeout)
        places = asyncio.Semaphore(self._calls.calls_at_once)

        async def call(request: Callable[[], Any]) -> Any:
            async with places:
                return await self._call(plan, request(), deadline)

        tasks = [asyncio.ensure_future(call(request)) for request in plan.requests]
        try:
            return plan.join(list(await asyncio.gather(*tasks)))
        finally:
            # When one failed the others are for nobody, and none outlives the call.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self, plan: Plan[T], request: Any, deadline: float) -> Any:
        attempts = self._calls.attempts(plan, deadline)
        while True:
            left = attempts.left()
            try:
                return await plan.method(request, timeout=left, metadata=self._calls.metadata)
            except grpc.aio.AioRpcError as error:
                pause = attempts.pause(error)
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
