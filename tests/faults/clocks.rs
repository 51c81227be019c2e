//! Workers whose clocks are wrong: a lease is a time on the database's clock, and nobody else's.

use std::time::Duration;

use futures_util::future::join_all;
use scryon_testkit::{Fault, TestOptions, elapse, eventually, faketime};

use crate::support::{WORKERS, all_completed, app_for_real_workers, bought_once_each, up, upload_many};

/// Longer than a lease lives: it has to be renewed.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(50);
const CALLS: usize = 6;

/// Minutes that a program's log is off, by its first line.
fn minutes_off(log: &str) -> i64 {
    let stamp = log.split_whitespace().find_map(|word| word.strip_prefix("ts=")).expect("a line has a time");
    let stamp = chrono::DateTime::parse_from_rfc3339(stamp).expect("a time");
    (stamp.with_timezone(&chrono::Utc) - chrono::Utc::now()).num_minutes()
}

async fn work_with_a_clock_that_is_off(library: &str, offset: &str) {
    let (app, stack) = app_for_real_workers(TestOptions::default()).await;
    let clock = [("LD_PRELOAD", library), ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let wrong = join_all(WORKERS.map(|w| up(&stack, w.name, &clock))).await;
    for program in &wrong {
        let off = minutes_off(&program.log());
        assert!((9..=11).contains(&off.abs()), "{} is {off} minutes off:\n{}", program.name, program.log());
    }
    for route in ["transcribe", "diarize"] {
        app.simulator.fail_next(route, CALLS, Fault::Hold);
    }
    upload_many(&app, CALLS).await;
    eventually("every request in the provider's hands", || async {
        (app.simulator.held() == 2 * CALLS).then_some(())
    })
    .await;
    // Workers with a right clock beside them would take over what looked dead.
    let right = join_all(WORKERS.map(|w| up(&stack, w.name, &[]))).await;
    elapse(LONGER_THAN_A_LEASE).await;
    app.simulator.release();
    all_completed(&app, CALLS).await;
    bought_once_each(&app, CALLS);
    let again = "select count(*) from call_stages where starts > 1";
    assert_eq!(app.database.number(again).await, 0, "a lease was taken for expired ({offset})");
    drop((wrong, right));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_do_not_care_for_the_clock_of_a_worker() {
    let library = faketime().await;
    futures_util::future::join(
        work_with_a_clock_that_is_off(&library, "+10m"),
        work_with_a_clock_that_is_off(&library, "-10m"),
    )
    .await;
}
