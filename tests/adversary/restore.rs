//! The operator who restores the table while devices and writers are under way. The functions are stopped, a backup replaces the
//! table, the product's `restore` repairs it, and the functions start again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use indicatif::ProgressBar;
use ops::restore::{self, Options, RAISE, Report};
use shared::storage::Table;
use tokio::time::{Duration, sleep, timeout};

use crate::run::SDK;
use crate::table::{Faults, Items, Millis, NAME, UnreliableTable};

/// The operator of a run.
pub(crate) struct Operator {
    pub(crate) table: Arc<UnreliableTable>,
    pub(crate) rng: Rng,
    pub(crate) max_history_bytes: usize,
    /// The number of the writers' latest operation, and the numbers at which a restore begins.
    pub(crate) numbers: Arc<AtomicU64>,
    pub(crate) restores: Vec<u64>,
    /// The lost tables, each with the time in which it was used.
    lost: Vec<(Arc<UnreliableTable>, Millis, Millis)>,
}

/// The maximum number of changes between a backup and its restore.
const LOST_MOMENTS: usize = 200;
/// A time that is longer than any call takes on its way.
const SETTLED: Duration = Duration::from_secs(3);

impl Operator {
    pub(crate) fn new(
        table: Arc<UnreliableTable>,
        rng: Rng,
        max_history_bytes: usize,
        numbers: Arc<AtomicU64>,
        restores: Vec<u64>,
    ) -> Self {
        Self { table, rng, max_history_bytes, numbers, restores, lost: vec![] }
    }

    pub(crate) async fn operate(&mut self) {
        let mut used_since = self.table.now();
        for at in std::mem::take(&mut self.restores) {
            while self.numbers.load(Ordering::Relaxed) < at {
                sleep(Duration::from_millis(10)).await;
            }
            self.restore(used_since).await;
            used_since = self.table.now();
        }
    }

    async fn restore(&mut self, used_since: Millis) {
        self.table.close();
        self.table.state().figures.inject("restore");
        let until = self.table.now();
        // The backup may also be of the table before the latest restore. Then the counter is raised further.
        let again = self.lost.last().filter(|_| self.rng.u8(0..3) == 0).cloned();
        let (source, since, until) = again.clone().unwrap_or_else(|| (Arc::clone(&self.table), used_since, until));
        let moments = source.moments(since, until);
        let behind = self.rng.usize(0..moments.len().clamp(1, LOST_MOMENTS));
        let moment = moments.iter().rev().nth(behind).copied().unwrap_or(since);
        let with_lost = self.rng.bool();
        // A copy that follows the table item by item is even less consistent than a backup.
        let spread = if !with_lost && self.rng.u8(0..3) == 0 { self.rng.u64(1..=400).min(moment - since) } else { 0 };
        let backup = source.backup(moment, spread, &mut self.rng);
        let lost = self.table.replace(&backup);
        let raise = if again.is_some() { RAISE * (self.lost.len() as u64 + 1) } else { RAISE };
        let lost_items: Option<Items> = with_lost.then(|| lost.items().into_iter().collect());
        self.table.trace(|| {
            format!(
                "restored as of {moment} ms, {spread} ms apart, with the lost table: {with_lost}, again: {}",
                again.is_some()
            )
        });
        self.table.state().history.begin_restore(&backup, lost_items.as_ref(), raise);
        self.lost.push((Arc::clone(&lost), used_since, self.table.now()));
        let options = Options {
            project: None,
            lost: with_lost.then(|| Table::new(lost.client(&SDK), NAME)),
            rate: 1_000_000,
            raise,
        };
        self.repair(&options).await;
        sleep(SETTLED).await;
        let items: Items = self.table.items().into_iter().collect();
        let judged = self.table.state().history.end_restore(&items);
        if let Err(violation) = judged {
            self.table.fail(format!("after the restore {violation}"));
        }
        self.table.reopen();
    }

    /// Runs the product's command until it completes. The command is killed now and then.
    async fn repair(&mut self, options: &Options) {
        let faults = self.table.state().faults;
        for _ in 0..self.rng.usize(0..4) {
            let patience = Duration::from_millis(self.rng.u64(0..600));
            match timeout(patience, self.run(options)).await {
                Ok(Ok(report)) if report.damaged.is_empty() => return,
                Ok(_) => {}
                Err(_) => self.table.state().figures.inject("restore stopped halfway"),
            }
        }
        for number in 0..4 {
            // If the table works, the command completes.
            if number == 3 {
                self.table.state().faults = Faults::NONE;
                sleep(SETTLED).await;
            }
            match self.run(options).await {
                Ok(report) if report.damaged.is_empty() => {
                    self.table.state().faults = faults;
                    return;
                }
                Ok(report) if number == 3 => self.table.fail(format!("not restored: {:?}", report.damaged)),
                Err(error) if number == 3 => self.table.fail(format!("not restored: {error}")),
                _ => {}
            }
        }
    }

    async fn run(&self, options: &Options) -> Result<Report, String> {
        let table = Table::new(self.table.client(&SDK), NAME).with_max_history_bytes(self.max_history_bytes);
        self.table.trace(|| "the restore begins".to_owned());
        let report = restore::run(&table, options, &ProgressBar::hidden()).await;
        self.table.trace(|| format!("the restore ends: {report:?}"));
        report.map_err(|error| error.to_string())
    }
}
