//! Checks that every version from 1 to the counter was given to exactly one row, and that the row has it or held it.

use super::archive;
use super::check::Check;
use super::world::World;

pub(super) fn check(world: &mut World<'_>) {
    // Each version with the row that has it or held it, in order.
    let mut held: Vec<(u64, String)> = Vec::new();
    // Below this version, a row may have held versions that its history does not name any more and that were not archived.
    let mut cut = 0;
    let mut writes = 0_u64;
    for (row, _) in world.rows.values() {
        held.extend(row.versions().map(|version| (version.get(), row.key.to_string())));
        cut = cut.max(row.archived_above.unwrap_or(row.history.silent_through()).floor());
        writes = writes.saturating_add(row.revision_count);
    }
    held.sort_unstable();
    held_once(world, &held);
    let Some(counter) = world.counter.clone() else { return };
    let current = counter.current.get();
    on_counter(world, &held, current);
    let skipped = skipped(world, &counter.skipped, &held, current);
    world.judgement.counts.versions = current;
    world.judgement.counts.skipped = skipped;

    let archived = archive::versions(&world.archive);
    world.judgement.counts.archived = archived.len() as u64;
    let mut versions: Vec<u64> = held.iter().map(|(version, _)| *version).chain(archived).collect();
    versions.sort_unstable();
    let mut unlisted = 0;
    world.look(Check::VersionHeld, usize::try_from(current).unwrap_or(usize::MAX));
    for (first, last) in gaps(&versions, &counter.skipped, current) {
        unlisted += cut.min(last + 1).saturating_sub(first);
        let first = first.max(cut);
        if first <= last {
            let which = if first == last { format!("version {first}") } else { format!("versions {first} to {last}") };
            world.violation_of_project(Check::VersionHeld, format!("{which}: no row has it, and it is not archived"));
        }
    }
    world.judgement.counts.unlisted = unlisted;

    world.look(Check::WritesAddUp, 1);
    if writes.saturating_add(skipped) != current {
        let detail = format!(
            "the rows were written {writes} times, {skipped} versions are skipped, but the counter is {current}"
        );
        world.violation_of_project(Check::WritesAddUp, detail);
    }
}

fn held_once(world: &mut World<'_>, held: &[(u64, String)]) {
    world.look(Check::VersionHeldOnce, held.len());
    for pair in held.windows(2) {
        let ((version, one), (next, other)) = (&pair[0], &pair[1]);
        if version == next {
            world.violation(Check::VersionHeldOnce, one, format!("{other} also has version {version}"));
        }
    }
}

fn on_counter(world: &mut World<'_>, held: &[(u64, String)], current: u64) {
    world.look(Check::VersionOnCounter, held.len());
    for (version, holder) in held.iter().filter(|(version, _)| *version > current) {
        world.violation(Check::VersionOnCounter, holder, format!("version {version} is above the counter, {current}"));
    }
}

/// Checks the skipped ranges. Returns the number of their versions.
fn skipped(world: &mut World<'_>, ranges: &[(u64, u64)], held: &[(u64, String)], current: u64) -> u64 {
    world.look(Check::SkippedHeldByNone, ranges.len());
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    let mut before = 0;
    let mut sum = 0_u64;
    for (first, last) in ranges {
        if first <= before || last < first || last > current {
            let detail =
                format!("the range {first} to {last} is empty, overlaps another, or is not within 1 to {current}");
            world.violation_of_project(Check::SkippedHeldByNone, detail);
        }
        let holders = &held[held.partition_point(|(version, _)| *version < first)..];
        for (version, holder) in holders.iter().take_while(|(version, _)| *version <= last) {
            world.violation(Check::SkippedHeldByNone, holder, format!("it has version {version}, which is skipped"));
        }
        before = before.max(last);
        sum = sum.saturating_add((last + 1).saturating_sub(first));
    }
    sum
}

/// The ranges of versions from 1 to `current` that are neither among the sorted `held` versions nor skipped.
fn gaps(held: &[u64], skipped: &[(u64, u64)], current: u64) -> Vec<(u64, u64)> {
    let mut covered: Vec<(u64, u64)> = held.iter().map(|version| (*version, *version)).collect();
    covered.extend(skipped);
    covered.sort_unstable();
    let mut gaps = Vec::new();
    let mut next = 1;
    for (first, last) in covered {
        if first > next && next <= current {
            gaps.push((next, (first - 1).min(current)));
        }
        next = next.max(last.saturating_add(1));
    }
    if next <= current {
        gaps.push((next, current));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Reading;
    use crate::verify::testing::{Project, at, bytes, number, task};

    /// The version of a row, in the attribute and in the JSON.
    fn renumber(reading: Reading, entity: &str, from: u64, to: u64) -> Reading {
        let names = [from, to].map(|version| format!(r#""server_version":{version}"#));
        reading.set(entity, "server_version", number(to)).corrupt_json(entity, &names[0], &names[1])
    }

    #[test]
    fn a_version_that_two_rows_hold_and_one_that_none_holds() {
        let found = renumber(Project::sound().reading(), "tasks#c", 9, 8).violated();
        let expected =
            [at(Check::VersionHeldOnce, "tasks#b"), at(Check::VersionHeld, ""), at(Check::ChecksumsAgree, "")];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_row_that_is_gone() {
        let found = Project::sound().reading().remove("tasks#dead").violated();
        assert_eq!(found, [at(Check::VersionHeld, ""), at(Check::WritesAddUp, "")]);
        let judgement = Project::sound().reading().remove("tasks#dead").judged();
        let details: Vec<_> = judgement.violations.iter().map(|violation| violation.detail.as_str()).collect();
        assert!(["10", "17"].iter().all(|version| {
            details.contains(&format!("version {version}: no row has it, and it is not archived").as_str())
        }));
    }

    #[test]
    fn a_version_above_the_counter() {
        let found = renumber(Project::sound().reading(), "tasks#c", 9, 900).violated();
        let expected =
            [at(Check::VersionHeld, ""), at(Check::VersionOnCounter, "tasks#c"), at(Check::ChecksumsAgree, "")];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_busy_rows_cut_list_is_no_violation_but_a_gap_above_its_cut_is() {
        let busy = (0..400).fold(Project::sound(), |project, n| project.put("tasks#c", task(&format!("Roof {n}"))));
        assert_eq!(busy.reading().judged().violations, []);
        // The counter includes version 420, and the shorter history does not name it. So the version belongs to no row.
        let shorter = busy.reading().corrupt("tasks#c", |item| {
            let list = item["superseded"].as_b().expect("bytes").as_ref();
            // The floor takes two bytes, and each neighbouring version one. So the newest two are merged into one.
            let merged = [&list[..2], &[list[2] + list[3]], &list[4..]].concat();
            item.insert("superseded".to_owned(), bytes(merged));
        });
        assert_eq!(shorter.violated(), [at(Check::VersionHeld, ""), at(Check::ArchiveAgrees, "tasks#c")]);
    }

    #[test]
    fn skipped_versions_count_as_held_and_may_be_held_by_none() {
        let restored = Project::sound().skip(1_000_000);
        assert_eq!(restored.reading().judged().violations, []);
        assert_eq!(Project::sound().skip(7).put("tasks#d", task("Later")).reading().judged().violations, []);
        let held = renumber(Project::sound().skip(7).reading(), "tasks#c", 9, 23).violated();
        let expected =
            [at(Check::VersionHeld, ""), at(Check::SkippedHeldByNone, "tasks#c"), at(Check::ChecksumsAgree, "")];
        assert_eq!(held, expected);
    }

    #[test]
    fn skipped_ranges_that_overlap_or_leave_the_counter() {
        use aws_sdk_dynamodb::types::AttributeValue;
        let ranges = |ranges: &[(u64, u64)]| {
            AttributeValue::L(ranges.iter().map(|r| AttributeValue::L(vec![number(r.0), number(r.1)])).collect())
        };
        for bad in [&[(22, 27), (25, 28)][..], &[(22, 29)], &[(28, 22)], &[(0, 0), (22, 28)]] {
            let found = Project::sound().skip(7).reading().set("_counter", "skipped", ranges(bad)).violated();
            assert!(found.contains(&at(Check::SkippedHeldByNone, "")), "{bad:?}");
        }
    }

    #[test]
    fn writes_that_do_not_add_up_to_the_counter() {
        let found = Project::sound().reading().set("_counter", "current_version", number(22)).violated();
        let expected = [at(Check::VersionHeld, ""), at(Check::WritesAddUp, ""), at(Check::LastInPlace, "")];
        assert_eq!(found, expected);
    }

    #[test]
    fn gaps_are_what_neither_rows_nor_skipped_ranges_cover() {
        assert_eq!(gaps(&[1, 2, 5], &[(7, 8)], 10), [(3, 4), (6, 6), (9, 10)]);
        assert_eq!(gaps(&[], &[(1, 10)], 10), []);
        assert_eq!(gaps(&[12], &[], 10), [(1, 10)]);
    }
}
