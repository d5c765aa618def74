//! The items of the table, as transactions write them and as reads see them.
//!
//! A transaction is accepted at one moment: its conditions are evaluated and its items are locked. But each item shows the write
//! at a moment of its own, and is free for the next transaction from then on.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use serde_json::{Value, json};

use super::expression::{Change, Condition, Item, Stored};
use super::faults::{Faults, Millis};

/// Partition and sort key.
pub(crate) type Key = (String, String);

/// One state of an item. `item` is none before the item existed.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    /// The time when reads begin to see it.
    pub(crate) from: Millis,
    /// The ordinal of this state of the item.
    pub(crate) number: u64,
    pub(crate) item: Option<Arc<Stored>>,
}

/// All states of an item that a read may still see.
#[derive(Debug, Default)]
struct Slot {
    copies: Vec<Copy>,
    locked_until: Millis,
}

/// The items of the table.
#[derive(Debug, Default)]
pub(crate) struct Base {
    slots: BTreeMap<Key, Slot>,
    /// Whether every state of every item is kept, so that a backup of any moment can be made.
    pub(crate) keeps_all: bool,
}

/// Items by key, each in one state.
pub(crate) type Items = BTreeMap<Key, Arc<Stored>>;

/// The new state of one item of an accepted transaction.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Stored>>,
    pub(crate) after: Copy,
}

/// An accepted transaction.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) written: Vec<Written>,
    /// The time when all of it is applied and its answer may be given.
    pub(crate) done: Millis,
}

/// The reasons why a transaction was cancelled, one for each item, in the order of the request.
pub(crate) type Reasons = Vec<Reason>;

/// A code. If a condition failed and the request asks for the item, also the item.
#[derive(Debug)]
pub(crate) struct Reason {
    pub(crate) code: &'static str,
    pub(crate) item: Option<Arc<Stored>>,
}

impl From<&'static str> for Reason {
    fn from(code: &'static str) -> Self {
        Self { code, item: None }
    }
}

pub(crate) const NO_REASON: &str = "None";
pub(crate) const CONDITION: &str = "ConditionalCheckFailed";
pub(crate) const CONFLICT: &str = "TransactionConflict";
pub(crate) const THROTTLED: &str = "ThrottlingError";

impl Slot {
    fn latest(&self) -> Option<&Arc<Stored>> {
        self.copies.last().and_then(|copy| copy.item.as_ref())
    }

    fn seen(&self, now: Millis) -> Option<&Copy> {
        self.copies.iter().rev().find(|copy| copy.from <= now)
    }
}

impl Base {
    /// An item as a strong read sees it at this moment: its state, if it has any, and the state's ordinal.
    pub(crate) fn read(&self, key: &Key, now: Millis) -> (u64, Option<&Arc<Stored>>) {
        match self.slots.get(key).and_then(|slot| slot.seen(now)) {
            Some(copy) => (copy.number, copy.item.as_ref()),
            None => (0, None),
        }
    }

    /// The items of a partition as strong reads see them at this moment, with the ordinals of their states.
    pub(crate) fn read_all<'a>(
        &'a self,
        partition: &'a str,
        now: Millis,
    ) -> impl Iterator<Item = (&'a Key, u64, &'a Arc<Stored>)> {
        let slots = self.partition(partition).filter_map(move |(key, slot)| Some((key, slot.seen(now)?)));
        slots.filter_map(|(key, copy)| Some((key, copy.number, copy.item.as_ref()?)))
    }

    /// The sort keys of a partition, including those that no read sees yet.
    pub(crate) fn keys<'a>(&'a self, partition: &'a str) -> Vec<&'a String> {
        self.partition(partition).map(|(key, _)| &key.1).collect()
    }

    fn partition<'a>(&'a self, partition: &'a str) -> impl Iterator<Item = (&'a Key, &'a Slot)> {
        let from = (partition.to_owned(), String::new());
        self.slots.range(from..).take_while(move |(key, _)| key.0 == partition)
    }

    /// Evaluates a transaction at this moment. Each written item is seen after a delay of its own.
    pub(crate) fn transact(
        &mut self,
        request: &Value,
        now: Millis,
        faults: &Faults,
        rng: &mut Rng,
    ) -> Result<Accepted, Reasons> {
        let actions: Vec<Action> = request["TransactItems"].as_array().expect("items").iter().map(Action::of).collect();
        assert!((1..=100).contains(&actions.len()), "{} items", actions.len());
        let mut sorted: Vec<&Action> = actions.iter().collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        assert!(sorted.windows(2).all(|pair| pair[0].key != pair[1].key), "an item is named twice: {request}");
        let mut reasons: Reasons = actions.iter().map(|action| self.obstacle(action, now)).collect();
        if rng.f64() < faults.spurious_conflict {
            // A conflict may come from a transaction that fails itself, from a read, or from the item's throughput.
            let met = sorted[rng.usize(..sorted.len())];
            let place = actions.iter().position(|action| action.key == met.key).expect("one of them");
            reasons[place] = if rng.bool() { CONFLICT } else { THROTTLED }.into();
        }
        if reasons.iter().any(|reason| reason.code != NO_REASON) {
            return Err(reasons);
        }
        let mut accepted = Accepted { written: vec![], done: now };
        // The order is that of the keys, because the order of the request differs between two runs of one seed.
        for action in sorted {
            let from = now + faults.tear.draw(rng);
            accepted.done = accepted.done.max(from);
            let slot = self.slots.entry(action.key.clone()).or_default();
            slot.locked_until = from;
            let before = slot.latest().cloned();
            let Some(item) = action.result(before.as_ref().map(|item| &***item)) else { continue };
            if let Some(seen) = slot.copies.iter().rposition(|copy| copy.from <= now)
                && !self.keeps_all
            {
                slot.copies.drain(..seen);
            }
            let number = slot.copies.last().map_or(0, |copy| copy.number) + 1;
            let after = Copy { from, number, item: Some(Arc::new(Stored::new(item))) };
            slot.copies.push(after.clone());
            accepted.written.push(Written { key: action.key.clone(), before, after });
        }
        Ok(accepted)
    }

    /// Puts an item that no transaction ever writes. Reads see it at once.
    pub(crate) fn put(&mut self, item: &Item, now: Millis) {
        self.show(key_of(item), Some(Arc::new(Stored::new(item.clone()))), now);
    }

    /// Removes an item. No read sees it from now on.
    pub(crate) fn remove(&mut self, key: Key, now: Millis) {
        self.show(key, None, now);
    }

    fn show(&mut self, key: Key, item: Option<Arc<Stored>>, now: Millis) {
        let slot = self.slots.entry(key).or_default();
        let number = slot.copies.last().map_or(0, |copy| copy.number) + 1;
        if !self.keeps_all {
            slot.copies.clear();
        }
        slot.copies.push(Copy { from: now, number, item });
    }

    /// A table with these items.
    pub(crate) fn of(items: &Items, now: Millis) -> Self {
        let slot = |item: &Arc<Stored>| {
            let copies = vec![Copy { from: now, number: 1, item: Some(Arc::clone(item)) }];
            Slot { copies, locked_until: now }
        };
        Self { slots: items.iter().map(|(key, item)| (key.clone(), slot(item))).collect(), keeps_all: true }
    }

    /// When items changed after this moment and up to that one, in order.
    pub(crate) fn moments(&self, after: Millis, until: Millis) -> Vec<Millis> {
        let copies = self.slots.values().flat_map(|slot| &slot.copies);
        let mut moments: Vec<Millis> =
            copies.map(|copy| copy.from).filter(|at| (after + 1..=until).contains(at)).collect();
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// The items of a backup that holds each item as it was at a moment of its own.
    pub(crate) fn cut(&self, mut at: impl FnMut(&Key) -> Millis) -> Items {
        let seen = self.slots.iter().filter_map(|(key, slot)| Some((key, slot.seen(at(key))?.item.as_ref()?)));
        seen.map(|(key, item)| (key.clone(), Arc::clone(item))).collect()
    }

    fn obstacle(&self, action: &Action, now: Millis) -> Reason {
        let slot = self.slots.get(&action.key);
        let item = slot.and_then(Slot::latest);
        if slot.is_some_and(|slot| slot.locked_until > now) {
            CONFLICT.into()
        } else if action.condition.holds(item.map(|item| &***item)) {
            NO_REASON.into()
        } else {
            Reason { code: CONDITION, item: item.filter(|_| action.returns_old).cloned() }
        }
    }

    /// Every item in its latest state.
    pub(crate) fn latest(&self) -> impl Iterator<Item = (&Key, &Arc<Stored>)> {
        self.slots.iter().filter_map(|(key, slot)| Some((key, slot.latest()?)))
    }

    /// Every item as a strong read sees it at this moment.
    pub(crate) fn all(&self, now: Millis) -> impl Iterator<Item = (&Key, &Arc<Stored>)> {
        self.slots.iter().filter_map(move |(key, slot)| Some((key, slot.seen(now)?.item.as_ref()?)))
    }
}

/// One item of a transaction.
struct Action {
    key: Key,
    condition: Condition,
    effect: Effect,
    /// Whether the answer has the item if the condition fails.
    returns_old: bool,
}

enum Effect {
    Put(Item),
    Update(Change),
    Check,
}

impl Action {
    fn of(request: &Value) -> Self {
        let (kind, body) = request.as_object().and_then(|item| item.iter().next()).expect("an action");
        let known: &[&str] = match kind.as_str() {
            "Put" => &["Item"],
            "Update" => &["Key", "UpdateExpression", "ReturnValuesOnConditionCheckFailure"],
            "ConditionCheck" => &["Key"],
            other => panic!("{other} in a transaction"),
        };
        let common = ["TableName", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"];
        super::expect_only(body, &[known, &common].concat());
        let (key, effect) = match kind.as_str() {
            "Put" => {
                let item = body["Item"].as_object().expect("an item").clone();
                (key_of(&item), Effect::Put(item))
            }
            "Update" => (key_of(body["Key"].as_object().expect("a key")), Effect::Update(Change::of(body))),
            _ => (key_of(body["Key"].as_object().expect("a key")), Effect::Check),
        };
        let returns_old = body.get("ReturnValuesOnConditionCheckFailure").is_some_and(|values| values == "ALL_OLD");
        Self { key, condition: Condition::of(body, "ConditionExpression"), effect, returns_old }
    }

    /// The new item, or none if it stays.
    fn result(&self, before: Option<&Item>) -> Option<Item> {
        match &self.effect {
            Effect::Check => None,
            Effect::Put(item) => Some(item.clone()),
            Effect::Update(change) => {
                let mut item = before.cloned().unwrap_or_default();
                item.insert("project_id".to_owned(), json!({"S": self.key.0}));
                item.insert("entity".to_owned(), json!({"S": self.key.1}));
                Some(change.apply(item))
            }
        }
    }
}

/// The table's key of an item.
pub(crate) fn key_of(item: &Item) -> Key {
    let part = |name: &str| item[name]["S"].as_str().unwrap_or_else(|| panic!("no {name} in a key")).to_owned();
    (part("project_id"), part("entity"))
}
