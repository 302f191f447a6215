//! The admin service: which indexes are served, and replacing them.
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use spandrel_index::{OpenOptions, Tier, VerifyError, verify_open};
use spandrel_proto::v1;
use spandrel_proto::v1::admin_service_server::AdminService;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::convert::{tier, wire_dtype, wire_metric, wire_tier};
use crate::causes::with_causes;
use crate::refusal::Refusal;
use crate::registry::Registry;
use crate::served::{IndexConfig, Served};
use crate::stopping::{StopFlag, Stopping};
use crate::tokens::{Caller, Scope};

/// Manages indexes.
pub(crate) struct Admin {
    pub(crate) registry: Arc<Registry>,
    pub(crate) stopping: Stopping,
    /// One place: verifying reads as fast as the disk gives.
    pub(crate) verifying: Arc<Semaphore>,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl AdminService for Admin {
    async fn list_indexes(&self, _: Request<v1::ListIndexesRequest>) -> Answer<v1::ListIndexesResponse> {
        self.registry.check_loaded()?;
        let indexes = self.registry.all().iter().map(|served| summary(served)).collect();
        Ok(Response::new(v1::ListIndexesResponse { indexes }))
    }

    async fn describe_index(
        &self,
        request: Request<v1::DescribeIndexRequest>,
    ) -> Answer<v1::DescribeIndexResponse> {
        let is_admin = request.extensions().get().is_some_and(|caller: &Caller| caller.scope >= Scope::Admin);
        let served = self.registry.get(&request.into_inner().index)?;
        Ok(Response::new(description(&served, is_admin)))
    }

    async fn load_index(&self, request: Request<v1::LoadIndexRequest>) -> Answer<v1::LoadIndexResponse> {
        let request = request.into_inner();
        let options = OpenOptions {
            codes: tier("codes", request.codes)?,
            vectors: tier("vectors", request.vectors)?,
            ids: request.estimates,
        };
        let path = self.registry.confined(&request.path)?;
        let loading = self.registry.load(IndexConfig { name: request.index, path, options });
        let served = self.unless_stopping(loading).await?;
        log("loaded", &served);
        Ok(Response::new(v1::LoadIndexResponse { summary: Some(summary(&served)) }))
    }

    async fn unload_index(
        &self,
        request: Request<v1::UnloadIndexRequest>,
    ) -> Answer<v1::UnloadIndexResponse> {
        let name = request.into_inner().index;
        if name.is_empty() {
            return Err(Refusal::field("index", "not set").into());
        }
        self.registry.unload(&name).await?;
        tracing::info!(index = name, "unloaded");
        Ok(Response::new(v1::UnloadIndexResponse {}))
    }

    async fn switch_index(
        &self,
        request: Request<v1::SwitchIndexRequest>,
    ) -> Answer<v1::SwitchIndexResponse> {
        let v1::SwitchIndexRequest { index, path } = request.into_inner();
        let path: Option<PathBuf> = match path.as_str() {
            "" => None,
            path => Some(self.registry.confined(path)?),
        };
        let (old, new) = self.unless_stopping(self.registry.switch(&index, path)).await?;
        log("switched", &new);
        let old_version = old.version().number;
        Ok(Response::new(v1::SwitchIndexResponse { old_version, summary: Some(summary(&new)) }))
    }

    async fn verify(&self, request: Request<v1::VerifyRequest>) -> Answer<v1::VerifyResponse> {
        let v1::VerifyRequest { index, deep } = request.into_inner();
        let served = self.registry.get(&index)?;
        let Ok(place) = Arc::clone(&self.verifying).try_acquire_owned() else {
            return Err(Refusal::Busy.into());
        };
        let version = served.version().number;
        let flag = StopFlag::default();
        let (stop, asked) = (flag.share(), self.stopping.clone());
        let mut verifying = tokio::task::spawn_blocking(move || {
            let _place = place;
            verify_open(served.index(), deep, &mut |_| {}, &stop)
        });
        let verified = tokio::select! {
            verified = &mut verifying => verified,
            () = asked.asked() => return Err(Refusal::Stopping.into()),
        };
        drop(flag);
        let verified = verified.map_err(|e| Refusal::Internal(format!("verifying: {e}")))?;
        Ok(Response::new(match verified {
            Ok(report) => {
                let (whole, bytes) = (true, report.bytes);
                v1::VerifyResponse { whole, bytes, problem: String::new(), version }
            }
            Err(VerifyError::Stopped { .. }) => return Err(Refusal::Cancelled.into()),
            Err(error) => {
                let problem = with_causes(&error);
                v1::VerifyResponse { whole: false, bytes: 0, problem, version }
            }
        }))
    }
}

impl Admin {
    /// What a change comes to, which is given up when the server is to stop.
    async fn unless_stopping<T>(
        &self,
        change: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        tokio::select! {
            changed = change => changed,
            () = self.stopping.asked() => Err(Refusal::Stopping),
        }
    }
}

fn log(what: &str, served: &Served) {
    let (index, version) = (&served.config.name, served.version().number);
    tracing::info!(index, version, path = %served.config.path.display(), "{what}");
}

/// What matters most about an index.
fn summary(served: &Served) -> v1::IndexSummary {
    let index = served.index();
    v1::IndexSummary {
        name: served.config.name.clone(),
        version: served.version().number,
        uuid: served.version().uuid.to_string(),
        vectors: index.vectors(),
        dim: index.dim() as u32,                            // CAST: at most DIM_MAX
        dtype: wire_dtype(index.dtype()) as i32,            // CAST: the enum's code
        metric: wire_metric(index.metric()) as i32,         // CAST: the enum's code
        quarantined: served.engine().damage_count() as u32, // CAST: at most 1000
    }
}

/// Neighbours for which an index's default is described.
const NEIGHBOURS: usize = 10;

/// An index in full. Where it lies on the server's disk is for admins to know.
fn description(served: &Served, is_admin: bool) -> v1::DescribeIndexResponse {
    let (index, damage) = (served.index(), served.engine().damage());
    let default = index.search_default(NEIGHBOURS);
    let tier = |tier: Tier| wire_tier(tier) as i32; // CAST: the enum's code
    v1::DescribeIndexResponse {
        summary: Some(summary(served)),
        path: if is_admin { served.config.path.display().to_string() } else { String::new() },
        lists: index.lists(),
        code: index.code().to_string(),
        codes: tier(index.codes_tier()),
        vectors: tier(index.vectors_tier()),
        estimates: index.has_ids(),
        memory_bytes: served
            .memory()
            .into_iter()
            .map(|(part, bytes)| (part.to_owned(), bytes))
            .collect::<HashMap<_, _>>(),
        disk_bytes: index.manifest().index_bytes(),
        default_max_lists: default.max_lists,
        default_epsilon: default.epsilon.unwrap_or(f32::INFINITY),
        default_rerank_errors: default.rerank_errors,
        quarantined: damage
            .iter()
            .map(|part| if is_admin { part.to_string() } else { part.part.to_string() })
            .collect(),
        open_seconds: served.opening_time.as_secs_f32(),
        served_seconds: served.opened.elapsed().as_secs(),
    }
}
