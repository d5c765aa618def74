//! A commit in the making: what was read, and what is to be written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::OnceLock;

use super::{
    Actor, ArchivedVersions, Author, Checksums, Collection, CollectionName, Columns, Counter, Dependency, Error,
    FieldError, Graph, LastWrite, ProjectId, Resource, Role, Row, RowId, RowKey, ServerVersion, State, Understood,
    UnknownColumns, UserId, VersionHistory, Write, authorize, fields, understand,
};

/// Whether a decision is done with one commit.
#[derive(Debug)]
pub enum Step<T> {
    /// This commit is the last one, and this is the answer.
    Last(T),
    /// This commit is the first of several. The others delete what is left of this task, by [`Draft::delete_task`] and
    /// without another decision. This is the answer once they are made.
    More {
        /// The task that is being deleted.
        task: RowId,
        /// The answer.
        decided: T,
    },
}

impl<T> Step<T> {
    /// The same step with another answer.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Self::Last(decided) => Step::Last(map(decided)),
            Self::More { task, decided } => Step::More { task, decided: map(decided) },
        }
    }
}

/// The state of a row for a decision, with the decision's own writes applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RowState<'a> {
    /// There never was such a row, or the decision itself created and deleted it.
    Absent,
    /// The row is live, with these columns.
    Live(&'a Columns),
    /// The row is deleted.
    Dead,
}

/// What a decision sees and what it decides: the rows that were read, overlaid with its own writes.
///
/// A decision is a pure function over a draft. It may look only at rows that were named, and list only collections that
/// were listed, before: anything else is a bug and panics.
///
/// ```
/// use shared::domain::{Counter, Dependency, DependencyType, Draft, RowKey, RowState, ServerVersion};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key: RowKey = "dependencies#e".parse()?;
/// let counter = Counter::at(ServerVersion::try_from(41)?);
/// // The row was read and is not there.
/// let mut draft = Draft::new("p".parse()?, Some(counter), [(key.clone(), None)].into(), [].into(), vec![], 99);
/// assert_eq!(draft.row_state(&key), RowState::Absent);
/// let (predecessor, successor) = ("dig".parse()?, "build".parse()?);
/// draft.put(key.id.clone(), &Dependency { predecessor, successor, dep_type: DependencyType::FS, lag: 0 })?;
/// assert!(matches!(draft.row_state(&key), RowState::Live(_)));
///
/// let writes = draft.planned_writes()?;
/// assert_eq!(writes[0].row.version.get(), 42);
/// assert_eq!(writes[0].condition, None, "it is still not there when it is written");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Draft {
    project: ProjectId,
    counter: Option<Counter>,
    read: HashMap<RowKey, Option<Row>>,
    /// The rows that take a place in the transaction, written or not.
    conditions: HashSet<RowKey>,
    listed: HashSet<Collection>,
    /// The live edges, own writes included, once they were asked for.
    graph: OnceLock<Graph>,
    writes: BTreeMap<RowKey, Write>,
    /// The size of each written row on the table, before or after the write, whichever is larger.
    sizes: HashMap<RowKey, usize>,
    /// The state to which [`Draft::or_undo`] would return.
    undo: Option<Undo>,
    deletes_project: bool,
    room: usize,
    /// The author and the time that the written rows get.
    last_write: Option<LastWrite>,
    /// The versions of a project that does not exist yet begin above this one.
    starts_above: u64,
    max_history_bytes: usize,
}

/// The state of a draft before a change that may be undone.
#[derive(Debug, Default)]
struct Undo {
    /// For each row that the change has drafted: its write before the change and its size, if it had one.
    rows: HashMap<RowKey, Option<(Write, usize)>>,
    deletes_project: bool,
}

/// The largest size of one row on the table, in bytes. It is DynamoDB's limit for an item.
const MAX_ROW_SIZE: usize = 400 * 1024;

/// One row's write with its condition: the row as it was read.
#[derive(Debug)]
pub struct PlannedWrite {
    /// The version that was read. None if there was no row.
    pub condition: Option<ServerVersion>,
    /// The row as it will be.
    pub row: Row,
    /// The versions that the row names now and will not name after the write. Archive them before the row is written.
    pub dropped: Option<ArchivedVersions>,
}

impl Draft {
    /// Makes a draft from what was read: the named rows, absent ones too, and every row of the collections in `listed`. Up to
    /// `room` rows beyond the named ones fit into the transaction.
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
        let (graph, writes, sizes, undo) = Default::default();
        let (deletes_project, starts_above, max_history_bytes) = (false, 0, VersionHistory::MAX_BYTES);
        Self {
            project,
            counter,
            read,
            conditions,
            listed,
            graph,
            writes,
            sizes,
            undo,
            deletes_project,
            room,
            starts_above,
            max_history_bytes,
            last_write: None,
        }
    }

    /// The same draft. If the project does not exist yet, its versions begin above this one. Devices may hold marks up to it, of a
    /// project with this id that a restore did not bring back.
    #[must_use]
    pub fn starting_above(mut self, version: u64) -> Self {
        self.starts_above = version;
        self
    }

    /// The same draft. A row's version history has at most this many bytes instead of [`VersionHistory::MAX_BYTES`].
    #[must_use]
    pub fn with_max_history_bytes(mut self, max_history_bytes: usize) -> Self {
        self.max_history_bytes = max_history_bytes;
        self
    }

    /// The same draft. It says that the named rows, like the listed ones, were read after the counter, when the latest commit was
    /// in place. Then the counter's condition covers them, and they take no place in the transaction unless they are written.
    #[must_use]
    pub fn read_in_order(mut self) -> Self {
        self.conditions.clear();
        self
    }

    /// The same draft. Its rows say who wrote them, and when.
    #[must_use]
    pub fn signed(self, last_write: LastWrite) -> Self {
        Self { last_write: Some(last_write), ..self }
    }

    /// The user who commits, if it is a user.
    pub fn user(&self) -> Option<&UserId> {
        match self.last_write.as_ref()?.author.as_ref()? {
            Author::User(user) => Some(user),
            Author::Operator(_) => None,
        }
    }

    /// The project that the commit changes.
    pub fn project(&self) -> &ProjectId {
        &self.project
    }

    /// The project's counter as it was read. None if there is no such project.
    pub fn counter(&self) -> Option<&Counter> {
        self.counter.as_ref()
    }

    /// The project's version as it was read. If there is no such project, the version above which its versions begin.
    pub fn version(&self) -> u64 {
        self.counter.as_ref().map_or(self.starts_above, |counter| counter.current.get())
    }

    /// The versions that a new project skips, as first and last one. None if it skips none, or exists already.
    pub fn skips_at_creation(&self) -> Option<(u64, u64)> {
        (self.counter.is_none() && self.starts_above > 0).then_some((1, self.starts_above))
    }

    /// Checks the user's membership and role, see [`authorize`].
    pub fn authorize(&self, user: &UserId, needed: Role) -> Result<Actor, Error> {
        let key = RowKey::membership(&self.project, user);
        authorize(self.counter(), self.row(&key), user, needed)
    }

    /// The row as it was read, without the draft's own writes.
    ///
    /// # Panics
    ///
    /// Panics if the row was neither named nor listed.
    pub fn row(&self, key: &RowKey) -> Option<&Row> {
        let row = self.read.get(key);
        assert!(row.is_some() || self.lists(key.collection), "{key} was not read");
        row.and_then(Option::as_ref)
    }

    fn lists(&self, collection: CollectionName) -> bool {
        collection.known().is_some_and(|collection| self.listed.contains(&collection))
    }

    /// The state of the row, with the draft's own writes applied.
    pub fn row_state(&self, key: &RowKey) -> RowState<'_> {
        match (self.writes.get(key), self.row(key).map(|row| &row.state)) {
            (Some(Write::Put(columns)), _) | (None, Some(State::Live(columns))) => RowState::Live(columns),
            (Some(Write::Delete | Write::Bury(..)), _) | (None, Some(State::Dead(_))) => RowState::Dead,
            (None, None) => RowState::Absent,
        }
    }

    /// The columns of a live row, with the draft's own writes applied.
    pub fn live(&self, key: &RowKey) -> Option<&Columns> {
        match self.row_state(key) {
            RowState::Live(columns) => Some(columns),
            RowState::Absent | RowState::Dead => None,
        }
    }

    /// The columns of a live row, or `NotFound`.
    pub fn expect_live(&self, key: &RowKey) -> Result<&Columns, Error> {
        self.live(key).ok_or_else(|| Error::NotFound(key.clone()))
    }

    /// Every live row of a listed collection, with the draft's own writes applied, in the order of the ids.
    pub fn all<R: Resource>(&self) -> Result<Vec<(RowId, Understood<R>)>, Error> {
        assert!(self.listed.contains(&R::COLLECTION), "{} was not listed", R::COLLECTION.name());
        let mut keys: Vec<_> = self.read.keys().chain(self.writes.keys()).collect();
        keys.retain(|key| key.collection == R::COLLECTION);
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .filter_map(|key| self.live(key).map(|columns| Ok((key.id.clone(), understand(columns)?))))
            .collect()
    }

    /// The live dependencies, with the draft's own writes applied. The collection must have been listed.
    pub fn graph(&self) -> Result<&Graph, Error> {
        if let Some(graph) = self.graph.get() {
            return Ok(graph);
        }
        let mut graph = Graph::default();
        for (id, edge) in self.all::<Dependency>()? {
            put_edge(&mut graph, id, edge);
        }
        Ok(self.graph.get_or_init(|| graph))
    }

    /// Drafts the row with these columns. Fails with `Invalid` if the row would take more than 400 KB.
    pub fn put<R: Resource>(&mut self, id: RowId, resource: &R) -> Result<(), Error> {
        self.put_keeping(id, resource, &Columns::new())
    }

    /// Drafts the row with these columns, except that the columns in `kept` keep the values given there, see
    /// [`Patched`](super::Patched).
    pub fn put_keeping<R: Resource>(&mut self, id: RowId, resource: &R, kept: &Columns) -> Result<(), Error> {
        let columns = fields::merge(&fields::columns_of(resource)?, kept);
        let key = RowKey::new(R::COLLECTION, id);
        let none = UnknownColumns::default();
        let unknown = self.row(&key).filter(|row| row.live().is_some()).map_or(&none, |row| &row.unknown);
        let size = Row::size(&self.project, &key, &columns, unknown);
        // The author of the next write, such as a deletion, may have the longest id.
        if size + LastWrite::MAX_SIZE > MAX_ROW_SIZE {
            return Err(too_large(&columns, size + LastWrite::MAX_SIZE));
        }
        let size = size + self.last_write.as_ref().map_or(0, LastWrite::size);
        if let Some(graph) = self.graph.get_mut().filter(|_| R::COLLECTION == Collection::Dependencies) {
            put_edge(graph, key.id.clone(), understand(&columns)?);
        }
        let size = size.max(self.size_as_read(&key));
        self.set(key, Some((Write::Put(columns), size)));
        Ok(())
    }

    /// Drafts the row as a tombstone. A row that this draft created is not written at all.
    pub fn delete(&mut self, key: RowKey) {
        if let Some(graph) = self.graph.get_mut().filter(|_| key.collection == Collection::Dependencies) {
            graph.remove(&key.id);
        }
        let tombstone = self.row(&key).is_some().then(|| (Write::Delete, self.size_as_read(&key)));
        self.set(key, tombstone);
    }

    /// Makes a change, all of it or nothing. If the change is refused, the draft is as it was before.
    pub fn or_undo<T, E>(&mut self, change: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        self.undo = Some(Undo { rows: HashMap::new(), deletes_project: self.deletes_project });
        let result = change(self);
        let undo = self.undo.take().unwrap_or_default();
        if result.is_err() {
            self.deletes_project = undo.deletes_project;
            for (key, before) in undo.rows {
                self.set(key.clone(), before);
                self.restore_edge(&key);
            }
        }
        result
    }

    /// How many rows the change inside [`Draft::or_undo`] has written so far, and their bytes. A commit of its own would take as
    /// much.
    pub fn written_by_change(&self) -> (usize, usize) {
        let rows = self.undo.iter().flat_map(|undo| undo.rows.keys());
        rows.filter_map(|key| self.sizes.get(key)).fold((0, 0), |(rows, bytes), size| (rows + 1, bytes + size))
    }

    /// Drafts this write of the row with the size that the row will have, or no write.
    fn set(&mut self, key: RowKey, write: Option<(Write, usize)>) {
        let (write, size) = write.unzip();
        let write_before = match write {
            Some(write) => self.writes.insert(key.clone(), write),
            None => self.writes.remove(&key),
        };
        let size_before = match size {
            Some(size) => self.sizes.insert(key.clone(), size),
            None => self.sizes.remove(&key),
        };
        if let Some(undo) = &mut self.undo {
            undo.rows.entry(key).or_insert_with(|| write_before.zip(size_before));
        }
    }

    /// Updates an edge in the graph to what the draft has.
    fn restore_edge(&mut self, key: &RowKey) {
        if key.collection != Collection::Dependencies {
            return;
        }
        let Some(mut graph) = self.graph.take() else { return };
        match self.live(key).map(understand) {
            Some(Ok(edge)) => put_edge(&mut graph, key.id.clone(), edge),
            // The next caller of `graph` builds it anew, and gets the error.
            Some(Err(_)) => return,
            None => graph.remove(&key.id),
        }
        self.graph = OnceLock::from(graph);
    }

    /// Drafts the task as a tombstone, together with every live dependency that names it. Dependencies go first. Those
    /// that do not fit into this commit stay for the next commits, and so does the task. So at no version does a live
    /// dependency name a dead task.
    pub fn delete_task(&mut self, id: &RowId) -> Result<Step<()>, Error> {
        let edges: Vec<RowId> = self.graph()?.edges_at(id).cloned().collect();
        let room = self.room();
        let fits = edges.len() <= room;
        for edge in edges.into_iter().take(room) {
            self.delete(RowKey::new(Collection::Dependencies, edge));
        }
        if !fits {
            return Ok(Step::More { task: id.clone(), decided: () });
        }
        self.delete(RowKey::new(Collection::Tasks, id.clone()));
        Ok(Step::Last(()))
    }

    fn size_as_read(&self, key: &RowKey) -> usize {
        let signature = |row: &Row| row.last_write.as_ref().map_or(0, LastWrite::size);
        let signs = self.last_write.as_ref().map_or(0, LastWrite::size);
        self.row(key).map_or(0, |row| row.stored_size(&self.project) + signs.saturating_sub(signature(row)))
    }

    /// Drafts the deletion of the project.
    pub fn delete_project(&mut self) {
        self.delete(RowKey::project(&self.project));
        self.deletes_project = true;
    }

    /// Drafts the row again unchanged, dead or alive. Does nothing if there is no such row.
    pub fn rewrite(&mut self, key: &RowKey) {
        match self.row(key).map(|row| row.live().cloned()) {
            Some(Some(columns)) => {
                let size = self.size_as_read(key);
                self.set(key.clone(), Some((Write::Put(columns), size)));
            }
            Some(None) if *key == RowKey::project(&self.project) => self.delete_project(),
            Some(None) => self.delete(key.clone()),
            None => {}
        }
    }

    /// Drafts a row that is not live as a tombstone with the content of `last`, see [`Write::Bury`].
    pub fn bury(&mut self, last: &Row) {
        let key = last.key.clone();
        debug_assert!(self.row(&key).and_then(Row::live).is_none(), "{key} is live");
        self.deletes_project |= key == RowKey::project(&self.project);
        let tombstone = Write::Bury(last.columns().clone(), last.unknown.clone());
        self.set(key, Some((tombstone, last.stored_size(&self.project))));
    }

    /// Whether this draft deletes the project.
    pub fn deletes_project(&self) -> bool {
        self.deletes_project
    }

    /// How many more rows fit into the transaction. A row that has a place in it anyway always fits.
    pub fn room(&self) -> usize {
        let beyond = self.writes.keys().filter(|key| !self.conditions.contains(*key)).count();
        self.room.saturating_sub(beyond)
    }

    /// How many rows the draft writes.
    pub fn rows_written(&self) -> usize {
        self.writes.len()
    }

    /// An upper bound of the bytes that these rows take on the table. Each row counts as it was or as it will be,
    /// whichever is larger.
    pub fn bytes_written(&self) -> usize {
        self.sizes.values().sum()
    }

    /// How many live rows of a collection the project has, before this draft and after it.
    pub fn live_rows(&self, collection: Collection) -> (u32, u32) {
        let before = self.counter.as_ref().map_or(0, |counter| counter.checksums.get(collection)[0]);
        let mut after = before;
        for (key, write) in self.writes.iter().filter(|(key, _)| key.collection == collection) {
            let was_live = self.read.get(key).and_then(Option::as_ref).is_some_and(|row| row.live().is_some());
            match (was_live, matches!(write, Write::Put(_))) {
                (false, true) => after = after.saturating_add(1),
                (true, false) => after = after.saturating_sub(1),
                _ => {}
            }
        }
        (before, after)
    }

    /// The named rows that are not written, each with the version that was read. They are the commit's other
    /// conditions.
    pub fn other_conditions(&self) -> impl Iterator<Item = (&RowKey, Option<ServerVersion>)> {
        self.conditions
            .iter()
            .filter(|key| !self.writes.contains_key(*key))
            .map(|key| (key, self.row(key).map(|row| row.version)))
    }

    /// Whether this is the counter of the next commit after the one that was read.
    pub fn is_followed_by(&self, counter: &Counter) -> bool {
        let Some(read) = &self.counter else { return false };
        let came_between = read.current.get() + 1..=counter.current.get();
        counter.write_set.iter().all(|(_, version)| came_between.contains(&version.get()))
            && counter.write_set.len() as u64 == counter.current.get().saturating_sub(read.current.get())
    }

    /// Moves the draft on top of a commit that came between. Returns false if the decision must be made again.
    ///
    /// The decision stands if exactly one commit came between, and that commit wrote no row that the decision read and
    /// no row of a collection that it listed. The commit must not have left a deletion unfinished either, because that
    /// deletion comes first. The rows of that commit (`last`) must then be conditions of this one.
    pub fn rebase(&mut self, counter: Counter) -> bool {
        let one_commit = self.is_followed_by(&counter);
        let untouched =
            counter.write_set.iter().all(|(key, _)| !self.read.contains_key(key) && !self.lists(key.collection));
        let stands = one_commit && untouched && counter.deleted_at.is_none() && counter.unfinished.is_none();
        if stands {
            self.counter = Some(counter);
        }
        stands
    }

    /// The checksums of the project's live rows after the planned writes, computed from those of the draft's counter.
    pub fn checksums(&self, planned_writes: &[PlannedWrite]) -> Checksums {
        let mut checksums = self.counter.as_ref().map(|counter| counter.checksums.clone()).unwrap_or_default();
        for PlannedWrite { row, .. } in planned_writes {
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
    pub fn planned_writes(&self) -> Result<Vec<PlannedWrite>, Error> {
        let mut writes: Vec<_> = self.writes.iter().collect();
        writes.sort_by_key(|(key, write)| write.rank(key.collection));
        let current = self.version();
        let mut planned = Vec::with_capacity(writes.len());
        for (number, (key, write)) in (current + 1..).zip(writes) {
            let version = ServerVersion::to_give(number)
                .map_err(|_| Error::Corrupt("the project's versions are used up".to_owned()))?;
            let old = self.read.get(key).and_then(Option::as_ref);
            let written = Row::written_within(old, key.clone(), write.clone(), version, self.max_history_bytes);
            let row = Row { last_write: self.last_write.clone(), ..written };
            let dropped = old.and_then(|old| ArchivedVersions::dropped(old, &row));
            planned.push(PlannedWrite { condition: old.map(|row| row.version), row, dropped });
        }
        Ok(planned)
    }
}

fn put_edge(graph: &mut Graph, id: RowId, edge: Understood<Dependency>) {
    if edge.refused.contains_key("dep_type") {
        graph.put_of_unknown_type(id, edge.resource);
    } else {
        graph.put(id, edge.resource);
    }
}

/// The error names the column that takes the most.
fn too_large(columns: &Columns, size: usize) -> Error {
    let longest = columns.iter().max_by_key(|(_, value)| value.to_string().len());
    let field = longest.map(|(name, _)| name.clone()).unwrap_or_default();
    let message = format!("must be shorter: the row would have {size} bytes, the maximum is {MAX_ROW_SIZE}");
    Error::Invalid(vec![FieldError { field, message }])
}

#[cfg(test)]
mod tests;
