//! The join: both parallel stages finish in the same instant, and exactly one of them starts assembly.

use std::time::Duration;

use scryon_domain::ids::{CallId, HintId, LeaseToken};
use scryon_domain::stage::StageKind;
use scryon_store::{Advanced, Beginning, Claimant, Continuation, Lease, StageOutput, Store, StoreSettings};
use scryon_testkit::{Database, Fault, Servers, TestApp, TestOptions, eventually};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{all_completed, bought_once_each, scale, upload_many};

/// Calls that are raced at once.
const LANES: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);

fn claimant(owner: &str) -> Claimant {
    Claimant {
        owner: owner.to_owned(),
        hint_id: HintId(Uuid::now_v7()),
        redelivered: false,
        lane: scryon_domain::stage::Lane::Live,
        token: LeaseToken::fresh(),
    }
}

async fn claim(store: &Store, id: CallId, stage: StageKind) -> Lease {
    store.stage_claim(id, 1, stage, &claimant("racer"), None).await.unwrap().expect("the stage is free")
}

/// Brings a call to the point where transcription and diarization are both held.
async fn both_held(store: &Store, id: CallId) -> (Lease, Lease) {
    let begun = store.run_start(id, &claimant("racer"), &Beginning::default()).await.unwrap();
    let first = begun.and_then(|b| b.held).expect("a QUEUED call starts");
    let finished = store.stage_finish(&first, &StageOutput::default(), None).await.unwrap().unwrap();
    assert_eq!(finished.announce.len(), 2);
    (claim(store, id, StageKind::Transcription).await, claim(store, id, StageKind::Diarization).await)
}

/// A Finish goes on with assembly where it is the last, as workers do.
fn goes_on() -> Continuation {
    let hint_id = HintId(Uuid::now_v7());
    let (owner, token) = ("racer".to_owned(), LeaseToken::fresh());
    Continuation { stage: StageKind::Assembly, owner, hint_id, token, intent: None }
}

/// One lane's connections: two workers' that race, and an operator's that makes them meet.
struct Lane {
    workers: [Store; 2],
    name: String,
    operator: Client,
    /// Outside the operator's transaction, in which the view of other connections would not move.
    watcher: Client,
}

impl Lane {
    async fn new(database: &Database, number: usize) -> Self {
        let name = format!("{}-{number}", database.schema);
        let worker = || {
            Store::new(&StoreSettings {
                url: database.url.clone(),
                application_name: name.clone(),
                pool_size: 1,
                pool_wait: PATIENCE,
                connect_timeout: PATIENCE,
                statement_timeout: PATIENCE,
                lock_timeout: None,
                step_pace: Duration::ZERO,
            })
        };
        Self {
            workers: [worker().unwrap(), worker().unwrap()],
            name: name.clone(),
            operator: database.client().await,
            watcher: database.client().await,
        }
    }

    /// Waits until so many of this lane's statements wait for the call's row.
    async fn waiting(&self, count: i64) {
        let sql =
            "select count(*) from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'";
        let look = async {
            while self.watcher.query_one(sql, &[&self.name]).await.unwrap().get::<_, i64>(0) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("the statement waits for the call's row");
    }

    fn finish(&self, worker: usize, lease: Lease) -> JoinHandle<Advanced> {
        let store = self.workers[worker].clone();
        tokio::spawn(async move {
            store.stage_finish(&lease, &StageOutput::default(), Some(&goes_on())).await.unwrap().unwrap()
        })
    }
}

/// Both statements have begun, and seen nothing of each other, when the row is let go.
async fn race(lane: &Lane, id: CallId, transcription_first: bool) {
    let (transcription, diarization) = both_held(&lane.workers[0], id).await;
    lane.operator.batch_execute("begin").await.unwrap();
    lane.operator
        .execute("select 1 from call_records where id = $1 for no key update", &[&id.0])
        .await
        .unwrap();
    let mut both = [transcription, diarization];
    if !transcription_first {
        both.reverse();
    }
    let [first, second] = both;
    let first = lane.finish(0, first);
    lane.waiting(1).await;
    let second = lane.finish(1, second);
    lane.waiting(2).await;
    lane.operator.batch_execute("commit").await.unwrap();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());

    let announced = [&first, &second].iter().map(|f| f.announce.len()).sum::<usize>();
    let continued: Vec<&Lease> = first.held.iter().chain(&second.held).map(|l| &**l).collect();
    assert_eq!(
        (announced, continued.len()),
        (0, 1),
        "the second goes on with assembly: {first:?} {second:?}"
    );
    for lease in continued {
        for input in [StageKind::Preprocessing, StageKind::Transcription, StageKind::Diarization] {
            assert!(lease.inputs.get(input).is_some(), "the assembly that goes on at once lacks {input}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_stages_that_finish_together_start_exactly_one_assembly_a_thousand_times() {
    let calls = i32::try_from(scale("joins", 1_000, 10_000)).unwrap();
    let database = Database::create(&Servers::found().database_url).await;
    let seed = "with u as (insert into users (tenant_id, external_user_id) values ('default', 'racer') returning id)
         insert into call_records (id, tenant_id, user_id, status, publish_due)
         select gen_random_uuid(), 'default', u.id, 'QUEUED', now() + interval '1 hour' from u, generate_series(1, $1::int)
         returning id";
    let ids: Vec<Uuid> = database.sql(seed, &[&calls]).await.iter().map(|r| r.get(0)).collect();
    let audio =
        "insert into call_artifacts (call_id, artifact_type, storage_key, content_type, byte_size, run_no)
         select id, 'TEMP_AUDIO', 'none/' || id, 'audio/wav', 1, 0 from call_records";
    database.sql(audio, &[]).await;

    let chunk = ids.len().div_ceil(LANES);
    let mut lanes = Vec::new();
    for number in 0..LANES {
        lanes.push(Lane::new(&database, number).await);
    }
    let races: Vec<_> = ids
        .chunks(chunk)
        .map(|ids| {
            let (lane, ids) = (lanes.pop().unwrap(), ids.to_vec());
            tokio::spawn(async move {
                for (n, id) in ids.into_iter().enumerate() {
                    race(&lane, CallId(id), n % 2 == 0).await;
                }
            })
        })
        .collect();
    for lane in races {
        lane.await.unwrap();
    }
    let joined =
        "select count(*) from call_stages s join call_records c on c.id = s.call_id and c.run_no = s.run_no
         where s.stage = 'assembly' and c.stages_done = 7";
    assert_eq!(database.number(joined).await, i64::from(calls));
    database.drop_schema().await;
}

/// The same with everything around it: the provider answers both at once.
#[tokio::test(flavor = "multi_thread")]
async fn calls_whose_parallel_stages_end_together_are_assembled_once_and_without_a_second_try() {
    let app = TestApp::start_with(TestOptions::default()).await;
    let calls = 25;
    for route in ["transcribe", "diarize"] {
        app.simulator.fail_next(route, calls, Fault::Hold);
    }
    upload_many(&app, calls).await;
    eventually("every request in the provider's hands", || async {
        (app.simulator.held() == 2 * calls).then_some(())
    })
    .await;
    app.simulator.release();
    all_completed(&app, calls).await;
    bought_once_each(&app, calls);
    let failed = "select count(*) from call_processing_events where status = 'FAILED'";
    assert_eq!(app.database.number(failed).await, 0, "no stage was started without its inputs");
    app.finish().await;
}
