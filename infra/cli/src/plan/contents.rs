//! The contents of a project as a device gets them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shared::domain::{Collection, Columns, ProjectId, Row, RowId, RowKey};

use crate::client::{CallError, Client};

/// A project at one version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contents {
    /// The version.
    pub mark: u64,
    /// The live rows, as REST shows their columns.
    pub rows: BTreeMap<RowKey, Columns>,
    /// The versions of the live rows.
    pub versions: BTreeMap<RowKey, u64>,
    /// The ids of deleted rows.
    pub dead: BTreeSet<RowKey>,
}

impl Contents {
    /// The live rows of a collection, by id.
    pub fn of(&self, collection: Collection) -> impl Iterator<Item = (&RowId, &Columns)> {
        self.rows.iter().filter(move |(key, _)| key.collection == collection).map(|(key, row)| (&key.id, row))
    }

    /// Adds the changes of a sync response.
    fn add(&mut self, call: &str, changes: &Value) -> Result<(), CallError> {
        let strange = |why: String| CallError::Strange { call: call.to_owned(), why };
        for collection in Collection::ALL {
            let changes = &changes[collection.name()];
            let key = |id: &Value| -> Result<RowKey, CallError> {
                let id = id.as_str().and_then(|id| id.parse().ok());
                Ok(RowKey::new(collection, id.ok_or_else(|| strange("a row has no id".to_owned()))?))
            };
            for row in changes["updated"].as_array().into_iter().flatten() {
                let key = key(&row["id"])?;
                let columns = Row::columns_of(collection.into(), &row.to_string()).map(|(columns, _)| columns);
                self.dead.remove(&key);
                self.versions.insert(key.clone(), row["server_version"].as_u64().unwrap_or_default());
                self.rows.insert(key, columns.map_err(|error| strange(error.to_string()))?);
            }
            for id in changes["deleted"].as_array().into_iter().flatten() {
                let key = key(id)?;
                self.rows.remove(&key);
                self.versions.remove(&key);
                self.dead.insert(key);
            }
        }
        Ok(())
    }
}

/// Pulls a whole project, in pages if it is large. If the caller is not a member, the error's code is `not_a_member`.
///
/// Each page includes every commit in full or not at all, so commits made while pages are read are never cut.
pub async fn read(client: &Client, project: &ProjectId) -> Result<Contents, CallError> {
    let mut contents = Contents::default();
    loop {
        let path = format!("/api/v1/projects/{project}/sync?since={}", contents.mark);
        let page = client.get(&path).await?.json()?;
        contents.add(&path, &page["changes"])?;
        let mark = page["timestamp"].as_u64().filter(|mark| *mark >= contents.mark);
        contents.mark =
            mark.ok_or_else(|| CallError::Strange { call: path, why: "it has no valid timestamp".to_owned() })?;
        if page["has_more"] != true {
            let alive = contents.rows.contains_key(&RowKey::project(project));
            return if alive { Ok(contents) } else { Err(CallError::Gone(project.to_string())) };
        }
    }
}
