//! `trueppm pull`

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::{IsTerminal, stdout};

use anstyle::AnsiColor;
use axum::http::HeaderMap;
use clap::Args;
use ops::command::{Ended, OneProject, colour, put};
use ops::text::{one_line, visible_json};
use serde_json::Value;
use shared::domain::Collection;

use super::api::{Api, of_call};
use super::text::table;

/// The maximum number of characters of a cell.
const WIDEST: usize = 32;
/// The maximum number of ids of deleted rows that are listed.
const LISTED: usize = 20;

/// Pull a project as a device would, and print the changes
///
/// Prints the rows that changed since a version, the ids of deleted rows, the mark for the next pull, and the pull's outcome and
/// capacity units. Columns that are null in all rows are left out. With --json, prints each response unchanged on one line.
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm pull --project demo
  trueppm pull --project demo --user vic --since 30
  trueppm pull --project demo --limit 10 --all
  trueppm pull --project demo --json | jq .timestamp")]
pub(crate) struct Options {
    #[command(flatten)]
    project: OneProject,
    /// Pull changes since this version, which is the mark of the previous pull. 0 pulls everything
    #[arg(long, value_name = "VERSION", default_value_t = 0)]
    since: u64,
    /// Maximum number of rows per page
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Pull all pages
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    api: Api,
}

pub(crate) async fn run(options: Options, json: bool) -> Ended {
    let client = options.api.client()?;
    let project = options.project.project;
    let limit = options.limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
    let mut since = options.since;
    loop {
        let path = format!("/api/v1/projects/{project}/sync?since={since}{limit}");
        let reply = client.get(&path).await.map_err(of_call)?;
        let page = reply.json().map_err(of_call)?;
        if json {
            let body = String::from_utf8_lossy(&reply.body);
            // The output has the same value as the response. If it does not go to a terminal, it is the same byte for byte.
            if stdout().is_terminal() { put(visible_json(&body))? } else { put(body)? }
        } else {
            put(shown(&page, since, &reply.headers))?;
        }
        let mark = page["timestamp"].as_u64().unwrap_or(since);
        // The server may decide on a full resync, so the mark may go back. Only an unchanged mark means that the pull cannot go
        // on.
        if page["has_more"] != true || !options.all || mark == since {
            return Ok(0);
        }
        since = mark;
    }
}

/// A page for people.
fn shown(page: &Value, since: u64, headers: &HeaderMap) -> String {
    let mut text = String::new();
    let bold = colour(AnsiColor::Cyan);
    let known = Collection::ALL.map(Collection::name);
    let of_newer = page["changes"].as_object().into_iter().flat_map(serde_json::Map::keys).map(String::as_str);
    for collection in known.into_iter().chain(of_newer.filter(|name| !known.contains(name))) {
        let changes = &page["changes"][collection];
        let rows: Vec<&Value> = changes["updated"].as_array().into_iter().flatten().collect();
        let deleted: Vec<&str> =
            changes["deleted"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if rows.is_empty() && deleted.is_empty() {
            continue;
        }
        let _ = writeln!(
            text,
            "{bold}{}{bold:#}  {} updated, {} deleted",
            one_line(collection, WIDEST),
            rows.len(),
            deleted.len()
        );
        if !rows.is_empty() {
            let _ = writeln!(text, "{}", as_table(collection, &rows));
        }
        if !deleted.is_empty() {
            let more = if deleted.len() > LISTED { ", …" } else { "" };
            let listed: Vec<String> = deleted.iter().take(LISTED).map(|id| one_line(id, WIDEST * 2)).collect();
            let _ = writeln!(text, "deleted  {}{more}", listed.join(", "));
        }
        text.push('\n');
    }
    let mark = page["timestamp"].as_u64().unwrap_or_default();
    let more =
        if page["has_more"] == true { "; more changes follow: pass this mark as --since, or use --all" } else { "" };
    let _ = write!(text, "{bold}mark{bold:#}  {mark}, from {since}{more}");
    if let Some(cost) = headers.get("server-timing").and_then(|timing| timing.to_str().ok()) {
        let _ = write!(text, "\n{bold}took{bold:#}  {}", costs(cost));
    }
    text
}

/// The columns in their order, followed by the columns that this code does not know.
fn as_table(collection: &str, rows: &[&Value]) -> String {
    let known = collection.parse().map_or(&[][..], Collection::columns);
    let has_a_value = |column: &&str| rows.iter().any(|row| !row[*column].is_null());
    let names = rows.iter().filter_map(|row| row.as_object()).flat_map(serde_json::Map::keys).map(String::as_str);
    let unknown: BTreeSet<&str> = names.filter(|name| *name != "project" && !known.contains(name)).collect();
    let unknown = unknown.into_iter().filter(|name| !["id", "server_version"].contains(name));
    let all = ["id", "server_version"].into_iter().chain(known.iter().copied()).chain(unknown);
    let columns: Vec<&str> = all.filter(has_a_value).collect();
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| cell(&row[*column])).collect()).collect();
    table(&columns, &cells, WIDEST)
}

/// The descriptions in `Server-Timing`: the outcome, calls, and read units.
fn costs(timing: &str) -> String {
    let descriptions = timing.split(',').filter_map(|entry| entry.split_once("desc=\"")?.1.split('"').next());
    descriptions.map(|words| one_line(words, WIDEST)).collect::<Vec<_>>().join(", ")
}
