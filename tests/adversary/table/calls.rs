//! Answers the calls that the product makes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use fastrand::Rng;
use serde_json::{Value, json};

use super::base::{CONDITION, CONFLICT, Key, Reason, THROTTLED, key_of};
use super::capacity::{Consistency, Meter, size};
use super::connection::{Answer, error, error_with, expect_table};
use super::expression::{self, Condition, Item, Stored};
use super::index::Reading;
use super::{NAME, RECENT, State, Token, UnreliableTable, expect_only, pause};

/// The local index of template.yaml, and the attribute that puts an item into it.
const LIVE_EDGES: &str = "live_edges";
const LIVE_EDGE: &str = "live_edge";

/// The name that counts a query that begins at the end.
pub(crate) const DESCENDING: &str = "Query, descending";

/// A call that was parsed from the wire.
pub(super) enum Call {
    GetItem(Value),
    BatchGetItem(Value),
    Query(Value),
    TransactWriteItems(Value),
    BatchWriteItem(Value),
    Scan(Value),
    DescribeTable(Value),
    PutItem(Value),
    DeleteItem(Value),
}

impl Call {
    pub(super) fn of(name: &str, mut request: Value) -> Self {
        // Every call asks for this, and no call answers it here. The meter counts the units of reads.
        let capacity = request.as_object_mut().and_then(|request| request.remove("ReturnConsumedCapacity"));
        assert!(capacity.is_none_or(|capacity| capacity == "TOTAL"), "another capacity than the total");
        match name {
            "GetItem" => Self::GetItem(request),
            "BatchGetItem" => Self::BatchGetItem(request),
            "Query" => Self::Query(request),
            "TransactWriteItems" => Self::TransactWriteItems(request),
            "BatchWriteItem" => Self::BatchWriteItem(request),
            "Scan" => Self::Scan(request),
            "DescribeTable" => Self::DescribeTable(request),
            "PutItem" => Self::PutItem(request),
            "DeleteItem" => Self::DeleteItem(request),
            other => panic!("{other} is not understood"),
        }
    }

    /// The operation. A query that begins at the end is counted separately.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::GetItem(_) => "GetItem",
            Self::BatchGetItem(_) => "BatchGetItem",
            Self::Query(request) if request["ScanIndexForward"] == false => DESCENDING,
            Self::Query(_) => "Query",
            Self::TransactWriteItems(_) => "TransactWriteItems",
            Self::BatchWriteItem(_) => "BatchWriteItem",
            Self::Scan(_) => "Scan",
            Self::DescribeTable(_) => "DescribeTable",
            Self::PutItem(_) => "PutItem",
            Self::DeleteItem(_) => "DeleteItem",
        }
    }

    pub(super) fn is_write(&self) -> bool {
        matches!(self, Self::TransactWriteItems(_) | Self::BatchWriteItem(_) | Self::PutItem(_) | Self::DeleteItem(_))
    }
}

/// One item that a query met, before its filter.
struct Met {
    key: Key,
    number: u64,
    item: Arc<Stored>,
}

impl UnreliableTable {
    pub(super) async fn answer(&self, call: Call, meter: &Meter) -> Answer {
        assert!(!call.is_write() || !self.state().is_lost, "a write to the lost table");
        match call {
            Call::GetItem(request) => self.get_item(&request, meter),
            Call::BatchGetItem(request) => self.batch_get_item(&request, meter).await,
            Call::Query(request) => self.query(&request, meter).await,
            Call::TransactWriteItems(request) => self.transact_write_items(request).await,
            Call::BatchWriteItem(request) => self.batch_write_item(&request).await,
            Call::Scan(request) => self.scan(&request),
            Call::DescribeTable(request) => self.describe_table(&request),
            Call::PutItem(request) => self.put_item(&request),
            Call::DeleteItem(request) => self.delete_item(&request),
        }
    }

    /// Puts or deletes each item at a moment of its own, in any order. Some items may be left unprocessed.
    async fn batch_write_item(&self, request: &Value) -> Answer {
        expect_only(request, &["RequestItems"]);
        let (table, wanted) = request["RequestItems"].as_object().and_then(|t| t.iter().next()).expect("one table");
        expect_table(&json!(table));
        let mut writes = wanted.as_array().expect("writes").clone();
        assert!((1..=25).contains(&writes.len()), "{} writes", writes.len());
        let keys: BTreeSet<Key> = writes.iter().map(key_written).collect();
        assert_eq!(keys.len(), writes.len(), "an item is named twice: {request}");
        let mut left = Vec::new();
        let incarnation = self.state().incarnation;
        {
            let state = &mut *self.state();
            state.rng.shuffle(&mut writes);
            if state.rng.f64() < state.faults.unprocessed {
                // All items may be left unprocessed.
                let kept = state.rng.usize(0..writes.len());
                left = writes.split_off(kept);
                state.figures.inject("UnprocessedItems");
            }
        }
        for write in &writes {
            self.pause_between_reads().await;
            // The rest of a call to a lost table changes nothing in the table that took its place.
            if self.state().incarnation != incarnation {
                return error(400, "ResourceNotFoundException");
            }
            let now = self.now();
            if write.get("DeleteRequest").is_some() {
                self.state().base.remove(key_written(write), now);
                self.trace(|| format!("delete {:?}", key_written(write)));
                continue;
            }
            let item = put_of(write);
            let true_to_history = {
                let mut state = self.state();
                state.base.put(item, now);
                state.history.expect_archive(item)
            };
            self.trace(|| format!("archive {}", item["entity"]["S"]));
            if let Err(violation) = true_to_history {
                self.fail(violation);
            }
        }
        let mut unprocessed = json!({});
        if !left.is_empty() {
            unprocessed[NAME] = json!(left);
        }
        (200, format!(r#"{{"UnprocessedItems":{unprocessed}}}"#))
    }

    fn get_item(&self, request: &Value, meter: &Meter) -> Answer {
        expect_only(request, &["TableName", "Key", "ConsistentRead"]);
        expect_table(&request["TableName"]);
        assert_eq!(request["ConsistentRead"], true, "reads of the table are strong");
        let key = key_of(request["Key"].as_object().expect("a key"));
        let now = self.now();
        let state = self.state();
        let (_, item) = state.base.read(&key, now);
        meter.read(item.map_or(0, |item| size(item)), Consistency::Strong);
        match item {
            Some(item) => (200, format!(r#"{{"Item":{}}}"#, item.text)),
            None => (200, "{}".to_owned()),
        }
    }

    /// Reads each key at a moment of its own, in any order. Some keys may be left unprocessed.
    async fn batch_get_item(&self, request: &Value, meter: &Meter) -> Answer {
        expect_only(request, &["RequestItems"]);
        let (table, wanted) = request["RequestItems"].as_object().and_then(|t| t.iter().next()).expect("one table");
        expect_table(&json!(table));
        expect_only(wanted, &["Keys", "ConsistentRead"]);
        // The read shows the table as it is now, or as it was at some moment of the last second.
        let is_strong = wanted["ConsistentRead"] == true;
        let consistency = if is_strong { Consistency::Strong } else { Consistency::Eventual };
        let keys = wanted["Keys"].as_array().expect("keys").iter();
        let mut keys: Vec<Key> = keys.map(|key| key_of(key.as_object().expect("a key"))).collect();
        assert!((1..=100).contains(&keys.len()), "{} keys", keys.len());
        keys.sort_unstable();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "a key is named twice: {request}");
        let mut left = Vec::new();
        {
            let state = &mut *self.state();
            state.rng.shuffle(&mut keys);
            if state.rng.f64() < state.faults.unprocessed {
                let kept = state.rng.usize(0..keys.len());
                left = keys.split_off(kept);
                state.figures.inject("UnprocessedKeys");
            }
        }
        let mut found = Vec::new();
        let mut seen = HashMap::new();
        for (place, key) in keys.iter().enumerate() {
            if place > 0 {
                self.pause_between_reads().await;
            }
            let now = self.now();
            let (number, item) = {
                let state = &mut *self.state();
                let late = if is_strong { 0 } else { state.rng.u64(0..1_000) };
                let (number, item) = state.base.read(key, now.saturating_sub(late));
                (number, item.cloned())
            };
            seen.insert(key, number);
            meter.read(item.as_ref().map_or(0, |item| size(item)), consistency);
            found.extend(item);
        }
        if is_strong {
            self.state().note_torn("torn BatchGetItem", &seen);
        }
        let mut unprocessed = json!({});
        if !left.is_empty() {
            let keys =
                left.iter().map(|(project, entity)| json!({"project_id": {"S": project}, "entity": {"S": entity}}));
            unprocessed[NAME] = json!({"Keys": keys.collect::<Vec<_>>(), "ConsistentRead": is_strong});
        }
        let found = list(found.iter().map(|item| item.text.as_str()));
        (200, format!(r#"{{"Responses":{{"{NAME}":{found}}},"UnprocessedKeys":{unprocessed}}}"#))
    }

    async fn pause_between_reads(&self) {
        let duration = {
            let state = &mut *self.state();
            state.faults.apart.draw(&mut state.rng)
        };
        pause(duration).await;
    }

    async fn query(&self, request: &Value, meter: &Meter) -> Answer {
        expect_only(
            request,
            &[
                "TableName",
                "IndexName",
                "ConsistentRead",
                "ScanIndexForward",
                "KeyConditionExpression",
                "FilterExpression",
                "ProjectionExpression",
                "ExpressionAttributeNames",
                "ExpressionAttributeValues",
                "Limit",
                "ExclusiveStartKey",
            ],
        );
        expect_table(&request["TableName"]);
        let name = request["IndexName"].as_str();
        // A local index is a part of the table's items by another key. It is read like the table.
        let index = name.filter(|name| *name != LIVE_EDGES);
        let range = match index {
            None if name.is_some() => LIVE_EDGE,
            None => "entity",
            Some(name) => self.state().indexes.iter().find(|i| i.schema.name == name).expect("an index").schema.range,
        };
        let mut met = match index {
            None => self.met_in_table(request).await,
            Some(name) => self.met_in_index(name, request).await,
        };
        met.retain(|met| met.item.contains_key(range));
        let place = |item: &Item| (item[range].clone(), item["entity"]["S"].as_str().expect("a text").to_owned());
        let descends = request["ScanIndexForward"] == false;
        let order = |left: &Item, right: &Item| {
            let (left, right) = (place(left), place(right));
            let ascending = expression::compare(&left.0, &right.0).then_with(|| left.1.cmp(&right.1));
            if descends { ascending.reverse() } else { ascending }
        };
        met.sort_by(|left, right| order(&left.item, &right.item));
        if let Some(start) = request["ExclusiveStartKey"].as_object() {
            met.retain(|met| order(&met.item, start).is_gt());
        }
        let limit = request["Limit"].as_u64().map_or(usize::MAX, |limit| usize::try_from(limit).expect("a limit"));
        let mut page = limit;
        {
            let state = &mut *self.state();
            if index.is_some() {
                page = page.min(state.faults.index_page);
            }
            if !met.is_empty() && state.rng.f64() < state.faults.short_page {
                page = page.min(state.rng.usize(1..=met.len()));
                state.figures.inject("short page");
            }
            let seen = met.iter().take(page).map(|met| (&met.key, met.number)).collect();
            state.note_torn(if index.is_some() { "transaction torn in an index" } else { "torn Query" }, &seen);
        }
        // As in DynamoDB, a full page names a next one even if nothing is left.
        let last = if met.len() >= page { met.get(page - 1).map(|met| Arc::clone(&met.item)) } else { None };
        met.truncate(page);
        let consistency = if index.is_some() { Consistency::Eventual } else { Consistency::Strong };
        meter.read(met.iter().map(|met| size(&met.item)).sum(), consistency);
        let filter = Condition::of(request, "FilterExpression");
        let shown = expression::projection(request);
        let evaluated = met.len();
        met.retain(|met| filter.holds(Some(&met.item)));
        let items = match shown {
            None => list(met.iter().map(|met| met.item.text.as_str())),
            Some(names) => list(met.iter().map(|met| with_only(&met.item, &names))),
        };
        let next = last.map(|last| {
            let hash = if index == Some("by_user") { "user_id" } else { "project_id" };
            let parts = ["project_id", "entity", hash, range].map(str::to_owned);
            format!(r#","LastEvaluatedKey":{}"#, with_only(&last, &parts))
        });
        let (count, next) = (met.len(), next.unwrap_or_default());
        (200, format!(r#"{{"Count":{count},"ScannedCount":{evaluated},"Items":{items}{next}}}"#))
    }

    /// The items of a partition. Some stretches of it are read before others.
    async fn met_in_table(&self, request: &Value) -> Vec<Met> {
        assert_eq!(request["ConsistentRead"], true, "reads of the table are strong");
        let condition = Condition::of(request, "KeyConditionExpression");
        let partition = partition_of(request);
        let stretches = {
            let state = &mut *self.state();
            let keys = state.base.keys(&partition);
            let bounds =
                (0..state.rng.usize(0..3)).filter_map(|_| state.rng.choice(&keys).map(|key| (*key).clone())).collect();
            stretches(bounds, &mut state.rng)
        };
        let mut met = Vec::new();
        for (place, stretch) in stretches.iter().enumerate() {
            if place > 0 {
                self.pause_between_reads().await;
            }
            let now = self.now();
            let state = self.state();
            // Items that came into the stretch after the call began are there, too.
            for (key, number, item) in state.base.read_all(&partition, now) {
                if stretch.contains(&key.1) && condition.holds(Some(item)) {
                    met.push(Met { key: key.clone(), number, item: Arc::clone(item) });
                }
            }
        }
        met
    }

    /// The copies that an index shows. Some stretches come from one replica, and others come later from another one.
    async fn met_in_index(&self, name: &str, request: &Value) -> Vec<Met> {
        assert!(request["ConsistentRead"].as_bool() != Some(true), "an index has no strong reads");
        let condition = Condition::of(request, "KeyConditionExpression");
        let stretches = {
            let state = &mut *self.state();
            let State { history, rng, .. } = state;
            let bounds = (0..rng.usize(0..3)).map(|_| history.any_version(rng)).collect();
            stretches(bounds, &mut state.rng)
        };
        let mut met = Vec::new();
        for (place, stretch) in stretches.iter().enumerate() {
            if place > 0 {
                self.pause_between_reads().await;
            }
            let now = self.now();
            let state = &mut *self.state();
            let reading = Reading { condition: &condition, replica: state.rng.usize(..), now };
            let index = state.indexes.iter_mut().find(|index| index.schema.name == name).expect("an index");
            for (key, entry) in index.read(&reading, &mut state.figures) {
                // `by_user` has so few entries that one stretch holds them all.
                let version = entry.item.get("server_version").and_then(|value| value["N"].as_str()?.parse().ok());
                if stretch.contains(&version.unwrap_or(0)) {
                    met.push(Met { key, number: entry.number, item: entry.item });
                }
            }
        }
        met
    }

    /// Evaluates a transaction at one moment, applies it item by item, and answers when all of it is applied.
    async fn transact_write_items(&self, request: Value) -> Answer {
        expect_only(&request, &["TransactItems", "ClientRequestToken"]);
        for item in request["TransactItems"].as_array().expect("items") {
            expect_table(&item.as_object().and_then(|item| item.values().next()).expect("an action")["TableName"]);
        }
        let token = request["ClientRequestToken"].as_str().expect("a token").to_owned();
        let now = self.now();
        let outcome = self.evaluate(&request, &token, now);
        match outcome {
            Err(answer) => answer,
            Ok(done) => {
                pause(done.saturating_sub(now)).await;
                (200, "{}".to_owned())
            }
        }
    }

    fn evaluate(&self, request: &Value, token: &str, now: u64) -> Result<u64, Answer> {
        let mut violation = None;
        let outcome = {
            let state = &mut *self.state();
            let forgets = state.tokens.get(token).is_some_and(|earlier| earlier.done <= now)
                && state.rng.f64() < state.faults.token_forgotten;
            if forgets {
                state.tokens.remove(token);
                state.figures.inject("token forgotten after the commit");
            }
            if let Some(earlier) = state.tokens.get(token) {
                assert_eq!(earlier.request, *request, "a token with another payload");
                let in_progress = earlier.done > now;
                state.figures.inject("token repeated after the commit");
                return if in_progress { Err(error(400, "TransactionInProgressException")) } else { Ok(now) };
            }
            let mut outcome = state.base.transact(request, now, &state.faults, &mut state.rng);
            if let Ok(accepted) = &mut outcome {
                state.tokens.insert(token.to_owned(), Token { request: request.clone(), done: accepted.done });
                for written in &accepted.written {
                    for index in &mut state.indexes {
                        index.follow(written, now, &state.faults, &mut state.rng);
                    }
                }
                if accepted.written.len() > 1 {
                    state.recent.truncate(RECENT - 1);
                    let states = accepted.written.iter().map(|w| (w.key.clone(), w.after.number)).collect();
                    state.recent.push_front(states);
                }
                let was_unfinished = state.history.unfinished.is_some();
                violation = state.history.commit(&accepted.written).err();
                if !was_unfinished && state.history.unfinished.is_some() {
                    state.figures.inject("deletion of several commits begun");
                }
            }
            outcome
        };
        match &outcome {
            Ok(accepted) => self.trace(|| {
                let each = accepted
                    .written
                    .iter()
                    .map(|w| format!("{} (seen at {} ms)", describe(&w.after.item), w.after.from));
                format!("commit {}", each.collect::<Vec<_>>().join(", "))
            }),
            Err(reasons) => {
                self.trace(|| mixture(reasons).to_owned());
                let mut state = self.state();
                state.figures.inject(mixture(reasons));
                state.cancelled_items += reasons.len() as u64;
            }
        }
        if let Some(violation) = violation {
            self.fail(violation);
        }
        outcome.map(|accepted| accepted.done).map_err(|reasons| {
            let reasons = list(reasons.iter().map(reason_text));
            error_with(400, "TransactionCanceledException", &format!(r#","CancellationReasons":{reasons}"#))
        })
    }
}

/// The key of the item that one write of several puts or deletes.
fn key_written(write: &Value) -> Key {
    match write.get("DeleteRequest") {
        Some(delete) => key_of(delete["Key"].as_object().expect("a key")),
        None => key_of(put_of(write)),
    }
}

/// The item that one write of several puts.
fn put_of(write: &Value) -> &Item {
    expect_only(write, &["PutRequest"]);
    write["PutRequest"]["Item"].as_object().expect("an item")
}

/// A JSON array of JSON texts.
fn list(texts: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut json = "[".to_owned();
    for text in texts {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(text.as_ref());
    }
    json.push(']');
    json
}

/// An item's text with only these attributes.
fn with_only(item: &Item, names: &[String]) -> String {
    let kept: BTreeMap<&String, &Value> = item.iter().filter(|(name, _)| names.contains(name)).collect();
    serde_json::to_string(&kept).expect("JSON")
}

fn partition_of(request: &Value) -> String {
    let values = &request["ExpressionAttributeValues"];
    let partition = [":project", ":requests"].iter().find_map(|name| values[*name]["S"].as_str());
    partition.expect("a partition").to_owned()
}

/// A stretch of a query's range, without its lower end and with its upper end.
struct Stretch<T> {
    above: Option<T>,
    up_to: Option<T>,
}

impl<T: Ord> Stretch<T> {
    fn contains(&self, at: &T) -> bool {
        self.above.as_ref().is_none_or(|bound| at > bound) && self.up_to.as_ref().is_none_or(|bound| at <= bound)
    }
}

/// The stretches between bounds, in any order.
fn stretches<T: Ord + Clone>(mut bounds: Vec<T>, rng: &mut Rng) -> Vec<Stretch<T>> {
    bounds.sort_unstable();
    bounds.dedup();
    let above = std::iter::once(None).chain(bounds.iter().cloned().map(Some));
    let up_to = bounds.iter().cloned().map(Some).chain([None]);
    let mut stretches: Vec<_> = above.zip(up_to).map(|(above, up_to)| Stretch { above, up_to }).collect();
    rng.shuffle(&mut stretches);
    stretches
}

fn reason_text(reason: &Reason) -> String {
    let code = reason.code;
    match &reason.item {
        Some(item) => {
            let item = serde_json::to_string(&***item).expect("JSON");
            format!(r#"{{"Code":"{code}","Item":{item}}}"#)
        }
        None => format!(r#"{{"Code":"{code}"}}"#),
    }
}

fn mixture(reasons: &[Reason]) -> &'static str {
    let has = |code| reasons.iter().any(|reason| reason.code == code);
    match (has(CONDITION), has(CONFLICT) || has(THROTTLED)) {
        (true, true) => "cancelled: conflict and failed condition",
        (true, false) => "cancelled: failed condition",
        _ => "cancelled: conflict",
    }
}

fn describe(item: &Option<Arc<Stored>>) -> String {
    let Some(item) = item else { return "nothing".to_owned() };
    let text = |name: &str| item.get(name).and_then(|v| v["S"].as_str().or(v["N"].as_str())).unwrap_or("-").to_owned();
    match item.get("server_version") {
        Some(_) => format!("{}@{}", text("entity"), text("server_version")),
        None => format!("{}={}", text("entity"), text("current_version")),
    }
}
