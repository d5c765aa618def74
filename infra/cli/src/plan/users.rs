//! Maps the resources of another program's plan to users.

use std::collections::BTreeMap;
use std::path::Path;

use shared::domain::UserId;

use super::PlanError;
use super::fault::Findings;
use super::file::records;
use super::names::likely;

/// Users by the names of resources.
#[derive(Debug, Default)]
pub(super) struct Users {
    file: String,
    by_resource: BTreeMap<String, (u64, UserId)>,
}

impl Users {
    /// Reads a CSV file with the columns `resource` and `user`.
    pub(super) fn read(path: &Path, findings: &mut Findings) -> Result<Self, PlanError> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(path).map_err(PlanError::file(path))?;
        let mut users = Self { file: file.clone(), ..Self::default() };
        let mut records = records(&file, &bytes, findings).unwrap_or_default().into_iter();
        let header = records.next().filter(|(_, header)| header.iter().map(str::trim).eq(["resource", "user"]));
        if header.is_none() && !findings.unreadable {
            findings.fault(&file, Some(1), None, "must begin with the header resource,user");
            return Ok(users);
        }
        for (line, record) in records.filter(|(_, record)| !record.iter().all(str::is_empty)) {
            let (Some(resource), Some(user), 2) = (record.get(0), record.get(1), record.len()) else {
                findings.fault(&file, Some(line), None, "must have two cells: a resource and a user");
                continue;
            };
            match user.parse() {
                Ok(user) => {
                    if users.by_resource.insert(resource.to_owned(), (line, user)).is_some() {
                        findings.fault(&file, Some(line), Some("resource"), format!("{resource} occurs twice"));
                    }
                }
                Err(error) => {
                    let error: shared::domain::InvalidId = error;
                    findings.fault(&file, Some(line), Some("user"), error.to_string());
                }
            }
        }
        Ok(users)
    }

    pub(super) fn of(&self, resource: &str) -> Option<&UserId> {
        self.by_resource.get(resource).map(|(_, user)| user)
    }

    /// Adds a fault for each line that names no resource of the plan.
    pub(super) fn expect_known<'a>(&self, resources: impl Iterator<Item = &'a str> + Clone, findings: &mut Findings) {
        for (name, (line, _)) in &self.by_resource {
            if !resources.clone().any(|resource| resource == name) {
                let meant =
                    likely(name, resources.clone()).map(|meant| format!("; is it {meant}?")).unwrap_or_default();
                let message = format!("{name} is not a resource of the plan{meant}");
                findings.fault(&self.file, Some(*line), Some("resource"), message);
            }
        }
    }
}
