//! The memberships after a restore: who must lose access again, and who owns the project.

use std::collections::{BTreeMap, BTreeSet};

use shared::domain::{Collection, Error, Membership, Role, Row, RowKey, parse};

use super::finish::Fix;

type Rows = BTreeMap<RowKey, Row>;

/// The memberships that must be written so that a live project has an owner, and so that nobody has more access than the lost
/// table gave, if that can be read.
///
/// A membership that is dead in the lost table stays dead, and one with a lower role there gets that role. A project that is then
/// without an owner gets one of the lost table. Without the lost table the project keeps an owner of its own, or gets back the
/// one who was removed last. If there never was any, the member with the highest role becomes the owner.
///
/// Once these are written, this function returns none.
pub(super) fn unfit(rows: &Rows, lost: Option<&Rows>, deleted: bool) -> Result<Vec<Fix>, Error> {
    let live = members(rows, true)?;
    let mut wanted: BTreeMap<&RowKey, Membership> = BTreeMap::new();
    for (key, membership) in &live {
        let role = match lost.and_then(|lost| lost.get(*key)) {
            None => membership.role,
            Some(row) if row.live().is_none() => continue,
            Some(row) => membership.role.min(parse::<Membership>(row.columns())?.role),
        };
        wanted.insert(key, Membership { role, ..membership.clone() });
    }
    let has_owner = wanted.values().any(|membership| membership.role == Role::Owner);
    if !deleted && !has_owner {
        wanted.extend(heir(rows, lost)?);
    }
    let keys: BTreeSet<&RowKey> = live.keys().chain(wanted.keys()).copied().collect();
    let fix = |key: &RowKey| match (live.get(key), wanted.get(key)) {
        (Some(before), None) => Some(Fix::EndMembership(key.id.clone(), before.clone())),
        (before, Some(wanted)) if before.map(|before| before.role) != Some(wanted.role) => {
            Some(Fix::SetMembership(key.id.clone(), wanted.clone()))
        }
        _ => None,
    };
    Ok(keys.into_iter().filter_map(fix).collect())
}

/// The member who becomes the owner of a project that has none. It is always the same one, so that a run after an interrupted one
/// decides the same.
fn heir<'a>(rows: &'a Rows, lost: Option<&'a Rows>) -> Result<Option<(&'a RowKey, Membership)>, Error> {
    let owners = |rows, live| -> Result<Vec<_>, Error> {
        let members = members(rows, live)?.into_iter();
        Ok(members.filter(|(_, membership)| membership.role == Role::Owner).collect())
    };
    let live = members(rows, true)?;
    if let Some(lost) = lost {
        // A member whom the backup knows is preferred.
        let owner = owners(lost, true)?.into_iter().min_by_key(|(key, _)| (!live.contains_key(*key), *key));
        if owner.is_some() {
            return Ok(owner);
        }
    }
    for live in [true, false] {
        let newest = owners(rows, live)?.into_iter().max_by_key(|(key, _)| rows[*key].version);
        if newest.is_some() {
            return Ok(newest);
        }
    }
    let highest = live.into_iter().max_by_key(|(key, membership)| (membership.role, rows[*key].version));
    Ok(highest.map(|(key, membership)| (key, Membership { role: Role::Owner, ..membership })))
}

/// The live or the dead memberships, with their last content.
fn members(rows: &Rows, live: bool) -> Result<BTreeMap<&RowKey, Membership>, Error> {
    let memberships = rows.iter().filter(|(key, _)| key.collection == Collection::Memberships);
    let memberships = memberships.filter(|(_, row)| row.live().is_some() == live);
    memberships.map(|(key, row)| Ok((key, parse(row.columns())?))).collect()
}
