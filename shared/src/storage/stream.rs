//! The table's stream, which is read to find out which projects moved and who was removed from one.
//!
//! The stream has every write of the table, unless the function's event source leaves some out. Only two kinds of writes count
//! here. All others are [`Change::Other`]: writes of other versions of the code, items that DynamoDB removes by itself, and the
//! items of open connections.

use serde::Deserialize;
use serde_json::Value;

use super::layout::COUNTER;
use crate::domain::{Collection, ProjectId, ServerVersion, UserId, json};

/// One record of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its place in the stream, so that Lambda can be asked for it again.
    pub sequence_number: String,
    /// The meaning of the record.
    pub change: Change,
}

/// The meaning of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A commit moved the project to this version.
    Moved {
        /// The project.
        project: ProjectId,
        /// Its counter after the commit.
        version: ServerVersion,
    },
    /// A membership became a tombstone.
    Removed {
        /// The project.
        project: ProjectId,
        /// The user whose membership it was.
        user: UserId,
    },
    /// A change that watchers need not be told of.
    Other,
    /// A record that should be one of the first two kinds, but cannot be read.
    Unreadable,
}

/// The records of an event of the stream, in their order.
pub fn changes(event: &Value) -> Vec<StreamRecord> {
    let records = event.get("Records").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    records
        .iter()
        .map(|record| StreamRecord { sequence_number: sequence_number(record), change: change(record) })
        .collect()
}

fn sequence_number(record: &Value) -> String {
    record["dynamodb"]["SequenceNumber"].as_str().unwrap_or_default().to_owned()
}

fn change(record: &Value) -> Change {
    let image = &record["dynamodb"]["NewImage"];
    let keys = &record["dynamodb"]["Keys"];
    let (Some(project), Some(entity)) = (keys["project_id"]["S"].as_str(), keys["entity"]["S"].as_str()) else {
        return Change::Unreadable;
    };
    // No item that counts here is ever removed. The key of a partition that is not a project's has a `#`.
    let (Ok(project), false) = (project.parse(), record["eventName"] == "REMOVE") else { return Change::Other };
    let collection = entity.split_once('#').map(|(collection, _)| collection);
    if entity == COUNTER {
        let version = image["current_version"]["N"].as_str().and_then(|version| version.parse::<u64>().ok());
        let version = version.and_then(|version| version.try_into().ok());
        return version.map_or(Change::Unreadable, |version| Change::Moved { project, version });
    }
    if collection == Some(Collection::Memberships.name()) && image["is_deleted"]["BOOL"] == true {
        let user = image["deleted_row"]["S"].as_str().and_then(user_of);
        return user.map_or(Change::Unreadable, |user| Change::Removed { project, user });
    }
    Change::Other
}

fn user_of(membership: &str) -> Option<UserId> {
    #[derive(Deserialize)]
    struct OfUser {
        user: UserId,
    }
    let value = json::value(membership.as_bytes()).ok()?;
    Some(OfUser::deserialize(value).ok()?.user)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(name: &str, project: &str, entity: &str, image: Value) -> Value {
        json!({"eventName": name, "dynamodb": {
            "Keys": {"project_id": {"S": project}, "entity": {"S": entity}}, "NewImage": image, "SequenceNumber": "7",
        }})
    }

    fn read(record: Value) -> Change {
        changes(&json!({"Records": [record]})).remove(0).change
    }

    fn counter(version: &str) -> Value {
        json!({"current_version": {"N": version}, "last": {"M": {}}})
    }

    #[test]
    fn a_counter_says_where_its_project_is() {
        for name in ["INSERT", "MODIFY"] {
            let moved = read(record(name, "p", "_counter", counter("12")));
            let version = ServerVersion::try_from(12).expect("a version");
            assert_eq!(moved, Change::Moved { project: "p".parse().expect("a project"), version });
        }
    }

    #[test]
    fn a_membership_that_became_a_tombstone_says_who_was_removed() {
        let dead = json!({"is_deleted": {"BOOL": true}, "deleted_row": {"S": r#"{"id":"m","user":"vic","role":1}"#}});
        let removed =
            Change::Removed { project: "p".parse().expect("a project"), user: "vic".parse().expect("a user") };
        assert_eq!(read(record("MODIFY", "p", "memberships#m", dead)), removed);
        let live = json!({"row": {"S": r#"{"id":"m","user":"vic","role":1}"#}});
        assert_eq!(read(record("MODIFY", "p", "memberships#m", live)), Change::Other);
    }

    #[test]
    fn expired_items_and_items_that_belong_to_no_project_are_other_changes() {
        let dead = json!({"is_deleted": {"BOOL": true}, "deleted_row": {"S": r#"{"user":"vic"}"#}});
        for (name, project, entity, image) in [
            ("REMOVE", "p", "_counter", Value::Null),
            ("REMOVE", "request#p", "abc", Value::Null),
            ("REMOVE", "live#p#1", "c=", Value::Null),
            ("INSERT", "live#p#1", "_counter", counter("3")),
            ("MODIFY", "user#vic", "memberships#m", dead.clone()),
            ("MODIFY", "p", "tasks#t", dead.clone()),
            ("MODIFY", "p", "labels#t", dead),
            ("INSERT", "p", "_dropped#0000000000000003", json!({})),
        ] {
            assert_eq!(read(record(name, project, entity, image)), Change::Other, "{name} {project} {entity}");
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_is_told_from_those_beside_it() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        for bad in [
            json!(null),
            json!({"eventName": "MODIFY"}),
            record("MODIFY", "p", "_counter", json!({})),
            record("MODIFY", "p", "_counter", counter("-1")),
            record("MODIFY", "p", "_counter", counter("99999999999999999999")),
            record("MODIFY", "p", "memberships#m", json!({"is_deleted": {"BOOL": true}})),
            record("MODIFY", "p", "memberships#m", json!({"is_deleted": {"BOOL": true}, "deleted_row": {"S": deep}})),
        ] {
            let event = json!({"Records": [bad, record("MODIFY", "p", "_counter", counter("12"))]});
            let read = changes(&event);
            assert_eq!(read[0].change, Change::Unreadable, "{event}");
            assert!(matches!(read[1].change, Change::Moved { .. }), "{event}");
        }
        assert_eq!(changes(&json!({"sweep": true})), []);
    }
}
