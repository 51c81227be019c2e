//! Postgres and RabbitMQ that die, or go away, under load. The pair is our own.

use std::time::{Duration, Instant};

use futures_util::future::join;
use scryon_domain::stage::{Lane, StageKind};
use scryon_testkit::{Fault, Pair, Parts, TestApp, TestOptions, elapse, eventually, promised, unique_wav};
use uuid::Uuid;

use crate::support::{all_completed, bought_once_each, scale, scale_time, steady_load};

const LATENCY: Duration = Duration::from_millis(300);

async fn app_on(pair: &str) -> (Pair, TestApp) {
    let pair = Pair::start(pair).await;
    let options = TestOptions::default().parts(Parts::ALL).latency(LATENCY).on(pair.servers.clone());
    let app = TestApp::start_with(options).await;
    (pair, app)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_that_lost_every_queue_loses_no_call() {
    // A broker of its own: what this does to it is no other test's concern.
    let (pair, app) = app_on("broker-faults").await;
    let kills = scale("kills of the broker", 1, 20);
    let disaster = async {
        elapse(Duration::from_secs(1)).await;
        for _ in 1..kills {
            pair.control("kill", "rabbitmq").await;
            pair.control("start", "rabbitmq").await;
            elapse(Duration::from_secs(5)).await;
        }
        pair.control("kill", "rabbitmq").await;
        pair.control("start", "rabbitmq").await;
        // RabbitMQ 3.10 does not survive the deletion of quorum queues that it is still recovering.
        for (stage, lane) in StageKind::ALL.into_iter().flat_map(|s| Lane::ALL.map(|l| (s, l))) {
            eventually("the queues to be back", || async {
                app.context.publisher.depth(stage, lane).await.ok()
            })
            .await;
        }
        app.broker().await.delete_queues(&app.topology()).await;
    };
    let uploads = 250 * kills;
    let (promised, ()) = join(steady_load(&app, uploads), disaster).await;
    assert_eq!(promised.len(), uploads, "without a broker uploads are accepted all the same");
    all_completed(&app, uploads).await;
    bought_once_each(&app, uploads);
    app.finish().await;
}

/// Queues that vanish under running consumers are declared again, and what was in them is announced again.
#[tokio::test(flavor = "multi_thread")]
async fn queues_deleted_under_load_come_back_and_lose_no_call() {
    let app = TestApp::start_with(TestOptions::default().latency(LATENCY)).await;
    let disaster = async {
        for _ in 0..2 {
            elapse(Duration::from_secs(1)).await;
            app.broker().await.delete_queues(&app.topology()).await;
        }
    };
    let (promised, ()) = join(steady_load(&app, 80), disaster).await;
    assert_eq!(promised.len(), 80);
    all_completed(&app, 80).await;
    bought_once_each(&app, 80);
    app.finish().await;
}

/// The API refuses with 503 meanwhile; what it promised before is kept.
#[tokio::test(flavor = "multi_thread")]
async fn ten_seconds_without_postgres_lose_no_call_and_cost_no_try() {
    let (pair, app) = app_on("faults").await;
    let disaster = async {
        elapse(Duration::from_secs(1)).await;
        pair.control("stop", "postgres").await;
        elapse(Duration::from_secs(10)).await;
        pair.control("start", "postgres").await;
    };
    let (promised, ()) = join(steady_load(&app, 350), disaster).await;
    println!("{} of 350 uploads were accepted", promised.len());
    assert!((10..350).contains(&promised.len()), "the outage was seen");
    let kept = app.database.number("select count(*) from call_records").await;
    // A refused upload whose commit was answered by nobody may be there all the same: once, and whole.
    assert!(kept as usize >= promised.len(), "{kept} calls of {} promises", promised.len());
    all_completed(&app, kept as usize).await;
    bought_once_each(&app, kept as usize);
    app.finish().await;
}

/// A crash of Postgres (not a stop): commits that nobody waited for may be gone, promises may not.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_postgres_loses_no_call() {
    let (pair, app) = app_on("faults").await;
    let kills = scale("kills of Postgres", 1, 20);
    let disaster = async {
        for _ in 0..kills {
            elapse(Duration::from_secs(1)).await;
            pair.control("kill", "postgres").await;
            pair.control("start", "postgres").await;
        }
    };
    let (promised, ()) = join(steady_load(&app, 120 * kills), disaster).await;
    let ids: Vec<Uuid> = promised;
    let kept = app.database.sql("select count(*) from call_records where id = any($1)", &[&ids]).await;
    assert_eq!(kept[0].get::<_, i64>(0), ids.len() as i64);
    let all = app.database.number("select count(*) from call_records").await;
    all_completed(&app, all as usize).await;
    app.finish().await;
}

/// Deliveries that a worker has and did not acknowledge, in all queues of the pair.
async fn unacknowledged(pair: &Pair) -> u64 {
    let listed = pair.rabbitmqctl(&["list_queues", "messages_unacknowledged", "--no-table-headers"]).await;
    listed.lines().filter_map(|line| line.trim().parse::<u64>().ok()).sum()
}

/// The broker stops publishers for want of memory. Uploads are accepted, what is in hand is finished and
/// acknowledged (acks have a connection of their own), and the sweeper announces afterwards what nobody could.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_memory_takes_acks_and_is_made_up_for_by_the_sweeper() {
    let (pair, app) = app_on("broker-faults").await;
    let time = scale_time("a memory alarm", 15, 120);
    let before = 12;
    for route in ["transcribe", "diarize"] {
        app.simulator.fail_next(route, before, Fault::Hold);
    }
    for _ in 0..before {
        app.client.upload(unique_wav()).await;
    }
    eventually("every request in the provider's hands", || async {
        (app.simulator.held() == 2 * before).then_some(())
    })
    .await;
    eventually("deliveries in hand", || async {
        (unacknowledged(&pair).await >= before as u64).then_some(())
    })
    .await;
    pair.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;
    let alarmed = Instant::now();
    app.simulator.release();
    let mut meanwhile = 0;
    while alarmed.elapsed() < time {
        let asked = Instant::now();
        app.client.upload(unique_wav()).await;
        let limit = promised(Duration::from_secs(2), Duration::from_secs(10));
        assert!(asked.elapsed() < limit, "an upload waited {:?}", asked.elapsed());
        meanwhile += 1;
        elapse(Duration::from_millis(200)).await;
    }
    // The analyses of the first calls cannot be announced, nor the starts of the others.
    let done = app.database.number("select count(*) from call_records where status = 'COMPLETED'").await;
    assert_eq!(done, 0, "publishers are stopped");
    let acked = "deliveries in hand to be acknowledged during the alarm";
    eventually(acked, || async { (unacknowledged(&pair).await == 0).then_some(()) }).await;
    println!("acknowledged {:?} into the alarm; {meanwhile} uploads accepted", alarmed.elapsed());
    pair.rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    all_completed(&app, before + meanwhile).await;
    bought_once_each(&app, before + meanwhile);
    app.finish().await;
}
