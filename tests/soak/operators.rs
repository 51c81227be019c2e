//! What operators and impatient users do meanwhile: SQL as the role of operators, orders by the API, and the
//! command line.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use scryon_testkit::{Dice, TestApp, elapse, scryon_command};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};
use uuid::Uuid;

use crate::figures::Watch;
use crate::traffic::Traffic;

/// Between two looks for a new run.
const LOOK: Duration = Duration::from_millis(25);
/// Before something that must be undone is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// Most milliseconds that something stays switched, beyond half a second.
const SWITCHED: u32 = 3_000;
/// What `scryon` ends with where there is nothing to switch off.
const NOT_ON: i32 = 65;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    Reset,
    ForcePaidReset,
    Cancel,
    ManualSweep,
    Delete,
    ApiReprocess,
    ApiReanalyze,
    ApiCancel,
    ApiDelete,
    BulkReprocess,
    Pause,
    FlagOff,
    Hold,
}

/// How often of [`UPLOADS`].
const CHANCES: [(u32, Deed); 13] = [
    (100, Deed::Reset),
    (8, Deed::ForcePaidReset),
    (12, Deed::Cancel),
    (12, Deed::ManualSweep),
    (10, Deed::Delete),
    (15, Deed::ApiReprocess),
    (10, Deed::ApiReanalyze),
    (10, Deed::ApiCancel),
    (10, Deed::ApiDelete),
    (2, Deed::BulkReprocess),
    (4, Deed::Pause),
    (2, Deed::FlagOff),
    (2, Deed::Hold),
];
const UPLOADS: u32 = 600;

/// Beside this many uploads, one deed or none.
pub(crate) fn choose(dice: &mut Dice) -> Option<Deed> {
    let mut roll = dice.roll(UPLOADS);
    for (chance, deed) in CHANCES {
        match roll.checked_sub(chance) {
            Some(rest) => roll = rest,
            None => return Some(deed),
        }
    }
    None
}

/// What was done, and how soon resets were seen.
#[derive(Debug, Default)]
pub(crate) struct Operators {
    done: Mutex<BTreeMap<Deed, u32>>,
    pub(crate) seen: Watch,
    /// Of those, the ones while no server was away and nothing was paused.
    pub(crate) seen_in_peace: Watch,
    /// One hand on each switch.
    pause: tokio::sync::Mutex<()>,
    flag: tokio::sync::Mutex<()>,
    hold: tokio::sync::Mutex<()>,
}

impl Operators {
    fn count(&self, deed: Deed) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner).entry(deed).or_default() += 1;
    }

    pub(crate) fn resets(&self) -> u32 {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        [Deed::Reset, Deed::ForcePaidReset].iter().filter_map(|deed| done.get(deed)).sum()
    }
}

impl fmt::Display for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let said: Vec<String> = done.iter().map(|(deed, count)| format!("{deed:?} {count}")).collect();
        f.write_str(&said.join(", "))
    }
}

const RESET: &str =
    "update call_records set status = 'QUEUED', error_reason = null where id = $1 returning run_no";
const FORCE: &str =
    "update call_records set status = 'QUEUED', force_paid = true where id = $1 returning run_no";
const CANCEL: &str = "update call_records set status = 'CANCELLED'
     where id = $1 and status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING') returning run_no";
const SWEEP: &str = "update call_records set status = 'FAILED', error_reason = 'manual_sweep'
     where id in ($1) returning run_no";
const DELETE: &str = "delete from call_records where id = $1 returning run_no";

/// Counted once it was heard to be done.
pub(crate) async fn operate(app: Arc<TestApp>, traffic: Arc<Traffic>, deed: Deed, id: Uuid) {
    if matches!(deed, Deed::Delete | Deed::ApiDelete) {
        traffic.will_delete(id);
    }
    let is_done = match deed {
        Deed::Reset => reset(&app, &traffic, RESET, id).await,
        Deed::ForcePaidReset => reset(&app, &traffic, FORCE, id).await,
        Deed::Cancel => hit(&app, CANCEL, id).await,
        Deed::ManualSweep => hit(&app, SWEEP, id).await,
        Deed::Delete => hit(&app, DELETE, id).await,
        Deed::ApiReprocess => ordered(&traffic, Method::POST, id, "/reprocess").await,
        Deed::ApiReanalyze => ordered(&traffic, Method::POST, id, "/reanalyze").await,
        Deed::ApiCancel => ordered(&traffic, Method::POST, id, "/cancel").await,
        Deed::ApiDelete => ordered(&traffic, Method::DELETE, id, "").await,
        Deed::BulkReprocess => bulk(&app, id).await,
        Deed::Pause => pause(&app, &traffic, id).await,
        Deed::FlagOff => flag(&app, &traffic, id).await,
        Deed::Hold => hold(&app, &traffic, id).await,
    };
    if is_done {
        traffic.operators.count(deed);
    }
}

async fn hit(app: &TestApp, sql: &str, id: Uuid) -> bool {
    try_query(&operators_url(app), sql, &[&id]).await.is_some_and(|rows| !rows.is_empty())
}

async fn ordered(traffic: &Traffic, method: Method, id: Uuid, order: &str) -> bool {
    let request = traffic.request(method, &format!("/api/calls/{id}{order}"));
    request.send().await.is_ok_and(|answer| answer.status().is_success())
}

async fn reset(app: &TestApp, traffic: &Traffic, sql: &str, id: Uuid) -> bool {
    let peace = traffic.peace.now();
    let rows = try_query(&operators_url(app), sql, &[&id]).await;
    let typed = Instant::now();
    let Some(run) = rows.and_then(|rows| rows.first().map(|row| row.get::<_, i32>(0))) else { return false };
    if is_seen(app, id, run).await {
        traffic.operators.seen.add(typed.elapsed());
        if traffic.peace.held_since(peace) {
            traffic.operators.seen_in_peace.add(typed.elapsed());
        }
    }
    true
}

/// Waits for a run after `run`, or for a place at admission; false where somebody had another wish meanwhile.
async fn is_seen(app: &TestApp, id: Uuid, run: i32) -> bool {
    let look = "select run_no, status, publish_due is null from call_records where id = $1";
    loop {
        // One connection, until it breaks.
        let Some((client, _connection)) = connect(&app.database.url).await else {
            elapse(PAUSE).await;
            continue;
        };
        while let Ok(rows) = client.query(look, &[&id]).await {
            let Some(row) = rows.first() else { return false };
            let (now, status, is_held): (i32, String, bool) = (row.get(0), row.get(1), row.get(2));
            match (now > run, status.as_str()) {
                (true, _) => return true,
                (false, "QUEUED") if is_held => return true,
                (false, "QUEUED") => elapse(LOOK).await,
                (false, _) => return false,
            }
        }
    }
}

/// Those that were swept by hand, or cancelled: some tens.
async fn bulk(app: &TestApp, chance: Uuid) -> bool {
    let status = if chance.as_bytes()[15].is_multiple_of(2) { "FAILED" } else { "CANCELLED" };
    scryon(app, &["reprocess", "--since", "1h", "--status", status, "--eager"]).await == Some(0)
}

async fn pause(app: &TestApp, traffic: &Traffic, chance: Uuid) -> bool {
    let Ok(_hand) = traffic.operators.pause.try_lock() else { return false };
    let (kind, target) = [
        ("--lane", "backfill"),
        ("--lane", "live"),
        ("--tenant", "default"),
        ("--stage", "transcription"),
        ("--stage", "diarization"),
        ("--stage", "analysis"),
    ][usize::from(chance.as_bytes()[15]) % 6];
    let on = ["--direct", "pause", kind, target, "--reason", "soak"];
    let off = ["--direct", "resume", kind, target];
    traffic.peace.without(switched(app, &on, &off, chance)).await
}

async fn flag(app: &TestApp, traffic: &Traffic, chance: Uuid) -> bool {
    let Ok(_hand) = traffic.operators.flag.try_lock() else { return false };
    let on = ["--direct", "flags", "set", "analysis", "off", "--reason", "soak"];
    switched(app, &on, &["--direct", "flags", "clear", "analysis"], chance).await
}

async fn hold(app: &TestApp, traffic: &Traffic, chance: Uuid) -> bool {
    let Ok(_hand) = traffic.operators.hold.try_lock() else { return false };
    let (on, off) = (["hold", "on", "--reason", "soak"], ["hold", "off", "--reason", "soak"]);
    switched(app, &on, &off, chance).await
}

/// On, for a while, and off again, whatever it takes.
async fn switched(app: &TestApp, on: &[&str], off: &[&str], chance: Uuid) -> bool {
    let is_on = scryon(app, on).await == Some(0);
    let chance = u32::from(chance.as_bytes()[14]) * SWITCHED / 255;
    elapse(Duration::from_millis(u64::from(500 + chance))).await;
    // Also where it was not heard to be on.
    while !matches!(scryon(app, off).await, Some(0 | NOT_ON)) {
        elapse(PAUSE).await;
    }
    is_on
}

/// The command line as an operator has it; not by the wires of the programs. Gives its exit code.
async fn scryon(app: &TestApp, arguments: &[&str]) -> Option<i32> {
    let mut command = scryon_command();
    command.envs(&app.settings).env("DATABASE_URL", &app.database.url).args(arguments);
    command.output().await.expect("scryon runs").status.code()
}

fn operators_url(app: &TestApp) -> String {
    format!("{}%20-crole%3Dscryon_operator", app.database.url)
}

struct Ends(tokio::task::JoinHandle<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Nothing where Postgres is away.
async fn connect(url: &str) -> Option<(Client, Ends)> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    let connection = tokio::spawn(async move { drop(connection.await) });
    Some((client, Ends(connection)))
}

/// As a person at psql.
pub(crate) async fn try_query(url: &str, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Option<Vec<Row>> {
    let (client, _connection) = connect(url).await?;
    client.query(sql, parameters).await.ok()
}
