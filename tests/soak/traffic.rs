//! What clients do meanwhile.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use scryon_testkit::{Client, Dice, TestApp, elapse, unique_wav};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::figures::Peace;
use crate::operators::{self, Operators};

/// Between two uploads.
const PACE: Duration = Duration::from_millis(105);
/// Calls in flight above which nothing is uploaded: a machine that is busy with something else is not buried, and
/// accepts less.
const MOST: i64 = 500;
/// Uploads between two looks at that.
const LOOK: u32 = 20;
/// Before a client asks again.
const PAUSE: Duration = Duration::from_millis(500);
/// Calls that are likely in flight.
const YOUNG: u32 = 40;

/// The two doors, what was promised behind them, and what was done to it.
#[derive(Debug)]
pub(crate) struct Traffic {
    doors: [Client; 2],
    turn: AtomicU32,
    promised: Mutex<Vec<Uuid>>,
    deleted: Mutex<HashSet<Uuid>>,
    with_key: AtomicU32,
    refused: AtomicU32,
    pub(crate) operators: Operators,
    pub(crate) peace: Arc<Peace>,
}

impl Traffic {
    pub(crate) fn new(doors: [String; 2], peace: Arc<Peace>) -> Self {
        Self {
            doors: doors.map(Client::new),
            turn: AtomicU32::new(0),
            promised: Mutex::default(),
            deleted: Mutex::default(),
            with_key: AtomicU32::new(0),
            refused: AtomicU32::new(0),
            operators: Operators::default(),
            peace,
        }
    }

    /// A request by the next of the two doors.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        self.doors[turn % 2].request(method, path)
    }

    /// Calls that were promised and that nobody deleted.
    pub(crate) fn kept(&self) -> Vec<Uuid> {
        let deleted = lock(&self.deleted);
        lock(&self.promised).iter().filter(|id| !deleted.contains(id)).copied().collect()
    }

    /// Calls that somebody wanted deleted.
    pub(crate) fn deleted(&self) -> HashSet<String> {
        lock(&self.deleted).iter().map(Uuid::to_string).collect()
    }

    /// Before it is tried: the answer may be lost.
    pub(crate) fn will_delete(&self, id: Uuid) {
        lock(&self.deleted).insert(id);
    }

    pub(crate) fn accepted(&self) -> usize {
        lock(&self.promised).len()
    }

    pub(crate) fn said(&self) -> String {
        let [with_key, refused] = [&self.with_key, &self.refused].map(|n| n.load(Ordering::Relaxed));
        format!(
            "calls accepted: {} ({with_key} of them under an Idempotency-Key; {refused} requests were refused or cut off, and sent again)",
            self.accepted()
        )
    }

    fn one_of(&self, dice: &mut Dice) -> Option<Uuid> {
        let promised = lock(&self.promised);
        let count = u32::try_from(promised.len()).unwrap();
        // Mostly a young one: it is in flight.
        let young = count.min(YOUNG);
        let back = if dice.roll(3) > 0 { dice.roll(young.max(1)) } else { dice.roll(count.max(1)) };
        promised.get((count.checked_sub(1 + back)?) as usize).copied()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Uploads and operators' hands until the time is over.
pub(crate) async fn load(app: Arc<TestApp>, traffic: Arc<Traffic>, mut dice: Dice, until: Instant) {
    let mut tasks = JoinSet::new();
    let mut next = tokio::time::Instant::now();
    let mut count = 0u32;
    while Instant::now() < until {
        count += 1;
        if count.is_multiple_of(LOOK) && is_full(&app).await {
            elapse(PAUSE).await;
            next = tokio::time::Instant::now();
            count -= 1;
            continue;
        }
        tasks.spawn(upload(traffic.clone(), dice.roll(2) == 0));
        let deed = operators::choose(&mut dice);
        if let (Some(deed), Some(id)) = (deed, traffic.one_of(&mut dice)) {
            tasks.spawn(operators::operate(app.clone(), traffic.clone(), deed, id));
        }
        next += PACE;
        tokio::time::sleep_until(next).await;
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
}

async fn is_full(app: &TestApp) -> bool {
    let sql = "select count(*) from call_records where status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING')";
    let rows = operators::try_query(&app.database.url, sql, &[]).await;
    rows.is_some_and(|rows| rows[0].get::<_, i64>(0) > MOST)
}

/// As a client should: again until there is an answer, under the same key where it has one. Without a key an
/// answer that was lost makes a second call of the same recording, which is not bought again.
async fn upload(traffic: Arc<Traffic>, has_key: bool) {
    let (audio, key) = (unique_wav(), Uuid::new_v4().to_string());
    loop {
        let mut request = traffic.request(Method::POST, "/api/calls/analyze");
        if has_key {
            request = request.header("Idempotency-Key", &key);
        }
        if let Ok(answer) = request.multipart(Client::form(audio.clone())).send().await
            && answer.status() == 202
            && let Ok(body) = answer.json::<serde_json::Value>().await
        {
            lock(&traffic.promised).push(body["callId"].as_str().unwrap().parse().unwrap());
            traffic.with_key.fetch_add(u32::from(has_key), Ordering::Relaxed);
            return;
        }
        traffic.refused.fetch_add(1, Ordering::Relaxed);
        elapse(PAUSE).await;
    }
}
