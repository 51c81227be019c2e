//! Worker programs that are killed, or told to stop, in the middle of their work.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use scryon_testkit::{Fault, Stack, StackProgram, TestApp, TestOptions, elapse, eventually, promised};

use crate::support::{
    ANALYSIS, WORKERS, WorkerProgram, all_completed, app_for_real_workers, scale, up, upload_many,
};

/// From the kill to the start of the redo: what is promised, and what a machine may take that is busy with other things
/// (a lease alone would take 45 s). It says what it took.
const TAKEOVER: Duration = Duration::from_secs(5);
const TAKEOVER_WHEN_BUSY: Duration = Duration::from_secs(30);
const CALLS: usize = 4;

async fn the_others(stack: &Stack, victim: WorkerProgram) -> Vec<StackProgram> {
    let others = WORKERS.iter().filter(|w| w.name != victim.name);
    join_all(others.map(|w| up(stack, w.name, &[]))).await
}

/// Stages of `victim` that were claimed so many times.
async fn claimed(app: &TestApp, victim: WorkerProgram, starts: i32) -> i64 {
    let sql = "select count(*) from call_stages where stage = $1 and starts >= $2";
    app.database.sql(sql, &[&victim.stage, &starts]).await[0].get(0)
}

/// Waits until all that the first worker held was claimed by the second; where it is not, says who holds what.
async fn taken_over(app: &TestApp, victim: WorkerProgram) {
    let bound = promised(TAKEOVER, TAKEOVER_WHEN_BUSY);
    let all = async {
        while claimed(app, victim, 2).await != CALLS as i64 {
            elapse(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(bound, all).await.is_err() {
        let held = "select concat_ws(' ', s.call_id, s.state, s.starts || ' starts', s.lease_owner, 'until', s.lease_until,
                'hint', s.hint_id, 'started', s.started_at, 'beat', h.beat_at, 'now', now(), 'alive', (select string_agg(a.owner || ' ' || a.beat_at, ', ') from worker_heartbeats a))
             from call_stages s left join worker_heartbeats h on h.owner = s.lease_owner where s.stage = $1";
        let held: Vec<String> =
            app.database.sql(held, &[&victim.stage]).await.iter().map(|r| r.get(0)).collect();
        panic!("{} calls not taken over within {bound:?}:\n{}", victim.stage, held.join("\n"));
    }
}

/// Calls of which the provider holds the answer of `victim`'s stage back.
async fn held_in(app: &TestApp, victim: WorkerProgram) {
    app.simulator.fail_next(victim.route, CALLS, Fault::Hold);
    upload_many(app, CALLS).await;
    eventually("every call in the provider's hands", || async {
        (app.simulator.held() == CALLS).then_some(())
    })
    .await;
}

async fn killed_in_mid_stage(victim: WorkerProgram) {
    let (app, stack) = app_for_real_workers(TestOptions::default()).await;
    let others = the_others(&stack, victim).await;
    let mut first = up(&stack, victim.name, &[]).await;
    held_in(&app, victim).await;
    let second = up(&stack, victim.name, &[]).await;

    let killed = Instant::now();
    first.kill().await;
    taken_over(&app, victim).await;
    println!("{}: taken over {:?} after the kill", victim.name, killed.elapsed());
    all_completed(&app, CALLS).await;
    println!("{}: finished {:?} after the kill", victim.name, killed.elapsed());
    for purchase in app.simulator.purchases() {
        assert_eq!(purchase.count, 1, "{purchase:?}");
    }
    drop((others, second));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_replaced_within_five_seconds_and_nothing_is_bought_twice() {
    // Four calls of each of three stages are hit each time.
    for _ in 0..scale("rounds of kills", 1, 50) {
        join_all(WORKERS.map(killed_in_mid_stage)).await;
    }
}

/// The owner's last beat grows too old between the claim that is refused because of it and the question why: a delivery
/// dropped there would leave the call to the lease. A claim that is refused makes it so, once.
const SILENT_AFTER_REFUSAL: &str = "create function stages_claim(a_steps jsonb) returns setof lease_row language plpgsql as $$
begin
    return query select * from stages_claim_itself(a_steps);
    if not found then
        update worker_heartbeats set beat_at = now() - interval '1 minute' where beat_at > now() + interval '1 minute';
    end if;
end $$";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_last_beat_grows_old_between_two_looks_is_replaced_all_the_same() {
    let (app, stack) = app_for_real_workers(TestOptions::default()).await;
    let others = the_others(&stack, ANALYSIS).await;
    let mut first = up(&stack, ANALYSIS.name, &[]).await;
    held_in(&app, ANALYSIS).await;
    first.kill().await;
    let beats = "update worker_heartbeats set beat_at = now() + interval '1 hour'
         where owner in (select lease_owner from call_stages where stage = $1 and state = 'RUNNING')";
    app.database.sql(beats, &[&ANALYSIS.stage]).await;
    app.database.sql("alter function stages_claim(jsonb) rename to stages_claim_itself", &[]).await;
    app.database.sql(SILENT_AFTER_REFUSAL, &[]).await;

    let second = up(&stack, ANALYSIS.name, &[]).await;
    taken_over(&app, ANALYSIS).await;
    all_completed(&app, CALLS).await;
    let still_beats = "select count(*) from worker_heartbeats where beat_at > now() + interval '1 minute'";
    assert_eq!(app.database.number(still_beats).await, 0, "a claim was refused");
    for purchase in app.simulator.purchases() {
        assert_eq!(purchase.count, 1, "{purchase:?}");
    }
    drop((others, second));
    app.finish().await;
}

/// What cannot be finished within the drain is handed back: another has it at once, at no try.
async fn told_to_stop_under_load(victim: WorkerProgram) {
    let drain = [("SCRYON_DRAIN_SECONDS", "4")];
    let (app, stack) = app_for_real_workers(TestOptions::default()).await;
    let others = the_others(&stack, victim).await;
    let mut first = up(&stack, victim.name, &drain).await;
    held_in(&app, victim).await;
    let second = up(&stack, victim.name, &[]).await;

    let asked = Instant::now();
    first.signal("TERM").await;
    let more = upload_many(&app, CALLS).await.len();
    assert_eq!(first.ended().await, Some(0), "{}", first.log());
    let limit = promised(Duration::from_secs(6), Duration::from_secs(30));
    assert!(asked.elapsed() < limit, "{} took {:?}", victim.name, asked.elapsed());
    assert!(first.log().contains("handing back"), "{}", first.log());
    let handed_back = Instant::now();
    taken_over(&app, victim).await;
    println!("{}: taken over {:?} after its end", victim.name, handed_back.elapsed());
    all_completed(&app, CALLS + more).await;
    // A lease would take 45 s.
    let limit = promised(Duration::from_secs(20), Duration::from_secs(40));
    assert!(handed_back.elapsed() < limit, "{:?}", handed_back.elapsed());
    no_try_was_counted(&app).await;
    drop((others, second));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_hands_its_calls_back_at_once_and_exits_clean() {
    join_all(WORKERS.map(told_to_stop_under_load)).await;
}

async fn no_try_was_counted(app: &TestApp) {
    let counted = "select s.stage || ' of ' || s.call_id || ': ' || e.stage || ' ' || e.status || ' ' || coalesce(e.error_code, '')
         from call_stages s join call_processing_events e on e.call_id = s.call_id where s.tries > 0";
    let counted: Vec<String> = app.database.sql(counted, &[]).await.iter().map(|r| r.get(0)).collect();
    assert!(counted.is_empty(), "a stop costs no try:\n{}", counted.join("\n"));
}
