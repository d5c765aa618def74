//! Helpers that all routes share.

use axum::Router;
use axum::routing::MethodRouter;

use super::Problem;

/// Adds a route with and without the slash at its end. `path` must end with it.
pub fn both_slashes<S>(router: Router<S>, path: &str, methods: MethodRouter<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.route(path.trim_end_matches('/'), methods.clone()).route(path, methods)
}

/// Answers unknown routes and methods as problems.
pub fn finish<S>(router: Router<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router
        .fallback(|| async { Problem::no_such_route() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
}
