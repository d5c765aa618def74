//! Measures the cost of a pull: `cargo bench -p tests --bench pull` prints a table; `-- 100 1000` does so for projects of these
//! sizes only.
//!
//! It asserts no times, but fails when a pull holds more memory than it may.
//!
//! The engine runs in a process of its own, and so does each kind of pull, so that CPU and memory are those of the sync
//! function alone: the router, the SDK, the proof and the body, on the runtime that the deployed function has.

mod allocator;
mod cases;
mod engine;
mod meter;
mod program;
mod seed;
#[expect(dead_code, reason = "the growth bench counts write units, too")]
mod timing;

use std::collections::HashMap;
use std::process::{Command, ExitCode, Stdio};

use cases::{Case, Measured};
use program::Outcome;

/// The memory that a pull may take, in kB.
const MEMORY: u64 = 96 * 1024;

fn main() -> ExitCode {
    program::run(|arguments| match *arguments {
        [engine::ROLE] => engine::run(),
        [cases::ROLE, case, endpoint, since] => cases::run(case, endpoint, since),
        [] => compare(&seed::SIZES),
        ref sizes => sizes
            .iter()
            .map(|size| size.parse())
            .collect::<Result<Vec<usize>, _>>()
            .map_or_else(|_| Err("takes sizes of projects, in tasks".into()), |sizes| compare(&sizes)),
    })
}

/// Seeds projects, measures each case in a process of its own, prints the table.
fn compare(sizes: &[usize]) -> Outcome<()> {
    let load = meter::load();
    let engine = engine::Engine::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let table = runtime.block_on(seed::table(&engine.endpoint))?;
    let mut projects = HashMap::new();
    for &size in sizes {
        eprintln!("seeding {size} tasks …");
        projects.insert(size, runtime.block_on(seed::project(&table, size))?);
    }
    let bytes_per_row = projects.values().next().map_or(0, |seeded: &seed::Seeded| seeded.bytes_per_row);
    heading(&load, bytes_per_row);
    let mut peak = None;
    for case in Case::all(sizes) {
        let since = case.since(&projects[&case.tasks]).to_string();
        let output = Command::new(std::env::current_exe()?)
            .envs(allocator::SETTINGS)
            .args([cases::ROLE, &serde_json::to_string(&case)?, &engine.endpoint, &since])
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("{case:?} could not be measured").into());
        }
        let measured: Measured = serde_json::from_slice(&output.stdout)?;
        row(case, &measured);
        peak = peak.max(measured.peak);
    }
    match peak {
        Some(peak) if peak > MEMORY => {
            Err(format!("held {}, may hold {}", megabytes(Some(peak)), megabytes(Some(MEMORY))).into())
        }
        _ => Ok(()),
    }
}

fn heading(load: &str, bytes_per_row: usize) {
    let build = meter::build();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("\ntasks of {bytes_per_row} bytes; {cores} cores ({}), {build}", meter::processor());
    println!("engine and sync in processes of their own; no TLS, no Lambda runtime");
    println!("load average {load}\n");
    println!(
        "{:<6} {:>8} {:>6} {:>8} {:>11} {:>6} {:>6} {:>10} {:>11} {:>11} {:>9} {:>9} {:>9}",
        "pull",
        "project",
        "times",
        "rows",
        "body bytes",
        "pages",
        "calls",
        "read units",
        "CPU",
        "wall p50",
        "idle RSS",
        "1st peak",
        "peak"
    );
}

fn row(case: Case, figures: &Measured) {
    println!(
        "{:<6} {:>8} {:>6} {:>8} {:>11} {:>6} {:>6} {:>10} {:>11} {:>11} {:>9} {:>9} {:>9}",
        case.name(),
        case.tasks,
        case.times(),
        figures.rows,
        figures.bytes,
        figures.pages,
        figures.calls,
        figures.units,
        milliseconds(figures.cpu),
        milliseconds(Some(figures.wall)),
        megabytes(figures.idle_memory),
        megabytes(figures.first_peak),
        megabytes(figures.peak),
    );
}

fn milliseconds(seconds: Option<f64>) -> String {
    seconds.map_or("?".to_owned(), |seconds| format!("{:.3} ms", seconds * 1e3))
}

fn megabytes(kilobytes: Option<u64>) -> String {
    kilobytes.map_or("?".to_owned(), |kilobytes| format!("{:.1} MB", kilobytes as f64 / 1024.0))
}
