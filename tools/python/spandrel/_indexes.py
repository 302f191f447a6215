"""What a server says of its indexes, and of operations on them."""
from __future__ import annotations

from typing import Any, Dict, Optional

from . import _errors
from ._results import IndexInfo, Operation
from .v1 import admin_pb2, search_pb2

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
    index: str, path: str, version: int, codes: Optional[str], vectors: Optional[str], estimates: bool
) -> admin_pb2.StartLoadRequest:
    """The request to open an index."""
    for name, tier in (("codes", codes), ("vectors", vectors)):
        if tier is not None and tier not in _TIERS:
            raise ValueError(f"{name} is {tier!r}, expected 'memory' or 'ssd'")
    return admin_pb2.StartLoadRequest(
        index=index,
        path=path,
        version=version,
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
        "by_encodings": message.by_encodings,
        "default_lists": message.default_lists,
        "default_compared": message.default_compared,
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
        "embedding_versions": list(response.embedding_versions),
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
