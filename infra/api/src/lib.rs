//! Makes the artefacts for callers: the OpenAPI document of the HTTP functions, and the TypeScript file that app developers copy.
//!
//! - `columns.rs` describes each column of each collection, for both artefacts
//! - `operations.rs`, `rows.rs`, `headers.rs`, `schemas.rs` and `problems.rs` make the OpenAPI document from the columns and the
//!   domain's errors
//! - `markdown.rs` makes tables for the pages in infra/docs
//! - `typescript.rs` writes the types of rows and responses, and WatermelonDB's schema
//!
//! Both artefacts are checked in as `openapi.json` and `trueppm.ts`. `trueppm openapi` and `trueppm typescript` print them.
//! The functions do not depend on this crate.

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
pub use rows::writer;
pub use typescript::typescript;

/// The OpenAPI document that is checked in. A test checks that the code makes the same one.
pub const DOCUMENT: &str = include_str!("../openapi.json");
/// The project of all examples. The demo has it.
pub const EXAMPLE_PROJECT: &str = "demo";

const ABOUT: &str = "\
Devices pull the changes since their last pull. Every change is sent through REST.

- The slash at the end of a path is optional.
- Bodies are JSON. Ids match `[A-Za-z0-9_-]{1,64}`. Dates are `YYYY-MM-DD`. Unknown and read-only fields are refused.
- Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) `application/problem+json` with a stable `code`. An unknown \
path returns 404 `no_such_route`. An unsupported method returns 405 `method_not_allowed` with `Allow`. After a 503, retry the \
same request with the same `Idempotency-Key`, once the seconds in `Retry-After` have passed.
- The gateway answers some requests itself, with `{\"message\": …}` and without a `code`: 429 above the API's rate limit, 500 if a \
function failed, 503 if it timed out. A proxy in front of it, such as CloudFront, can also return 502 and 504. Wait, then retry \
the same request.
- `HEAD` is supported wherever `GET` is. `OPTIONS` answers the preflight requests of browsers.";

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
        .description(Some("The token's `sub` claim is the caller's user id. For the local server, print a token with `trueppm token --user mia`."));
    let mut components = components.security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    // Responses to unknown paths and methods.
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
        ("sync", "Pull changes to a device."),
        ("projects", "Projects. A project is a synced row itself."),
        ("tasks", "Tasks of a project."),
        ("dependencies", "Dependencies between two tasks."),
        ("calendars", "Working days and hours."),
        ("memberships", "Members of a project and their roles."),
        ("batch", "Apply many changes atomically, for example when a device is online again."),
        ("health", "Health check."),
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
        .servers(Some([ServerBuilder::new().url("/").description(Some("This server")).build()]))
        .paths(paths)
        .components(Some(components.build()))
        .security(Some([SecurityRequirement::new("bearer", Vec::<String>::new())]))
        .tags(Some(tags.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build())))
        .build())
}

/// The OpenAPI document as JSON text, as it is checked in.
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
