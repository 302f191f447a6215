//! From settings to the server that they ask for.
use std::time::Duration;

use spandrel_engine::{Distances, EngineConfig};
use spandrel_index::OpenOptions;
use spandrel_service::{AdmissionConfig, IndexConfig, Limits, ServerConfig, TlsConfig};

use super::declared::Settings;
use super::file::IndexEntry;
use super::values::{NamedDir, Switch};
use crate::UsageError;

impl Settings {
    /// Time between saying that the server will stop and stopping.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    /// Time for calls under way when the server stops.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }

    /// The server that these settings ask for.
    ///
    /// # Errors
    /// Settings that do not go together, two indexes of one name, and none at all.
    pub(in crate::commands) fn config(
        &self,
        dirs: &[NamedDir],
        entries: &[IndexEntry],
    ) -> anyhow::Result<ServerConfig> {
        if self.recall_correct && self.measure_recall == 0.0 {
            return Err(UsageError("--recall-correct needs --measure-recall, which is 0".to_owned()).into());
        }
        Ok(ServerConfig {
            indexes: self.indexes(dirs, entries)?,
            listen: self.listen.0,
            metrics: self.metrics.address(),
            engine: EngineConfig {
                threads: self.threads.unwrap_or(EngineConfig::default().threads),
                in_flight: self.in_flight,
                io: self.io,
                direct: self.direct,
                cache_bytes: self.cache.map_or(0, |size| size.0),
                cache_policy: self.cache_policy,
            },
            limits: self.limits(),
            admission: AdmissionConfig {
                queue_delay_max: Duration::from_millis(self.queue_delay_ms),
                degrade_effort_min: self.degrade_effort_min,
            },
            measure_recall: self.measure_recall,
            correct_recall: self.recall_correct,
            tls: self.tls()?,
            tokens: self.tokens.clone(),
            roots: self.root.clone(),
            default_index: self.default_index.clone(),
            health: self.health == Switch::On,
            reflection: self.reflection == Switch::On,
            insecure: self.insecure,
            metrics_insecure: self.metrics_insecure,
        })
    }

    fn tls(&self) -> Result<Option<TlsConfig>, UsageError> {
        match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsConfig {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: self.tls_client_ca.clone(),
            })),
            (None, None) if self.tls_client_ca.is_none() => Ok(None),
            _ => Err(UsageError("TLS needs both a certificate and its key".to_owned())),
        }
    }

    /// The indexes to serve. What the command line says of one replaces what the file says of it.
    fn indexes(&self, dirs: &[NamedDir], entries: &[IndexEntry]) -> Result<Vec<IndexConfig>, UsageError> {
        let of_flag = |NamedDir { name, dir, version }: &NamedDir| IndexConfig {
            name: name.clone(),
            path: dir.clone(),
            version: *version,
            options: OpenOptions {
                codes: self.codes,
                vectors: self.vectors,
                ids: self.distances == Distances::Any,
            },
        };
        let of_file = |entry: &IndexEntry| IndexConfig {
            name: entry.name.clone(),
            path: entry.path.clone(),
            version: entry.version,
            options: OpenOptions {
                codes: entry.codes.or(self.codes),
                vectors: entry.vectors.or(self.vectors),
                ids: entry.distances.unwrap_or(self.distances) == Distances::Any,
            },
        };
        let left = entries.iter().filter(|entry| dirs.iter().all(|dir| dir.name != entry.name));
        let indexes: Vec<IndexConfig> = dirs.iter().map(of_flag).chain(left.map(of_file)).collect();
        let mut names: Vec<&str> = indexes.iter().map(|index| index.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(UsageError(format!("two indexes are called '{}'", twice[0])));
        }
        if indexes.is_empty() && self.root.is_empty() {
            return Err(UsageError(
                "no index to serve: give --index NAME=DIR, or --root DIR to load some later".to_owned(),
            ));
        }
        Ok(indexes)
    }

    fn limits(&self) -> Limits {
        // CAST: sizes are bounded where they are declared, to less than 2^32 of headers
        Limits {
            message_bytes: self.max_message.0 as usize,
            in_flight_bytes: self.max_in_flight.0 as usize,
            k_max: self.max_k,
            lists_max: self.max_lists,
            rerank_max: self.max_rerank,
            documents_max: self.max_documents,
            document_vectors_max: self.max_document_vectors,
            range_results_max: self.max_range_results,
            filter_bytes: self.max_filters.0 as usize,
            batch_max: self.max_batch,
            stream_window: self.stream_window,
            streams_max: self.max_streams,
            connections_max: self.max_connections,
            header_bytes: self.max_headers.0 as u32,
            handshake_max: Duration::from_secs(self.handshake_seconds),
            first_call_max: Duration::from_secs(self.first_call_seconds),
            idle_max: Duration::from_secs(self.idle_seconds),
            age_max: Duration::from_secs(self.age_seconds),
            request_max: Duration::from_secs(self.request_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::serve::settings::layers::parse;

    fn config(words: &[&str], dirs: &[&str]) -> anyhow::Result<ServerConfig> {
        let dirs: Vec<NamedDir> = dirs.iter().map(|dir| dir.parse().unwrap()).collect();
        parse::<Settings>(words)?.config(&dirs, &[])
    }

    #[test]
    fn defaults_are_those_of_the_server() {
        let config = config(&[], &["a=x"]).unwrap();
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.admission, AdmissionConfig::default());
        assert_eq!((config.listen.port(), config.metrics.unwrap().port()), (7700, 7701));
    }

    #[test]
    fn names_that_a_server_would_refuse_are_refused_by_a_check() {
        for (name, is_good) in [("a-1", true), ("a b", false), ("", false)] {
            let dir = NamedDir { name: name.to_owned(), dir: "x".into(), version: None };
            let config = parse::<Settings>([""; 0]).unwrap().config(&[dir], &[]).unwrap();
            assert_eq!(config.check().is_ok(), is_good, "{name}");
            let config = ServerConfig {
                default_index: Some(name.to_owned()),
                roots: vec!["/".into()],
                indexes: vec![],
                ..config
            };
            assert_eq!(config.check().is_ok(), is_good, "{name} for requests that name none");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        assert!(config(&["--root=/"], &[]).is_ok());
        for (words, dirs, says) in [
            (&[][..], &[][..], "no index to serve"),
            (&["--root=/", "--tls-key=k"], &[], "both a certificate and its key"),
            (&[], &["a=x", "a=y"], "two indexes are called 'a'"),
            (&["--degrade-effort-min=0"], &["a=x"], "above 0"),
            (&["--max-message=1"], &["a=x"], "expected 1024 to"),
        ] {
            let error = config(words, dirs).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
