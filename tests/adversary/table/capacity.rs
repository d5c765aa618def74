//! The read units that DynamoDB would charge.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_smithy_types::base64;
use serde_json::Value;

use super::expression::Item;

/// The calls and read units of one instance of a function since the meter was last read.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    calls: AtomicU64,
    /// An eventually consistent read of 4 KB is half a unit.
    half_units: AtomicU64,
}

/// The counts of a meter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) calls: u64,
    pub(crate) half_units: u64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.half_units += other.half_units;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consistency {
    Strong,
    Eventual,
}

impl Meter {
    pub(super) fn call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an item that was read by its key, or a whole query. Every started 4 KB count. A read without a result counts as 4
    /// KB.
    pub(super) fn read(&self, bytes: usize, consistency: Consistency) {
        let of_4_kb = bytes.div_ceil(4_096).max(1) as u64;
        let half_units = match consistency {
            Consistency::Strong => 2 * of_4_kb,
            Consistency::Eventual => of_4_kb,
        };
        self.half_units.fetch_add(half_units, Ordering::Relaxed);
    }

    /// The counts so far. The meter begins anew.
    pub(crate) fn take(&self) -> Cost {
        Cost { calls: self.calls.swap(0, Ordering::Relaxed), half_units: self.half_units.swap(0, Ordering::Relaxed) }
    }
}

/// The size of an item as DynamoDB counts it: the names and values. Projections and filters do not make it smaller.
pub(super) fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &Value) -> usize {
    let (kind, value) = value.as_object().and_then(|value| value.iter().next()).expect("an attribute value");
    let text = || value.as_str().expect("a text");
    match kind.as_str() {
        "S" => text().len(),
        "N" => text().trim_start_matches('-').len().div_ceil(2) + 1,
        "B" => base64::decode(text()).expect("base64").len(),
        "BOOL" | "NULL" => 1,
        "L" => 3 + value.as_array().expect("a list").iter().map(|element| 1 + value_size(element)).sum::<usize>(),
        "M" => {
            let members = value.as_object().expect("a map").iter();
            3 + members.map(|(name, value)| 1 + name.len() + value_size(value)).sum::<usize>()
        }
        other => panic!("a value of kind {other}"),
    }
}

#[test]
fn reads_are_charged_in_steps_of_4_kb() {
    let meter = Meter::default();
    meter.call();
    meter.read(0, Consistency::Strong);
    meter.read(4_096, Consistency::Strong);
    meter.read(4_097, Consistency::Strong);
    meter.read(4_097, Consistency::Eventual);
    assert_eq!(meter.take(), Cost { calls: 1, half_units: 2 + 2 + 4 + 2 });
    assert_eq!(meter.take(), Cost::default());
}

#[test]
fn an_items_size_is_that_of_its_names_and_values() {
    let item = serde_json::json!({"a": {"S": "four"}, "bc": {"N": "-12345"}, "d": {"B": "AAAA"}, "e": {"BOOL": true},
        "f": {"L": [{"M": {"g": {"S": "h"}}}]}});
    assert_eq!(
        size(item.as_object().expect("an item")),
        (1 + 4) + (2 + 4) + (1 + 3) + (1 + 1) + (1 + 3 + 1 + 3 + 1 + 1 + 1)
    );
}
