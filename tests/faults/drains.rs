//! Deployments: programs that are told to stop under load, one after the other, and now and then one that dies
//! instead. No call fails, no client is cut off, and the work goes on meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all, join3};
use reqwest::Method;
use scryon_testkit::{
    Client, Fault, Parts, Stack, StackProgram, TestApp, TestOptions, elapse, eventually, free_port, is_full,
    promised, unique_wav,
};
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{
    WORKERS, WorkerProgram, all_completed, api_up, app_for_real_workers, bought_once_each, scale, scale_time,
    steady_load, up, upload_many,
};

/// What an orchestrator waits before it kills is 30 s.
const DRAIN: Duration = Duration::from_secs(25);
const SWEEPER: &str = "scryon-sweeper";
const NOTHING: Parts = Parts { api: false, workers: false, sweeper: false };

/// Tells a program to stop; it has to end well and in time.
async fn stopped(program: &mut StackProgram) {
    let asked = Instant::now();
    program.signal("TERM").await;
    let ended = tokio::time::timeout(DRAIN + Duration::from_secs(5), program.ended()).await;
    let took = asked.elapsed();
    assert_eq!(ended.ok().flatten(), Some(0), "{} after {took:?}:\n{}", program.name, program.log());
    let limit = DRAIN + promised(Duration::from_millis(500), Duration::from_millis(4_500));
    assert!(took < limit, "{} took {took:?}", program.name);
    println!("{} ended {took:?} after it was told to", program.name);
}

async fn nothing_failed(app: &TestApp) {
    let failed = "select count(*) from call_records where status = 'FAILED'";
    assert_eq!(app.database.number(failed).await, 0, "calls FAILED");
    let tried = "select s.stage || ' ' || coalesce(string_agg(e.stage || ' ' || coalesce(e.error_code, ''), ', '), '') from call_stages s
         left join call_processing_events e on e.call_id = s.call_id and e.status = 'FAILED' where s.tries > 0 group by s.call_id, s.stage";
    let tried: Vec<String> = app.database.sql(tried, &[]).await.iter().map(|row| row.get(0)).collect();
    assert!(tried.is_empty(), "a stop costs no try: {tried:?}");
}

/// With the drain as it is shipped, and a provider that does not answer in time.
async fn drained(victim: WorkerProgram) {
    let options = TestOptions::default().set("SCRYON_DRAIN_SECONDS", "25");
    let (app, stack) = app_for_real_workers(options).await;
    let others = WORKERS.iter().filter(|w| w.name != victim.name);
    let others = join_all(others.map(|w| up(&stack, w.name, &[]))).await;
    let mut first = up(&stack, victim.name, &[]).await;
    app.simulator.fail_next(victim.route, 3, Fault::Hold);
    upload_many(&app, 3).await;
    eventually("requests in the provider's hands", || async { (app.simulator.held() == 3).then_some(()) })
        .await;
    upload_many(&app, 20).await;
    let second = up(&stack, victim.name, &[]).await;
    stopped(&mut first).await;
    all_completed(&app, 23).await;
    nothing_failed(&app).await;
    for purchase in app.simulator.purchases() {
        assert_eq!(purchase.count, 1, "{purchase:?}");
    }
    drop((others, second));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_an_answer_outstanding_ends_within_the_drain_that_is_shipped() {
    join_all(WORKERS.map(drained)).await;
}

/// What clients met.
#[derive(Default)]
struct Met {
    accepted: AtomicUsize,
    /// Not let in: another API is asked.
    turned_away: AtomicUsize,
    /// Let in and then cut off.
    cut: AtomicUsize,
}

/// A balancer in front of two APIs: it asks for their readiness, and hears of an end late.
struct Balancer {
    apis: [Client; 2],
    ready: [AtomicBool; 2],
    turn: AtomicUsize,
}

impl Balancer {
    fn new(apis: [Client; 2]) -> Self {
        Self { apis, ready: [AtomicBool::new(true), AtomicBool::new(true)], turn: AtomicUsize::new(0) }
    }

    async fn watch(&self, until: &CancellationToken) {
        while !until.is_cancelled() {
            for (api, ready) in self.apis.iter().zip(&self.ready) {
                let asked = api.request(Method::GET, "/api/health/ready").send().await;
                ready.store(asked.is_ok_and(|answer| answer.status() == 200), Ordering::SeqCst);
            }
            elapse(Duration::from_secs(1)).await;
        }
    }

    fn next(&self) -> Option<&Client> {
        let turn = self.turn.fetch_add(1, Ordering::SeqCst);
        let ready = |n: &usize| self.ready[*n].load(Ordering::SeqCst);
        [turn % 2, (turn + 1) % 2].into_iter().find(ready).map(|n| &self.apis[n])
    }
}

/// Uploads under one key until it is accepted.
async fn insist(balancer: &Balancer, met: &Met) {
    let (audio, key) = (unique_wav_of_some_size(), Uuid::new_v4().to_string());
    loop {
        let Some(api) = balancer.next() else {
            met.turned_away.fetch_add(1, Ordering::SeqCst);
            elapse(Duration::from_millis(50)).await;
            continue;
        };
        let request = api.request(Method::POST, "/api/calls/analyze");
        let request = request.header("Idempotency-Key", &key).multipart(Client::form(audio.clone()));
        match request.send().await {
            Ok(answer) if answer.status() == 202 => {
                met.accepted.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Ok(answer) if answer.status() == 503 => {
                met.turned_away.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => panic!("{}", answer.status()),
            // The balancer hears late of an end: this one was never let in.
            Err(error) if error.is_connect() => {
                met.turned_away.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => {
                println!("cut off: {error:?}");
                met.cut.fetch_add(1, Ordering::SeqCst);
            }
        }
        elapse(Duration::from_millis(50)).await;
    }
}

/// Some hundred kilobytes: uploads are under way at any moment.
fn unique_wav_of_some_size() -> Vec<u8> {
    [unique_wav(), vec![0; 300_000]].concat()
}

/// What the next release's migration may do while this release's programs run: new columns of the tables that they
/// write, a new table, and a version that they do not know.
const NEWER_SCHEMA: &str = "begin;
    alter table call_records add column of_the_next_release text;
    alter table call_stages add column of_the_next_release jsonb not null default '{}';
    alter table call_artifacts add column of_the_next_release text;
    alter table provider_jobs add column of_the_next_release text;
    alter table idempotency_keys add column of_the_next_release text;
    alter table call_processing_events add column of_the_next_release text;
    create table things_of_the_next_release (call_id uuid references call_records (id) on delete cascade);
    insert into __diesel_schema_migrations (version) values ('29991231235959');
    commit";
const OLDER_SCHEMA: &str = "begin;
    drop table things_of_the_next_release;
    alter table call_records drop column of_the_next_release;
    alter table call_stages drop column of_the_next_release;
    alter table call_artifacts drop column of_the_next_release;
    alter table provider_jobs drop column of_the_next_release;
    alter table idempotency_keys drop column of_the_next_release;
    alter table call_processing_events drop column of_the_next_release;
    delete from __diesel_schema_migrations where version = '29991231235959';
    commit";

/// Programs at work lock tables in another order than a migration does. Where Postgres ends the migration for it,
/// nothing of it was done, and it is run again.
async fn migrated(app: &TestApp, sql: &str) {
    let client = app.database.client().await;
    let began = Instant::now();
    while let Err(error) = client.batch_execute(sql).await {
        client.batch_execute("rollback").await.unwrap();
        assert_eq!(error.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED), "{error:?}");
    }
    println!("another schema under load took {:?}", began.elapsed());
}

/// The schema of the next release arrives before its programs, and these come back on it, as after a roll-back.
#[tokio::test(flavor = "multi_thread")]
async fn every_program_may_be_replaced_under_load_and_no_client_notices() {
    let rounds = scale("rounds of replacements", 1, 10);
    let options = TestOptions::default().parts(NOTHING).latency(Duration::from_millis(200));
    let app = TestApp::start_with(options).await;
    let stack = Stack::new(app.settings.clone(), app.storage.path().to_owned());
    let ports = [(); 2].map(|()| free_port().to_string());
    let balancer =
        Balancer::new(ports.each_ref().map(|port| Client::new(format!("http://127.0.0.1:{port}"))));
    // With the notice that is shipped.
    let shipped = [("SCRYON_STOP_NOTICE_MS", "3000"), ("SCRYON_DRAIN_SECONDS", "25")];
    let api =
        async |port: &String| api_up(&stack, &[&shipped[..], &[("SERVER_PORT", port)]].concat()).await.0;
    let mut doors = [api(&ports[0]).await, api(&ports[1]).await];
    let names = [WORKERS[0].name, WORKERS[1].name, WORKERS[2].name, SWEEPER];
    let mut programs = join_all([names, names].concat().into_iter().map(|name| up(&stack, name, &[]))).await;

    let (met, done) = (Met::default(), CancellationToken::new());
    let load = async {
        let mut uploads = Vec::new();
        while !done.is_cancelled() {
            uploads.push(insist(&balancer, &met));
            if uploads.len() == 8 {
                join_all(std::mem::take(&mut uploads)).await;
            }
        }
        join_all(uploads).await;
    };
    let deployment = async {
        for _ in 0..rounds {
            migrated(&app, NEWER_SCHEMA).await;
            for (door, port) in doors.iter_mut().zip(&ports) {
                stopped(door).await;
                *door = api(port).await;
                eventually("the balancer to find it", || async {
                    balancer.ready.iter().all(|ready| ready.load(Ordering::SeqCst)).then_some(())
                })
                .await;
            }
            for program in &mut programs {
                stopped(program).await;
                *program = up(&stack, program.name, &[]).await;
            }
            migrated(&app, OLDER_SCHEMA).await;
        }
        done.cancel();
    };
    join3(load, deployment, balancer.watch(&done)).await;
    let [accepted, away, cut] = [&met.accepted, &met.turned_away, &met.cut].map(|n| n.load(Ordering::SeqCst));
    println!("{accepted} uploads accepted, {away} turned away first, {cut} cut off");
    assert_eq!(cut, 0, "an upload that was let in is answered");
    all_completed(&app, accepted).await;
    nothing_failed(&app).await;
    bought_once_each(&app, accepted);
    drop((doors, programs));
    app.finish().await;
}

/// All workers one after the other, told to stop or killed, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn workers_that_come_and_go_fail_no_call_and_hold_up_little() {
    let time = scale_time("rolling restarts", 30, 300);
    let pause = scale_time("a pause between them", 5, 30);
    let options = TestOptions::default().latency(Duration::from_millis(200));
    let (app, stack) = app_for_real_workers(options).await;
    let names = WORKERS.map(|w| w.name);
    let mut programs = join_all([names, names].concat().into_iter().map(|name| up(&stack, name, &[]))).await;
    let began = Instant::now();
    let disaster = async {
        let mut restarts = 0;
        while began.elapsed() < time {
            for program in &mut programs {
                restarts += 1;
                if restarts % 2 == 0 {
                    program.kill().await;
                } else {
                    stopped(program).await;
                }
                *program = up(&stack, program.name, &[]).await;
            }
            elapse(pause).await;
        }
        restarts
    };
    // 25 a second.
    let uploads = 25 * usize::try_from(time.as_secs()).unwrap();
    let (calls, restarts) = join(steady_load(&app, uploads), disaster).await;
    let done = "select count(*) from call_records where status = 'COMPLETED'";
    let completed = app.database.number(done).await;
    println!("{restarts} restarts; {completed} of {} calls completed meanwhile", calls.len());
    if is_full() {
        assert_eq!(calls.len(), uploads);
        assert!(completed as usize * 2 >= uploads, "{completed} of {uploads} calls completed meanwhile");
    }
    all_completed(&app, calls.len()).await;
    nothing_failed(&app).await;
    bought_once_each(&app, calls.len());
    drop(programs);
    app.finish().await;
}
