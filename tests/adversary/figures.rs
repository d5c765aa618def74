//! The counts of a run.

use std::collections::BTreeMap;
use std::fmt;

use crate::table::Cost;

/// Counts by kind, over one run or many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) seeds: u64,
    /// The number of REST requests, and of the operations in batches.
    pub(crate) operations: BTreeMap<String, u64>,
    /// The number of repetitions that got the first answer again.
    pub(crate) replayed: u64,
    /// The number of changes that were merged with concurrent ones.
    pub(crate) merged: u64,
    /// The number of sync requests by outcome.
    pub(crate) pulls: BTreeMap<String, u64>,
    /// The calls and reads of these requests.
    pub(crate) costs: BTreeMap<String, Cost>,
    /// The number of requests whose caller was killed.
    pub(crate) killed: u64,
    /// The number of versions given to rows.
    pub(crate) versions: u64,
    /// The number of calls to the table by kind.
    pub(crate) calls: BTreeMap<String, u64>,
    pub(crate) injected: BTreeMap<String, u64>,
    /// The number of runs of each kind of seed.
    pub(crate) scenarios: BTreeMap<String, u64>,
}

fn count(counts: &mut BTreeMap<String, u64>, kind: &str) {
    match counts.get_mut(kind) {
        Some(count) => *count += 1,
        None => {
            counts.insert(kind.to_owned(), 1);
        }
    }
}

impl Figures {
    pub(crate) fn inject(&mut self, kind: &str) {
        count(&mut self.injected, kind);
    }

    pub(crate) fn operation(&mut self, outcome: &str) {
        count(&mut self.operations, outcome);
    }

    pub(crate) fn pull(&mut self, outcome: &str, cost: Cost) {
        count(&mut self.pulls, outcome);
        *self.costs.entry(outcome.to_owned()).or_default() += cost;
    }

    pub(crate) fn call(&mut self, kind: &str) {
        count(&mut self.calls, kind);
    }

    pub(crate) fn scenario(&mut self, name: &str) {
        count(&mut self.scenarios, name);
    }

    pub(crate) fn total_operations(&self) -> u64 {
        self.operations.values().sum()
    }

    /// A text that says how often each outcome was reached, among the pulls that read rows.
    pub(crate) fn ways(&self) -> String {
        let ways = ["kept", "first_read", "asked_again", "caught_up", "busy", "strong", "503 not_proven"];
        let taken = |way: &str| self.pulls.get(way).copied().unwrap_or(0);
        let all: u64 = ways.iter().map(|way| taken(way)).sum();
        let share = |way: &&str| format!("{way} {:.1} %", 100.0 * taken(way) as f64 / all.max(1) as f64);
        ways.iter().filter(|way| taken(way) > 0).map(share).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.killed += other.killed;
        self.replayed += other.replayed;
        self.merged += other.merged;
        self.versions += other.versions;
        let all = [
            (&mut self.operations, &other.operations),
            (&mut self.pulls, &other.pulls),
            (&mut self.calls, &other.calls),
            (&mut self.injected, &other.injected),
            (&mut self.scenarios, &other.scenarios),
        ];
        for (sums, counts) in all {
            for (kind, count) in counts {
                *sums.entry(kind.clone()).or_default() += count;
            }
        }
        for (kind, cost) in &other.costs {
            *self.costs.entry(kind.clone()).or_default() += *cost;
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = [
            ("operations", &self.operations),
            ("pulls", &self.pulls),
            ("calls to the table", &self.calls),
            ("injected", &self.injected),
            ("scenarios", &self.scenarios),
        ];
        writeln!(f, "{:<44}{:>12}", "seeds", self.seeds)?;
        writeln!(f, "{:<44}{:>12}", "versions given to rows", self.versions)?;
        writeln!(f, "{:<44}{:>12}", "callers killed in mid-request", self.killed)?;
        writeln!(f, "{:<44}{:>12}", "answers replayed", self.replayed)?;
        writeln!(f, "{:<44}{:>12}", "changes merged with others", self.merged)?;
        for (name, counts) in groups {
            writeln!(f, "{name:<44}{:>12}", counts.values().sum::<u64>())?;
            for (kind, count) in counts {
                writeln!(f, "    {kind:<40}{count:>12}")?;
            }
        }
        Ok(())
    }
}
