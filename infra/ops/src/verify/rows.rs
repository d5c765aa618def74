//! Checks each item by itself: whether it can be read, and whether its attributes agree with its key and its JSON.

use serde_json::{Map, Value};
use shared::domain::{
    Calendar, Collection, CollectionName, Columns, Dependency, Error, Mark, Membership, Project, ProjectId, Resource,
    Row, RowKey, Task, UserId, membership_id, parse,
};
use shared::storage::StoredItem;

use super::check::Check;
use super::world::World;

/// Reads the counter and the rows.
pub(super) fn read<'a>(world: &mut World<'a>, stored: &'a [StoredItem]) {
    world.look(Check::CounterReadable, 1);
    match stored.iter().find(|item| item.is_counter()).map(StoredItem::counter) {
        Some(Ok(counter)) => world.counter = Some(counter),
        Some(Err(error)) => world.violation_of_project(Check::CounterReadable, error.to_string()),
        None => world.violation_of_project(Check::CounterReadable, "the counter is missing"),
    }
    for item in stored.iter().filter(|item| item.is_row()) {
        world.look(Check::RowReadable, 1);
        match item.row() {
            Ok(row) => {
                world.rows.insert(row.key.clone(), (row, item));
            }
            Err(error) => world.violation(Check::RowReadable, item.entity(), error.to_string()),
        }
    }
}

/// Checks each row.
pub(super) fn check(world: &mut World<'_>) {
    // The items are taken out of the world, because the checks write to it and a copy of a large project would be expensive.
    let rows = std::mem::take(&mut world.rows);
    let is_deleted = world.counter.as_ref().is_some_and(|counter| counter.deleted_at.is_some());
    for (row, item) in rows.values() {
        count(world, row);
        world.look(Check::RowObeysRules, 1);
        for fault in broken_rules(row) {
            world.violation(Check::RowObeysRules, &row.key, fault);
        }
        world.look(Check::AttributesAgree, 1);
        for fault in disagreements(world.project, is_deleted, row, item) {
            world.violation(Check::AttributesAgree, &row.key, fault);
        }
        world.look(Check::WritesAgree, 1);
        if let Some(fault) = miscounted(row) {
            world.violation(Check::WritesAgree, &row.key, fault);
        }
        if row.key.collection == Collection::Memberships {
            world.look(Check::MembershipId, 1);
            let user = user_of(row.columns());
            if !row.is_erased() && user.is_none_or(|user| membership_id(world.project, &user) != row.key.id) {
                world.violation(Check::MembershipId, &row.key, "the id is not the one derived from project and user");
            }
        }
    }
    world.rows = rows;
    project_row(world);
}

fn count(world: &mut World<'_>, row: &Row) {
    let counts = &mut world.judgement.counts;
    if row.live().is_some() {
        *counts.live.entry(row.key.collection.name().to_owned()).or_default() += 1;
    } else {
        counts.tombstones += 1;
    }
}

/// The rules of its collection that a row breaks. A dead row obeyed them too, unless its content was erased. The rules of a
/// collection that this code does not know are not known.
fn broken_rules(row: &Row) -> Vec<String> {
    fn faults<R: Resource>(columns: &Columns) -> Vec<String> {
        match parse::<R>(columns) {
            Ok(_) => vec![],
            Err(Error::Invalid(errors)) => errors.into_iter().map(|e| format!("{}: {}", e.field, e.message)).collect(),
            Err(error) => vec![error.to_string()],
        }
    }
    let columns = row.columns();
    let CollectionName::Known(collection) = row.key.collection else { return vec![] };
    if row.is_erased() {
        return vec![];
    }
    match collection {
        Collection::Projects => faults::<Project>(columns),
        Collection::Tasks => faults::<Task>(columns),
        Collection::Dependencies => faults::<Dependency>(columns),
        Collection::Calendars => faults::<Calendar>(columns),
        Collection::Memberships => faults::<Membership>(columns),
    }
}

/// The places where a row's attributes contradict its key, its JSON or one another.
fn disagreements(project: &ProjectId, project_is_deleted: bool, row: &Row, item: &StoredItem) -> Vec<String> {
    let mut faults = Vec::new();
    let mut require = |holds: bool, fault: &str| {
        if !holds {
            faults.push(fault.to_owned());
        }
    };
    let live = row.live().is_some();
    let text = item.text(if live { "row" } else { "deleted_row" }).unwrap_or_default();
    let json: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let version = row.version.get();

    require(
        json.get("server_version").and_then(Value::as_u64) == Some(version),
        "server_version differs from the JSON",
    );
    require(
        json.get("id").and_then(Value::as_str) == Some(row.key.id.as_str()),
        "the id in the JSON differs from the key",
    );
    let project = (row.key.collection != Collection::Projects).then_some(project.as_str());
    require(json.get("project").and_then(Value::as_str) == project, "the project in the JSON differs from the key");
    for column in row.key.collection.columns() {
        // A row that no device gets any more may lack a column that was added later.
        let may_lack = !live || project_is_deleted;
        let fault = format!("the JSON has no column {column}; run `trueppm backfill`");
        require(may_lack || json.contains_key(*column), &fault);
    }
    // Columns that this code does not know belong to a newer version.
    require(!json.values().any(|value| value.is_array() || value.is_object()), "the JSON has nested values");

    require(!(live && item.has("is_deleted")), "is_deleted on a live row");
    require(!(live && item.has("deleted_version")), "deleted_version on a live row");
    require(!(live && item.has("deleted_row")), "deleted_row on a live row");
    require(live || !item.has("row"), "row on a tombstone, so that the tombstone is in the index");
    require(
        live || item.integer("deleted_version") == Some(version),
        "deleted_version differs from the tombstone's server_version",
    );

    let is_membership = row.key.collection == Collection::Memberships;
    let user = user_of(row.columns()).filter(|_| is_membership && live);
    require(
        item.has("user_id") == user.is_some() && item.text("user_id") == user.as_ref().map(UserId::as_str),
        "user_id must be the user of a live membership, and absent on other rows",
    );
    let live_edge = (live && row.key.collection == Collection::Dependencies).then_some(row.key.id.as_str());
    // No rule is ever applied to a deleted project again.
    let may_lack = project_is_deleted && !item.has("live_edge");
    require(
        may_lack || (item.has("live_edge") == live_edge.is_some() && item.text("live_edge") == live_edge),
        "live_edge is not the live dependency's id, or there is one on another row, which `trueppm backfill` repairs",
    );
    require(
        row.archived_above.is_none_or(|above| above < row.history.silent_through()),
        "archived_from is not below the version history",
    );
    require(is_membership || row.removals.versions().is_empty(), "removed_at on a row that is not a membership");
    require(row.removals.versions().is_sorted_by(|one, next| one < next), "removed_at is not in ascending order");
    let removed = row.removals.versions().last().map(|version| version.get());
    require(
        !is_membership || if live { removed < Some(version) } else { removed == Some(version) },
        "removed_at does not end with the latest removal",
    );
    faults
}

/// Whether `writes` contradicts the versions that the row's history names.
fn miscounted(row: &Row) -> Option<String> {
    let listed = row.history.versions().len() as u64 + 1;
    let complete = row.history.silent_through() == Mark::NOTHING;
    let agrees = if complete { row.revision_count == listed } else { row.revision_count > listed };
    let unlisted = if complete { "" } else { " and older ones that are not in its version history" };
    (!agrees).then(|| format!("writes is {}, but the row had {listed} versions{unlisted}", row.revision_count))
}

fn project_row(world: &mut World<'_>) {
    world.look(Check::ProjectRow, 1);
    let own = RowKey::project(world.project);
    let mut others: Vec<_> = world.rows.keys().filter(|key| key.collection == Collection::Projects).cloned().collect();
    others.retain(|key| *key != own);
    for other in others {
        world.violation(Check::ProjectRow, other, "it is the row of another project");
    }
    if !world.rows.contains_key(&own) {
        world.violation_of_project(Check::ProjectRow, "the project's own row is missing");
    }
}

/// The user of a membership's columns.
pub(super) fn user_of(columns: &Columns) -> Option<UserId> {
    columns.get("user")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;
    use serde_json::json;
    use shared::domain::{ServerVersion, Write};

    use super::*;
    use crate::verify::testing::{Project as Story, at, member, number, project_id, text};

    fn sound() -> crate::verify::Reading {
        Story::sound().reading()
    }

    /// A row that replaces another one and has all its versions, so that only the row itself is wrong.
    fn moved(from: &str, to: &str) -> crate::verify::Reading {
        let mut item = sound().item(from);
        item.0.insert("entity".to_owned(), text(to));
        sound().remove(from).insert(item)
    }

    #[test]
    fn a_project_without_a_counter_or_with_one_that_cannot_be_read() {
        let none = sound().remove("_counter");
        assert_eq!(none.violated(), [at(Check::CounterReadable, "")]);
        assert_eq!(sound().unset("_counter", "last").violated(), [at(Check::CounterReadable, "")]);
    }

    #[test]
    fn an_item_that_is_no_row() {
        assert!(moved("tasks#c", "people-#c").violated().contains(&at(Check::RowReadable, "people-#c")));
    }

    #[test]
    fn columns_and_collections_of_a_newer_version_are_no_violation_and_are_checked_like_others() {
        let column = sound().corrupt_json("tasks#c", r#""notes":"""#, r#""notes":"","colour":"red""#);
        assert_eq!(column.violated(), []);
        let noted = || Story::sound().put("notes#n", json!({})).reading();
        assert_eq!(noted().violated(), []);
        assert_eq!(noted().judged().counts.live["notes"], 1);
        let found = noted().set("notes#n", "is_deleted", AttributeValue::Bool(false)).violated();
        assert_eq!(found, [at(Check::AttributesAgree, "notes#n")]);
        let uncounted = noted().set("_counter", "checksums", sound().item("_counter").0["checksums"].clone());
        assert_eq!(uncounted.violated(), [at(Check::ChecksumsAgree, "")]);
    }

    #[test]
    fn a_tombstone_whose_content_was_erased_is_sound_and_a_live_row_without_content_is_not() {
        let erased = |entity: &str| {
            let row = sound().item(entity).row().expect("a row").erased();
            sound().remove(entity).insert(StoredItem::of_row(&project_id(), &row))
        };
        for entity in [member("gone"), "tasks#dead".to_owned(), "dependencies#dead".to_owned()] {
            assert_eq!(erased(&entity).violated(), [], "{entity}");
        }
        let live = sound().corrupt_json("tasks#c", r#""name":"Roof""#, r#""name":null"#);
        assert_eq!(live.violated(), [at(Check::RowObeysRules, "tasks#c")]);
    }

    #[test]
    fn a_violation_says_who_wrote_the_row_last() {
        let found = sound()
            .corrupt_json("tasks#c", r#""duration":1"#, r#""duration":-1"#)
            .set("tasks#c", "written_by", text("ann"))
            .set("tasks#c", "written_at", number(1_800_000_000));
        let written = found.judged().violations[0].written.as_ref().map(ToString::to_string);
        assert_eq!(written.as_deref(), Some("ann, 2027-01-15T08:00:00Z"));
    }

    #[test]
    fn a_row_that_cannot_be_read() {
        for attribute in ["row", "writes", "server_version"] {
            let found = sound().unset("tasks#c", attribute).violated();
            assert!(found.contains(&at(Check::RowReadable, "tasks#c")), "{attribute}");
        }
        let garbled = sound().set("tasks#b", "superseded", AttributeValue::Bool(true)).violated();
        assert!(garbled.contains(&at(Check::RowReadable, "tasks#b")));
    }

    #[test]
    fn a_row_that_breaks_the_rules_of_its_collection() {
        let negative = sound().corrupt_json("tasks#c", r#""duration":1"#, r#""duration":-1"#);
        assert_eq!(negative.violated(), [at(Check::RowObeysRules, "tasks#c")]);
        let dead = sound().corrupt_json("tasks#dead", "NOT_STARTED", "DONE");
        assert_eq!(dead.violated(), [at(Check::RowObeysRules, "tasks#dead")]);
    }

    #[test]
    fn a_json_that_contradicts_the_key_or_the_version() {
        for (from, to) in [
            (r#""server_version":9"#, r#""server_version":8"#),
            (r#""id":"c""#, r#""id":"b""#),
            (r#""project":"p""#, r#""project":"q""#),
            (r#","status":"NOT_STARTED""#, ""),
        ] {
            let found = sound().corrupt_json("tasks#c", from, to).violated();
            assert_eq!(found, [at(Check::AttributesAgree, "tasks#c")], "{from}");
        }
        let dead = sound().corrupt_json("tasks#dead", r#","status":"NOT_STARTED""#, "");
        assert_eq!(dead.violated(), [], "no device gets it");
        let nested = sound().corrupt_json(
            "calendars#site",
            r#""[{\"description\":\"X-mas\",\"end\":\"2026-12-26\",\"start\":\"2026-12-24\"}]""#,
            "[]",
        );
        assert_eq!(nested.violated(), [at(Check::AttributesAgree, "calendars#site")]);
    }

    #[test]
    fn a_live_row_with_a_tombstones_attributes() {
        for (attribute, value) in
            [("is_deleted", AttributeValue::Bool(false)), ("deleted_version", number(9)), ("deleted_row", text("{}"))]
        {
            let found = sound().set("tasks#c", attribute, value).violated();
            assert_eq!(found, [at(Check::AttributesAgree, "tasks#c")], "{attribute}");
        }
    }

    #[test]
    fn a_tombstone_with_a_live_rows_attributes_or_another_version() {
        let wrong = sound().set("tasks#dead", "deleted_version", number(16));
        assert_eq!(wrong.violated(), [at(Check::AttributesAgree, "tasks#dead")]);
        let shown = sound().set("tasks#dead", "row", text("{}"));
        assert_eq!(shown.violated(), [at(Check::AttributesAgree, "tasks#dead")]);
        let undead = sound().unset("tasks#dead", "is_deleted").violated();
        assert!(undead.contains(&at(Check::RowReadable, "tasks#dead")));
    }

    #[test]
    fn a_user_id_that_is_missing_wrong_or_where_none_belongs() {
        let olga = member("olga");
        assert_eq!(sound().unset(&olga, "user_id").violated(), [at(Check::AttributesAgree, &olga)]);
        let wrong = sound().set(&olga, "user_id", text("otto"));
        assert_eq!(wrong.violated(), [at(Check::AttributesAgree, &olga)]);
        for entity in [member("gone"), "tasks#c".to_owned()] {
            let found = sound().set(&entity, "user_id", text("gone")).violated();
            assert_eq!(found, [at(Check::AttributesAgree, &entity)]);
        }
    }

    #[test]
    fn a_live_dependency_out_of_their_index_and_any_other_row_in_it() {
        let lacking = sound().unset("dependencies#ab", "live_edge");
        assert_eq!(lacking.violated(), [at(Check::AttributesAgree, "dependencies#ab")]);
        for entity in ["dependencies#ab", "dependencies#dead", "tasks#c"] {
            let found = sound().set(entity, "live_edge", text("other")).violated();
            assert_eq!(found, [at(Check::AttributesAgree, entity)]);
        }
        let deleted = Story::sound().deleted().reading().unset("dependencies#ab", "live_edge");
        assert_eq!(deleted.violated(), []);
    }

    #[test]
    fn removals_that_do_not_rise_or_do_not_end_with_the_latest() {
        let list = |versions: &[u64]| AttributeValue::L(versions.iter().map(|version| number(*version)).collect());
        for (entity, versions) in [
            (member("gone"), &[17][..]),
            (member("back"), &[19, 19]),
            (member("back"), &[20]),
            ("tasks#c".to_owned(), &[3]),
        ] {
            let found = sound().set(&entity, "removed_at", list(versions)).violated();
            assert_eq!(found, [at(Check::AttributesAgree, &entity)], "{versions:?}");
        }
    }

    #[test]
    fn a_membership_under_an_id_that_does_not_follow_from_its_user() {
        let key: RowKey = "memberships#mine".parse().expect("a key");
        let columns = json!({"user": "eve", "role": 400}).as_object().expect("columns").clone();
        let row = Row::written(None, key, Write::Put(columns), ServerVersion::try_from(2).expect("a version"));
        let reading = sound().remove(&member("olga")).insert(StoredItem::of_row(&project_id(), &row));
        let expected = [at(Check::MembershipId, "memberships#mine"), at(Check::ChecksumsAgree, "")];
        assert_eq!(reading.violated(), expected);
    }

    #[test]
    fn a_row_that_miscounts_its_writes() {
        let found = sound().set("tasks#b", "writes", number(3)).violated();
        assert_eq!(found, [at(Check::WritesAgree, "tasks#b"), at(Check::WritesAddUp, "")]);
    }

    #[test]
    fn a_project_without_its_own_row_or_with_anothers() {
        let found = moved("projects#p", "projects#q").violated();
        assert!(found.contains(&at(Check::ProjectRow, "")) && found.contains(&at(Check::ProjectRow, "projects#q")));
    }
}
