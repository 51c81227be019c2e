use std::collections::{BTreeMap, BinaryHeap};

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

const LIVE: Asking = Asking { lane: Lane::Live, retry: false };
const RETRY: Asking = Asking { lane: Lane::Live, retry: true };
const BACKFILL: Asking = Asking { lane: Lane::Backfill, retry: false };

fn first(since: Instant) -> Flight {
    Flight { since, asking: LIVE }
}

/// Requests that are let through at once.
fn let_through(limiter: &mut Limiter, now: Instant, most: usize) -> usize {
    (0..most).take_while(|_| matches!(limiter.enter(LIVE, now), Entry::Through)).count()
}

#[test]
fn nothing_is_limited_before_a_provider_says_no() {
    let now = Instant::now();
    let mut limiter = Limiter::new(now);
    assert!(limiter.is_free(now));
    assert_eq!(let_through(&mut limiter, now, 5_000), 5_000);
    assert_eq!((limiter.limit(), limiter.in_flight()), (None, 5_000));
}

#[test]
fn one_refusal_halves_what_is_in_flight_and_refusals_of_the_same_moment_are_one() {
    let now = Instant::now();
    let mut limiter = Limiter::new(now);
    let_through(&mut limiter, now, 100);
    let later = now + 100 * MS;
    for _ in 0..40 {
        limiter.leave(first(now), Outcome::Throttled { asked: None }, later);
    }
    assert_eq!(limiter.limit(), Some(50));
    assert_eq!(limiter.enter(LIVE, later), Entry::Crowded);
    // Made after the cut and refused again: that is news.
    for _ in 0..20 {
        limiter.leave(first(now), Outcome::Other, later);
    }
    assert!(matches!(limiter.enter(LIVE, later), Entry::Through));
    limiter.leave(first(later + MS), Outcome::Throttled { asked: None }, later + 2 * MS);
    assert_eq!(limiter.limit(), Some(20));
}

#[test]
fn successes_raise_the_limit_by_a_constant_each_round_until_it_limits_nothing() {
    let now = Instant::now();
    let mut limiter = Limiter::new(now);
    let_through(&mut limiter, now, 80);
    for _ in 0..80 {
        limiter.leave(first(now), Outcome::Throttled { asked: None }, now + MS);
    }
    let mut limits = Vec::new();
    for round in 1..=4u32 {
        let at = now + round * second(1);
        let flying = let_through(&mut limiter, at, 1_000);
        limits.push(flying);
        for _ in 0..flying {
            limiter.leave(first(at), Outcome::Success, at + MS);
        }
    }
    assert_eq!(limits[0], 40);
    assert!(limits.windows(2).all(|w| (1..=4).contains(&(w[1] - w[0]))), "{limits:?}");
    limiter.limit = Some(NO_LIMIT - 0.000_1);
    let_through(&mut limiter, now + second(9), 20_000);
    limiter.leave(first(now + second(9)), Outcome::Success, now + second(9));
    assert_eq!(limiter.limit(), None);
}

#[test]
fn a_limit_that_is_not_reached_does_not_grow() {
    let now = Instant::now();
    let mut limiter = Limiter { limit: Some(100.0), ..Limiter::new(now) };
    for _ in 0..1_000 {
        limiter.enter(LIVE, now);
        limiter.leave(first(now), Outcome::Success, now);
    }
    assert_eq!(limiter.limit(), Some(100));
}

#[test]
fn a_pause_closes_the_gate_and_behind_it_one_goes_first() {
    let now = Instant::now();
    let mut limiter = Limiter::new(now);
    let_through(&mut limiter, now, 64);
    let pause = Some(second(20));
    let own = limiter.leave(first(now), Outcome::Throttled { asked: pause }, now + MS).unwrap();
    assert!(own >= second(20), "its own call waits as long: {own:?}");
    for _ in 0..63 {
        limiter.leave(first(now), Outcome::Throttled { asked: pause }, now + MS);
    }
    assert!(limiter.is_closed(now + second(19)) && limiter.is_throttled(now + second(19)));
    assert!(matches!(limiter.enter(LIVE, now + second(19)), Entry::Later(wait) if wait >= second(1)));
    let mut at = now + second(21);
    let mut rounds = Vec::new();
    for _ in 0..7 {
        let flying = let_through(&mut limiter, at, 1_000);
        for _ in 0..flying {
            limiter.leave(first(at), Outcome::Success, at + MS);
        }
        rounds.push(flying);
        at += second(1);
    }
    assert_eq!(rounds[..6], [1, 2, 4, 8, 16, 32]);
    assert!((32..=36).contains(&rounds[6]), "the limit from before the pause, and its growth: {rounds:?}");
    assert!(!limiter.is_throttled(at));
}

#[test]
fn a_refusal_of_the_first_one_behind_an_opening_is_no_second_cut() {
    let now = Instant::now();
    let mut limiter = Limiter::new(now);
    let_through(&mut limiter, now, 64);
    for _ in 0..64 {
        limiter.leave(first(now), Outcome::Throttled { asked: Some(second(1)) }, now + MS);
    }
    for n in 1..20 {
        let at = now + n * second(2);
        assert_eq!(let_through(&mut limiter, at, 64), 1);
        limiter.leave(first(at), Outcome::Throttled { asked: Some(second(1)) }, at + MS);
    }
    assert_eq!(limiter.limit, Some(32.0));
}

#[test]
fn no_pause_is_longer_than_a_quarter_of_an_hour() {
    let now = Instant::now();
    let mut limiter = Limiter::new(now);
    limiter.enter(LIVE, now);
    limiter.leave(first(now), Outcome::Throttled { asked: Some(second(86_400)) }, now);
    assert!(limiter.is_closed(now + LONGEST - MS) && !limiter.is_closed(now + LONGEST));
}

#[test]
fn retries_have_a_budget_and_first_requests_fill_it() {
    let now = Instant::now();
    let mut limiter = Limiter::new(now);
    let retries = |limiter: &mut Limiter, at, most| {
        (0..most).take_while(|_| matches!(limiter.enter(RETRY, at), Entry::Through)).count()
    };
    assert_eq!(retries(&mut limiter, now, 100), 10, "those of a quiet time");
    assert!(!limiter.is_free(now), "so that a claim records no purchase that is not made");
    assert!(matches!(limiter.enter(RETRY, now), Entry::Later(_)));
    assert!(matches!(limiter.enter(LIVE, now), Entry::Through), "first requests are not kept waiting");
    assert_eq!(let_through(&mut limiter, now, 39), 39);
    assert_eq!(retries(&mut limiter, now, 100), 4, "one in ten calls");
    assert_eq!(retries(&mut limiter, now + second(3), 100), 3, "and one each second");
    let flight = Flight { since: now, asking: RETRY };
    limiter.leave(flight, Outcome::Other, now + second(3));
    assert_eq!(retries(&mut limiter, now + second(3), 100), 0, "a retry that fails is spent");
    limiter.leave(flight, Outcome::Success, now + second(3));
    assert_eq!(retries(&mut limiter, now + second(3), 100), 1, "one that succeeds is not");
}

#[test]
fn a_refused_entry_costs_no_retry() {
    let now = Instant::now();
    let mut limiter = Limiter::new(now);
    limiter.enter(LIVE, now);
    limiter.leave(first(now), Outcome::Throttled { asked: Some(second(5)) }, now);
    let before = limiter.retries;
    assert!(matches!(limiter.enter(RETRY, now), Entry::Later(_)));
    assert!((limiter.retries - before).abs() < 1e-9);
}

#[test]
fn a_rate_spaces_requests_evenly() {
    let now = Instant::now();
    let mut limiter = Limiter::new(now);
    limiter.set_rate(Some(10.0));
    assert_eq!(let_through(&mut limiter, now, 100), 16, "as far ahead as is waited for in hand");
    let mut times = Vec::new();
    for _ in 0..16 {
        let at = limiter.turn(now);
        limiter.sent(at);
        times.push(at - now);
    }
    assert!(times.windows(2).all(|w| w[1] - w[0] == 100 * MS), "{times:?}");
    // One that is held up makes those behind it later, but for what a timer is late.
    let late = limiter.turn(now) + second(1);
    limiter.sent(late);
    assert_eq!(limiter.turn(late), late + 50 * MS);
    limiter.set_rate(None);
    assert_eq!(let_through(&mut limiter, now + second(5), 50), 50);
}

#[test]
fn those_put_off_come_back_one_after_the_other_and_not_too_late() {
    let now = Instant::now();
    let mut limiter = Limiter::new(now);
    limiter.set_rate(Some(20.0));
    limiter.enter(LIVE, now);
    limiter.leave(first(now), Outcome::Throttled { asked: Some(second(5)) }, now);
    let mut buckets: BTreeMap<u64, usize> = BTreeMap::new();
    for _ in 0..1_000 {
        let Entry::Later(wait) = limiter.enter(LIVE, now) else { panic!("the gate is closed") };
        assert!((second(5)..=second(35)).contains(&wait), "{wait:?}");
        *buckets.entry(wait.as_secs()).or_default() += 1;
    }
    // 1000 over 30 seconds, of which each has its part.
    assert!(buckets.values().all(|n| *n <= 60), "{buckets:?}");
}

#[test]
fn backfill_gets_half_of_what_is_limited_and_holds_nobody_up() {
    let now = Instant::now();
    let mut limiter = Limiter { limit: Some(10.0), ..Limiter::new(now) };
    let backfill = (0..20).take_while(|_| limiter.enter(BACKFILL, now) == Entry::Through).count();
    assert_eq!((backfill, let_through(&mut limiter, now, 20)), (5, 5));
    let mut limiter = Limiter { limit: Some(1.0), ..Limiter::new(now) };
    assert_eq!(limiter.enter(BACKFILL, now), Entry::Through, "and one at least");
    let mut limiter = Limiter::new(now);
    limiter.set_rate(Some(10.0));
    let backfill = (0..20).take_while(|_| limiter.enter(BACKFILL, now) == Entry::Through).count();
    assert_eq!((backfill, let_through(&mut limiter, now, 20)), (8, 8), "of what waits for its turn in hand");
    // However many of it are put off, the first live call behind an opening is the first.
    let mut limiter = Limiter::new(now);
    limiter.enter(LIVE, now);
    limiter.leave(first(now), Outcome::Throttled { asked: Some(second(5)) }, now);
    let before = limiter.come_back(Lane::Live, now);
    for _ in 0..500 {
        limiter.enter(BACKFILL, now);
    }
    assert!(limiter.come_back(Lane::Live, now) - before <= second(1));
}

/// A provider that takes so many requests at once and so many a second, and work that always comes back when it was
/// told to. Gives when all was done, and the most requests of any second after the storm.
fn play(calls: usize, round: Duration, rate: f64, storm: Duration) -> (Duration, usize, usize) {
    let start = Instant::now();
    let mut limiter = Limiter::new(start);
    limiter.set_rate(Some(rate));
    // Events by time; the largest comes first from a heap.
    let mut events: BinaryHeap<(std::cmp::Reverse<Duration>, usize, Option<Duration>)> = BinaryHeap::new();
    events.extend((0..calls).map(|n| (std::cmp::Reverse(Duration::ZERO), n, None)));
    let (mut done, mut refused, mut served) = (0, 0, Vec::new());
    while let Some((std::cmp::Reverse(at), call, began)) = events.pop() {
        let now = start + at;
        if let Some(began) = began {
            if began < storm {
                refused += 1;
                let asked = Some(storm / 4);
                let wait = limiter.leave(first(start + began), Outcome::Throttled { asked }, now).unwrap();
                events.push((std::cmp::Reverse(at + wait), call, None));
            } else {
                limiter.leave(first(start + began), Outcome::Success, now);
                served.push(began);
                done += 1;
                if done == calls {
                    return (at, refused, busiest(&mut served));
                }
            }
            continue;
        }
        match limiter.enter(LIVE, now) {
            Entry::Through => {
                let begin = limiter.turn(now);
                limiter.sent(begin);
                let began = begin - start;
                events.push((std::cmp::Reverse(began + round), call, Some(began)));
            }
            Entry::Crowded => {
                let wait = limiter.come_back(Lane::Live, now);
                events.push((std::cmp::Reverse(at + wait), call, None));
            }
            Entry::Later(wait) => events.push((std::cmp::Reverse(at + wait), call, None)),
        }
        assert!(at < second(3_600), "{done} of {calls} done after an hour");
    }
    panic!("nothing left to do, and {done} of {calls} done");
}

fn busiest(times: &mut [Duration]) -> usize {
    times.sort();
    let in_second_of =
        |from: &Duration| times.iter().filter(|t| (*from..*from + second(1)).contains(*t)).count();
    times.iter().map(in_second_of).max().unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_storm_all_is_done_and_no_second_has_more_than_the_rate(
        calls in 1usize..600, round_ms in 20u64..3_000, rate in 5u32..80, storm_s in 0u64..40,
    ) {
        let (took, refused, most) = play(calls, Duration::from_millis(round_ms), f64::from(rate), second(storm_s));
        // A rate, and what it may catch up.
        prop_assert!(most <= (f64::from(rate) * 1.05) as usize + 2, "{most} requests in a second at a rate of {rate}");
        // Who is refused: what was sent before the first refusal came, and one for each opening since.
        let blind = f64::from(rate) * (round_ms as f64 / 1_000.0 + 2.0);
        prop_assert!(refused as f64 <= blind + 8.0, "{refused} refused");
        prop_assert!(took < second(3_600), "{took:?}");
    }

    #[test]
    fn in_flight_is_what_was_let_through_and_has_not_left(steps in prop::collection::vec((0u8..6, 0u64..3_000), 1..300)) {
        let start = Instant::now();
        let mut now = start;
        let mut limiter = Limiter::new(start);
        let mut flying: Vec<Flight> = Vec::new();
        for (step, ms) in steps {
            now += Duration::from_millis(ms);
            let asking = [LIVE, BACKFILL, RETRY][usize::from(step) % 3];
            match step {
                0..=2 => if limiter.enter(asking, now) == Entry::Through {
                    if let Some(limit) = limiter.limit() {
                        prop_assert!(limiter.in_flight() <= limit);
                    }
                    limiter.sent(now);
                    flying.push(Flight { since: now, asking });
                },
                _ => if let Some(flight) = flying.pop() {
                    let outcome = match step {
                        3 => Outcome::Success,
                        4 => Outcome::Throttled { asked: (ms % 2 == 0).then_some(Duration::from_millis(ms)) },
                        _ => Outcome::Other,
                    };
                    limiter.leave(flight, outcome, now);
                },
            }
            prop_assert_eq!(limiter.in_flight() as usize, flying.len());
            let backfill = flying.iter().filter(|f| f.asking.lane == Lane::Backfill).count();
            prop_assert_eq!(limiter.backfill as usize, backfill);
            prop_assert!(limiter.limit().is_none_or(|limit| limit >= 1));
        }
    }
}
