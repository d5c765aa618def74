//! Runs all checks on one project.

use std::collections::HashMap;

use shared::domain::RowKey;

use super::world::{Judgement, Reading, World};
use super::{archive, counter, index, references, rows, versions};
use crate::written::Written;

/// Checks a project that stood still while it was read.
pub fn judge(reading: &Reading) -> Judgement {
    let (rows, judgement) = (HashMap::new(), Judgement::default());
    let mut world = World { project: &reading.project, counter: None, rows, archive: vec![], judgement };
    archive::read(&mut world, &reading.stored);
    rows::read(&mut world, &reading.stored);
    rows::check(&mut world);
    counter::check(&mut world);
    versions::check(&mut world);
    archive::check(&mut world);
    references::check(&mut world);
    index::check(&mut world, reading);
    let rows = world.rows;
    let mut judgement = world.judgement;
    for violation in &mut judgement.violations {
        let key = violation.entity.as_ref().and_then(|entity| entity.parse::<RowKey>().ok());
        let row = key.and_then(|key| rows.get(&key));
        violation.written = row.and_then(|(row, _)| Written::of(row));
    }
    judgement.violations.sort_unstable();
    judgement.behind.sort_unstable();
    judgement
}
