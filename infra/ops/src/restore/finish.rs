//! Finds the rows of a restored project that contradict one another, and drafts their repair.

use std::collections::{BTreeMap, HashMap};

use shared::domain::{
    Collection, Columns, Counter, Dependency, Draft, Error, Membership, Project, ProjectId, Resource, Row, RowId,
    RowKey, Understood, cycle_through, find_cycle, understand,
};

/// A row that must be written so that the rows agree with one another again.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fix {
    /// The counter says that the project is deleted, but its tombstone was not written.
    DeleteProject,
    /// A dependency that must not exist.
    DeleteEdge(RowId),
    /// The project names a calendar that does not exist. Beside the project are the values that this code would refuse and that
    /// stay.
    WithoutCalendar(Project, Columns),
    /// A membership that was ended after the backup.
    EndMembership(RowId, Membership),
    /// A membership whose role was lowered after the backup, or that of the owner whom a project must have.
    SetMembership(RowId, Membership),
}

impl Fix {
    /// The row to write.
    pub(super) fn key(&self, project: &ProjectId) -> RowKey {
        match self {
            Self::DeleteProject | Self::WithoutCalendar(..) => RowKey::project(project),
            Self::DeleteEdge(id) => RowKey::new(Collection::Dependencies, id.clone()),
            Self::EndMembership(id, _) | Self::SetMembership(id, _) => RowKey::new(Collection::Memberships, id.clone()),
        }
    }

    /// The membership that the fix is about, with its new or last content, and whether it is to be live. None for a fix of half a
    /// commit.
    pub(super) fn membership(&self) -> Option<(&Membership, bool)> {
        match self {
            Self::EndMembership(_, membership) => Some((membership, false)),
            Self::SetMembership(_, membership) => Some((membership, true)),
            _ => None,
        }
    }

    /// Drafts the fix.
    pub(super) fn draft(&self, draft: &mut Draft) -> Result<(), Error> {
        let project = draft.project().clone();
        match self {
            Self::DeleteProject => draft.delete_project(),
            Self::DeleteEdge(_) | Self::EndMembership(..) => draft.delete(self.key(&project)),
            Self::WithoutCalendar(own, kept) => draft.put_keeping(project.row_id(), own, kept)?,
            Self::SetMembership(id, membership) => draft.put(id.clone(), membership)?,
        }
        Ok(())
    }
}

/// The fixes for the commit that the backup cut in two.
///
/// A deletion is completed. A dependency on a task that is dead or was not restored is deleted. Of two dependencies with the same
/// ends and type the older one is deleted, because a commit that replaced one by the other was cut. Of a cycle the newest
/// dependency is deleted, because there was no cycle before the commit that was cut.
pub(super) fn unfinished(
    project: &ProjectId,
    counter: &Counter,
    rows: &BTreeMap<RowKey, Row>,
) -> Result<Vec<Fix>, Error> {
    let mut fixes = Vec::new();
    let own = rows.get(&RowKey::project(project)).and_then(Row::live);
    if let Some(columns) = own {
        if counter.deleted_at.is_some() {
            fixes.push(Fix::DeleteProject);
        } else {
            let Understood { resource: own, refused } = understand::<Project>(columns)?;
            let calendar = own.calendar.as_ref().map(|id| RowKey::new(Collection::Calendars, id.clone()));
            if calendar.is_some_and(|calendar| !is_live(rows, &calendar)) {
                fixes.push(Fix::WithoutCalendar(Project { calendar: None, ..own }, refused));
            }
        }
    }
    fixes.extend(edges_to_delete(rows)?.into_iter().map(Fix::DeleteEdge));
    Ok(fixes)
}

fn is_live(rows: &BTreeMap<RowKey, Row>, key: &RowKey) -> bool {
    rows.get(key).is_some_and(|row| row.live().is_some())
}

fn edges_to_delete(rows: &BTreeMap<RowKey, Row>) -> Result<Vec<RowId>, Error> {
    let mut delete = Vec::new();
    // The newest dependency for each pair of ends and type.
    let mut edges: HashMap<_, (&Row, Dependency)> = HashMap::new();
    let mut live: Vec<&Row> = rows.values().filter(|row| row.key.collection == Dependency::COLLECTION).collect();
    live.retain(|row| row.live().is_some());
    live.sort_unstable_by_key(|row| row.version);
    for row in live {
        let edge = understand::<Dependency>(row.columns())?;
        let is_of_known_type = !edge.refused.contains_key("dep_type");
        let edge = edge.resource;
        let ends = [&edge.predecessor, &edge.successor];
        if !ends.into_iter().all(|task| is_live(rows, &RowKey::new(Collection::Tasks, task.clone()))) {
            delete.push(row.key.id.clone());
            continue;
        }
        // Edges of a type that this code does not know are not duplicates.
        let unlike = (!is_of_known_type).then_some(&row.key.id);
        let same = (edge.predecessor.clone(), edge.successor.clone(), format!("{:?}", edge.dep_type), unlike);
        if let Some((older, _)) = edges.insert(same, (row, edge)) {
            delete.push(older.key.id.clone());
        }
    }
    let mut edges: Vec<_> = edges.into_values().collect();
    edges.sort_unstable_by_key(|(row, _)| row.version);
    // The edges are added in the order in which they were written. So an edge that closes a cycle with the older ones is its
    // newest.
    let mut kept: Vec<(&RowId, &RowId)> = Vec::with_capacity(edges.len());
    let has_cycle = find_cycle(edges.iter().map(|(_, edge)| (&edge.predecessor, &edge.successor)).collect()).is_some();
    for (row, edge) in &edges {
        if has_cycle && cycle_through(kept.iter().copied(), &edge.predecessor, &edge.successor).is_some() {
            delete.push(row.key.id.clone());
        } else {
            kept.push((&edge.predecessor, &edge.successor));
        }
    }
    delete.sort_unstable();
    Ok(delete)
}
