//! The admin service: which indexes are served, and replacing them.
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use spandrel_engine::{Aim, DocumentDefaults, Pruning, RECALL_DEFAULT, RecallEstimate};
use spandrel_index::documents::DocumentOffsets;
use spandrel_index::format::{RecallCurve, RecallCurves, RecallPoint, RecallSource, VectorsOf};
use spandrel_index::{Index, OpenOptions, Tier, VectorsShape, VerifyError, VerifyProgress, verify_open};
use spandrel_proto::v1;
use spandrel_proto::v1::admin_service_server::AdminService;
use tokio::sync::Semaphore;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::attributes::wire_type;
use super::convert::summary;
use super::kinds::{tier, wire_dtype, wire_metric, wire_tier};
use super::operations::{message, watch};
use crate::attributes::AttributeSummary;
use crate::causes::with_causes;
use crate::operations::{Kind, Opened, Operations, Outcome, Verified};
use crate::progress::Progress;
use crate::recall::Measured;
use crate::refusal::Refusal;
use crate::registry::{Registry, Switched};
use crate::served::{IndexConfig, Served};
use crate::stopping::{StopFlag, Stopping};
use crate::tokens::{Caller, Scope};

/// Manages indexes.
pub(crate) struct Admin {
    registry: Arc<Registry>,
    operations: Operations,
    /// One place: verifying reads as fast as the disk gives.
    verifying: Arc<Semaphore>,
}

impl Admin {
    pub(crate) fn new(registry: &Arc<Registry>, stopping: &Stopping) -> Admin {
        Admin {
            registry: Arc::clone(registry),
            operations: Operations::new(stopping.clone()),
            verifying: Arc::new(Semaphore::new(1)),
        }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl AdminService for Admin {
    async fn list_indexes(&self, _: Request<v1::ListIndexesRequest>) -> Answer<v1::ListIndexesResponse> {
        self.registry.check_loaded()?;
        let indexes = self.registry.all().iter().map(|served| summary(served.summary())).collect();
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

    async fn start_load(&self, request: Request<v1::StartLoadRequest>) -> Answer<v1::Operation> {
        let v1::StartLoadRequest { index: name, path, codes, vectors, estimates, version } =
            request.into_inner();
        let options =
            OpenOptions { codes: tier("codes", codes)?, vectors: tier("vectors", vectors)?, ids: estimates };
        let place = self.registry.confined(&path)?;
        self.registry.check_new(&name)?;
        let registry = Arc::clone(&self.registry);
        let version = (version > 0).then_some(version);
        let config = IndexConfig { name: name.clone(), path: place.path().to_owned(), version, options };
        let operation = self.operations.start(Kind::Load, &name, |progress| async move {
            let served = registry.load(config, place, progress).await?;
            Ok(Outcome::Opened(Opened { now: served.summary(), before: None, not_remembered: None }))
        })?;
        Ok(Response::new(message(&operation)))
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

    async fn start_switch(&self, request: Request<v1::StartSwitchRequest>) -> Answer<v1::Operation> {
        let v1::StartSwitchRequest { index, path, version } = request.into_inner();
        let version = (version > 0).then_some(version);
        let place = match path.as_str() {
            "" => None,
            path => Some(self.registry.confined(path)?),
        };
        let name = self.registry.get(&index)?.config.name.clone();
        let (registry, switched) = (Arc::clone(&self.registry), name.clone());
        let operation = self.operations.start(Kind::Switch, &name, |progress| async move {
            let Switched { old, new, not_remembered } =
                registry.switch(&switched, place, version, progress).await?;
            let before = Some(old.version().number);
            Ok(Outcome::Opened(Opened { now: new.summary(), before, not_remembered }))
        })?;
        Ok(Response::new(message(&operation)))
    }

    async fn start_verify(&self, request: Request<v1::StartVerifyRequest>) -> Answer<v1::Operation> {
        let v1::StartVerifyRequest { index, deep } = request.into_inner();
        let served = self.registry.get(&index)?;
        let Ok(place) = Arc::clone(&self.verifying).try_acquire_owned() else {
            return Err(Refusal::Busy.into());
        };
        let name = served.config.name.clone();
        let verifying = |progress: Arc<Progress>| async move {
            let flag = StopFlag::default();
            let stop = flag.share();
            let verifying = tokio::task::spawn_blocking(move || {
                let _place = place;
                verify(&served, deep, &progress, &stop)
            });
            verifying.await.map_err(Refusal::broken("verifying"))?
        };
        let operation = self.operations.start(Kind::Verify, &name, verifying)?;
        Ok(Response::new(message(&operation)))
    }

    async fn get_operation(&self, request: Request<v1::GetOperationRequest>) -> Answer<v1::Operation> {
        Ok(Response::new(message(&*self.operations.get(request.into_inner().id)?)))
    }

    async fn list_operations(
        &self,
        _: Request<v1::ListOperationsRequest>,
    ) -> Answer<v1::ListOperationsResponse> {
        let operations = self.operations.all().iter().map(|operation| message(operation)).collect();
        Ok(Response::new(v1::ListOperationsResponse { operations }))
    }

    type WatchOperationStream = ReceiverStream<Result<v1::Operation, Status>>;

    async fn watch_operation(
        &self,
        mut request: Request<v1::WatchOperationRequest>,
    ) -> Answer<Self::WatchOperationStream> {
        let Some(entry) = request.extensions_mut().remove() else {
            unreachable!("the guard enters every call")
        };
        Ok(Response::new(watch(self.operations.get(request.into_inner().id)?, entry)))
    }

    async fn cancel_operation(&self, request: Request<v1::CancelOperationRequest>) -> Answer<v1::Operation> {
        let operation = self.operations.get(request.into_inner().id)?;
        operation.cancel();
        operation.ended().await;
        Ok(Response::new(message(&operation)))
    }
}

/// Verifies the files that an index is served from.
fn verify(served: &Served, deep: bool, progress: &Progress, stop: &AtomicBool) -> Result<Outcome, Refusal> {
    let version = served.version().number;
    let mut tell = |now: VerifyProgress<'_>| progress.set(now.done_bytes, now.total_bytes);
    let verified = match verify_open(served.index(), deep, &mut tell, stop) {
        Ok(report) => {
            progress.set(report.bytes, report.bytes);
            Verified { version, bytes: report.bytes, problem: None }
        }
        Err(VerifyError::Stopped { .. }) => return Err(Refusal::Cancelled),
        Err(error) => Verified { version, bytes: 0, problem: Some(with_causes(&error)) },
    };
    Ok(Outcome::Verified(verified))
}

fn calibration(curves: &RecallCurves, vectors: Tier) -> v1::Calibration {
    let source = match curves.source {
        RecallSource::Rows => v1::CalibrationSource::Rows,
        RecallSource::Queries => v1::CalibrationSource::Queries,
    };
    let point = |point: &RecallPoint| v1::RecallPoint {
        lists: point.lists,
        rerank_errors: point.rerank_errors,
        recall: point.recall,
    };
    let curve = |curve: &RecallCurve| v1::RecallCurve {
        k: curve.k,
        queries: curve.queries,
        points: curve.points.iter().map(point).collect(),
    };
    v1::Calibration {
        source: source as i32, // CAST: the enum's code
        confidence: curves.confidence,
        curves: curves.of(vectors).map(curve).collect(),
    }
}

fn column(name: &str, index: &Index) -> v1::ColumnSummary {
    let VectorsShape { metric, dtype, dim, .. } = index.shape_of(VectorsOf::Column);
    v1::ColumnSummary {
        name: name.to_owned(),
        dim: dim as u32,                    // CAST: at most DIM_MAX
        dtype: wire_dtype(dtype) as i32,    // CAST: the enum's code
        metric: wire_metric(metric) as i32, // CAST: the enum's code
        keeps_coarse: index.holds(VectorsOf::Main),
    }
}

fn documents_of(offsets: &DocumentOffsets, usual: Option<DocumentDefaults>) -> v1::DocumentsSummary {
    let count = offsets.documents();
    v1::DocumentsSummary {
        count: count as u64, // CAST: widening
        vectors_min: offsets.rows_min(),
        vectors_max: offsets.rows_max(),
        vectors_mean: offsets.rows() as f64 / count as f64, // CAST: a ratio
        by_encodings: usual.is_some_and(|usual| usual.by_encodings),
        default_lists: usual.map_or(0, |usual| usual.lists),
        default_compared: usual.map_or(0, |usual| usual.compared),
    }
}

fn attribute(of: &AttributeSummary) -> v1::AttributeSummary {
    let AttributeSummary { name, kind, values, nulls, most_frequent } = of;
    let value = |(value, vectors): &(String, u64)| v1::ValueCount { value: value.clone(), vectors: *vectors };
    v1::AttributeSummary {
        name: name.clone(),
        r#type: wire_type(*kind) as i32, // CAST: the enum's code
        values: *values,
        nulls: *nulls,
        most_frequent: most_frequent.iter().map(value).collect(),
    }
}

fn measured_recall(measured: &Measured) -> v1::MeasuredRecall {
    let RecallEstimate { recall, low, high, queries } = measured.estimate;
    v1::MeasuredRecall {
        k: measured.asked.k as u32, // CAST: within the server's limit
        target: measured.asked.target,
        recall,
        low,
        high,
        queries: queries as u32, // CAST: at most 1024
    }
}

/// Neighbours for which an index's default is described.
const NEIGHBOURS: usize = 10;

/// An index in full. Where it lies on the server's disk is for admins to know.
fn description(served: &Served, is_admin: bool) -> v1::DescribeIndexResponse {
    let (index, damage) = (served.index(), served.engine().damage());
    let default = Pruning::of(index, NEIGHBOURS, Aim::at(RECALL_DEFAULT));
    let tier = |tier: Tier| wire_tier(tier) as i32; // CAST: the enum's code
    v1::DescribeIndexResponse {
        summary: Some(summary(served.summary())),
        path: if is_admin { served.index().dir().display().to_string() } else { String::new() },
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
        measured_recall: served.measured().iter().map(measured_recall).collect(),
        calibration: index.recall().map(|curves| calibration(curves, index.vectors_tier())),
        attributes: served.attributes.iter().map(attribute).collect(),
        column: index.column().map(|of| column(&of.name, index)),
        documents: index
            .documents()
            .map(|documents| documents_of(documents.offsets(), DocumentDefaults::of(index.manifest()))),
        embedding_versions: index
            .manifest()
            .embedding
            .iter()
            .flat_map(|embedding| embedding.versions())
            .map(str::to_owned)
            .collect(),
    }
}
