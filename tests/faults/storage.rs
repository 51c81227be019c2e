//! An object store on a bad day: busy, slow, cut in the middle of a body, answering no to what it has done. No row
//! ever points at an object that is missing or short, and no call is lost.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use reqwest::Method;
use scryon_testkit::{Client, Dice, StorageFault, TestApp, TestOptions, elapse, eventually, unique_wav};

use crate::support::{all_completed, objects, scale, scale_time, upload_many};

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

/// Puts are refused, done and denied, or slow; gets are refused, slow, or cut in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_that_limps_costs_no_call() {
    let rounds = scale("rounds of faults", 10, 200);
    let app = remote().await;
    let faults = async {
        let store = app.object_store();
        let mut dice = Dice::new(9);
        for _ in 0..rounds {
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
            elapse(Duration::from_millis(400)).await;
        }
    };
    let uploads = async {
        let sizes = (0..rounds * 4).map(|n| if n % 16 == 15 { large() } else { unique_wav() });
        // As clients do: what was refused is sent again.
        let insist = |audio: Vec<u8>| {
            let app = &app;
            async move {
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
        };
        let sent = futures_util::stream::iter(sizes).map(insist).buffer_unordered(4);
        sent.collect::<Vec<usize>>().await
    };
    let ((), refused) = futures_util::future::join(faults, uploads).await;
    let accepted = refused.len();
    println!("{accepted} uploads accepted, {} refused first", refused.iter().sum::<usize>());
    let kept = app.database.number("select count(*) from call_records").await;
    assert_eq!(kept as usize, accepted, "a refused upload leaves no row");
    eventually("every fault to have met somebody, or nobody to be left", || async {
        let done = "select count(*) from call_records where status = 'COMPLETED'";
        (app.object_store().faults_left() == 0 || app.database.number(done).await == kept).then_some(())
    })
    .await;
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
