//! The two reports about each request: `Server-Timing` on its answer, and one line in the log.

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::Response;

use super::budget::CallerBudgets;
use super::gateway::at_the_edge;
use super::log::RequestLog;
use super::seen::{ProblemCode, Seen};
use crate::meter;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// The header that lets a page of another origin read `Server-Timing` in the browser's `PerformanceResourceTiming`.
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// Measures each request. Reports its cost in `Server-Timing`, and in one line for the [`RequestLog`] that is layered around the
/// router as an extension. Without a log, as on a developer's machine, the line is an event of tracing.
pub fn observed<S>(router: Router<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    at_the_edge(router).layer(middleware::from_fn(observe))
}

async fn observe(params: Result<RawPathParams, RawPathParamsRejection>, mut request: Request, next: Next) -> Response {
    let log = request.extensions().get::<RequestLog>().cloned();
    let budgets = request.extensions().get::<CallerBudgets>().cloned();
    let mut seen = Seen::of(&request, params.ok().as_ref());
    request.extensions_mut().insert(seen.caller.clone());
    let (mut response, cost) = meter::measured(next.run(request)).await;
    seen.cost = cost;
    if let (Some(budgets), Some(caller)) = (budgets, seen.caller.0.get()) {
        budgets.charge(caller, &cost);
    }
    seen.status = response.status().as_u16();
    seen.code = response.extensions().get::<ProblemCode>().map(|code| code.0);
    seen.outcome = response.extensions().get().copied().unwrap_or_default();
    if let Ok(timing) = HeaderValue::try_from(seen.server_timing()) {
        response.headers_mut().insert(SERVER_TIMING, timing);
        response.headers_mut().insert(TIMING_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    match log {
        Some(log) => log.write(&seen),
        None => seen.trace(),
    }
    response
}
