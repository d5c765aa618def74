//! Reads the calendars of a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use shared::domain::{Collection, Columns, FieldErrors, RowId};

use super::super::contents::Contents;
use super::super::fault::Findings;
use super::super::line::Line;
use super::element::Element;

/// The id of a calendar, made from its UID in the file.
pub(super) fn id(uid: &str) -> String {
    format!("calendar-{uid}")
}

/// The bit of a day of the week. MSPDI counts the days from Sunday, which is 1.
fn bit(day_type: i64) -> i64 {
    if day_type == 1 { 64 } else { 1 << (day_type - 2) }
}

/// The line of a calendar. This product has no calendars of resources.
pub(super) fn line(file: &Arc<str>, calendar: &Element, minutes_per_day: f64, findings: &mut Findings) -> Option<Line> {
    let uid = calendar.text("UID");
    let name = match calendar.text("Name") {
        "" => format!("Calendar {uid}"),
        name => name.to_owned(),
    };
    let what = format!("calendar {name:?}");
    if calendar.child("IsBaseCalendar").is_some() && !calendar.flag("IsBaseCalendar") {
        findings.skip(Collection::Calendars, "is the calendar of a resource");
        findings.leave(file, calendar.line, &what, "the calendar of a resource has no place here");
        return None;
    }
    let Ok(id) = id(uid).parse() else {
        findings.fault(file, Some(calendar.line), Some("UID"), "is required");
        return None;
    };
    let (mut bits, mut hours) = (0, BTreeMap::<i64, usize>::new());
    let week_days = || calendar.all("WeekDays").flat_map(|days| days.all("WeekDay"));
    for day in week_days() {
        let Some(day_type @ 1..=7) = day.number("DayType") else { continue };
        if day.flag("DayWorking") {
            bits |= bit(day_type);
            // A day without times has the hours of the plan's standard day.
            let seconds = seconds_of(day).unwrap_or((minutes_per_day * 60.0) as i64);
            *hours.entry(seconds).or_default() += 1;
        }
    }
    if !week_days().any(|day| matches!(day.number("DayType"), Some(1..=7))) {
        (bits, hours) = (31, BTreeMap::from([((minutes_per_day * 60.0) as i64, 5)]));
    }
    let usual = hours.iter().max_by_key(|(_, days)| **days).map_or(28_800, |(seconds, _)| *seconds);
    if hours.len() > 1 {
        let message = format!("its days have different hours; all count as days of {} hours", in_hours(usual));
        findings.leave(file, calendar.line, &what, &message);
    }
    if calendar.child("WorkWeeks").is_some_and(|weeks| !weeks.children.is_empty()) {
        findings.leave(file, calendar.line, &what, "weeks with other working days have no place here");
    }
    let exceptions = exceptions(file, calendar, &what, findings);
    let fields =
        json!({"name": name, "working_days": bits, "hours_per_day": in_hours(usual), "exceptions": exceptions});
    Some(Line {
        collection: Collection::Calendars,
        file: Arc::clone(file),
        number: calendar.line,
        id,
        derived: false,
        fields: fields.as_object().cloned().unwrap_or_default(),
        initial: Columns::new(),
        sound: true,
    })
}

fn in_hours(seconds: i64) -> f64 {
    (seconds as f64 / 36.0).round() / 100.0
}

/// The working seconds of a day, if the file has its times.
fn seconds_of(day: &Element) -> Option<i64> {
    let times: Vec<&Element> = day.all("WorkingTimes").flat_map(|times| times.all("WorkingTime")).collect();
    let seconds = |text: &str| -> Option<i64> {
        let mut parts = text.rsplit('T').next()?.split(':').map(|part| part.parse::<i64>().ok());
        Some(parts.next()?? * 3_600 + parts.next()?? * 60 + parts.next().flatten().unwrap_or(0))
    };
    let mut total = 0;
    for time in times {
        let (from, to) = (seconds(time.text("FromTime"))?, seconds(time.text("ToTime"))?);
        // Midnight at the end is 0:00.
        total += if to <= from { to + 86_400 - from } else { to - from };
    }
    (total > 0).then_some(total)
}

fn exceptions(file: &str, calendar: &Element, what: &str, findings: &mut Findings) -> Vec<Value> {
    let new: Vec<&Element> = calendar.all("Exceptions").flat_map(|list| list.all("Exception")).collect();
    // Files from before 2007 have exceptions as days of the week 0. Newer files have them in both forms.
    let old =
        calendar.all("WeekDays").flat_map(|days| days.all("WeekDay")).filter(|day| day.number("DayType") == Some(0));
    let all: Vec<&Element> = if new.is_empty() { old.collect() } else { new };
    let mut found = Vec::new();
    for exception in all {
        let period = exception.child("TimePeriod").cloned().unwrap_or_default();
        let (Some(start), Some(end)) = (period.day("FromDate"), period.day("ToDate")) else {
            findings.leave(file, exception.line, what, "an exception without dates has no place here");
            continue;
        };
        let name = exception.text("Name");
        let mut add = |start: String, end: String| found.push(json!({"start": start, "end": end, "description": name}));
        let (kind, times) = (exception.number("Type").unwrap_or(1), exception.number("Occurrences").unwrap_or(1));
        if exception.flag("DayWorking") {
            let message =
                format!("the working days {start} to {end} {name:?} have no place here; an exception is a day off");
            findings.leave(file, exception.line, what, &message);
        } else if kind == 1 || times <= 1 && kind != 2 && (!is_repeated(kind) || start == end) {
            add(start.to_owned(), end.to_owned());
        } else if let (2, Some(month), Some(day)) = (kind, exception.number("Month"), exception.number("MonthDay")) {
            let year = |date: &str| date.split('-').next().and_then(|year| year.parse::<i64>().ok());
            let years = year(start).zip(year(end)).map(|(first, last)| first..=last.min(first.saturating_add(200)));
            let days =
                years.into_iter().flatten().map(|year| format!("{year:04}-{:02}-{day:02}", month.saturating_add(1)));
            // February has 29 days in some years only.
            let days: Vec<String> =
                days.filter(|date| (start..=end).contains(&date.as_str()) && is_date(date)).collect();
            if days.is_empty() {
                let message = format!("the yearly exception {name:?} has no day from {start} to {end}");
                findings.leave(file, exception.line, what, &message);
            }
            days.into_iter().for_each(|date| add(date.clone(), date));
        } else {
            let message = format!("the repeated exception {name:?} from {start} to {end} has no place here");
            findings.leave(file, exception.line, what, &message);
        }
    }
    found
}

/// Whether an exception of this kind is on single days of its period: every so many weeks, or months, or years.
fn is_repeated(kind: i64) -> bool {
    (2..=8).contains(&kind)
}

fn is_date(text: &str) -> bool {
    let mut errors = FieldErrors::default();
    errors.date("", text);
    errors.finish().is_ok()
}

/// The lines of calendars and of the project that uses them. A calendar with the same name as one of the project gets that one's
/// id.
pub(in super::super) fn by_name(lines: Vec<Line>, contents: &Contents) -> Vec<Line> {
    let mut ids: BTreeMap<&str, Vec<&RowId>> = BTreeMap::new();
    for (id, row) in contents.of(Collection::Calendars) {
        ids.entry(row.get("name").and_then(Value::as_str).unwrap_or_default()).or_default().push(id);
    }
    let of_name = |line: &Line| match ids.get(line.text("name")?)?.as_slice() {
        [id] => Some((line.id.to_string(), (*id).clone())),
        _ => None,
    };
    let new: BTreeMap<String, RowId> =
        lines.iter().filter(|line| line.collection == Collection::Calendars).filter_map(of_name).collect();
    let renamed = |mut line: Line| {
        if let Some(id) = new.get(line.id.as_str()).filter(|_| line.collection == Collection::Calendars) {
            line.id = id.clone();
        }
        if let Some(id) = line.text("calendar").and_then(|calendar| new.get(calendar)) {
            line.fields.insert("calendar".to_owned(), id.as_str().into());
        }
        line
    };
    lines.into_iter().map(renamed).collect()
}
