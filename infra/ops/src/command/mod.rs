//! What all commands have in common: how one ends, what it prints, and the options that name a table.

mod table;

use std::error::Error;
use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anstream::eprintln;
use anstyle::{AnsiColor, Style};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use shared::domain::ProjectId;

use crate::reasons;
pub(crate) use table::named;
pub use table::{Rate, SomeProjects, TableOptions, WHICH_TABLE, of_table};

/// How a command ended: 0, or 1 when something is wrong with what it looked at; or why it could not be done, which is 2.
pub type Ended = Result<u8, Failure>;

/// Why a command could not be done, and what to do.
#[derive(Debug)]
pub struct Failure {
    what: String,
    next: Option<String>,
}

impl Failure {
    /// The reason, without advice.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), next: None }
    }

    /// … and what to do next.
    pub fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }

    /// … and after that.
    pub fn next_also(self, also: &str) -> Self {
        let next = self.next.iter().map(String::as_str).chain([also]).collect::<Vec<_>>().join(" ");
        self.next(next)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(reasons(error.into().as_ref()))
    }
}

/// The exit code; a failure is told on the standard error.
pub fn exit_code(ended: Ended) -> ExitCode {
    let failure = match ended {
        Ok(code) => return ExitCode::from(code),
        Err(failure) => failure,
    };
    let red = colour(AnsiColor::Red);
    eprintln!("{red}error:{red:#} {}", failure.what);
    if let Some(next) = failure.next {
        eprintln!("  {next}");
    }
    ExitCode::from(2)
}

/// Of headings and signs; gone where the output is no terminal.
pub fn colour(colour: AnsiColor) -> Style {
    colour.on_default().bold()
}

/// Prints what came out, for people or as JSON.
pub fn print(result: &(impl Serialize + Display), json: bool) -> Result<(), Failure> {
    if json { put(serde_json::to_string_pretty(result)?) } else { put(result) }
}

/// A line to the standard output. When nobody reads on (`| head`), that is the end.
pub fn put(text: impl Display) -> Result<(), Failure> {
    let mut output = anstream::stdout().lock();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

/// What an operator's command on a table shows of how far it is.
pub const PROJECTS: &str = "{spinner} [{bar:30}] {pos}/{len} projects, {msg}";

/// Shows how far a command is, on the standard error, and only if that is a terminal.
pub fn progress(template: &str) -> ProgressBar {
    let progress = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template(template) {
        progress.set_style(style);
    }
    progress
}

/// The project that a command works on.
#[derive(Args)]
pub struct OneProject {
    /// Id of the project.
    #[arg(long, value_name = "ID")]
    pub project: ProjectId,
}
