//! An instance of the functions `rest` and `sync`, called by the owner of one project, and what its requests take.

use std::fs::read_to_string;
use std::ops::AddAssign;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shared::domain::ProjectId;
use shared::storage::Table;
use stack::token;
use tower::ServiceExt;

use crate::program::Outcome;
use crate::seed;
use crate::timing::{self, Taken};

/// How often a request that changes nothing is measured, unless it takes long.
const TIMES: u32 = 30;
/// The CPU after which it is not measured again, in seconds.
const ENOUGH_CPU: f64 = 0.4;

/// What a request took, or the mean of several.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) answers: f64,
    pub(crate) calls: f64,
    pub(crate) reads: f64,
    pub(crate) writes: f64,
    /// In seconds, of this thread. No number if the system does not tell.
    pub(crate) cpu: f64,
}

impl Cost {
    /// The mean of so many requests.
    pub(crate) fn over(self, requests: usize) -> Self {
        let n = requests.max(1) as f64;
        let Self { answers, calls, reads, writes, cpu } = self;
        Self { answers: answers / n, calls: calls / n, reads: reads / n, writes: writes / n, cpu: cpu / n }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.answers += other.answers;
        self.calls += other.calls;
        self.reads += other.reads;
        self.writes += other.writes;
        self.cpu += other.cpu;
    }
}

/// Seconds of CPU of this thread, which is the only one that works. `/proc` counts them in nanoseconds.
pub(crate) fn cpu() -> f64 {
    let stat = read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    nanoseconds.map_or(f64::NAN, |nanoseconds| nanoseconds / 1e9)
}

/// An answer and what it took.
struct Answer {
    body: Bytes,
    cost: Cost,
}

/// An instance, and the project whose owner calls it.
pub(crate) struct Instance {
    rest: Router,
    sync: Router,
    token: String,
    pub(crate) table: Table,
    pub(crate) project: ProjectId,
}

impl Instance {
    /// An instance that knows the caller as a member of a new project.
    pub(crate) async fn with_project(table: &Table, name: &str) -> Outcome<Self> {
        let project: ProjectId = format!("bVvC2oXC-{name}").parse()?;
        seed::create_project(table, &project).await?;
        let verifier = seed::verifier()?;
        let instance = Self {
            rest: rest::router(rest::App { table: table.clone(), verifier: verifier.clone() }),
            sync: sync::router(sync::App::new(table.clone(), verifier)),
            token: token::sign(token::LOCAL_SECRET, seed::USER)?,
            table: table.clone(),
            project,
        };
        instance.pull("since=0").await?;
        Ok(instance)
    }

    /// Creates tasks with the numbers below this one.
    pub(crate) async fn create_tasks(&self, count: usize) -> Outcome<()> {
        let numbers: Vec<usize> = (0..count).collect();
        for batch in numbers.chunks(seed::BATCH) {
            seed::commit(&self.table, &self.project, batch, 0).await?;
        }
        Ok(())
    }

    /// The project's counter.
    pub(crate) async fn current(&self) -> Outcome<u64> {
        seed::current(&self.table, &self.project).await
    }

    /// Changes a task. Afterwards the latest commit is a small one, so that the next one has little to check of it.
    pub(crate) async fn touch(&self, task: usize, percent_complete: usize) -> Outcome<Cost> {
        let body = json!({"percent_complete": percent_complete % 101});
        self.rest(Method::PATCH, &format!("tasks/{}/", seed::key(task)?.id), &body).await
    }

    /// A request to `rest`, below the project.
    pub(crate) async fn rest(&self, method: Method, path: &str, body: &Value) -> Outcome<Cost> {
        Ok(self.send(&self.rest, method, path, body.to_string()).await?.cost)
    }

    /// What reading a path of `rest` takes.
    pub(crate) async fn read(&self, path: &str) -> Outcome<Cost> {
        repeated(async || Ok(self.send(&self.rest, Method::GET, path, String::new()).await?.cost)).await
    }

    /// What a pull with this query takes, to its last page.
    pub(crate) async fn pull(&self, query: &str) -> Outcome<Cost> {
        repeated(|| self.pull_once(query)).await
    }

    async fn pull_once(&self, query: &str) -> Outcome<Cost> {
        let mut cost = Cost::default();
        let mut query = query.to_owned();
        loop {
            let answer = self.send(&self.sync, Method::GET, &format!("sync/?{query}"), String::new()).await?;
            cost += answer.cost;
            let end = std::str::from_utf8(&answer.body[answer.body.len().saturating_sub(1_000)..])?;
            if !end.contains("\"has_more\":true") {
                return Ok(cost);
            }
            let (_, mark) = end.rsplit_once("\"timestamp\":").ok_or("an answer without a mark")?;
            query = format!("since={}", mark.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default());
        }
    }

    async fn send(&self, function: &Router, method: Method, path: &str, body: String) -> Outcome<Answer> {
        let uri = format!("/api/v1/projects/{}/{path}", self.project);
        let request = Request::builder()
            .method(&method)
            .uri(&uri)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))?;
        let before = cpu();
        let response = function.clone().oneshot(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let cpu = cpu() - before;
        if !head.status.is_success() {
            return Err(format!("{method} {uri}: {} {}", head.status, String::from_utf8_lossy(&body)).into());
        }
        let Taken { calls, reads, writes } = timing::taken(&head.headers)?;
        Ok(Answer { body, cost: Cost { answers: 1.0, calls, reads, writes, cpu } })
    }
}

/// The calls and units of requests that change nothing, and the mean of their CPU. On a busy machine, a call that takes too long is
/// sent again. So the calls are the fewest.
async fn repeated(request: impl AsyncFn() -> Outcome<Cost>) -> Outcome<Cost> {
    let mut fewest = request().await?;
    let (mut cpu, mut times) = (fewest.cpu, 1);
    while times < TIMES && cpu < ENOUGH_CPU {
        let cost = request().await?;
        cpu += cost.cpu;
        times += 1;
        if cost.calls < fewest.calls {
            fewest = cost;
        }
    }
    Ok(Cost { cpu: cpu / f64::from(times), ..fewest })
}
