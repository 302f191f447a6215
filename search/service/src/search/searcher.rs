//! What every searcher does.
use super::ranges::Ranges;
use crate::ask::{Ask, AskFetch, AskWithin, Fetched, Found};
use crate::call::Call;
use crate::refusal::Refusal;

/// Answers queries and looks vectors up.
#[tonic::async_trait]
pub(crate) trait Searcher: Send + Sync {
    /// Answers queries, all from one version of their index. Dropped, it is given up.
    async fn search<'a>(&self, ask: Ask, call: Call<'a>) -> Result<Found<'a>, Refusal>;

    /// Begins a search within a radius, all of it in one version of its index, or of each.
    async fn within(&self, ask: AskWithin, call: Call<'_>) -> Result<Ranges, Refusal>;

    /// Vectors by id, all from one version of their index.
    async fn fetch<'a>(&self, ask: AskFetch, call: Call<'a>) -> Result<Fetched<'a>, Refusal>;
}
