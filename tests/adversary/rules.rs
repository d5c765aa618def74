//! Judges the rules between rows on the true state. No order of commits may break them.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::Content;

type Live = BTreeMap<String, Content>;

/// Checks the rules for a single write. `live` is the state before it.
pub(crate) fn at_version(
    live: &Live,
    row: &str,
    before: Option<&Content>,
    after: Option<&Content>,
) -> Result<(), String> {
    let (collection, id) = row.split_once('#').ok_or("no row")?;
    match (collection, after) {
        ("dependencies", Some(edge)) => {
            let end = |name: &str| edge[name].as_str().unwrap_or_default();
            match ["predecessor", "successor"].iter().find(|name| !live.contains_key(&format!("tasks#{}", end(name)))) {
                Some(name) => Err(format!("a live edge whose {name} is not there")),
                None => Ok(()),
            }
        }
        ("tasks", None) => {
            let names = |edge: &Content| edge["predecessor"] == id || edge["successor"] == id;
            match of(live, "dependencies").find(|(_, edge)| names(edge)) {
                Some((edge, _)) => Err(format!("a dead task with the live edge {edge}")),
                None => Ok(()),
            }
        }
        ("tasks", Some(task)) => {
            let assignee = &task["assignee"];
            if assignee.is_null() || before.is_some_and(|before| before["assignee"] == *assignee) {
                return Ok(());
            }
            let is_member = of(live, "memberships").any(|(_, membership)| membership["user"] == *assignee);
            if is_member { Ok(()) } else { Err(format!("assigned to {assignee}, who is no member")) }
        }
        ("calendars", None) => {
            let in_use = of(live, "projects").any(|(_, project)| project["calendar"] == id);
            if in_use { Err("a dead calendar in use".to_owned()) } else { Ok(()) }
        }
        ("projects", Some(project)) => match project["calendar"].as_str() {
            Some(calendar) if !live.contains_key(&format!("calendars#{calendar}")) => {
                Err(format!("uses the calendar {calendar}, which is not there"))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Checks the rules that hold between commits.
pub(crate) fn after_commit(live: &Live) -> Result<(), String> {
    let owned = of(live, "memberships").any(|(_, membership)| membership["role"] == 400);
    if owned { Ok(()) } else { Err("a project without an owner".to_owned()) }
}

fn of<'a>(live: &'a Live, collection: &'a str) -> impl Iterator<Item = (&'a str, &'a Content)> {
    let rows = live.range(format!("{collection}#")..).map(|(row, content)| (row.as_str(), content));
    rows.take_while(move |(row, _)| row.split_once('#').is_some_and(|(own, _)| own == collection))
}

/// Checks the rules for a written edge that is still live when its commit is done.
pub(crate) fn accept_edge(live: &Live, row: &str) -> Result<(), String> {
    let Some(edge) = live.get(row).filter(|_| row.starts_with("dependencies#")) else { return Ok(()) };
    let end = |name: &str| edge[name].as_str().unwrap_or_default();
    let mut successors: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (other, content) in of(live, "dependencies").filter(|(other, _)| *other != row) {
        if ["predecessor", "successor", "dep_type"].iter().all(|name| content[*name] == edge[*name]) {
            return Err(format!("the same edge as {other}"));
        }
        let of = |name: &str| content[name].as_str().unwrap_or_default();
        successors.entry(of("predecessor")).or_default().push(of("successor"));
    }
    let mut met = BTreeSet::new();
    let mut next = vec![end("successor")];
    while let Some(task) = next.pop() {
        if task == end("predecessor") {
            return Err("closes a cycle".to_owned());
        }
        if met.insert(task) {
            next.extend(successors.get(task).into_iter().flatten());
        }
    }
    Ok(())
}
