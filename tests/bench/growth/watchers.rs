//! Connections that watch one project, and what it takes to tell them of a commit.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::try_join_all;
use poke::Poke;
use serde_json::Value;
use shared::domain::{ConnectionId, ProjectId};
use shared::live::{Connections, Delivery, LiveLog};
use shared::storage::{Table, Watcher};
use tests::support::{TestTable, moved, stream_event};

use crate::instance::{Cost, cpu};
use crate::program::Outcome;
use crate::seed::TABLE;
use crate::sheet::Sheet;

/// An id as the product makes them.
const PROJECT: &str = "0198c8d5-6b1e-7cc0-8f0e-2b1d5c0a7f31";
/// How many connections begin to watch at once.
const AT_ONCE: usize = 64;

/// Connections that take every message and no time.
struct Nowhere;

impl Connections for Nowhere {
    async fn send(&self, _: &ConnectionId, _: &str) -> Delivery {
        Delivery::Sent
    }

    async fn close(&self, _: &ConnectionId) -> Delivery {
        Delivery::Sent
    }
}

pub(crate) async fn measure(table: &Table, endpoint: &str, points: &[usize]) -> Outcome<Sheet> {
    let mut sheet = Sheet::new("connections that watch the project", points);
    let mut watching = 0;
    for &connections in points {
        let more: Vec<usize> = (watching..connections).collect();
        for some in more.chunks(AT_ONCE) {
            try_join_all(some.iter().map(|number| watch(table, *number))).await?;
        }
        watching = connections;
        let (cost, messages) = poke(endpoint, connections as u64 + 1).await?;
        sheet.add("poke", cost);
        sheet.figure("poke: messages", messages.to_string());
    }
    Ok(sheet)
}

async fn watch(table: &Table, number: usize) -> Outcome<()> {
    let projects: [ProjectId; 1] = [PROJECT.parse()?];
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let watcher = Watcher {
        // Ids of the gateway and of an issuer are as long.
        connection: format!("L0SM9cOFvH{number:05}=").parse()?,
        user: format!("auth0|{number:024}").parse()?,
        until: i64::try_from(now)? + 3_600,
    };
    Ok(table.watch(&watcher, 0, &projects).await?)
}

/// What it takes to tell all watchers of one commit, and how many are told.
async fn poke(endpoint: &str, version: u64) -> Outcome<(Cost, u64)> {
    let calls = Arc::new(AtomicUsize::new(0));
    let table = TestTable { endpoint: endpoint.to_owned(), name: TABLE.to_owned() };
    let table = table.seen_by({
        let calls = Arc::clone(&calls);
        move |_, _| {
            calls.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    });
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&lines);
    let log = LiveLog::new("poke", "bench", move |line| {
        written.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(line.to_owned());
    });
    let poke = Poke::new(table.await, Arc::new(Nowhere)).with_log(log);
    // A new instance sweeps with its first batch. That is not part of a poke.
    poke.handle(&stream_event(&[moved("bVvC2oXC-nobody", 1)])).await;
    calls.store(0, Ordering::Relaxed);
    let before = cpu();
    if poke.handle(&stream_event(&[moved(PROJECT, version)])).await.is_some() {
        return Err("a batch that must be repeated".into());
    }
    let cpu = cpu() - before;
    let line = lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop().unwrap_or_default();
    let line: Value = serde_json::from_str(&line)?;
    let figure = |name: &str| line[name].as_f64().ok_or_else(|| format!("a line without {name}: {line}"));
    let calls = calls.load(Ordering::Relaxed) as f64;
    let cost = Cost { answers: 1.0, calls, reads: figure("ReadUnits")?, writes: figure("WriteUnits")?, cpu };
    Ok((cost, figure("Pokes")? as u64))
}
