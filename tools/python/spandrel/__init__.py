"""Client of Spandrel, a disk-memory hybrid vector search engine.

>>> with spandrel.Client("127.0.0.1:7700") as client:
...     answers = client.search(queries, k=10)      # queries: (n, dim); answers.ids: (n, 10)

`Client` blocks, `AsyncClient` is for asyncio; both take and give NumPy arrays, try again where that may help, and keep to
deadlines.
"""
from ._errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    Overloaded,
    PermissionDenied,
    ScorerFailed,
    SpandrelError,
    TlsFailed,
    Unavailable,
    WrongEventLoop,
)
from ._options import Indexes, Options, RangeOptions, Retry, Tls
from ._results import (
    Answers,
    Effort,
    Fetched,
    Filtered,
    IndexInfo,
    Missing,
    Operation,
    RangeEnd,
    RangePart,
    StreamAnswer,
)
from .aio import AsyncClient
from .client import Client

__all__ = [
    "Answers",
    "AsyncClient",
    "Client",
    "DeadlineExceeded",
    "Effort",
    "Fetched",
    "Filtered",
    "IndexInfo",
    "Indexes",
    "InvalidArgument",
    "Missing",
    "NotFound",
    "Operation",
    "Options",
    "Overloaded",
    "PermissionDenied",
    "RangeEnd",
    "RangeOptions",
    "RangePart",
    "Retry",
    "ScorerFailed",
    "SpandrelError",
    "StreamAnswer",
    "Tls",
    "TlsFailed",
    "Unavailable",
    "WrongEventLoop",
]
