//! What callers get to work with: the OpenAPI document of both functions, a page to read and try it, and the TypeScript file
//! that app developers copy.
//!
//! - `columns.rs` says what each column of each row is, for both
//! - `operations.rs` and `rows.rs`, `headers.rs`, `schemas.rs` and `problems.rs` make the document out of that and of the domain's own errors
//! - `markdown.rs` makes tables for the pages in infra/docs
//! - `typescript.rs` writes the types of rows and answers, and WatermelonDB's schema
//!
//! Both files are checked in, `openapi.json` and `trueppm.ts`: `trueppm openapi` and `trueppm typescript` print them.
//! The functions know nothing of it.

mod columns;
mod headers;
pub mod markdown;
mod operations;
mod problems;
mod route;
mod rows;
mod schemas;
mod typescript;

use std::collections::BTreeMap;
use std::error::Error as AnyError;

use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::info::{InfoBuilder, LicenseBuilder};
use utoipa::openapi::path::{PathItem, PathsBuilder};
use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::server::ServerBuilder;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{OpenApi, OpenApiBuilder};

use problems::Documented;
pub use typescript::typescript;

/// The document as it is checked in: a test says that it is what the code makes.
pub const DOCUMENT: &str = include_str!("../openapi.json");
/// The project of all examples, which is the demo's.
pub const EXAMPLE_PROJECT: &str = "demo";

const ABOUT: &str = "\
Phones pull what changed since the version they hold; every change goes through REST.

- Each address is good with and without the slash at its end.
- Bodies are JSON, ids `[A-Za-z0-9_-]{1,64}`, dates `YYYY-MM-DD`. Unknown and read-only fields are refused.
- Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) `application/problem+json` with a stable `code`. An address \
that is not here is answered 404 `no_such_route`, a method that is not here 405 `method_not_allowed` with `Allow`. What \
503 answers may be sent again after `Retry-After`, with the same `Idempotency-Key`.
- The gateway answers some requests itself, with `{\"message\": …}` and without a `code`: 429 above the API's rate, 500 when a function \
failed, 503 when it took too long. A proxy before it, such as CloudFront, adds 502 and 504. Wait, and send the same again.
- `HEAD` is answered like `GET`, `OPTIONS` for browsers' preflights.";

/// The OpenAPI document of both functions.
pub fn document() -> Result<OpenApi, Box<dyn AnyError + Send + Sync>> {
    let documented = problems::all()?;
    let mut components = ComponentsBuilder::new();
    for (name, schema) in schemas::all()? {
        components = components.schema(name, schema);
    }
    for (name, header) in headers::of_answers() {
        components = components.header(name, header);
    }
    for problem in documented.iter().rev() {
        let example = ExampleBuilder::new().value(Some(problem.body.clone())).build();
        components = components.example(problem.code.clone(), example);
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The token's `sub` is the caller. The local stack prints one: `trueppm token --user mia`."));
    let mut components = components.security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    // What is answered beside the addresses and methods that are here.
    let elsewhere = |problem: &&Documented| ["no_such_route", "method_not_allowed"].contains(&problem.code.as_str());
    let elsewhere = documented.iter().filter(elsewhere).map(|problem| route::refusal(problem.status, &[problem]));
    let mut refusals: BTreeMap<_, _> = elsewhere.collect();
    let mut paths = PathsBuilder::new();
    for route in operations::all()? {
        let (method, path) = (route.method.clone(), route.path.clone());
        paths = paths.path(path, PathItem::new(method, route.operation(&documented, &mut refusals)));
    }
    components = components.response(route::GATEWAYS_OWN, route::of_the_gateway());
    for (name, response) in refusals {
        components = components.response(name, response);
    }
    let tags = [
        ("sync", "What a device calls."),
        ("projects", "A project, which is a synced row itself."),
        ("tasks", "What is to be done."),
        ("dependencies", "Which task waits for which."),
        ("calendars", "When work is done."),
        ("memberships", "Who may do what."),
        ("batch", "What an app sends when it comes back online."),
        ("health", "Is it there?"),
    ];
    Ok(OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("TruePPM sync")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .license(Some(LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build()))
                .build(),
        )
        .servers(Some([ServerBuilder::new().url("/").description(Some("Where this document is served.")).build()]))
        .paths(paths)
        .components(Some(components.build()))
        .security(Some([SecurityRequirement::new("bearer", Vec::<String>::new())]))
        .tags(Some(tags.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build())))
        .build())
}

/// … as it is checked in.
pub fn openapi() -> Result<String, Box<dyn AnyError + Send + Sync>> {
    Ok(document()?.to_pretty_json()? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows the first line that differs; the files are long.
    fn assert_fresh(checked_in: &str, made: &str, command: &str) {
        let differs = checked_in.lines().zip(made.lines()).find(|(old, new)| old != new);
        assert!(checked_in == made, "run `{command}` and commit what it writes: {differs:?}");
    }

    #[test]
    fn the_document_that_is_checked_in_is_the_one_that_the_code_makes() {
        let made = openapi().expect("a document");
        assert_fresh(DOCUMENT, &made, "cargo run -p trueppm -- openapi > infra/api/openapi.json");
    }

    #[test]
    fn the_typescript_file_that_is_checked_in_is_the_one_that_the_code_makes() {
        let made = typescript().expect("a file");
        let command = "cargo run -p trueppm -- typescript > infra/api/trueppm.ts";
        assert_fresh(include_str!("../trueppm.ts"), &made, command);
    }
}
