//! The log of requests: one line of JSON for each request. CloudWatch also takes metrics from it (embedded metric format).

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Extension;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::seen::Seen;
use crate::lambda::{print_line, stage};

/// Writes a function's other log messages to the standard output. `RUST_LOG` has the levels by crate or module, as in
/// `warn,shared=info`. Any text that is not such a list counts as `info`. There are no messages below that: see
/// `tracing` in Cargo.toml.
pub fn log_to_stdout() {
    let wanted = std::env::var("RUST_LOG").ok().and_then(|wanted| wanted.parse::<Targets>().ok());
    let wanted = wanted.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    // CloudWatch notes the time of each line by itself.
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).without_time();
    tracing_subscriber::registry().with(lines.with_filter(wanted)).init();
}

/// The destination of a function's log lines. It is an extension, layered around the router.
#[derive(Clone)]
pub struct RequestLog {
    function: &'static str,
    stage: Arc<str>,
    is_warm: Arc<AtomicBool>,
    write: Arc<dyn Fn(&str) + Send + Sync>,
}

impl RequestLog {
    /// The log of a deployed function: the standard output. The stage is the environment's `STAGE`, or `dev`.
    pub fn of_function(function: &'static str) -> Extension<Self> {
        Self::new(function, &stage(), print_line)
    }

    /// A log that hands each line to `write`, without its end.
    pub fn new(function: &'static str, stage: &str, write: impl Fn(&str) + Send + Sync + 'static) -> Extension<Self> {
        Extension(Self { function, stage: stage.into(), is_warm: Arc::default(), write: Arc::new(write) })
    }

    /// Writes the line about a request.
    pub(super) fn write(&self, seen: &Seen) {
        let cold_start = !self.is_warm.swap(true, Ordering::Relaxed);
        // This cannot fail, because there are only numbers and texts.
        if let Ok(line) = serde_json::to_string(&Line::of(self, seen, cold_start)) {
            (self.write)(&line);
        }
    }
}

/// The pseudonym of a user in the lines of a stage (`caller`): the first 16 hexadecimal digits of SHA-256 over
/// `<stage>:<user>`. It hides nothing from people who know the users' ids.
pub fn pseudonym(stage: &str, user: &str) -> String {
    let digest = Sha256::digest(format!("{stage}:{user}"));
    digest.iter().take(8).fold(String::with_capacity(16), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The line. Metrics and dimensions are named as CloudWatch does it, everything else as in the rest of the product.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "_aws")]
    aws: Aws,
    #[serde(rename = "Stage")]
    stage: &'a str,
    #[serde(rename = "Function")]
    function: &'static str,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    method: &'static str,
    route: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull: Option<&'static str>,
    #[serde(flatten)]
    metrics: Metrics,
}

/// The counters. They are 0 if there is nothing to count, so that their average is a rate.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metrics {
    duration: f64,
    table_time: f64,
    read_units: f64,
    write_units: f64,
    table_calls: u32,
    rows: usize,
    strong_fallback: u8,
    not_proven: u8,
    unauthorized: u8,
    keys_unavailable: u8,
    server_error: u8,
    cold_start: u8,
}

impl<'a> Line<'a> {
    fn of(log: &'a RequestLog, seen: &'a Seen, cold_start: bool) -> Self {
        let caller = seen.caller.0.get().map(|user| pseudonym(&log.stage, user.as_str()));
        let is = |code| u8::from(seen.code == Some(code));
        Self {
            aws: Aws::now(),
            stage: &log.stage,
            function: log.function,
            version: env!("CARGO_PKG_VERSION"),
            request_id: seen.request_id.as_deref(),
            trace_id: seen.trace_id.as_deref(),
            method: seen.method,
            route: &seen.route,
            project: seen.project.as_deref(),
            caller,
            status: seen.status,
            code: seen.code,
            mark: seen.outcome.mark,
            pull: seen.outcome.pull,
            metrics: Metrics {
                duration: milliseconds(seen.start.elapsed().as_secs_f64()),
                table_time: milliseconds(seen.cost.time.as_secs_f64()),
                read_units: seen.cost.read_units,
                write_units: seen.cost.write_units,
                table_calls: seen.cost.calls,
                rows: seen.outcome.rows.unwrap_or_default(),
                strong_fallback: seen.cost.strong_fallback.into(),
                not_proven: is("not_proven"),
                unauthorized: u8::from(seen.status == 401),
                keys_unavailable: is("keys_unavailable"),
                server_error: u8::from(seen.status >= 500),
                cold_start: cold_start.into(),
            },
        }
    }
}

fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1e5).round() / 100.0
}

/// The part of a line that CloudWatch turns into metrics.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Aws {
    timestamp: u128,
    cloud_watch_metrics: [Directive; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: &'static str,
    dimensions: [[&'static str; 2]; 1],
    metrics: [Metric; 12],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: &'static str,
}

impl Aws {
    fn now() -> Self {
        let metric = |name| Metric { name, unit: "Count" };
        let time = |name| Metric { name, unit: "Milliseconds" };
        Self {
            timestamp: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis(),
            cloud_watch_metrics: [Directive {
                namespace: "TruePPM/Sync",
                dimensions: [["Stage", "Function"]],
                metrics: [
                    time("Duration"),
                    time("TableTime"),
                    metric("ReadUnits"),
                    metric("WriteUnits"),
                    metric("TableCalls"),
                    metric("Rows"),
                    metric("StrongFallback"),
                    metric("NotProven"),
                    metric("Unauthorized"),
                    metric("KeysUnavailable"),
                    metric("ServerError"),
                    metric("ColdStart"),
                ],
            }],
        }
    }
}
