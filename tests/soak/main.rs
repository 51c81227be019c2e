//! Everything at once, for minutes: uploads, operators' resets, deletions, cancellations and sweeps, and one
//! fault after the other, chosen by a seed. At the end nothing is lost and nothing was bought twice, or this
//! fails. `make soak MINUTES=10 SEED=7`; a run with the same seed orders the same faults.

// Helpers of tests may stop a test as tests do.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout)] // what was done is worth reading

mod faults;
mod traffic;

use std::sync::Arc;
use std::time::{Duration, Instant};

use scryon_testkit::{Dice, Pair, Parts, TestApp, TestOptions, elapse};

use crate::faults::Faults;
use crate::traffic::{Traffic, try_query};

/// For what is live when the faults end.
const PATIENCE: Duration = Duration::from_secs(300);
const LATENCY: Duration = Duration::from_millis(200);

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_is_bought_twice() {
    let (minutes, seed) = (setting("SOAK_MINUTES", 3), setting("SOAK_SEED", 1));
    let pair = Pair::start("soak").await;
    let options = TestOptions::default().latency(LATENCY).on(pair.servers.clone()).parts(Parts::API);
    let app = Arc::new(TestApp::start_with(options).await);
    let traffic = Arc::new(Traffic::default());
    let until = Instant::now() + Duration::from_secs(60) * minutes;

    let mut faults = Faults::start(&app, &pair).await;
    let load = tokio::spawn(traffic::load(app.clone(), traffic.clone(), Dice::new(seed), until));
    faults.strike(&app, &traffic, Dice::new(seed ^ 0x5eed), until).await;
    load.await.unwrap();
    println!("soak: seed {seed}, {minutes} minutes: {traffic}");
    println!("faults: {faults}");

    let healed = Instant::now();
    settled(&app).await;
    println!("settled {:.1} s after the last fault", healed.elapsed().as_secs_f64());
    report(&app, &traffic).await;
    faults.stop().await;
    let verdict = app.verdict_allowing(&["manual_sweep"]).await;
    assert!(verdict.problems.is_empty(), "the checker found:\n{}", verdict.problems.join("\n"));
    println!("checker: {} calls, 0 lost, 0 bought twice, nothing of an older run", verdict.calls);
    Arc::into_inner(app).expect("nobody else holds the installation").stop_and_clean().await;
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
    let sql = "select c.id || ' ' || c.status || ' run ' || c.run_no || ' ' || coalesce(s.stage || ' ' || s.state, 'no stage')
         from call_records c left join call_stages s on s.call_id = c.id and s.run_no = c.run_no
              and s.state in ('PENDING', 'RUNNING', 'WAITING')
         where c.status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING') limit 20";
    app.database.sql(sql, &[]).await.iter().map(|r| r.get::<_, String>(0) + "\n").collect()
}

/// Every promised call is there, unless an operator deleted it.
async fn report(app: &TestApp, traffic: &Traffic) {
    let kept = traffic.kept();
    let there = app.database.sql("select id from call_records where id = any($1)", &[&kept]).await.len();
    assert_eq!(there, kept.len(), "calls that were promised and not deleted");
    let ended = "select status || coalesce(' ' || error_reason, '') || ' ' || count(*) from call_records
         group by status, error_reason order by 1";
    let ended = try_query(app, ended, &[]).await.unwrap_or_default();
    let ended: Vec<String> = ended.iter().map(|r| r.get(0)).collect();
    println!("ended: {}", ended.join(", "));
}
