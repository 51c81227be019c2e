//! The join: both parallel stages finish in the same instant, and exactly one of them starts assembly.

use std::sync::Arc;

use scryon_domain::ids::{CallId, HintId};
use scryon_domain::stage::StageKind;
use scryon_store::{Claimant, Continuation, Finished, Lease, StageOutput, Started, Store};
use scryon_testkit::{Database, Fault, Servers, TestApp, TestOptions, eventually};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::support::{all_completed, bought_once_each, upload_many};

const CALLS: i32 = 1_000;
/// Calls that are raced at once; each uses two connections.
const LANES: usize = 4;

fn claimant(owner: &str) -> Claimant {
    Claimant { owner: owner.to_owned(), hint_id: HintId(Uuid::now_v7()), redelivered: false }
}

async fn claim(store: &Store, id: CallId, stage: StageKind) -> Lease {
    store.stage_claim(id, 1, stage, &claimant("racer"), None).await.unwrap().expect("the stage is free")
}

/// Brings a call to the point where transcription and diarization are both held.
async fn both_held(store: &Store, id: CallId) -> (Lease, Lease) {
    let Started::Held(first) = store.run_start(id, &claimant("racer"), true).await.unwrap() else {
        panic!("a QUEUED call starts")
    };
    let finished = store.stage_finish(&first, &StageOutput::default(), None).await.unwrap().unwrap();
    assert_eq!(finished.announce.len(), 2);
    (claim(store, id, StageKind::Transcription).await, claim(store, id, StageKind::Diarization).await)
}

/// The transcription's Finish goes on with assembly where it is the last, as workers do.
fn goes_on() -> Continuation {
    let hint_id = HintId(Uuid::now_v7());
    Continuation { stage: StageKind::Assembly, owner: "racer".to_owned(), hint_id, intent: None }
}

async fn race(stores: &(Store, Store), id: CallId) {
    let (transcription, diarization) = both_held(&stores.0, id).await;
    let start = Arc::new(Barrier::new(2));
    let finish = |store: Store, lease: Lease, next: Option<Continuation>| {
        let start = start.clone();
        tokio::spawn(async move {
            start.wait().await;
            store.stage_finish(&lease, &StageOutput::default(), next.as_ref()).await.unwrap().unwrap()
        })
    };
    let first = finish(stores.0.clone(), transcription, Some(goes_on()));
    let second = finish(stores.1.clone(), diarization, None);
    let (first, second): (Finished, Finished) = (first.await.unwrap(), second.await.unwrap());

    let announced = [&first, &second].iter().map(|f| f.announce.len()).sum::<usize>();
    let continued: Vec<&Lease> = first.continued.iter().chain(&second.continued).map(|l| &**l).collect();
    assert_eq!(announced + continued.len(), 1, "one of the two starts assembly: {first:?} {second:?}");
    for lease in continued {
        for input in [StageKind::Preprocessing, StageKind::Transcription, StageKind::Diarization] {
            assert!(lease.inputs.get(input).is_some(), "the assembly that goes on at once lacks {input}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_stages_that_finish_together_start_exactly_one_assembly_a_thousand_times() {
    let database = Database::create(&Servers::found().database_url).await;
    let seed = "with u as (insert into users (id, tenant_id, subject) values (gen_random_uuid(), 'default', 'racer') returning id)
         insert into call_records (id, tenant_id, user_id, status, publish_due)
         select gen_random_uuid(), 'default', u.id, 'QUEUED', now() + interval '1 hour' from u, generate_series(1, $1::int)
         returning id";
    let ids: Vec<Uuid> = database.sql(seed, &[&CALLS]).await.iter().map(|r| r.get(0)).collect();
    let audio = "insert into call_artifacts (call_id, artifact_type, storage_key, content_type, byte_size, run_no)
         select id, 'TEMP_AUDIO', 'none/' || id, 'audio/wav', 1, 0 from call_records";
    database.sql(audio, &[]).await;

    let chunk = ids.len().div_ceil(LANES);
    let lanes: Vec<_> = ids
        .chunks(chunk)
        .map(|ids| {
            let (stores, ids) = ((database.store(), database.store()), ids.to_vec());
            tokio::spawn(async move {
                for id in ids {
                    race(&stores, CallId(id)).await;
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    let joined = "select count(*) from call_stages s join call_records c on c.id = s.call_id and c.run_no = s.run_no
         where s.stage = 'assembly' and c.stages_done = 7";
    assert_eq!(database.number(joined).await, i64::from(CALLS));
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
