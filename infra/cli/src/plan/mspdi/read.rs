//! Reads a plan.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use shared::domain::{Collection, Columns};

use super::super::PlanError;
use super::super::fault::Findings;
use super::super::line::Line;
use super::super::users::Users;
use super::days::Days;
use super::element::{self, Element, MAX_BYTES, Unreadable};
use super::task::{Tasks, is_project};
use super::{ID_ALIAS, ID_FIELD, calendar, leave, people};

/// A plan as it is in the file.
#[derive(Default)]
struct Plan {
    /// The elements of the project that are not in a list.
    project: Element,
    calendars: Vec<Element>,
    tasks: Vec<Element>,
    resources: Vec<Element>,
    assignments: Vec<Element>,
    attributes: Vec<Element>,
}

/// The lines of a file, in the order in which their rows can be created. The project's id is the file's name.
pub(in super::super) fn read(path: &Path, users: &Users, findings: &mut Findings) -> Result<Vec<Line>, PlanError> {
    let file: Arc<str> = path.file_name().unwrap_or_default().to_string_lossy().into();
    let bytes = std::fs::metadata(path).map_err(PlanError::file(path))?.len();
    if bytes > MAX_BYTES {
        let asked = format!(
            "{file} has {bytes} bytes; a plan may have {MAX_BYTES}. Save it without baselines and timephased data"
        );
        return Err(PlanError::Asked(asked));
    }
    let bytes = std::fs::read(path).map_err(PlanError::file(path))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(lines(&file, &stem, &bytes, users, findings))
}

pub(super) fn lines(file: &Arc<str>, stem: &str, bytes: &[u8], users: &Users, findings: &mut Findings) -> Vec<Line> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        findings.unreadable(file, None, None, "is not UTF-8; save it as UTF-8");
        return vec![];
    };
    let mut plan = Plan::default();
    let read = element::read(text, "Project", |list, element| match list {
        "Calendars" => plan.calendars.push(element),
        "Tasks" => plan.tasks.push(element),
        "Resources" => plan.resources.push(element),
        "Assignments" => plan.assignments.push(element),
        "ExtendedAttributes" => plan.attributes.push(element),
        "Project" => plan.project.children.push(element),
        _ => {}
    });
    match read {
        Err(Unreadable { line, message }) => {
            findings.unreadable(file, Some(line), None, message);
            vec![]
        }
        Ok(()) => plan.lines(file, stem, users, findings),
    }
}

impl Plan {
    fn lines(self, file: &Arc<str>, stem: &str, users: &Users, findings: &mut Findings) -> Vec<Line> {
        let uid = self.project.text("CalendarUID");
        let given = self.project.text("MinutesPerDay").parse::<f64>().ok().filter(|minutes| *minutes > 0.0);
        let usual = given.unwrap_or(480.0);
        let calendars = self.calendars.iter().filter_map(|element| {
            let line = calendar::line(file, element, usual, findings)?;
            Some((element.text("UID"), line))
        });
        let calendars: Vec<(&str, Line)> = calendars.collect();
        let own = calendars.iter().find(|(other, _)| *other == uid).map(|(_, line)| line);
        let of_own = |column: &str| own.and_then(|line| line.fields.get(column)).and_then(Value::as_f64);
        let days = Days {
            minutes_per_day: given.or(of_own("hours_per_day").map(|hours| hours * 60.0)).unwrap_or(usual),
            days_per_week: of_own("working_days").map_or(5.0, |bits| f64::from((bits as u32).count_ones())),
        };
        let has_ids = self.attributes.iter().any(|it| it.text("FieldID") == ID_FIELD && it.text("Alias") == ID_ALIAS);
        let mut found = Tasks { file, days, calendar: uid, has_ids }.lines(&self.tasks, findings);
        let people = (self.resources.as_slice(), self.assignments.as_slice());
        people::assign(file, people, users, &found.ids, &mut found.tasks, findings);
        let project = self.line(file, stem, own, findings);
        let calendars = calendars.into_iter().map(|(_, line)| line);
        project.into_iter().chain(calendars).chain(found.tasks).chain(found.links).collect()
    }

    fn line(&self, file: &Arc<str>, stem: &str, calendar: Option<&Line>, findings: &mut Findings) -> Option<Line> {
        leave::of_project(file, &self.project, findings);
        if self.project.child("ScheduleFromStart").is_some() && !self.project.flag("ScheduleFromStart") {
            findings.leave(file, 1, "project", "is scheduled from its finish; here it is from its start");
        }
        let summary = self.tasks.iter().find(|task| is_project(task));
        let without = |name: &str| name.trim_end_matches(".xml").trim_end_matches(".mpp").trim().to_owned();
        let names =
            [self.project.text("Title"), summary.map_or("", |task| task.text("Name")), self.project.text("Name"), stem];
        let name = names.into_iter().map(without).find(|name| !name.is_empty()).unwrap_or_default();
        let mut fields = Columns::from_iter([("name".to_owned(), json!(name))]);
        if let Some(day) = self.project.day("StartDate") {
            fields.insert("start_date".to_owned(), json!(day));
        }
        if let Some(notes) = summary.and_then(|task| task.child("Notes")) {
            fields.insert("description".to_owned(), json!(notes.text));
        }
        if let Some(calendar) = calendar {
            fields.insert("calendar".to_owned(), json!(calendar.id));
        }
        let id: String =
            stem.chars().map(|sign| if sign.is_ascii_alphanumeric() || sign == '_' { sign } else { '-' }).collect();
        let Ok(id) = id.chars().take(64).collect::<String>().parse() else {
            findings.fault(file, None, None, "has no name that can be a project's id; pass --project");
            return None;
        };
        let (collection, initial) = (Collection::Projects, Columns::new());
        let number = 1;
        Some(Line { collection, file: Arc::clone(file), number, id, derived: false, fields, initial, sound: true })
    }
}
