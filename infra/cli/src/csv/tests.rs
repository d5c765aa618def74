//! What is wrong with a plan's files, without a server.

use serde_json::{Value, json};
use shared::domain::{Collection, RowKey};

use super::check::work;
use super::contents::Contents;
use super::file::{Fault, read};

const TASKS: Collection = Collection::Tasks;
const EDGES: Collection = Collection::Dependencies;

/// A project with these rows, and olga as its only member.
fn project(rows: &[(&str, Value)]) -> Contents {
    let olga = ("memberships#m", json!({"user": "olga", "role": 400}));
    let row = |(key, columns): &(&str, Value)| {
        (key.parse::<RowKey>().expect("a key"), columns.as_object().expect("columns").clone())
    };
    Contents { rows: rows.iter().chain([&olga]).map(row).collect(), ..Contents::default() }
}

fn task(name: &str) -> Value {
    let task: shared::domain::Task =
        shared::domain::parse(json!({"name": name}).as_object().expect("an object")).expect("a task");
    serde_json::to_value(task).expect("JSON")
}

fn edge(predecessor: &str, successor: &str) -> Value {
    json!({"predecessor": predecessor, "successor": successor, "dep_type": "FS", "lag": 0})
}

/// The faults, and the lines that would be made, as `tasks#id`.
fn check(files: &[(Collection, &str)], contents: &Contents) -> (Vec<String>, Vec<String>) {
    let mut faults: Vec<Fault> = Vec::new();
    let lines: Vec<_> = files.iter().flat_map(|(file, text)| read(*file, text.as_bytes(), &mut faults)).collect();
    let todo = work(&lines, contents, None, &mut faults);
    let missing = todo.missing.iter().map(|line| format!("{}#{}", line.collection.name(), line.id)).collect();
    (faults.iter().map(ToString::to_string).collect(), missing)
}

fn faults(files: &[(Collection, &str)]) -> Vec<String> {
    check(files, &project(&[("projects#p", json!({"name": "P", "start_date": "2026-03-02"}))])).0
}

#[test]
fn each_fault_names_file_line_and_column() {
    let text = "id,name,duration,planned_start,wbs_path\r\n\
                a,\"Two\nlines\",1,,\r\n\
                \r\n\
                b,B,five,2026-02-30,1.0\r\n\
                c,,1,,\r\n\
                d,D,1,2026-02-30,1.0\r\n\
                ,,,,\r\n\
                e e,E,1,,\r\n\
                a,A again,1,,\r\n\
                f,F,1\r\n";
    let expected = [
        "tasks.csv:5: column duration: must be an integer; it is \"five\"",
        "tasks.csv:9: column id: must be 1 to 64 of the characters A-Z, a-z, 0-9, _ and -; it is \"e e\"",
        "tasks.csv:11: has 3 cells, but the header has 5; check the commas, and quote texts that contain commas",
        "tasks.csv:10: column id: a is already the id of line 2",
        "tasks.csv:6: column name: is required",
        "tasks.csv:7: column wbs_path: must be positive integers joined by dots, such as 1.2.3, or null",
        "tasks.csv:7: column planned_start: must be a date as YYYY-MM-DD",
    ];
    assert_eq!(faults(&[(TASKS, text)]), expected);
}

#[test]
fn a_header_names_columns_each_once_and_the_id() {
    let only = |text| {
        let found = faults(&[(TASKS, text)]);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    };
    assert!(only("id;name\na;A\n").starts_with("tasks.csv:1: column id;name: is not a known column; use id, name,"));
    assert_eq!(only("id,name,name\na,A,A\n"), "tasks.csv:1: column name: occurs twice");
    assert_eq!(only("name\nA\n"), "tasks.csv:1: column id: is required");
    assert!(only("").starts_with("tasks.csv:1: is empty"));
    assert_eq!(faults(&[(TASKS, "\u{feff} id , name \na,A\n")]), Vec::<String>::new(), "Excel's mark, and blanks");
    let mut found = Vec::new();
    read(TASKS, b"id,name\na,A\nb,\xe4\n", &mut found);
    assert!(found[0].to_string().starts_with("tasks.csv:3: is not UTF-8"), "{found:?}");
}

#[test]
fn a_fault_inside_a_column_says_where() {
    let text = "id,name,exceptions\nc,C,\"[{\"\"start\"\": \"\"2026-03-02\"\", \"\"end\"\": \"\"2026-03-01\"\"}]\"\n";
    let expected = ["calendars.csv:2: column exceptions: exceptions[0].end must not be before start"];
    assert_eq!(faults(&[(Collection::Calendars, text)]), expected);
}

#[test]
fn dependencies_tie_tasks_of_the_files_or_the_project_once_and_in_no_cycle() {
    let there = project(&[
        ("projects#p", json!({"name": "P", "start_date": "2026-03-02"})),
        ("tasks#x", task("X")),
        ("tasks#y", task("Y")),
        ("dependencies#xy", edge("x", "y")),
    ]);
    let tasks = (TASKS, "id,name\na,A\nb,B\n");
    let found = |edges: &str| check(&[tasks, (EDGES, &format!("predecessor,successor,dep_type\n{edges}"))], &there).0;
    assert_eq!(found("a,b,FS\nb,x,FS\na,b,SS\n"), Vec::<String>::new());
    assert_eq!(
        found("a,z,FS\n"),
        ["dependencies.csv:2: column successor: task z does not exist in tasks.csv or in the project"]
    );
    assert_eq!(
        found("a,b,FS\nb,a,\na,b,FF\nx,y,FS\n"),
        [
            "dependencies.csv:5: column successor: links the same tasks with the same type as xy in the project",
            "dependencies.csv:4: column successor: creates a cycle: a → b → a",
        ]
    );
    let through_the_project = found("y,a,FS\na,x,FS\n");
    assert_eq!(through_the_project.len(), 1, "{through_the_project:?}");
    assert!(through_the_project[0].contains("creates a cycle: ") && through_the_project[0].contains("x → y"));
}

#[test]
fn what_is_there_is_passed_over_and_what_is_there_with_another_content_is_a_fault() {
    let mut there = project(&[
        ("projects#p", json!({"name": "P", "start_date": "2026-03-02"})),
        ("tasks#a", task("A")),
        ("tasks#b", task("B")),
    ]);
    there.dead.insert("tasks#gone".parse().expect("a key"));
    let text = "id,name,duration,assignee\na,A,,\nb,Other,,\nnew,New,,\ngone,Gone,,\nm,M,0,\n";
    let (faults, missing) = check(&[(TASKS, text)], &there);
    assert_eq!(missing, ["tasks#new", "tasks#m"], "a duration of 0 makes a milestone");
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("tasks.csv:3: column name: b already exists in the project, with \"B\" here;"));
    assert!(faults[1].starts_with("tasks.csv:5: column id: gone was deleted in this project,"));
}

#[test]
fn a_dependency_without_an_id_gets_the_same_each_time() {
    let ids = |text: &str| -> Vec<String> {
        read(EDGES, text.as_bytes(), &mut vec![]).into_iter().map(|line| line.id.to_string()).collect()
    };
    let ids_of_three = ids("predecessor,successor,dep_type,lag\na,b,FS,1\na,b,SS,\nb,a,,\n");
    assert_eq!(ids("lag,successor,predecessor\n7,b,a\n,a,b\n"), [ids_of_three[0].clone(), ids_of_three[2].clone()]);
    assert_eq!(
        ids_of_three[0], "faa9a3c4-51e4-5b14-a11e-26200eabbefb",
        "an import that was stopped finds its rows again"
    );
}

#[test]
fn who_is_given_a_task_and_is_no_member_is_named() {
    let there = project(&[("projects#p", json!({"name": "P", "start_date": "2026-03-02"}))]);
    let mut found = vec![];
    let lines = read(TASKS, b"id,name,assignee\na,A,olga\nb,B,mia\nc,C,\n", &mut found);
    let todo = work(&lines, &there, Some("adam"), &mut found);
    assert_eq!(todo.strangers.into_iter().collect::<Vec<_>>(), ["mia"]);
}
