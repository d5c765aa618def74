//! Serves the functions at one address, as behind the gateway.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, Method, header};
use shared::auth::Verifier;
use shared::storage::Table;
use sync::{KeptPages, Limits};
use tower::ServiceExt;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::loopback;

/// The maximum memory of kept pages, as in template.yaml.
const KEPT_BYTES: usize = 64 * 1024 * 1024;

/// The deployed routes: pulls to the sync function, everything else to the rest function, CORS for both.
pub fn router(table: Table, verifier: Arc<Verifier>) -> Router {
    let kept = Arc::new(KeptPages::new(Limits::of_bytes(KEPT_BYTES)));
    let sync = sync::router(sync::App::new(table.clone(), Arc::clone(&verifier)).keeping(kept));
    let rest = rest::router(rest::App { table, verifier });
    // The routers are not nested, because a nested router would also get the path parameters of the outer one.
    let by_route = move |request: Request| {
        let function = if is_sync(request.uri().path()) { sync.clone() } else { rest.clone() };
        function.oneshot(request)
    };
    Router::new().fallback(by_route).layer(cors())
}

/// `/api/v1/projects/{project_id}/sync`, with or without a slash.
fn is_sync(path: &str) -> bool {
    let project =
        path.strip_prefix("/api/v1/projects/").and_then(|rest| rest.trim_end_matches('/').strip_suffix("/sync"));
    project.is_some_and(|project| !project.contains('/'))
}

/// CORS as in template.yaml, but only for pages of this machine.
fn cors() -> CorsLayer {
    let custom = ["idempotency-key", "x-base-version", "x-base-fields"].map(HeaderName::from_static);
    let exposed = ["idempotent-replay", "server-timing", "x-merged-concurrent-fields", "x-server-version"];
    let exposed = exposed.map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(|origin, _| loopback::is_origin_of_this_machine(origin)))
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers(
            [header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH]
                .into_iter()
                .chain(custom)
                .collect::<Vec<_>>(),
        )
        .expose_headers(
            [header::ETAG, header::LOCATION, header::RETRY_AFTER].into_iter().chain(exposed).collect::<Vec<_>>(),
        )
}
