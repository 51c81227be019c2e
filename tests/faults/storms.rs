//! A provider that refuses everybody for a while, and what it sees when it takes requests again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use scryon_testkit::{Quota, TestApp, TestOptions, elapse, eventually};
use tokio_util::sync::CancellationToken;

use crate::support::{all_completed_within, upload_many};

const CALLS: usize = 1_000;
/// What the provider takes in a second, and what this installation is set to ask.
const TAKES: usize = 80;
const ASKS_A_MINUTE: usize = 42 * 60;
/// What the provider asks for in the storm, in seconds.
const PAUSE: u64 = 10;
const STORM: Duration = Duration::from_secs(25);
/// It takes half a minute; a machine that does much else at the time may need longer.
const PATIENCE: Duration = Duration::from_secs(180);

/// Two workers, a storm with pauses, then recovery: everything completes, nothing costs a try, and the provider never
/// gets more than it takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_429_costs_no_try_and_ends_without_a_burst() {
    let options = TestOptions::default()
        .set("SCRYON_DIARIZATION_ENGINES", "channels")
        .set("SCRYON_ANALYSIS_ENABLED", "false")
        .set("SCRYON_PROVIDER_RPM", format!("fake={ASKS_A_MINUTE}"));
    let mut app = TestApp::start_with(options).await;
    let announcer = Arc::new(app.context.publisher.clone());
    let second = CancellationToken::new();
    app.spawn_workers(announcer, second.clone());
    let alive = "select count(*) from worker_heartbeats where 'transcription' = any(stages)";
    eventually("two workers", || async { (app.database.number(alive).await == 2).then_some(()) }).await;

    app.simulator.set_quota("transcribe", Some(Quota { per_second: 0, retry_after: Some(PAUSE) }));
    let began = Instant::now();
    upload_many(&app, CALLS).await;
    let put_off = "select count(*) from call_stages where stage = 'transcription' and state = 'PENDING'
         and error_code in ('provider_throttled', 'provider_paced') and lease_until is null and not_before > now()";
    eventually("most calls to wait in their rows", || async {
        (app.database.number(put_off).await >= CALLS as i64 * 9 / 10).then_some(())
    })
    .await;
    println!("{} calls put off after {:?}", CALLS, began.elapsed());
    elapse(STORM.saturating_sub(began.elapsed())).await;
    let storm = app.simulator.traffic("transcribe").unwrap();
    println!("the storm: {storm:?}");
    // Both workers' requests of the moment before the first refusal, and one for each opening since.
    assert!(storm.taken == 0 && (2..=150).contains(&storm.refused), "{storm:?}");

    app.simulator.set_quota("transcribe", Some(Quota { per_second: TAKES, retry_after: Some(PAUSE) }));
    let over = Instant::now();
    all_completed_within(&app, CALLS, PATIENCE).await;
    let recovery = app.simulator.traffic("transcribe").unwrap();
    println!("all completed {:?} after the storm: {recovery:?}", over.elapsed());
    assert_eq!((recovery.taken, recovery.refused), (CALLS, 0));
    assert!(recovery.busiest_second <= TAKES, "{recovery:?}");

    let tried = "select count(*) from call_stages where stage = 'transcription'
         and (tries <> 0 or starts <> outcomes or state <> 'SUCCEEDED')";
    assert_eq!(app.database.number(tried).await, 0, "a try was used up");
    let bought: Vec<usize> =
        app.simulator.purchases().iter().filter(|p| p.route == "transcribe").map(|p| p.count).collect();
    assert!(bought.len() == CALLS && bought.iter().all(|count| *count == 1));
    // A request that was not made is no line in a call's log.
    let logged = "select count(*) from call_processing_events where error_code = 'provider_paced'";
    assert_eq!(app.database.number(logged).await, 0);
    let refused = "select count(*) from call_processing_events where error_code = 'provider_throttled'";
    assert_eq!(app.database.number(refused).await, storm.refused as i64);
    second.cancel();
    app.finish().await;
}
