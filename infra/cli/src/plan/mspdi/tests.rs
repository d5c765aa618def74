//! Tests of plans of other programs, without a server. The files follow the structure that the programs document. No file was
//! written by such a program.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use shared::domain::Collection;

use super::super::fault::Findings;
use super::super::line::Line;
use super::super::users::Users;
use super::read::lines;

fn read(text: &str, users: &Users) -> (Vec<Line>, Findings) {
    let mut findings = Findings::default();
    let lines = lines(&Arc::from("plan.xml"), "plan", text.as_bytes(), users, &mut findings);
    (lines, findings)
}

fn of_file(file: &str, users: &Users) -> (Vec<Line>, Findings) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    read(&std::fs::read_to_string(path).expect("a file"), users)
}

/// A plan with these tasks, and with these elements in front of them.
fn plan(before: &str, tasks: &str) -> String {
    format!("<Project>{before}<Tasks>{tasks}</Tasks></Project>")
}

fn row<'a>(lines: &'a [Line], id: &str) -> &'a Line {
    lines.iter().find(|line| line.id.as_str() == id).unwrap_or_else(|| panic!("no {id}"))
}

fn cells(line: &Line, columns: &[&str]) -> Value {
    columns.iter().map(|column| line.fields[*column].clone()).collect()
}

fn links(lines: &[Line]) -> Vec<Value> {
    let links = lines.iter().filter(|line| line.collection == Collection::Dependencies);
    links.map(|line| cells(line, &["predecessor", "successor", "dep_type", "lag"])).collect()
}

fn left_out(findings: &Findings) -> Vec<String> {
    findings.left_out.iter().map(ToString::to_string).collect()
}

#[test]
fn the_example_comes_with_everything_that_has_a_place() {
    let mut findings = Findings::default();
    let users =
        Users::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/users.csv"), &mut findings).expect("a file");
    let (lines, findings) = of_file("examples/boathouse.xml", &users);
    assert_eq!(findings.faults, []);
    assert_eq!(
        cells(row(&lines, "plan"), &["name", "start_date", "description", "calendar"]),
        json!(["Boathouse at the lake", "2026-03-02", "A shed for two boats.", "calendar-1"])
    );
    let easter = json!({"start": "2026-04-03", "end": "2026-04-06", "description": "Easter"});
    let labour = |year: i32| json!({"start": format!("{year}-05-01"), "end": format!("{year}-05-01"), "description": "Labour Day"});
    assert_eq!(
        cells(row(&lines, "calendar-1"), &["name", "working_days", "hours_per_day", "exceptions"]),
        json!(["Site", 31, 8.0, [easter, labour(2026), labour(2027), labour(2028)]])
    );
    let columns = ["name", "wbs_path", "duration", "is_milestone", "percent_complete", "planned_start"];
    assert_eq!(cells(row(&lines, "task-2"), &columns), json!(["Permit & survey", "1.1", 10, false, 100, "2026-03-02"]));
    assert_eq!(cells(row(&lines, "task-8"), &columns), json!(["House is dry", "2.3", 0, true, 0, "2026-04-16"]));
    assert_eq!(row(&lines, "task-3").fields["notes"], "Twelve piles.\nLow water only.");
    assert_eq!(
        (&row(&lines, "task-3").initial["status"], &row(&lines, "task-6").fields["assignee"]),
        (&json!("IN_PROGRESS"), &json!("mia"))
    );
    assert_eq!(
        links(&lines),
        [
            json!(["task-2", "task-3", "FS", 2]),
            json!(["task-3", "task-6", "FS", 0]),
            json!(["task-6", "task-7", "SS", -2]),
            json!(["task-6", "task-8", "FF", 0]),
            json!(["task-7", "task-8", "FS", 0]),
        ]
    );
    let left = left_out(&findings).join("\n");
    for what in [
        "plan.xml:53: calendar \"Crane\": the calendar of a resource has no place here",
        "task task-2: Deadline 2026-03-20T17:00:00 has no place here",
        "task task-2: FixedCost 1200 has no place here",
        "task task-3: Baseline (Start 2026-03-18T08:00:00, Finish 2026-03-26T17:00:00, Duration PT56H0M0S) has no place here",
        "task task-7: lasts 4.50 days; it counts as 5 working days",
        "resource \"Mia Maier\": is the user mia; the rest has no place here (StandardRate 55)",
        "resource \"Crane\": has no place here (CostPerUse 400, CalendarUID 3)",
        "task task-6: the assignment of \"Crane\" has no place here; it is no user",
        "task task-6, assigned to \"Crane\": Units 0.5 has no place here",
        "project: Manager Olga has no place here",
    ] {
        assert!(left.contains(what), "{what}\nis not in\n{left}");
    }
    assert_eq!(findings.left_out.len(), 10, "{left}");
    let skipped: Vec<_> = findings.skipped.into_iter().collect();
    assert_eq!(
        skipped,
        [
            (("calendars", "is the calendar of a resource"), 1),
            (("tasks", "is a blank row"), 1),
            (("tasks", "is the project itself"), 1),
        ]
    );
}

#[test]
fn a_file_by_projectlibres_structure() {
    let (lines, findings) = of_file("tests/files/projectlibre.xml", &Users::default());
    assert_eq!(findings.faults, []);
    let columns = ["name", "wbs_path", "duration"];
    let tasks: Vec<Value> =
        lines.iter().filter(|line| line.collection == Collection::Tasks).map(|line| cells(line, &columns)).collect();
    assert_eq!(
        tasks,
        [json!(["Spans", "1", 10]), json!(["East", "1.1", 5]), json!(["Curing", "1.2", 5]), json!(["Open", "2", 0])]
    );
    assert_eq!(links(&lines), [json!(["task-2", "task-3", "SF", 3]), json!(["task-3", "task-4", "FS", 1])]);
    let calendar = row(&lines, "calendar-2");
    assert_eq!(calendar.fields["hours_per_day"], 7.5);
    assert_eq!(calendar.fields["exceptions"], json!([{"start": "2026-05-14", "end": "2026-05-15", "description": ""}]));
    assert_eq!(
        left_out(&findings),
        [
            "plan.xml:31: task task-3: runs through nights and weekends; it counts as 5 working days",
            "plan.xml:33: task task-4: the constraint “must start on” 2026-06-01 has no place here",
            "plan.xml:32: link to task-3: its lag of 50 % of the predecessor counts as 3 working days",
            "plan.xml:35: link to task-4: its lag of 3.75 hours is not in whole days; it counts as 1 working days",
        ]
    );
}

#[test]
fn a_file_by_ganttprojects_structure() {
    let mut findings = Findings::default();
    let file = std::env::temp_dir().join(format!("users-{}.csv", std::process::id()));
    std::fs::write(&file, "resource,user\nann,a\ncy,c\nBobb,b\n").expect("a file");
    let users = Users::read(&file, &mut findings).expect("a file");
    std::fs::remove_file(&file).expect("removed");
    let (lines, findings) = of_file("tests/files/ganttproject.xml", &users);
    assert!(
        findings.faults[0].to_string().ends_with(":4: column resource: Bobb is not a resource of the plan; is it Bob?")
    );
    assert_eq!(findings.faults.len(), 1);
    assert_eq!(cells(row(&lines, "task-1"), &["name", "duration", "assignee"]), json!(["Dig <deep>", 2, "c"]));
    assert_eq!(cells(row(&lines, "task-2"), &["name", "duration", "is_milestone"]), json!(["Task 2", 1, false]));
    assert_eq!(cells(row(&lines, "calendar-1"), &["working_days", "hours_per_day"]), json!([31, 8.0]));
    let left = left_out(&findings).join("\n");
    for what in [
        "project: Company Гаnt has no place here",
        "task task-1: ExtendedAttribute (FieldID 188743731, Value #8cb6ce) has no place here",
        "task task-2: has no name; it gets its number",
        "task task-2: is a milestone that lasts 1 days",
        "task task-2: is inactive",
        "link to task-2: a link from another project (other.mpp) has no place here",
        "task task-1: the assignment of \"ann\" has no place here; the task has one assignee, c",
        "task task-1: the assignment of \"Bob\" has no place here; it is no user",
        "task task-1, assigned to \"ann\": Units 0.5 has no place here",
    ] {
        assert!(left.contains(what), "{what}\nis not in\n{left}");
    }
}

#[test]
fn what_is_no_plan_is_refused_with_its_line() {
    let refused = |text: &str| {
        let (lines, findings) = read(text, &Users::default());
        assert!(lines.is_empty() && findings.unreadable, "{text}");
        findings.faults[0].to_string()
    };
    let bomb = "<!DOCTYPE x [\n<!ENTITY a \"aaaa\">\n<!ENTITY b \"&a;&a;\">]>\n<Project><Name>&b;</Name></Project>";
    assert_eq!(refused(bomb), "plan.xml:3: has a DTD, which is refused; save it without");
    assert_eq!(refused("<Project>\n<Name>&a;</Name></Project>"), "plan.xml:2: uses the entity &a;, which is refused");
    assert!(refused("<Project>\n\n<Tasks></Project>").starts_with("plan.xml:3: is not valid XML: "));
    assert_eq!(refused("<Project>\n<Tasks><Task>"), "plan.xml:2: ends within <Task>; is the file cut off?");
    assert_eq!(refused("<APIBusinessObjects/>"), "plan.xml:1: is not a plan of MS Project: it has no Project");
    assert_eq!(refused("<html>"), "plan.xml:1: is not a plan of MS Project: its root is \"html\", not Project");
    assert_eq!(refused(""), "plan.xml:1: is not a plan of MS Project: it has no Project");
    assert!(refused(&format!("<Project>{}", "<a>".repeat(100_000))).contains("has more than 32 elements"));
    assert!(refused("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Project/>").contains("save it as UTF-8"));
}

#[test]
fn a_task_that_cannot_be_read_is_a_fault_and_no_other_is_lost() {
    let faults = |tasks: &str| {
        let (lines, findings) = read(&plan("", tasks), &Users::default());
        (findings.faults.iter().map(ToString::to_string).collect::<Vec<_>>(), lines.len())
    };
    let sound = "<Task><UID>7</UID><Name>x</Name><Duration>PT8H0M0S</Duration></Task>";
    let (found, lines) = faults(&format!(
        "{sound}<Task><Name>y</Name></Task><Task><UID>8</UID><Name>z</Name><Duration>5 days</Duration></Task>"
    ));
    assert_eq!(
        found,
        [
            "plan.xml:1: column UID: must be a number; it is \"\"",
            "plan.xml:1: column Duration: must be like PT8H0M0S; it is \"5 days\""
        ]
    );
    assert_eq!(lines, 2, "the project and a task");
    let link = |link: &str| {
        faults(&format!("{sound}<Task><UID>8</UID><Name>y</Name><Duration>PT8H0M0S</Duration><PredecessorLink>{link}</PredecessorLink></Task>")).0
    };
    assert_eq!(
        link("<PredecessorUID>9</PredecessorUID>"),
        ["plan.xml:1: column PredecessorUID: task 9 does not exist in the file"]
    );
    assert_eq!(
        link("<PredecessorUID>7</PredecessorUID><Type>5</Type>"),
        ["plan.xml:1: column Type: must be 0, 1, 2 or 3; it is \"5\""]
    );
    assert_eq!(link("<PredecessorUID>7</PredecessorUID>"), Vec::<String>::new());
}

#[test]
fn a_task_that_was_copied_gets_an_id_of_its_own() {
    let field = "<ExtendedAttributes><ExtendedAttribute><FieldID>188744016</FieldID><Alias>TruePPM id</Alias></ExtendedAttribute></ExtendedAttributes>";
    let task = |uid: u32| {
        format!(
            "<Task><UID>{uid}</UID><Name>x</Name><Duration>PT8H0M0S</Duration><ExtendedAttribute><FieldID>188744016</FieldID><Value>dig</Value></ExtendedAttribute></Task>"
        )
    };
    let tasks = task(1) + &task(2);
    let ids = |before: &str| {
        let (lines, findings) = read(&plan(before, &tasks), &Users::default());
        let ids: Vec<String> = lines.iter().skip(1).map(|line| line.id.to_string()).collect();
        (ids, findings.warnings.len(), findings.left_out.len())
    };
    assert_eq!(ids(field), (vec!["dig".to_owned(), "task-2".to_owned()], 1, 0));
    assert_eq!(ids(""), (vec!["task-1".to_owned(), "task-2".to_owned()], 0, 2), "Text30 of somebody else");
}

/// The days off of a calendar with one exception, and what is listed as left out.
fn days_off(exception: &str, from: &str, to: &str) -> (Vec<String>, Vec<String>) {
    let period = format!("<TimePeriod><FromDate>{from}T00:00:00</FromDate><ToDate>{to}T23:59:00</ToDate></TimePeriod>");
    let exceptions = format!(
        "<Exceptions><Exception>{period}<Name>Off</Name>{exception}<DayWorking>0</DayWorking></Exception></Exceptions>"
    );
    let calendar = format!(
        "<Calendars><Calendar><UID>1</UID><Name>Site</Name><IsBaseCalendar>1</IsBaseCalendar>{exceptions}</Calendar></Calendars>"
    );
    let (lines, findings) = read(&plan(&calendar, ""), &Users::default());
    assert_eq!(findings.faults, []);
    let row = row(&lines, "calendar-1");
    shared::domain::parse::<shared::domain::Calendar>(&row.fields).expect("a calendar that the server accepts");
    let exceptions = row.fields["exceptions"].as_array().expect("a list");
    let period = |day: &Value| format!("{} {}", day["start"], day["end"]).replace('"', "");
    (exceptions.iter().map(period).collect(), left_out(&findings))
}

#[test]
fn a_yearly_day_off_is_left_out_of_the_years_that_lack_the_day() {
    let yearly = |month: i64, day: i64| {
        format!("<Occurrences>5</Occurrences><Type>2</Type><Month>{month}</Month><MonthDay>{day}</MonthDay>")
    };
    let leap_days = days_off(&yearly(1, 29), "2024-01-01", "2028-12-31");
    assert_eq!(leap_days, (vec!["2024-02-29 2024-02-29".to_owned(), "2028-02-29 2028-02-29".to_owned()], vec![]));
    for (month, day) in [(1, 30), (3, 31), (12, 1), (i64::MAX, 1), (0, 0), (-1, 1)] {
        let (days, left) = days_off(&yearly(month, day), "2024-01-01", "2028-12-31");
        let listed =
            ["plan.xml:1: calendar \"Site\": the yearly exception \"Off\" has no day from 2024-01-01 to 2028-12-31"];
        assert_eq!((days, left), (vec![], listed.map(str::to_owned).to_vec()), "{month} {day}");
    }
}

#[test]
fn a_monthly_day_off_does_not_close_the_whole_period() {
    let monthly = "<Type>4</Type><MonthDay>31</MonthDay>";
    let (days, left) = days_off(monthly, "2026-01-01", "2026-12-31");
    assert_eq!(days, Vec::<String>::new());
    assert!(
        left[0].ends_with("the repeated exception \"Off\" from 2026-01-01 to 2026-12-31 has no place here"),
        "{left:?}"
    );
    assert_eq!(days_off(monthly, "2026-01-31", "2026-01-31"), (vec!["2026-01-31 2026-01-31".to_owned()], vec![]));
    assert_eq!(days_off("", "2026-12-24", "2026-12-31"), (vec!["2026-12-24 2026-12-31".to_owned()], vec![]));
}
