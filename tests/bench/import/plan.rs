//! The plan that is imported.

use serde_json::{Value, json};

const TASKS: usize = 5_000;
const EDGES: usize = 6_000;

pub(crate) fn tasks() -> Vec<Value> {
    let task = |n: usize| {
        json!({
            "id": id(n), "name": format!("Task {n}"), "wbs_path": format!("{}.{}", n / 100 + 1, n % 100 + 1),
            "duration": 8, "notes": "As agreed with the site manager; see the drawing.",
        })
    };
    (0..TASKS).map(task).collect()
}

/// One chain through all tasks and then edges that skip one, from the last task to the first: behind each new edge lies
/// everything that came before it, which is the most that a search for cycles can meet.
pub(crate) fn edges() -> Vec<Value> {
    (0..EDGES).map(edge).collect()
}

/// This many further edges.
pub(crate) fn more_edges(n: usize) -> Vec<Value> {
    (EDGES..EDGES + n).map(edge).collect()
}

fn edge(n: usize) -> Value {
    let length = 1 + n / (TASKS - 2);
    let from = TASKS - 3 - n % (TASKS - 2);
    json!({"id": format!("edge-{n:011}"), "predecessor": id(from), "successor": id(from + length)})
}

fn id(task: usize) -> String {
    format!("0198c8d5-6b1e-7cc0-8f0e-{task:012}")
}
