//! Types, metrics and places, as codes of messages.
use spandrel_index::{DType, Metric, Tier};
use spandrel_proto::v1;

use crate::refusal::Refusal;

pub(super) fn dtype_of(field: &'static str, code: i32) -> Result<DType, Refusal> {
    match v1::Dtype::try_from(code) {
        Ok(v1::Dtype::F32) => Ok(DType::F32),
        Ok(v1::Dtype::F16) => Ok(DType::F16),
        Ok(v1::Dtype::I8) => Ok(DType::I8),
        Ok(v1::Dtype::U8) => Ok(DType::U8),
        Ok(v1::Dtype::Unspecified) => Err(Refusal::field(field, "data without its dtype")),
        Err(_) => Err(Refusal::field(field, format!("unknown dtype {code}, expected 1 to 4"))),
    }
}

pub(super) fn wire_dtype(dtype: DType) -> v1::Dtype {
    match dtype {
        DType::F32 => v1::Dtype::F32,
        DType::F16 => v1::Dtype::F16,
        DType::I8 => v1::Dtype::I8,
        DType::U8 => v1::Dtype::U8,
    }
}

pub(super) fn wire_metric(metric: Metric) -> v1::Metric {
    match metric {
        Metric::L2 => v1::Metric::SquaredL2,
        Metric::InnerProduct => v1::Metric::InnerProduct,
        Metric::Cosine => v1::Metric::Cosine,
    }
}

pub(super) fn wire_tier(tier: Tier) -> v1::Tier {
    match tier {
        Tier::Memory => v1::Tier::Memory,
        Tier::Ssd => v1::Tier::Ssd,
    }
}

/// Where a part is to be kept; none if it is left to the index.
pub(super) fn tier(field: &'static str, code: i32) -> Result<Option<Tier>, Refusal> {
    match v1::Tier::try_from(code) {
        Ok(v1::Tier::Unspecified) => Ok(None),
        Ok(v1::Tier::Memory) => Ok(Some(Tier::Memory)),
        Ok(v1::Tier::Ssd) => Ok(Some(Tier::Ssd)),
        Err(_) => Err(Refusal::field(field, format!("unknown tier {code}, expected 0 to 2"))),
    }
}
