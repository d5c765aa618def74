//! What all routes have in common.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

use super::Problem;

/// Adds a route with and without the slash at its end; `path` is given with it.
pub fn both_slashes<S>(router: Router<S>, path: &str, methods: MethodRouter<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.route(path.trim_end_matches('/'), methods.clone()).route(path, methods)
}

/// Answers unknown routes and methods as problems, and logs each request in one line.
pub fn finish<S>(router: Router<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router
        .fallback(|| async {
            Problem::new(StatusCode::NOT_FOUND, "no_such_route", "No such route", "Check the address.")
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "The header Allow names the methods of this route.",
            )
        })
        .layer(middleware::from_fn(log))
}

/// One line for each request: nothing of its content, and of the path only the route.
async fn log(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let start = Instant::now();
    let response = next.run(request).await.into_response();
    let pull = response.headers().get(header::HeaderName::from_static("server-timing")).and_then(|v| v.to_str().ok());
    tracing::info!(
        %method,
        route = route.as_deref().unwrap_or("none"),
        status = response.status().as_u16(),
        duration_ms = start.elapsed().as_secs_f64() * 1e3,
        pull,
        "request"
    );
    response
}
