//! The graph of tasks and dependencies.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::iter;

use super::{Dependency, Error, RowId};

/// The live dependencies of a project, indexed by their tasks.
///
/// A decision keeps one graph and updates it with each write. So a hundred new edges do not each search all the others.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    edges: HashMap<RowId, Dependency>,
    /// Edges of a type that only a newer version of this code knows. They duplicate no edge of another type.
    of_unknown_type: HashSet<RowId>,
    /// The edges of each task, whether it is predecessor or successor.
    at: HashMap<RowId, BTreeSet<RowId>>,
}

impl Graph {
    /// Adds an edge, or replaces the one with this id.
    pub fn put(&mut self, id: RowId, edge: Dependency) {
        self.remove(&id);
        for task in [&edge.predecessor, &edge.successor] {
            self.at.entry(task.clone()).or_default().insert(id.clone());
        }
        self.edges.insert(id, edge);
    }

    /// Adds or replaces an edge of a type that this code does not know.
    pub fn put_of_unknown_type(&mut self, id: RowId, edge: Dependency) {
        self.put(id.clone(), edge);
        self.of_unknown_type.insert(id);
    }

    /// Removes an edge, if there is one with this id.
    pub fn remove(&mut self, id: &RowId) {
        let Some(edge) = self.edges.remove(id) else { return };
        self.of_unknown_type.remove(id);
        for task in [&edge.predecessor, &edge.successor] {
            if let Some(edges) = self.at.get_mut(task) {
                edges.remove(id);
            }
        }
    }

    /// The edges that name a task, in the order of their ids.
    pub fn edges_at(&self, task: &RowId) -> impl Iterator<Item = &RowId> {
        self.at.get(task).into_iter().flatten()
    }

    /// Another edge than `id` with the same tasks and type. This code must know the type.
    pub fn duplicate_of(&self, id: &RowId, edge: &Dependency) -> Option<&RowId> {
        self.edges_at(&edge.predecessor)
            .find(|other| *other != id && !self.of_unknown_type.contains(*other) && self.edges[*other].links_same(edge))
    }

    /// Fails if the edge `id` would duplicate another edge or create a cycle in this form. Its form in the graph is ignored.
    pub fn accept(&self, id: &RowId, edge: &Dependency) -> Result<(), Error> {
        if let Some(other) = self.duplicate_of(id, edge) {
            return Err(Error::DuplicateDependency { id: other.clone() });
        }
        match self.cycle_through(id, &edge.predecessor, &edge.successor) {
            Some(tasks) => Err(Error::DependencyCycle { tasks }),
            None => Ok(()),
        }
    }

    /// The tasks of a cycle that an edge between these tasks would create, in the order of the edges, beginning with its
    /// predecessor. None if it creates no cycle. The existing edge `id` is ignored.
    ///
    /// The time is linear in the number of edges after the successor.
    pub fn cycle_through<'a>(
        &'a self,
        id: &'a RowId,
        predecessor: &'a RowId,
        successor: &'a RowId,
    ) -> Option<Vec<RowId>> {
        let behind = |task: &'a RowId| {
            let edges = self.edges_at(task).filter(|edge| *edge != id).map(|edge| &self.edges[edge]);
            edges.filter(move |edge| edge.predecessor == *task).map(|edge| &edge.successor)
        };
        cycle(behind, predecessor, successor)
    }
}

/// [`Graph::cycle_through`] for a single query. `edges` are (predecessor, successor) pairs without the new edge.
pub fn cycle_through<'a>(
    edges: impl IntoIterator<Item = (&'a RowId, &'a RowId)>,
    predecessor: &'a RowId,
    successor: &'a RowId,
) -> Option<Vec<RowId>> {
    let mut successors: HashMap<&RowId, Vec<&RowId>> = HashMap::new();
    for (from, to) in edges {
        successors.entry(from).or_default().push(to);
    }
    cycle(|task| successors.get(task).into_iter().flatten().copied(), predecessor, successor)
}

/// `behind` returns the successors of a task.
fn cycle<'a, Successors: Iterator<Item = &'a RowId>>(
    behind: impl Fn(&'a RowId) -> Successors,
    predecessor: &'a RowId,
    successor: &'a RowId,
) -> Option<Vec<RowId>> {
    // Depth first from the successor; `came_from` is the way back once the predecessor is met.
    let mut came_from: HashMap<&RowId, &RowId> = HashMap::new();
    let mut seen = HashSet::from([successor]);
    let mut stack = vec![successor];
    while let Some(task) = stack.pop() {
        if task == predecessor {
            let mut cycle = vec![predecessor.clone()];
            let mut at = predecessor;
            while at != successor {
                at = came_from[at];
                cycle.push(at.clone());
            }
            cycle[1..].reverse();
            return Some(cycle);
        }
        for next in behind(task) {
            if seen.insert(next) {
                came_from.insert(next, task);
                stack.push(next);
            }
        }
    }
    None
}

/// The tasks of one cycle, if there is any.
///
/// Tasks without predecessors are in no cycle. They are removed with their edges until no such task is left. It takes time in
/// proportion to the number of edges.
pub fn find_cycle(mut edges: Vec<(&RowId, &RowId)>) -> Option<Vec<RowId>> {
    let mut waits_for: HashMap<&RowId, usize> = HashMap::new();
    let mut successors: HashMap<&RowId, Vec<&RowId>> = HashMap::new();
    for (predecessor, successor) in &edges {
        *waits_for.entry(successor).or_default() += 1;
        waits_for.entry(predecessor).or_default();
        successors.entry(predecessor).or_default().push(successor);
    }
    let mut free: Vec<&RowId> = waits_for.iter().filter(|(_, n)| **n == 0).map(|(task, _)| *task).collect();
    let mut gone: HashSet<&RowId> = HashSet::new();
    while let Some(task) = free.pop() {
        gone.insert(task);
        for successor in successors.get(task).into_iter().flatten() {
            if let Some(left) = waits_for.get_mut(successor) {
                *left -= 1;
                if *left == 0 {
                    free.push(successor);
                }
            }
        }
    }
    edges.retain(|(predecessor, _)| !gone.contains(predecessor));
    // Each task that is left has a predecessor that is left. So the way back from any of them ends in a cycle.
    let before: HashMap<&RowId, &RowId> =
        edges.iter().map(|(predecessor, successor)| (*successor, *predecessor)).collect();
    let mut seen = HashSet::new();
    let mut at = edges.first()?.0;
    while seen.insert(at) {
        at = before[at];
    }
    let mut cycle: Vec<&RowId> =
        iter::successors(Some(at), |task| Some(before[*task]).filter(|task| *task != at)).collect();
    cycle.reverse();
    // It begins with the first of the edges that is on it.
    let steps: HashSet<_> = cycle.iter().copied().zip(cycle.iter().copied().cycle().skip(1)).collect();
    let first = edges.iter().find(|edge| steps.contains(*edge))?.0;
    let place = cycle.iter().position(|task| *task == first)?;
    cycle.rotate_left(place);
    Some(cycle.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> RowId {
        text.parse().expect("an id")
    }

    fn edge(predecessor: &str, successor: &str) -> Dependency {
        Dependency {
            predecessor: id(predecessor),
            successor: id(successor),
            dep_type: crate::domain::DependencyType::FS,
            lag: 0,
        }
    }

    #[test]
    fn a_graph_knows_the_edges_at_a_task_whatever_became_of_them() {
        let mut graph = Graph::default();
        graph.put(id("e1"), edge("a", "b"));
        graph.put(id("e2"), edge("b", "c"));
        graph.put(id("e3"), edge("c", "d"));
        let at = |graph: &Graph, task| graph.edges_at(&id(task)).map(RowId::to_string).collect::<Vec<_>>();
        assert_eq!(at(&graph, "b"), ["e1", "e2"]);
        graph.put(id("e1"), edge("a", "c"));
        graph.remove(&id("e3"));
        assert_eq!(
            (at(&graph, "b"), at(&graph, "c"), at(&graph, "d").len()),
            (vec!["e2".to_owned()], vec!["e1".to_owned(), "e2".to_owned()], 0)
        );
    }

    #[test]
    fn an_edge_is_neither_its_own_duplicate_nor_on_a_cycle_with_itself() {
        let mut graph = Graph::default();
        graph.put(id("e1"), edge("a", "b"));
        graph.put(id("e2"), edge("b", "c"));
        assert_eq!(graph.duplicate_of(&id("new"), &edge("a", "b")), Some(&id("e1")));
        assert_eq!(graph.duplicate_of(&id("e1"), &edge("a", "b")), None);
        assert_eq!(graph.duplicate_of(&id("new"), &edge("b", "a")), None);
        assert_eq!(graph.cycle_through(&id("new"), &id("c"), &id("a")), Some(vec![id("c"), id("a"), id("b")]));
        assert_eq!(graph.cycle_through(&id("e1"), &id("c"), &id("a")), None);
        assert_eq!(graph.cycle_through(&id("e1"), &id("b"), &id("a")), None);
    }

    #[test]
    fn an_edge_back_along_a_chain_closes_a_cycle_and_names_its_tasks() {
        let (a, b, c, d) = (id("a"), id("b"), id("c"), id("d"));
        let edges = [(&a, &b), (&b, &c), (&c, &d)];
        assert_eq!(cycle_through(edges, &c, &a), Some(vec![c.clone(), a.clone(), b.clone()]));
        assert_eq!(cycle_through(edges, &a, &d), None);
        assert_eq!(cycle_through(edges, &a, &a), Some(vec![a.clone()]));
    }

    /// With a search for each edge this would take hours.
    #[test]
    fn a_cycle_at_the_start_of_a_hundred_thousand_tasks_is_found() {
        let ids: Vec<RowId> = (0..100_000).map(|n| id(&format!("t{n}"))).collect();
        let mut edges: Vec<_> = ids.iter().zip(&ids[1..]).rev().collect();
        assert_eq!(find_cycle(edges.clone()), None);
        edges.push((&ids[1], &ids[0]));
        assert_eq!(find_cycle(edges), Some(vec![ids[0].clone(), ids[1].clone()]));
    }

    proptest! {
        #[test]
        fn a_cycle_is_found_exactly_if_an_edge_is_on_one(pairs in prop::collection::vec((0..8_u8, 0..8_u8), 0..16)) {
            let ids: Vec<RowId> = (0..8).map(|n| id(&format!("t{n}"))).collect();
            let edges: Vec<_> = pairs.iter().map(|(a, b)| (&ids[usize::from(*a)], &ids[usize::from(*b)])).collect();
            let expected = edges.iter().any(|(a, b)| cycle_through(edges.iter().copied(), a, b).is_some());
            let found = find_cycle(edges.clone());
            prop_assert_eq!(found.is_some(), expected);
            for (place, task) in found.iter().flatten().enumerate() {
                let cycle = found.as_ref().expect("a cycle");
                prop_assert!(edges.contains(&(task, &cycle[(place + 1) % cycle.len()])), "{:?}", cycle);
            }
        }
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_tasks_does_not_overflow_the_stack() {
        let ids: Vec<RowId> = (0..100_000).map(|n| id(&format!("t{n}"))).collect();
        let edges: Vec<_> = ids.iter().zip(&ids[1..]).collect();
        let cycle = cycle_through(edges, &ids[99_999], &ids[0]).expect("a cycle");
        assert_eq!(cycle.len(), 100_000);
    }
}
