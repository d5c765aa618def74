//! The scenario of a seed: who writes how much of what, who pulls, and how unreliable the table is.

use std::time::Duration;

use fastrand::Rng;
use shared::domain::VersionHistory;
use sync::Limits;

use crate::operations::Kind;
use crate::table::{Delays, Faults, Lag};

/// The users of a project, with their first roles. The last one is not a member yet.
pub(crate) const USERS: [(&str, i64); 7] =
    [("olga", 400), ("otto", 400), ("adam", 300), ("sofia", 200), ("mia", 100), ("vic", 1), ("nora", 0)];

/// The name of scenarios in which many devices are given kept pages.
pub(crate) const HERD: &str = "herd";

/// The name of scenarios in which the table is restored.
pub(crate) const RESTORES: &str = "restores";

/// The scenario of one seed.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) writers: usize,
    pub(crate) devices: usize,
    pub(crate) operations: u64,
    /// The number of tasks and edges at the beginning.
    pub(crate) tasks: usize,
    pub(crate) edges: usize,
    /// Tasks with four edges to each of those.
    pub(crate) hubs: usize,
    /// The maximum milliseconds between a writer's operations, and between a device's pulls.
    pub(crate) writer_pause: u64,
    pub(crate) device_pause: u64,
    pub(crate) weights: Weights,
    /// Whether nobody is killed and devices ask for no smaller pages.
    pub(crate) plain_clients: bool,
    /// The maximum size of a row's version history.
    pub(crate) max_history_bytes: usize,
    /// Whether one of the two instances of each writer does not know the archive.
    pub(crate) has_older_code: bool,
    pub(crate) faults: Faults,
    /// How often a newer version of the product writes beside this one.
    pub(crate) newer_writes: u64,
    /// The number of times that the table is lost and restored from a backup.
    pub(crate) restores: usize,
    /// The limits of kept pages, if instances keep any.
    pub(crate) kept: Option<Limits>,
}

/// How often each kind of operation is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    kinds: Vec<(Kind, u32)>,
    /// How often one of the few hot rows is chosen, and the number of hot rows.
    pub(crate) heat: f64,
    pub(crate) hot_rows: usize,
}

impl Weights {
    pub(crate) fn draw(&self, rng: &mut Rng) -> Kind {
        let mut at = rng.u32(0..self.kinds.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in &self.kinds {
            if at < *weight {
                return *kind;
            }
            at -= weight;
        }
        Kind::Read
    }

    /// Only these kinds of operations.
    pub(crate) fn only(kinds: &[(Kind, u32)]) -> Self {
        Self { kinds: kinds.to_vec(), heat: 0.0, hot_rows: 1 }
    }

    /// A little of everything, and more of some.
    fn with(more: &[(Kind, u32)]) -> Self {
        let mut kinds = vec![
            (Kind::CreateTask, 12),
            (Kind::ChangeTask, 24),
            (Kind::DeleteTask, 6),
            (Kind::CreateEdge, 10),
            (Kind::ChangeEdge, 5),
            (Kind::DeleteEdge, 3),
            (Kind::CreateCalendar, 3),
            (Kind::ChangeCalendar, 2),
            (Kind::DeleteCalendar, 2),
            (Kind::ChangeProject, 4),
            (Kind::AddMember, 4),
            (Kind::ChangeMember, 4),
            (Kind::RemoveMember, 2),
            (Kind::Leave, 1),
            (Kind::Read, 8),
            (Kind::List, 2),
            (Kind::MyProjects, 1),
            (Kind::Batch, 8),
        ];
        kinds.extend_from_slice(more);
        Self { kinds, heat: 0.2, hot_rows: 3 }
    }
}

impl Scenario {
    /// In two seeds of three, version histories hold few versions, so that rows drop versions again and again. In a quarter of
    /// these seeds, deployments overlap.
    fn with_short_lists(self, rng: &mut Rng) -> Self {
        let max_history_bytes = [VersionHistory::MAX_BYTES, rng.usize(4..=8), rng.usize(8..=24)][rng.usize(..3)];
        let has_older_code = max_history_bytes < VersionHistory::MAX_BYTES && rng.u8(..4) == 0;
        Self { max_history_bytes, has_older_code, ..self }
    }

    /// The scenario of this seed.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x5ce_aa51);
        let everyday = Self {
            name: "everyday",
            writers: rng.usize(2..=6),
            devices: rng.usize(2..=5),
            operations: rng.u64(380..=470),
            tasks: rng.usize(2..=15),
            edges: rng.usize(0..=10),
            hubs: 0,
            writer_pause: [5, 40, 200][rng.usize(0..3)],
            device_pause: [200, 800, 3_000][rng.usize(0..3)],
            weights: Weights::with(&[]),
            plain_clients: false,
            max_history_bytes: VersionHistory::MAX_BYTES,
            has_older_code: false,
            faults: Faults::draw(&mut rng),
            // This happens in every other seed.
            newer_writes: if seed % 2 == 1 { 60 } else { 0 },
            restores: 0,
            kept: None,
        };
        let everyday = everyday.with_short_lists(&mut Rng::with_seed(seed ^ 0xa2c_417e));
        let drawn = everyday.of_a_kind(&mut rng);
        drawn
            .with_restores(&mut Rng::with_seed(seed ^ 0x8e5_704e))
            .with_kept_pages(&mut Rng::with_seed(seed ^ 0x4e2_d000))
    }

    /// In every other seed instances keep pages, however small. A third of these are a herd: many devices whose users are removed
    /// and added again quickly, over an index that is current, so that a page from before a user was added can be told from a
    /// late one.
    fn with_kept_pages(self, rng: &mut Rng) -> Self {
        if rng.bool() {
            return self;
        }
        // These bounds are reached now and then.
        let bytes = [64_000, 1_000_000][rng.usize(..2)];
        let age = Duration::from_millis([500, 4_000, 55_000][rng.usize(..3)]);
        let limits = Limits { age, min_rows: 1, rounded_part: rng.usize(2..=8), ..Limits::of_bytes(bytes) };
        let keeping = Self { kept: Some(limits), ..self };
        if rng.u8(..3) > 0 || keeping.name == "emulator" {
            return keeping;
        }
        let faults =
            Faults { lag: Lag::Drawn(Delays::NONE), overlap: Delays::NONE, tear: Delays::NONE, ..keeping.faults };
        Self {
            name: HERD,
            devices: 8,
            device_pause: 100,
            weights: Weights::with(&[
                (Kind::ChangeTask, 60),
                (Kind::DeleteTask, 20),
                (Kind::CreateTask, 20),
                (Kind::AddMember, 90),
                (Kind::RemoveMember, 50),
            ]),
            faults,
            ..keeping
        }
    }

    /// Whether an answer shows only rows of the moment of its request. Then it shows nothing from before its reader was added.
    pub(crate) fn index_is_current(&self) -> bool {
        self.name == HERD || self.name == "emulator"
    }

    /// In one seed of six the table is restored, whatever else is played.
    fn with_restores(self, rng: &mut Rng) -> Self {
        if rng.u8(..6) > 0 {
            return self;
        }
        // Versions that older code dropped without archiving them look the same as versions that a backup lacks.
        Self { restores: rng.usize(1..=3), has_older_code: false, ..self }
    }

    /// Whether the scenario includes what is named.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || (name == RESTORES && self.restores > 0)
    }

    /// Everything that the scenario plays beyond the ordinary.
    fn of_a_kind(self, rng: &mut Rng) -> Self {
        let everyday = self;
        match rng.u8(0..10) {
            0 | 1 => Self {
                name: "hot rows",
                operations: 700,
                weights: Weights {
                    heat: 0.95,
                    hot_rows: rng.usize(1..=2),
                    ..Weights::with(&[(Kind::ChangeTask, 600)])
                },
                ..everyday
            },
            2 | 3 => Self {
                name: "members come and go",
                weights: Weights::with(&[
                    (Kind::AddMember, 40),
                    (Kind::RemoveMember, 24),
                    (Kind::ChangeMember, 12),
                    (Kind::Leave, 10),
                ]),
                ..everyday
            },
            4 => {
                Self { name: "the project is deleted", weights: Weights::with(&[(Kind::DeleteProject, 1)]), ..everyday }
            }
            5 => Self {
                name: "cascades",
                tasks: 26,
                edges: 0,
                hubs: 2,
                operations: 260,
                weights: Weights {
                    heat: 0.6,
                    hot_rows: 2,
                    ..Weights::with(&[(Kind::CreateEdge, 10), (Kind::DeleteHub, 10), (Kind::CreateTask, 10)])
                },
                ..everyday
            },
            // Edges that close cycles and tasks that are deleted read collections while the commit before is still being applied.
            6 => Self {
                name: "edges race",
                operations: 600,
                writers: 6,
                tasks: 4,
                edges: 0,
                writer_pause: 5,
                weights: Weights {
                    heat: 0.8,
                    hot_rows: 3,
                    ..Weights::with(&[
                        (Kind::CreateEdge, 150),
                        (Kind::DeleteEdge, 30),
                        (Kind::DeleteTask, 30),
                        (Kind::CreateTask, 30),
                    ])
                },
                faults: Faults { tear: Delays { least: 0, usual: 25, rare: 0.04, longest: 900 }, ..everyday.faults },
                ..everyday
            },
            7 => Self { name: "emulator", faults: Faults::NONE, ..everyday },
            8 => everyday.race(rng),
            _ => everyday,
        }
    }

    /// Scenarios for rare coincidences: few rows, writers without a pause, and one kind of fault instead of all.
    fn race(self, rng: &mut Rng) -> Self {
        let calm = Faults { index_page: self.faults.index_page, ..Faults::NONE };
        let quick = Self { writers: 6, operations: 700, writer_pause: 5, tasks: 5, edges: 0, ..self };
        match rng.u8(0..3) {
            // Pulls cannot catch up, while their users are removed and added again.
            0 => Self {
                name: "removals race",
                devices: 6,
                device_pause: 40,
                plain_clients: true,
                weights: Weights::with(&[
                    (Kind::ChangeTask, 100),
                    (Kind::AddMember, 120),
                    (Kind::RemoveMember, 120),
                    (Kind::ChangeMember, 20),
                ]),
                faults: Faults {
                    network: Delays { usual: 4, rare: 0.1, longest: 60, least: 0 },
                    lag: Lag::Drawn(Delays { usual: 4, rare: 0.15, longest: 3_000, least: 0 }),
                    apart: Delays { usual: 2, rare: 0.1, longest: 60, least: 0 },
                    ..calm
                },
                ..quick
            },
            // Tasks are deleted while edges to them are created. Commits are applied piece by piece, reads take long, and other
            // commits come between that neither of the two reads.
            1 => Self {
                name: "deletions race",
                weights: Weights {
                    heat: 0.5,
                    ..Weights::with(&[
                        (Kind::CreateEdge, 150),
                        (Kind::DeleteTask, 90),
                        (Kind::CreateTask, 90),
                        (Kind::ChangeCalendar, 150),
                    ])
                },
                faults: Faults {
                    tear: Delays { usual: 4, rare: 0.3, longest: 500, least: 0 },
                    apart: Delays { usual: 10, rare: 0.3, longest: 120, least: 0 },
                    ..calm
                },
                ..quick
            },
            // Requests that took effect without an answer are repeated among conflicts.
            _ => Self {
                name: "answers get lost",
                weights: Weights { heat: 0.9, hot_rows: 2, ..Weights::with(&[(Kind::ChangeTask, 300)]) },
                faults: Faults { failed_after: 0.15, answer_lost: 0.1, spurious_conflict: 0.3, ..calm },
                ..quick
            },
        }
    }
}
