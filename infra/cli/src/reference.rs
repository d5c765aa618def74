//! Serves the OpenAPI document, and Swagger UI to read and try it.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;

/// The content security policy. It allows only what this server has. Swagger UI sets styles from its script and has its pictures
/// in its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `/openapi.json`, and `/reference/` for people.
pub fn router() -> Router {
    let files: [(&str, &str, &str); 6] = [
        ("/openapi.json", "application/json", api::DOCUMENT),
        ("/reference/", "text/html; charset=utf-8", include_str!("../page/dist/reference/index.html")),
        ("/reference/reference.css", "text/css; charset=utf-8", include_str!("../page/dist/reference/reference.css")),
        (
            "/reference/reference.js",
            "text/javascript; charset=utf-8",
            include_str!("../page/dist/reference/reference.js"),
        ),
        (
            "/reference/swagger-ui-bundle.js",
            "text/javascript; charset=utf-8",
            include_str!("../page/dist/reference/swagger-ui-bundle.js"),
        ),
        ("/reference/swagger-ui.css", "text/css; charset=utf-8", include_str!("../page/dist/reference/swagger-ui.css")),
    ];
    let router = Router::new().route("/reference", get(|| async { Redirect::permanent("/reference/") }));
    files
        .into_iter()
        .fold(router, |router, (path, kind, text)| router.route(path, get(move || async move { file(kind, text) })))
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
