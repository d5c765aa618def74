//! One method of one path, and its operation in the document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use utoipa::openapi::content::{Content, ContentBuilder};
use utoipa::openapi::link::Link;
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, Parameter};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Required};

use super::headers;
use super::problems::Documented;
use super::schemas::{named, problem_of};

pub(super) const PROJECTS: &str = "/api/v1/projects/";
pub(super) const PROJECT: &str = "/api/v1/projects/{project_id}/";

/// Problems with the token and the caller's budget.
pub(super) const TOKEN: &[&str] =
    &["token_missing", "token_expired", "token_invalid", "keys_unavailable", "rate_limited"];
/// Problems with the table: it cannot be reached or is corrupt.
pub(super) const TABLE: &[&str] = &["unavailable", "internal_error"];
pub(super) const MEMBER: &[&str] = &["not_a_member", "membership_revoked", "project_deleted"];
pub(super) const BODY: &[&str] = &["malformed_json", "body_too_large", "unsupported_media_type", "validation_failed"];
pub(super) const COMMIT: &[&str] =
    &["role_too_low", "busy", "outcome_unknown", "idempotency_key_reused", "quota_exceeded"];

pub(super) const KB: usize = 1024;
/// The name of the responses that only the gateway sends.
pub(super) const GATEWAYS_OWN: &str = "gateway";
/// The statuses that the gateway sends itself: above the API's rate limit, if a function fails, and if it times out. A proxy in
/// front of it also sends 502 and 504.
const GATEWAYS: [u16; 5] = [429, 500, 502, 503, 504];

/// The body of the gateway's own responses, which is not a problem document.
fn message() -> Content {
    let message = ObjectBuilder::new().property("message", ObjectBuilder::new().schema_type(Type::String));
    let example = json!({"message": "Service Unavailable"});
    ContentBuilder::new().schema(Some(message.build())).example(Some(example)).build()
}

/// A response that no function sends.
pub(super) fn of_the_gateway() -> Response {
    let about = "Sent by the gateway, or by a proxy in front of it such as CloudFront. Either no function received the \
                 request, or its response was lost. Wait, then retry the same request with the same `Idempotency-Key`.";
    ResponseBuilder::new().description(about).content("application/json", message()).build()
}

/// One method of one path.
pub(super) struct Route {
    pub(super) method: HttpMethod,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) tag: &'static str,
    pub(super) summary: String,
    pub(super) about: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) successes: Vec<Success>,
    pub(super) problems: Vec<&'static str>,
}

pub(super) struct Body {
    pub(super) schema: String,
    pub(super) example: Value,
    pub(super) max: usize,
    /// Whether the body can also be sent as a JSON merge patch.
    pub(super) is_patch: bool,
}

#[derive(Default)]
pub(super) struct Success {
    pub(super) status: u16,
    pub(super) about: &'static str,
    /// The schema's name and an example.
    pub(super) body: Option<(String, Value)>,
    pub(super) headers: Vec<&'static str>,
    pub(super) links: Vec<(String, Link)>,
}

impl Route {
    /// The operation. Its error responses are added to `refusals`, because many operations share them.
    pub(super) fn operation(self, documented: &[Documented], refusals: &mut BTreeMap<String, Response>) -> Operation {
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.id))
            .tag(self.tag)
            .summary(Some(self.summary))
            .description(Some(self.about))
            .parameters(Some(self.parameters));
        if self.problems.is_empty() {
            operation = operation.securities(Some([]));
        }
        if let Some(Body { schema, example, max, is_patch }) = self.body {
            let content: Content = ContentBuilder::new().schema(Some(named(&schema))).example(Some(example)).build();
            let body = RequestBodyBuilder::new()
                .description(Some(format!("Maximum size: {} KB.", max / KB)))
                .required(Some(Required::True))
                .content("application/json", content.clone());
            let body = if is_patch { body.content("application/merge-patch+json", content) } else { body };
            operation = operation.request_body(Some(body.build()));
        }
        for success in self.successes {
            let mut response = ResponseBuilder::new().description(success.about);
            if let Some((schema, example)) = success.body {
                let content = ContentBuilder::new().schema(Some(named(&schema))).example(Some(example));
                response = response.content("application/json", content.build());
            }
            for name in success.headers.into_iter().chain(headers::ALWAYS) {
                response = response.header_ref(name, headers::named(name));
            }
            for (name, link) in success.links {
                response = response.link(name, link);
            }
            operation = operation.response(success.status.to_string(), response);
        }
        let refused = |problem: &&Documented| self.problems.contains(&problem.code.as_str());
        let statuses: BTreeSet<u16> = documented.iter().filter(refused).map(|problem| problem.status).collect();
        for status in GATEWAYS.into_iter().filter(|status| !statuses.contains(status)) {
            operation = operation.response(status.to_string(), Ref::from_response_name(GATEWAYS_OWN));
        }
        for status in statuses {
            let here: Vec<_> = documented.iter().filter(refused).filter(|problem| problem.status == status).collect();
            let (name, response) = refusal(status, &here);
            refusals.insert(name.clone(), response);
            operation = operation.response(status.to_string(), Ref::from_response_name(name));
        }
        operation.build()
    }
}

/// The error response with this status for any of these problems, and its name.
pub(super) fn refusal(status: u16, problems: &[&Documented]) -> (String, Response) {
    let mut codes: Vec<&str> = Vec::new();
    for problem in problems {
        if !codes.contains(&problem.code.as_str()) {
            codes.push(&problem.code);
        }
    }
    let listed: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
    let examples = codes.iter().map(|code| (*code, RefOr::Ref(Ref::new(format!("#/components/examples/{code}")))));
    let content = ContentBuilder::new().schema(Some(problem_of(status, &codes))).examples_from_iter(examples);
    let response = ResponseBuilder::new().description(listed.join(", "));
    let response = response.content("application/problem+json", content.build());
    let response = if GATEWAYS.contains(&status) { response.content("application/json", message()) } else { response };
    let own =
        |name: &str| problems.iter().flat_map(|problem| &problem.headers).any(|own| own.eq_ignore_ascii_case(name));
    let names = headers::of_answers().into_iter().map(|(name, _)| name);
    let names = names.filter(|name| own(name) || headers::ALWAYS.contains(name));
    let response = names.fold(response, |response, name| response.header_ref(name, headers::named(name)));
    (codes.join("-or-"), response.build())
}
