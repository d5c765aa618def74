//! Helpers that all commands share: exit status, output, and the options that name a table.

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
use shared::storage::reasons;

use crate::text::{visible_json, visible_lines};

pub use table::{Rate, SomeProjects, TableOptions, WHICH_TABLE, WriteOptions};

/// The result of a command: exit status 0 (success) or 1 (problems found), or a failure with exit status 2.
pub type Ended = Result<u8, Failure>;

/// The failure of a command: the reason and the next step.
#[derive(Debug)]
pub struct Failure {
    what: String,
    next: Option<String>,
}

impl Failure {
    /// A failure without a next step.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), next: None }
    }

    /// Sets the next step.
    pub fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }

    /// Adds another step after the next one.
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

/// The exit status. A failure is printed to standard error.
pub fn exit_code(ended: Ended) -> ExitCode {
    let failure = match ended {
        Ok(code) => return ExitCode::from(code),
        Err(failure) => failure,
    };
    let red = colour(AnsiColor::Red);
    eprintln!("{red}error:{red:#} {}", visible_lines(&failure.what));
    if let Some(next) = failure.next {
        eprintln!("  {}", visible_lines(&next));
    }
    ExitCode::from(2)
}

/// The style of headings and signs. It has no effect if the output is not a terminal.
pub fn colour(colour: AnsiColor) -> Style {
    colour.on_default().bold()
}

/// Prints a result, for people or as JSON. It never sends control characters to a terminal.
pub fn print(result: &(impl Serialize + Display), json: bool) -> Result<(), Failure> {
    if json { put_json(result) } else { put(visible_lines(&result.to_string())) }
}

/// Prints a value as JSON. It never sends control characters to a terminal.
pub fn put_json(value: &impl Serialize) -> Result<(), Failure> {
    put(visible_json(&serde_json::to_string_pretty(value)?))
}

/// Prints a line to standard output, including its control characters. The caller must have made texts by others visible. Ends
/// the process if the reader has closed the output (`| head`).
pub fn put(text: impl Display) -> Result<(), Failure> {
    let mut output = anstream::stdout().lock();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

/// The progress line of a command on a table.
pub const PROJECTS: &str = "{spinner} [{bar:30}] {pos}/{len} projects, {msg}";

/// A progress line on standard error. It is shown only on a terminal.
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
    /// Id of the project
    #[arg(long, value_name = "ID")]
    pub project: ProjectId,
}
