//! What clients and operators do meanwhile.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use scryon_testkit::{Client, Dice, TestApp, elapse, unique_wav};
use tokio::task::JoinSet;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};
use uuid::Uuid;

/// Between two uploads.
const PACE: Duration = Duration::from_millis(110);

/// What operators type.
const DEEDS: [(Deed, &str); 4] = [
    (Deed::Reset, "update call_records set status = 'QUEUED', error_reason = null where id = $1"),
    (Deed::Delete, "delete from call_records where id = $1"),
    (
        Deed::Cancel,
        "update call_records set status = 'CANCELLED' where id = $1 and status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING')",
    ),
    (
        Deed::Sweep,
        "update call_records set status = 'FAILED', error_reason = 'manual_sweep' where id in ($1)",
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Reset,
    Delete,
    Cancel,
    Sweep,
}

/// What was promised, and what was done to it.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    promised: Mutex<Vec<Uuid>>,
    deleted: Mutex<HashSet<Uuid>>,
    refused: AtomicU32,
    deeds: [AtomicU32; 4],
}

impl Traffic {
    /// Calls that were promised and that nobody deleted.
    pub(crate) fn kept(&self) -> Vec<Uuid> {
        let deleted = lock(&self.deleted);
        lock(&self.promised).iter().filter(|id| !deleted.contains(id)).copied().collect()
    }

    fn one_of(&self, dice: &mut Dice) -> Option<Uuid> {
        let promised = lock(&self.promised);
        let count = u32::try_from(promised.len()).unwrap();
        // Mostly a young one: it is in flight.
        let young = count.min(40);
        let back = if dice.roll(3) > 0 { dice.roll(young.max(1)) } else { dice.roll(count.max(1)) };
        promised.get((count.checked_sub(1 + back)?) as usize).copied()
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [resets, deletes, cancels, sweeps] = [0, 1, 2, 3].map(|n| self.deeds[n].load(Ordering::Relaxed));
        write!(
            f,
            "{} calls accepted ({} requests refused and sent again), {resets} resets, {deletes} deletes, {cancels} cancels, {sweeps} sweeps by hand",
            lock(&self.promised).len(),
            self.refused.load(Ordering::Relaxed)
        )
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Uploads and operators' hands until the time is over.
pub(crate) async fn load(app: Arc<TestApp>, traffic: Arc<Traffic>, mut dice: Dice, until: Instant) {
    let mut tasks = JoinSet::new();
    while Instant::now() < until {
        tasks.spawn(upload(app.clone(), traffic.clone()));
        if let Some(n) = [0, 0, 0, 1, 2, 3].get(dice.roll(18) as usize).copied()
            && let Some(id) = traffic.one_of(&mut dice)
        {
            tasks.spawn(operate(app.clone(), traffic.clone(), n, id));
        }
        elapse(PACE).await;
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
}

/// As a client should: the same key until there is an answer. One recording is one call.
async fn upload(app: Arc<TestApp>, traffic: Arc<Traffic>) {
    let (audio, key) = (unique_wav(), Uuid::new_v4().to_string());
    loop {
        let request = app.client.request(Method::POST, "/api/calls/analyze").header("Idempotency-Key", &key);
        let sent = request.multipart(Client::form(audio.clone())).send().await;
        if let Ok(answer) = sent
            && answer.status() == 202
        {
            let body: serde_json::Value = answer.json().await.unwrap();
            lock(&traffic.promised).push(body["callId"].as_str().unwrap().parse().unwrap());
            return;
        }
        traffic.refused.fetch_add(1, Ordering::Relaxed);
        elapse(Duration::from_millis(500)).await;
    }
}

async fn operate(app: Arc<TestApp>, traffic: Arc<Traffic>, n: usize, id: Uuid) {
    let (deed, sql) = DEEDS[n];
    if deed == Deed::Delete {
        // Before it is tried: the answer may be lost.
        lock(&traffic.deleted).insert(id);
    }
    if try_query(&app, sql, &[&id]).await.is_some() {
        traffic.deeds[n].fetch_add(1, Ordering::Relaxed);
    }
}

/// As a person at psql: nothing where Postgres is away.
pub(crate) async fn try_query(
    app: &TestApp,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Option<Vec<Row>> {
    let (client, connection) = tokio_postgres::connect(&app.database.url, NoTls).await.ok()?;
    let connection = tokio::spawn(connection);
    let rows = client.query(sql, parameters).await.ok();
    drop(client);
    let _ended = connection.await;
    rows
}
