//! The engine in a process of its own, which ends with the one that started it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use crate::Outcome;

/// The argument that makes this program the engine.
pub(crate) const ROLE: &str = "engine";

/// A running engine; it stops when this is dropped.
pub(crate) struct Engine {
    process: Child,
    pub(crate) endpoint: String,
}

impl Engine {
    pub(crate) fn start() -> Outcome<Self> {
        let mut process =
            Command::new(std::env::current_exe()?).arg(ROLE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut endpoint = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut endpoint)?;
        }
        Ok(Self { process, endpoint: endpoint.trim().to_owned() })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It is gone or about to be, and the figures are what counts.
        let _ = self.process.wait();
    }
}

/// Runs the engine until the standard input closes. It also closes when the parent is killed.
pub(crate) fn run() -> Outcome<()> {
    println!("{}", stack::engine::start(None)?);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
