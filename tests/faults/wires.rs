//! What stands between the programs and what they depend on, when it falls silent, loses answers or breaks:
//! the server behind it lives on and tells nobody. Each test has its programs on wires of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use reqwest::Method;
use scryon_domain::hint::{Hint, HintReason};
use scryon_domain::ids::{CallId, TenantId};
use scryon_domain::stage::Lane;
use scryon_store::{BEAT_PATIENCE, OWNER_SILENCE};
use scryon_testkit::{
    Client, Fault, Link, Parts, Proxy, TestApp, TestOptions, Way, elapse, eventually, eventually_within,
    promised, unique_wav,
};
use serde_json::json;

use crate::support::{all_completed, bought_once_each, scale, scale_time, steady_load, upload_many};

const LATENCY: Duration = Duration::from_millis(300);
/// Longer than any heartbeat of ours is awaited.
const NOTICED: Duration = Duration::from_secs(30);
/// Quiet for 15 s, then asked twice, 5 s apart; what was sent is given up after 10 s; a heartbeat is missed after 20 s.
const GIVEN_UP: Duration = Duration::from_secs(45);
const CONSUMING: &str = "scryon_broker_connected{connection=\"consume\"";

async fn wired(options: TestOptions) -> TestApp {
    TestApp::start_with(options.wired()).await
}

/// Programs of this installation that consume now.
fn consumers(app: &TestApp) -> f64 {
    let metrics = app.metrics();
    let lines = metrics.lines().filter(|line| line.starts_with(CONSUMING));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

fn a_hint() -> Hint {
    Hint::start(CallId::new(), TenantId::default_tenant(), Lane::Live, HintReason::Upload)
}

/// A broker that hangs: publishers give up after five seconds, uploads are accepted at once all the same, and
/// twenty seconds after its return everybody consumes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_is_given_up_and_found_again_and_uploads_are_accepted_meanwhile() {
    let silence = scale_time("a silent broker", 25, 60);
    let app = wired(TestOptions::default().latency(LATENCY)).await;
    upload_many(&app, 10).await;
    eventually("consumers", || async { (consumers(&app) > 0.0).then_some(()) }).await;
    let broker = &app.wires().broker;
    broker.silence(&Way::BOTH);
    let silent = Instant::now();

    let publish = async {
        let asked = Instant::now();
        let published = app.context.publisher.publish(&[a_hint()], None).await;
        (published.unknown, asked.elapsed())
    };
    let uploads = async {
        let mut slowest = Duration::ZERO;
        let mut count = 0;
        while silent.elapsed() < silence {
            let asked = Instant::now();
            app.client.upload(unique_wav()).await;
            slowest = slowest.max(asked.elapsed());
            count += 1;
            elapse(Duration::from_millis(250)).await;
        }
        (count, slowest)
    };
    let ((unknown, gave_up), (count, slowest)) = join(publish, uploads).await;
    println!("a publish was given up after {gave_up:?}; {count} uploads, the slowest took {slowest:?}");
    assert_eq!(unknown, 1, "nobody confirms");
    assert!(gave_up < promised(Duration::from_millis(5_500), Duration::from_secs(15)), "{gave_up:?}");
    let limit = promised(Duration::from_secs(2), Duration::from_secs(10));
    assert!(slowest < limit, "an upload waited {slowest:?} for a broker that hangs");
    eventually("a silent connection to be noticed", || async { (consumers(&app) < 1.0).then_some(()) }).await;

    broker.heal();
    let bound = promised(Duration::from_secs(20), Duration::from_secs(60));
    eventually_within(bound, "consumers to be rebuilt", || async { (consumers(&app) > 0.0).then_some(()) })
        .await;
    all_completed(&app, count + 10).await;
    bought_once_each(&app, count + 10);
    app.finish().await;
}

/// Losing the broker stops consuming only: a paid request runs on, its answer is stored, and nobody buys again.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_in_the_middle_of_a_paid_request_cuts_nothing() {
    let calls = scale("calls in the provider's hands", 8, 100);
    let options = TestOptions::default().set("SCRYON_FAKE_PROVIDER_IDEMPOTENT", "false");
    let app = wired(options).await;
    for route in ["transcribe", "diarize"] {
        app.simulator.fail_next(route, calls, Fault::Hold);
    }
    upload_many(&app, calls).await;
    eventually("every request in the provider's hands", || async {
        (app.simulator.held() == 2 * calls).then_some(())
    })
    .await;
    app.wires().broker.refuse();
    app.wires().broker.reset();
    eventually("the loss to be noticed", || async { (consumers(&app) < 1.0).then_some(()) }).await;
    app.simulator.release();
    // Without a broker both answers are stored, and the worker that stored the second goes on with assembly.
    let stored = "select count(*) from call_stages where stage in ('transcription', 'diarization') and state = 'SUCCEEDED'";
    eventually("both answers of every call in Postgres", || async {
        (app.database.number(stored).await == 2 * calls as i64).then_some(())
    })
    .await;
    assert!(consumers(&app) < 1.0, "the broker is still away");
    app.wires().broker.heal();
    all_completed(&app, calls).await;
    bought_once_each(&app, calls);
    let again =
        "select count(*) from call_stages where stage in ('transcription', 'diarization') and starts > 1";
    assert_eq!(app.database.number(again).await, 0, "no request was begun anew");
    app.finish().await;
}

/// Asks until the time is over; gives the statuses, and the longest wait for one.
async fn asked_meanwhile(app: &TestApp, time: Duration) -> (Vec<u16>, Duration) {
    let began = Instant::now();
    let (mut statuses, mut slowest) = (Vec::new(), Duration::ZERO);
    while began.elapsed() < time {
        let asked = Instant::now();
        let (read, write) =
            join(app.client.get("/api/calls"), app.client.upload_form(Client::form(unique_wav()))).await;
        for answer in [read, write] {
            if answer.status == 503 {
                assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
            }
            statuses.push(answer.status);
        }
        slowest = slowest.max(asked.elapsed());
        elapse(Duration::from_millis(200)).await;
    }
    (statuses, slowest)
}

/// What was out of reach has just come back: the API answers, and every promise of `before` is kept, and paid once.
async fn goes_on(app: TestApp, before: usize) {
    let healed = Instant::now();
    eventually_within(NOTICED, "the API to answer", || async {
        (app.client.get("/api/calls").await.status == 200).then_some(())
    })
    .await;
    println!("answering {:?} after it came back", healed.elapsed());
    let kept = app.database.number("select count(*) from call_records").await as usize;
    assert!(kept >= before, "{kept} calls of {before} promises");
    all_completed(&app, kept).await;
    bought_once_each(&app, kept);
    app.finish().await;
}

/// Postgres hangs, and no socket says so. Every deadline fires; the API says 503; deliveries stay in the workers'
/// hands, and neither the queue nor Postgres is asked in a circle.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_hangs_meets_every_deadline_and_pauses_the_consumers() {
    let silence = scale_time("a silent Postgres", 25, 300);
    let app = wired(TestOptions::default().latency(LATENCY)).await;
    let before = upload_many(&app, 60).await.len();
    let (postgres, broker) = (&app.wires().postgres, &app.wires().broker);
    postgres.silence(&Way::BOTH);
    let (connected, delivered) = (postgres.accepted(), broker.passed(Way::ToClient));
    let (statuses, slowest) = asked_meanwhile(&app, silence).await;
    let (connects, bytes) = (postgres.accepted() - connected, broker.passed(Way::ToClient) - delivered);
    println!(
        "{} requests, the slowest took {slowest:?}; {connects} connects to Postgres, {bytes} bytes of deliveries",
        statuses.len()
    );
    assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
    // Statement 5 s and its client 2 s more, the pool 0.25 s; an upload waits 5 s longer for its commit.
    assert!(slowest < promised(Duration::from_secs(15), Duration::from_secs(25)), "{slowest:?}");
    assert!(connects < 20 * silence.as_secs(), "Postgres is asked in a circle: {connects} connects");
    assert!(bytes < 4_000 * silence.as_secs(), "the queue is spun: {bytes} bytes");

    postgres.heal();
    goes_on(app, before).await;
}

/// The network loses every packet: nothing is acknowledged, and no connection ends by itself. Connections that wait
/// for an answer and those that wait for work are given up by the deadlines of TCP, which would be a quarter of an
/// hour otherwise; nobody holds on to a dead one, and all goes on when packets pass again.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_loses_every_packet_leaves_no_connection_and_no_call_behind() {
    let loss = scale_time("a network without packets", 25, 300);
    let Some(link) = Link::up().map(Arc::new) else {
        println!("NOT SHOWN: it takes CAP_NET_ADMIN and CAP_SYS_ADMIN to make a network that loses packets");
        return;
    };
    let options = TestOptions::default().latency(LATENCY).linked(link.clone());
    let app = TestApp::start_with(options).await;
    let postgres = app.wires().postgres.address().port();
    let broker = app.wires().broker.address().port();
    let before = upload_many(&app, 60).await.len();
    eventually("consumers", || async { (consumers(&app) > 0.0).then_some(()) }).await;
    let old = [(postgres, link.sockets_to(postgres)), (broker, link.sockets_to(broker))];
    assert!(old.iter().all(|(_, sockets)| !sockets.is_empty()), "{old:?}");

    link.lose();
    let lost = Instant::now();
    let given_up = async {
        eventually_within(GIVEN_UP, "every connection from before to be given up", || async {
            let stands = |(port, old): &(u16, Vec<u16>)| {
                link.sockets_to(*port).iter().any(|socket| old.contains(socket))
            };
            (!old.iter().any(stands)).then_some(())
        })
        .await;
        lost.elapsed()
    };
    let ((statuses, slowest), given_up) = join(asked_meanwhile(&app, loss), given_up).await;
    let sockets = old.iter().map(|(_, sockets)| sockets.len()).sum::<usize>();
    println!(
        "{sockets} connections were given up after {given_up:?}; {} requests, the slowest took {slowest:?}",
        statuses.len()
    );
    assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
    assert!(slowest < promised(Duration::from_secs(15), Duration::from_secs(25)), "{slowest:?}");
    assert!(consumers(&app) < 1.0, "a broker that cannot be reached is noticed");

    link.heal();
    goes_on(app, before).await;
}

/// Statements arrive and commit, and what Postgres says of it is lost, so many times.
async fn answers_are_lost(postgres: &Proxy, losses: usize) {
    for _ in 0..losses {
        elapse(Duration::from_secs(1)).await;
        postgres.silence(&[Way::ToClient]);
        elapse(Duration::from_millis(700)).await;
        // The answers are gone with their connections.
        postgres.reset();
        postgres.heal();
    }
}

/// Half of the wire: statements arrive and commit, their answers do not. What was promised is there once; what
/// was not answered is there once or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn commits_whose_answers_are_lost_are_looked_up_and_not_repeated() {
    let losses = scale("losses of answers", 3, 40);
    let app = wired(TestOptions::default().latency(LATENCY)).await;
    let postgres = &app.wires().postgres;
    let (promised, ()) = join(steady_load(&app, 45 * losses), answers_are_lost(postgres, losses)).await;
    let there = app.database.sql("select id from call_records where id = any($1)", &[&promised]).await.len();
    assert_eq!(there, promised.len(), "promised calls that are there");
    let kept = app.database.number("select count(*) from call_records").await as usize;
    println!("{} of {} uploads were promised, {kept} are there", promised.len(), 45 * losses);
    all_completed(&app, kept).await;
    bought_once_each(&app, kept);
    nothing_was_begun_twice(&app).await;
    app.finish().await;
}

/// A claim whose answer was lost is no death of a worker: what it took is found, and not left to its lease.
async fn nothing_was_begun_twice(app: &TestApp) {
    let twice =
        "select s.stage || ' of ' || s.call_id || ' ' || s.starts from call_stages s where s.starts > 1";
    let twice: Vec<String> = app.database.sql(twice, &[]).await.iter().map(|row| row.get(0)).collect();
    assert!(twice.is_empty(), "{twice:#?}");
}

/// The same with providers that honour no idempotency key: nothing is in doubt where nothing was lost on the way to
/// the provider.
#[tokio::test(flavor = "multi_thread")]
async fn commits_whose_answers_are_lost_leave_no_purchase_in_doubt() {
    let losses = scale("losses of answers", 3, 40);
    let app = wired(TestOptions::hosted()).await;
    let postgres = &app.wires().postgres;
    join(steady_load(&app, 45 * losses), answers_are_lost(postgres, losses)).await;
    let kept = app.database.number("select count(*) from call_records").await as usize;
    all_completed(&app, kept).await;
    let ledger = "select concat_ws(' ', stage, engine, cause, state, count(*)) from provider_jobs
         where cause = 'ambiguous' or state in ('sending', 'unknown') group by stage, engine, cause, state";
    let ledger: Vec<String> = app.database.sql(ledger, &[]).await.iter().map(|row| row.get(0)).collect();
    assert!(ledger.is_empty(), "{ledger:#?}");
    app.finish().await;
}

/// The connection breaks while the commit goes on behind it, which completes the Idempotency-Key: the second try
/// is not taken for a rival of the first, whose recording it would take away.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_keeps_its_key_and_its_recording() {
    let app = wired(TestOptions::default()).await;
    let postgres = &app.wires().postgres;
    let operator = app.database.client().await;
    let waiting = async |commits: i64| {
        // Of this test's schema: each has written the key, which is there.
        let sql = "select count(*) from pg_stat_activity a where wait_event_type = 'Lock'
                   and query like '%calls_accept%' and exists (select from pg_locks l
                   where l.pid = a.pid and l.relation = 'idempotency_keys'::regclass)";
        eventually("commits wait for the operator", || async {
            (app.database.number(sql).await == commits).then_some(())
        })
        .await;
    };
    // A statement waits for 5 s. Where the second try comes later, its rival is gone, and nothing is shown.
    let disaster = async || {
        waiting(1).await;
        postgres.reset();
        // The API has seen by now that the call is not there, and tries again.
        let both = tokio::time::timeout(Duration::from_secs(4), waiting(2)).await.is_ok();
        operator.batch_execute("commit").await.unwrap();
        both
    };
    let mut rounds = 0;
    loop {
        rounds += 1;
        operator.batch_execute("begin; lock table call_records in share mode").await.unwrap();
        let form = Client::form(unique_wav());
        let request = app.client.request(Method::POST, "/api/calls/analyze");
        let request = request.header("Idempotency-Key", format!("once-{rounds}")).multipart(form);
        let (answer, both) = join(app.client.send(request), disaster()).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        if both {
            break;
        }
        assert!(rounds < 20, "the second try never came in time");
    }
    all_completed(&app, rounds).await;
    bought_once_each(&app, rounds);
    app.finish().await;
}

/// Only other processes can find a process dead: one whose beats do not arrive, and whose deliveries come back to it,
/// overtakes nothing of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_beats_do_not_arrive_goes_on_with_what_it_does() {
    let app = wired(TestOptions::default()).await;
    app.simulator.fail_next("transcribe", 1, Fault::Hold);
    let id = app.client.upload(unique_wav()).await;
    eventually("the request to be held", || async { (app.simulator.held() == 1).then_some(()) }).await;
    let operator = app.database.client().await;
    operator.batch_execute("begin; lock table worker_heartbeats in exclusive mode").await.unwrap();
    let alive = "select count(*) from worker_heartbeats where beat_at > now() - interval '3 seconds'";
    eventually("silence", || async { (app.database.number(alive).await == 0).then_some(()) }).await;
    app.wires().broker.reset();
    let looked = "select count(*) from pg_stat_activity where query like '%s.hint_id = $2%'
         and query_start > now() - interval '1 second' and pid <> pg_backend_pid() and datname = current_database()";
    let overtook = "select count(*) from call_stages where starts > 1";
    eventually("the delivery to come back", || async {
        let seen = app.database.number(looked).await + app.database.number(overtook).await;
        (seen > 0).then_some(())
    })
    .await;
    // For two more looks.
    elapse(Duration::from_secs(1)).await;
    operator.batch_execute("commit").await.unwrap();
    app.simulator.release();
    app.client.finished(id).await;
    nothing_was_begun_twice(&app).await;
    bought_once_each(&app, 1);
    app.finish().await;
}

/// A firewall forgets the connections: before others believe the process dead, the next beat has arrived on a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_beat_that_hangs_leaves_time_for_the_next() {
    let nothing = Parts { api: false, workers: false, sweeper: false };
    let app = wired(TestOptions::default().parts(nothing)).await;
    let postgres = &app.wires().postgres;
    let store = app.database.store_through(postgres);
    let beat = || store.beat("a process", ("a program", "0"), &[], json!({}), BEAT_PATIENCE);
    beat().await.unwrap();
    // The next one must not meet the pool's connections one after the other.
    for opened in join_all((0..4).map(|_| store.ping())).await {
        opened.unwrap();
    }
    postgres.forget();
    let forgotten = Instant::now();
    let refused = beat().await.expect_err("nobody answers");
    assert!(refused.is_unavailable(), "{refused}");
    beat().await.unwrap();
    // The one that arrived before may be a second old.
    let silence = forgotten.elapsed() + Duration::from_secs(1);
    assert!(silence < OWNER_SILENCE, "{silence:?}");
    app.stop_and_clean().await;
}

/// Postgres accepts no more connections, and the beats have none: those of the pool carry them, and the farewell.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_a_connection_for_its_beats_beats_over_the_pool() {
    let nothing = Parts { api: false, workers: false, sweeper: false };
    let app = wired(TestOptions::default().parts(nothing)).await;
    let postgres = &app.wires().postgres;
    let store = app.database.store_through(postgres);
    store.ping().await.unwrap();
    postgres.refuse();
    let process = "a process";
    store.beat(process, ("a program", "0"), &[], json!({}), BEAT_PATIENCE).await.unwrap();
    let there = "select count(*) from worker_heartbeats where owner = 'a process'";
    assert_eq!(app.database.number(there).await, 1);
    store.beat_stop(process).await.unwrap();
    assert_eq!(app.database.number(there).await, 0);
    app.stop_and_clean().await;
}

/// Connections to both servers break under load, again and again, at any byte.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_at_any_byte_cost_no_call() {
    let breaks = scale("breaks of every connection", 12, 300);
    let app = wired(TestOptions::default().latency(LATENCY)).await;
    let disaster = async {
        for n in 0..breaks as u64 {
            elapse(Duration::from_millis(400)).await;
            let wire = if n % 2 == 0 { &app.wires().postgres } else { &app.wires().broker };
            // Those that are made next break, too, somewhere in their start-up or soon after.
            wire.reset_after(if n % 3 == 0 { Way::ToClient } else { Way::ToServer }, 40 + n * 97 % 3_000);
            wire.reset();
            elapse(Duration::from_millis(300)).await;
            wire.heal();
        }
    };
    let uploads = 15 * breaks;
    let (promised, ()) = join(steady_load(&app, uploads), disaster).await;
    let there = app.database.sql("select id from call_records where id = any($1)", &[&promised]).await.len();
    assert_eq!(there, promised.len(), "promised calls that are there");
    let kept = app.database.number("select count(*) from call_records").await as usize;
    all_completed(&app, kept).await;
    bought_once_each(&app, kept);
    app.finish().await;
}

/// A provider that takes the work and hangs: its deadline fires, and what was perhaps bought is asked for again
/// under the same key.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hangs_meets_its_deadline_and_is_paid_once() {
    let calls = scale("calls", 5, 50);
    let app = wired(TestOptions::default().set("SCRYON_FAKE_PROVIDER_TIMEOUT_SECONDS", "2")).await;
    let provider = &app.wires().provider;
    provider.silence(&[Way::ToClient]);
    upload_many(&app, calls).await;
    eventually("deadlines to fire", || async {
        let failed = "select count(*) from call_processing_events where status = 'FAILED'";
        (app.database.number(failed).await >= calls as i64).then_some(())
    })
    .await;
    assert!(!app.simulator.purchases().is_empty(), "it took the work");
    provider.heal();
    all_completed(&app, calls).await;
    bought_once_each(&app, calls);
    app.finish().await;
}

/// The provider's answer breaks at each tenth of it. Bought is bought: nobody buys again.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_at_each_tenth_is_bought_once() {
    // Each has an installation, and so a wire, of its own.
    join_all((0..10).map(async |tenth: u64| {
        let app = wired(TestOptions::default()).await;
        let provider = &app.wires().provider;
        // The whole of an answer is known from a call on a sound wire.
        let first = app.client.upload(unique_wav()).await;
        assert_eq!(app.client.finished(first).await["status"], "COMPLETED");
        let answers = provider.passed(Way::ToClient) / 3;
        provider.cut();
        provider.reset_after(Way::ToClient, 1 + answers * tenth / 10);
        app.client.upload(unique_wav()).await;
        eventually("an answer to break", || async {
            let failed = "select count(*) from call_processing_events where status = 'FAILED'";
            (app.database.number(failed).await > 0).then_some(())
        })
        .await;
        provider.heal();
        all_completed(&app, 2).await;
        bought_once_each(&app, 2);
        app.finish().await;
    }))
    .await;
}
