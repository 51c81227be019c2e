//! Requests of a key in a sliding minute, counted for each endpoint.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix_web::Error;

use super::super::provider::Problem;
use super::super::visit::Visit;
use crate::lock;
use crate::options::ResetForm;
use crate::reply::Reply;

const WINDOW: Duration = Duration::from_secs(60);

/// Times of the requests of a minute, by key and endpoint.
#[derive(Debug, Default)]
pub(super) struct Windows(HashMap<(String, &'static str), VecDeque<Instant>>);

/// What an answer says of its limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    limit: usize,
    remaining: usize,
    reset: Duration,
    form: ResetForm,
}

impl Windows {
    /// How much is left after this request, and how long until the oldest leaves the window. None left is `Err`.
    fn enter(
        &mut self,
        key: (String, &'static str),
        limit: usize,
        now: Instant,
    ) -> Result<(usize, Duration), Duration> {
        let times = self.0.entry(key).or_default();
        while times.front().is_some_and(|t| now.duration_since(*t) >= WINDOW) {
            times.pop_front();
        }
        let reset = times.front().map_or(WINDOW, |t| WINDOW.saturating_sub(now.duration_since(*t)));
        if times.len() >= limit {
            return Err(reset);
        }
        times.push_back(now);
        Ok((limit - times.len(), reset))
    }
}

/// Counts a request. Above the limit it is refused with 429.
pub(super) fn count(visit: &Visit, endpoint: &'static str, limit: usize) -> Result<Limit, Error> {
    let form = visit.options.pyannote_reset;
    let entered = lock(&visit.shared.hosted.pyannote).windows.enter(
        (visit.key.clone(), endpoint),
        limit,
        Instant::now(),
    );
    match entered {
        Ok((remaining, reset)) => Ok(Limit { limit, remaining, reset, form }),
        Err(reset) => {
            let limit = Limit { limit, remaining: 0, reset, form };
            let reply = visit.problem(&Problem::new(429, "Too many requests."));
            Err(limit.on(reply).header("Retry-After", whole_seconds(reset).to_string()).refusal())
        }
    }
}

impl Limit {
    /// The answer with the limit's headers.
    pub(super) fn on(self, reply: Reply) -> Reply {
        let seconds = whole_seconds(self.reset);
        let reset = match self.form {
            ResetForm::Epoch => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                (now.as_secs() + seconds).to_string()
            }
            _ => seconds.to_string(),
        };
        reply
            .header("X-RateLimit-Limit", self.limit.to_string())
            .header("X-RateLimit-Remaining", self.remaining.to_string())
            .header("X-RateLimit-Reset", reset)
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1_000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides() {
        let mut windows = Windows::default();
        let start = Instant::now();
        let mut enter =
            |endpoint, at| windows.enter(("key".to_owned(), endpoint), 2, start + Duration::from_secs(at));
        assert_eq!(enter("diarize", 0), Ok((1, WINDOW)));
        assert_eq!(enter("diarize", 40), Ok((0, Duration::from_secs(20))));
        assert_eq!(enter("diarize", 50), Err(Duration::from_secs(10)));
        assert_eq!(enter("jobs", 50), Ok((1, WINDOW)));
        assert_eq!(enter("diarize", 60), Ok((0, Duration::from_secs(40))));
    }
}
