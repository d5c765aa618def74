//! The kinds of pull that are measured, each in a process of its own.

use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::storage::Table;
use stack::token;
use tower::ServiceExt;

use crate::seed::{self, Seeded, TABLE, USER};
use crate::{Outcome, meter, timing};

/// The argument that makes this program measure one case.
pub(crate) const ROLE: &str = "measure";

/// A kind of pull.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Nothing changed.
    Empty,
    /// A few rows changed.
    Delta,
    /// A device that holds nothing.
    Full,
}

/// A kind of pull of a project with so many tasks.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) tasks: usize,
}

/// The measurements: CPU and wall time in seconds per call, and memory in kB.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    /// Responses of the function: more than one if they have to be cut.
    pub(crate) pages: usize,
    /// Requests to DynamoDB.
    pub(crate) calls: usize,
    /// Read units, as the engine counts them.
    pub(crate) units: f64,
    pub(crate) cpu: Option<f64>,
    pub(crate) wall: f64,
    /// The peak before the first pull: the program itself, its client, its keys.
    pub(crate) idle_memory: Option<u64>,
    pub(crate) first_peak: Option<u64>,
    pub(crate) peak: Option<u64>,
}

impl Case {
    /// Every kind, of projects of these sizes.
    pub(crate) fn all(sizes: &[usize]) -> impl Iterator<Item = Self> {
        let of = |kind| sizes.iter().map(move |&tasks| Self { kind, tasks });
        of(Kind::Empty).chain(of(Kind::Delta)).chain(of(Kind::Full))
    }

    pub(crate) fn name(self) -> &'static str {
        match self.kind {
            Kind::Empty => "empty",
            Kind::Delta => "delta",
            Kind::Full => "full",
        }
    }

    /// The number of calls. It is large enough that the CPU clock's steps of 10 ms do not matter.
    pub(crate) fn times(self) -> usize {
        match self.kind {
            Kind::Empty => 2000,
            Kind::Delta => 1000,
            Kind::Full => (400_000 / self.tasks).clamp(4, 1000),
        }
    }

    pub(crate) fn since(self, seeded: &Seeded) -> u64 {
        match self.kind {
            Kind::Empty => seeded.current,
            Kind::Delta => seeded.before_change,
            Kind::Full => 0,
        }
    }

    /// The rows that the answer must have; the full one has the project and its owner's membership beside the tasks.
    fn rows(self) -> usize {
        match self.kind {
            Kind::Empty => 0,
            Kind::Delta => seed::CHANGED.min(self.tasks),
            Kind::Full => self.tasks + 2,
        }
    }
}

/// Measures one case, which is JSON, and prints what was found as JSON.
pub(crate) fn run(case: &str, endpoint: &str, since: &str) -> Outcome<()> {
    // This is the same as in the deployed function.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(serde_json::from_str(case)?, endpoint, since.parse()?))?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

async fn measure(case: Case, endpoint: &str, since: u64) -> Outcome<Measured> {
    let table = Table::new(ops::endpoint::client(endpoint).await, TABLE);
    let router = sync::router(sync::App::new(table, seed::verifier()?));
    let token = token::sign(token::LOCAL_SECRET, USER)?;
    let path = format!("/api/v1/projects/{}/sync/", seed::id(case.tasks));
    let idle_memory = meter::peak_memory();
    drain(&router, &token, &path, since).await?;
    let first_peak = meter::peak_memory();
    // Counts the second pull: the first one of a process does not know the member yet, and makes one more call.
    let pulled = drain(&router, &token, &path, since).await?;

    let before = meter::cpu();
    let mut walls = Vec::with_capacity(case.times());
    for _ in 0..case.times() {
        let start = Instant::now();
        let mut next = Some(since);
        while let Some(since) = next {
            next = pull(&router, &token, &path, since).await?.next;
        }
        walls.push(start.elapsed().as_secs_f64());
    }
    let cpu = before.zip(meter::cpu()).map(|(before, after)| (after - before) / case.times() as f64);
    let peak = meter::peak_memory();
    walls.sort_unstable_by(f64::total_cmp);
    let Pulled { rows, bytes, pages, calls, units } = pulled;
    if rows != case.rows() {
        return Err(format!("{rows} rows instead of {}", case.rows()).into());
    }
    let wall = walls[walls.len() / 2];
    Ok(Measured { rows, bytes, pages, calls, units, cpu, wall, idle_memory, first_peak, peak })
}

/// The totals of all pages.
#[derive(Default)]
struct Pulled {
    rows: usize,
    bytes: usize,
    pages: usize,
    calls: usize,
    units: f64,
}

/// Pulls until there is no more, and counts.
async fn drain(router: &Router, token: &str, path: &str, since: u64) -> Outcome<Pulled> {
    let mut pulled = Pulled::default();
    let mut next = Some(since);
    while let Some(since) = next {
        let page = pull(router, token, path, since).await?;
        next = page.next;
        pulled.rows += rows_of(&page.body)?;
        pulled.bytes += page.body.len();
        pulled.pages += 1;
        pulled.calls += page.calls;
        pulled.units += page.units;
    }
    Ok(pulled)
}

struct Page {
    body: Bytes,
    /// The next `since`, if there is more.
    next: Option<u64>,
    calls: usize,
    units: f64,
}

/// One pull as the function serves it: routed, answered, and the body once more as a JSON string, which is how a
/// function hands it to the gateway.
async fn pull(router: &Router, token: &str, path: &str, since: u64) -> Outcome<Page> {
    let uri = format!("{path}?since={since}");
    let request = Request::get(&uri).header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::empty())?;
    let response = router.clone().oneshot(request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("{uri}: {}", response.status()).into());
    }
    let taken = timing::taken(response.headers())?;
    let body = response.into_body().collect().await?.to_bytes();
    let escaped = serde_json::to_vec(std::str::from_utf8(&body)?)?;
    std::hint::black_box(&escaped);
    Ok(Page { next: mark_of_cut(&body)?, body, calls: taken.calls as usize, units: taken.reads })
}

/// The mark of an answer that was cut, read from the end of the body.
fn mark_of_cut(body: &[u8]) -> Outcome<Option<u64>> {
    let end = std::str::from_utf8(&body[body.len().saturating_sub(1000)..])?;
    if !end.contains("\"has_more\":true") {
        return Ok(None);
    }
    let (_, mark) = end.rsplit_once("\"timestamp\":").ok_or("an answer without a mark")?;
    Ok(Some(mark.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse()?))
}

/// How many rows an answer holds.
fn rows_of(body: &[u8]) -> Outcome<usize> {
    let body: Value = serde_json::from_slice(body)?;
    let collections = body["changes"].as_object().ok_or("an answer without changes")?;
    Ok(collections.values().filter_map(|collection| collection["updated"].as_array()).map(Vec::len).sum())
}
