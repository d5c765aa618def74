//! `trueppm erase`

use crate::erase::{self, Target};
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use shared::domain::UserId;
use shared::storage::Table;

use crate::command::{Ended, Failure, PROJECTS, Rate, SomeProjects, TableOptions, of_table, print, progress};

/// Erase a user's data, or the content of old tombstones
///
/// Ids and versions stay, so `verify` passes afterwards. Safe under live traffic. Safe to interrupt and to run again. Do not run it
/// during a restore. Run it again after one: a restore brings back what the backup had.
#[derive(Args)]
#[command(mut_arg("table_name", crate::command::named))]
#[command(after_help = "\
Exit status: 0 nothing is left, 1 some items were left as they are, 2 failed.

Examples:
  trueppm erase --table-name T --user mia --dry-run
  trueppm erase --table-name T --deleted-before 2026-01-01 --rate 50")]
pub struct Options {
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    projects: SomeProjects,
    #[command(flatten)]
    rate: Rate,
    #[command(flatten)]
    what: What,
    /// With --deleted-before: also tombstones without a time, which older code wrote.
    #[arg(long, conflicts_with = "user")]
    undated: bool,
    /// Count what would be erased and write nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Id of the user to erase. Memberships are removed, tasks lose the assignee, rows lose the author.
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,
    /// Erase the content of rows deleted before this day (UTC).
    #[arg(long, value_name = "DATE")]
    deleted_before: Option<Date>,
}

/// Runs the command.
pub async fn run(options: Options, json: bool) -> Ended {
    let name = &options.table.table_name;
    let target = match (options.what.user, options.what.deleted_before) {
        (Some(user), _) => Target::User(user),
        (None, Some(date)) => {
            let before = date.to_zoned(TimeZone::UTC)?.timestamp().as_second();
            Target::Tombstones { before, undated: options.undated }
        }
        (None, None) => return Err(Failure::new("say what to erase: --user or --deleted-before")),
    };
    let table = Table::new(options.table.client().await, name);
    let (project, rate, dry_run) = (options.projects.project, options.rate.rate, options.dry_run);
    let work = erase::Options { target, project, rate, dry_run };
    let report = erase::run(&table, &work, &progress(PROJECTS)).await;
    let failed = format!("the table {name} may have something left to erase; run this again");
    let report = report.map_err(|error| of_table(&failed, &error))?;
    print(&report, json)?;
    Ok(report.exit_code())
}
