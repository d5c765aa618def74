//! A draft by itself.

use super::*;
use crate::domain::{Dependency, DependencyType, Task, UnfinishedDeletion, parse};

fn key(text: &str) -> RowKey {
    text.parse().expect("a key")
}

fn version(number: u64) -> ServerVersion {
    ServerVersion::try_from(number).expect("a version")
}

fn columns(text: &str) -> Columns {
    serde_json::from_str(text).expect("columns")
}

fn put(text: &str) -> Write {
    Write::Put(columns(text))
}

fn edge(successor: &str) -> Dependency {
    Dependency {
        predecessor: "a".parse().expect("an id"),
        successor: successor.parse().expect("an id"),
        dep_type: DependencyType::FS,
        lag: 0,
    }
}

/// Task a at 1, edge e at 2, named task b that is not there.
fn draft() -> Draft {
    let task = Row::written(None, key("tasks#a"), put(r#"{"name": "A"}"#), version(1));
    let columns = r#"{"predecessor": "a", "successor": "z"}"#;
    let dependency = Row::written(None, key("dependencies#e"), put(columns), version(2));
    let checksums = Checksums::of([&task, &dependency].map(|row| (&row.key, row.version)));
    let counter = Counter { checksums, ..Counter::at(version(2)) };
    Draft::new(
        "p".parse().expect("a project"),
        Some(counter),
        [(key("tasks#a"), Some(task)), (key("tasks#b"), None)].into(),
        [Collection::Dependencies].into(),
        vec![dependency],
        10,
    )
}

#[test]
fn versions_follow_the_counter_and_an_edge_dies_before_its_task() {
    let mut draft = draft();
    draft.delete(key("tasks#a"));
    draft.delete(key("dependencies#e"));
    let planned_writes = draft.planned_writes().expect("planned writes");
    let order: Vec<_> =
        planned_writes.iter().map(|p| (p.row.key.to_string(), p.row.version.get(), p.condition)).collect();
    assert_eq!(
        order,
        [("dependencies#e".to_owned(), 3, Some(version(2))), ("tasks#a".to_owned(), 4, Some(version(1)))]
    );
}

#[test]
fn rows_that_were_read_and_not_written_become_conditions() {
    let mut draft = draft();
    draft.delete(key("tasks#a"));
    assert_eq!(draft.other_conditions().collect::<Vec<_>>(), [(&key("tasks#b"), None)]);
}

#[test]
fn a_decision_sees_its_own_writes() {
    let mut draft = draft();
    draft.put("f".parse().expect("an id"), &edge("b")).expect("a row");
    assert_eq!(draft.all::<Dependency>().expect("edges").len(), 2);
    draft.delete(key("dependencies#e"));
    assert_eq!(draft.all::<Dependency>().expect("edges").len(), 1);
    draft.delete(key("dependencies#f"));
    assert!(draft.all::<Dependency>().expect("edges").is_empty());
    assert_eq!(draft.planned_writes().expect("planned writes").len(), 1, "made and deleted at once is no row");
}

#[test]
fn a_dead_or_absent_row_is_not_found() {
    let mut draft = draft();
    assert_eq!(draft.expect_live(&key("tasks#a")).expect("a row")["name"], "A");
    assert!(matches!(draft.expect_live(&key("tasks#b")), Err(Error::NotFound(at)) if at == key("tasks#b")));
    draft.delete(key("tasks#a"));
    assert!(matches!(draft.expect_live(&key("tasks#a")), Err(Error::NotFound(at)) if at == key("tasks#a")));
}

#[test]
fn a_project_is_deleted_with_its_row() {
    let row = Row::written(None, key("projects#p"), put(r#"{"name": "P"}"#), version(2));
    let counter = Counter::at(version(2));
    let named = [(row.key.clone(), Some(row))].into();
    let mut draft = Draft::new("p".parse().expect("a project"), Some(counter), named, HashSet::new(), vec![], 10);
    assert!(!draft.deletes_project());
    assert_eq!(draft.counter().map(|counter| counter.current), Some(version(2)));
    draft.delete_project();
    assert!(draft.deletes_project());
    let planned_writes = draft.planned_writes().expect("planned writes");
    assert!(
        planned_writes.len() == 1
            && planned_writes[0].row.key == key("projects#p")
            && planned_writes[0].row.live().is_none()
    );
}

#[test]
fn rows_beyond_the_named_ones_take_room() {
    let mut draft = draft();
    draft.delete(key("tasks#a"));
    assert_eq!(draft.room(), 10);
    draft.delete(key("dependencies#e"));
    assert_eq!(draft.room(), 9);
}

#[test]
fn a_draft_stands_on_top_of_one_commit_that_touched_nothing_it_looked_at() {
    let counter = |current: u64, last: &[(&str, u64)], deleted_at| Counter {
        write_set: last.iter().map(|(k, v)| (key(k), version(*v))).collect(),
        deleted_at,
        ..Counter::at(version(current))
    };
    assert!(draft().rebase(counter(3, &[("tasks#x", 3)], None)));
    assert!(draft().rebase(counter(4, &[("tasks#x", 3), ("tasks#y", 4)], None)));
    assert!(!draft().rebase(counter(4, &[("tasks#x", 4)], None)), "two commits came between");
    assert!(!draft().rebase(counter(3, &[("tasks#x", 2)], None)), "the counter was moved and not by a commit");
    assert!(!draft().rebase(counter(3, &[("tasks#b", 3)], None)), "a named row");
    assert!(!draft().rebase(counter(3, &[("dependencies#x", 3)], None)), "a listed collection");
    assert!(!draft().rebase(counter(3, &[("tasks#x", 3)], Some(version(3)))), "the project is gone");
    let unfinished = UnfinishedDeletion { task: "z".parse().expect("an id"), promised: None, by: None };
    let begun = Counter { unfinished: Some(unfinished), ..counter(3, &[("dependencies#x", 3)], None) };
    let mut looks_at_no_set = Draft { listed: HashSet::new(), ..draft() };
    assert!(!looks_at_no_set.rebase(begun), "a deletion comes first");
    let mut rebased = draft();
    rebased.delete(key("tasks#a"));
    assert!(rebased.rebase(counter(3, &[("tasks#x", 3)], None)));
    assert_eq!(rebased.planned_writes().expect("planned writes")[0].row.version, version(4));
}

#[test]
fn a_commit_takes_the_old_row_out_of_the_checksums_and_the_new_one_in() {
    let mut draft = draft();
    draft.delete(key("dependencies#e"));
    draft.put("f".parse().expect("an id"), &edge("b")).expect("a row");
    let planned_writes = draft.planned_writes().expect("planned writes");
    let expected = [(&key("tasks#a"), version(1)), (&key("dependencies#f"), version(4))];
    assert_eq!(draft.checksums(&planned_writes), Checksums::of(expected));
    draft.writes.clear();
    draft.read.extend(planned_writes.into_iter().map(|planned| (planned.row.key.clone(), Some(planned.row))));
    let counter = draft.counter.as_mut().expect("a counter");
    (counter.current, counter.checksums) = (version(4), Checksums::of(expected));
    draft.writes.insert(key("dependencies#e"), put(r#"{"predecessor": "a", "successor": "b"}"#));
    let planned_writes = draft.planned_writes().expect("planned writes");
    let revived = planned_writes[0].row.version;
    let expected = expected.into_iter().chain([(&planned_writes[0].row.key, revived)]);
    assert_eq!(draft.checksums(&planned_writes), Checksums::of(expected), "a tombstone was not in them");
}

#[test]
fn the_checksums_of_a_draft_on_top_of_another_commit_count_from_that_one() {
    let mut draft = draft();
    draft.delete(key("tasks#a"));
    let before = draft.counter.clone().expect("a counter");
    let (other, at) = (key("tasks#x"), version(3));
    let mut between = Counter { current: at, write_set: vec![(other.clone(), at)], ..before };
    between.checksums.add(&other, at);
    assert!(draft.rebase(between));
    let expected = [(&key("dependencies#e"), version(2)), (&other, at)];
    assert_eq!(draft.checksums(&draft.planned_writes().expect("planned writes")), Checksums::of(expected));
}

#[test]
fn rows_read_in_order_are_no_conditions_but_no_commit_in_between_may_write_them() {
    let counter = |last: &str| Counter { write_set: vec![(key(last), version(3))], ..Counter::at(version(3)) };
    assert_eq!(draft().read_in_order().other_conditions().count(), 0);
    assert!(draft().read_in_order().rebase(counter("tasks#x")));
    assert!(!draft().read_in_order().rebase(counter("tasks#b")), "a named row");
}

#[test]
fn the_graph_follows_the_drafts_own_writes() {
    let mut draft = draft();
    let at = |draft: &Draft, task: &str| {
        let task = task.parse().expect("an id");
        draft.graph().expect("a graph").edges_at(&task).map(RowId::to_string).collect::<Vec<_>>()
    };
    assert_eq!(at(&draft, "a"), ["e"]);
    draft.put("f".parse().expect("an id"), &edge("b")).expect("a row");
    draft.delete(key("dependencies#e"));
    assert_eq!(
        (at(&draft, "a"), at(&draft, "b"), at(&draft, "z").len()),
        (vec!["f".to_owned()], vec!["f".to_owned()], 0)
    );
}

#[test]
fn a_row_counts_as_large_as_it_was_or_is_to_be_and_one_beyond_400_kb_is_refused() {
    let task = |notes: usize| -> crate::domain::Task {
        let columns = serde_json::json!({"name": "A", "notes": "x".repeat(notes)});
        parse(columns.as_object().expect("columns")).expect("a task")
    };
    let mut draft = draft();
    draft.put("a".parse().expect("an id"), &task(10_000)).expect("a row");
    let large = draft.bytes_written();
    assert!((10_000..12_000).contains(&large), "{large}");
    draft.delete(key("tasks#a"));
    assert!((1..2_000).contains(&draft.bytes_written()), "as it was read: {}", draft.bytes_written());
    // A control character is six bytes of JSON.
    let mut task = task(0);
    task.notes = "\u{1}".repeat(50_000);
    draft.put("a".parse().expect("an id"), &task).expect("300 KB");
    task.name = "\u{1}".repeat(20_000);
    let refused = draft.put("a".parse().expect("an id"), &task);
    assert!(matches!(refused, Err(Error::Invalid(errors)) if errors[0].field == "notes"));
}

#[test]
#[should_panic(expected = "tasks#c was not read")]
fn looking_at_a_row_that_was_not_read_is_a_bug() {
    let _ = draft().live(&key("tasks#c"));
}

#[test]
fn a_row_takes_400_kb_and_no_byte_more() {
    let task = |notes: usize| Task { notes: "x".repeat(notes), ..parse(&columns(r#"{"name": "A"}"#)).expect("a task") };
    let size = |task: &Task| {
        let columns = serde_json::to_value(task).expect("JSON").as_object().expect("an object").clone();
        Row::size(&"p".parse().expect("a project"), &key("tasks#a"), &columns, &UnknownColumns::default())
    };
    let most = MAX_ROW_SIZE - LastWrite::MAX_SIZE - size(&task(0));
    assert!(draft().put("a".parse().expect("an id"), &task(most)).is_ok());
    let refused = draft().put("a".parse().expect("an id"), &task(most + 1));
    assert!(matches!(refused, Err(Error::Invalid(fields)) if fields[0].field == "notes"));
}

#[test]
fn what_is_written_counts_at_its_larger_size() {
    let mut draft = draft();
    assert_eq!((draft.rows_written(), draft.bytes_written()), (0, 0));
    let before = draft.size_as_read(&key("tasks#a"));
    assert!(before > Row::BESIDE_JSON);
    draft.delete(key("tasks#a"));
    assert_eq!((draft.rows_written(), draft.bytes_written()), (1, before));
    draft.delete(key("dependencies#e"));
    assert_eq!(draft.rows_written(), 2);
}

#[test]
fn a_row_is_written_again_as_it_is_dead_or_alive() {
    let rewritten = |key: &RowKey, write: Write| {
        let row = Row::written(None, key.clone(), put(r#"{"name": "A"}"#), version(1));
        let row = Row::written(Some(&row), key.clone(), write, version(2));
        let named = [(key.clone(), Some(row))].into();
        let counter = Some(Counter::at(version(2)));
        let mut draft = Draft::new("p".parse().expect("a project"), counter, named, HashSet::new(), vec![], 10);
        draft.rewrite(key);
        assert!(draft.bytes_written() > 0, "it takes its place in the transaction");
        let planned_writes = draft.planned_writes().expect("planned writes");
        let live: Vec<bool> = planned_writes.iter().map(|planned| planned.row.live().is_some()).collect();
        (live, draft.deletes_project())
    };
    let (task, project) = (key("tasks#a"), key("projects#p"));
    assert_eq!(rewritten(&task, put(r#"{"name": "B"}"#)), (vec![true], false));
    assert_eq!(rewritten(&task, Write::Delete), (vec![false], false));
    assert_eq!(rewritten(&project, put(r#"{"name": "B"}"#)), (vec![true], false));
    assert_eq!(rewritten(&project, Write::Delete), (vec![false], true));
    let mut absent = draft();
    absent.rewrite(&key("tasks#b"));
    assert!(absent.planned_writes().expect("planned writes").is_empty());
}

#[test]
fn a_row_that_was_lost_is_buried_and_a_project_with_it_deleted() {
    let named = [(key("tasks#b"), None), (key("projects#p"), None)].into();
    let counter = Some(Counter::at(version(2)));
    let mut draft = Draft::new("p".parse().expect("a project"), counter, named, HashSet::new(), vec![], 10);
    let lost = |entity: &str| {
        let row = Row::written(None, key(entity), put(r#"{"name": "B"}"#), version(2));
        Row { unknown: UnknownColumns::of(r#"{"colour":"red"}"#, |_| false).expect("columns"), ..row }
    };
    draft.bury(&lost("tasks#b"));
    assert!(!draft.deletes_project());
    draft.bury(&lost("projects#p"));
    assert!(draft.deletes_project());
    assert!(draft.bytes_written() > 2_000, "what is buried counts: {}", draft.bytes_written());
    let planned_writes = draft.planned_writes().expect("planned writes");
    assert_eq!(planned_writes.len(), 2);
    assert!(
        planned_writes.iter().all(|planned| planned.row.live().is_none() && planned.row.columns().contains_key("name"))
    );
    assert!(planned_writes.iter().all(|planned| planned.row.unknown.names().eq(["colour"])));
}

#[test]
fn a_row_counts_with_the_author_that_it_has_or_gets_whichever_is_longer() {
    let by = |name: &str| LastWrite { author: Some(Author::User(name.parse().expect("a user"))), at: 1 };
    let size = |had: Option<&str>, gets: &str| {
        let task = Row::written(None, key("tasks#a"), put(r#"{"name": "A"}"#), version(1));
        let row = Row { last_write: had.map(by), ..task };
        let named = [(row.key.clone(), Some(row))].into();
        let counter = Some(Counter::at(version(2)));
        let mut draft = Draft::new("p".parse().expect("a project"), counter, named, HashSet::new(), vec![], 10);
        draft = draft.signed(by(gets));
        draft.delete(key("tasks#a"));
        draft.bytes_written()
    };
    let short = size(None, "a");
    assert_eq!(size(None, &"a".repeat(101)), short + 100);
    assert_eq!(size(Some(&"a".repeat(101)), "a"), short + 100);
}

#[test]
fn a_new_project_begins_above_the_marks_that_a_restore_took_back() {
    let named = || [(key("projects#p"), None)].into();
    let new = |draft: Draft| {
        let mut draft = draft;
        draft.bury(&Row::written(None, key("projects#p"), Write::Put(columns(r#"{"name": "P"}"#)), version(1)));
        (draft.planned_writes().expect("planned writes")[0].row.version, draft.skips_at_creation())
    };
    let draft = |counter| Draft::new("p".parse().expect("a project"), counter, named(), HashSet::new(), vec![], 10);
    assert_eq!(new(draft(None)), (version(1), None));
    assert_eq!(new(draft(None).starting_above(100)), (version(101), Some((1, 100))));
    assert_eq!(
        new(draft(Some(Counter::at(version(7)))).starting_above(100)),
        (version(8), None),
        "it is there already"
    );
}

/// What a draft writes, what it takes, and the edges at task a.
fn state(draft: &Draft) -> String {
    let (a, graph) = ("a".parse().expect("an id"), draft.graph().expect("a graph"));
    let edges: Vec<_> = graph.edges_at(&a).collect();
    let planned_writes = draft.planned_writes().expect("planned writes");
    format!("{planned_writes:?} {} {} {edges:?}", draft.bytes_written(), draft.deletes_project())
}

type Change<'a> = &'a dyn Fn(&mut Draft, &str);

#[test]
fn a_change_that_is_refused_leaves_the_draft_as_it_was() {
    let task = |name: &str| parse::<Task>(&columns(&format!(r#"{{"name": "{name}"}}"#))).expect("a task");
    let id = |text: &str| text.parse::<RowId>().expect("an id");
    let changes: [Change<'_>; 7] = [
        &|draft, name| draft.put(id("a"), &task(name)).expect("a task"),
        &|draft, name| draft.put(id("b"), &task(name)).expect("a task"),
        &|draft, _| draft.delete(key("tasks#b")),
        &|draft, _| draft.put(id("f"), &edge("b")).expect("an edge"),
        &|draft, _| draft.put(id("e"), &edge("y")).expect("an edge"),
        &|draft, _| assert!(matches!(draft.delete_task(&id("a")), Ok(Step::Last(())))),
        &|draft, _| draft.rewrite(&key("tasks#a")),
    ];
    for before in 0..1 << changes.len() {
        for asks_for_the_graph in [false, true] {
            let changed = || {
                let mut draft = draft();
                let chosen = changes.iter().enumerate().filter(|(index, _)| before >> index & 1 == 1);
                chosen.for_each(|(_, change)| change(&mut draft, "first"));
                draft
            };
            let mut draft = changed();
            if asks_for_the_graph {
                draft.graph().expect("a graph");
            }
            for change in changes.iter().chain(changes.iter().rev()) {
                let refused: Result<(), ()> = draft.or_undo(|draft| {
                    change(draft, "second");
                    changes[3](draft, "second");
                    change(draft, "third");
                    Err(())
                });
                assert!(refused.is_err());
            }
            assert_eq!(state(&draft), state(&changed()));
        }
    }
}

#[test]
fn a_change_that_is_accepted_stays_and_counts_what_it_writes_itself() {
    let task: Task = parse(&columns(r#"{"name": "x"}"#)).expect("a task");
    let mut draft = draft();
    draft.put("b".parse().expect("an id"), &task).expect("a task");
    let before = draft.bytes_written();
    let own = draft.or_undo(|draft| -> Result<_, Error> {
        draft.put("f".parse().expect("an id"), &edge("b"))?;
        draft.delete(key("dependencies#f"));
        draft.delete(key("dependencies#e"));
        Ok(draft.written_by_change())
    });
    assert_eq!(own.expect("accepted"), (1, draft.bytes_written() - before));
    assert_eq!((draft.rows_written(), draft.written_by_change()), (2, (0, 0)));
}
