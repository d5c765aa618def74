//! `trueppm export`

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use ops::command::{Ended, Failure, OneProject, put};
use trueppm::csv;

use super::api::{Api, of_call};
use super::import::of_plan;

/// Export a project to CSV files
///
/// Writes the project, its calendars, tasks and dependencies as the files that `import` reads; see `trueppm help import`. With
/// --json, everything goes to standard output instead.
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm export plan --project demo
  trueppm export --project demo --json
  trueppm export plan --project demo && trueppm import plan --project copy --add-members")]
pub(crate) struct Options {
    /// Output directory. It is created if it does not exist
    directory: Option<PathBuf>,
    #[command(flatten)]
    project: OneProject,
    /// Replace existing files
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    api: Api,
}

struct Written(Vec<(String, usize)>);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(|(file, rows)| format!("{file}: {rows} rows")).collect();
        f.write_str(&lines.join("\n"))
    }
}

pub(crate) async fn run(options: Options, json: bool) -> Ended {
    if options.directory.is_some() == json {
        let asked = if json { "--json writes no files" } else { "no output directory given" };
        return Err(Failure::new(asked).next("Pass either a directory, or --json to write to standard output."));
    }
    let project = options.project.project;
    let contents = csv::read(&options.api.client()?, &project).await.map_err(of_call)?;
    match options.directory {
        Some(directory) => {
            put(Written(csv::export(&contents, &directory, options.force).map_err(of_plan)?))?;
        }
        None => put(serde_json::to_string_pretty(&csv::to_json(&contents))?)?,
    }
    Ok(0)
}
