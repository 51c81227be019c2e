//! How much one engine is asked by this process: arithmetic over times that are handed in, no clock and no lock.
//!
//! Nothing is limited before a provider says no: then the requests that may be in flight are halved, and grow by a
//! constant each round of successes (AIMD). A pause that was asked for closes the gate; behind it one request goes
//! first, then twice as many each round. A rate is kept by spacing requests evenly. Who is not let through gets a time
//! of its own, one after the other at the pace that is expected, so that nobody comes back together. Backfill gets at
//! most half of what is limited, as it does of slots.

use std::time::{Duration, Instant};

use scryon_domain::stage::Lane;

/// Longest pause that a provider is believed.
const LONGEST: Duration = Duration::from_secs(900);
/// What is shorter is waited for in hand: a row wakes up no finer than this.
pub const PATIENCE: Duration = Duration::from_millis(1_500);
/// Over how long those who are put off are spread behind an opening. Longer would leave a provider idle that turns out
/// to be faster than expected.
const SPREAD: Duration = Duration::from_secs(30);
/// Requests by which the limit grows while as many as the limit succeed.
const GROWTH: f64 = 4.0;
/// A limit above this limits nothing.
const NO_LIMIT: f64 = 10_000.0;
/// A round where none is known yet.
const USUAL_ROUND: f64 = 1.0;
/// Retries for each call that is asked for the first time, and each second.
const RETRY_SHARE: f64 = 0.1;
const RETRIES_PER_SECOND: f64 = 1.0;
/// Retries that may come at once after a quiet time.
const RETRY_BURST: f64 = 10.0;

/// How much a rate may be behind and still catch up: timers are no finer.
const SLACK: Duration = Duration::from_millis(50);

/// Whether a request may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Yes, when its turn comes, which is not far. The request counts as in flight.
    Through,
    /// Not now, but soon: others are about to end.
    Crowded,
    /// Not before this has passed.
    Later(Duration),
}

/// How a request ended, as far as limits are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// The provider refused it for being one too many, and perhaps said for how long.
    Throttled {
        asked: Option<Duration>,
    },
    /// Something else.
    Other,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asking {
    pub lane: Lane,
    /// An earlier request of the same stage failed.
    pub retry: bool,
}

/// A request that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flight {
    pub since: Instant,
    pub asking: Asking,
}

/// Those who are put off stand in three lines, so that none holds another up.
#[derive(Debug, Clone, Copy)]
enum Line {
    Live,
    Backfill,
    Retries,
}

/// One engine's limits.
#[derive(Debug, Clone)]
pub struct Limiter {
    in_flight: u32,
    /// Those of the backfill lane among them.
    backfill: u32,
    /// Requests that may be in flight; none until the provider refuses one.
    limit: Option<f64>,
    /// Fewer than that after an opening.
    ramp: Option<f64>,
    closed_until: Option<Instant>,
    /// Requests that were made before this do not cut again: they are the same news.
    cut_at: Option<Instant>,
    /// Between two requests, where a rate is set.
    spacing: Option<Duration>,
    next: Instant,
    /// Requests that were let through and whose turn has not come.
    due: u32,
    /// The time given to whoever was put off last, by line.
    last_given: [Instant; 3],
    /// Seconds from a request to its answer, smoothed.
    round: Option<f64>,
    retries: f64,
    retries_at: Instant,
}

impl Limiter {
    /// Without any limit.
    pub fn new(now: Instant) -> Self {
        Self {
            in_flight: 0,
            backfill: 0,
            limit: None,
            ramp: None,
            closed_until: None,
            cut_at: None,
            spacing: None,
            next: now,
            due: 0,
            last_given: [now; 3],
            round: None,
            retries: RETRY_BURST,
            retries_at: now,
        }
    }

    /// Requests in flight.
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Requests that may be in flight; `None`: as many as there are.
    pub fn limit(&self) -> Option<u32> {
        let allowed = match (self.limit, self.ramp) {
            (Some(limit), Some(ramp)) => limit.min(ramp),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return None,
        };
        Some((allowed as u32).max(1))
    }

    /// This process's part of the rate, in requests per second; none takes the limit away.
    pub fn set_rate(&mut self, per_second: Option<f64>) {
        let spacing = |rate: f64| Duration::try_from_secs_f64(1.0 / rate).unwrap_or(LONGEST).min(LONGEST);
        self.spacing = per_second.filter(|rate| *rate > 0.0).map(spacing);
    }

    /// Whether the next request would be let through without a look at anything.
    pub fn is_free(&self, now: Instant) -> bool {
        self.limit().is_none()
            && self.spacing.is_none()
            && !self.is_closed(now)
            && self.retries_now(now) >= 1.0
    }

    /// Whether the provider has asked for a pause that is not over.
    pub fn is_closed(&self, now: Instant) -> bool {
        self.closed_until.is_some_and(|until| until > now)
    }

    /// Whether those who are put off are so for what the provider said, not for what we set.
    pub fn is_throttled(&self, now: Instant) -> bool {
        self.is_closed(now) || self.ramp.is_some()
    }

    /// How many of a lane may wait in hand for a request to end.
    pub fn may_wait(&self, lane: Lane) -> u32 {
        share(lane, (self.pace() * PATIENCE.as_secs_f64()) as u32)
    }

    /// Asks to make a request; one that is let through must [`Limiter::leave`].
    pub fn enter(&mut self, asking: Asking, now: Instant) -> Entry {
        let Asking { lane, retry } = asking;
        self.retries = self.retries_now(now);
        self.retries_at = now;
        if retry && self.retries < 1.0 {
            return Entry::Later(self.put_off(Line::Retries, now, RETRIES_PER_SECOND));
        }
        if self.is_closed(now) {
            return Entry::Later(self.come_back(lane, now));
        }
        if self.limit().is_some_and(|limit| self.is_crowded(lane, limit)) {
            return Entry::Crowded;
        }
        let patience = if lane == Lane::Live { PATIENCE } else { PATIENCE / 2 };
        if self.turn_in(now) > patience {
            return Entry::Later(self.come_back(lane, now));
        }
        self.retries = if retry { self.retries - 1.0 } else { (self.retries + RETRY_SHARE).min(RETRY_BURST) };
        self.take_off(lane);
        Entry::Through
    }

    fn is_crowded(&self, lane: Lane, limit: u32) -> bool {
        self.in_flight >= limit || (lane == Lane::Backfill && self.backfill >= share(lane, limit))
    }

    fn take_off(&mut self, lane: Lane) {
        self.in_flight += 1;
        self.due += 1;
        self.backfill += u32::from(lane == Lane::Backfill);
    }

    fn land(&mut self, lane: Lane) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.backfill = self.backfill.saturating_sub(u32::from(lane == Lane::Backfill));
    }

    /// How long until the turn of one more would come.
    fn turn_in(&self, now: Instant) -> Duration {
        let before = self.spacing.map_or(Duration::ZERO, |spacing| spacing * self.due);
        self.next.saturating_duration_since(now) + before
    }

    /// When the one may be sent whose turn it is.
    pub fn turn(&self, now: Instant) -> Instant {
        if self.spacing.is_some() { self.next.max(now) } else { now }
    }

    /// It is being sent. Turns are taken when requests are sent and not when they are let through: what is held up in
    /// between does not leave together.
    pub fn sent(&mut self, now: Instant) {
        self.due = self.due.saturating_sub(1);
        let since = now.checked_sub(SLACK).unwrap_or(now);
        self.next = self.next.max(since) + self.spacing.unwrap_or_default();
    }

    /// One that must not wait: the answer decides whether a provider lives, or a purchase is at stake.
    pub fn enter_anyway(&mut self, lane: Lane) {
        self.take_off(lane);
    }

    /// For one that was [`Entry::Crowded`] and does not wait in hand: when to come back.
    pub fn come_back(&mut self, lane: Lane, now: Instant) -> Duration {
        let line = if lane == Lane::Live { Line::Live } else { Line::Backfill };
        self.put_off(line, now, self.pace())
    }

    /// A request that was let through was not made.
    pub fn leave_unused(&mut self, asking: Asking) {
        self.due = self.due.saturating_sub(1);
        self.land(asking.lane);
    }

    /// A request has ended. Gives how long its own call waits, where it was refused.
    pub fn leave(&mut self, flight: Flight, outcome: Outcome, now: Instant) -> Option<Duration> {
        let Flight { since, asking: Asking { lane, retry } } = flight;
        let flying = self.in_flight;
        self.land(lane);
        match outcome {
            Outcome::Other => None,
            Outcome::Success => {
                self.succeeded(now.duration_since(since).as_secs_f64(), flying);
                if retry {
                    // It was worth it: after an outage calls are not held up by a budget that is for failures.
                    self.retries = (self.retries + 1.0).min(RETRY_BURST);
                }
                None
            }
            Outcome::Throttled { asked } => {
                self.cut(since, flying, now);
                let asked = asked?.min(LONGEST);
                self.closed_until =
                    Some(self.closed_until.map_or(now + asked, |until| until.max(now + asked)));
                self.ramp = Some(1.0);
                Some(self.come_back(lane, now))
            }
        }
    }

    fn succeeded(&mut self, seconds: f64, flying: u32) {
        self.round = Some(self.round.map_or(seconds, |round| round * 0.9 + seconds * 0.1));
        let flying = f64::from(flying);
        // A limit that is not reached says nothing about a higher one.
        if let Some(limit) = self.limit.filter(|limit| flying * 2.0 >= *limit) {
            let grown = limit + GROWTH / limit;
            self.limit = (grown < NO_LIMIT).then_some(grown);
        }
        if let Some(ramp) = self.ramp {
            self.ramp =
                Some(ramp + 1.0).filter(|grown| self.limit.map_or(*grown < NO_LIMIT, |limit| *grown < limit));
        }
    }

    fn cut(&mut self, since: Instant, flying: u32, now: Instant) {
        let flying = f64::from(flying);
        let news = self.cut_at.is_none_or(|at| since > at);
        // The first one behind an opening finds out about the pause, not about the limit.
        let reached = self.limit.is_none_or(|limit| flying * 2.0 >= limit);
        if news && reached {
            self.limit = Some((self.limit.map_or(flying, |limit| limit.min(flying)) / 2.0).max(1.0));
            self.cut_at = Some(now);
        }
    }

    /// Requests per second that are expected to get through.
    fn pace(&self) -> f64 {
        let by_round = self.limit.unwrap_or(NO_LIMIT) / self.round.unwrap_or(USUAL_ROUND).max(0.001);
        self.spacing.map_or(by_round, |spacing| by_round.min(1.0 / spacing.as_secs_f64()))
    }

    fn put_off(&mut self, line: Line, now: Instant, pace: f64) -> Duration {
        let opening = self.closed_until.map_or(now, |until| until.max(now));
        let step = Duration::from_secs_f64((1.0 / pace).min(SPREAD.as_secs_f64()));
        let last = &mut self.last_given[line as usize];
        let mut given = (*last).max(opening) + step;
        // More are waiting than get through meanwhile: they share the times anew.
        if given > opening + SPREAD {
            given = opening + step;
        }
        *last = given;
        given - now
    }

    fn retries_now(&self, now: Instant) -> f64 {
        let seconds = now.duration_since(self.retries_at).as_secs_f64();
        (self.retries + seconds * RETRIES_PER_SECOND).min(RETRY_BURST)
    }
}

/// A lane's part of what is limited: live may have all of it, backfill half, and one at least.
fn share(lane: Lane, all: u32) -> u32 {
    if lane == Lane::Live { all.max(1) } else { (all / 2).max(1) }
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
mod tests;
