//! The report of a device, as the client package writes it (`infra/client/src/report.ts`).
//!
//! Anyone may have written it. So its size is bounded, and its contents are compared and never trusted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use crate::text::one_line;

/// The maximum size of a report, in bytes. A report with 500,000 rows has about 25 MB.
pub const MAX_BYTES: u64 = 50_000_000;
/// The maximum number of projects in a report, because each one is read from the table.
const MAX_PROJECTS: usize = 1_000;

/// The reason why a report cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file does not exist or cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The file is larger than any report.
    #[error("the file is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// The file is not JSON, or does not have the members of a report.
    #[error("it is not what report() of the client package makes: {0}")]
    Misshapen(String),
}

/// The report of a device about itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceReport {
    /// The version of the client package.
    pub client: String,
    /// The version of the database's schema, which the app counts.
    #[serde(default)]
    pub schema_version: Option<u64>,
    /// The time of the report by the device's clock, in milliseconds since 1970.
    pub at: i64,
    /// The milliseconds by which the server's clock is ahead, if the device ever got an answer.
    #[serde(default)]
    pub clock_skew: Option<i64>,
    /// The status that the app was given.
    #[serde(default)]
    pub status: DeviceStatus,
    /// The latest problems, the newest first.
    #[serde(default)]
    pub problems: Vec<PastProblem>,
    /// The projects in its database.
    pub projects: Vec<DeviceProject>,
}

/// The status that the app was given.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct DeviceStatus {
    /// The problem that stops all syncing.
    #[serde(default)]
    pub problem: Option<DeviceProblem>,
    /// The status of each project.
    #[serde(default)]
    pub projects: BTreeMap<String, StatusOfProject>,
}

/// The status of one project that the app was given.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct StatusOfProject {
    /// The problem that stops the project from syncing.
    #[serde(default)]
    pub problem: Option<DeviceProblem>,
}

/// A problem as the server or the package words it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct DeviceProblem {
    /// The code of the problem.
    pub code: String,
    /// The message for people.
    #[serde(default)]
    pub detail: String,
}

/// A problem of the past.
#[derive(Debug, Clone, Deserialize)]
pub struct PastProblem {
    /// The code of the problem.
    pub code: String,
}

/// One project on the device.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceProject {
    /// Its id.
    pub project: String,
    /// The version up to which the device says it is complete.
    pub mark: u64,
    /// `live`, `leaving` (rows are being destroyed) or `gone`.
    #[serde(default)]
    pub status: String,
    /// The time when the device last held the same as the server, by the device's clock, in milliseconds since 1970.
    #[serde(default)]
    pub last_synced_at: Option<i64>,
    /// The synced columns at the last pull: `table:column,column;table:…`.
    #[serde(default)]
    pub columns: String,
    /// For each table, the number of rows and two sums over ids and versions.
    pub checksums: BTreeMap<String, [u32; 3]>,
    /// The rows with edits that the server has not confirmed.
    pub dirty: Vec<DirtyRow>,
    /// The request that was sent and has no answer yet.
    #[serde(default)]
    pub request: Option<UnfinishedRequest>,
    /// The versions at which the server accepted edits that no pull has brought back yet. 0 means that the server never had the
    /// row.
    #[serde(default)]
    pub acks: BTreeMap<String, u64>,
    /// The rows with conflicts, and the fields.
    #[serde(default)]
    pub conflicts: BTreeMap<String, Vec<String>>,
    /// The rows with refused edits.
    #[serde(default)]
    pub parked: BTreeMap<String, Refusal>,
    /// The rows whose edits the user has given up and that are still there.
    #[serde(default)]
    pub given_up: BTreeMap<String, Vec<String>>,
    /// The server's versions of the rows that are deleted on the device and not on the server.
    #[serde(default)]
    pub shadow: BTreeMap<String, u64>,
    /// Unsent edits of rows that are gone.
    #[serde(default)]
    pub aside: Vec<SetAside>,
    /// The tables that still differed from the server's after a repair.
    #[serde(default)]
    pub broken: Option<Vec<String>>,
    /// With `report({ rows: true })`, for each table the version of each row that came from the server.
    #[serde(default)]
    pub rows: Option<BTreeMap<String, BTreeMap<String, u64>>>,
}

/// A row with edits that the server has not confirmed.
#[derive(Debug, Clone, Deserialize)]
pub struct DirtyRow {
    /// Its table.
    pub table: String,
    /// Its id.
    pub id: String,
    /// `created`, `updated` or `deleted`.
    pub status: String,
    /// The version of the row that the server last sent. 0 means none.
    #[serde(default)]
    pub server_version: u64,
}

/// The request that was sent and has no answer yet.
#[derive(Debug, Clone, Deserialize)]
pub struct UnfinishedRequest {
    /// Its `Idempotency-Key`.
    pub key: String,
    /// `METHOD table/id` of each operation.
    pub operations: Vec<String>,
}

/// A refused edit.
#[derive(Debug, Clone, Deserialize)]
pub struct Refusal {
    /// The server's reason.
    pub code: String,
    /// The values that the edit sets.
    #[serde(default)]
    pub fields: Vec<String>,
    /// The number of refusals.
    #[serde(default)]
    pub tries: u64,
}

/// Unsent edits of a row that is gone.
#[derive(Debug, Clone, Deserialize)]
pub struct SetAside {
    /// Its table.
    pub table: String,
    /// Its id.
    pub id: String,
}

impl DeviceReport {
    /// Reads a report from a file.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Self::parse(&bytes)
    }

    /// Reads a report from the contents of a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ReportError::TooLarge);
        }
        let report: Self =
            serde_json::from_slice(bytes).map_err(|error| ReportError::Misshapen(one_line(&error.to_string(), 200)))?;
        if report.projects.len() > MAX_PROJECTS {
            return Err(ReportError::Misshapen(format!("it has more than {MAX_PROJECTS} projects")));
        }
        Ok(report)
    }
}

impl DeviceProject {
    /// Whether a pull was ever complete. Until then the device lacks the rows that were written again after its mark.
    pub(super) fn is_synced_once(&self) -> bool {
        !self.columns.is_empty()
    }

    /// The number of rows that it has from the server.
    pub(super) fn row_count(&self) -> u64 {
        self.checksums.values().map(|sums| u64::from(sums[0])).sum()
    }

    /// The rows of the project on the device, each with the version that the server last sent. Has all rows if the report has
    /// [`DeviceProject::rows`], and otherwise only those with edits.
    pub(super) fn known_versions(&self) -> BTreeMap<(&str, &str), u64> {
        if let Some(tables) = &self.rows {
            let rows = tables.iter().flat_map(|(table, rows)| {
                rows.iter().map(move |(id, version)| ((table.as_str(), id.as_str()), *version))
            });
            return rows.filter(|(_, version)| *version > 0).collect();
        }
        let edited = self.dirty.iter().filter(|row| row.status != "created").map(|row| {
            let shadow = self.shadow.get(&format!("{}/{}", row.table, row.id)).copied().unwrap_or(0);
            ((row.table.as_str(), row.id.as_str()), row.server_version.max(shadow))
        });
        edited.filter(|(_, version)| *version > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<DeviceReport, String> {
        DeviceReport::parse(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_report_needs_little_and_what_is_new_in_it_does_not_matter() {
        let report =
            parsed(r#"{"client":"9","at":5,"projects":[{"project":"p","mark":3,"checksums":{},"dirty":[],"new":1}]}"#);
        assert_eq!(report.expect("a report").projects[0].mark, 3);
    }

    #[test]
    fn what_is_no_report_is_refused_with_the_place() {
        for text in [
            "",
            "<html>",
            "[]",
            "null",
            "{}",
            r#"{"client":"1","at":5,"projects":"#,
            r#"{"client":"1","at":5,"projects":[{"project":"p","mark":-3,"checksums":{},"dirty":[]}]}"#,
            r#"{"client":"1","at":5,"projects":[{"project":"p","mark":3,"checksums":{"tasks":[1,2]},"dirty":[]}]}"#,
        ] {
            let error = parsed(text).expect_err(text);
            assert!(
                error.contains("column") && error.starts_with("it is not what report() of the client package"),
                "{error}"
            );
        }
        let long = format!(r#"{{"client":"1","at":"{}","projects":[]}}"#, "\\u001b".repeat(1_000));
        assert!(parsed(&long).expect_err("a text").chars().all(|sign| !sign.is_control()));
        assert!(parsed(&long).expect_err("a text").len() < 300);
        let deep = format!(r#"{{"client":"1","at":5,"projects":[],"x":{}"#, "[".repeat(100_000));
        assert!(parsed(&deep).is_err());
    }

    #[test]
    fn a_report_is_bounded() {
        let many = format!(
            r#"{{"client":"1","at":5,"projects":[{}]}}"#,
            vec![r#"{"project":"p","mark":3,"checksums":{},"dirty":[]}"#; 1_001].join(",")
        );
        assert!(parsed(&many).expect_err("too many").contains("1000 projects"));
        let large = " ".repeat(usize::try_from(MAX_BYTES).expect("a size") + 1);
        assert!(matches!(DeviceReport::parse(large.as_bytes()), Err(ReportError::TooLarge)));
    }
}
