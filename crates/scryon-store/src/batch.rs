//! Steps of many calls in one statement and one commit. Under load a statement's own cost (round trip,
//! snapshot, commit, a switch between processes) is most of what a step costs, so steps of the same kind that
//! are asked for within a few milliseconds are sent together. A step that comes alone goes at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::deserialize::QueryableByName;
use diesel::pg::Pg;
use scryon_domain::stage::Lane as CallLane;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::db::{Connections, Statement, StoreError};

/// Most steps of one statement: what they lock is held until the last one is done.
const TOGETHER: usize = 128;
/// So many steps of one statement make the whole pace worth its wait. Where fewer came together the cost of each is
/// nobody's trouble, and the wait would be one of a live call, at each of its steps.
const COMPANY: u32 = 7;
/// After how many statements a lane's plans are made anew for the first time, and by what that grows each time:
/// plans made while the tables were small are kept by the session, and may read the wrong index.
const PLANS_ANEW: (u64, u64) = (16, 8);

/// A function of the database that takes an array of steps and gives rows that name their call.
pub(crate) type Step = &'static str;

/// A row of a step's answer.
pub(crate) trait OfCall {
    /// The call it is about.
    fn call(&self) -> Uuid;
}

struct Asked<T> {
    call: Uuid,
    lane: CallLane,
    /// A JSON object.
    step: String,
    answer: oneshot::Sender<Result<Vec<T>, StoreError>>,
}

/// One queue for each kind of step, each with one statement on its way.
pub(crate) struct Batches<T> {
    connections: Connections,
    pace: Duration,
    lanes: Arc<Mutex<HashMap<Step, mpsc::UnboundedSender<Asked<T>>>>>,
}

impl<T> Clone for Batches<T> {
    fn clone(&self) -> Self {
        Self { connections: self.connections.clone(), pace: self.pace, lanes: self.lanes.clone() }
    }
}

impl<T: OfCall + QueryableByName<Pg> + Send + 'static> Batches<T> {
    /// `connections`: for steps that are sent again apart; each lane opens one of its own besides.
    /// `pace`: time between the starts of two statements of a lane under load, where it gathers company for each
    /// step. A lane whose steps come alone sends at once.
    pub(crate) fn new(connections: Connections, pace: Duration) -> Self {
        Self { connections, pace, lanes: Arc::default() }
    }

    /// Does one step of one call; `step` is what the function's composite type says.
    pub(crate) async fn rows(
        &self,
        name: Step,
        (call, lane): (Uuid, CallLane),
        step: &impl Serialize,
    ) -> Result<Vec<T>, StoreError> {
        let step = serde_json::to_string(step).map_err(|e| StoreError::row(e.to_string()))?;
        let (answer, answered) = oneshot::channel();
        if self.lane(name)?.send(Asked { call, lane, step, answer }).is_err() {
            return Err(StoreError::stopping());
        }
        answered.await.unwrap_or_else(|_gone| Err(StoreError::stopping()))
    }

    fn lane(&self, name: Step) -> Result<mpsc::UnboundedSender<Asked<T>>, StoreError> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(name) {
            return Ok(lane.clone());
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        // A connection of its own has few plans to keep, and all of them warm.
        let lane = Lane {
            text: format!("select * from {name}($1::text::jsonb)").into(),
            own: self.connections.one()?,
            others: self.connections.clone(),
            pace: self.pace,
        };
        tokio::spawn(lane.serve(receiver));
        lanes.insert(name, sender.clone());
        Ok(sender)
    }
}

struct Lane {
    text: Arc<str>,
    own: Connections,
    others: Connections,
    pace: Duration,
}

impl Lane {
    /// Ends with the store that asks.
    async fn serve<T: OfCall + QueryableByName<Pg> + Send + 'static>(
        self,
        mut asked: mpsc::UnboundedReceiver<Asked<T>>,
    ) {
        let mut waiting = VecDeque::new();
        let mut pace = Pace::new(self.pace, Instant::now());
        let (mut sent, mut plans_end) = (0, PLANS_ANEW.0);
        loop {
            if waiting.is_empty() {
                let Some(first) = asked.recv().await else { return };
                waiting.push_back(first);
            }
            self.gather(&pace, &mut asked, &mut waiting).await;
            sent += 1;
            if sent == plans_end {
                plans_end *= PLANS_ANEW.1;
                // Where it fails the statement after it fails too, and says why.
                let _old_plans = self.own.effect(Statement::new("discard plans")).await;
            }
            let together = take(&mut waiting);
            pace.sent(&together, Instant::now());
            if let Some(refused) = run(&self.own, &self.text, together).await {
                self.retry_apart(refused);
            }
        }
    }

    /// Until the next statement may start.
    async fn gather<T>(
        &self,
        pace: &Pace,
        asked: &mut mpsc::UnboundedReceiver<Asked<T>>,
        waiting: &mut VecDeque<Asked<T>>,
    ) {
        loop {
            while let Ok(one) = asked.try_recv() {
                waiting.push_back(one);
            }
            let (lane, next) = pace.next(waiting);
            if next <= Instant::now() {
                return;
            }
            // Only a live call brings the start forward; behind one, nobody who comes has to wake us.
            let arrival = async {
                match lane {
                    CallLane::Live => std::future::pending().await,
                    CallLane::Backfill => asked.recv().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                Some(one) = arrival => waiting.push_back(one),
            }
        }
    }

    /// One call's trouble (a lock that an operator holds, a row that is refused) is nobody else's.
    fn retry_apart<T: OfCall + QueryableByName<Pg> + Send + 'static>(&self, asked: Vec<Asked<T>>) {
        for one in asked {
            let (connections, text) = (self.others.clone(), self.text.clone());
            tokio::spawn(async move {
                let again = run(&connections, &text, vec![one]).await;
                debug_assert!(again.is_none(), "a step alone is answered");
            });
        }
    }
}

/// When a lane's next statement may start. A live call waits for other live calls alone, however many bulk runs go
/// by; what it finds waiting goes with it.
struct Pace {
    whole: Duration,
    /// For a statement with a live call's step in it, and for one of bulk runs' steps.
    live: Instant,
    bulk: Instant,
}

impl Pace {
    fn new(whole: Duration, now: Instant) -> Self {
        Self { whole, live: now, bulk: now }
    }

    /// When those that wait may start, and for whose sake then.
    fn next<T>(&self, waiting: &VecDeque<Asked<T>>) -> (CallLane, Instant) {
        match waiting.iter().any(|one| one.lane == CallLane::Live) {
            true => (CallLane::Live, self.live),
            false => (CallLane::Backfill, self.bulk),
        }
    }

    fn sent<T>(&mut self, together: &[Asked<T>], now: Instant) {
        let live = together.iter().filter(|one| one.lane == CallLane::Live).count();
        self.bulk = now + wait(self.whole, together.len());
        self.live = if together.len() >= TOGETHER { now } else { now + wait(self.whole, live) };
    }
}

/// Until the next statement may start, after one of so many steps.
fn wait(pace: Duration, together: usize) -> Duration {
    // Behind a full statement there is no company to wait for: it is there.
    if together >= TOGETHER {
        return Duration::ZERO;
    }
    let others = u32::try_from(together.saturating_sub(1)).unwrap_or(COMPANY);
    pace * others.min(COMPANY - 1) / (COMPANY - 1)
}

/// The next statement's steps. The functions take one step of a call: a second one waits for the next statement.
fn take<T>(waiting: &mut VecDeque<Asked<T>>) -> Vec<Asked<T>> {
    let mut calls = HashSet::new();
    let mut together = Vec::new();
    let mut later = VecDeque::new();
    for one in waiting.drain(..) {
        if together.len() < TOGETHER && calls.insert(one.call) {
            together.push(one);
        } else {
            later.push_back(one);
        }
    }
    *waiting = later;
    together
}

/// Gives the steps back where the server refused all of them because of one.
async fn run<T: OfCall + QueryableByName<Pg> + Send + 'static>(
    connections: &Connections,
    text: &Arc<str>,
    asked: Vec<Asked<T>>,
) -> Option<Vec<Asked<T>>> {
    let steps: Vec<&str> = asked.iter().map(|a| a.step.as_str()).collect();
    let statement = Statement::of_text(text.clone()).bind(format!("[{}]", steps.join(",")));
    match connections.rows::<T>(statement).await {
        Ok(rows) => {
            let mut answers: HashMap<Uuid, Vec<T>> = HashMap::with_capacity(asked.len());
            for row in rows {
                answers.entry(row.call()).or_default().push(row);
            }
            for one in asked {
                let answer = answers.remove(&one.call).unwrap_or_default();
                let _asker_gone = one.answer.send(Ok(answer));
            }
            None
        }
        Err(error) if asked.len() > 1 && error.wrote_nothing() => Some(asked),
        Err(error) => {
            for one in asked {
                let _asker_gone = one.answer.send(Err(error.clone()));
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(call: u128) -> Asked<()> {
        asked_in(CallLane::Live, call)
    }

    fn asked_in(lane: CallLane, call: u128) -> Asked<()> {
        Asked { call: Uuid::from_u128(call), lane, step: String::new(), answer: oneshot::channel().0 }
    }

    /// Milliseconds that a step of each lane waits behind a statement of so many live and bulk steps.
    #[test]
    fn a_live_call_waits_for_live_calls_alone() {
        let waits = |live: usize, bulk: usize| {
            let now = Instant::now();
            let mut pace = Pace::new(Duration::from_millis(60), now);
            let lanes = [vec![CallLane::Live; live], vec![CallLane::Backfill; bulk]].concat();
            pace.sent(&lanes.into_iter().map(|lane| asked_in(lane, 1)).collect::<Vec<_>>(), now);
            [CallLane::Live, CallLane::Backfill].map(|lane| {
                let waiting = VecDeque::from([asked_in(lane, 2), asked_in(CallLane::Backfill, 3)]);
                (pace.next(&waiting).1 - now).as_millis()
            })
        };
        assert_eq!(waits(0, 50), [0, 60]);
        assert_eq!(waits(1, 50), [0, 60]);
        assert_eq!(waits(2, 0), [10, 10]);
        assert_eq!(waits(50, 50), [60, 60]);
        assert_eq!(waits(0, 128), [0, 0]);
        assert_eq!(waits(120, 8), [0, 0]);
    }

    #[test]
    fn a_step_that_came_alone_makes_nobody_wait() {
        let waits = [0, 1, 2, 3, 6, 7, 127, 128].map(|n| wait(Duration::from_millis(60), n).as_millis());
        assert_eq!(waits, [0, 0, 10, 20, 50, 60, 60, 0]);
    }

    #[test]
    fn a_statement_has_one_step_of_a_call_and_not_too_many() {
        let mut waiting: VecDeque<_> = [1, 2, 1, 3].into_iter().map(asked).collect();
        let calls = |steps: &[Asked<()>]| steps.iter().map(|a| a.call.as_u128()).collect::<Vec<_>>();
        assert_eq!(calls(&take(&mut waiting)), [1, 2, 3]);
        assert_eq!(calls(&take(&mut waiting)), [1]);
        let mut waiting: VecDeque<_> = (0..TOGETHER as u128 + 8).map(asked).collect();
        assert_eq!((take(&mut waiting).len(), waiting.len()), (TOGETHER, 8));
    }
}
