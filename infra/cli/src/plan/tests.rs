//! Tests of the faults in a plan's files, without a server.

use proptest::prelude::*;
use serde_json::{Value, json};
use shared::domain::{Collection, Dependency, Graph, RowId, RowKey, parse};

use super::check::{Work, Write, work};
use super::contents::Contents;
use super::fault::Findings;
use super::file::read;
use super::hurts::warnings;
use super::line::{Line, by_ties};

const TASKS: Collection = Collection::Tasks;
const EDGES: Collection = Collection::Dependencies;
/// The number of dependencies in a long plan.
const LONG: usize = 10_000;

/// A project with these rows, and olga as its only member.
fn project(rows: &[(&str, Value)]) -> Contents {
    let olga = ("memberships#m", json!({"user": "olga", "role": 400}));
    let row = |(key, columns): &(&str, Value)| {
        (key.parse::<RowKey>().expect("a key"), columns.as_object().expect("columns").clone())
    };
    let rows: std::collections::BTreeMap<_, _> = rows.iter().chain([&olga]).map(row).collect();
    let versions = rows.keys().cloned().zip(7..).collect();
    Contents { rows, versions, ..Contents::default() }
}

fn task(name: &str) -> Value {
    let task: shared::domain::Task =
        shared::domain::parse(json!({"name": name}).as_object().expect("an object")).expect("a task");
    serde_json::to_value(task).expect("JSON")
}

fn edge(predecessor: &str, successor: &str) -> Value {
    json!({"predecessor": predecessor, "successor": successor, "dep_type": "FS", "lag": 0})
}

/// The findings, the lines, and the steps as `tasks#id`. A step that changes a row ends with the columns.
struct Checked {
    findings: Findings,
    steps: Vec<String>,
    unchanged: usize,
    strangers: Vec<String>,
}

fn checked(files: &[(Collection, &str)], contents: &Contents, update: bool) -> Checked {
    let mut findings = Findings::default();
    let lines: Vec<_> = files.iter().flat_map(|(file, text)| read(*file, text.as_bytes(), &mut findings)).collect();
    let edges = by_ties(contents, &lines);
    let lines: Vec<Line> = lines.into_iter().map(|line| line.found_in(contents, &edges)).collect();
    let Work { steps, unchanged, strangers, .. } = work(&lines, contents, Some("adam"), update, &mut findings.faults);
    findings.warnings.extend(warnings(&lines, &steps, contents));
    let named = steps.iter().map(|step| match &step.write {
        Write::Create => step.line.key().to_string(),
        Write::Change { base, after, .. } => {
            let columns: Vec<&str> = after.keys().map(String::as_str).collect();
            format!("{} at {base}: {}", step.line.key(), columns.join(" "))
        }
    });
    let steps = named.collect();
    Checked { findings, steps, unchanged: unchanged.values().sum(), strangers: strangers.into_iter().collect() }
}

/// The faults, and the rows that would be created, as `tasks#id`.
fn check(files: &[(Collection, &str)], contents: &Contents) -> (Vec<String>, Vec<String>) {
    let Checked { findings, steps, .. } = checked(files, contents, false);
    (findings.faults.iter().map(ToString::to_string).collect(), steps)
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
    assert!(only("sep=;\nid;name\n").starts_with("tasks.csv:1: column sep=;: is a spreadsheet's note, not a header;"));
    assert_eq!(only("id,name,\na,A,\n"), "tasks.csv:1: column 3: has no name; name it, or remove it with its cells");
    assert_eq!(only("id,name,durration\n"), "tasks.csv:1: column durration: is not a known column; is it duration?");
    assert_eq!(only("Id,name\n"), "tasks.csv:1: column Id: is not a known column; is it id?");
    assert_eq!(only("id,name,name\na,A,A\n"), "tasks.csv:1: column name: occurs twice");
    assert_eq!(only("name\nA\n"), "tasks.csv:1: column id: is required");
    assert!(only("").starts_with("tasks.csv:1: is empty"));
    assert_eq!(faults(&[(TASKS, "\u{feff} id , name \na,A\n")]), Vec::<String>::new(), "Excel's mark, and blanks");
    let mut found = Findings::default();
    read(TASKS, b"id,name\ra,A\rb,\xe4\r", &mut found);
    assert!(found.faults[0].to_string().starts_with("tasks.csv:3: is not UTF-8"), "{found:?}");
    assert!(found.unreadable);
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
    // The last one is xy of the project.
    assert_eq!(
        found("a,b,FS\nb,a,\na,b,FF\nx,y,FS\n"),
        ["dependencies.csv:4: column successor: creates a cycle: a → b → a"]
    );
    assert_eq!(
        found("a,b,FS\na,b,\n"),
        ["dependencies.csv:3: column successor: links the same tasks with the same type as line 2"]
    );
    let with_id = check(&[tasks, (EDGES, "id,predecessor,successor\nnew,x,y\n")], &there).0;
    assert_eq!(
        with_id,
        ["dependencies.csv:2: column successor: links the same tasks with the same type as xy in the project"]
    );
    let through_the_project = found("y,a,FS\na,x,FS\n");
    assert_eq!(through_the_project.len(), 1, "{through_the_project:?}");
    assert!(through_the_project[0].contains("creates a cycle: ") && through_the_project[0].contains("x → y"));
}

#[test]
fn existing_rows_are_passed_over_and_existing_rows_with_other_content_are_faults() {
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
        read(EDGES, text.as_bytes(), &mut Findings::default()).into_iter().map(|line| line.id.to_string()).collect()
    };
    let ids_of_three = ids("predecessor,successor,dep_type,lag\na,b,FS,1\na,b,SS,\nb,a,,\n");
    assert_eq!(ids("lag,successor,predecessor\n7,b,a\n,a,b\n"), [ids_of_three[0].clone(), ids_of_three[2].clone()]);
    assert_eq!(
        ids_of_three[0], "faa9a3c4-51e4-5b14-a11e-26200eabbefb",
        "an import that was stopped finds its rows again"
    );
}

#[test]
fn assignees_who_are_not_members_are_named() {
    let there = project(&[("projects#p", json!({"name": "P", "start_date": "2026-03-02"}))]);
    let checked = checked(&[(TASKS, "id,name,assignee\na,A,olga\nb,B,mia\nc,C,\nd,D,adam\n")], &there, false);
    assert_eq!(checked.strangers, ["mia"]);
}

#[test]
fn a_quote_out_of_place_is_a_fault_and_no_row_is_read() {
    let found = |text: &str| {
        let checked = checked(&[(TASKS, text)], &project(&[]), false);
        assert!(checked.findings.unreadable && checked.steps.is_empty());
        checked.findings.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let swallowed = found("id,name,notes\na,A,\"open\nb,B,x\nc,C,\"closed\"\nd,D,y\n");
    assert!(
        swallowed.starts_with(
            "tasks.csv:4: column notes: at character 6: text behind a closing quote; the cell begins on line 2"
        ),
        "{swallowed}"
    );
    let cut = found("id,name,notes\rh,H,\"first line\rsecond li");
    assert!(cut.starts_with("tasks.csv:2: column notes: at character 5: this quote is never closed"), "{cut}");
    assert!(found("id,na\"me\n").starts_with("tasks.csv:1: column 2: at character 6: a quote in a cell"));
}

#[test]
fn a_text_with_lines_like_rows_in_it_is_warned_of() {
    let text = "id,name,notes\na,A,\"open\nb,B,x\nc,C,closed\"\nd,D,\"two\nlines\"\n";
    let checked = checked(&[(TASKS, text)], &project(&[]), false);
    let warnings: Vec<String> = checked.findings.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "tasks.csv:2: column notes: is one text, with 2 lines in it that look like rows; check where its quote closes"
        ]
    );
}

#[test]
fn line_numbers_are_right_whatever_ends_a_line() {
    for end in ["\n", "\r", "\r\n"] {
        let text = ["id,name,duration", "a,A,1", "b,\"B", "B\",1", "", "c,C,x", ""].join(end);
        assert_eq!(
            faults(&[(TASKS, &text)]),
            ["tasks.csv:6: column duration: must be an integer; it is \"x\""],
            "{end:?}"
        );
    }
}

#[test]
fn a_row_that_differs_is_changed_where_it_differs_if_that_is_asked_for() {
    let there = project(&[
        ("projects#p", json!({"name": "P", "start_date": "2026-03-02", "calendar": null})),
        ("tasks#a", task("A")),
        ("tasks#b", task("B")),
        ("dependencies#ab", edge("a", "b")),
    ]);
    let files =
        [(TASKS, "id,name,duration\na,A,0\nb,Other,1\nnew,New,\n"), (EDGES, "predecessor,successor,lag\na,b,3\n")];
    let changed = checked(&files, &there, true);
    assert_eq!(changed.findings.faults, []);
    assert_eq!(
        changed.steps,
        ["tasks#a at 8: duration is_milestone", "tasks#b at 9: name", "tasks#new", "dependencies#ab at 10: lag"]
    );
    let refused = checked(&files, &there, false);
    assert_eq!((refused.findings.faults.len(), refused.steps.len()), (3, 1));
    // The changed edge closes a cycle, and its old form does not.
    let turned = (EDGES, "id,predecessor,successor\nab,b,a\n");
    assert_eq!(checked(&[turned], &there, true).findings.faults, []);
    let circle = checked(&[turned, (EDGES, "id,predecessor,successor\nback,a,b\n")], &there, true);
    assert_eq!(circle.findings.faults.len(), 1, "{:?}", circle.findings.faults);
    assert_eq!(checked(&[(TASKS, "id,name\na,A\n")], &there, true).unchanged, 1);
}

/// A project with the tasks that these dependencies link, and with them: `(id, predecessor, successor)`.
fn linked(edges: &[(&str, &str, &str)]) -> Contents {
    let tasks = edges.iter().flat_map(|(_, from, to)| [from, to]).map(|id| (format!("tasks#{id}"), task(id)));
    let edges = edges.iter().map(|(id, from, to)| (format!("dependencies#{id}"), edge(from, to)));
    let rows: Vec<(String, Value)> = tasks.chain(edges).collect();
    project(&rows.iter().map(|(key, row)| (key.as_str(), row.clone())).collect::<Vec<_>>())
}

/// The ids of the dependencies that an import with `--update` writes, in its order, or the faults.
fn update(edges: &str, there: &Contents) -> Result<Vec<String>, Vec<String>> {
    let Checked { findings, steps, .. } =
        checked(&[(EDGES, &format!("id,predecessor,successor\n{edges}"))], there, true);
    let faults: Vec<String> = findings.faults.iter().map(ToString::to_string).collect();
    let id = |step: &String| step.split([' ', '#']).nth(1).unwrap_or_default().to_owned();
    if faults.is_empty() { Ok(steps.iter().map(id).collect()) } else { Err(faults) }
}

fn ids(ids: &str) -> Result<Vec<String>, Vec<String>> {
    Ok(ids.split_whitespace().map(str::to_owned).collect())
}

#[test]
fn a_changed_dependency_is_written_directly_behind_the_one_that_makes_room_for_it() {
    let chain = linked(&[("ab", "a", "b"), ("bc", "b", "c"), ("cd", "c", "d"), ("ef", "e", "f")]);
    assert_eq!(update("ab,b,c\nbc,c,d\ncd,a,e\nef,f,e\n", &chain), ids("cd bc ab ef"), "no duplicate on the way");
    assert_eq!(update("ef,c,a\nab,a,e\nbc,b,e\ncd,c,e\n", &chain), ids("ab ef bc cd"), "no cycle on the way");
    assert_eq!(update("ef,e,a\nab,b,d\nbc,c,d\ncd,a,d\n", &chain), ids("ef ab cd bc"));
}

#[test]
fn a_new_dependency_is_written_behind_the_changed_one_that_makes_room_for_it() {
    let there = linked(&[("ab", "a", "b"), ("cd", "c", "d")]);
    assert_eq!(update("new,a,b\nab,a,c\n", &there), ids("ab new"));
    assert_eq!(update("new,b,a\nab,b,c\n", &there), ids("ab new"));
    // A line without an id is not the row that another line changes.
    let without_id = update(",a,b\nab,a,c\n", &there).expect("an order");
    assert_eq!((without_id.len(), without_id[0].as_str()), (2, "ab"));
    let twice = update(",a,b\nab,a,b\n", &there).expect_err("a fault");
    let fault = "dependencies.csv:2: column successor: links the same tasks with the same type as ab in the project";
    assert_eq!(twice, [fault]);
}

#[test]
fn dependencies_that_exchange_their_tasks_are_told_to_exchange_their_ids() {
    let there = linked(&[("ab", "a", "b"), ("cd", "c", "d"), ("ef", "e", "f")]);
    let fault = |line: u64, id: &str, until: u64| {
        format!(
            "dependencies.csv:{line}: column successor: links the same tasks with the same type as {id} in the project until line \
             {until} is written, which has to wait for this line; use the id {id} in this line"
        )
    };
    assert_eq!(update("ab,c,d\ncd,a,b\n", &there), Err(vec![fault(2, "cd", 3), fault(3, "ab", 2)]));
    assert_eq!(update("cd,c,d\nab,a,b\n", &there), ids(""), "as it was told");
    let round = update("ab,c,d\ncd,e,f\nef,a,b\n", &there);
    assert_eq!(round, Err(vec![fault(2, "cd", 3), fault(3, "ef", 4), fault(4, "ab", 2)]));
}

#[test]
fn a_dependency_that_closes_a_cycle_in_any_order_is_told_to_begin_anew() {
    let mut there = linked(&[("e1", "x", "y"), ("e2", "a", "c")]);
    let fault = "dependencies.csv:2: column successor: creates a cycle until line 3 is written, and no order was found that the \
                 server accepts: c → a → c; delete e1 in the project, and give this line another id";
    assert_eq!(update("e1,c,a\ne2,x,y\n", &there), Err(vec![fault.to_owned()]));
    let deleted: RowKey = "dependencies#e1".parse().expect("a key");
    there.rows.remove(&deleted);
    there.dead.insert(deleted);
    assert_eq!(update("e3,c,a\ne2,x,y\n", &there), ids("e2 e3"), "as it was told");
}

#[test]
fn a_long_chain_that_moves_by_one_is_put_in_order_in_one_go() {
    let names: Vec<String> = (0..LONG + 2).map(|n| format!("t{n}")).collect();
    let edges: Vec<(&str, &str, &str)> =
        names.windows(2).take(LONG).map(|two| (two[0].as_str(), two[0].as_str(), two[1].as_str())).collect();
    let mut there = linked(&edges);
    there.rows.extend(project(&[(&format!("tasks#t{}", LONG + 1), task("last"))]).rows);
    let moved: String = names.windows(3).map(|three| format!("{},{},{}\n", three[0], three[1], three[2])).collect();
    let backwards: Vec<String> = names[..LONG].iter().rev().cloned().collect();
    assert_eq!(update(&moved, &there), Ok(backwards));
}

/// Pairs of tasks, so few that they often collide.
fn any_pairs(most: usize) -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let task = || prop::sample::select(vec!["a", "b", "c", "d"]);
    let pairs = (task(), task()).prop_filter("two tasks", |(from, to)| from != to);
    prop::collection::vec(pairs, 0..=most)
}

fn form(from: &str, to: &str) -> Dependency {
    parse(edge(from, to).as_object().expect("columns")).expect("a dependency")
}

/// Those of these dependencies that the server accepts in this order, from an empty project.
fn accepted<'a>(pairs: &[(&'a str, &'a str)]) -> (Graph, Vec<(String, &'a str, &'a str)>) {
    let (mut graph, mut found) = (Graph::default(), vec![]);
    for (n, (from, to)) in pairs.iter().enumerate() {
        let (name, form) = (format!("e{n}"), form(from, to));
        let id: RowId = name.parse().expect("an id");
        if graph.accept(&id, &form).is_ok() {
            graph.put(id, form);
            found.push((name, *from, *to));
        }
    }
    (graph, found)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_server_accepts_each_dependency_in_the_order_that_was_found(old in any_pairs(6), to_be in any_pairs(8)) {
        let ((graph, old), (_, to_be)) = (accepted(&old), accepted(&to_be));
        let text = |(id, from, to): &(String, &str, &str)| format!("{id},{from},{to}\n");
        let rows: Vec<_> = old.iter().map(|(id, from, to)| (id.as_str(), *from, *to)).collect();
        let mut there = linked(&rows);
        there.rows.extend(project(&["tasks#a", "tasks#b", "tasks#c", "tasks#d"].map(|key| (key, task("T")))).rows);
        let accepts = |order: &[String]| {
            let mut graph = graph.clone();
            order.iter().all(|id| {
                let (_, from, to) = to_be.iter().find(|(name, ..)| name == id).expect("a line");
                let (id, form) = (id.parse::<RowId>().expect("an id"), form(from, to));
                let accepted = graph.accept(&id, &form).is_ok();
                graph.put(id, form);
                accepted
            })
        };
        match update(&to_be.iter().map(text).collect::<String>(), &there) {
            Ok(order) => prop_assert!(accepts(&order), "{order:?}"),
            Err(faults) if faults.iter().any(|fault| fault.contains("use the id")) => {
                let orders = permutations(to_be.iter().map(|(id, ..)| id.clone()).collect());
                prop_assert!(!orders.iter().any(|order| accepts(order)), "{faults:?}");
            }
            // A cycle in the end, or one for which no order was found.
            Err(_) => {}
        }
    }
}

/// All orders of these.
fn permutations(of: Vec<String>) -> Vec<Vec<String>> {
    if of.len() < 2 {
        return vec![of];
    }
    let with_first = |at: usize| {
        let mut rest = of.clone();
        let first = rest.remove(at);
        permutations(rest).into_iter().map(move |mut order| {
            order.insert(0, first.clone());
            order
        })
    };
    (0..of.len()).flat_map(with_first).collect()
}

#[test]
fn a_dependency_that_was_deleted_can_be_imported_again_without_an_id() {
    let mut there = project(&[("tasks#a", task("A")), ("tasks#b", task("B"))]);
    let first = check(&[(EDGES, "predecessor,successor\na,b\n")], &there).1;
    there.dead.insert(first[0].parse().expect("a key"));
    let (faults, second) = check(&[(EDGES, "predecessor,successor\na,b\n")], &there);
    assert_eq!((faults.len(), second.len()), (0, 1));
    assert_ne!(first, second);
}

#[test]
fn plans_that_hurt_are_warned_of() {
    let there = project(&[("tasks#old", json!({"name": "Old", "wbs_path": "9"}))]);
    let tasks = "id,name,wbs_path\na,A,1\nb,B,1.1\nc,C,2\nd,D,2\ne,E,3.1\nf,F,3.2\ng,G,9\nh,H,10\n";
    let checked = checked(&[(TASKS, tasks), (EDGES, "predecessor,successor\nb,a\na,c\nh,a\n")], &there, false);
    let warnings: Vec<String> = checked.findings.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "dependencies.csv:2: column successor: links the summary task a with b, a task within it",
            "tasks.csv:4: column wbs_path: 2 is also that of d",
            "tasks.csv:5: column wbs_path: 2 is also that of c",
            "tasks.csv:6: column wbs_path: no task is 3, the parent of 3.1",
            "tasks.csv:8: column wbs_path: 9 is also that of old",
        ]
    );
    assert_eq!((checked.findings.faults.len(), checked.steps.len()), (0, 11));
}
