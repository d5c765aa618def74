//! The report of an audit: JSON for programs, a few lines for people.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use shared::domain::ProjectId;

use super::check::{Check, Violation};
use super::world::{Counts, Judgement};

/// The maximum number of violations in the list. All are counted.
const LISTED: usize = 1_000;
/// The maximum number of violations in the lines for people.
const SHOWN: usize = 10;

/// The result of an audit in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every project was checked, and no violation was found.
    #[default]
    Sound,
    /// No violation was found, but not everything could be checked: a project kept changing, or its index stayed behind.
    Unsettled,
    /// A violation was found.
    Violated,
}

impl Verdict {
    /// The exit status of the command: 0 if sound, 1 if violated, 2 if unsettled.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Sound => 0,
            Self::Unsettled => 2,
            Self::Violated => 1,
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The number of things that were checked.
    pub looked_at: u64,
    /// The number of violations.
    pub violations: u64,
}

/// The result for one project.
pub(super) enum Outcome {
    /// The project did not change and was judged. The number counts the rows that were behind in the index at first.
    Judged(Judgement, usize),
    /// The project changed during each read.
    Moving,
}

/// The report of an audit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The table's name.
    pub table: String,
    /// The result in one word.
    pub verdict: Verdict,
    /// Projects that were judged and live.
    pub live_projects: u64,
    /// Projects that were judged and are deleted.
    pub deleted_projects: u64,
    /// Projects that kept changing and were not judged.
    pub moving_projects: Vec<String>,
    /// The numbers of rows and versions.
    pub counts: Counts,
    /// Rows that were behind in the index when they were first read.
    pub index_behind_at_first: u64,
    /// Rows that were still behind in the index at the end: `project/row`.
    pub index_behind: Vec<String>,
    /// The result of each check.
    pub checks: BTreeMap<Check, Tally>,
    /// The first 1,000 violations.
    pub violations: Vec<Violation>,
}

impl Report {
    pub(super) fn look(&mut self, check: Check, things: usize) {
        self.checks.entry(check).or_default().looked_at += things as u64;
    }

    pub(super) fn violation(&mut self, violation: Violation) {
        self.checks.entry(violation.check).or_default().violations += 1;
        if self.violations.len() < LISTED {
            self.violations.push(violation);
        }
    }

    /// Adds the result for a project.
    pub(super) fn add(&mut self, project: &ProjectId, outcome: Outcome) {
        let (judgement, behind_at_first) = match outcome {
            Outcome::Moving => return self.moving_projects.push(project.to_string()),
            Outcome::Judged(judgement, behind_at_first) => (judgement, behind_at_first),
        };
        *(if judgement.deleted { &mut self.deleted_projects } else { &mut self.live_projects }) += 1;
        self.counts.add(judgement.counts);
        self.index_behind_at_first += behind_at_first as u64;
        self.index_behind.extend(judgement.behind.into_iter().map(|entity| format!("{project}/{entity}")));
        for (check, things) in judgement.looked_at {
            self.checks.entry(check).or_default().looked_at += things;
        }
        judgement.violations.into_iter().for_each(|violation| self.violation(violation));
    }

    /// Sets the verdict.
    pub(super) fn finish(&mut self) {
        // Checks without anything to check are listed too.
        for check in Check::ALL {
            self.checks.entry(check).or_default();
        }
        self.verdict = if self.all_violations() > 0 {
            Verdict::Violated
        } else if self.moving_projects.is_empty() && self.index_behind.is_empty() {
            Verdict::Sound
        } else {
            Verdict::Unsettled
        };
    }

    /// The text of the progress line after the number of projects.
    pub(super) fn progress(&self) -> String {
        match self.all_violations() {
            0 => format!("{} rows", self.counts.rows()),
            violations => format!("{} rows, {violations} violations", self.counts.rows()),
        }
    }

    fn all_violations(&self) -> u64 {
        self.checks.values().map(|tally| tally.violations).sum()
    }
}

impl Counts {
    /// The number of live and dead rows.
    fn rows(&self) -> u64 {
        self.live.values().sum::<u64>() + self.tombstones
    }

    fn add(&mut self, other: Self) {
        for (collection, rows) in other.live {
            *self.live.entry(collection).or_default() += rows;
        }
        self.tombstones += other.tombstones;
        self.versions += other.versions;
        self.skipped += other.skipped;
        self.archived += other.archived;
        self.unlisted += other.unlisted;
        self.indexed += other.indexed;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let live: Vec<String> = counts.live.iter().map(|(name, rows)| format!("{rows} {name}")).collect();
        writeln!(f, "table     {}", self.table)?;
        writeln!(f, "projects  {} live, {} deleted", self.live_projects, self.deleted_projects)?;
        for project in self.moving_projects.iter().take(SHOWN) {
            writeln!(f, "          {project} kept changing and was not checked")?;
        }
        let live = if live.is_empty() { "none".to_owned() } else { live.join(", ") };
        writeln!(f, "rows      live: {live}; {} tombstones", counts.tombstones)?;
        let (versions, skipped, archived) = (counts.versions, counts.skipped, counts.archived);
        let by_sum = counts.unlisted;
        writeln!(
            f,
            "versions  {versions}; {skipped} skipped, {archived} archived, {by_sum} known only from revision counts"
        )?;
        let (indexed, behind) = (counts.indexed, self.index_behind.len());
        writeln!(f, "index     {indexed} copies; {behind} behind ({} at first)", self.index_behind_at_first)?;
        for row in self.index_behind.iter().take(SHOWN) {
            writeln!(f, "          {row} is behind")?;
        }
        let violations = self.all_violations();
        let idle = self.checks.values().filter(|tally| tally.looked_at == 0).count();
        writeln!(f, "checks    {}, {idle} of them with nothing to check; violations: {violations}", self.checks.len())?;
        for violation in self.violations.iter().take(SHOWN) {
            writeln!(f, "          {violation}")?;
        }
        if violations > SHOWN as u64 {
            writeln!(f, "          … and {} more", violations - SHOWN as u64)?;
        }
        let verdict = match self.verdict {
            Verdict::Sound => "sound: no violation found",
            Verdict::Unsettled => "unsettled: no violation found, but not everything could be checked; run this again",
            Verdict::Violated => "VIOLATED: the table breaks invariants of commits",
        };
        write!(f, "verdict   {verdict}")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.project)?;
        if let Some(entity) = &self.entity {
            write!(f, "/{entity}")?;
        }
        f.write_str(": ")?;
        // The same name as in the JSON.
        self.check.serialize(&mut *f)?;
        write!(f, ": {}", self.detail)?;
        self.written.as_ref().map_or(Ok(()), |written| write!(f, " (last written: {written})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Judgement;
    use crate::verify::testing::{Project, project_id, task};

    fn report(outcomes: impl IntoIterator<Item = Outcome>) -> Report {
        let mut report = Report::default();
        outcomes.into_iter().for_each(|outcome| report.add(&project_id(), outcome));
        report.finish();
        report
    }

    fn sound() -> Outcome {
        Outcome::Judged(Project::sound().reading().judged(), 0)
    }

    #[test]
    fn a_sound_table_is_told_from_one_that_was_not_wholly_judged_and_from_a_violated_one() {
        assert_eq!(report([sound(), sound()]).verdict, Verdict::Sound);
        assert_eq!(report([sound(), Outcome::Moving]).verdict, Verdict::Unsettled);
        let behind = Judgement { behind: vec!["tasks#a".into()], ..Judgement::default() };
        assert_eq!(report([Outcome::Judged(behind, 3)]).verdict, Verdict::Unsettled);
        let violated = Project::sound().delete("tasks#c").reading().judged();
        assert_eq!(report([Outcome::Judged(violated, 0), Outcome::Moving]).verdict, Verdict::Violated);
        assert_eq!([Verdict::Sound, Verdict::Violated, Verdict::Unsettled].map(Verdict::exit_code), [0, 1, 2]);
    }

    #[test]
    fn a_report_counts_all_violations_and_lists_the_first_thousand() {
        let edges = (0..1_100).fold(Project::sound(), |project, n| {
            project.put(&format!("dependencies#{n}"), crate::verify::testing::edge("a", &format!("z{n}")))
        });
        let report = report([Outcome::Judged(edges.reading().judged(), 0)]);
        assert_eq!(report.violations.len(), 1_000);
        assert_eq!(report.checks[&Check::EdgeNamesLiveTasks].violations, 1_100);
        assert!(report.to_string().contains("… and 1090 more"), "{report}");
    }

    #[test]
    fn a_report_is_json_and_says_of_each_check_how_much_it_looked_at() {
        let json = serde_json::to_value(report([sound()])).expect("JSON");
        assert_eq!(json["verdict"], "sound");
        assert_eq!(json["checks"].as_object().expect("checks").len(), Check::ALL.len());
        assert_eq!(json["checks"]["no_cycle"], serde_json::json!({"looked_at": 2, "violations": 0}));
    }

    #[test]
    fn a_report_never_says_what_a_row_says() {
        let secret = Project::sound().put("tasks#c", task("Secret")).reading().set(
            "tasks#c",
            "deleted_version",
            crate::verify::testing::number(3),
        );
        let report = report([Outcome::Judged(secret.judged(), 0)]);
        assert_eq!(report.verdict, Verdict::Violated);
        assert!(!serde_json::to_string(&report).expect("JSON").contains("Secret"));
    }
}
