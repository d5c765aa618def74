//! The result of a diagnosis: JSON for programs, lines for people.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use shared::domain::CollectionName;

use super::device::{DeviceProject, DeviceReport};
use super::finding::{Finding, Level, listed, shown};
use super::state::TableState;
use super::sums::Compared;
use crate::text::one_line;

/// The result in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything was compared, and nothing differs.
    Same,
    /// Nothing was found, but not everything could be compared.
    Unjudged,
    /// Something differs.
    Differs,
}

impl Verdict {
    /// The exit code of the command: 0, 2 and 1.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Same => 0,
            Self::Unjudged => 2,
            Self::Differs => 1,
        }
    }
}

/// The result for one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectDiagnosis {
    /// The project, as the report names it.
    pub project: String,
    /// The device's mark.
    pub mark: u64,
    /// The server's version, or none if there is no such project.
    pub server: Option<u64>,
    /// The comparison of each checksum.
    pub checksums: BTreeMap<String, Compared>,
    /// Whether the report named each row.
    pub rows_named: bool,
    /// The reason why it could not be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unjudged: Option<String>,
    /// The findings.
    pub findings: Vec<Finding>,
}

impl ProjectDiagnosis {
    pub(super) fn judged(
        device: &DeviceProject,
        state: &TableState,
        findings: Vec<Finding>,
        compared: &[(CollectionName, Compared)],
    ) -> Self {
        Self {
            project: device.project.clone(),
            mark: device.mark,
            server: state.counter.as_ref().map(|counter| counter.current.get()),
            checksums: compared
                .iter()
                .map(|(collection, compared)| (collection.name().to_owned(), *compared))
                .collect(),
            rows_named: device.rows.is_some(),
            unjudged: None,
            findings,
        }
    }

    pub(super) fn unjudged(device: &DeviceProject, why: String) -> Self {
        let state = TableState::default();
        Self { unjudged: Some(why), ..Self::judged(device, &state, vec![], &[]) }
    }

    /// Whether something differs.
    pub fn differs(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Fault)
    }
}

/// The result for a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The table's name.
    pub table: String,
    /// The result in one word.
    pub verdict: Verdict,
    /// The version of the client package.
    pub client: String,
    /// The version of the app's schema.
    pub schema_version: Option<u64>,
    /// The findings about the device as a whole.
    pub device: Vec<Finding>,
    /// The results for its projects.
    pub projects: Vec<ProjectDiagnosis>,
}

impl Diagnosis {
    pub(super) fn of(
        table: &str,
        report: &DeviceReport,
        device: Vec<Finding>,
        projects: Vec<ProjectDiagnosis>,
    ) -> Self {
        let is_fault = |finding: &Finding| finding.level == Level::Fault;
        let verdict = if device.iter().any(is_fault) || projects.iter().any(ProjectDiagnosis::differs) {
            Verdict::Differs
        } else if projects.is_empty() || projects.iter().any(|project| project.unjudged.is_some()) {
            Verdict::Unjudged
        } else {
            Verdict::Same
        };
        let (table, client) = (table.to_owned(), report.client.clone());
        Self { table, verdict, client, schema_version: report.schema_version, device, projects }
    }

    fn count(&self, level: Level) -> usize {
        let of_projects = self.projects.iter().flat_map(|project| &project.findings);
        self.device.iter().chain(of_projects).filter(|finding| finding.level == level).count()
    }
}

impl fmt::Display for ProjectDiagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "project   {}: mark {}", shown(&self.project), self.mark)?;
        if let Some(why) = &self.unjudged {
            return write!(f, "\n          NOT COMPARED: {}", one_line(why, 300));
        }
        match self.server {
            Some(server) => write!(f, ", the server is at {server}")?,
            None => write!(f, ", not on the table")?,
        }
        for (wanted, word) in
            [(Compared::Agrees, "agree"), (Compared::Differs, "differ"), (Compared::Unclear, "not comparable")]
        {
            let names: Vec<&str> =
                self.checksums.iter().filter(|(_, is)| **is == wanted).map(|(name, _)| name.as_str()).collect();
            if !names.is_empty() {
                write!(f, "\n          checksums {word}: {}", listed(names))?;
            }
        }
        self.findings.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table     {}, read strongly", self.table)?;
        let schema = self.schema_version.map(|version| format!(", schema version {version}")).unwrap_or_default();
        writeln!(f, "device    package {}{schema}", shown(&self.client))?;
        self.device.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        self.projects.iter().try_for_each(|project| writeln!(f, "{project}"))?;
        let notes = self.count(Level::Note);
        match self.verdict {
            Verdict::Same => write!(f, "verdict   the same: nothing differs ({notes} notes)"),
            Verdict::Differs => write!(f, "verdict   DIFFERS: {} faults, {notes} notes", self.count(Level::Fault)),
            Verdict::Unjudged if self.projects.is_empty() => {
                write!(f, "verdict   not compared: the report has no project to compare")
            }
            Verdict::Unjudged => {
                write!(f, "verdict   not compared: nothing differs so far, but not everything could be compared")
            }
        }
    }
}
