//! The page, which was built from `infra/cli/page` and is part of the binary.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;
use axum::routing::get;

/// The content security policy. It allows only what this server has: no inline script, no other origin.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page's three files.
pub(super) fn router() -> Router {
    Router::new()
        .route("/", get(|| async { file("text/html; charset=utf-8", include_str!("../../page/dist/index.html")) }))
        .route("/page.css", get(|| async { file("text/css; charset=utf-8", include_str!("../../page/dist/page.css")) }))
        .route(
            "/page.js",
            get(|| async { file("text/javascript; charset=utf-8", include_str!("../../page/dist/page.js")) }),
        )
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse + Clone {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
