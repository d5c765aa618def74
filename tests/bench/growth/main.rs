//! Measures how the cost of requests grows with a project: `cargo bench -p tests --bench growth` prints a table for each curve.
//! `-- 100` leaves out the points above 100. `-- edges 0 50000` measures one curve, at these points.
//!
//! It asserts no times. Calls and units are those that the engine counts, so neither the build nor the load of the machine matters
//! to them. CPU is that of the function's thread. The engine runs in a process of its own, and so does each curve, because a peak
//! of memory never goes down. How a pull grows with the size of the project is measured by the bench `pull`.

#[path = "../allocator.rs"]
mod allocator;
mod edges;
#[path = "../engine.rs"]
mod engine;
mod instance;
mod interval;
mod members;
#[path = "../meter.rs"]
#[expect(dead_code, reason = "the pull bench has one thread for each process, and measures that")]
mod meter;
#[path = "../program.rs"]
mod program;
#[path = "../seed.rs"]
#[expect(dead_code, reason = "the pull bench has projects of several sizes")]
mod seed;
mod sheet;
#[path = "../timing.rs"]
mod timing;
mod tombstones;
mod watchers;
mod writes;

use std::process::{Command, ExitCode};

use program::Outcome;

/// The curves, each with the points at which it is measured.
const CURVES: [(&str, &[usize]); 6] = [
    ("interval", &[1, 10, 100, 1_000, 10_000]),
    ("writes", &[1, 10, 100, 256, 257, 1_000, 10_000]),
    ("tombstones", &[0, 1_000, 10_000, 50_000]),
    ("watchers", &[1, 10, 100, 1_000, 10_000]),
    ("members", &[1, 10, 100, 1_000]),
    ("edges", &[0, 100, 1_000, 5_000, 20_000]),
];

fn main() -> ExitCode {
    program::run(|arguments| match *arguments {
        [engine::ROLE] => engine::run(),
        [] => every_curve(usize::MAX),
        [largest] => every_curve(largest.parse().map_err(|_| "takes the largest point, or a curve and its points")?),
        [name, ref points @ ..] => {
            let mut points: Vec<usize> = points.iter().map(|point| point.parse()).collect::<Result<_, _>>()?;
            points.sort_unstable();
            curve(name, &points)
        }
    })
}

/// Measures each curve in a process of its own, without the points above the largest one.
fn every_curve(largest: usize) -> Outcome<()> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{cores} cores ({}), {}", meter::processor(), meter::build());
    for (name, points) in CURVES {
        eprintln!("measuring {name} …");
        let points = points.iter().filter(|point| **point <= largest).map(ToString::to_string);
        let status =
            Command::new(std::env::current_exe()?).envs(allocator::SETTINGS).arg(name).args(points).status()?;
        if !status.success() {
            return Err(format!("{name} could not be measured").into());
        }
    }
    Ok(())
}

/// Measures one curve.
fn curve(name: &str, points: &[usize]) -> Outcome<()> {
    let load = meter::load();
    let engine = engine::Engine::start()?;
    // This is the same as in the deployed functions.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sheet = runtime.block_on(async {
        let table = seed::table(&engine.endpoint).await?;
        match name {
            "interval" => interval::measure(&table, points).await,
            "writes" => writes::measure(&table, points).await,
            "tombstones" => tombstones::measure(&table, points).await,
            "watchers" => watchers::measure(&table, &engine.endpoint, points).await,
            "members" => members::measure(&table, points).await,
            "edges" => edges::measure(&table, points).await,
            _ => Err(format!("{name} is no curve").into()),
        }
    })?;
    println!("\n{sheet}\nload average {load} before, {} after", meter::load());
    Ok(())
}
