//! A commit in the making: what was read, and what is to be written.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Actor, Collection, Columns, Counter, Dependency, Error, FieldError, Graph, ProjectId, Resource, Role, Row, RowId,
    RowKey, ServerVersion, State, UserId, Write, authorize, parse,
};

/// Whether a decision is done with one commit.
#[derive(Debug)]
pub enum Step<T> {
    /// This commit is the last one, and this is the answer.
    Last(T),
    /// What is drafted is committed, then the decision is made again: it takes more than one transaction.
    More,
}

/// How a row stands for a decision, the decision's own writes included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing<'a> {
    /// There never was such a row, or only one that the decision itself made and deleted.
    Absent,
    /// With these columns.
    Live(&'a Columns),
    /// Deleted.
    Dead,
}

/// What a decision sees and what it decides: the rows that were read, overlaid with its own writes.
///
/// A decision is a pure function over a draft. It may look only at rows that were named, and list only collections that
/// were listed, before: anything else is a bug and panics.
#[derive(Debug)]
pub struct Draft {
    project: ProjectId,
    counter: Option<Counter>,
    read: HashMap<RowKey, Option<Row>>,
    /// The rows that take a place in the transaction, written or not.
    conditions: HashSet<RowKey>,
    listed: HashSet<Collection>,
    /// The live edges, own writes included, once they were asked for.
    graph: OnceCell<Graph>,
    writes: BTreeMap<RowKey, Write>,
    /// What each row that is written takes on the table, before or after, whichever is more.
    sizes: HashMap<RowKey, usize>,
    deletes_project: bool,
    room: usize,
}

/// The most that one row may take on the table, in bytes: what DynamoDB lets an item have.
const MAX_ROW_SIZE: usize = 400 * 1024;

/// One row's write with its condition: the row as it was read.
#[derive(Debug)]
pub struct PlannedRow {
    /// The version that was read; none when there was no row.
    pub condition: Option<ServerVersion>,
    /// The row to be.
    pub row: Row,
}

impl Draft {
    /// A draft over what was read: the rows that were named, absent ones too, and every row of the collections in
    /// `listed`. Up to `room` rows beyond the named ones fit into the transaction.
    pub fn new(
        project: ProjectId,
        counter: Option<Counter>,
        named_rows: HashMap<RowKey, Option<Row>>,
        listed: HashSet<Collection>,
        listed_rows: Vec<Row>,
        room: usize,
    ) -> Self {
        let conditions = named_rows.keys().cloned().collect();
        let mut read = named_rows;
        // A listing is read after the named rows, so its copy is the newer one.
        read.extend(listed_rows.into_iter().map(|row| (row.key.clone(), Some(row))));
        let (graph, writes, sizes) = Default::default();
        Self { project, counter, read, conditions, listed, graph, writes, sizes, deletes_project: false, room }
    }

    /// … where the named rows, like the listed ones, were read after the counter with the latest commit in place. Then the
    /// counter's condition stands for theirs, and they take no place in the transaction unless they are written.
    #[must_use]
    pub fn read_in_order(mut self) -> Self {
        self.conditions.clear();
        self
    }

    /// The project that is written to.
    pub fn project(&self) -> &ProjectId {
        &self.project
    }

    /// The project's counter as it was read; none when there is no such project.
    pub fn counter(&self) -> Option<&Counter> {
        self.counter.as_ref()
    }

    /// Lets a member in, see [`authorize`].
    pub fn authorize(&self, user: &UserId, needed: Role) -> Result<Actor, Error> {
        let key = RowKey::membership(&self.project, user);
        authorize(self.counter(), self.row(&key), user, needed)
    }

    /// The row as it was read, own writes aside.
    ///
    /// # Panics
    ///
    /// When the row was neither named nor listed.
    pub fn row(&self, key: &RowKey) -> Option<&Row> {
        let row = self.read.get(key);
        assert!(row.is_some() || self.listed.contains(&key.collection), "{key} was not read");
        row.and_then(Option::as_ref)
    }

    /// The row as it stands, own writes included.
    pub fn standing(&self, key: &RowKey) -> Standing<'_> {
        match (self.writes.get(key), self.row(key).map(|row| &row.state)) {
            (Some(Write::Put(columns)), _) | (None, Some(State::Live(columns))) => Standing::Live(columns),
            (Some(Write::Delete), _) | (None, Some(State::Dead(_))) => Standing::Dead,
            (None, None) => Standing::Absent,
        }
    }

    /// The columns of a live row, own writes included.
    pub fn live(&self, key: &RowKey) -> Option<&Columns> {
        match self.standing(key) {
            Standing::Live(columns) => Some(columns),
            Standing::Absent | Standing::Dead => None,
        }
    }

    /// The columns of a live row, or `NotFound`.
    pub fn expect_live(&self, key: &RowKey) -> Result<&Columns, Error> {
        self.live(key).ok_or_else(|| Error::NotFound(key.clone()))
    }

    /// Every live row of a listed collection, own writes included, in the order of the ids.
    pub fn all<R: Resource>(&self) -> Result<Vec<(RowId, R)>, Error> {
        assert!(self.listed.contains(&R::COLLECTION), "{} was not listed", R::COLLECTION.name());
        let mut keys: Vec<_> = self.read.keys().chain(self.writes.keys()).collect();
        keys.retain(|key| key.collection == R::COLLECTION);
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().filter_map(|key| self.live(key).map(|columns| Ok((key.id.clone(), parse(columns)?)))).collect()
    }

    /// The live dependencies, which must have been listed, own writes included.
    pub fn graph(&self) -> Result<&Graph, Error> {
        if let Some(graph) = self.graph.get() {
            return Ok(graph);
        }
        let mut graph = Graph::default();
        for (id, edge) in self.all::<Dependency>()? {
            graph.put(id, edge);
        }
        Ok(self.graph.get_or_init(|| graph))
    }

    /// The row shall be there with these columns; `Invalid` when that takes more than 400 KB.
    pub fn put<R: Resource>(&mut self, id: RowId, resource: &R) -> Result<(), Error> {
        let columns = match serde_json::to_value(resource) {
            Ok(serde_json::Value::Object(columns)) => columns,
            other => return Err(Error::Corrupt(format!("a row that is no JSON object: {other:?}"))),
        };
        let key = RowKey::new(R::COLLECTION, id);
        let size = Row::size(&self.project, &key, &columns);
        if size > MAX_ROW_SIZE {
            return Err(too_large(&columns, size));
        }
        if let Some(graph) = self.graph.get_mut().filter(|_| R::COLLECTION == Collection::Dependencies) {
            graph.put(key.id.clone(), parse(&columns)?);
        }
        self.sizes.insert(key.clone(), size.max(self.size_as_read(&key)));
        self.writes.insert(key, Write::Put(columns));
        Ok(())
    }

    /// The row shall be a tombstone; or shall not be, if it was made by this draft.
    pub fn delete(&mut self, key: RowKey) {
        if let Some(graph) = self.graph.get_mut().filter(|_| key.collection == Collection::Dependencies) {
            graph.remove(&key.id);
        }
        if self.row(&key).is_some() {
            self.sizes.insert(key.clone(), self.size_as_read(&key));
            self.writes.insert(key, Write::Delete);
        } else {
            self.sizes.remove(&key);
            self.writes.remove(&key);
        }
    }

    fn size_as_read(&self, key: &RowKey) -> usize {
        self.row(key).map_or(0, |row| Row::size(&self.project, key, row.columns()))
    }

    /// The project shall be deleted.
    pub fn delete_project(&mut self) {
        self.delete(RowKey::project(&self.project));
        self.deletes_project = true;
    }

    /// Does this draft delete the project?
    pub fn deletes_project(&self) -> bool {
        self.deletes_project
    }

    /// How many more rows fit into the transaction; one that takes a place in it anyway always does.
    pub fn room(&self) -> usize {
        let beyond = self.writes.keys().filter(|key| !self.conditions.contains(*key)).count();
        self.room.saturating_sub(beyond)
    }

    /// How many rows are written.
    pub fn rows_written(&self) -> usize {
        self.writes.len()
    }

    /// What they take on the table, in bytes, and never less: each as it was or as it shall be, whichever is more.
    pub fn bytes_written(&self) -> usize {
        self.sizes.values().sum()
    }

    /// The rows that were named and are not written, each with the version that was read: the commit's other conditions.
    pub fn looked_at(&self) -> impl Iterator<Item = (&RowKey, Option<ServerVersion>)> {
        self.conditions
            .iter()
            .filter(|key| !self.writes.contains_key(*key))
            .map(|key| (key, self.row(key).map(|row| row.version)))
    }

    /// Puts the draft on top of a commit that came between; false when it has to be made again.
    ///
    /// It stands when exactly one commit came between and that one wrote no row that the decision looked at, nor one in a
    /// collection that it listed. That commit's rows (`last`) must then be conditions of this one.
    pub fn rebase(&mut self, counter: Counter) -> bool {
        let Some(read) = &self.counter else { return false };
        let came_between = read.current.get() + 1..=counter.current.get();
        let one_commit = counter.last.iter().all(|(_, version)| came_between.contains(&version.get()))
            && counter.last.len() as u64 == counter.current.get().saturating_sub(read.current.get());
        let untouched =
            counter.last.iter().all(|(key, _)| !self.read.contains_key(key) && !self.listed.contains(&key.collection));
        let stands = one_commit && untouched && counter.deleted_at.is_none();
        if stands {
            self.counter = Some(counter);
        }
        stands
    }

    /// Takes over rows that were committed.
    pub fn apply(&mut self, rows: Vec<Row>) {
        self.writes.clear();
        self.read.extend(rows.into_iter().map(|row| (row.key.clone(), Some(row))));
    }

    /// The rows as they were read or applied.
    pub fn into_rows(self) -> HashMap<RowKey, Row> {
        self.read.into_iter().filter_map(|(key, row)| Some((key, row?))).collect()
    }

    /// The rows to write, in the order of their versions, which follow the counter's without a gap.
    ///
    /// The order lets no reference dangle at any version: an edge's tombstone comes before its task's, a task before the
    /// edges that name it, a calendar before the project that uses it.
    pub fn plan(&self) -> Result<Vec<PlannedRow>, Error> {
        let mut writes: Vec<_> = self.writes.iter().collect();
        writes.sort_by_key(|(key, write)| match (write, key.collection) {
            (Write::Delete, Collection::Dependencies) => 0,
            (Write::Put(_), Collection::Calendars) => 1,
            (Write::Put(_), Collection::Projects) => 2,
            (Write::Put(_), Collection::Memberships) => 3,
            (Write::Put(_), Collection::Tasks) => 4,
            (Write::Put(_), Collection::Dependencies) => 5,
            (Write::Delete, _) => 6,
        });
        let current = self.counter.as_ref().map_or(0, |counter| counter.current.get());
        let mut planned = Vec::with_capacity(writes.len());
        for (number, (key, write)) in (current + 1..).zip(writes) {
            let version = ServerVersion::try_from(number)
                .map_err(|_| Error::Corrupt("the project's versions are used up".to_owned()))?;
            let old = self.read.get(key).and_then(Option::as_ref);
            planned.push(PlannedRow {
                condition: old.map(|row| row.version),
                row: Row::written(old, key.clone(), write.clone(), version),
            });
        }
        Ok(planned)
    }
}

/// Names the column that takes the most.
fn too_large(columns: &Columns, size: usize) -> Error {
    let longest = columns.iter().max_by_key(|(_, value)| value.to_string().len());
    let field = longest.map(|(name, _)| name.clone()).unwrap_or_default();
    let message = format!("must be shorter: the row would take {size} bytes, and may take {MAX_ROW_SIZE}");
    Error::Invalid(vec![FieldError { field, message }])
}

#[cfg(test)]
mod tests {
    use super::super::{Dependency, DependencyType};
    use super::*;

    fn key(text: &str) -> RowKey {
        text.parse().expect("a key")
    }

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    fn put(text: &str) -> Write {
        Write::Put(serde_json::from_str(text).expect("columns"))
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
        let counter = Counter { current: version(2), last: vec![], deleted_at: None, skipped: vec![] };
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
        let plan = draft.plan().expect("a plan");
        let order: Vec<_> = plan.iter().map(|p| (p.row.key.to_string(), p.row.version.get(), p.condition)).collect();
        assert_eq!(
            order,
            [("dependencies#e".to_owned(), 3, Some(version(2))), ("tasks#a".to_owned(), 4, Some(version(1)))]
        );
    }

    #[test]
    fn what_was_looked_at_and_not_written_becomes_a_condition() {
        let mut draft = draft();
        draft.delete(key("tasks#a"));
        assert_eq!(draft.looked_at().collect::<Vec<_>>(), [(&key("tasks#b"), None)]);
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
        assert_eq!(draft.plan().expect("a plan").len(), 1, "made and deleted at once is no row");
    }

    #[test]
    fn what_was_read_in_order_is_no_condition_and_still_not_to_be_touched_by_a_commit_that_came_between() {
        let counter = |last: &str| Counter {
            current: version(3),
            last: vec![(key(last), version(3))],
            deleted_at: None,
            skipped: vec![],
        };
        assert_eq!(draft().read_in_order().looked_at().count(), 0);
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
        let task = |notes: usize| -> super::super::Task {
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
            current: version(current),
            last: last.iter().map(|(k, v)| (key(k), version(*v))).collect(),
            deleted_at,
            skipped: vec![],
        };
        assert!(draft().rebase(counter(3, &[("tasks#x", 3)], None)));
        assert!(draft().rebase(counter(4, &[("tasks#x", 3), ("tasks#y", 4)], None)));
        assert!(!draft().rebase(counter(4, &[("tasks#x", 4)], None)), "two commits came between");
        assert!(!draft().rebase(counter(3, &[("tasks#b", 3)], None)), "a named row");
        assert!(!draft().rebase(counter(3, &[("dependencies#x", 3)], None)), "a listed collection");
        assert!(!draft().rebase(counter(3, &[("tasks#x", 3)], Some(version(3)))), "the project is gone");
        let mut rebased = draft();
        rebased.delete(key("tasks#a"));
        assert!(rebased.rebase(counter(3, &[("tasks#x", 3)], None)));
        assert_eq!(rebased.plan().expect("a plan")[0].row.version, version(4));
    }

    #[test]
    #[should_panic(expected = "tasks#c was not read")]
    fn looking_at_a_row_that_was_not_read_is_a_bug() {
        let _ = draft().live(&key("tasks#c"));
    }
}
