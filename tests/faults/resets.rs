//! Hands at psql while everything runs: resets at any instant, and bulk deletes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use scryon_testkit::{Dice, Pair, TestApp, TestOptions, Times, elapse, eventually, promised};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{all_completed, all_completed_within, objects, scale, upload_many};

const CALLS: usize = 20;
/// From 99 of a hundred resets to their new run.
const RESTART: Duration = Duration::from_secs(2);

/// Writes down every write of a run that is not the call's own any more, whoever makes it.
const WATCH: &str = "
    create table stale_writes (what text not null, call_id uuid, run_no int);
    create function watch_runs() returns trigger language plpgsql set search_path from current as $$
    declare now_run int; now_status text;
    begin
        select run_no, status into now_run, now_status from call_records where id = new.call_id;
        if now_run <> new.run_no or now_status = 'QUEUED' then
            insert into stale_writes values (tg_table_name, new.call_id, new.run_no);
        end if;
        return new;
    end $$;
    create trigger watch_artifacts before insert or update on call_artifacts
        for each row when (new.artifact_type <> 'TEMP_AUDIO') execute function watch_runs();
    create trigger watch_stages before update on call_stages
        for each row when (new.state in ('SUCCEEDED', 'SKIPPED', 'FAILED')) execute function watch_runs();
    create trigger watch_events before insert on call_processing_events
        for each row when (new.status = 'COMPLETED' and new.run_no > 0) execute function watch_runs();";

/// As operators type it; says what it hit.
const RESET: &str = "with old as (select id, status from call_records where id = $1 for update)
    update call_records r set status = 'QUEUED', error_reason = null from old where r.id = old.id
    returning old.status, r.run_no";

/// What a reset may meet besides the pipeline's own statuses.
const FAIL: &str = "update call_records set status = 'FAILED', error_reason = 'manual_sweep' where id = $1";
const CANCEL: &str = "update call_records set status = 'CANCELLED' where id = $1";

#[derive(Default)]
struct Hit {
    queued: AtomicU32,
    transcribing: AtomicU32,
    analyzing: AtomicU32,
    completed: AtomicU32,
    failed: AtomicU32,
    cancelled: AtomicU32,
    restarts: Mutex<Vec<Duration>>,
}

impl Hit {
    fn count(&self, status: &str) {
        let counter = match status {
            "QUEUED" => &self.queued,
            "TRANSCRIBING" => &self.transcribing,
            "ANALYZING" => &self.analyzing,
            "COMPLETED" => &self.completed,
            "FAILED" => &self.failed,
            _ => &self.cancelled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn each(&self) -> [u32; 6] {
        [&self.queued, &self.transcribing, &self.analyzing, &self.completed, &self.failed, &self.cancelled]
            .map(|n| n.load(Ordering::Relaxed))
    }
}

async fn reset(client: &Client, id: Uuid, hit: &Hit) -> i32 {
    let row = client.query_one(RESET, &[&id]).await.unwrap();
    hit.count(row.get(0));
    row.get(1)
}

/// The call has a new run, or is held where its place can be seen.
async fn restarted(app: &TestApp, client: &Client, id: Uuid, old_run: i32) {
    eventually(&format!("a run of {id} after {old_run}"), || async {
        let row = client
            .query_one(
                "select run_no, status = 'QUEUED' and publish_due is null from call_records where id = $1",
                &[&id],
            )
            .await
            .unwrap();
        if row.get::<_, i32>(0) > old_run {
            return Some(());
        }
        let held: bool = row.get(1);
        (held && app.client.call(id).await["queuePosition"].as_i64().is_some_and(|p| p > 1)).then_some(())
    })
    .await;
}

async fn resets_of_one(app: &TestApp, id: Uuid, seed: u32, resets: usize, hit: &Hit) {
    let client = app.database.client().await;
    let mut dice = Dice::new(seed);
    for n in 0..resets {
        elapse(Duration::from_millis(u64::from(dice.roll(500)))).await;
        // Where a machine is slow no run comes as far in half a second.
        if n % 5 == 4 {
            let far: &[&str] = if n % 2 == 0 { &["COMPLETED"] } else { &["ANALYZING", "COMPLETED"] };
            let sql = "select count(*) from call_records where id = $1 and status = any($2)";
            eventually("a run to have come far", || async {
                let row = client.query_one(sql, &[&id, &far]).await.unwrap();
                (row.get::<_, i64>(0) == 1).then_some(())
            })
            .await;
        }
        match n % 8 {
            5 => drop(client.execute(FAIL, &[&id]).await.unwrap()),
            6 => drop(client.execute(CANCEL, &[&id]).await.unwrap()),
            _ => {}
        }
        let started = Instant::now();
        let mut run = reset(&client, id, hit).await;
        if n % 8 == 7 {
            run = reset(&client, id, hit).await; // twice in a row
        }
        restarted(app, &client, id, run).await;
        hit.restarts.lock().unwrap().push(started.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_resets_at_any_status_each_start_a_run_and_write_nothing_old() {
    let app = TestApp::start_with(TestOptions::default().latency(Duration::from_millis(120))).await;
    app.database.client().await.batch_execute(WATCH).await.unwrap();
    let hit = Hit::default();
    let each = scale("resets of each call", 25, 500);
    let ids = upload_many(&app, CALLS).await;
    let resets = ids.iter().zip(1..).map(|(id, seed)| resets_of_one(&app, *id, seed * 7919, each, &hit));
    join_all(resets).await;
    all_completed(&app, CALLS).await;

    let resets = CALLS * each;
    let each = hit.each();
    let restarts = Times::of(hit.restarts.lock().unwrap().clone());
    println!(
        "resets of QUEUED, TRANSCRIBING, ANALYZING, COMPLETED, FAILED, CANCELLED: {each:?}; from reset to run: {restarts}"
    );
    assert!(restarts.percentile(99) < promised(RESTART, Duration::from_secs(20)), "{restarts}");
    assert!(each.iter().sum::<u32>() as usize >= resets);
    assert!(each.iter().all(|n| *n >= 10), "every status was met: {each:?}");
    let stale = app
        .database
        .sql("select what || ' of run ' || run_no || ' of ' || call_id from stale_writes", &[])
        .await;
    let stale: Vec<String> = stale.iter().map(|r| r.get(0)).collect();
    assert!(stale.is_empty(), "an old run wrote:\n{}", stale.join("\n"));
    for route in ["transcribe", "diarize"] {
        let bought: usize =
            app.simulator.purchases().iter().filter(|p| p.route == route).map(|p| p.count).sum();
        assert_eq!(bought, CALLS, "{route}");
    }
    app.finish().await;
}

const DEADLOCKS: &str = "select deadlocks from pg_stat_database where datname = current_database()";
/// Every third of the live calls.
const DELETE: &str = "delete from call_records where status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING')
    and hashtext(id::text) % 3 = 0";

/// Objects of calls whose row is gone.
async fn leftovers(app: &TestApp) -> Vec<String> {
    let rows = app.database.sql("select id::text from call_records", &[]).await;
    let there: Vec<String> = rows.iter().map(|r| r.get(0)).collect();
    let mut left = objects(app.storage.path());
    left.retain(|object| !there.iter().any(|id| object.contains(id)));
    left
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_deletes_of_calls_in_flight_deadlock_with_nobody_and_leave_nothing_behind() {
    // A database that nobody else works on: its count of deadlocks is this test's own.
    let pair = Pair::start("faults").await;
    let options = TestOptions::default()
        .on(pair.servers.clone())
        .latency(Duration::from_millis(100))
        .set("SCRYON_SWEEP_INITIAL_DELAY_MS", "100")
        .set("SCRYON_SWEEP_INTERVAL_MS", "300");
    let app = TestApp::start_with(options).await;
    let before = app.database.number(DEADLOCKS).await;
    let over = CancellationToken::new();
    let operator = async {
        let client = app.database.client().await;
        let mut deleted = 0;
        for strike in 0.. {
            elapse(Duration::from_millis(250)).await;
            // However slow the machine is, some are hit.
            if strike >= 20 && (deleted >= 30 || over.is_cancelled()) {
                break;
            }
            deleted += client.execute(DELETE, &[]).await.expect("an operator's DELETE is not the victim");
        }
        deleted
    };
    let load = async {
        let mut uploaded = 0;
        for _ in 0..9 {
            uploaded += upload_many(&app, 40).await.len();
        }
        over.cancel();
        uploaded
    };
    let (uploaded, deleted) = join(load, operator).await;
    let left = app.database.number("select count(*) from call_records").await;
    println!("{deleted} of {uploaded} calls were deleted in flight");
    assert!(deleted >= 30 && left >= 30, "{deleted} calls were hit, {left} were not");
    assert_eq!(uploaded as i64, left + deleted as i64, "no call but the deleted ones is gone");
    all_completed_within(&app, left as usize, Duration::from_secs(60)).await;

    // What a worker wrote after the first sweep leaves with the second one, an hour later.
    eventually("nothing of deleted calls in storage", || async {
        app.database.sql("update storage_tombstones set due_at = now() where due_at > now()", &[]).await;
        leftovers(&app).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(app.database.number(DEADLOCKS).await, before, "deadlocks");
    app.finish().await;
}
