//! Measures the gain of the product's pull: `cargo bench -p tests --bench reference` compares it with the straightforward one,
//! which turns the SDK's types into JSON values, and a long interval read side by side with one read in a chain.
//!
//! There is no engine and no network: both pulls get the same answers from memory, in turn. The product is faster than
//! shown: its pull also checks the token, writes a log, and removes escapes, which are then put back for the gateway.

#[path = "../meter.rs"]
#[expect(dead_code, reason = "memory is measured elsewhere: two ways in one process cannot be told apart")]
mod meter;

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt;
use serde_json::json;
use shared::auth::Verifier;
use shared::domain::{Collection, ProjectId, Row, RowKey, UserId, Write};
use shared::storage::Table;
use stack::token;
use tests::support::{Reference, Replay};
use tower::ServiceExt;

const PROJECT: &str = "bVvC2oXCRx4Ts0aL";
const USER: &str = "olga";
const ROWS: u64 = 10_000;
/// The size of a page of DynamoDB.
const PAGE: usize = 1024 * 1024;
const ROUNDS: usize = 5;
/// The time that an answer of DynamoDB takes to reach a function, for the comparison of parallel and sequential reads.
const DELAY: Duration = Duration::from_millis(15);

/// Whatever goes wrong ends the program with one line.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    // This is the same as in the deployed function.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(compare())
}

async fn compare() -> Outcome<()> {
    let load = meter::load();
    let project: ProjectId = PROJECT.parse()?;
    let (membership, rows) = rows(&project)?;
    let replay = Replay::new(&project, &membership, &rows, PAGE, &|text| json!(text).to_string());
    let client = replay.client().await;
    let router = router(client.clone())?;
    let token = token::sign(token::LOCAL_SECRET, USER)?;
    let build = meter::build();
    println!("{ROWS} rows; {}, {build}; load average {load}", meter::processor());
    println!(
        "{:<7} {:>6} {:>11} {:>13} {:>16} {:>7}",
        "pull", "rows", "body bytes", "product, CPU", "straightforward", "ratio"
    );
    for (name, changed, calls) in [("empty", 0, 400), ("delta", 50, 200), ("full", ROWS, 10)] {
        let since = ROWS - changed;
        let reference = reference(&project, since)?;
        let (mut product, mut straightforward) = (Vec::new(), Vec::new());
        let body = pull(&router, &token, since).await?;
        if body != reference.pull(&client, "t").await {
            return Err(format!("{name}: the answers differ").into());
        }
        for _ in 0..ROUNDS {
            let start = meter::cpu();
            for _ in 0..calls {
                black_box(escaped(&pull(&router, &token, since).await?)?);
            }
            let middle = meter::cpu();
            for _ in 0..calls {
                black_box(escaped(&reference.pull(&client, "t").await)?);
            }
            let (start, middle, end) =
                (start.ok_or("no clock")?, middle.ok_or("no clock")?, meter::cpu().ok_or("no clock")?);
            product.push((middle - start) * 1e3 / f64::from(calls));
            straightforward.push((end - middle) * 1e3 / f64::from(calls));
        }
        let (product, straightforward) = (median(product), median(straightforward));
        let ratio = straightforward / product;
        println!(
            "{name:<7} {changed:>6} {:>11} {product:>10.3} ms {straightforward:>13.3} ms {ratio:>7.1}",
            body.len()
        );
    }
    let mut walls = Vec::new();
    for at_once in [usize::from(u8::MAX), 1] {
        let router = self::router(replay.clone().slowed(DELAY, at_once).client().await)?;
        let mut wall = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            black_box(pull(&router, &token, 0).await?);
            wall.push(start.elapsed().as_secs_f64() * 1e3);
        }
        walls.push(median(wall));
    }
    println!(
        "full, {DELAY:?} for each answer: {:.0} ms side by side, {:.0} ms one after the other, {:.2} of it",
        walls[0],
        walls[1],
        walls[0] / walls[1]
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The answer as a function hands it to the gateway.
fn escaped(body: &str) -> Outcome<String> {
    Ok(serde_json::to_string(body)?)
}

fn reference(project: &ProjectId, since: u64) -> Outcome<Reference> {
    Ok(Reference { project: project.clone(), caller: USER.parse()?, since, limit: usize::MAX, turbo: false })
}

fn router(client: Client) -> Outcome<Router> {
    let secret = |name: &str| (name == "JWT_SECRET").then(|| token::LOCAL_SECRET.to_owned());
    Ok(sync::router(sync::App::new(Table::new(client, "t"), Arc::new(Verifier::configured(secret)?))))
}

async fn pull(router: &Router, token: &str, since: u64) -> Outcome<String> {
    let request = Request::get(format!("/api/v1/projects/{PROJECT}/sync/?since={since}"))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::empty())?;
    let response = router.clone().oneshot(request).await?;
    let status = response.status();
    let body = String::from_utf8(response.into_body().collect().await?.to_bytes().into())?;
    if status == 200 { Ok(body) } else { Err(format!("{status}: {body}").into()) }
}

/// A project and a membership, and tasks for the rest.
fn rows(project: &ProjectId) -> Outcome<(Row, Vec<Row>)> {
    let user: UserId = USER.parse()?;
    let own = RowKey::membership(project, &user);
    let mut rows = Vec::new();
    for version in 1..=ROWS {
        let (key, columns) = match version {
            1 => (RowKey::project(project), json!({"name": "House by the lake", "description": ""})),
            2 => (own.clone(), json!({"user": USER, "role": 400})),
            _ => {
                let id = format!("0198c8d5-6b1e-7cc0-8f0e-{version:012}").parse()?;
                (RowKey::new(Collection::Tasks, id), task(version))
            }
        };
        let columns = columns.as_object().ok_or("no columns")?.clone();
        rows.push(Row::written(None, key, Write::Put(columns), version.try_into()?));
    }
    let membership = rows.iter().find(|row| row.key == own).ok_or("no membership")?.clone();
    Ok((membership, rows))
}

fn task(number: u64) -> serde_json::Value {
    json!({
        "name": format!("Task {number}"), "wbs_path": format!("{}.{}", number / 100 + 1, number % 100 + 1), "duration": 8,
        "percent_complete": 50, "notes": "", "status": "IN_PROGRESS", "is_milestone": false,
    })
}
