//! How many new runs a second workers follow without anybody else being held up.
//!
//! Cores are everybody's, whatever lane a call is in: more runs than the workers' machines do make every call slow,
//! the live ones too. So a bulk order begins slowly and watches how long its runs take. As long as that is what it
//! was with few of them, it goes faster; once it is more, it goes slower. The idea is that of TCP Vegas (Brakmo and
//! Peterson 1995, "TCP Vegas: end to end congestion avoidance on a global Internet"): a queue shows as delay.

use std::collections::VecDeque;

use serde::Deserialize;

/// Runs a second.
const FIRST: f64 = 5.0;
/// A lane that is paused, or has no worker, gets no more than that.
const LEAST: f64 = 1.0;
const FASTER: f64 = 1.15;
const SLOWER: f64 = 0.7;
/// The share of the pace that was too much up to which the next approach is quick.
const SAFE: f64 = 0.5;
/// Beyond that the pace grows by so much of itself a second, for each second since it was too much: twice as fast after
/// two minutes, ten times after three and a half. Like CUBIC (RFC 9438) it stays long where it was well, and finds room
/// that is new. Each time it is too much somebody's live calls are slow for a second or two.
const PROBE: f64 = 0.000_1;
/// Runs that take so many times what quick ones took, and this much in seconds, are in somebody's way. The seconds are
/// for what steps of a run wait for company in the lanes of the workers' statements (`SCRYON_STEP_PACE_MS`), where nobody
/// is held up.
const HELD_UP: f64 = 1.2;
const HELD_UP_SECONDS: f64 = 0.03;
/// And so many standard errors of their median: runs take as long as their recordings are, and the median of a few of them
/// is chance. It is 0.93 times the distance of the quarters over the root of their number (McGill, Tukey and Larsen 1978,
/// "Variations of box plots").
const SURE: f64 = 3.0;
const MEDIAN_ERROR: f64 = 0.93;
/// Seconds that times are remembered. A short memory would take what it made slow itself for the measure, and go faster
/// and faster.
const REMEMBERED: f64 = 600.0;
/// The share of them that is quicker than what counts as quick: the quickest of few are luck.
const QUICK: f64 = 0.1;
/// After so many seconds at the least pace nothing of the order is in anybody's way: providers have slower days, and what
/// runs take now is the measure.
const ALONE: f64 = 10.0;
/// Runs under way are so many times what this pace and this time make of them, and this many, where nothing lies about.
const UNDER_WAY: f64 = 2.0;
const UNDER_WAY_FEW: f64 = 10.0;
/// Seconds from a reset to its first stage, which the dispatcher begins; runs are under way then, too.
const UNTIL_BEGUN: f64 = 0.5;

/// Of the backfill lane, as the installation tells it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seen {
    pub(crate) under_way: f64,
    /// Median seconds of runs that ended in the last seconds, from their first stage's row to the end.
    pub(crate) took: Option<f64>,
    /// Number of those runs, and seconds between their quarters.
    pub(crate) ended: f64,
    pub(crate) spread: Option<f64>,
}

#[derive(Debug)]
pub(crate) struct Pace {
    /// Runs a second.
    rate: f64,
    most: f64,
    /// Up to here it was well; and when it last was too much.
    safe: f64,
    too_much: Option<f64>,
    slow_before: bool,
    /// Since when it is the least.
    least_since: Option<f64>,
    /// What runs took, by when it was seen.
    took: VecDeque<(f64, f64)>,
}

impl Pace {
    pub(crate) fn up_to(most: f64) -> Self {
        let rate = FIRST.min(most);
        Self {
            rate,
            most,
            safe: most,
            too_much: None,
            slow_before: false,
            least_since: None,
            took: VecDeque::new(),
        }
    }

    /// Runs to begin in a second.
    pub(crate) const fn rate(&self) -> f64 {
        self.rate
    }

    /// Once a second; `second` counts from any beginning.
    pub(crate) fn see(&mut self, second: f64, seen: Seen) {
        let since = self.least_since.filter(|since| second - since >= ALONE);
        let oldest = since.unwrap_or(second - REMEMBERED);
        self.took.retain(|(at, _)| *at > oldest);
        self.took.extend(seen.took.map(|took| (second, took)));
        let quick = self.quick();
        let chance = SURE * MEDIAN_ERROR * seen.spread.unwrap_or(0.0) / seen.ended.max(1.0).sqrt();
        let most = |quick: f64| quick * HELD_UP + HELD_UP_SECONDS + chance;
        let slow = quick.zip(seen.took).is_some_and(|(quick, took)| took > most(quick));
        let expected = self.rate * (UNTIL_BEGUN + quick.unwrap_or(1.0));
        let heaped = seen.under_way > expected * UNDER_WAY + UNDER_WAY_FEW;
        let too_much = slow || heaped;
        if too_much {
            // What follows at once is the same heap, not a lower limit.
            if !self.slow_before {
                self.safe = self.rate * SAFE;
            }
            self.too_much = Some(second);
        }
        self.slow_before = too_much;
        let rate = match (too_much, seen.took) {
            (true, _) => self.rate * SLOWER,
            (false, Some(_)) if self.rate < self.safe => (self.rate * FASTER).min(self.safe),
            (false, Some(_)) => self.rate * (1.0 + PROBE * (second - self.too_much.unwrap_or(second))),
            // Nothing ended yet: nothing is known.
            (false, None) => self.rate,
        };
        let least = LEAST.min(self.most);
        self.rate = rate.clamp(least, self.most);
        self.least_since = (self.rate <= least).then(|| self.least_since.unwrap_or(second));
    }

    /// Seconds of a run with nothing in its way.
    fn quick(&self) -> Option<f64> {
        let mut took: Vec<f64> = self.took.iter().map(|(_, took)| *took).collect();
        took.sort_by(f64::total_cmp);
        took.get((took.len() as f64 * QUICK) as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workers that do so many runs a second, each of which takes so many seconds when nothing is in its way.
    struct Machine {
        capacity: f64,
        alone: f64,
        queue: f64,
        under_way: VecDeque<f64>,
    }

    impl Machine {
        fn new(capacity: f64, alone: f64) -> Self {
            Self { capacity, alone, queue: 0.0, under_way: VecDeque::new() }
        }

        /// A second of it; gives what is seen then, and the time of a run.
        fn second(&mut self, begun: f64) -> (Seen, f64) {
            let done = (self.queue + begun).min(self.capacity);
            self.queue += begun - done;
            self.under_way.push_back(done);
            while self.under_way.len() as f64 > self.alone.max(1.0) {
                self.under_way.pop_front();
            }
            let took = self.alone + self.queue / self.capacity.max(0.001);
            let in_hands = done * self.alone.min(1.0) + self.under_way.iter().skip(1).sum::<f64>();
            let took_some = (done > 0.0).then_some(took);
            (Seen { under_way: self.queue + in_hands, took: took_some, ended: done, spread: Some(0.0) }, took)
        }
    }

    fn settle(pace: &mut Pace, machine: &mut Machine, from: usize, seconds: usize) -> (f64, f64) {
        let (mut begun, mut slowest) = (0.0, 0.0_f64);
        for second in from..from + seconds {
            let (seen, took) = machine.second(pace.rate());
            pace.see(second as f64, seen);
            begun += pace.rate();
            slowest = slowest.max(took);
        }
        (begun / seconds as f64, slowest)
    }

    #[test]
    fn it_goes_as_fast_as_it_may_where_workers_follow() {
        let mut pace = Pace::up_to(200.0);
        settle(&mut pace, &mut Machine::new(1_000.0, 0.5), 0, 30);
        assert!((pace.rate() - 200.0).abs() < 1e-9, "{}", pace.rate());
        let mut slow = Pace::up_to(2.0);
        settle(&mut slow, &mut Machine::new(1_000.0, 0.5), 0, 10);
        assert!((slow.rate() - 2.0).abs() < 1e-9, "{}", slow.rate());
    }

    #[test]
    fn it_stays_with_what_the_machine_does() {
        let (mut pace, mut machine) = (Pace::up_to(200.0), Machine::new(40.0, 0.5));
        settle(&mut pace, &mut machine, 0, 30);
        let (rate, slowest) = settle(&mut pace, &mut machine, 30, 300);
        assert!((20.0..=40.5).contains(&rate), "{rate} of 40");
        assert!(slowest < 1.0, "a run took {slowest} s, and 0.5 alone");
        let held_up = (330..930).filter(|second| {
            let (seen, took) = machine.second(pace.rate());
            pace.see(f64::from(*second), seen);
            took > 0.6
        });
        let held_up = held_up.count();
        assert!((1..=24).contains(&held_up), "in {held_up} of 600 seconds somebody was held up");
    }

    #[test]
    fn a_slower_provider_is_nobodys_queue() {
        let (mut pace, mut machine) = (Pace::up_to(100.0), Machine::new(1_000.0, 0.5));
        settle(&mut pace, &mut machine, 0, 60);
        machine.alone = 3.0;
        settle(&mut pace, &mut machine, 60, 15);
        assert!(pace.rate() < 20.0, "it looks like a queue at first: {}", pace.rate());
        settle(&mut pace, &mut machine, 75, 60);
        assert!(pace.rate() > 40.0, "half of what was too much: {}", pace.rate());
        settle(&mut pace, &mut machine, 135, 240);
        assert!((pace.rate() - 100.0).abs() < 1e-9, "{}", pace.rate());
    }

    #[test]
    fn a_lane_without_workers_is_not_filled() {
        let mut pace = Pace::up_to(200.0);
        let (_, _) = settle(&mut pace, &mut Machine::new(0.0, 0.5), 0, 60);
        assert!((pace.rate() - LEAST).abs() < 1e-9, "{}", pace.rate());
    }

    /// Recordings are long and short. Nobody is in anybody's way here, however long runs take.
    #[test]
    fn long_runs_are_nobodys_queue() {
        let mut dice = 7_u64;
        let mut chance = || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 40) as f64 / f64::from(1 << 24)
        };
        let mut pace = Pace::up_to(50.0);
        // Their ends, and what they took.
        let mut runs: Vec<(f64, f64)> = Vec::new();
        let mut begun = 0.0;
        for second in 1..=1_800_u32 {
            let now = f64::from(second);
            for _ in 0..pace.rate() as usize {
                // About four seconds, half of it as deviation: log-normal, by a sum of twelve (Irwin and Hall).
                let normal = (0..12).map(|_| chance()).sum::<f64>() - 6.0;
                let took = 3.58 * (normal * 0.47).exp();
                runs.push((now - 1.0 + chance() + took, took));
            }
            runs.retain(|(end, _)| *end > now - 3.0);
            let mut ended: Vec<f64> =
                runs.iter().filter(|(end, _)| *end <= now).map(|(_, took)| *took).collect();
            ended.sort_by(f64::total_cmp);
            let quarter = |n: usize| ended.get(ended.len() * n / 4).copied();
            let seen = Seen {
                under_way: (runs.len() - ended.len()) as f64,
                took: quarter(2),
                ended: ended.len() as f64,
                spread: quarter(3).zip(quarter(1)).map(|(slow, quick)| slow - quick),
            };
            pace.see(now, seen);
            begun += if second > 300 { pace.rate() } else { 0.0 };
        }
        let rate = begun / 1_500.0;
        assert!(rate > 40.0, "{rate} of 50");
    }
}
