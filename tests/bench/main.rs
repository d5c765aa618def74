//! What a pull costs: `cargo bench -p tests --bench pull` prints a table.
//!
//! It asserts no times, but fails when the full pull holds more memory than it may.
//!
//! The engine runs in a process of its own, and so does each kind of pull, so that CPU and memory are those of the sync
//! function alone: the router, the SDK, the proof and the body, on the runtime that the deployed function has.

mod cases;
mod engine;
mod meter;
mod seed;

use std::error::Error;
use std::process::{Command, ExitCode};

use cases::{Case, Measured};

/// What the full pull may hold, in kB.
const MEMORY: u64 = 64 * 1024;

/// Whatever goes wrong ends the program with one line.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        [] => compare(),
        [engine::ROLE] => engine::run(),
        [cases::ROLE, case, endpoint, since] => cases::run(case, endpoint, since),
        _ => Err("takes no arguments".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Seeds a project, measures each case in a process of its own, prints the table.
fn compare() -> Outcome<()> {
    let load = meter::load();
    let engine = engine::Engine::start()?;
    eprintln!("seeding {} tasks …", seed::TASKS);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let seeded = runtime.block_on(seed::project(&engine.endpoint))?;
    let mut measured = Vec::new();
    for case in Case::ALL {
        eprintln!("measuring {}, {} calls …", case.name(), case.calls());
        let output = Command::new(std::env::current_exe()?)
            .args([cases::ROLE, case.name(), &engine.endpoint, &case.since(&seeded).to_string()])
            .stderr(std::process::Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("{} could not be measured", case.name()).into());
        }
        measured.push((case, serde_json::from_slice(&output.stdout)?));
    }
    print(load, &seeded, &measured);
    match measured.iter().filter_map(|(_, figures)| figures.peak).max() {
        Some(peak) if peak > MEMORY => {
            Err(format!("held {}, may hold {}", megabytes(Some(peak)), megabytes(Some(MEMORY))).into())
        }
        _ => Ok(()),
    }
}

fn print(load: Option<f64>, seeded: &seed::Seeded, measured: &[(Case, Measured)]) {
    let build = if cfg!(debug_assertions) {
        "debug build: these are not the product's figures"
    } else {
        "release build without LTO"
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "\n{} tasks of {} bytes; {cores} cores ({}), {build}",
        seed::TASKS,
        seeded.bytes_per_row,
        meter::processor()
    );
    println!("engine and sync in processes of their own; no TLS, no Lambda runtime");
    println!("load average {}\n", load.map_or("unknown".to_owned(), |load| load.to_string()));
    println!(
        "{:<7} {:>6} {:>7} {:>11} {:>11} {:>11} {:>10} {:>10} {:>10}",
        "pull", "calls", "rows", "body bytes", "CPU/call", "wall p50", "idle RSS", "peak, 1st", "peak, all"
    );
    for (case, figures) in measured {
        println!(
            "{:<7} {:>6} {:>7} {:>11} {:>11} {:>11} {:>10} {:>10} {:>10}",
            case.name(),
            case.calls(),
            figures.rows,
            figures.bytes,
            milliseconds(figures.cpu),
            milliseconds(Some(figures.wall)),
            megabytes(figures.idle_memory),
            megabytes(figures.first_peak),
            megabytes(figures.peak),
        );
    }
}

fn milliseconds(seconds: Option<f64>) -> String {
    seconds.map_or("?".to_owned(), |seconds| format!("{:.3} ms", seconds * 1e3))
}

fn megabytes(kilobytes: Option<u64>) -> String {
    kilobytes.map_or("?".to_owned(), |kilobytes| format!("{:.1} MB", kilobytes as f64 / 1024.0))
}
