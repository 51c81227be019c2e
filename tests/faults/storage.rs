//! An object store on a bad day: busy, slow, cut in the middle of a body, answering no to what it has done. No row
//! ever points at an object that is missing or short, and no call is lost.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use reqwest::Method;
use scryon_testkit::{
    Client, Dice, ObjectStore, StorageFault, TestApp, TestOptions, elapse, eventually, unique_wav,
};

use crate::support::{
    ANALYSIS, TRANSCRIPTION, WORKERS, all_completed, all_completed_within, app_for_real_workers, objects,
    scale, scale_time, up, upload_many,
};

async fn remote() -> TestApp {
    TestApp::start_with(TestOptions::default().remote_storage()).await
}

/// More than one part.
fn large() -> Vec<u8> {
    [unique_wav(), vec![0; 6 << 20]].concat()
}

/// Calls of which neither the recording nor a document is as its row says are found by the checker.
async fn sound_with(app: TestApp, calls: usize) {
    all_completed(&app, calls).await;
    for purchase in app.simulator.purchases() {
        assert_eq!(purchase.count, 1, "{purchase:?}");
    }
    assert_eq!(app.object_store().open_uploads(), 0, "parts are put together or given up");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_small_and_large_go_through_a_remote_store() {
    let app = remote().await;
    upload_many(&app, 5).await;
    let id = app.client.upload(large()).await;
    all_completed(&app, 6).await;
    assert!(app.object_store().requests() > 30);
    let deleted = app.client.send(app.client.request(Method::DELETE, &format!("/api/calls/{id}"))).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text);
    sound_with(app, 5).await;
}

/// Four faults of a bad day, each for some requests that come.
fn limp(store: &ObjectStore, dice: &mut Dice) {
    let slow = Duration::from_millis(u64::from(dice.roll(1_500)));
    let kinds = [
        ("PUT", StorageFault::Status(503)),
        ("PUT", StorageFault::DoneAndStatus(500)),
        ("PUT", StorageFault::Slow(slow)),
        ("POST", StorageFault::Status(500)),
        ("GET", StorageFault::Status(503)),
        ("GET", StorageFault::Truncated),
        ("GET", StorageFault::Slow(slow)),
        ("HEAD", StorageFault::Status(500)),
    ];
    for _ in 0..4 {
        let (method, fault) = kinds[dice.roll(8) as usize];
        store.fail_next(method, 1 + dice.roll(6) as usize, fault);
    }
}

/// As clients do: what was refused is sent again. Gives how often it was.
async fn insist(app: &TestApp, audio: Vec<u8>) -> usize {
    let mut refused = 0;
    loop {
        let answer = app.client.upload_form(Client::form(audio.clone())).await;
        if answer.status == 202 {
            return refused;
        }
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
        refused += 1;
    }
}

/// Puts are refused, done and denied, or slow; gets are refused, slow, or cut in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_that_limps_costs_no_call() {
    let rounds = scale("rounds of faults", 10, 200);
    let app = remote().await;
    let store = app.object_store();
    // Faults come with calls, never by the clock: where calls are quick, those of later rounds would all wait for
    // the last few, and each costs a try a pause of five seconds.
    let mut dice = Dice::new(9);
    let recordings = (0..rounds * 4).map(|n| {
        if n % 4 == 0 {
            limp(store, &mut dice);
        }
        if n % 16 == 15 { large() } else { unique_wav() }
    });
    let sent = futures_util::stream::iter(recordings).map(|audio| insist(&app, audio)).buffer_unordered(4);
    let refused: Vec<usize> = sent.collect().await;
    let accepted = refused.len();
    println!("{accepted} uploads accepted, {} refused first", refused.iter().sum::<usize>());
    let kept = app.database.number("select count(*) from call_records").await;
    assert_eq!(kept as usize, accepted, "a refused upload leaves no row");
    eventually("most faults to have met somebody, or nobody to be left", || async {
        let done = "select count(*) from call_records where status = 'COMPLETED'";
        let met = store.faults_met() > store.faults_left();
        (met || app.database.number(done).await == kept).then_some(())
    })
    .await;
    println!("{} faults met somebody, {} nobody", store.faults_met(), store.recover());
    sound_with(app, accepted).await;
}

/// One of the puts of a call meets a conflict: of the recording and its description, or of a worker's document.
async fn conflict(nth: usize, fault: StorageFault) {
    let app = remote().await;
    app.object_store().fail_next("PUT", nth, StorageFault::Slow(Duration::ZERO));
    app.object_store().fail_next("PUT", 1, fault);
    let answer = app.client.upload_form(Client::form(unique_wav())).await;
    assert!(matches!(answer.status, 202 | 503), "{}: {}", answer.status, answer.text);
    let accepted = usize::from(answer.status == 202);
    println!("{fault:?} at put {nth}: {accepted} of 1 uploads accepted");
    let kept = app.database.number("select count(*) from call_records").await;
    assert_eq!(kept as usize, accepted, "{fault:?}");
    sound_with(app, accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_meets_a_conflict_leaves_a_whole_call_or_none() {
    let faults =
        [StorageFault::Status(409), StorageFault::DoneAndStatus(409), StorageFault::DoneAndStatus(412)];
    join_all(faults.into_iter().flat_map(|fault| [0, 2].map(|nth| conflict(nth, fault)))).await;
}

/// Away altogether, in the middle of the work.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_that_is_away_is_waited_for() {
    let time = scale_time("no object store", 8, 300);
    let app =
        TestApp::start_with(TestOptions::default().remote_storage().latency(Duration::from_millis(400)))
            .await;
    upload_many(&app, 10).await;
    app.object_store().set_down(true);
    let began = Instant::now();
    let mut refused = 0;
    while began.elapsed() < time {
        let answer = app.client.upload_form(Client::form(unique_wav())).await;
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(answer.headers.contains_key("retry-after"));
        refused += 1;
        elapse(Duration::from_millis(100)).await;
    }
    app.object_store().set_down(false);
    println!("{refused} uploads refused");
    assert_eq!(app.database.number("select count(*) from call_records").await, 10);
    all_completed(&app, 10).await;
    let there = app.database.sql("select id::text from call_records", &[]).await;
    let there: Vec<String> = there.iter().map(|r| r.get(0)).collect();
    let left =
        objects(app.storage.path()).into_iter().filter(|o| !there.iter().any(|id| o.contains(id))).count();
    assert_eq!(left, 0, "a refused upload leaves no object");
    let tried = "select count(*) from call_stages where tries > 0";
    assert_eq!(app.database.number(tried).await, 0, "storage that is away costs no try");
    sound_with(app, 10).await;
}

/// A remote store, and providers that do not know what they were asked before.
fn forgetful() -> TestOptions {
    TestOptions::default().remote_storage().set("SCRYON_FAKE_PROVIDER_IDEMPOTENT", "false")
}

/// What the ledger says of the purchases for a stage, and how often each was sent.
async fn ledger(app: &TestApp, stage: &str) -> Vec<String> {
    let sql = "select concat_ws(' ', cause, state, error_code, sends) from provider_jobs where stage = $1 order by created_at";
    app.database.sql(sql, &[&stage]).await.iter().map(|row| row.get(0)).collect()
}

/// Nothing was sent, so that nothing has to be settled: the call neither waits for a lease nor is bought as uncertain.
const NOT_SENT_THEN_BOUGHT: [&str; 2] = ["first failed not_asked 0", "retry succeeded 1"];

/// A lease of a purchase is 45 s.
const NO_LEASE: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_that_cannot_be_read_leaves_no_purchase_open() {
    let app = TestApp::start_with(forgetful()).await;
    // A read that fails is one request and three repetitions.
    app.object_store().fail_next_of("GET", "/normalized.", 4, StorageFault::Status(503));
    app.client.upload(unique_wav()).await;
    all_completed_within(&app, 1, NO_LEASE).await;
    assert_eq!(app.object_store().faults_left(), 0);
    assert_eq!(ledger(&app, "analysis").await, NOT_SENT_THEN_BOUGHT);
    sound_with(app, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_before_it_asks_leaves_no_purchase_open() {
    let (app, stack) = app_for_real_workers(forgetful().set("SCRYON_DRAIN_SECONDS", "5")).await;
    let others = WORKERS.iter().filter(|w| w.name != ANALYSIS.name);
    let others = join_all(others.map(|w| up(&stack, w.name, &[]))).await;
    let mut first = up(&stack, ANALYSIS.name, &[]).await;
    app.object_store().fail_next_of("GET", "/normalized.", 1, StorageFault::Slow(Duration::from_secs(60)));
    app.client.upload(unique_wav()).await;
    eventually("a transcript to be waited for", || async {
        (app.object_store().faults_met() == 1).then_some(())
    })
    .await;
    assert_eq!(ledger(&app, "analysis").await, ["first sending 1"]);
    first.signal("TERM").await;
    assert_eq!(first.ended().await, Some(0), "{}", first.log());
    let second = up(&stack, ANALYSIS.name, &[]).await;
    all_completed_within(&app, 1, NO_LEASE).await;
    assert_eq!(ledger(&app, "analysis").await, NOT_SENT_THEN_BOUGHT);
    drop((others, second));
    sound_with(app, 1).await;
}

/// What was paid for is not thrown away because the store is away when it comes.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_stored_is_kept_until_it_can() {
    let app = TestApp::start_with(forgetful()).await;
    let documents = ["/raw.", "/diarization.", "/analysis."];
    for document in documents {
        // Two visits, each of four requests.
        app.object_store().fail_next_of("PUT", document, 8, StorageFault::Status(503));
    }
    app.client.upload(unique_wav()).await;
    all_completed(&app, 1).await;
    assert_eq!(app.object_store().faults_left(), 0);
    for stage in ["transcription", "diarization", "analysis"] {
        assert_eq!(ledger(&app, stage).await, ["first succeeded 1"], "{stage}");
    }
    sound_with(app, 1).await;
}

/// A worker that has to stop meanwhile says what it bought. It is bought again only once there is a store for it, and
/// whatever the limit for uncertain purchases: this one is certain.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_never_stored_is_repaired_when_storage_is_back() {
    let options = forgetful().set("SCRYON_DRAIN_SECONDS", "5").set("SCRYON_AMBIGUOUS_REBUY_MAX_USD", "0");
    let (app, stack) = app_for_real_workers(options).await;
    let others = WORKERS.iter().filter(|w| w.name != TRANSCRIPTION.name);
    let others = join_all(others.map(|w| up(&stack, w.name, &[]))).await;
    let mut first = up(&stack, TRANSCRIPTION.name, &[]).await;
    let store = app.object_store();
    store.fail_next_of("PUT", "/raw.", 100_000, StorageFault::Status(503));
    app.client.upload(unique_wav()).await;
    eventually("an answer to be refused", || async { (store.faults_met() >= 4).then_some(()) }).await;
    first.signal("TERM").await;
    assert_eq!(first.ended().await, Some(0), "{}", first.log());
    assert_eq!(ledger(&app, "transcription").await, ["first succeeded 1"]);
    let second = up(&stack, TRANSCRIPTION.name, &[]).await;
    eventually("the successor to find no store", || async {
        let sql = "select count(*) from call_stages where stage = 'transcription' and error_code = 'storage_unavailable'";
        (app.database.number(sql).await == 1).then_some(())
    })
    .await;
    assert_eq!(
        ledger(&app, "transcription").await,
        ["first succeeded 1"],
        "nothing is bought for a store that is away"
    );
    store.recover();
    all_completed(&app, 1).await;
    assert_eq!(ledger(&app, "transcription").await, ["first succeeded 1", "repair succeeded 1"]);
    drop((others, second));
    app.finish().await;
}
