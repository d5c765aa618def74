//! The rules of dependencies among each other: the plan as it will be, and the order in which it can be written.
//!
//! The server judges each dependency when it comes. So it can refuse a change in a plan that is sound in the end: a dependency cannot
//! link two tasks while another one links them with the same type, even if a later change moves that one away.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use shared::domain::{Collection, Dependency, Error, Graph, RowId, find_cycle, parse};

use super::contents::Contents;
use super::fault::Fault;
use super::line::Line;

/// The order in which the server accepts these dependencies, as indexes of `edges`, or the faults because of which there is none.
///
/// Changed dependencies come before new ones. Behind them a new one collides with nothing, since the plan is sound in the end.
pub(super) fn order(edges: &[(Dependency, &Line)], contents: &Contents) -> Result<Vec<usize>, Vec<Fault>> {
    let there: BTreeMap<&RowId, Dependency> = contents
        .of(Collection::Dependencies)
        .filter_map(|(id, row)| Some((id, parse::<Dependency>(row).ok()?)))
        .collect();
    let faults = faults_in_the_end(edges, &there);
    if !faults.is_empty() {
        return Err(faults);
    }
    let (changed, new): (Vec<usize>, Vec<usize>) =
        (0..edges.len()).partition(|at| there.contains_key(&edges[*at].1.id));
    if changed.is_empty() {
        return Ok(new);
    }
    let mut changed = Changes::new(edges, &changed, there).made_in_turn()?;
    changed.extend(new);
    Ok(changed)
}

/// Faults of dependencies that duplicate another one or create a cycle when all are written.
fn faults_in_the_end(edges: &[(Dependency, &Line)], there: &BTreeMap<&RowId, Dependency>) -> Vec<Fault> {
    let written: BTreeSet<&RowId> = edges.iter().map(|(_, line)| &line.id).collect();
    let kept = || there.iter().filter(|(id, _)| !written.contains(*id));
    let mut faults = Vec::new();
    let ties = |edge: &Dependency| (edge.predecessor.clone(), edge.successor.clone(), format!("{:?}", edge.dep_type));
    // The place of each, and whether it is a line without an id.
    let mut seen: HashMap<_, (String, bool)> =
        kept().map(|(id, edge)| (ties(edge), (format!("{id} in the project"), false))).collect();
    for (edge, line) in edges {
        let here = (format!("line {}", line.number), line.derived);
        // Two lines without ids have the same id, and are a fault already.
        if let Some((first, _)) = seen.insert(ties(edge), here).filter(|(_, derived)| !(line.derived && *derived)) {
            let message = format!("links the same tasks with the same type as {first}");
            faults.push(line.fault(Some("successor"), message));
        }
    }
    let ends = edges.iter().map(|(edge, _)| edge).chain(kept().map(|(_, edge)| edge));
    let Some(tasks) = find_cycle(ends.map(|edge| (&edge.predecessor, &edge.successor)).collect()) else {
        return faults;
    };
    // The project has no cycle of its own, so at least one line is on it.
    let steps: HashSet<_> = tasks.iter().zip(tasks.iter().cycle().skip(1)).collect();
    if let Some((_, line)) = edges.iter().rfind(|(edge, _)| steps.contains(&(&edge.predecessor, &edge.successor))) {
        faults.push(line.fault(Some("successor"), format!("creates a cycle: {}", circle(&tasks))));
    }
    faults
}

fn circle(tasks: &[RowId]) -> String {
    tasks.iter().chain(tasks.first()).map(RowId::as_str).collect::<Vec<_>>().join(" → ")
}

/// Changes of dependencies, made one by one as the server makes them. Changes are named by their indexes.
struct Changes<'a> {
    edges: &'a [(Dependency, &'a Line)],
    /// The dependencies after the changes made so far.
    graph: Graph,
    /// The changes to make, by id, with the dependencies as they are.
    unmade: HashMap<&'a RowId, (usize, Dependency)>,
    /// Whether all dependencies have a cycle, with those that go and those that come. Without one no order closes a cycle.
    has_cycle: bool,
    made: Vec<usize>,
    /// The changes that are refused until another one is made, with that one and the reason.
    refused: BTreeMap<usize, (usize, Error)>,
    /// The same by the change to wait for.
    behind: HashMap<usize, Vec<usize>>,
}

impl<'a> Changes<'a> {
    fn new(edges: &'a [(Dependency, &'a Line)], changed: &[usize], mut there: BTreeMap<&'a RowId, Dependency>) -> Self {
        let all = there.values().chain(edges.iter().map(|(edge, _)| edge));
        let has_cycle = find_cycle(all.map(|edge| (&edge.predecessor, &edge.successor)).collect()).is_some();
        let mut graph = Graph::default();
        there.iter().for_each(|(id, edge)| graph.put((*id).clone(), edge.clone()));
        let unmade = changed.iter().filter_map(|at| {
            let id = &edges[*at].1.id;
            Some((id, (*at, there.remove(id)?)))
        });
        Self {
            edges,
            graph,
            unmade: unmade.collect(),
            has_cycle,
            made: Vec::new(),
            refused: BTreeMap::new(),
            behind: HashMap::new(),
        }
    }

    /// The order in which all can be made, or a fault for each at which no order was found.
    fn made_in_turn(mut self) -> Result<Vec<usize>, Vec<Fault>> {
        let mut next: VecDeque<usize> = self.unmade.values().map(|(at, _)| *at).collect();
        next.make_contiguous().sort_unstable();
        while !next.is_empty() {
            let before = self.made.len();
            self.make_all(next);
            // A change that would have closed several cycles waited for a change in one of them. Another one can have freed it.
            next = self.refused.keys().copied().filter(|_| self.made.len() > before).collect();
            if !next.is_empty() {
                self.refused.clear();
                self.behind.clear();
            }
        }
        if self.refused.is_empty() { Ok(self.made) } else { Err(self.faults()) }
    }

    /// Makes these changes in their order. A change that is refused comes directly behind the one for which it has to wait.
    fn make_all(&mut self, mut next: VecDeque<usize>) {
        while let Some(at) = next.pop_front() {
            let (edge, line) = &self.edges[at];
            if let Some((first, error)) = self.refusal(at) {
                self.refused.insert(at, (first, error));
                self.behind.entry(first).or_default().push(at);
                continue;
            }
            self.graph.put(line.id.clone(), edge.clone());
            self.unmade.remove(&line.id);
            self.made.push(at);
            for freed in self.behind.remove(&at).into_iter().flatten().rev() {
                self.refused.remove(&freed);
                next.push_front(freed);
            }
        }
    }

    /// The reason why a change cannot be made now, and a change that takes a part of the reason away.
    fn refusal(&self, at: usize) -> Option<(usize, Error)> {
        let (edge, line) = &self.edges[at];
        let unmade = |id: &RowId| self.unmade.get(id).filter(|_| *id != line.id);
        if self.unmade.get(&line.id).is_some_and(|(_, before)| before.links_same(edge)) {
            return None;
        }
        let error = match self.has_cycle {
            true => self.graph.accept(&line.id, edge).err()?,
            // A search for a cycle takes a time by the size of the plan.
            false => Error::DuplicateDependency { id: self.graph.duplicate_of(&line.id, edge)?.clone() },
        };
        let first = match &error {
            Error::DuplicateDependency { id } => unmade(id),
            Error::DependencyCycle { tasks } => {
                // Without the first step, which is the change itself.
                let mut steps = tasks.iter().skip(1).zip(tasks.iter().skip(2).chain(tasks.first()));
                steps.find_map(|(from, to)| {
                    let here = |edge: &&(usize, Dependency)| edge.1.predecessor == *from && edge.1.successor == *to;
                    self.graph.edges_at(from).filter_map(unmade).find(here)
                })
            }
            _ => None,
        };
        // What no change takes away would be a fault in the end, too. Then the server has the last word.
        first.map(|(first, _)| (*first, error))
    }

    /// A fault for each refused change, except those that only wait for one with a fault.
    fn faults(&self) -> Vec<Fault> {
        let is_cycle = |error: &Error| matches!(error, Error::DependencyCycle { .. });
        let mut followers = BTreeSet::new();
        let mut of_cycles: Vec<usize> =
            self.refused.iter().filter(|(_, (_, error))| is_cycle(error)).map(|(at, _)| *at).collect();
        while let Some(at) = of_cycles.pop() {
            let behind = self.behind.get(&at).into_iter().flatten();
            of_cycles.extend(behind.filter(|at| !is_cycle(&self.refused[at].1) && followers.insert(**at)));
        }
        let found = self.refused.iter().filter(|(at, _)| !followers.contains(at));
        found.map(|(at, (first, error))| self.fault(self.edges[*at].1, self.edges[*first].1, error)).collect()
    }

    fn fault(&self, line: &Line, first: &Line, error: &Error) -> Fault {
        let (first, number) = (&first.id, first.number);
        let message = match error {
            Error::DependencyCycle { tasks } => format!(
                "creates a cycle until line {number} is written, and no order was found that the server accepts: {}; delete {} in the \
                 project, and give this line another id",
                circle(tasks),
                line.id
            ),
            _ => format!(
                "links the same tasks with the same type as {first} in the project until line {number} is written, which has to wait for \
                 this line; use the id {first} in this line"
            ),
        };
        line.fault(Some("successor"), message)
    }
}
