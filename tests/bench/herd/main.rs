//! Measures the reads of a herd's first sync: `cargo bench -p tests --bench herd` has 1,000 devices pull a project of 20,000
//! tasks through 10 instances of the function, and prints a table. It fails when kept pages save less than 90% of the units.
//!
//! The units are those that the engine reports, so that the build does not matter. An instance serves one request at a time. Devices
//! come in a random order, each pull goes to a random instance, and a page holds 3,000 rows, so that a first sync takes 7. In
//! some runs, tasks are edited meanwhile. Pages do not expire: the edits of a minute are made as fast as the machine allows.

#[path = "../engine.rs"]
mod engine;
#[path = "../program.rs"]
mod program;
#[path = "../seed.rs"]
#[expect(dead_code, reason = "the pull bench tells more of its projects")]
mod seed;
#[path = "../timing.rs"]
#[expect(dead_code, reason = "the growth bench counts calls and write units, too")]
mod timing;

use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use fastrand::Rng;
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use program::Outcome;
use serde_json::json;
use shared::storage::Table;
use stack::token;
use sync::{KeptPages, Limits};
use tower::ServiceExt;

const INSTANCES: usize = 10;
const DEVICES: usize = 1_000;
const TASKS: usize = 20_000;
const PAGE: usize = 3_000;
/// The number of devices that is enough if each one reads as much as the others.
const SAMPLE: usize = 50;

fn main() -> ExitCode {
    program::run(|arguments| match *arguments {
        [engine::ROLE] => engine::run(),
        [] => measure(TASKS, DEVICES),
        [tasks, devices] => measure(tasks.parse()?, devices.parse()?),
        _ => Err("takes the number of tasks and that of devices, or nothing".into()),
    })
}

fn measure(tasks: usize, devices: usize) -> Outcome<()> {
    let engine = engine::Engine::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        eprintln!("seeding {tasks} tasks …");
        let table = seed::table(&engine.endpoint).await?;
        seed::project(&table, tasks).await?;
        println!("{tasks} tasks, {PAGE} rows in a page, {INSTANCES} instances\n");
        println!("| kept pages | devices | edits | answers | kept | units of the index | … per device | units |");
        println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
        let without = herd(&table, tasks, devices.min(SAMPLE), 0, 0).await?;
        let with = herd(&table, tasks, devices, 64, 0).await?;
        for edits in [devices / 10, devices] {
            herd(&table, tasks, devices, 64, edits).await?;
        }
        if with.index_units / devices as f64 * 10.0 > without.index_units / devices.min(SAMPLE) as f64 {
            return Err("kept pages save less than nine units of ten".into());
        }
        Ok(())
    })
}

/// The cost of a herd.
#[derive(Default)]
struct Taken {
    answers: usize,
    kept: usize,
    units: f64,
    /// Beyond counter and membership, which are read for each answer.
    index_units: f64,
}

/// A herd's first sync, with so many megabytes for kept pages in each instance, and so many edits spread over it.
async fn herd(table: &Table, tasks: usize, devices: usize, megabytes: usize, edits: usize) -> Outcome<Taken> {
    let mut rng = Rng::with_seed(7);
    let limits = Limits { age: Duration::from_secs(3600), ..Limits::of_bytes(megabytes * 1024 * 1024) };
    let verifier = seed::verifier()?;
    let instances: Vec<Router> = (0..INSTANCES)
        .map(|_| sync::App::new(table.clone(), Arc::clone(&verifier)).keeping(Arc::new(KeptPages::new(limits))))
        .map(sync::router)
        .collect();
    let rest = rest::router(rest::App { table: table.clone(), verifier });
    let token = token::sign(token::LOCAL_SECRET, seed::USER)?;
    let path = format!("/api/v1/projects/{}", seed::id(tasks));
    let mut taken = Taken::default();
    // The mark of each device. A device that is done is removed.
    let mut marks = vec![0_u64; devices];
    let all = devices * (tasks / PAGE + 1);
    let mut edited = 0;
    while !marks.is_empty() {
        if edited * all < edits * taken.answers {
            edit(&rest, &token, &path, rng.usize(..tasks), edited).await?;
            edited += 1;
        }
        let device = rng.usize(..marks.len());
        let pulled = pull(&instances[rng.usize(..INSTANCES)], &token, &path, marks[device]).await?;
        taken.answers += 1;
        taken.kept += usize::from(pulled.is_kept);
        taken.units += pulled.units;
        taken.index_units += pulled.units - 2.0;
        match pulled.next {
            Some(mark) => marks[device] = mark,
            None => _ = marks.swap_remove(device),
        }
    }
    let Taken { answers, kept, units, index_units } = taken;
    let per_device = index_units / devices as f64;
    let with = if megabytes > 0 { "yes" } else { "no" };
    println!("| {with} | {devices} | {edited} | {answers} | {kept} | {index_units} | {per_device:.1} | {units} |");
    Ok(taken)
}

async fn edit(rest: &Router, token: &str, path: &str, task: usize, number: usize) -> Outcome<()> {
    let body = json!({"percent_complete": number % 100}).to_string();
    let request = Request::patch(format!("{path}/tasks/0198c8d5-6b1e-7cc0-8f0e-{task:012}/"))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))?;
    match rest.clone().oneshot(request).await?.status() {
        StatusCode::OK => Ok(()),
        status => Err(format!("an edit was answered {status}").into()),
    }
}

struct Pulled {
    next: Option<u64>,
    is_kept: bool,
    units: f64,
}

async fn pull(instance: &Router, token: &str, path: &str, since: u64) -> Outcome<Pulled> {
    let uri = format!("{path}/sync/?since={since}&limit={PAGE}");
    let request = Request::get(&uri)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Body::empty())?;
    let response = instance.clone().oneshot(request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("{uri}: {}", response.status()).into());
    }
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_kept = header("server-timing").starts_with("pull;desc=\"kept\"");
    let units = timing::taken(response.headers())?.reads;
    let is_gzip = header("content-encoding") == "gzip";
    let body = response.into_body().collect().await?.to_bytes();
    let mut end = String::new();
    if is_gzip {
        GzDecoder::new(&body[..]).read_to_string(&mut end)?;
    } else {
        end = String::from_utf8(body.to_vec())?;
    }
    let (_, end) = end.rsplit_once("},\"timestamp\":").ok_or("an answer without a mark")?;
    let mark = end.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse()?;
    Ok(Pulled { next: end.contains("\"has_more\":true").then_some(mark), is_kept, units })
}
