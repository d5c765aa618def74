//! Finds names of files and columns that are not known, and suggests a similar known name.

use std::path::Path;

use shared::domain::Collection;

use super::PlanError;
use super::fault::Findings;
use super::format::{FILES, columns, file_name};

/// The similarity from which on a name counts as a misspelling of another one.
const ALIKE: f64 = 0.8;

/// The known name that is most similar to this one, if one is similar enough.
pub(super) fn likely<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.trim().to_lowercase().replace([' ', '-'], "_");
    let name = plain(name);
    let alike = known.into_iter().map(|known| (strsim::jaro_winkler(&name, &plain(known)), known));
    alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// Adds a fault for each unknown file of the directory with a name like that of a plan's file, and a warning for every other
/// unknown file.
pub(super) fn unknown_files(directory: &Path, findings: &mut Findings) -> Result<(), PlanError> {
    let known = FILES.map(file_name);
    let entries = std::fs::read_dir(directory).map_err(PlanError::file(directory))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(PlanError::file(directory))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    // Hidden files belong to a desktop or an office program.
    for name in names.iter().filter(|name| !name.starts_with('.') && !known.contains(name)) {
        let stem = name.split('.').next().unwrap_or(name);
        let meant = likely(stem, FILES.map(Collection::name)).map(|stem| format!("{stem}.csv"));
        let table =
            [".csv", ".tsv", ".txt", ".xlsx", ".xls", ".ods"].iter().any(|end| name.to_lowercase().ends_with(end));
        let listed = known.join(", ");
        match meant {
            Some(meant) if names.contains(&meant) && !table => {
                findings.fault_or_warning(false, name, "is not read".to_owned())
            }
            Some(meant) => findings.fault_or_warning(
                true,
                name,
                format!("is not the name of a plan's file; is it {meant}? Rename it, or move it away"),
            ),
            None => findings.fault_or_warning(table, name, format!("is not read; the files of a plan are {listed}")),
        }
    }
    Ok(())
}

impl Findings {
    fn fault_or_warning(&mut self, fault: bool, file: &str, message: String) {
        let found = super::fault::Fault { file: file.to_owned(), line: None, column: None, message };
        if fault { self.faults.push(found) } else { self.warnings.push(found) }
    }
}

/// Whether the header names only columns of the collection, each once, and all required ones. Otherwise adds faults.
pub(super) fn is_header(collection: Collection, line: u64, names: &[String], findings: &mut Findings) -> bool {
    let (before, file) = (findings.faults.len(), file_name(collection));
    let listed = || columns(collection).collect::<Vec<_>>().join(", ");
    for (index, name) in names.iter().enumerate() {
        let cell = format!("{}", index + 1);
        let lower = name.to_lowercase();
        if columns(collection).any(|column| column == name) {
            if names[..index].contains(name) {
                findings.fault(&file, Some(line), Some(name), "occurs twice");
            }
        } else if name.is_empty() {
            findings.fault(&file, Some(line), Some(&cell), "has no name; name it, or remove it with its cells");
        } else if lower.starts_with("sep=") {
            let message = "is a spreadsheet's note, not a header; remove this line, and separate cells with commas";
            findings.fault(&file, Some(line), Some(name), message);
        } else if names.len() == 1 && name.contains([';', '\t', '|']) {
            let message = format!("is not a known column; use {}, separated by commas", listed());
            findings.fault(&file, Some(line), Some(name), message);
        } else {
            let message = match likely(name, columns(collection)) {
                Some(meant) => format!("is not a known column; is it {meant}?"),
                None => format!("is not a known column; use {}", listed()),
            };
            findings.fault(&file, Some(line), Some(name), message);
        }
    }
    // The id of a dependency is derived from its tasks and type.
    if findings.faults.len() == before
        && collection != Collection::Dependencies
        && !names.iter().any(|name| name == "id")
    {
        findings.fault(&file, Some(line), Some("id"), "is required");
    }
    findings.faults.len() == before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_told_the_likely_one() {
        let files = |name| likely(name, FILES.map(Collection::name));
        assert_eq!((files("dependancies"), files("Task"), files("notes")), (Some("dependencies"), Some("tasks"), None));
        let tasks = |name| likely(name, columns(Collection::Tasks));
        assert_eq!(tasks("Planned Start"), Some("planned_start"));
        assert_eq!((tasks("durration"), tasks("colour")), (Some("duration"), None));
    }
}
