//! The plan that is imported.

use serde_json::{Value, json};

/// A project plan of so many tasks, and a fifth more dependencies.
pub(crate) struct Plan {
    tasks: usize,
    edges: usize,
}

impl Plan {
    pub(crate) fn new(tasks: usize) -> Self {
        Self { tasks, edges: tasks / 5 * 6 }
    }

    pub(crate) fn tasks(&self) -> Vec<Value> {
        let task = |n: usize| {
            json!({
                "id": id(n), "name": format!("Task {n}"), "wbs_path": format!("{}.{}", n / 100 + 1, n % 100 + 1),
                "duration": 8, "notes": "As agreed with the site manager; see the drawing.",
            })
        };
        (0..self.tasks).map(task).collect()
    }

    /// One chain through all tasks and then edges that skip one, from the last task to the first: behind each new edge lies
    /// everything that came before it, which is the most that a search for cycles can meet.
    pub(crate) fn edges(&self) -> Vec<Value> {
        (0..self.edges).map(|n| self.edge(n)).collect()
    }

    /// This many further edges.
    pub(crate) fn more_edges(&self, n: usize) -> Vec<Value> {
        (self.edges..self.edges + n).map(|n| self.edge(n)).collect()
    }

    fn edge(&self, n: usize) -> Value {
        let length = 1 + n / (self.tasks - 2);
        let from = self.tasks - 3 - n % (self.tasks - 2);
        json!({"id": format!("edge-{n:011}"), "predecessor": id(from), "successor": id(from + length)})
    }
}

fn id(task: usize) -> String {
    format!("0198c8d5-6b1e-7cc0-8f0e-{task:012}")
}
