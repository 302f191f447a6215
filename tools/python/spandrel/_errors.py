"""What can go wrong, as exceptions."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Optional, Tuple, Type

import grpc
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"


@dataclass
class _Details:
    """What a status says beside its words, as `SpandrelError` has it."""

    fields: Dict[str, str] = field(default_factory=dict)
    retry_after: Optional[float] = None
    position: Optional[int] = None
    attribute: Optional[str] = None


class SpandrelError(Exception):
    """A call that got no answer.

    `code` is the gRPC status code, `message` says what to change, `fields` names the fields of the request that are wrong,
    `retry_after` is the time in seconds after which the server asks to try again. Where a filter is wrong `position` is the byte of
    its text or JSON, and `attribute` the attribute's name, as far as there is one. Where a scored search failed `scored` has the ids and
    scores that there were: as `known` of another search they are not scored again.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        fields: Optional[Dict[str, str]] = None,
        retry_after: Optional[float] = None,
        position: Optional[int] = None,
        attribute: Optional[str] = None,
    ) -> None:
        super().__init__(code, message, fields, retry_after, position, attribute)
        self.code = code
        self.message = message
        self.fields = fields or {}
        self.retry_after = retry_after
        self.position = position
        self.attribute = attribute
        self.scored: Optional[Tuple[Any, Any]] = None

    def __str__(self) -> str:
        return f"{self.message} ({self.code.name})"


class InvalidArgument(SpandrelError):
    """A field is out of range, over a limit of the server, or does not fit the index; see `fields`."""


class NotFound(SpandrelError):
    """The server has no index of that name."""


class Overloaded(SpandrelError):
    """The server is loaded; `retry_after` says when to come back."""


class DeadlineExceeded(SpandrelError):
    """The time was over before the answer was there."""


class Unavailable(SpandrelError):
    """The server cannot be reached, or is stopping."""


class WrongEventLoop(SpandrelError):
    """An `AsyncClient` belongs to the event loop that it was made in, and was used outside of it."""


class TlsFailed(Unavailable):
    """Certificates or TLS are not as one of the sides expects; trying again does not help."""


class PermissionDenied(SpandrelError):
    """No token, an unknown one, or one whose scope does not allow it."""


class ScorerFailed(SpandrelError):
    """A scorer raised an exception, which is the cause of this one, or gave something else than a finite score for each id."""


_KINDS: Dict[grpc.StatusCode, Type[SpandrelError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.UNAUTHENTICATED: PermissionDenied,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
}
# What grpcio's texts mean. It does not tell which alert a server sent.
_OF_TLS = {
    "certificate has expired": "the server's certificate has expired",
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is signed by an issuer that is not trusted here",
    "Hostname Verification Check failed": "the server's certificate is for another name; see Tls.name",
    "WRONG_VERSION_NUMBER": "the server does not speak TLS",
    "TSI_DATA_CORRUPTED": "the server ended the TLS session, as it does with a client that has no certificate, or one whose "
    "issuer it does not know; its log says more",
    "Failed to create security handshaker": "the client's certificate and key cannot be used, or not with each other",
}
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def of_status(code: grpc.StatusCode, message: str, details: _Details) -> SpandrelError:
    """The exception for a status."""
    if code == grpc.StatusCode.UNAVAILABLE:
        for text, meaning in _OF_TLS.items():
            if text in message:
                return TlsFailed(code, f"{meaning} ({message})")
    kind = _KINDS.get(code, SpandrelError)
    if kind is Overloaded and details.retry_after is None:
        # A limit on sizes, as that of grpcio on messages: coming back does not help.
        kind = SpandrelError
    return kind(code, message, details.fields, details.retry_after, details.position, details.attribute)


def too_late() -> SpandrelError:
    """The exception for a call whose time is over before it is made."""
    return DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, "the time was over before the call was made or had its answer")


def wrong_loop() -> SpandrelError:
    """The exception for an asyncio client outside of its event loop."""
    message = "make the AsyncClient inside the running event loop that uses it, and one for each event loop"
    return WrongEventLoop(grpc.StatusCode.FAILED_PRECONDITION, message)


def wrong_field(field: str, message: str) -> SpandrelError:
    """The exception for an argument that no server has to see."""
    return InvalidArgument(grpc.StatusCode.INVALID_ARGUMENT, message, {field: message})


def scorer_failed(message: str) -> SpandrelError:
    """The exception for a scorer that failed."""
    return ScorerFailed(grpc.StatusCode.UNKNOWN, message)


def cancelled(operation: int) -> SpandrelError:
    """The exception for an operation that somebody gave up."""
    return SpandrelError(grpc.StatusCode.CANCELLED, f"operation {operation} was cancelled")


def broken(message: str) -> SpandrelError:
    """The exception for an answer that does not fit what was asked."""
    return SpandrelError(grpc.StatusCode.INTERNAL, message)


def of_item(status: Any) -> SpandrelError:
    """The exception for one query of a stream."""
    code = _BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    return of_status(code, status.message, _read(status.details))


def of_rpc(error: Any, proxy: Optional[str]) -> SpandrelError:
    """The exception for a failed call, with the details that the server sent, and the proxy it went through."""
    details = _Details()
    for name, value in error.trailing_metadata() or ():
        if name == _DETAILS:
            details = _read(status_pb2.Status.FromString(value).details)
    message = error.details() or ""
    if proxy is not None and error.code() == grpc.StatusCode.UNAVAILABLE:
        message += f"; asked through {proxy}, which no_proxy passes by"
    return of_status(error.code(), message, details)


def _read(messages: Iterable[Any]) -> _Details:
    """What the messages beside a status say."""
    details = _Details()
    for message in messages:
        bad, retry, info = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo(), error_details_pb2.ErrorInfo()
        if message.Unpack(bad):
            details.fields.update({violation.field: violation.description for violation in bad.field_violations})
        elif message.Unpack(retry):
            details.retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        elif message.Unpack(info):
            details.position = int(info.metadata["position"]) if "position" in info.metadata else None
            details.attribute = info.metadata.get("attribute")
    return details
