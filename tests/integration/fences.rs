//! Each guard of a Finish by itself, forced at the level of statements: without it the test is red
//! (`make mutants` takes them away one at a time).

use std::time::Duration;

use scryon_domain::ids::{CallId, HintId, JobId, LeaseToken};
use scryon_domain::stage::{Lane, StageKind};
use scryon_store::{
    Beginning, Claimant, JobClaim, JobEnd, JobEndState, JobIntent, Lease, RebuyCause, StageOutput, Store,
    StoreSettings, TokenState,
};
use scryon_testkit::{Database, Servers, eventually};
use uuid::Uuid;

async fn database() -> Database {
    Database::create(&Servers::found().database_url).await
}

async fn queued_call(database: &Database) -> CallId {
    database
        .sql(
            "insert into users (tenant_id, external_user_id) values ('default', 'u') on conflict do nothing",
            &[],
        )
        .await;
    let row = &database
        .sql(
            "with c as (
                 insert into call_records (id, tenant_id, user_id)
                 select gen_random_uuid(), tenant_id, id from users returning id
             )
             insert into call_artifacts (call_id, artifact_type, storage_key, content_type, byte_size, run_no)
             select id, 'TEMP_AUDIO', 'k', 'audio/wav', 1, 0 from c returning call_id",
            &[],
        )
        .await[0];
    CallId(row.get(0))
}

fn claimant(owner: &str) -> Claimant {
    Claimant {
        owner: owner.to_owned(),
        hint_id: HintId(Uuid::now_v7()),
        redelivered: false,
        lane: Lane::Live,
        token: LeaseToken::fresh(),
    }
}

async fn started(store: &Store, id: CallId) -> Lease {
    let begun = store.run_start(id, &claimant("first"), &Beginning::default()).await.unwrap();
    *begun.and_then(|b| b.held).expect("a QUEUED call starts")
}

async fn finish(store: &Store, lease: &Lease) -> bool {
    store.stage_finish(lease, &StageOutput::default(), None).await.unwrap().is_some()
}

/// A worker that was silent for too long writes nothing, even where its successor is at the same stage.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_was_taken_over_writes_nothing() {
    let database = database().await;
    let store = database.store();
    let id = queued_call(&database).await;
    let late = started(&store, id).await;
    database.sql("update call_stages set lease_until = now() - interval '1 second'", &[]).await;
    let successor =
        store.stage_claim(id, 1, StageKind::Preprocessing, &claimant("second"), None).await.unwrap().unwrap();
    assert!(!finish(&store, &late).await, "the token of the late worker is no longer on the row");
    assert!(finish(&store, &successor).await);
    database.drop_schema().await;
}

/// Three workers died over it: who comes next may be anybody's worker, so nobody takes it up at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_took_three_workers_down_is_left_to_the_sweeper() {
    let database = database().await;
    let store = database.store();
    let id = queued_call(&database).await;
    started(&store, id).await;
    let again = async |owner: &str| {
        database.sql("update call_stages set lease_until = now() - interval '1 second'", &[]).await;
        store.stage_claim(id, 1, StageKind::Preprocessing, &claimant(owner), None).await.unwrap()
    };
    assert_eq!(again("second").await.map(|lease| lease.starts), Some(2));
    assert_eq!(again("third").await.map(|lease| lease.starts), Some(3));
    assert!(again("fourth").await.is_none(), "three died");
    let pause = "select round(extract(epoch from not_before - now()) / 10)::bigint from call_stages
         where state = 'PENDING' and error_code = 'worker_died' and publish_due = not_before";
    for (deaths, tens) in [(3, 1), (4, 2), (9, 64), (12, 360), (400, 360)] {
        database
            .sql("update call_stages set state = 'RUNNING', lease_until = now() - interval '1 second', starts = $1", &[&deaths])
            .await;
        assert_eq!(store.leases_expire(10).await.unwrap().hints.len(), 1);
        assert_eq!(database.number(pause).await, tens, "tens of seconds after {deaths} deaths");
        let early =
            store.stage_claim(id, 1, StageKind::Preprocessing, &claimant("early"), None).await.unwrap();
        assert!(early.is_none(), "not due");
    }
    database.sql("update call_stages set not_before = now()", &[]).await;
    let due =
        store.stage_claim(id, 1, StageKind::Preprocessing, &claimant("due"), None).await.unwrap().unwrap();
    assert!(finish(&store, &due).await, "a death is no proof");
    database.drop_schema().await;
}

/// Its answer was lost: the same claim gives what it took, with the purchase that it recorded. Nobody died over it.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_repeated_gives_what_it_took() {
    let database = database().await;
    let store = database.store();
    let id = queued_call(&database).await;
    database.sql("update call_records set audio_sha256 = pg_catalog.sha256('x')", &[]).await;
    let first = claimant("first");
    let begun = store.run_start(id, &first, &Beginning::default()).await.unwrap();
    let begun = *begun.and_then(|b| b.held).expect("a QUEUED call starts");
    assert!(store.run_start(id, &first, &Beginning::default()).await.unwrap().is_none(), "it has started");
    let kept = Claimant { redelivered: true, ..first.clone() };
    let (run_no, stage) =
        store.stage_of_hint(id, kept.hint_id).await.unwrap().expect("the hint holds a stage");
    let again = store.stage_claim(id, run_no, stage, &kept, None).await.unwrap().expect("its own stage");
    assert_eq!((again.token, again.starts), (begun.token, 1));
    assert!(finish(&store, &again).await);

    let buyer = claimant("first");
    let intent = JobIntent { id: JobId(buyer.token.0), ..intent() };
    let claim = async |claimant: &Claimant| {
        store.stage_claim(id, 1, StageKind::Transcription, claimant, Some(&intent)).await.unwrap()
    };
    for _ in 0..3 {
        let lease = claim(&buyer).await.expect("its own stage");
        assert_eq!((lease.starts, lease.job), (1, Some(JobClaim::Mine { id: intent.id })));
        let held = "select count(*) from provider_jobs where lease_until > now() + interval '40 seconds'";
        assert_eq!(database.number(held).await, 1, "nobody settles what is sent now");
        database.sql("update provider_jobs set lease_until = now()", &[]).await;
    }
    assert!(claim(&claimant("second")).await.is_none(), "it is held");
    assert_eq!(database.number("select count(*) from provider_jobs").await, 1);
    database.drop_schema().await;
}

/// The sweeper took it back while its worker could not write: the result is not taken for written.
#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_was_taken_back_is_not_taken_for_done() {
    let database = database().await;
    let store = database.store();
    let id = queued_call(&database).await;
    let late = started(&store, id).await;
    assert_eq!(store.stage_token_state(&late).await.unwrap(), TokenState::StillRunning);
    database.sql("update call_stages set lease_until = now() - interval '1 second'", &[]).await;
    assert_eq!(store.leases_expire(10).await.unwrap().hints.len(), 1);
    assert_eq!(store.stage_token_state(&late).await.unwrap(), TokenState::Gone);
    let claim = claimant("second");
    let next = store.stage_claim(id, 1, StageKind::Preprocessing, &claim, None).await.unwrap().unwrap();
    assert!(finish(&store, &next).await);
    assert!(matches!(store.stage_token_state(&next).await.unwrap(), TokenState::Over(_)));
    database.drop_schema().await;
}

/// An answer of an older run is not taken for one of the new run, whose stage waits under the same name.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_an_older_run_writes_nothing() {
    let database = database().await;
    let store = database.store();
    let id = queued_call(&database).await;
    let old = started(&store, id).await;
    database.sql("update call_records set status = 'QUEUED' where id = $1", &[&id.0]).await;
    let new = started(&store, id).await;
    assert_eq!(new.run_no, 2);
    assert!(!finish(&store, &old).await, "run 1 is over");
    let bits = "select stages_done::bigint from call_records";
    assert_eq!(database.number(bits).await, 0, "nothing of run 1 counts for run 2");
    assert!(finish(&store, &new).await);
    database.drop_schema().await;
}

/// A reset that commits while a Finish runs wins: the Finish waits for the call's row before it judges.
#[tokio::test(flavor = "multi_thread")]
async fn a_finish_waits_for_an_operators_open_reset_and_then_writes_nothing() {
    let database = database().await;
    let name = format!("fences-{}", database.schema);
    let store = Store::new(&StoreSettings {
        url: database.url.clone(),
        application_name: name.clone(),
        pool_size: 1,
        pool_wait: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(30),
        lock_timeout: None,
        step_pace: Duration::ZERO,
    })
    .unwrap();
    let id = queued_call(&database).await;
    let lease = started(&store, id).await;
    let operator = database.client().await;
    operator.batch_execute("begin").await.unwrap();
    operator.execute("update call_records set status = 'QUEUED' where id = $1", &[&id.0]).await.unwrap();
    let finishing = {
        let store = store.clone();
        tokio::spawn(async move { finish(&store, &lease).await })
    };
    eventually("the Finish to wait for the row", || async {
        let sql =
            "select count(*) from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'";
        let waiting: i64 = database.sql(sql, &[&name]).await[0].get(0);
        (waiting == 1).then_some(())
    })
    .await;
    operator.batch_execute("commit").await.unwrap();
    assert!(!finishing.await.unwrap(), "the call was reset first");
    let written = "select count(*) from call_stages where state = 'SUCCEEDED'";
    assert_eq!(database.number(written).await, 0, "the stage row was not touched before the call was judged");
    database.drop_schema().await;
}

/// Stages that are there already (the sweeper rebuilt them) are left alone, and the Finish stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_is_there_already_is_not_made_twice() {
    let database = database().await;
    let store = database.store();
    let id = queued_call(&database).await;
    let lease = started(&store, id).await;
    database
        .sql(
            "insert into call_stages (call_id, run_no, stage, tenant_id, state, publish_due)
             values ($1, 1, 'transcription', 'default', 'PENDING', now())",
            &[&id.0],
        )
        .await;
    let finished = store.stage_finish(&lease, &StageOutput::default(), None).await.unwrap().unwrap();
    let announced: Vec<_> = finished.announce.iter().map(|h| h.stage).collect();
    assert_eq!(announced, [StageKind::Diarization]);
    assert_eq!(database.number("select count(*) from call_stages").await, 3);
    database.drop_schema().await;
}

fn intent() -> JobIntent {
    JobIntent {
        id: JobId(Uuid::now_v7()),
        engine: "shop".to_owned(),
        model: "m".to_owned(),
        params_hash: vec![1],
        estimated_cost: None,
    }
}

/// A purchase is closed as not sent by whoever recorded it, and only while nobody may have sent it.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_not_sent_is_closed_as_not_sent() {
    let database = database().await;
    let store = database.store();
    let id = queued_call(&database).await;
    database.sql("update call_records set audio_sha256 = pg_catalog.sha256('x')", &[]).await;
    let lease = started(&store, id).await;
    assert!(finish(&store, &lease).await);
    let bought = intent();
    let lease = store
        .stage_claim(id, 1, StageKind::Transcription, &claimant("first"), Some(&bought))
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(lease.job, Some(JobClaim::Mine { id }) if id == bought.id), "{:?}", lease.job);
    let books = async || {
        let sql = "select purchase_no || ' ' || cause || ' ' || state || ' ' || sends || ' ' || live from provider_jobs order by 1";
        let rows = database.sql(sql, &[]).await;
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    store.job_not_sent(bought.id, "second").await.unwrap();
    assert_eq!(books().await, ["1 first sending 1 true"], "it is not theirs");
    database.sql("update provider_jobs set lease_until = now()", &[]).await;
    assert!(store.job_take_over(bought.id, "first").await.unwrap());
    store.job_not_sent(bought.id, "first").await.unwrap();
    assert_eq!(books().await, ["1 first sending 2 true"], "it was perhaps sent before");

    // One that was to be bought once more, and was not, leaves the question where it was.
    store.job_end(JobEnd { id: bought.id, state: JobEndState::Unknown }, "cut").await.unwrap();
    let again = intent();
    assert!(store.job_buy_again(&lease, "first", &again, bought.id, RebuyCause::Ambiguous).await.unwrap());
    assert_eq!(books().await, ["1 first unknown 2 false", "2 ambiguous sending 1 true"]);
    store.job_not_sent(again.id, "first").await.unwrap();
    assert_eq!(books().await, ["1 first unknown 2 true", "2 ambiguous failed 0 false"]);
    let found = store.job_found(&lease, &bought).await.unwrap();
    assert!(matches!(&found, Some(JobClaim::Unsettled { id, .. }) if *id == bought.id), "{found:?}");
    database.drop_schema().await;
}
