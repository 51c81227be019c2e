//! How many requests of a route are taken in a second, and what was seen of those who ask too often.

use std::collections::HashMap;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// More requests of a second than this are refused with 429, before anything is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Zero refuses all of them.
    pub per_second: usize,
    /// `Retry-After` of the refusals.
    pub retry_after: Option<u64>,
}

/// Requests of a route since its quota was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub taken: usize,
    pub refused: usize,
    /// Most requests, taken and refused, of any second.
    pub busiest_second: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Quotas {
    routes: HashMap<String, Watched>,
}

#[derive(Debug)]
struct Watched {
    quota: Quota,
    taken: Vec<Instant>,
    all: Vec<Instant>,
}

impl Quotas {
    pub(crate) fn set(&mut self, route: &str, quota: Option<Quota>) {
        match quota {
            Some(quota) => {
                let watched = Watched { quota, taken: Vec::new(), all: Vec::new() };
                self.routes.insert(route.to_owned(), watched);
            }
            None => {
                self.routes.remove(route);
            }
        }
    }

    /// Counts a request; the `Retry-After` of its refusal where it is one too many.
    pub(crate) fn take(&mut self, route: &str, now: Instant) -> Result<(), Option<u64>> {
        let Some(watched) = self.routes.get_mut(route) else { return Ok(()) };
        watched.all.push(now);
        let recent = watched.taken.iter().rev().take_while(|at| now.duration_since(**at) < SECOND).count();
        if recent >= watched.quota.per_second {
            return Err(watched.quota.retry_after);
        }
        watched.taken.push(now);
        Ok(())
    }

    pub(crate) fn traffic(&self, route: &str) -> Option<Traffic> {
        let watched = self.routes.get(route)?;
        let (mut busiest, mut first) = (0, 0);
        for (last, at) in watched.all.iter().enumerate() {
            while at.duration_since(watched.all[first]) >= SECOND {
                first += 1;
            }
            busiest = busiest.max(last + 1 - first);
        }
        let taken = watched.taken.len();
        Some(Traffic { taken, refused: watched.all.len() - taken, busiest_second: busiest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_in_any_second_is_refused_and_counted() {
        let start = Instant::now();
        let mut quotas = Quotas::default();
        assert_eq!(quotas.take("r", start), Ok(()), "a route without a quota");
        quotas.set("r", Some(Quota { per_second: 2, retry_after: Some(3) }));
        let at = |ms| start + Duration::from_millis(ms);
        let answers: Vec<_> =
            [0, 100, 200, 999, 1_000, 1_001, 1_100].map(|ms| quotas.take("r", at(ms))).to_vec();
        let refused = Err(Some(3));
        assert_eq!(answers, [Ok(()), Ok(()), refused, refused, Ok(()), refused, Ok(())]);
        assert_eq!(quotas.traffic("r"), Some(Traffic { taken: 4, refused: 3, busiest_second: 5 }));
        quotas.set("r", Some(Quota { per_second: 0, retry_after: None }));
        assert_eq!(quotas.take("r", at(5_000)), Err(None));
        assert_eq!(quotas.traffic("other"), None);
    }
}
