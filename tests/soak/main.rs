//! Everything at once, for minutes: uploads, operators' and users' orders of every kind, and faults of programs,
//! providers, wires and servers, chosen by a seed. At the end nothing is lost and nothing was bought twice, or
//! this fails. `make soak MINUTES=10 SEED=7`; a run with the same seed orders the same faults.

// Helpers of tests may stop a test as tests do.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout)] // what was done is worth reading

mod faults;
mod figures;
mod operators;
mod programs;
mod traffic;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scryon_testkit::{
    Dice, HostedOptions, Pair, Parts, TestApp, TestOptions, Verdict, elapse, eventually, eventually_within,
    objects,
};

use crate::faults::Injected;
use crate::figures::Peace;
use crate::operators::try_query;
use crate::programs::Programs;
use crate::traffic::Traffic;

/// For what is live when the faults end.
const PATIENCE: Duration = Duration::from_secs(600);
const LATENCY: Duration = Duration::from_millis(200);
const IN_PEACE: &str = "  with no server away and nothing paused: ";
const NOTHING: Parts = Parts { api: false, workers: false, sweeper: false };

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_is_bought_twice() {
    let (minutes, seed) = (setting("SOAK_MINUTES", 3), setting("SOAK_SEED", 1));
    let pair = Pair::start("soak").await;
    let ports = programs::ports();
    let app = Arc::new(installation(&pair, &ports[0]).await);
    let peace = Arc::new(Peace::default());
    let doors = ports.each_ref().map(|port| format!("http://127.0.0.1:{port}"));
    let traffic = Arc::new(Traffic::new(doors, peace.clone()));
    let mut programs = Programs::start(&app, ports, peace.clone());
    scryon_testkit::allow_silence(Duration::from_secs(60) * minutes);
    let until = Instant::now() + Duration::from_secs(60) * minutes;

    let load = tokio::spawn(traffic::load(app.clone(), traffic.clone(), Dice::new(seed), until));
    // Something to break.
    eventually("the first calls", || async { (traffic.accepted() > 20).then_some(()) }).await;
    let dice = |hand: u32| Dice::new(seed ^ (0x5eed << hand));
    let (mut injected, providers, wires, servers) = tokio::join!(
        faults::on_programs(&mut programs, dice(0), until),
        faults::on_providers(&app, dice(1), until),
        faults::on_wires(&app, &peace, dice(2), until),
        faults::on_servers(&app, &pair, &peace, dice(3), until),
    );
    [providers, wires, servers].into_iter().for_each(|other| injected.add(other));
    load.await.unwrap();

    app.simulator.clear_faults();
    let healed = Instant::now();
    settled(&app).await;
    println!(
        "soak of {minutes} minutes, seed {seed}; settled {:.1} s after the last fault",
        healed.elapsed().as_secs_f64()
    );
    nothing_is_left_behind(&app, &traffic.deleted()).await;
    let redone = programs.redone();
    programs.stop().await;
    let verdict = app.verdict_allowing(&["manual_sweep"]).await;
    report(&app, &traffic, &injected, &verdict).await;
    println!("redo after a kill: {}\n{IN_PEACE}{}", redone.all, redone.in_peace);
    assert!(verdict.problems.is_empty(), "the checker found:\n{}", verdict.problems.join("\n"));
    drop(traffic);
    Arc::into_inner(app).expect("nobody else holds the installation").stop_and_clean().await;
}

/// Speech and analysis of engines that know keys; diarization by jobs of one that does not, and calls back.
async fn installation(pair: &Pair, port: &str) -> TestApp {
    let options = TestOptions::hosted()
        .latency(LATENCY)
        .on(pair.servers.clone())
        .parts(NOTHING)
        .wired()
        .set("SCRYON_TRANSCRIPTION_ENGINES", "fake")
        .set("SCRYON_DIARIZATION_ENGINES", "pyannote")
        .set("SCRYON_ANALYSIS_ENGINES", "fake")
        .set("SCRYON_PUBLIC_BASE_URL", format!("http://127.0.0.1:{port}"))
        .set("SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS", "1")
        // As long is waited for the callback of a job that was perhaps submitted.
        .set("SCRYON_DIARIZATION_TIMEOUT_SECONDS", "20")
        .set("SCRYON_SWEEP_INITIAL_DELAY_MS", "1000")
        .set("SCRYON_SWEEP_INTERVAL_MS", "5000");
    let app = TestApp::start_with(options).await;
    app.simulator.set_hosted(HostedOptions {
        pyannote_submits_per_minute: 100_000,
        pyannote_reads_per_minute: 100_000,
        pyannote_retries_ms: vec![0, 500, 2_000],
        ..app.simulator.hosted()
    });
    app
}

/// Waits until no call is live, and no stage of those that were cancelled or swept by hand.
async fn settled(app: &TestApp) {
    let client = app.database.client().await;
    let live =
        "select (select count(*) from call_records where status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING'))
         + (select count(*) from call_stages where state in ('PENDING', 'RUNNING', 'WAITING'))";
    let look = async {
        while client.query_one(live, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            elapse(Duration::from_millis(100)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, look).await.is_ok(),
        "calls are still live:\n{}",
        standing(app).await
    );
}

async fn standing(app: &TestApp) -> String {
    let sql = "select c.id || ' ' || c.status || ' run ' || c.run_no || ' ' || c.lane || ' ' || coalesce(s.stage || ' ' || s.state, 'no stage')
         from call_records c left join call_stages s on s.call_id = c.id and s.run_no = c.run_no
              and s.state in ('PENDING', 'RUNNING', 'WAITING')
         where c.status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING') limit 20";
    app.database.sql(sql, &[]).await.iter().map(|r| r.get::<_, String>(0) + "\n").collect()
}

/// What operators switched is as it was, and of deleted calls nothing lies in storage.
async fn nothing_is_left_behind(app: &TestApp, deleted: &HashSet<String>) {
    let switched = "select (select count(*) from operator_switches) + (select count(*) from feature_flags)
         + (select count(*) from holds)";
    assert_eq!(app.database.number(switched).await, 0, "switches that are on");
    // What a worker wrote after the first sweep leaves with the second one, an hour later.
    eventually_within(PATIENCE, "nothing of deleted calls in storage", || async {
        app.database.sql("update storage_tombstones set due_at = now() where due_at > now()", &[]).await;
        leftovers(app, deleted).await.is_empty().then_some(())
    })
    .await;
}

/// Objects of calls whose deletion went through. What an upload left whose API died is none of them: it leaves when
/// it is old.
async fn leftovers(app: &TestApp, deleted: &HashSet<String>) -> Vec<String> {
    let rows = app.database.sql("select id::text from call_records", &[]).await;
    let there: HashSet<String> = rows.iter().map(|r| r.get(0)).collect();
    let mut left = objects(app.storage.path());
    left.retain(|object| {
        let id = object.split_once("/calls/").and_then(|(_, rest)| rest.split('/').next());
        id.is_some_and(|id| deleted.contains(id) && !there.contains(id))
    });
    left
}

/// Every promised call is there, unless somebody deleted it.
async fn report(app: &TestApp, traffic: &Traffic, injected: &Injected, verdict: &Verdict) {
    let kept = traffic.kept();
    let there = app.database.sql("select id from call_records where id = any($1)", &[&kept]).await.len();
    let operators = &traffic.operators;
    println!("{}", traffic.said());
    println!("calls lost: {}", kept.len() - there);
    let speech = &verdict.speech;
    println!(
        "bought twice: {} of {} transcriptions and diarizations ({} more were bought again because somebody wished it, or were counted as uncertain)",
        speech.twice, speech.bought, speech.decided
    );
    println!("faults: {}: {injected}", injected.count());
    println!("resets by SQL: {}; of all orders: {operators}", operators.resets());
    println!("reset by SQL to new run: {}\n{IN_PEACE}{}", operators.seen, operators.seen_in_peace);
    let ended = "select status || coalesce(' ' || error_reason, '') || ' ' || count(*) from call_records
         group by status, error_reason order by 1";
    let ended = try_query(&app.database.url, ended, &[]).await.unwrap_or_default();
    let ended: Vec<String> = ended.iter().map(|r| r.get(0)).collect();
    println!("ended: {}", ended.join(", "));
    assert_eq!(there, kept.len(), "calls that were promised and not deleted");
}
