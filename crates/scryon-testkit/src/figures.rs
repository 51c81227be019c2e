//! How much a test does, and what it says of the times it took.

use std::fmt;
use std::time::Duration;

/// Of a number the one for this run: `small` where every change is tested, `full` with `FULL=1`
/// (`SCRYON_FAULTS_FULL=1`). Says which.
#[allow(clippy::print_stdout)] // the size of a run is part of its result
pub fn scale(what: &str, small: usize, full: usize) -> usize {
    let chosen = if is_full() { full } else { small };
    println!("scale: {chosen} {what} ({})", if is_full() { "full" } else { "small" });
    chosen
}

/// Whether this run is the proof at full scale.
pub fn is_full() -> bool {
    std::env::var("SCRYON_FAULTS_FULL").is_ok_and(|value| value == "1")
}

/// How long something may take: what is promised in the proof at full scale, and else `busy`, on a machine that does
/// other things at the same time. A test that takes it says how long it was.
pub fn promised(promise: Duration, busy: Duration) -> Duration {
    if is_full() { promise } else { busy }
}

/// How long some things took, the shortest first.
#[derive(Debug, Clone)]
pub struct Times(Vec<Duration>);

impl Times {
    /// In any order.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// What `percent` of them did not exceed (the nearest rank); nothing where there is none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, most, slowest] = [50, 99, 100].map(|p| self.percentile(p).as_secs_f64());
        write!(f, "p50 {median:.2} s, p99 {most:.2} s, slowest {slowest:.2} s of {}", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times = Times::of((1..=200).rev().map(Duration::from_secs).collect());
        let seconds = [1, 50, 99, 100].map(|p| times.percentile(p).as_secs());
        assert_eq!(seconds, [2, 100, 198, 200]);
        assert_eq!(Times::of(vec![Duration::from_secs(7)]).percentile(99), Duration::from_secs(7));
        assert_eq!(Times::of(Vec::new()).to_string(), "p50 0.00 s, p99 0.00 s, slowest 0.00 s of 0");
    }
}
