//! The common code of the benches that start processes.

use std::error::Error;
use std::process::ExitCode;

/// Whatever goes wrong ends the program with one line.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs the program with its arguments, those that Cargo adds left out.
pub(crate) fn run(program: impl FnOnce(&[&str]) -> Outcome<()>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match program(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
