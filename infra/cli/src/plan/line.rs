//! The rows of a plan's files, with their file and line.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use shared::domain::{Collection, Columns, RowId, RowKey};
use uuid::Uuid;

use super::contents::Contents;
use super::fault::Fault;

/// A row of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) collection: Collection,
    pub(super) file: Arc<str>,
    pub(super) number: u64,
    pub(super) id: RowId,
    /// Whether the file has no id, so that the id was derived from the tasks and the type.
    pub(super) derived: bool,
    /// The values of the cells. Cells with faults are left out.
    pub(super) fields: Columns,
    /// Values for a row that is created, but not for one that exists.
    pub(super) initial: Columns,
    /// Whether no cell has a fault.
    pub(super) sound: bool,
}

impl Line {
    pub(super) fn fault(&self, column: Option<&str>, message: impl Into<String>) -> Fault {
        let (file, column) = (self.file.to_string(), column.map(str::to_owned));
        Fault { file, line: Some(self.number), column, message: message.into() }
    }

    pub(super) fn key(&self) -> RowKey {
        RowKey::new(self.collection, self.id.clone())
    }

    pub(super) fn text(&self, column: &str) -> Option<&str> {
        self.fields.get(column)?.as_str()
    }

    /// A line without an id of its own is the row of the project that links the same tasks with the same type. If the derived id was
    /// deleted, the line gets the next one.
    pub(super) fn found_in(mut self, contents: &Contents, edges: &HashMap<String, RowId>) -> Self {
        if !self.derived {
            return self;
        }
        if let Some(id) = edges.get(&ties(&self.fields)) {
            self.id = id.clone();
        }
        let mut n = 2;
        while contents.dead.contains(&self.key()) {
            let Ok(id) = id_of(&format!("{} {n}", ties(&self.fields))).parse() else { return self };
            self.id = id;
            n += 1;
        }
        self
    }
}

/// The dependencies of a project by what they link, without those that a line names by id: such a line may change what they link.
pub(super) fn by_ties(contents: &Contents, lines: &[Line]) -> HashMap<String, RowId> {
    let of_dependency = |line: &&Line| line.collection == Collection::Dependencies && !line.derived;
    let named: HashSet<&RowId> = lines.iter().filter(of_dependency).map(|line| &line.id).collect();
    let rows = contents.of(Collection::Dependencies).filter(|(id, _)| !named.contains(id));
    rows.map(|(id, row)| (ties(row), id.clone())).collect()
}

/// The namespace of derived ids. Any fixed value would do, but it must never change, because a repeated import finds its rows by
/// these ids.
const EDGES: Uuid = Uuid::from_u128(0x61d0_5a1c_0b7e_4c39_9d82_7f54_e3a6_18bd);

/// The id of a dependency that has none in the file. It is the same for the same tasks and type. A project has only one such
/// dependency.
pub(super) fn id_of_edge(fields: &Columns) -> String {
    id_of(&ties(fields))
}

fn id_of(ties: &str) -> String {
    Uuid::new_v5(&EDGES, ties.as_bytes()).to_string()
}

fn ties(fields: &Columns) -> String {
    let text = |column: &str, default: &'static str| {
        fields.get(column).and_then(|value| value.as_str()).unwrap_or(default).to_owned()
    };
    [text("predecessor", ""), text("successor", ""), text("dep_type", "FS")].join(" ")
}

/// The rows by their ids. A second row with the same id is a fault.
pub(super) fn by_id<'a>(
    lines: impl IntoIterator<Item = &'a Line>,
    faults: &mut Vec<Fault>,
) -> HashMap<(Collection, &'a RowId), &'a Line> {
    let mut found: HashMap<_, &Line> = HashMap::new();
    for line in lines {
        match found.get(&(line.collection, &line.id)) {
            Some(first) if line.derived => {
                let message = format!("links the same tasks with the same type as line {}", first.number);
                faults.push(line.fault(Some("successor"), message));
            }
            Some(first) => {
                let message = format!("{} is already the id of line {}", line.id, first.number);
                faults.push(line.fault(Some("id"), message));
            }
            None => {
                found.insert((line.collection, &line.id), line);
            }
        }
    }
    found
}
