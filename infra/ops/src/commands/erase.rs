//! `trueppm erase`

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use shared::domain::UserId;
use shared::storage::Table;

use crate::command::{Ended, Failure, PROJECTS, WriteOptions, print, progress};
use crate::erase::{self, Target};

/// Erase a user's data, or the content of old tombstones
///
/// Safe to run under live traffic, and safe to interrupt and run again. Ids and versions stay, so `verify` still passes. Do not
/// run it during a restore. Run it again after a restore, because the backup still had the data.
#[derive(Args)]
#[command(after_help = "\
Exit status: 0 success, 1 problems found (some items were not erased), 2 failed.

Examples:
  trueppm erase --table-name T --user mia --dry-run
  trueppm erase --table-name T --deleted-before 2026-01-01 --rate 50")]
pub struct Options {
    #[command(flatten)]
    at: WriteOptions,
    #[command(flatten)]
    what: What,
    /// With --deleted-before: also erase tombstones of older code, which have no date
    #[arg(long, conflicts_with = "user")]
    undated: bool,
    /// Count what would be erased, and write nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Erase this user: remove memberships, unassign tasks, and remove the user as author of rows
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,
    /// Erase the content of rows that were deleted before this day (UTC), as YYYY-MM-DD
    #[arg(long, value_name = "DATE")]
    deleted_before: Option<Date>,
}

/// Runs the command.
pub async fn run(options: Options, json: bool) -> Ended {
    let name = &options.at.table.table_name;
    let target = match (options.what.user, options.what.deleted_before) {
        (Some(user), _) => Target::User(user),
        (None, Some(date)) => {
            let before = date.to_zoned(TimeZone::UTC)?.timestamp().as_second();
            Target::Tombstones { before, undated: options.undated }
        }
        (None, None) => return Err(Failure::new("pass --user or --deleted-before to say what to erase")),
    };
    let table = Table::new(options.at.table.client().await, name);
    let (project, rate, dry_run) = (options.at.projects.project, options.at.rate.rate, options.dry_run);
    let work = erase::Options { target, project, rate, dry_run };
    let report = erase::run(&table, &work, &progress(PROJECTS)).await;
    let failed = format!("the erasure in table {name} stopped; run it again");
    let report = report.map_err(|error| options.at.table.failure(&failed, &error))?;
    print(&report, json)?;
    Ok(report.exit_code())
}
