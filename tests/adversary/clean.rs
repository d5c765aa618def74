//! Is the table clean in the end?

use std::collections::{BTreeMap, BTreeSet};

use aws_smithy_types::base64;
use shared::domain::{ArchivedVersions, ServerVersion, Superseded};

use crate::http::PROJECT;
use crate::table::{Item, UnreliableTable};

/// Versions are dense, each is held by one row or archived, and the writes of all rows add up to the counter. Judged by the items
/// alone, in their final state.
pub(crate) fn check(table: &UnreliableTable) {
    if let Err(violation) = judge(table) {
        table.fail(format!("the table is not clean: {violation}"));
    }
}

fn judge(table: &UnreliableTable) -> Result<(), String> {
    let mut counter = 0;
    let mut writes = 0;
    let mut held: BTreeMap<u64, String> = BTreeMap::new();
    let mut archive = BTreeSet::new();
    // Older code drops versions without archiving them.
    let mut lost_below = 0;
    for ((project, entity), item) in table.items() {
        if project != PROJECT {
            continue;
        }
        if entity == "_counter" {
            counter = number(&item, "current_version");
            continue;
        }
        if entity.starts_with("_dropped#") {
            archive.extend(archived(&item)?);
            continue;
        }
        writes += number(&item, "writes");
        let version = number(&item, "server_version");
        let list = superseded(&item, version)?;
        let known_from = item.get("archived_from").map_or(list.floor(), |_| number(&item, "archived_from"));
        lost_below = lost_below.max(known_from);
        for version in list.versions().iter().copied().chain([version]) {
            if let Some(other) = held.insert(version, entity.clone()) {
                return Err(format!("{version} is held by {other} and by {entity}"));
            }
        }
    }
    if writes != counter {
        return Err(format!("{writes} writes, and the counter is at {counter}"));
    }
    match (lost_below.max(1)..=counter).find(|version| !held.contains_key(version) && !archive.contains(version)) {
        Some(version) => Err(format!("{version} is held by no row, and not archived")),
        None => Ok(()),
    }
}

/// The versions of an archive.
pub(crate) fn archived(item: &Item) -> Result<Vec<u64>, String> {
    let newest = item["entity"]["S"].as_str().and_then(|entity| entity.strip_prefix("_dropped#"));
    let newest = newest.and_then(|digits| digits.parse::<u64>().ok()).ok_or("a key without a version")?;
    let bytes =
        base64::decode(item["versions"]["B"].as_str().ok_or("no versions")?).map_err(|error| error.to_string())?;
    let newest = ServerVersion::try_from(newest).map_err(|error| error.to_string())?;
    let archived = ArchivedVersions::decode(None, newest, &bytes).map_err(|error| error.to_string())?;
    Ok(archived.versions().to_vec())
}

fn superseded(item: &Item, version: u64) -> Result<Superseded, String> {
    let Some(list) = item.get("superseded").and_then(|list| list["B"].as_str()) else {
        return Ok(Superseded::default());
    };
    let bytes = base64::decode(list).map_err(|error| error.to_string())?;
    let version = ServerVersion::try_from(version).map_err(|error| error.to_string())?;
    Superseded::decode(&bytes, version).map_err(|error| error.to_string())
}

fn number(item: &Item, name: &str) -> u64 {
    item[name]["N"].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}
