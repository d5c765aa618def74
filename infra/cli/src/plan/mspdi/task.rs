//! Reads tasks and the links between them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};
use shared::domain::{Collection, Columns, RowId};

use super::super::fault::{Fault, Findings};
use super::super::line::{Line, id_of_edge};
use super::days::{Days, elapsed, minutes, percent};
use super::element::Element;
use super::{ID_FIELD, leave};

/// The facts about a file that are needed to read its tasks.
pub(super) struct Tasks<'a> {
    pub(super) file: &'a Arc<str>,
    pub(super) days: Days,
    /// The UID of the project's calendar.
    pub(super) calendar: &'a str,
    /// Whether the file has the ids of its tasks, because this product exported it.
    pub(super) has_ids: bool,
}

/// The lines of tasks and links, and the ids of tasks by UID.
pub(super) struct Found {
    pub(super) tasks: Vec<Line>,
    pub(super) links: Vec<Line>,
    pub(super) ids: HashMap<String, RowId>,
}

impl Tasks<'_> {
    /// The lines of all tasks, without the project's own summary task and without blank rows.
    pub(super) fn lines(&self, elements: &[Element], findings: &mut Findings) -> Found {
        let mut found = Found { tasks: Vec::new(), links: Vec::new(), ids: HashMap::new() };
        let mut rows: Vec<(&Element, i64)> = Vec::new();
        let (mut outline, mut taken) = (Vec::new(), HashSet::new());
        for element in elements {
            if is_project(element) {
                findings.skip(Collection::Tasks, "is the project itself");
            } else if element.flag("IsNull") {
                findings.skip(Collection::Tasks, "is a blank row");
            } else if let Some(line) = self.line(element, &mut outline, &mut taken, findings) {
                let duration = line.fields.get("duration").and_then(Value::as_i64).unwrap_or_default();
                found.ids.insert(element.text("UID").to_owned(), line.id.clone());
                found.tasks.push(line);
                rows.push((element, duration));
            }
        }
        let durations: HashMap<&str, i64> = rows.iter().map(|(task, days)| (task.text("UID"), *days)).collect();
        for (element, _) in &rows {
            for link in element.all("PredecessorLink") {
                found.links.extend(self.link(element, link, &found.ids, &durations, findings));
            }
        }
        found
    }

    fn line(
        &self,
        task: &Element,
        outline: &mut Vec<u64>,
        taken: &mut HashSet<RowId>,
        findings: &mut Findings,
    ) -> Option<Line> {
        let (file, uid) = (self.file, task.text("UID"));
        let own = task.all("ExtendedAttribute").find(|it| self.has_ids && it.text("FieldID") == ID_FIELD);
        let own = own.and_then(|attribute| attribute.text("Value").parse::<RowId>().ok());
        let mut id = own.unwrap_or(match format!("task-{uid}").parse() {
            Ok(id) if !uid.is_empty() => id,
            _ => {
                findings.fault(file, Some(task.line), Some("UID"), format!("must be a number; it is {uid:?}"));
                return None;
            }
        });
        if !taken.insert(id.clone()) {
            // A task that was copied in another program has the id of its original.
            let message = format!("has the id {id}, as another task has; it gets task-{uid}");
            findings.warnings.push(fault(file, task.line, message));
            id = format!("task-{uid}").parse().unwrap_or(id);
        }
        let what = format!("task {id}");
        let mut leave = |line: u64, message: &str| findings.leave(file, line, &what, message);
        let name = match task.child("Name").map(|name| name.text.as_str()).filter(|name| !name.trim().is_empty()) {
            Some(name) => name.to_owned(),
            None => {
                leave(task.line, "has no name; it gets its number");
                format!("Task {}", task.number("ID").map_or(uid.to_owned(), |id| id.to_string()))
            }
        };
        let milestone = task.flag("Milestone");
        let format = task.number("DurationFormat").unwrap_or(7);
        let duration = match (task.text("Duration"), minutes(task.text("Duration"))) {
            (_, Some(minutes)) => {
                let whole = self.days.of(minutes, format);
                let days = if minutes > 0.0 { whole.days.max(1) } else { whole.days };
                if elapsed(format) {
                    leave(task.line, &format!("runs through nights and weekends; it counts as {days} working days"));
                } else if !whole.exact {
                    let exactly = minutes / self.days.minutes_per_day;
                    leave(task.line, &format!("lasts {exactly:.2} days; it counts as {days} working days"));
                }
                days
            }
            ("", None) => {
                leave(task.line, "has no duration; it gets the usual one");
                i64::from(!milestone)
            }
            (other, None) => {
                findings.fault(
                    file,
                    Some(task.line),
                    Some("Duration"),
                    format!("must be like PT8H0M0S; it is {other:?}"),
                );
                return None;
            }
        };
        if milestone && duration > 0 {
            leave(
                task.line,
                &format!(
                    "is a milestone that lasts {duration} days; it is a task here, since a milestone has no duration"
                ),
            );
        }
        let start = task.day("Start").or(task.day("ManualStart"));
        self.leave_constraint(task, start, &mut leave);
        if task.child("Active").is_some() && !task.flag("Active") {
            leave(task.line, "is inactive; it is a task like any other here");
        }
        let calendar = task.text("CalendarUID");
        if !["", "-1", self.calendar].contains(&calendar) {
            leave(task.line, &format!("its own calendar (UID {calendar}) has no place here"));
        }
        let wbs_path = wbs_path(task, outline);
        let code = task.text("WBS");
        if !code.is_empty() && wbs_path.as_deref() != Some(code) {
            leave(
                task.line,
                &format!("WBS {code} has no place here; wbs_path is {}", wbs_path.as_deref().unwrap_or("null")),
            );
        }
        for attribute in task.all("ExtendedAttribute").filter(|it| !(self.has_ids && it.text("FieldID") == ID_FIELD)) {
            leave(attribute.line, &format!("ExtendedAttribute {} has no place here", leave::value(attribute)));
        }
        leave::of_task(file, task, &what, findings);
        let percent = match task.text("PercentComplete") {
            "" => json!(0),
            text => text.parse::<i64>().map_or(json!(text), |percent| json!(percent)),
        };
        let status = match percent.as_i64() {
            Some(100) => "COMPLETE",
            Some(1..) => "IN_PROGRESS",
            _ => "NOT_STARTED",
        };
        let notes = task.child("Notes").map_or("", |notes| notes.text.as_str());
        let fields = json!({
            "name": name, "wbs_path": wbs_path, "duration": duration, "is_milestone": duration == 0, "percent_complete": percent,
            "notes": notes, "planned_start": start,
        });
        let initial = Columns::from_iter([("status".to_owned(), json!(status))]);
        Some(line(Collection::Tasks, file, task.line, id, fields, initial))
    }

    /// This product has no constraints. But a constraint not to start before the task's own start is the planned start.
    fn leave_constraint(&self, task: &Element, start: Option<&str>, leave: &mut impl FnMut(u64, &str)) {
        let date = task.day("ConstraintDate");
        let name = match task.number("ConstraintType").unwrap_or(0) {
            0 => return,
            4 if date == start && start.is_some() => return,
            1 => "as late as possible",
            2 => "must start on",
            3 => "must finish on",
            4 => "start no earlier than",
            5 => "start no later than",
            6 => "finish no earlier than",
            7 => "finish no later than",
            _ => "of an unknown kind",
        };
        leave(task.line, &format!("the constraint “{name}” {} has no place here", date.unwrap_or_default()));
    }

    fn link(
        &self,
        task: &Element,
        link: &Element,
        ids: &HashMap<String, RowId>,
        durations: &HashMap<&str, i64>,
        findings: &mut Findings,
    ) -> Option<Line> {
        let (file, uid) = (self.file, link.text("PredecessorUID"));
        let successor = ids.get(task.text("UID"))?;
        let what = format!("link to {successor}");
        if link.flag("CrossProject") {
            findings.skip(Collection::Dependencies, "links to another project");
            findings.leave(
                file,
                link.line,
                &what,
                &format!("a link from another project ({}) has no place here", link.text("CrossProjectName")),
            );
            return None;
        }
        let Some(predecessor) = ids.get(uid) else {
            let message = format!("task {uid} does not exist in the file");
            findings.fault(file, Some(link.line), Some("PredecessorUID"), message);
            return None;
        };
        let dep_type = match link.text("Type") {
            "0" => "FF",
            "1" | "" => "FS",
            "2" => "SF",
            "3" => "SS",
            other => {
                findings.fault(file, Some(link.line), Some("Type"), format!("must be 0, 1, 2 or 3; it is {other:?}"));
                return None;
            }
        };
        let (format, tenths) = (link.number("LagFormat").unwrap_or(7), link.text("LinkLag"));
        let Ok(tenths) = (if tenths.is_empty() { Ok(0.0) } else { tenths.parse::<f64>() }) else {
            findings.fault(file, Some(link.line), Some("LinkLag"), format!("must be a number; it is {tenths:?}"));
            return None;
        };
        let lag = if percent(format) {
            let of = durations.get(uid).copied().unwrap_or_default();
            let days = (tenths / 100.0 * of as f64).round() as i64;
            let message = format!("its lag of {tenths} % of the predecessor counts as {days} working days");
            findings.leave(file, link.line, &what, &message);
            days
        } else {
            let whole = self.days.of(tenths / 10.0, format);
            if !whole.exact {
                let kind = if elapsed(format) { "runs through nights and weekends" } else { "is not in whole days" };
                let message =
                    format!("its lag of {} hours {kind}; it counts as {} working days", tenths / 600.0, whole.days);
                findings.leave(file, link.line, &what, &message);
            }
            whole.days
        };
        let fields = json!({"predecessor": predecessor, "successor": successor, "dep_type": dep_type, "lag": lag});
        let id = id_of_edge(fields.as_object()?).parse().ok()?;
        let line = line(Collection::Dependencies, file, link.line, id, fields, Columns::new());
        Some(Line { derived: true, ..line })
    }
}

/// Whether a task is the project's own summary. Any other task on level 0 is a task.
pub(super) fn is_project(task: &Element) -> bool {
    task.text("UID") == "0" && ["", "0"].contains(&task.text("OutlineLevel"))
}

/// The outline number of a task, or the one that its level gives it. A task without both has none.
fn wbs_path(task: &Element, outline: &mut Vec<u64>) -> Option<String> {
    let number = task.text("OutlineNumber");
    let level = usize::try_from(task.number("OutlineLevel")?).ok().filter(|level| (1..=64).contains(level));
    if let Some(level) = level {
        outline.resize(level, 0);
        if let Some(last) = outline.last_mut() {
            *last += 1;
        }
        // A level that the outline skipped gets the number 1.
        outline.iter_mut().for_each(|part| *part = (*part).max(1));
    }
    if !number.is_empty() {
        *outline = number.split('.').filter_map(|part| part.parse().ok()).collect();
        return Some(number.to_owned());
    }
    level.map(|_| outline.iter().map(u64::to_string).collect::<Vec<_>>().join("."))
}

fn line(collection: Collection, file: &Arc<str>, number: u64, id: RowId, fields: Value, initial: Columns) -> Line {
    let fields = fields.as_object().cloned().unwrap_or_default();
    Line { collection, file: Arc::clone(file), number, id, derived: false, fields, initial, sound: true }
}

fn fault(file: &str, line: u64, message: String) -> Fault {
    Fault { file: file.to_owned(), line: Some(line), column: None, message }
}
