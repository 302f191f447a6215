"""How servers are reached and asked."""
from __future__ import annotations

import ipaddress
import json
import os
import random
import re
from dataclasses import dataclass
from typing import Any, List, Literal, Mapping, Optional, Sequence, Tuple, Union

import grpc
import numpy.typing as npt

from ._errors import Overloaded, SpandrelError, TlsFailed, Unavailable
from ._numbers import U32_MAX, U64_MAX, real_or_none, seconds, whole, whole_or_none
from .v1 import search_pb2


# What queries are in a column of the index, by its name.
ColumnQueries = Mapping[str, npt.ArrayLike]


@dataclass(frozen=True)
class Retry:
    """When a call that failed is made again: after UNAVAILABLE, and after RESOURCE_EXHAUSTED with a time to come back.

    `attempts` counts the first call; pauses, in seconds, double from `first_pause` to `longest_pause`, less a random part.
    """

    attempts: int = 8
    first_pause: float = 0.02
    longest_pause: float = 1.0

    def __post_init__(self) -> None:
        whole("retry.attempts", self.attempts, 1, U32_MAX)
        seconds("retry.first_pause", self.first_pause)
        seconds("retry.longest_pause", self.longest_pause)

    def pause(self, error: SpandrelError, attempt: int) -> Optional[float]:
        """Seconds before call number `attempt` (the second is 2); None if another call would not help."""
        asked = error.retry_after
        is_away = isinstance(error, Unavailable) and not isinstance(error, TlsFailed)
        helps = is_away or (isinstance(error, Overloaded) and asked is not None)
        if not helps or attempt > self.attempts:
            return None
        doubled = min(self.longest_pause, self.first_pause * 2.0 ** min(attempt - 2, 30))
        return max(asked or 0.0, doubled * random.uniform(0.5, 1.0))


@dataclass(frozen=True)
class Tls:
    """Files in PEM form: who signs the server's certificate (None: who the system trusts), and the client's own certificate
    and key where the server asks for them. `name` is the name in the server's certificate, if it is not the host's."""

    ca: Optional[str] = None
    certificate: Optional[str] = None
    key: Optional[str] = None
    name: Optional[str] = None

    def credentials(self) -> grpc.ChannelCredentials:
        """As grpcio takes them."""

        def read(path: Optional[str]) -> Optional[bytes]:
            if path is None:
                return None
            with open(path, "rb") as file:
                return file.read()

        return grpc.ssl_channel_credentials(read(self.ca), read(self.key), read(self.certificate))


def distances_of(distances: str) -> search_pb2.Distances:
    """As they are sent."""
    kinds = {"exact": search_pb2.DISTANCES_EXACT, "any": search_pb2.DISTANCES_ANY}
    if distances not in kinds:
        raise ValueError(f"distances is {distances!r}, expected 'exact' or 'any'")
    return kinds[distances]


Filter = Union[str, Mapping[str, Any]]


def filter_of(filter: Optional[Filter]) -> Optional[search_pb2.Filter]:
    """As it is sent."""
    if filter is None:
        return None
    if isinstance(filter, str):
        return search_pb2.Filter(text=filter)
    if not isinstance(filter, Mapping):
        raise TypeError(f"filter is a {type(filter).__name__}, expected a str or a dict")
    return search_pb2.Filter(json=json.dumps(filter, allow_nan=False))


def duplicates_of(duplicates: str) -> search_pb2.Duplicates:
    """As they are sent."""
    kinds = {"best": search_pb2.DUPLICATES_BEST, "keep": search_pb2.DUPLICATES_KEEP}
    if duplicates not in kinds:
        raise ValueError(f"duplicates is {duplicates!r}, expected 'best' or 'keep'")
    return kinds[duplicates]


@dataclass(frozen=True)
class Indexes:
    """Indexes that are searched as one, by their names. `duplicates` says what an id means that several have: with 'best' one thing,
    which an answer has once at its best distance, with 'keep' a thing of each, as where ids are row numbers."""

    names: Sequence[str]
    duplicates: Literal["best", "keep"] = "best"


Attributes = Union[bool, Sequence[str]]


def attributes_of(given: Attributes) -> Optional[search_pb2.AttributeSelection]:
    """As they are sent."""
    if isinstance(given, str):
        raise TypeError(f"with_attributes is {given!r}, expected True or a list of names")
    if isinstance(given, bool):
        return search_pb2.AttributeSelection() if given else None
    # None at all would ask for every one.
    return search_pb2.AttributeSelection(names=given) if len(given) else None


@dataclass(frozen=True)
class RangeOptions:
    """How to search within a radius. `completeness` is the share of the vectors that is wanted, all unless it is given;
    `max_results` asks for the best alone, which come at the end; `filter` and `embedding_version` are as in `Options`. See
    proto/spandrel/v1/search.proto."""

    completeness: Optional[float] = None
    max_results: Optional[int] = None
    max_bytes: Optional[int] = None
    distances: Literal["exact", "any"] = "exact"
    with_work: bool = False
    filter: Optional[Filter] = None
    embedding_version: Optional[str] = None


@dataclass(frozen=True)
class Options:
    """How to search; what is None is as the index was built for. `filter` says which vectors may be answers, as text
    (`'price < 1500 and tags contains "red"'`) or as a dict (`{"price": {"$lt": 1500}, "tags": {"$contains": "red"}}`).
    `with_attributes` asks for attributes of the neighbours: a list of names, or True for all. `min_head_score`, of an index by inner
    product and without a filter, leaves out each list whose head has a smaller inner product with the query. `embedding_version` is that of
    the model that made the queries: an index that does not list it refuses them. `attention_scale` is what inner products are multiplied with
    before the softmax: answers then have their `attention_mass`, for which the server compares each query with every vector. See
    proto/spandrel/v1/search.proto."""

    recall: Optional[float] = None
    epsilon: Optional[float] = None
    max_lists: Optional[int] = None
    max_bytes: Optional[int] = None
    rerank: Optional[int] = None
    rerank_errors: Optional[float] = None
    distances: Literal["exact", "any"] = "exact"
    with_vectors: bool = False
    with_work: bool = False
    explain: bool = False
    filter: Optional[Filter] = None
    with_attributes: Attributes = False
    min_head_score: Optional[float] = None
    embedding_version: Optional[str] = None
    attention_scale: Optional[float] = None

    def message(self) -> search_pb2.SearchOptions:
        """As it is sent."""
        return search_pb2.SearchOptions(
            recall=real_or_none("options.recall", self.recall),
            epsilon=real_or_none("options.epsilon", self.epsilon),
            max_lists=whole_or_none("options.max_lists", self.max_lists, 0, U32_MAX),
            max_bytes=whole_or_none("options.max_bytes", self.max_bytes, 0, U64_MAX),
            rerank=whole_or_none("options.rerank", self.rerank, 0, U32_MAX),
            rerank_errors=real_or_none("options.rerank_errors", self.rerank_errors),
            distances=distances_of(self.distances),
            with_vectors=self.with_vectors,
            with_work=self.with_work,
            explain=self.explain,
            filter=filter_of(self.filter),
            with_attributes=attributes_of(self.with_attributes),
            min_head_score=real_or_none("options.min_head_score", self.min_head_score),
            embedding_version=self.embedding_version,
            attention_scale=real_or_none("options.attention_scale", self.attention_scale),
        )


def _host(target: str) -> str:
    """The host of a target such as HOST:PORT, [::1]:PORT or dns:///HOST:PORT."""
    address = re.sub(r"^(dns:(//[^/]*/)?|ipv[46]:)", "", target)
    bracketed = re.match(r"^\[(.*)\](:\d+)?$", address)
    if bracketed:
        return bracketed.group(1)
    return address.rsplit(":", 1)[0] if address.count(":") == 1 else address


def is_loopback(target: str) -> bool:
    """Whether a target is on this machine."""
    host = _host(target).lower()
    if re.match(r"unix(-abstract)?:", target) or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_of(target: str) -> Optional[str]:
    """The proxy that the environment puts before a target, in words; None if there is none."""
    if is_loopback(target):
        return None
    host = _host(target)
    passed_by = os.environ.get("no_grpc_proxy") or os.environ.get("no_proxy") or ""
    for name in filter(None, (part.strip() for part in passed_by.split(","))):
        if host == name or host.endswith("." + name.lstrip(".")):
            return None
    for variable in ("grpc_proxy", "https_proxy", "http_proxy"):
        if os.environ.get(variable):
            # Without a password that it may hold.
            return f"the proxy {re.sub('//[^/@]*@', '//', os.environ[variable])} of {variable}"
    return None


def channel_options(target: str, tls: Optional[Tls], message_bytes: int) -> List[Tuple[str, object]]:
    """Options of a channel."""
    options: List[Tuple[str, object]] = [
        ("grpc.max_send_message_length", message_bytes),
        ("grpc.max_receive_message_length", message_bytes),
        # A server that went silent is found within this time while a call is under way, also one without a deadline.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # The one above has no effect where this one, 60 s unless it is set, is longer; and after two pings there would be none.
        ("grpc.http2.ping_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        # We try again ourselves.
        ("grpc.enable_retries", 0),
        # A server that came back is found within a moment.
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    if is_loopback(target):
        # A proxy reaches its own loopback, not that of this machine.
        options.append(("grpc.enable_http_proxy", 0))
    if tls is not None and tls.name is not None:
        options.append(("grpc.ssl_target_name_override", tls.name))
    return options


def call_metadata(token: Optional[str]) -> Sequence[Tuple[str, str]]:
    """Headers of every call."""
    return () if token is None else (("authorization", f"Bearer {token}"),)
