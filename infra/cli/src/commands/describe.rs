//! `trueppm openapi` and `trueppm typescript`

use clap::Args;

use ops::command::{Ended, put};

/// Print the OpenAPI document of the API
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm openapi > infra/api/openapi.json     update the file in the repository; `serve` has it at /openapi.json")]
pub(crate) struct OpenApi;

/// Print the TypeScript file for apps: types of the sync response, and WatermelonDB's schema
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm typescript > infra/api/trueppm.ts     update the file in the repository; copy it into your app")]
pub(crate) struct TypeScript;

pub(crate) fn openapi() -> Ended {
    put(api::openapi()?.trim_end())?;
    Ok(0)
}

pub(crate) fn typescript() -> Ended {
    put(api::typescript()?.trim_end())?;
    Ok(0)
}
