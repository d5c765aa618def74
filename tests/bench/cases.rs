//! The kinds of pull that are measured, each in a process of its own.

use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use local::{table, token};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::storage::Table;
use tower::ServiceExt;

use crate::seed::{self, PROJECT, Seeded, TABLE, USER};
use crate::{Outcome, meter};

/// The argument that makes this program measure one case.
pub(crate) const ROLE: &str = "measure";

#[derive(Debug, Clone, Copy)]
pub(crate) enum Case {
    /// Nothing changed.
    Empty,
    /// A few rows changed.
    Delta,
    /// A device that holds nothing.
    Full,
}

/// What was found; CPU and wall in seconds a call, memory in kB.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) cpu: Option<f64>,
    pub(crate) wall: f64,
    /// The peak before the first pull: the program itself, its client, its keys.
    pub(crate) idle_memory: Option<u64>,
    pub(crate) first_peak: Option<u64>,
    pub(crate) peak: Option<u64>,
}

impl Case {
    pub(crate) const ALL: [Self; 3] = [Self::Empty, Self::Delta, Self::Full];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Delta => "delta",
            Self::Full => "full",
        }
    }

    /// So many that the CPU clock's steps of 10 ms do not show.
    pub(crate) fn calls(self) -> usize {
        match self {
            Self::Empty => 3000,
            Self::Delta => 1000,
            Self::Full => 50,
        }
    }

    pub(crate) fn since(self, seeded: &Seeded) -> u64 {
        match self {
            Self::Empty => seeded.current,
            Self::Delta => seeded.before_change,
            Self::Full => 0,
        }
    }

    /// The rows that the answer must have; the full one has the project and its owner's membership beside the tasks.
    fn rows(self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Delta => seed::CHANGED,
            Self::Full => seed::TASKS + 2,
        }
    }
}

/// Measures one case and prints what was found as JSON.
pub(crate) fn run(case: &str, endpoint: &str, since: &str) -> Outcome<()> {
    let case = Case::ALL.into_iter().find(|known| known.name() == case).ok_or("no such case")?;
    // As in the deployed function.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", serde_json::to_string(&runtime.block_on(measure(case, endpoint, since))?)?);
    Ok(())
}

async fn measure(case: Case, endpoint: &str, since: &str) -> Outcome<Measured> {
    let table = Table::new(table::client(endpoint).await, TABLE);
    let router = sync::router(sync::App::new(table, seed::verifier()?));
    let token = token::sign(token::LOCAL_SECRET, USER)?;
    let path = format!("/api/v1/projects/{PROJECT}/sync/?since={since}");
    let idle_memory = meter::peak_memory();
    let mut bytes = pull(&router, &token, &path).await?;
    let first_peak = meter::peak_memory();

    let before = meter::cpu();
    let mut walls = Vec::with_capacity(case.calls());
    for _ in 0..case.calls() {
        // Gone before the next one, as in the function.
        drop(bytes);
        let start = Instant::now();
        bytes = pull(&router, &token, &path).await?;
        walls.push(start.elapsed().as_secs_f64());
    }
    let cpu = before.zip(meter::cpu()).map(|(before, after)| (after - before) / case.calls() as f64);
    let peak = meter::peak_memory();
    walls.sort_unstable_by(f64::total_cmp);
    let rows = rows_of(&bytes)?;
    if rows != case.rows() {
        return Err(format!("{rows} rows instead of {}", case.rows()).into());
    }
    Ok(Measured { rows, bytes: bytes.len(), cpu, wall: walls[walls.len() / 2], idle_memory, first_peak, peak })
}

/// One pull as the function serves it: routed, answered, and the body once more as a JSON string, which is how a
/// function hands it to the gateway.
async fn pull(router: &Router, token: &str, path: &str) -> Outcome<Vec<u8>> {
    let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::empty())?;
    let response = router.clone().oneshot(request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("{path}: {}", response.status()).into());
    }
    let body = response.into_body().collect().await?.to_bytes();
    let escaped = serde_json::to_vec(std::str::from_utf8(&body)?)?;
    std::hint::black_box(&escaped);
    Ok(body.into())
}

/// How many rows a whole answer holds; none may be left for another page.
fn rows_of(body: &[u8]) -> Outcome<usize> {
    let body: Value = serde_json::from_slice(body)?;
    if body.get("has_more").is_some() {
        return Err("the answer was cut".into());
    }
    let collections = body["changes"].as_object().ok_or("an answer without changes")?;
    Ok(collections.values().filter_map(|collection| collection["updated"].as_array()).map(Vec::len).sum())
}
