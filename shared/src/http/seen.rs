//! The facts about a request and its response for the log and `Server-Timing`.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, RawPathParams, Request};
use axum::http::Method;

use crate::domain::{ProjectId, UserId};
use crate::meter::Cost;

/// The outcome of a request for the log. It is in the response's extensions.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoggedOutcome {
    /// The mark of a pull, or the version that a change committed.
    pub mark: Option<u64>,
    /// The number of rows and tombstones.
    pub rows: Option<usize>,
    /// The outcome of a pull.
    pub pull: Option<&'static str>,
}

/// The `code` of a problem, in a response's extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProblemCode(pub(super) &'static str);

/// The caller, in a request's extensions, as soon as it is known.
#[derive(Debug, Clone, Default)]
pub(super) struct CallerSlot(pub(super) Arc<OnceLock<UserId>>);

/// A request that was answered. Of the client's input it has only ids, and instead of the path only the route.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) start: Instant,
    pub(super) request_id: Option<String>,
    pub(super) trace_id: Option<String>,
    pub(super) method: &'static str,
    pub(super) route: String,
    pub(super) project: Option<String>,
    pub(super) caller: CallerSlot,
    pub(super) status: u16,
    pub(super) code: Option<&'static str>,
    pub(super) outcome: LoggedOutcome,
    pub(super) cost: Cost,
}

impl Seen {
    pub(super) fn of(request: &Request, params: Option<&RawPathParams>) -> Self {
        let context = request.extensions().get::<lambda_http::Context>();
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let project = params.into_iter().flatten().find(|(name, _)| *name == "project_id").map(|(_, id)| id);
        Self {
            start: Instant::now(),
            request_id: context.map(|context| context.request_id.clone()),
            trace_id: context.and_then(|context| context.xray_trace_id.clone()),
            method: known(request.method()),
            route: route.unwrap_or("none").to_owned(),
            // A text that is not an id may be anything, so it is left out.
            project: project.filter(|id| id.parse::<ProjectId>().is_ok()).map(str::to_owned),
            caller: CallerSlot::default(),
            status: 0,
            code: None,
            outcome: LoggedOutcome::default(),
            cost: Cost::default(),
        }
    }

    /// `pull;desc="first_read", table;dur=12.3;desc="2 calls", rcu;desc="2.5 read units", wcu;desc="0 write units"`.
    ///
    /// `dur` is always in milliseconds, so capacity units are in the description, which begins with the number.
    pub(super) fn server_timing(&self) -> String {
        let Cost { calls, time, read_units, write_units, .. } = self.cost;
        let pull = self.outcome.pull.map(|pull| format!("pull;desc=\"{pull}\", ")).unwrap_or_default();
        let (ms, s) = (time.as_secs_f64() * 1e3, if calls == 1 { "" } else { "s" });
        format!(
            "{pull}table;dur={ms:.1};desc=\"{calls} call{s}\", rcu;desc=\"{read_units} read units\", \
             wcu;desc=\"{write_units} write units\""
        )
    }

    /// The line for a developer.
    pub(super) fn trace(&self) {
        let Cost { calls, time, read_units, write_units, .. } = self.cost;
        tracing::info!(
            status = self.status,
            code = self.code,
            duration_ms = self.start.elapsed().as_millis(),
            table_ms = time.as_millis(),
            calls,
            read_units,
            write_units,
            mark = self.outcome.mark,
            rows = self.outcome.rows,
            pull = self.outcome.pull,
            "{} {}",
            self.method,
            self.route,
        );
    }
}

/// The name of a method for the log. A client may make up methods, so an unknown one is `other`.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PATCH", "DELETE", "OPTIONS", "HEAD", "PUT"];
    KNOWN.into_iter().find(|known| method.as_str() == *known).unwrap_or("other")
}
