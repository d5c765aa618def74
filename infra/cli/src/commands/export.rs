//! `trueppm export`

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use ops::command::{Ended, Failure, OneProject, put, put_json};
use ops::text::{one_line, visible, visible_lines};
use shared::domain::Collection;
use trueppm::plan;

use super::api::{Api, of_call};
use super::import::of_plan;

/// Export a project to CSV files, or to an XML file for MS Project
///
/// Writes the project, its calendars, tasks and dependencies as the files that `import` reads; see `trueppm help import`. With
/// --json, everything goes to standard output instead. What an XML file has no place for is listed.
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm export plan --project demo
  trueppm export --project demo --json
  trueppm export demo.xml --project demo     for MS Project, ProjectLibre, GanttProject
  trueppm export plan --project demo --for-spreadsheets
  trueppm export plan --project demo && trueppm import plan --project copy --add-members")]
pub(crate) struct Options {
    /// Output directory, which is created if it does not exist; or an .xml file
    path: Option<PathBuf>,
    #[command(flatten)]
    project: OneProject,
    /// Replace existing files
    #[arg(long)]
    force: bool,
    /// Begin texts that a spreadsheet would execute (= + - @) with an apostrophe. Such files are for reading: `import` takes the
    /// apostrophe for a part of the text
    #[arg(long)]
    for_spreadsheets: bool,
    /// Print all that an XML file has no place for, and not only the first 20 lines
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    api: Api,
}

/// The maximum number of lines about what has no place in the file.
const SHOWN: usize = 20;

struct Written(Vec<(String, usize)>);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(|(file, rows)| format!("{file}: {rows} rows")).collect();
        f.write_str(&lines.join("\n"))
    }
}

pub(crate) async fn run(options: Options, json: bool) -> Ended {
    if options.path.is_some() == json {
        let asked = if json { "--json writes no files" } else { "no output directory given" };
        return Err(
            Failure::new(asked).next("Pass either a directory or an .xml file, or --json to write to standard output.")
        );
    }
    let project = options.project.project;
    let contents = plan::read(&options.api.client()?, &project).await.map_err(of_call)?;
    match options.path {
        Some(file) if plan::is_xml(&file) => xml(&contents, &file, options.force, options.full)?,
        Some(directory) => {
            let written =
                plan::export(&contents, &directory, options.force, options.for_spreadsheets).map_err(of_plan)?;
            put(visible_lines(&Written(written).to_string()))?;
        }
        None => put_json(&plan::to_json(&contents))?,
    }
    Ok(0)
}

fn xml(contents: &plan::Contents, file: &Path, force: bool, full: bool) -> Result<(), Failure> {
    let (bytes, left_out) = plan::to_mspdi(contents)?;
    let mut open = File::options();
    let open = if force { open.write(true).create(true).truncate(true) } else { open.write(true).create_new(true) };
    let shown = file.display();
    open.open(file).and_then(|mut file| file.write_all(&bytes)).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(format!("{shown} already exists; use --force to replace it")),
        _ => Failure::new(format!("{shown}: {error}")),
    })?;
    let most = if full { usize::MAX } else { SHOWN };
    for value in left_out.iter().take(most) {
        put(format!("left out: {}", one_line(value, usize::MAX)))?;
    }
    if left_out.len() > most {
        put(format!("… and {} more values left out: use --full to see all", left_out.len() - most))?;
    }
    let rows = |collection| contents.of(collection).count();
    let (tasks, links, calendars) =
        (rows(Collection::Tasks), rows(Collection::Dependencies), rows(Collection::Calendars));
    put(visible(&format!("{shown}: {tasks} tasks, {links} links, {calendars} calendars")))
}
