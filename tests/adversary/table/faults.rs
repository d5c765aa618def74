//! The faults of a table and their frequency, which are drawn for each seed.

use fastrand::Rng;

/// Moments and durations are milliseconds of the run's own clock.
pub(crate) type Millis = u64;

/// A distribution of delays. Most are short, and now and then one is far longer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delays {
    pub(crate) usual: Millis,
    pub(crate) rare: f64,
    pub(crate) longest: Millis,
    /// A delay that is added to each.
    pub(crate) least: Millis,
}

impl Delays {
    pub(crate) const NONE: Self = Self::up_to(0);

    /// The maximum of the short delays.
    pub(crate) const fn up_to(usual: Millis) -> Self {
        Self { usual, rare: 0.0, longest: 0, least: 0 }
    }

    pub(crate) const fn between(least: Millis, most: Millis) -> Self {
        Self { least, ..Self::up_to(most - least) }
    }

    pub(crate) fn draw(&self, rng: &mut Rng) -> Millis {
        let longest = if self.rare > 0.0 && rng.f64() < self.rare { self.longest } else { self.usual };
        self.least + if longest == 0 { 0 } else { rng.u64(0..=longest) }
    }
}

/// The lag of an index.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lag {
    /// A lag that the seed decides.
    Drawn(Delays),
    /// A lag as it is reported of real indexes: mostly short, with a long tail. It is given by its median and its 99.9th
    /// percentile.
    Lognormal { median: f64, p999: f64 },
}

/// The 99.9th percentile of the standard normal distribution.
const P999: f64 = 3.090_232;

impl Lag {
    pub(crate) fn draw(&self, rng: &mut Rng) -> Millis {
        match *self {
            Self::Drawn(delays) => delays.draw(rng),
            Self::Lognormal { median, p999 } => {
                // This is the Box-Muller transform of a normal variate. The logarithm's argument is never 0.
                let normal = (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
                (median * ((p999 / median).ln() / P999 * normal).exp()).round() as Millis
            }
        }
    }
}

/// The faults of one seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// The travel time of a request and of an answer.
    pub(crate) network: Delays,
    /// The time from a commit until each item of its transaction is applied.
    pub(crate) tear: Delays,
    /// The time between the items that one call reads.
    pub(crate) apart: Delays,
    /// The time after which each row of an index follows the table, in each of its replicas.
    pub(crate) lag: Lag,
    /// The time between a row's new copy in the index and the end of its old copy. Meanwhile both copies exist, or neither does.
    pub(crate) overlap: Delays,
    /// Probabilities for each call.
    pub(crate) throttled: f64,
    pub(crate) failed_before: f64,
    pub(crate) failed_after: f64,
    pub(crate) answer_lost: f64,
    pub(crate) unprocessed: f64,
    pub(crate) short_page: f64,
    pub(crate) spurious_conflict: f64,
    /// The probability that a repeated token was forgotten, as after ten minutes. Meanwhile the process may have been stopped.
    pub(crate) token_forgotten: f64,
    /// The maximum number of rows in a page of an index.
    pub(crate) index_page: usize,
}

impl Faults {
    /// The table of an emulator, which keeps every promise and more.
    pub(crate) const NONE: Self = Self {
        network: Delays::up_to(2),
        tear: Delays::NONE,
        apart: Delays::NONE,
        lag: Lag::Drawn(Delays::NONE),
        overlap: Delays::NONE,
        throttled: 0.0,
        failed_before: 0.0,
        failed_after: 0.0,
        answer_lost: 0.0,
        unprocessed: 0.0,
        short_page: 0.0,
        spurious_conflict: 0.0,
        token_forgotten: 0.0,
        index_page: usize::MAX,
    };

    /// Draws each kind of fault as absent, mild or bad, independently of the others.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let delays = |rng: &mut Rng, mild: Delays, bad: Delays| match rng.u8(0..5) {
            0 => Delays::NONE,
            1 | 2 => mild,
            _ => bad,
        };
        let probability = |rng: &mut Rng, bad: f64| match rng.u8(0..3) {
            0 => 0.0,
            1 => bad / 5.0,
            _ => bad,
        };
        let of = |usual, rare, longest| Delays { usual, rare, longest, least: 0 };
        Self {
            network: delays(rng, of(3, 0.0, 0), of(6, 0.02, 2_600)),
            tear: delays(rng, of(12, 0.0, 0), of(25, 0.04, 900)),
            apart: delays(rng, of(4, 0.0, 0), of(12, 0.05, 200)),
            lag: Lag::Drawn(delays(rng, of(30, 0.02, 400), of(120, 0.08, 8_000))),
            overlap: delays(rng, of(10, 0.0, 0), of(60, 0.05, 2_000)),
            throttled: probability(rng, 0.04),
            failed_before: probability(rng, 0.02),
            failed_after: probability(rng, 0.03),
            answer_lost: probability(rng, 0.02),
            unprocessed: probability(rng, 0.15),
            short_page: probability(rng, 0.5),
            spurious_conflict: probability(rng, 0.06),
            token_forgotten: 0.3,
            index_page: [usize::MAX, 30, 6][rng.usize(..3)],
        }
    }
}

#[test]
fn a_lognormal_lag_has_the_median_and_the_tail_that_it_names() {
    let lag = Lag::Lognormal { median: 10.0, p999: 1_000.0 };
    let mut rng = Rng::with_seed(1);
    let mut drawn: Vec<Millis> = (0..100_000).map(|_| lag.draw(&mut rng)).collect();
    drawn.sort_unstable();
    assert!((9..=11).contains(&drawn[50_000]), "median {} ms", drawn[50_000]);
    assert!((800..=1_250).contains(&drawn[99_900]), "p99.9 {} ms", drawn[99_900]);
}
