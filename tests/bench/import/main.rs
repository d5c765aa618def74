//! Measures the cost of an import: `cargo bench -p tests --bench import` brings a plan of 5,000 tasks and 6,000 dependencies into
//! a project and prints a table; `-- 1000` does so with 1,000 tasks. It fails when batches save fewer than 19 calls of 20.
//!
//! The rows go in batches of 98, and before each batch two go alone, so that both ways are measured at every size of the
//! project. The engine runs in a process of its own: the CPU is that of the function alone.

#[path = "../engine.rs"]
mod engine;
#[path = "../meter.rs"]
mod meter;
mod plan;
#[path = "../program.rs"]
mod program;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use plan::Plan;
use program::Outcome;
use serde_json::{Value, json};
use shared::auth::Verifier;
use shared::storage::{MAX_ROWS, Table};
use stack::{table, token};
use tower::ServiceExt;

const PROJECT: &str = "/api/v1/projects/bVvC2oXCRx4Ts0aL/";
const TASKS: usize = 5_000;
/// A smaller plan has no batch of 98 rows.
const FEWEST_TASKS: usize = 100;
/// Batches must save so many calls for each one that they take.
const AT_LEAST: f64 = 20.0;

fn main() -> ExitCode {
    program::run(|arguments| match *arguments {
        [] => import(&Plan::new(TASKS)),
        [engine::ROLE] => engine::run(),
        [tasks] => match tasks.parse() {
            Ok(tasks @ FEWEST_TASKS..) => import(&Plan::new(tasks)),
            _ => Err(format!("takes a number of tasks, {FEWEST_TASKS} or more").into()),
        },
        _ => Err("takes one argument at most".into()),
    })
}

/// Counts the calls of DynamoDB as they are sent.
#[derive(Debug, Clone, Default)]
struct Calls(Arc<AtomicU64>);

impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "calls"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// The cost of one way to send some rows.
#[derive(Debug, Default, Clone, Copy)]
struct Cost {
    rows: usize,
    requests: usize,
    calls: u64,
    seconds: f64,
    cpu: f64,
}

struct Function {
    router: Router,
    token: String,
    calls: Calls,
}

impl Function {
    /// Posts and adds what it took.
    async fn post(&self, path: &str, body: Value, rows: usize, cost: &mut Cost) -> Outcome<()> {
        let request = Request::post(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))?;
        let (calls, cpu, start) = (self.calls.0.load(Ordering::Relaxed), meter::cpu(), Instant::now());
        let response = self.router.clone().oneshot(request).await?;
        cost.seconds += start.elapsed().as_secs_f64();
        cost.cpu += cpu.zip(meter::cpu()).map_or(f64::NAN, |(before, after)| after - before);
        cost.calls += self.calls.0.load(Ordering::Relaxed) - calls;
        cost.rows += rows;
        cost.requests += 1;
        if response.status().is_success() { Ok(()) } else { Err(format!("{path}: {}", response.status()).into()) }
    }

    /// All rows of a collection: two alone and then a batch, in turn. The first of the two does not count: it finds the
    /// rows of a whole batch to be seen in place, the second those of a commit like its own.
    async fn import(&self, collection: &str, rows: &[Value]) -> Outcome<[Cost; 2]> {
        let (mut alone, mut batches) = Default::default();
        for rows in rows.chunks(MAX_ROWS + 2) {
            let (single, rest) = rows.split_at(rows.len().min(2));
            for (row, cost) in single.iter().zip([&mut Cost::default(), &mut alone]) {
                self.post(&format!("{PROJECT}{collection}/"), row.clone(), 1, cost).await?;
            }
            self.batch(collection, rest, &mut batches).await?;
        }
        Ok([batches, alone])
    }

    async fn batch(&self, collection: &str, rows: &[Value], cost: &mut Cost) -> Outcome<()> {
        let path = format!("{collection}/");
        let operations = rows.iter().map(|row| json!({"method": "POST", "path": path, "body": row}));
        let body = json!({"operations": operations.collect::<Vec<_>>()});
        if rows.is_empty() { Ok(()) } else { self.post(&format!("{PROJECT}batch/"), body, rows.len(), cost).await }
    }
}

fn import(plan: &Plan) -> Outcome<()> {
    let load = meter::load();
    let engine = engine::Engine::start()?;
    // This is the same as in the deployed function.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (measured, last) = runtime.block_on(measure(plan, &engine.endpoint))?;
    print(&load, &measured, &last);
    let total = |way: usize| -> f64 {
        measured.iter().map(|(_, rows, costs)| *rows as f64 * costs[way].calls as f64 / costs[way].rows as f64).sum()
    };
    let (batches, alone) = (total(0), total(1));
    println!("\nall rows: {batches:.0} calls in batches, {alone:.0} one by one: {:.0} times", alone / batches);
    if alone < AT_LEAST * batches { Err("batches save too little".into()) } else { Ok(()) }
}

type Measured = Vec<(&'static str, usize, [Cost; 2])>;

/// The import, and at its end one more batch of edges.
async fn measure(plan: &Plan, endpoint: &str) -> Outcome<(Measured, Cost)> {
    let calls = Calls::default();
    let client = ops::endpoint::client(endpoint).await;
    table::create(&client, "import").await?;
    let client = Client::from_conf(client.config().to_builder().interceptor(calls.clone()).build());
    let secret = |name: &str| (name == "JWT_SECRET").then(|| token::LOCAL_SECRET.to_owned());
    let verifier = Arc::new(Verifier::configured(secret)?);
    let router = rest::router(rest::App { table: Table::new(client, "import"), verifier });
    let function = Function { router, token: token::sign(token::LOCAL_SECRET, "olga")?, calls };
    let project = json!({"id": PROJECT.trim_end_matches('/').rsplit('/').next(), "name": "Plan"});
    function.post("/api/v1/projects/", project, 1, &mut Cost::default()).await?;

    let (tasks, edges, more) = (plan.tasks(), plan.edges(), plan.more_edges(MAX_ROWS));
    eprintln!("importing {} tasks …", tasks.len());
    let of_tasks = function.import("tasks", &tasks).await?;
    eprintln!("importing {} dependencies …", edges.len());
    let of_edges = function.import("dependencies", &edges).await?;
    let mut last = Cost::default();
    function.batch("dependencies", &more, &mut last).await?;
    Ok((vec![("tasks", tasks.len(), of_tasks), ("dependencies", edges.len(), of_edges)], last))
}

fn print(load: &str, measured: &Measured, last: &Cost) {
    let build = meter::build();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("\n{cores} cores ({}), {build}; engine and function in processes of their own", meter::processor());
    println!("load average {load}\n");
    println!(
        "{:<25} {:>6} {:>9} {:>7} {:>10} {:>8} {:>11}",
        "import", "rows", "requests", "calls", "calls/row", "rows/s", "CPU/row"
    );
    for (collection, _, costs) in measured {
        for (way, cost) in ["in batches", "one by one"].iter().zip(costs) {
            line(&format!("{collection} {way}"), cost);
        }
    }
    line("98 more dependencies", last);
    let peak = meter::peak_memory().map_or("?".to_owned(), |kilobytes| format!("{:.0} MB", kilobytes as f64 / 1024.0));
    println!("\npeak memory {peak}");
}

fn line(name: &str, cost: &Cost) {
    println!(
        "{name:<25} {:>6} {:>9} {:>7} {:>10.2} {:>8.0} {:>8.2} ms",
        cost.rows,
        cost.requests,
        cost.calls,
        cost.calls as f64 / cost.rows as f64,
        cost.rows as f64 / cost.seconds,
        cost.cpu * 1e3 / cost.rows as f64,
    );
}
