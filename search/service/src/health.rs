//! The standard health service: the server as a whole under the empty name, each service and each index by its own.
use spandrel_proto::v1::admin_service_server::SERVICE_NAME as ADMIN;
use spandrel_proto::v1::search_service_server::SERVICE_NAME as SEARCH;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Says what is being served.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
}

impl Health {
    pub(crate) fn new(reporter: HealthReporter) -> Health {
        Health { reporter }
    }

    /// The server is there and does not answer yet.
    pub(crate) async fn loading<'a>(&self, indexes: impl Iterator<Item = &'a str>) {
        for name in ["", SEARCH, ADMIN].into_iter().chain(indexes) {
            self.reporter.set_service_status(name, ServingStatus::NotServing).await;
        }
    }

    /// The server answers.
    pub(crate) async fn started(&self) {
        for name in ["", SEARCH, ADMIN] {
            self.reporter.set_service_status(name, ServingStatus::Serving).await;
        }
    }

    /// An index answers.
    pub(crate) async fn serving(&self, index: &str) {
        self.reporter.set_service_status(index, ServingStatus::Serving).await;
    }

    /// An index does not answer for the moment.
    pub(crate) async fn silent(&self, index: &str) {
        self.reporter.set_service_status(index, ServingStatus::NotServing).await;
    }

    /// An index is served no more, and its name is forgotten. Those who watch it are told.
    pub(crate) async fn gone(&self, index: &str) {
        self.silent(index).await;
        self.reporter.clone().clear_service_status(index).await;
    }

    /// The server is about to stop: clients should go elsewhere.
    pub(crate) async fn stopping(&self, indexes: &[String]) {
        for name in ["", SEARCH, ADMIN].into_iter().chain(indexes.iter().map(String::as_str)) {
            self.reporter.set_service_status(name, ServingStatus::NotServing).await;
        }
    }
}
