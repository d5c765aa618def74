//! The graph of tasks and dependencies.

use std::collections::{HashMap, HashSet};

use super::RowId;

/// The tasks on a cycle that the edge `predecessor -> successor` would close, in the order of the edges and beginning
/// with `predecessor`; none when it closes none.
///
/// `edges` are the live (predecessor, successor) pairs without the new one. Linear in the number of edges.
pub fn cycle_through<'a>(
    edges: impl IntoIterator<Item = (&'a RowId, &'a RowId)>,
    predecessor: &'a RowId,
    successor: &'a RowId,
) -> Option<Vec<RowId>> {
    let mut successors: HashMap<&RowId, Vec<&RowId>> = HashMap::new();
    for (from, to) in edges {
        successors.entry(from).or_default().push(to);
    }
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
        for next in successors.get(task).into_iter().flatten() {
            if seen.insert(next) {
                came_from.insert(next, task);
                stack.push(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> RowId {
        text.parse().expect("an id")
    }

    #[test]
    fn an_edge_back_along_a_chain_closes_a_cycle_and_names_its_tasks() {
        let (a, b, c, d) = (id("a"), id("b"), id("c"), id("d"));
        let edges = [(&a, &b), (&b, &c), (&c, &d)];
        assert_eq!(cycle_through(edges, &c, &a), Some(vec![c.clone(), a.clone(), b.clone()]));
        assert_eq!(cycle_through(edges, &a, &d), None);
        assert_eq!(cycle_through(edges, &a, &a), Some(vec![a.clone()]));
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_tasks_does_not_overflow_the_stack() {
        let ids: Vec<RowId> = (0..100_000).map(|n| id(&format!("t{n}"))).collect();
        let edges: Vec<_> = ids.iter().zip(&ids[1..]).collect();
        let cycle = cycle_through(edges, &ids[99_999], &ids[0]).expect("a cycle");
        assert_eq!(cycle.len(), 100_000);
    }
}
