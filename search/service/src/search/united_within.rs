//! All vectors within a radius of several indexes that are searched as one.
use std::mem;

use spandrel_engine::{Course, Duplicates, QueryPlan};
use spandrel_index::format::VectorsOf;

use super::local::Local;
use super::ranges::{RangeTerms, Ranges};
use super::united::{check_alike, check_version_of, let_in};
use crate::ask::{AskWithin, Form};
use crate::call::Call;
use crate::refusal::Refusal;

impl Local {
    /// Begins a search within a radius of several indexes as one. They are let in together.
    pub(super) async fn united_within(&self, mut ask: AskWithin, call: Call<'_>) -> Result<Ranges, Refusal> {
        let (duplicates, max_results) = (ask.duplicates, ask.params.max_results);
        if duplicates == Duplicates::Best && max_results.is_none() {
            let message = "not set: with several indexes and DUPLICATES_BEST all that is found is held; set it, or ask for DUPLICATES_KEEP";
            return Err(Refusal::field("max_results", message));
        }
        let served = self.each(&ask.indexes)?;
        for served in &served {
            check_version_of(served, "embedding_version", ask.embedding_version.as_deref())?;
            QueryPlan::within(&ask.params, served.index())?;
        }
        check_alike(&served, VectorsOf::Main, ask.filter.is_some())?;
        let Some(first) = served.first() else { return Err(Refusal::field("indexes", "none given")) };
        let shape = first.index().shape_of(VectorsOf::Main);
        let (target, _, _room) = self.shared(ask.target, Form::One, shape, call).await?;
        ask.target = target;
        let leave = let_in(&served, 1, Course::Within, call.deadline)?;
        if let Some(filter) = ask.filter.take() {
            ask.filter = Some(first.filters.parsed(filter, call.deadline).await?);
        }
        let (names, metric) = (mem::take(&mut ask.indexes), shape.metric);
        let mut parts = Vec::with_capacity(served.len());
        for served in served {
            parts.push(self.ranging(served, ask.clone(), Some(leave), call).await?);
        }
        Ok(Ranges::of_several(parts, RangeTerms { names, metric, duplicates, max_results }))
    }
}
