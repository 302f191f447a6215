"""The client that blocks."""
from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterable, Iterator, List, Mapping, Optional, Sequence, TypeVar, Union

import grpc
import numpy.typing as npt

from . import _answers, _errors, _queries
from ._calls import Calls, Looks, Plan, done, opened
from ._options import Attributes, ColumnQueries, Indexes, Options, RangeOptions, Retry, Tls
from ._scored import Known, Scorer, scoring_of
from ._results import Answers, Fetched, IndexInfo, Operation, RangePart, StreamAnswer
from .v1 import search_pb2

T = TypeVar("T")


class Client:
    """A client of one server, for any number of threads.

    `target` is HOST:PORT; `index` is used where a call names none; `timeout` is the time for a call in seconds, all attempts
    together; `load`, `switch` and `verify` take as long as they take unless they are given one. Batches larger than `batch_size`
    queries, or too large for a message, are sent as several calls, `calls_at_once` at a time.
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
        self._calls = Calls(
            grpc,
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

    def close(self) -> None:
        """Closes the connection. Calls under way fail."""
        self._calls.channel.close()

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
        column_queries: Optional[ColumnQueries] = None,
        scorer: Optional[Scorer] = None,
        budget: Optional[int] = None,
        known: Optional[Known] = None,
        batch: int = 64,
        index: Union[str, Indexes, None] = None,
        timeout: Optional[float] = None,
    ) -> Answers:
        """The k nearest vectors of queries of shape (n, dim), or (dim,) for one.

        float32 is sent as numbers, which an index of any element type takes where they fit; float16, int8 and uint8 as they
        are, which an index takes whose type holds all their values. `column_queries` has what the queries are in the index's column, by
        its name: candidates are compared by these, and distances are those in the column. `index` may be `Indexes`, which are searched as
        one: `indexes` of the answers says which each neighbour is of.

        With `scorer`, answers to one query are the k best by its scores: it is called with an array of at most `batch` ids and gives a
        score for each, the higher, the better. The nearest vectors are its candidates. `budget` items have a score in the end at most,
        those of `known` among them: (ids, scores) of items that were scored before, as anchor items, which are not scored again.
        Without a filter all of these may be answers.
        """
        scoring, deadline = scoring_of(queries, k, options, scorer, budget, known, batch), self._calls.deadline(timeout)
        if scoring is None:
            return self._run(self._calls.search(queries, k, options, index, column_queries), timeout)
        with scoring.keeping():
            found = self._run(self._calls.search(queries, scoring.budget, options, index, column_queries), timeout)
        for ids in scoring.batches(found, deadline):
            scoring.take(ids, scoring.call(ids))
        return scoring.answers(found)

    def search_documents(
        self,
        documents: Union[npt.ArrayLike, Sequence[npt.ArrayLike]],
        k: int = 10,
        options: Options = Options(),
        *,
        offsets: Optional[npt.ArrayLike] = None,
        index: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Answers:
        """The k documents with the largest MaxSim of query documents, of an index of documents: the sum over a query's vectors of the
        largest inner product with any vector of the document. `ids` are those of documents, `distances` MaxSim.

        `documents` is one query of shape (tokens, dim), several of (n, tokens, dim) or a list of arrays (tokens, dim), or, with `offsets`
        (n + 1,), rows (rows, dim) of which document `i` is those from `offsets[i]` up to `offsets[i + 1]`. Of `options`, `max_lists` is for
        each vector, `rerank` the number of documents that are compared, and `max_bytes`, `filter`, `with_attributes`, `with_vectors` and
        `with_work` are taken; others are refused. Vectors that are asked for are in `documents` of the answers.
        """
        return self._run(self._calls.search_documents(documents, k, options, index, offsets), timeout)

    def search_by_id(
        self,
        ids: Union[int, Sequence[int]],
        k: int = 10,
        options: Options = Options(),
        *,
        column: Optional[str] = None,
        index: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Answers:
        """The k nearest vectors of vectors of the index itself, which are among their own; one id gives answers as one query. With
        `column`, candidates are compared by what that column holds under the ids."""
        return self._run(self._calls.search_by_id(ids, k, options, index, column), timeout)

    def search_stream(
        self,
        queries: Iterable[npt.ArrayLike],
        k: int = 10,
        options: Options = Options(),
        *,
        column_queries: Optional[Mapping[str, Iterable[npt.ArrayLike]]] = None,
        index: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Iterator[StreamAnswer]:
        """Answers to queries of shape (dim,) as they finish, in any order; one that is refused carries its error.

        Queries are taken from `queries` as the server takes them in. Without `timeout` the stream may go on for ever. It is not
        tried again when it breaks, and neither is a query that is refused. `column_queries` as in `search`, with one vector for each
        query as it comes.
        """

        def requests() -> Iterator[search_pb2.SearchStreamRequest]:
            column = _queries.one_column(column_queries)
            fine = None if column is None else iter(column[1])
            for number, query in enumerate(queries):
                beside = None
                if column is not None and fine is not None:
                    try:
                        beside = {column[0]: next(fine)}
                    except StopIteration:
                        raise _queries.too_few(column[0], number) from None
                yield self._calls.stream_request(number, query, k, options, index, beside)

        self._calls.check_stream(k, options, timeout)
        failures: List[Exception] = []
        guarded = _guarded(requests(), failures)
        call = self._calls.stub.SearchStream(guarded, timeout=timeout, metadata=self._calls.metadata)
        try:
            for item in call:
                yield _answers.stream_answer(item, k, bool(options.with_attributes))
        except grpc.RpcError as error:
            if failures:
                raise failures[0] from None
            raise _errors.of_rpc(error, self._calls.proxy) from None
        finally:
            call.cancel()

    def search_range(
        self,
        query: npt.ArrayLike,
        radius: float,
        options: RangeOptions = RangeOptions(),
        *,
        index: Union[str, Indexes, None] = None,
        timeout: Optional[float] = None,
    ) -> Iterator[RangePart]:
        """All vectors within `radius` of a query of shape (dim,), in parts as the server finds them; the last part says what was
        left out.

        The radius is in the unit of distances: squared L2 or 1 - cos of at most this, an inner product of at least this. Each
        part is best first, and comes before later ones, nearer or not. The server searches on as parts are taken, within
        `timeout`. It is not tried again. Of several indexes with duplicates "best" `max_results` has to be set.
        """
        request = self._calls.range_request(query, radius, options, index)
        timeout = self._calls.timeout(timeout)
        call, part = self._calls.stub.SearchRange(request, timeout=timeout, metadata=self._calls.metadata), None
        try:
            for message in call:
                part = _answers.range_part(message, len(request.indexes))
                yield part
        except grpc.RpcError as error:
            raise _errors.of_rpc(error, self._calls.proxy) from None
        finally:
            call.cancel()
        _answers.has_ended(part)

    def fetch(
        self,
        ids: Sequence[int],
        *,
        with_attributes: Attributes = False,
        column: str = "",
        index: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Fetched:
        """Vectors by id, in the order of `ids`, with zeros for those that the index does not have: those of `column`, or without it
        those that are searched. Of an index of documents all vectors of each document, in `documents`. `with_attributes` as in `Options`."""
        return self._run(self._calls.fetch(ids, with_attributes, index, column), timeout)

    def indexes(self, *, timeout: Optional[float] = None) -> List[IndexInfo]:
        """The indexes of the server, by name."""
        return self._run(self._calls.indexes(), timeout)

    def describe(self, index: Optional[str] = None, *, timeout: Optional[float] = None) -> IndexInfo:
        """One index in full; what is more than its summary is in `details`."""
        return self._run(self._calls.describe(index), timeout)

    def load(
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
        """Opens a further index from a folder of the server.

        `codes` and `vectors` say where those are, 'memory' or 'ssd': without them as the index was built for, and on SSD.
        With `estimates` its ids are kept in memory, so that answers may carry estimates. `version` is one that the folder still
        has; without it the one in force is opened. The load is given up when `timeout` is over; without one it takes as long as it
        takes.
        """
        return opened(self._ended(self._calls.load(index, path, version, codes, vectors, estimates), timeout))

    def unload(self, index: str, *, timeout: Optional[float] = None) -> None:
        """Stops serving an index."""
        self._run(self._calls.unload(index), timeout)

    def switch(
        self, index: str, path: str = "", *, version: Optional[int] = None, timeout: Optional[float] = None
    ) -> IndexInfo:
        """Puts a version in `path`, or in the folder it has, in the place of an index; `version` and `timeout` as in `load`."""
        return opened(self._ended(self._calls.switch(index, path, version), timeout))

    def verify(self, index: str, *, deep: bool = False, timeout: Optional[float] = None) -> Optional[str]:
        """Reads an index from end to end: None if it is whole, else the first thing found wrong; `timeout` as in `load`."""
        return (self._ended(self._calls.verify(index, deep), timeout)).problem

    def operations(self, *, timeout: Optional[float] = None) -> List[Operation]:
        """What the server loads, switches and verifies, and what of it was: up to 100 since its start, oldest first."""
        return self._run(self._calls.operations(), timeout)

    def cancel(self, operation: int, *, timeout: Optional[float] = None) -> Operation:
        """Gives up an operation of the server; one that has ended stays as it is."""
        return self._run(self._calls.cancel(operation), timeout)

    def _ended(self, plan: Plan[Operation], timeout: Optional[float]) -> Operation:
        looks = Looks(timeout)
        operation = self._run(plan, timeout)
        while operation.state == "running":
            pause = looks.pause()
            if pause is None:
                self.cancel(operation.id)
                raise _errors.too_late()
            time.sleep(pause)
            operation = self._run(self._calls.operation(operation.id), None)
        return done(operation)

    def _run(self, plan: Plan[T], timeout: Optional[float]) -> T:
        deadline = self._calls.deadline(timeout)

        def call(request: Callable[[], Any]) -> Any:
            return self._call(plan, request(), deadline)

        if len(plan.requests) == 1:
            return plan.join([call(plan.requests[0])])
        # Threads of its own: those of another call may be busy until after the deadline of this one.
        workers = min(self._calls.calls_at_once, len(plan.requests))
        with ThreadPoolExecutor(workers, thread_name_prefix="spandrel") as pool:
            return plan.join(list(pool.map(call, plan.requests)))

    def _call(self, plan: Plan[T], request: Any, deadline: float) -> Any:
        attempts = self._calls.attempts(plan, deadline)
        while True:
            left = attempts.left()
            try:
                return plan.method(request, timeout=left, metadata=self._calls.metadata)
            except grpc.RpcError as error:
                pause = attempts.pause(error)
            time.sleep(pause)


def _guarded(requests: Iterator[T], failures: List[Exception]) -> Iterator[T]:
    """grpcio swallows what goes wrong in a stream of requests: keeps it for the caller."""
    try:
        yield from requests
    except Exception as failure:
        failures.append(failure)
        raise
