//! `trueppm watch`

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use anstyle::AnsiColor;
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use shared::domain::{Collection, ProjectId};
use shared::http::pseudonym;
use shared::storage::Table;

use crate::command::{Ended, Failure, OneProject, TableOptions, WHICH_TABLE, colour, put};
use crate::history::{Change, Fate, Held};
use crate::text::{one_line, visible_json};
use crate::watch::{Seen, Watch};

/// The maximum number of rows of a collection that a line names.
const NAMED: usize = 6;

/// Print a line for each commit to a project, until Ctrl-C
///
/// A created row has the sign +, an updated one ~, a deleted one -. Rows in parentheses have been written again since. Commits
/// that come faster than --interval share a line. A line ends with the authors of its rows that have not been written again.
///
/// Each interval costs a strong read of the counter, and each line a strong read of all rows: about 860 read units for 10,000 rows.
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm watch --project demo --dynamodb-url http://127.0.0.1:8000     the project of `trueppm demo --dynamodb-port 8000`
  trueppm watch --project house --since 0 --json --table-name T         a table in your AWS account")]
pub struct Options {
    #[command(flatten)]
    project: OneProject,
    #[command(flatten)]
    table: TableOptions,
    /// Begin after this version. The default is the current version
    #[arg(long, value_name = "VERSION")]
    since: Option<u64>,
    /// Also print the pseudonym of each user (`caller`) in the request log of this stage
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Time between two reads, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(10..))]
    interval: u64,
}

impl Options {
    /// The project to watch.
    pub fn project(&self) -> &ProjectId {
        &self.project.project
    }
}

/// Runs the command until Ctrl-C.
pub async fn run(options: Options, json: bool) -> Ended {
    tokio::select! {
        failed = follow(options, json) => failed,
        _ = tokio::signal::ctrl_c() => Ok(0),
    }
}

async fn follow(options: Options, json: bool) -> Ended {
    let name = &options.table.table_name;
    let table = Table::new(options.table.client().await, name);
    let project = options.project.project;
    let failed = |error| options.table.failure(&format!("cannot read table {name}"), &error);
    let none = || Failure::new(format!("project {project} does not exist in table {name}")).next(WHICH_TABLE);
    let now = Watch::now(table.clone(), project.clone()).await.map_err(failed)?.ok_or_else(none)?;
    if !json {
        put(format!("project {project} is at version {}; press Ctrl-C to stop", now.version()))?;
    }
    let mut watch = options.since.map_or(now, |since| Watch::since(table, project.clone(), since));
    loop {
        for mut seen in watch.look().await.map_err(failed)?.ok_or_else(none)? {
            if let Some(stage) = &options.stage {
                seen.rows.iter_mut().filter_map(|held| held.written.as_mut()).for_each(|written| {
                    written.caller = written.by.as_ref().map(|user| pseudonym(stage, user));
                });
            }
            let at = Timestamp::now();
            if json {
                let mut line = serde_json::to_value(&seen)?;
                line["seen_at"] = json!(at.to_string());
                put(visible_json(&line.to_string()))?;
            } else {
                put(line(&seen, at))?;
            }
        }
        tokio::time::sleep(Duration::from_millis(options.interval)).await;
    }
}

/// A commit for people.
fn line(seen: &Seen, at: Timestamp) -> String {
    let (first, last) = seen.versions;
    let versions = if first == last { first.to_string() } else { format!("{first}..{last}") };
    let dim = colour(AnsiColor::Cyan);
    let time = at.to_zoned(TimeZone::UTC).strftime("%H:%M:%SZ");
    let mut line = format!("{time}  {dim}{versions:<9}{dim:#} ");
    if !seen.one_commit {
        line.push_str(" commits:");
    }
    let known = Collection::ALL.map(Collection::name);
    let is_known = |name: &&str| known.contains(name);
    let named: BTreeSet<&str> = seen.rows.iter().map(|held| held.collection.as_str()).collect();
    for collection in known.into_iter().chain(named.into_iter().filter(|name| !is_known(name))) {
        let rows: Vec<&Held> = seen.rows.iter().filter(|held| held.collection == collection).collect();
        if rows.is_empty() {
            continue;
        }
        let _ = write!(line, " {} ", one_line(collection, 60));
        let named: Vec<String> = rows.iter().take(NAMED).map(|held| row(held)).collect();
        line.push_str(&named.join(", "));
        if rows.len() > NAMED {
            let _ = write!(line, " and {} more", rows.len() - NAMED);
        }
        line.push(';');
    }
    if seen.deleted {
        line.push_str(" the project was deleted;");
    }
    let mut line = line.trim_end_matches(';').to_owned();
    let authors: BTreeSet<String> =
        seen.rows.iter().filter_map(|held| Some(one_line(&held.written.as_ref()?.who(), 60))).collect();
    if !authors.is_empty() {
        let _ = write!(line, " by {}", authors.into_iter().collect::<Vec<_>>().join(", "));
    }
    line
}

fn row(held: &Held) -> String {
    let (sign, of_sign) = match held.change {
        Change::Created => ('+', colour(AnsiColor::Green)),
        Change::Updated => ('~', colour(AnsiColor::Yellow)),
        Change::Deleted => ('-', colour(AnsiColor::Red)),
    };
    let name = if held.name.is_empty() { &held.id } else { &held.name };
    let row = format!("{of_sign}{sign}{of_sign:#}{}", one_line(name, 30));
    if held.fate == Fate::Superseded { format!("({row})") } else { row }
}
