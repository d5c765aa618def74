//! `trueppm openapi` and `trueppm typescript`

use clap::Args;

use ops::command::{Ended, put};

/// Print the OpenAPI document of both functions
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm openapi > infra/api/openapi.json     the checked-in file, which `serve` serves as /openapi.json")]
pub(crate) struct OpenApi;

/// Print the TypeScript file for apps: the types of responses, and the WatermelonDB schema
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm typescript > infra/api/trueppm.ts     the checked-in file, to be copied into the app")]
pub(crate) struct TypeScript;

pub(crate) fn openapi() -> Ended {
    put(api::openapi()?.trim_end())?;
    Ok(0)
}

pub(crate) fn typescript() -> Ended {
    put(api::typescript()?.trim_end())?;
    Ok(0)
}
