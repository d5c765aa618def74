//! Protects the local server from pages of other sites in a developer's browser.
//!
//! A page of any site can send requests to 127.0.0.1. Tokens of the local server are easy to make, and the engine needs none. So a
//! request with another site's page in `Origin` is refused. A request with another server's name in `Host` is refused too: that
//! name was made to point here (DNS rebinding), so the browser sees one server and sends no `Origin`. This does not protect against
//! programs other than browsers, which can send any header.

use std::net::{IpAddr, Ipv6Addr};

use axum::Router;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use shared::http::Problem;

/// The router for pages and programs of this machine only. Others get 403.
pub fn only_from_this_machine(router: Router) -> Router {
    router.layer(from_fn(refuse_foreigners))
}

/// Whether this is the `Origin` of a page from this machine.
pub fn is_origin_of_this_machine(origin: &HeaderValue) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    origin.is_some_and(|origin| {
        matches!(origin.scheme_str(), Some("http" | "https")) && origin.authority().is_some_and(is_this_machine)
    })
}

async fn refuse_foreigners(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let foreign_page = headers.get_all(header::ORIGIN).iter().any(|origin| !is_origin_of_this_machine(origin));
    let named = headers.get_all(header::HOST).iter().map(|host| host.to_str().ok()?.parse().ok());
    let foreign_name = named
        .chain(request.uri().authority().cloned().map(Some))
        .any(|name: Option<Authority>| name.is_none_or(|name| !is_this_machine(&name) && ip(&name).is_none()));
    if foreign_page || foreign_name {
        let detail = "The local server accepts requests of browsers only from pages of this machine, and only at an IP address or \
                      localhost. Call it at http://127.0.0.1.";
        return Problem::new(StatusCode::FORBIDDEN, "foreign_page", "Not from this machine", detail).into_response();
    }
    next.run(request).await
}

fn is_this_machine(authority: &Authority) -> bool {
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    // RFC 6761: browsers resolve names that end with localhost to this machine.
    name == "localhost" || name.ends_with(".localhost") || ip(authority).is_some_and(|ip| ip.is_loopback())
}

/// The IP address of an authority, if it is not a name. An address cannot be made to point elsewhere. A phone calls this machine
/// by its address in the network, and an emulated one by a special address (10.0.2.2 on Android).
fn ip(authority: &Authority) -> Option<IpAddr> {
    let host = authority.host();
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    in_brackets.map_or_else(|| host.parse().ok(), |host| host.parse::<Ipv6Addr>().ok().map(IpAddr::V6))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::HeaderName;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    async fn status(headers: &[(HeaderName, &str)]) -> StatusCode {
        let router = only_from_this_machine(Router::new().route("/", get(|| async { "here" })));
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        router.oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer").status()
    }

    #[tokio::test]
    async fn a_page_of_this_machine_may_call_and_no_other() {
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://127.8.9.1:1",
            "http://[::1]:8080",
            "http://app.localhost",
        ] {
            assert_eq!(status(&[(header::ORIGIN, origin)]).await, StatusCode::OK, "{origin}");
        }
        let foreign = [
            "https://example.com",
            "null",
            "",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://user@example.com:127",
            "http://10.0.2.2:8080",
            "http://notlocalhost",
            "file://",
            "chrome-extension://abcdef",
        ];
        for origin in foreign {
            assert_eq!(status(&[(header::ORIGIN, origin)]).await, StatusCode::FORBIDDEN, "{origin}");
        }
        let both = [(header::ORIGIN, "http://localhost"), (header::ORIGIN, "https://example.com")];
        assert_eq!(status(&both).await, StatusCode::FORBIDDEN);
    }

    #[tokio::test]
    async fn a_name_that_was_made_to_point_here_is_refused() {
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "localhost.", "[::1]:8080", "10.0.2.2:8080"] {
            assert_eq!(status(&[(header::HOST, host)]).await, StatusCode::OK, "{host}");
        }
        for host in ["rebound.example.com:8080", "127.0.0.1.nip.io", "a b", ""] {
            assert_eq!(status(&[(header::HOST, host)]).await, StatusCode::FORBIDDEN, "{host}");
        }
        let page = [(header::HOST, "rebound.example.com"), (header::ORIGIN, "http://localhost:8080")];
        assert_eq!(status(&page).await, StatusCode::FORBIDDEN);
    }
}
