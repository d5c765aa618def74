//! Reads the projects of a report from the table, strongly.

use std::time::Duration;

use indicatif::ProgressBar;
use jiff::Timestamp;
use shared::domain::{Error, ProjectId, UserId};
use shared::storage::Table;
use tokio::time::sleep;

use super::device::{DeviceProject, DeviceReport};
use super::judge::{diagnose, of_device};
use super::outcome::{Diagnosis, ProjectDiagnosis};
use super::state::TableState;

/// The maximum number of reads of a project that differs. A commit that is under way can look like a difference for a moment.
const READINGS: u32 = 3;
/// The pause before it is read again.
const READING_PAUSE: Duration = Duration::from_millis(300);

/// Compares a report with the table. With `only`, it compares only that project of the report.
///
/// The table may change meanwhile. A row that is written meanwhile counts as newer than the counter, which was read before it.
pub async fn run(
    table: &Table,
    report: &DeviceReport,
    only: Option<&ProjectId>,
    user: Option<&UserId>,
    progress: &ProgressBar,
) -> Result<Diagnosis, Error> {
    let is_wanted = |device: &&DeviceProject| only.is_none_or(|only| only.as_str() == device.project);
    let wanted: Vec<&DeviceProject> = report.projects.iter().filter(is_wanted).collect();
    progress.set_length(wanted.len() as u64);
    let mut projects = Vec::new();
    let mut seen = None;
    for device in wanted {
        let (diagnosis, newest) = project(table, report, device, user).await?;
        projects.push(diagnosis);
        seen = seen.max(newest);
        progress.inc(1);
    }
    progress.finish_and_clear();
    let device = of_device(report, seen, Timestamp::now().as_second());
    Ok(Diagnosis::of(table.name(), report, device, projects))
}

/// The result for one project, and the time of the newest write that the device has of it.
async fn project(
    table: &Table,
    report: &DeviceReport,
    device: &DeviceProject,
    user: Option<&UserId>,
) -> Result<(ProjectDiagnosis, Option<i64>), Error> {
    let Ok(id) = device.project.parse::<ProjectId>() else {
        return Ok((ProjectDiagnosis::unjudged(device, "no project has such an id".to_owned()), None));
    };
    let mut before: Option<ProjectDiagnosis> = None;
    let mut readings = 0;
    loop {
        readings += 1;
        let state = match state(table, device, &id, user).await {
            Ok(state) => state,
            Err(Error::Corrupt(what)) => {
                let why = format!("the table holds what cannot be read: {what}. Run `trueppm verify --project {id}`");
                return Ok((ProjectDiagnosis::unjudged(device, why), None));
            }
            Err(error) => return Err(error),
        };
        let diagnosis = diagnose(report, device, &state, user, Timestamp::now().as_second());
        let is_settled = !diagnosis.differs() || before.as_ref() == Some(&diagnosis);
        if is_settled || readings == READINGS {
            return Ok((diagnosis, state.newest_write(device.mark)));
        }
        before = Some(diagnosis);
        sleep(READING_PAUSE).await;
    }
}

async fn state(
    table: &Table,
    device: &DeviceProject,
    project: &ProjectId,
    user: Option<&UserId>,
) -> Result<TableState, Error> {
    let state = TableState::of(&table.stored(project).await?)?;
    let key = device.request.as_ref().and_then(|request| request.key.parse().ok());
    let kept = match (user, key) {
        (Some(user), Some(key)) => table.kept_request(project, user, &key).await?,
        _ => None,
    };
    Ok(state.with_kept(kept))
}
