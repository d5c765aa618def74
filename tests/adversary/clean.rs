//! Checks that the table is clean in the end.

use std::collections::{BTreeMap, BTreeSet};

use aws_smithy_types::base64;
use serde_json::Value;
use shared::domain::{ArchivedVersions, ServerVersion, VersionHistory};

use crate::http::PROJECT;
use crate::table::{Item, UnreliableTable};

/// Checks that versions are dense, that each is held by one row or archived, and that the revision counts of all rows add up to
/// the counter. It looks only at the items in their final state.
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
    let mut skipped = Vec::new();
    // Older code drops versions without archiving them.
    let mut lost_below = 0;
    for ((project, entity), item) in table.items() {
        if project != PROJECT {
            continue;
        }
        if entity == "_counter" {
            counter = number(&item, "current_version");
            skipped = skipped_ranges(&item);
            continue;
        }
        if entity.starts_with("_dropped#") {
            archive.extend(archived(&item)?);
            continue;
        }
        writes += number(&item, "writes");
        let version = number(&item, "server_version");
        let list = superseded(&item, version)?;
        let known_from =
            item.get("archived_from").map_or(list.silent_through().floor(), |_| number(&item, "archived_from"));
        lost_below = lost_below.max(known_from);
        for version in list.versions().iter().map(|version| version.get()).chain([version]) {
            if let Some(other) = held.insert(version, entity.clone()) {
                return Err(format!("{version} is held by {other} and by {entity}"));
            }
        }
    }
    let skips: u64 = skipped.iter().map(|(first, last)| last - first + 1).sum();
    if writes + skips != counter {
        return Err(format!("{writes} writes and {skips} skipped, and the counter is at {counter}"));
    }
    let mut named: Vec<(u64, u64)> = held.keys().chain(&archive).map(|version| (*version, *version)).collect();
    if let Some((version, _)) =
        named.iter().find(|(at, _)| skipped.iter().any(|(first, last)| (first..=last).contains(&at)))
    {
        return Err(format!("{version} is skipped and held"));
    }
    named.extend(skipped);
    named.sort_unstable();
    let mut next = lost_below.max(1);
    for (first, last) in named.into_iter().filter(|(_, last)| *last >= lost_below) {
        if first > next {
            break;
        }
        next = next.max(last + 1);
    }
    if next > counter { Ok(()) } else { Err(format!("{next} is held by no row, and not archived")) }
}

/// The ranges of versions that the counter says no row ever held.
pub(crate) fn skipped_ranges(counter: &Item) -> Vec<(u64, u64)> {
    let version = |value: &Value| value["N"].as_str().and_then(|text| text.parse().ok()).expect("a version");
    let ranges = counter.get("skipped").and_then(|ranges| ranges["L"].as_array()).into_iter().flatten();
    ranges.map(|range| (version(&range["L"][0]), version(&range["L"][1]))).collect()
}

/// The versions of an archive.
pub(crate) fn archived(item: &Item) -> Result<Vec<u64>, String> {
    let newest = item["entity"]["S"].as_str().and_then(|entity| entity.strip_prefix("_dropped#"));
    let newest = newest.and_then(|digits| digits.parse::<u64>().ok()).ok_or("a key without a version")?;
    let bytes =
        base64::decode(item["versions"]["B"].as_str().ok_or("no versions")?).map_err(|error| error.to_string())?;
    let newest = ServerVersion::try_from(newest).map_err(|error| error.to_string())?;
    let archived = ArchivedVersions::decode(None, newest, &bytes).map_err(|error| error.to_string())?;
    Ok(archived.versions().iter().map(|version| version.get()).collect())
}

fn superseded(item: &Item, version: u64) -> Result<VersionHistory, String> {
    let Some(list) = item.get("superseded").and_then(|list| list["B"].as_str()) else {
        return Ok(VersionHistory::default());
    };
    let bytes = base64::decode(list).map_err(|error| error.to_string())?;
    let version = ServerVersion::try_from(version).map_err(|error| error.to_string())?;
    VersionHistory::decode(&bytes, version).map_err(|error| error.to_string())
}

fn number(item: &Item, name: &str) -> u64 {
    item[name]["N"].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}
