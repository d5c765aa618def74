//! `trueppm openapi` and `trueppm typescript`

use clap::Args;

use ops::command::{Ended, put};

/// Prints the OpenAPI document of both functions
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm openapi > infra/api/openapi.json     as it is checked in; `serve` serves it under /openapi.json")]
pub(crate) struct OpenApi;

/// Prints the TypeScript file for app developers: types of what a pull answers, and WatermelonDB's schema
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm typescript > infra/api/trueppm.ts     as it is checked in; copy it into the app")]
pub(crate) struct TypeScript;

pub(crate) fn openapi() -> Ended {
    put(api::openapi()?.trim_end())?;
    Ok(0)
}

pub(crate) fn typescript() -> Ended {
    put(api::typescript()?.trim_end())?;
    Ok(0)
}
