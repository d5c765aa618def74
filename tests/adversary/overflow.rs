//! Tests rows that are written many hundred times, on a table without faults. Their pulls need only the index and the archive.

use shared::domain::VersionHistory;

use crate::figures::Figures;
use crate::operations::Kind;
use crate::run::play;
use crate::scenario::{Scenario, Weights};
use crate::table::Faults;

/// There is one writer, so that a device rarely meets a commit that is under way.
fn hot_rows(max_history_bytes: usize) -> Scenario {
    let mut weights = Weights::only(&[(Kind::ChangeTask, 95), (Kind::CreateTask, 2), (Kind::Batch, 1)]);
    weights.heat = 0.97;
    Scenario {
        name: "overflow",
        writers: 1,
        devices: 4,
        operations: 900,
        tasks: 4,
        edges: 0,
        hubs: 0,
        newer_writes: 0,
        restores: 0,
        kept: None,
        writer_pause: 40,
        device_pause: 800,
        weights,
        plain_clients: false,
        max_history_bytes,
        has_older_code: false,
        faults: Faults::NONE,
    }
}

fn taken(figures: &Figures, way: &str) -> u64 {
    figures.pulls.get(way).copied().unwrap_or(0)
}

#[test]
fn rows_that_are_written_many_hundred_times_are_pulled_by_the_first_reading() {
    for (seed, max_history_bytes) in [(1, VersionHistory::MAX_BYTES), (2, 20), (3, 5)] {
        let (figures, _) =
            play(seed, &hot_rows(max_history_bytes), false).map_err(|failure| failure.violation).expect("no violation");
        let archives = figures.calls.get("BatchWriteItem").copied().unwrap_or(0);
        assert!(archives > 0, "nothing was archived with lists of {max_history_bytes} bytes");
        for dearer in ["asked_again", "strong", "503 busy", "503 not_proven"] {
            assert_eq!(taken(&figures, dearer), 0, "{max_history_bytes} bytes: {}", figures.ways());
        }
        assert!(taken(&figures, "first_read") > 50, "{}", figures.ways());
    }
}
