//! Where a server's log goes: standard error, and traces to a collector where the program was built for that.
use std::io;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use super::settings::Settings;
use crate::Session;
use crate::values::OutputFormat;

/// Keeps the log going; traces still on their way leave when it is dropped.
pub(super) struct Log {
    #[cfg(feature = "otel")]
    traces: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

/// Starts the log. Needs a tokio runtime where traces are sent.
pub(super) fn start(settings: &Settings, session: &Session) -> anyhow::Result<Log> {
    let usual = if session.quiet { LevelFilter::WARN } else { LevelFilter::INFO };
    // The audit log is kept by whoever wants a quiet server, too.
    let usual = Targets::new().with_default(usual).with_target("audit", LevelFilter::INFO);
    let asked = std::env::var("SPANDREL_LOG").ok().and_then(|text| text.parse().ok());
    let filter: Targets = asked.unwrap_or(usual);
    // A reader of the log that goes away ends neither the server nor a call: what cannot be written is dropped.
    let lines =
        fmt::layer().with_writer(io::stderr).log_internal_errors(false).with_target(false).with_ansi(false);
    let lines = match settings.log_format {
        OutputFormat::Text => lines.boxed(),
        OutputFormat::Json => lines.json().boxed(),
    };
    let registry = tracing_subscriber::registry().with(lines.with_filter(filter));
    #[cfg(feature = "otel")]
    {
        let traces = settings.otlp.as_deref().map(provider).transpose()?;
        let layer = traces.as_ref().map(|traces| {
            let tracer = opentelemetry::trace::TracerProvider::tracer(traces, "spandrel");
            tracing_opentelemetry::layer().with_tracer(tracer).with_filter(LevelFilter::INFO)
        });
        registry.with(layer).init();
        Ok(Log { traces })
    }
    #[cfg(not(feature = "otel"))]
    {
        if settings.otlp.is_some() {
            let message = "this program was built without OpenTelemetry";
            return Err(
                crate::Advised::new(message, "build it with --features otel, or leave --otlp out").into()
            );
        }
        registry.init();
        Ok(Log {})
    }
}

/// Sends spans of calls to a collector, in batches, on threads of its own.
#[cfg(feature = "otel")]
fn provider(endpoint: &str) -> anyhow::Result<opentelemetry_sdk::trace::SdkTracerProvider> {
    use opentelemetry_otlp::WithExportConfig as _;

    let exporter =
        opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let resource = opentelemetry_sdk::Resource::builder().with_service_name("spandrel").build();
    let builder = opentelemetry_sdk::trace::SdkTracerProvider::builder();
    Ok(builder.with_resource(resource).with_batch_exporter(exporter).build())
}

#[cfg(feature = "otel")]
impl Drop for Log {
    fn drop(&mut self) {
        // A collector that is gone must not keep the server from ending.
        if let Some(traces) = self.traces.take() {
            drop(traces.shutdown_with_timeout(std::time::Duration::from_secs(2)));
        }
    }
}
