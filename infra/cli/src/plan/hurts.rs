//! Warnings about plans that are allowed but cause trouble for people who schedule them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use shared::domain::{Collection, Columns, RowId};

use super::check::Step;
use super::contents::Contents;
use super::fault::Fault;
use super::line::Line;

/// The warnings about the plan as it will be, each at a line that is involved.
pub(super) fn warnings(lines: &[Line], steps: &[Step<'_>], contents: &Contents) -> Vec<Fault> {
    let rows = |collection: Collection| {
        let mut rows: BTreeMap<&RowId, &Columns> = contents.of(collection).collect();
        rows.extend(
            steps.iter().filter(|step| step.line.collection == collection).map(|step| (&step.line.id, &step.row)),
        );
        rows
    };
    let of_files: HashMap<(Collection, &RowId), &Line> =
        lines.iter().map(|line| ((line.collection, &line.id), line)).collect();
    let tasks = rows(Collection::Tasks);
    let path = |task: &RowId| tasks.get(task)?.get("wbs_path")?.as_str();
    let mut warnings = Vec::new();
    let mut by_path: BTreeMap<&str, Vec<&RowId>> = BTreeMap::new();
    for task in tasks.keys() {
        if let Some(path) = path(task) {
            by_path.entry(path).or_default().push(task);
        }
    }
    let mut orphaned = BTreeSet::new();
    for (at, same) in &by_path {
        let mut of_lines: Vec<&Line> =
            same.iter().filter_map(|task| of_files.get(&(Collection::Tasks, *task)).copied()).collect();
        of_lines.sort_by_key(|line| line.number);
        for line in of_lines.iter().rev().filter(|_| same.len() > 1) {
            if let Some(other) = same.iter().find(|task| **task != &line.id) {
                warnings.push(line.fault(Some("wbs_path"), format!("{at} is also that of {other}")));
            }
        }
        let Some((parent, _)) = at.rsplit_once('.').filter(|(parent, _)| !by_path.contains_key(parent)) else {
            continue;
        };
        if let Some(line) = of_lines.first().filter(|_| orphaned.insert(parent)) {
            warnings.push(line.fault(Some("wbs_path"), format!("no task is {parent}, the parent of {at}")));
        }
    }
    for (id, edge) in rows(Collection::Dependencies) {
        let end = |column: &str| edge.get(column).and_then(Value::as_str).and_then(|id| id.parse::<RowId>().ok());
        let (Some(from), Some(to)) = (end("predecessor"), end("successor")) else { continue };
        let (Some(line), Some(first), Some(second)) =
            (of_files.get(&(Collection::Dependencies, id)), path(&from), path(&to))
        else {
            continue;
        };
        let within = |child: &str, parent: &str| child.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'));
        let (parent, child) = match (within(second, first), within(first, second)) {
            (true, _) => (&from, &to),
            (_, true) => (&to, &from),
            _ => continue,
        };
        let message = format!("links the summary task {parent} with {child}, a task within it");
        warnings.push(line.fault(Some("successor"), message));
    }
    warnings.sort_by(|a, b| (&a.file, a.line, &a.message).cmp(&(&b.file, b.line, &b.message)));
    warnings
}
