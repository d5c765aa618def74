//! A commit in the making: what was read, and what is to be written.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Actor, Checksums, Collection, Columns, Counter, Error, ProjectId, Resource, Role, Row, RowId, RowKey,
    ServerVersion, UserId, Write, authorize, parse,
};

/// Whether a decision is done with one commit.
#[derive(Debug)]
pub enum Step<T> {
    /// This commit is the last one, and this is the answer.
    Last(T),
    /// What is drafted is committed, then the decision is made again: it takes more than one transaction.
    More,
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
    named: HashSet<RowKey>,
    listed: HashSet<Collection>,
    writes: BTreeMap<RowKey, Write>,
    deletes_project: bool,
    room: usize,
}

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
        let named = named_rows.keys().cloned().collect();
        let mut read = named_rows;
        // A listing is read after the named rows, so its copy is the newer one.
        read.extend(listed_rows.into_iter().map(|row| (row.key.clone(), Some(row))));
        Self { project, counter, read, named, listed, writes: BTreeMap::new(), deletes_project: false, room }
    }

    /// The project that is written to.
    pub fn project(&self) -> &ProjectId {
        &self.project
    }

    /// The project's counter as it was read; none when there is no such project.
    pub fn counter(&self) -> Option<&Counter> {
        self.counter.as_ref()
    }

    /// The project's version as it was read, 0 when there is no such project.
    pub fn version(&self) -> u64 {
        self.counter.as_ref().map_or(0, |counter| counter.current.get())
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

    /// The columns of a live row, own writes included.
    pub fn live(&self, key: &RowKey) -> Option<&Columns> {
        match self.writes.get(key) {
            Some(Write::Put(columns)) => Some(columns),
            Some(Write::Delete | Write::Bury(_)) => None,
            None => self.row(key).and_then(Row::live),
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

    /// The row shall be there with these columns.
    pub fn put<R: Resource>(&mut self, id: RowId, resource: &R) -> Result<(), Error> {
        let columns = match serde_json::to_value(resource) {
            Ok(serde_json::Value::Object(columns)) => columns,
            other => return Err(Error::Corrupt(format!("a row that is no JSON object: {other:?}"))),
        };
        self.writes.insert(RowKey::new(R::COLLECTION, id), Write::Put(columns));
        Ok(())
    }

    /// The row shall be a tombstone.
    pub fn delete(&mut self, key: RowKey) {
        if self.row(&key).is_some() {
            self.writes.insert(key, Write::Delete);
        } else {
            self.writes.remove(&key);
        }
    }

    /// The project shall be deleted.
    pub fn delete_project(&mut self) {
        self.delete(RowKey::project(&self.project));
        self.deletes_project = true;
    }

    /// The row shall be written again as it is, dead or alive; nothing for a row that is not there.
    pub fn rewrite(&mut self, key: &RowKey) {
        match self.row(key).map(|row| row.live().cloned()) {
            Some(Some(columns)) => drop(self.writes.insert(key.clone(), Write::Put(columns))),
            Some(None) if *key == RowKey::project(&self.project) => self.delete_project(),
            Some(None) => self.delete(key.clone()),
            None => {}
        }
    }

    /// A row that is not there shall be a tombstone whose last content this was.
    pub fn bury(&mut self, key: RowKey, columns: Columns) {
        debug_assert!(self.row(&key).is_none(), "{key} is there");
        self.deletes_project |= key == RowKey::project(&self.project);
        self.writes.insert(key, Write::Bury(columns));
    }

    /// Does this draft delete the project?
    pub fn deletes_project(&self) -> bool {
        self.deletes_project
    }

    /// How many more rows fit into the transaction; a named row always does.
    pub fn room(&self) -> usize {
        let beyond = self.writes.keys().filter(|key| !self.named.contains(*key)).count();
        self.room.saturating_sub(beyond)
    }

    /// The rows that were named and are not written, each with the version that was read: the commit's other conditions.
    pub fn looked_at(&self) -> impl Iterator<Item = (&RowKey, Option<ServerVersion>)> {
        self.named
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
            counter.last.iter().all(|(key, _)| !self.named.contains(key) && !self.listed.contains(&key.collection));
        let stands = one_commit && untouched && counter.deleted_at.is_none();
        if stands {
            self.counter = Some(counter);
        }
        stands
    }

    /// The checksums of the project's live rows once `plan` is committed, by the counter that the draft is on top of.
    pub fn checksums(&self, plan: &[PlannedRow]) -> Checksums {
        let mut checksums = self.counter.as_ref().map(|counter| counter.checksums).unwrap_or_default();
        for PlannedRow { row, .. } in plan {
            if let Some(old) = self.read.get(&row.key).and_then(Option::as_ref).filter(|old| old.live().is_some()) {
                checksums.subtract(&old.key, old.version);
            }
            if row.live().is_some() {
                checksums.add(&row.key, row.version);
            }
        }
        checksums
    }

    /// The rows to write, in the order of their versions, which follow the counter's without a gap: see [`Write::rank`].
    pub fn plan(&self) -> Result<Vec<PlannedRow>, Error> {
        let mut writes: Vec<_> = self.writes.iter().collect();
        writes.sort_by_key(|(key, write)| write.rank(key.collection));
        let current = self.version();
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
        let checksums = Checksums::of([&task, &dependency].map(|row| (&row.key, row.version)));
        let counter = Counter {
            current: version(2),
            last: vec![],
            deleted_at: None,
            skipped: vec![],
            resync_through: None,
            checksums,
        };
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
        let counter = Counter {
            current: version(2),
            last: vec![],
            deleted_at: None,
            skipped: vec![],
            resync_through: None,
            checksums: Checksums::default(),
        };
        let named = [(row.key.clone(), Some(row))].into();
        let mut draft = Draft::new("p".parse().expect("a project"), Some(counter), named, HashSet::new(), vec![], 10);
        assert!(!draft.deletes_project());
        assert_eq!(draft.counter().map(|counter| counter.current), Some(version(2)));
        draft.delete_project();
        assert!(draft.deletes_project());
        let plan = draft.plan().expect("a plan");
        assert!(plan.len() == 1 && plan[0].row.key == key("projects#p") && plan[0].row.live().is_none());
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
            resync_through: None,
            checksums: Checksums::default(),
        };
        assert!(draft().rebase(counter(3, &[("tasks#x", 3)], None)));
        assert!(draft().rebase(counter(4, &[("tasks#x", 3), ("tasks#y", 4)], None)));
        assert!(!draft().rebase(counter(4, &[("tasks#x", 4)], None)), "two commits came between");
        assert!(!draft().rebase(counter(3, &[("tasks#x", 2)], None)), "the counter was moved and not by a commit");
        assert!(!draft().rebase(counter(3, &[("tasks#b", 3)], None)), "a named row");
        assert!(!draft().rebase(counter(3, &[("dependencies#x", 3)], None)), "a listed collection");
        assert!(!draft().rebase(counter(3, &[("tasks#x", 3)], Some(version(3)))), "the project is gone");
        let mut rebased = draft();
        rebased.delete(key("tasks#a"));
        assert!(rebased.rebase(counter(3, &[("tasks#x", 3)], None)));
        assert_eq!(rebased.plan().expect("a plan")[0].row.version, version(4));
    }

    #[test]
    fn a_commit_takes_the_old_row_out_of_the_checksums_and_the_new_one_in() {
        let mut draft = draft();
        draft.delete(key("dependencies#e"));
        draft.put("f".parse().expect("an id"), &edge("b")).expect("a row");
        let plan = draft.plan().expect("a plan");
        let expected = [(&key("tasks#a"), version(1)), (&key("dependencies#f"), version(4))];
        assert_eq!(draft.checksums(&plan), Checksums::of(expected));
        draft.writes.clear();
        draft.read.extend(plan.into_iter().map(|planned| (planned.row.key.clone(), Some(planned.row))));
        let counter = draft.counter.as_mut().expect("a counter");
        (counter.current, counter.checksums) = (version(4), Checksums::of(expected));
        draft.writes.insert(key("dependencies#e"), put(r#"{"predecessor": "a", "successor": "b"}"#));
        let plan = draft.plan().expect("a plan");
        let revived = plan[0].row.version;
        let expected = expected.into_iter().chain([(&plan[0].row.key, revived)]);
        assert_eq!(draft.checksums(&plan), Checksums::of(expected), "a tombstone was not in them");
    }

    #[test]
    fn the_checksums_of_a_draft_on_top_of_another_commit_count_from_that_one() {
        let mut draft = draft();
        draft.delete(key("tasks#a"));
        let before = draft.counter.clone().expect("a counter");
        let (other, at) = (key("tasks#x"), version(3));
        let mut between = Counter { current: at, last: vec![(other.clone(), at)], ..before };
        between.checksums.add(&other, at);
        assert!(draft.rebase(between));
        let expected = [(&key("dependencies#e"), version(2)), (&other, at)];
        assert_eq!(draft.checksums(&draft.plan().expect("a plan")), Checksums::of(expected));
    }

    #[test]
    #[should_panic(expected = "tasks#c was not read")]
    fn looking_at_a_row_that_was_not_read_is_a_bug() {
        let _ = draft().live(&key("tasks#c"));
    }
}
