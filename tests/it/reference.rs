//! Compares the product's pull with the reference pull, on the same tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shared::auth::Verifier;
use shared::domain::{Collection, CollectionName, ProjectId, Row, RowKey, UserId, Write};
use shared::storage::Table;
use stack::token::LOCAL_SECRET;
use tests::support::{Reference, Replay, TestApp};
use tower::ServiceExt;

const PROJECT: &str = "bVvC2oXCRx4Ts0aL";
const USER: &str = "olga";
/// `REFERENCE_TABLES=n` tests more tables, and `REFERENCE_SEED=n` begins with another seed.
const TABLES: u64 = 2000;

/// A text of characters that JSON may escape or must escape, or that may confuse a reader of JSON.
fn text(rng: &mut fastrand::Rng) -> String {
    const PIECES: [&str; 16] = [
        "a",
        "\"",
        "\\",
        "/",
        "\n",
        "\u{1}",
        "\u{7f}",
        "ä",
        "日本",
        "🏗",
        "\u{2028}",
        "\\u0041",
        "\"}",
        "{\"S\":\"",
        "\\\"",
        " ",
    ];
    (0..rng.usize(..8)).map(|_| PIECES[rng.usize(..PIECES.len())]).collect()
}

fn scalar(rng: &mut fastrand::Rng) -> Value {
    match rng.u8(..5) {
        0 => json!(rng.bool()),
        1 => json!(rng.i64(-1_000_000..1_000_000)),
        2 => json!(f64::from(rng.i32(-800..800)) / 8.0),
        3 => Value::Null,
        _ => json!(text(rng)),
    }
}

/// The content does not matter, because neither pull reads it.
fn content(collection: CollectionName, rng: &mut fastrand::Rng) -> Write {
    Write::Put(collection.columns().iter().map(|column| ((*column).to_owned(), scalar(rng))).collect())
}

/// The rows of a project after some commits, and the membership of the caller.
fn rows(project: &ProjectId, rng: &mut fastrand::Rng) -> (Row, Vec<Row>) {
    let own = RowKey::membership(project, &USER.parse().expect("a user"));
    let mut keys = vec![RowKey::project(project), own.clone()];
    for number in 0..rng.u64(..30) {
        let collection = Collection::ALL[rng.usize(1..5)];
        keys.push(RowKey::new(collection, format!("{}-{number}", rng.u16(..)).parse().expect("an id")));
    }
    let mut rows: BTreeMap<RowKey, Row> = BTreeMap::new();
    let mut write = |key: &RowKey, write: Write, version: u64| {
        let version = version.try_into().expect("a version");
        let row = Row::written(rows.get(key), key.clone(), write, version);
        rows.insert(key.clone(), row);
    };
    for version in 1..=2 + rng.u64(..80) {
        let key = match version {
            1 => &keys[0],
            2 => &own,
            _ => &keys[rng.usize(..keys.len())],
        };
        let stays = version < 3 || *key == own || rng.u8(..4) > 0;
        write(key, if stays { content(key.collection, rng) } else { Write::Delete }, version);
    }
    (rows[&own].clone(), rows.into_values().collect())
}

/// A text in quotes, with some characters escaped that need not be.
fn quoted(text: &str, rng: &mut fastrand::Rng) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        let mut pair = [0; 2];
        match character {
            '/' if rng.bool() => quoted.push_str("\\/"),
            _ if rng.u8(..40) == 0 => {
                character.encode_utf16(&mut pair).iter().for_each(|unit| quoted.push_str(&format!("\\u{unit:04x}")));
            }
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            _ => quoted.push(character),
        }
    }
    quoted + "\""
}

async fn compare(seed: u64, verifier: &Arc<Verifier>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let project: ProjectId = PROJECT.parse().expect("a project");
    let caller: UserId = USER.parse().expect("a user");
    let (membership, rows) = rows(&project, &mut rng);
    let current = rows.iter().map(|row| row.version.get()).max().expect("a row");
    // Wherever the pages of the index end, a cut answer is as full as possible.
    let limit = rng.bool().then(|| rng.usize(1..20));
    let page = rng.usize(1..4000);
    let replay = {
        let rng = std::cell::RefCell::new(rng.fork());
        Replay::new(&project, &membership, &rows, page, &|text| quoted(text, &mut rng.borrow_mut()))
    };
    let client = replay.client().await;
    let since = if rng.bool() { 0 } else { rng.u64(..=current) };
    let turbo = rng.u8(..4) == 0;
    let mut query = format!("since={since}&turbo={turbo}");
    if let Some(limit) = limit {
        query.push_str(&format!("&limit={limit}"));
    }
    let reference = Reference { project, caller, since, limit: limit.unwrap_or(usize::MAX), turbo };
    let expected = reference.pull(&client, "t").await;
    let router = sync::router(sync::App::new(Table::new(client, "t"), Arc::clone(verifier)));
    // This does not use a `Call`, which would fail because rows like these are not documented.
    let request = Request::get(format!("/api/v1/projects/{PROJECT}/sync/?{query}"))
        .header(header::AUTHORIZATION, format!("Bearer {}", TestApp::token(USER)))
        .body(Body::empty())
        .expect("a request");
    let answer = router.oneshot(request).await.expect("an answer").into_body().collect().await.expect("a body");
    let answer = String::from_utf8(answer.to_bytes().to_vec()).expect("a text");
    assert_eq!(answer, expected, "REFERENCE_SEED={seed} REFERENCE_TABLES=1: {query}");
}

#[tokio::test]
async fn a_pull_answers_byte_for_byte_what_the_straightforward_way_does() {
    let of = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let first = of("REFERENCE_SEED").unwrap_or_else(|| fastrand::u64(..u64::MAX / 2));
    let tables = of("REFERENCE_TABLES").unwrap_or(TABLES);
    let secret = |name: &str| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned());
    let verifier = Arc::new(Verifier::configured(secret).expect("a verifier"));
    println!("REFERENCE_SEED={first}");
    for seed in first..first + tables {
        compare(seed, &verifier).await;
    }
}
