//! Measures the gain of each step of a cold start: `cargo bench -p tests --bench start` prints what it takes with the step and
//! without.
//!
//! It asserts no times, but fails when a pull is not answered 200. Each measurement runs in a process of its own. The engine runs
//! in another one, and its answers are delayed. There is no Lambda runtime, and loading the program is not measured. Over TLS,
//! the client trusts the tests' own certificate. A deployed function trusts Mozilla's authorities, none of which signed it.

mod distance;
#[path = "../engine.rs"]
mod engine;
#[path = "../meter.rs"]
#[expect(dead_code, reason = "memory is measured elsewhere, and CPU here in smaller steps")]
mod meter;
#[path = "../program.rs"]
mod program;
#[path = "../seed.rs"]
#[expect(dead_code, reason = "the pull bench tells more of its projects")]
mod seed;

use std::collections::HashMap;
use std::fs::{read_dir, read_to_string};
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use distance::Distance;
use http_body_util::BodyExt;
use program::Outcome;
use shared::outbound;
use shared::storage::Table;
use stack::token;
use tokio::runtime::Builder;
use tower::ServiceExt;

/// The argument that makes this program measure itself.
const ROLE: &str = "measure";
/// The number of processes for each figure.
const PROCESSES: usize = 15;
/// A process makes the first pull, then this many pulls to warm up, and then this many warm pulls.
const TIMES: u32 = 10;

/// The measurements of a process: the time until it could take a request, the first pull, and the average warm pull.
const INIT: usize = 0;
const FIRST: usize = 1;
const WARM: usize = 2;
/// CPU and wall time, in milliseconds.
type Cost = [f64; 2];
const CPU: usize = 0;
const WALL: usize = 1;

/// A comparison: a step, the process that takes it, the one that does not, and the moment. See [`measure`] for the processes.
const STEPS: [(&str, &str, &str, usize); 7] = [
    ("authorities in the program, not the system's", "bundled", "system", INIT),
    ("environment alone, not the SDK's chain", "environment", "chain", INIT),
    ("one thread, not one for each core: init", "one thread", "threads", INIT),
    ("… first pull", "one thread", "threads", FIRST),
    ("connected in init, over TLS: init", "TLS", "TLS, not connected", INIT),
    ("… first pull", "TLS", "TLS, not connected", FIRST),
    ("(TLS itself, not HTTP: connected init)", "TLS", "HTTP", INIT),
];
const PULLS: [&str; 3] = ["HTTP", "TLS", "TLS, not connected"];

fn main() -> ExitCode {
    program::run(|arguments| match *arguments {
        [] => compare(),
        [engine::ROLE] => engine::run(),
        [ROLE, name, uri, token] => measure(name, uri, token),
        _ => Err("takes no arguments".into()),
    })
}

/// Runs the processes in turn, so that whatever else the machine does meets all of them, and prints the tables.
fn compare() -> Outcome<()> {
    let load = meter::load();
    let certificates = rustls_native_certs::load_native_certs().certs.len();
    if certificates == 0 {
        return Err("this system has no certificate authorities: with none to read, the comparison says nothing".into());
    }
    let engine = engine::Engine::start()?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let (distance, project) = runtime.block_on(async {
        let table = seed::table(&engine.endpoint).await?;
        Outcome::Ok((Distance::to(&engine.endpoint).await?, seed::project(&table, 0).await?))
    })?;
    let uri = format!("/api/v1/projects/{}/sync/?since={}", seed::id(0), project.current);
    let mut costs: HashMap<&str, Vec<Vec<Cost>>> = HashMap::new();
    for _ in 0..PROCESSES {
        for name in ["bundled", "system", "environment", "chain", "one thread", "threads"].into_iter().chain(PULLS) {
            costs.entry(name).or_default().push(process(name, &distance, &uri)?);
        }
    }

    println!("{PROCESSES} processes each; {}, {}", meter::processor(), meter::build());
    println!("load average {load}");
    println!("{certificates} certificates in the system's store; {:?} each way to the engine", distance::DELAY);
    println!("ms: median (quartiles)\n");
    println!("{:<46} {:>20} {:>20}   {:>20} {:>20}", "step", "with: CPU", "wall", "without: CPU", "wall");
    let figure = |name: &str, when, what| shown(quartiles(&costs[name], when, what));
    for (step, with, without, when) in STEPS {
        let (cpu, wall) = (figure(with, when, CPU), figure(with, when, WALL));
        println!(
            "{step:<46} {cpu:>20} {wall:>20}   {:>20} {:>20}",
            figure(without, when, CPU),
            figure(without, when, WALL)
        );
    }
    println!("\n{:<24} {:>20} {:>20} {:>6}", "pull, nothing new", "first", "warm", "ratio");
    for name in PULLS {
        for (unit, what) in [("CPU", CPU), ("wall", WALL)] {
            let [first, warm] = [FIRST, WARM].map(|when| quartiles(&costs[name], when, what));
            let ratio = first[1] / warm[1];
            println!("{:<24} {:>20} {:>20} {ratio:>6.1}", format!("{name}: {unit}"), shown(first), shown(warm));
        }
    }
    Ok(())
}

fn quartiles(processes: &[Vec<Cost>], when: usize, what: usize) -> [f64; 3] {
    let mut values: Vec<f64> = processes.iter().map(|costs| costs[when][what]).collect();
    values.sort_unstable_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

fn shown([lower, median, upper]: [f64; 3]) -> String {
    format!("{median:.2} ({lower:.2}–{upper:.2})")
}

/// The measurements of a new process of this name.
fn process(name: &str, distance: &Distance, uri: &str) -> Outcome<Vec<Cost>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([ROLE, name, uri, &token::sign(token::LOCAL_SECRET, seed::USER)?]);
    command.envs([("TABLE_NAME", seed::TABLE), ("AWS_REGION", "us-east-1")]);
    command.envs([("AWS_ACCESS_KEY_ID", "bench"), ("AWS_SECRET_ACCESS_KEY", "bench"), ("AWS_SESSION_TOKEN", "bench")]);
    let endpoint = if name.starts_with("TLS") { &distance.https } else { &distance.http };
    command.env("AWS_ENDPOINT_URL_DYNAMODB", endpoint);
    if PULLS.contains(&name) {
        command.env("SSL_CERT_FILE", &distance.authorities).env_remove("SSL_CERT_DIR");
    }
    let output = command.output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name}: {}", error.trim().trim_start_matches("bench: ")).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Runs as the process of this name, and prints its costs as JSON.
fn measure(name: &str, uri: &str, token: &str) -> Outcome<()> {
    let (mut one, mut many) = (Builder::new_current_thread(), Builder::new_multi_thread());
    let costs = match name {
        "bundled" => vec![cost(|| Ok(outbound::client()))?.1],
        "system" => vec![cost(|| Ok(outbound::client_of_the_system()?))?.1],
        "environment" => {
            // The chain has to do this, too. So both processes have done the same before the measurement.
            black_box(Table::sdk_config());
            vec![cost(|| Ok(Table::from_env()?))?.1]
        }
        "chain" => {
            let runtime = one.enable_all().build()?;
            // Its client trusts the system, which "bundled" and "system" compare. So the measurement makes the other client.
            let chain = Table::sdk_config();
            let made = || {
                let client = Client::new(&runtime.block_on(chain.load()));
                Ok((outbound::client(), Table::new(client, seed::TABLE)))
            };
            vec![cost(made)?.1]
        }
        "one thread" => start(&mut one, true, true, uri, token)?,
        "threads" => start(&mut many, true, true, uri, token)?,
        // These use the SDK's chain, which can be told to trust the tests' certificate.
        "HTTP" | "TLS" => start(&mut one, false, true, uri, token)?,
        "TLS, not connected" => start(&mut one, false, false, uri, token)?,
        _ => return Err("no such process".into()),
    };
    println!("{}", serde_json::to_string(&costs)?);
    Ok(())
}

/// Runs the same steps as the function's `main`, and pulls.
fn start(runtime: &mut Builder, from_env: bool, connect: bool, uri: &str, token: &str) -> Outcome<Vec<Cost>> {
    let ((router, runtime), init) = cost(|| {
        let runtime = runtime.enable_all().build()?;
        let verifier = seed::verifier()?;
        let table = runtime.block_on(async {
            let table = match from_env {
                true => Table::from_env()?,
                false => Table::new(Client::new(&Table::sdk_config().load().await), seed::TABLE),
            };
            if connect {
                table.connect().await;
            }
            Outcome::Ok(table)
        })?;
        Ok((sync::router(sync::App::new(table, verifier)), runtime))
    })?;
    let pulls = |times| cost(|| (0..times).try_for_each(|_| runtime.block_on(pull(&router, uri, token))));
    let (_, first) = pulls(1)?;
    pulls(TIMES)?;
    let (_, warm) = pulls(TIMES)?;
    Ok(vec![init, first, warm.map(|all| all / f64::from(TIMES))])
}

async fn pull(router: &Router, uri: &str, token: &str) -> Outcome<()> {
    let request = Request::get(uri).header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::empty())?;
    let response = router.clone().oneshot(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    match status {
        StatusCode::OK => Ok(()),
        _ => Err(format!("{uri}: {status}: {}", String::from_utf8_lossy(&body)).into()),
    }
}

/// The result of a function, and its cost. Reading the clock is included in the cost.
fn cost<T>(something: impl FnOnce() -> Outcome<T>) -> Outcome<(T, Cost)> {
    let (cpu_before, start) = (cpu()?, Instant::now());
    let made = black_box(something()?);
    let wall = start.elapsed().as_secs_f64() * 1e3;
    Ok((made, [cpu()? - cpu_before, wall]))
}

/// The CPU time of all present threads, in milliseconds, exact to the nanosecond. Only Linux has it.
fn cpu() -> Outcome<f64> {
    // The system updates a thread's time when the thread leaves its core.
    std::thread::sleep(Duration::from_millis(1));
    let mut nanoseconds = 0;
    for thread in read_dir("/proc/self/task")? {
        let schedstat = read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds += schedstat.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(nanoseconds as f64 / 1e6)
}
