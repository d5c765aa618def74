//! What goes wrong, and how often: drawn for each seed.

use fastrand::Rng;

/// Moments and durations are milliseconds of the run's own clock.
pub(crate) type Millis = u64;

/// Delays: mostly short ones, and now and then one that is far longer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delays {
    pub(crate) usual: Millis,
    pub(crate) rare: f64,
    pub(crate) longest: Millis,
    /// Comes on top of each.
    pub(crate) least: Millis,
}

impl Delays {
    pub(crate) const NONE: Self = Self::up_to(0);

    /// From none to this.
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

/// How far an index is behind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lag {
    /// As bad as a seed will have it.
    Drawn(Delays),
    /// As reported of real ones: mostly little, with a long tail; by its median and its 99.9th percentile.
    Lognormal { median: f64, p999: f64 },
}

/// The 99.9th percentile of the standard normal distribution.
const P999: f64 = 3.090_232;

impl Lag {
    pub(crate) fn draw(&self, rng: &mut Rng) -> Millis {
        match *self {
            Self::Drawn(delays) => delays.draw(rng),
            Self::Lognormal { median, p999 } => {
                // Box and Muller's normal variate; the logarithm's argument is never 0.
                let normal = (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
                (median * ((p999 / median).ln() / P999 * normal).exp()).round() as Millis
            }
        }
    }
}

/// One seed's unreliability.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// How long a request and an answer travel.
    pub(crate) network: Delays,
    /// How long after its commit each item of a transaction is applied.
    pub(crate) tear: Delays,
    /// Between the items that one call reads.
    pub(crate) apart: Delays,
    /// How long after the table each row of an index follows, in each of its replicas.
    pub(crate) lag: Lag,
    /// Between a row's new copy in the index and the end of its old one: both are there, or neither is.
    pub(crate) overlap: Delays,
    /// Probabilities for each call.
    pub(crate) throttled: f64,
    pub(crate) failed_before: f64,
    pub(crate) failed_after: f64,
    pub(crate) answer_lost: f64,
    pub(crate) unprocessed: f64,
    pub(crate) short_page: f64,
    pub(crate) spurious_conflict: f64,
    /// Probability that a token which is repeated was forgotten, as after ten minutes: the process may have been stopped.
    pub(crate) token_forgotten: f64,
    /// The most rows that a page of an index holds.
    pub(crate) index_page: usize,
}

impl Faults {
    /// A table as an emulator has it: every promise kept, and more.
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

    /// Each kind is absent, mild or bad, independently of the others.
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
