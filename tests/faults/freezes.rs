//! Programs that stand still and wake up again: the work went on without them, and they do no harm.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use scryon_testkit::{
    Fault, Parts, Stack, StackProgram, TestApp, TestOptions, elapse, eventually, eventually_within,
    unique_wav,
};

use crate::support::{
    WORKERS, WorkerProgram, all_completed, all_completed_within, app_for_real_workers, bought_once_each,
    objects, scale_time, up, upload_many,
};

const SWEEPER: &str = "scryon-sweeper";
/// From the freeze to the end of the call: a lease, and the work.
const OVERTAKEN: Duration = Duration::from_secs(90);

/// Every row a worker may write to, as one text.
async fn rows(app: &TestApp) -> String {
    let sql = "select string_agg(t, E'\\n' order by t) from (
             select c::text as t from call_records c
             union all select s::text from call_stages s
             union all select a::text from call_artifacts a
             union all select e::text from call_processing_events e
             union all select i::text from action_items i
             union all select j::text from provider_jobs j) rows";
    app.database.sql(sql, &[]).await[0].get(0)
}

/// Objects of a stage's documents that no row names.
async fn unnamed_documents(app: &TestApp) -> usize {
    let named = app
        .database
        .sql("select storage_key from call_artifacts union select result_ref from call_stages where result_ref is not null", &[])
        .await;
    let named: Vec<String> = named.iter().map(|r| r.get(0)).collect();
    let documents =
        objects(app.storage.path()).into_iter().filter(|o| o.ends_with(".json") && !o.contains("/temp/"));
    documents.filter(|o| !named.iter().any(|key| o.ends_with(key))).count()
}

async fn frozen_in_mid_stage(victim: WorkerProgram) {
    let frozen_for = scale_time("a frozen worker, at least", 25, 90);
    let (app, stack) = app_for_real_workers(TestOptions::default()).await;
    let others = WORKERS.iter().filter(|w| w.name != victim.name);
    let others = join_all(others.map(|w| up(&stack, w.name, &[]))).await;
    let first = up(&stack, victim.name, &[]).await;
    app.simulator.fail_next(victim.route, 1, Fault::Hold);
    app.client.upload(unique_wav()).await;
    eventually("the request in the provider's hands", || async { (app.simulator.held() == 1).then_some(()) })
        .await;
    let second = up(&stack, victim.name, &[]).await;
    first.signal("STOP").await;
    let stopped = Instant::now();
    // Its answer lies in a socket when it wakes.
    app.simulator.release();
    all_completed(&app, 1).await;
    let took = stopped.elapsed();
    println!("{}: finished by another {took:?} after the freeze", victim.name);
    assert!(took < OVERTAKEN, "{} was overtaken after {took:?}", victim.name);
    elapse(frozen_for.saturating_sub(stopped.elapsed())).await;

    let before = rows(&app).await;
    first.signal("CONT").await;
    eventually("the woken worker to drop its result", || async {
        first.log().contains("a result was dropped").then_some(())
    })
    .await;
    let after = rows(&app).await;
    assert_eq!(after, before, "{} wrote after its time:\n{}", victim.name, first.log());
    let orphans = unnamed_documents(&app).await;
    println!("{}: the woken one left {orphans} objects that no row names", victim.name);
    assert_eq!(orphans, 1, "its answer was kept under a name of its own, once");
    bought_once_each(&app, 1);
    // And it works on.
    upload_many(&app, 5).await;
    all_completed(&app, 6).await;
    drop((others, first, second));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_is_overtaken_and_writes_nothing_when_it_wakes() {
    join_all(WORKERS.map(frozen_in_mid_stage)).await;
}

async fn leader(app: &TestApp) -> String {
    app.database.sql("select coalesce(owner, '') from sweeper_lease where name = 'dispatcher'", &[]).await[0]
        .get(0)
}

/// Whether this program is the one that leads.
fn leads(program: &StackProgram, owner: &str) -> bool {
    owner.split(':').nth(1) == Some(program.id().to_string().as_str())
}

/// Every hint is dropped: without a dispatcher no call would end.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_leader_is_replaced_within_thirty_seconds_and_does_no_harm_when_it_wakes() {
    let frozen_for = scale_time("a frozen leader, at least", 30, 600);
    let parts = Parts { api: true, workers: true, sweeper: false };
    let app = TestApp::start_with(TestOptions::default().parts(parts).drop_hints()).await;
    let stack = Stack::new(app.settings.clone(), app.storage.path().to_owned());
    let (one, other) = (up(&stack, SWEEPER, &[]).await, up(&stack, SWEEPER, &[]).await);
    let owner = eventually("a leader", || async {
        let owner = leader(&app).await;
        (leads(&one, &owner) || leads(&other, &owner)).then_some(owner)
    })
    .await;
    let (old, new) = if leads(&one, &owner) { (one, other) } else { (other, one) };
    upload_many(&app, 5).await;
    all_completed(&app, 5).await;

    old.signal("STOP").await;
    let stopped = Instant::now();
    upload_many(&app, 20).await;
    eventually_within(Duration::from_secs(30), "another leader", || async {
        leads(&new, &leader(&app).await).then_some(())
    })
    .await;
    println!("another leads {:?} after the freeze", stopped.elapsed());
    all_completed_within(&app, 25, Duration::from_secs(60)).await;
    let counted = "select coalesce(sum(total), 0)::bigint from call_count_totals where kind = 'completed'";
    eventually("the figures to go on", || async { (app.database.number(counted).await == 25).then_some(()) })
        .await;
    elapse(frozen_for.saturating_sub(stopped.elapsed())).await;

    old.signal("CONT").await;
    eventually("the old leader to notice", || async { old.log().contains("leads=false").then_some(()) })
        .await;
    upload_many(&app, 20).await;
    all_completed(&app, 45).await;
    bought_once_each(&app, 45);
    eventually("every call to be counted once", || async {
        (app.database.number(counted).await == 45).then_some(())
    })
    .await;
    assert!(leads(&new, &leader(&app).await), "the one that led goes on");
    drop((old, new));
    app.finish().await;
}
