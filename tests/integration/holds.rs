//! While a hold is on nothing is deleted; without one, what is old leaves.

use scryon_blobs::BlobKey;
use scryon_testkit::{TestApp, TestOptions, eventually, scryon_command, unique_wav};
use serde_json::Value;
use uuid::Uuid;

/// Slow sweeps all the time. Those of orphans too: with no least age they take whatever no row names at a few looks, so
/// only where a hold, or a former life, is on from the start.
async fn sweeping_orphans(settings: &[(&'static str, &str)]) -> TestApp {
    let orphans = [("SCRYON_ORPHAN_SWEEP_INTERVAL_MS", "50"), ("SCRYON_ORPHAN_MIN_AGE_HOURS", "0")];
    sweeping(&[&orphans[..], settings].concat()).await
}

async fn sweeping(settings: &[(&'static str, &str)]) -> TestApp {
    let options = TestOptions::default()
        .set("SCRYON_SWEEP_INITIAL_DELAY_MS", "50")
        .set("SCRYON_SWEEP_INTERVAL_MS", "50");
    TestApp::start_with(settings.iter().fold(options, |o, (name, value)| o.set(name, *value))).await
}

#[allow(clippy::print_stdout)] // what a test that fails is looked at for
/// `scryon …` with this installation's settings; its JSON.
pub(crate) async fn scryon(app: &TestApp, arguments: &[&str]) -> (i32, Value) {
    let mut command = scryon_command();
    command.args(arguments).arg("--json").envs(&app.settings).env("API_URL", &app.client.base);
    let output = command.output().await.expect("scryon runs");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = shown.lines().last().unwrap_or_default().to_owned();
    let value = serde_json::from_str(&last).unwrap_or(Value::Null);
    let code = output.status.code().unwrap_or(-1);
    if code != 0 {
        println!("scryon {arguments:?}: {code}\n{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    (code, value)
}

/// A sweep began and ended after this was called: a tombstone of its own, that no hold would keep, is no sign; the
/// sweeper's heartbeats of dead processes are.
async fn a_sweep_passed(app: &TestApp) {
    for _ in 0..2 {
        let owner = Uuid::new_v4().to_string();
        app.database
            .sql(
                "insert into worker_heartbeats (owner, program, version, beat_at) values ($1, 'x', 'x', now() - interval '2 days')",
                &[&owner],
            )
            .await;
        eventually("a sweep", || async {
            let rows = app.database.sql("select 1 from worker_heartbeats where owner = $1", &[&owner]).await;
            rows.is_empty().then_some(())
        })
        .await;
    }
}

async fn objects_of(app: &TestApp, id: Uuid) -> usize {
    let keys = app.context.blobs.list("tenants").await.unwrap();
    keys.iter().filter(|k| k.contains(&format!("/calls/{id}/"))).count()
}

async fn age_everything(app: &TestApp, id: Uuid) {
    let client = app.database.client().await;
    client
        .batch_execute(&format!(
            "update call_processing_events set created_at = now() - interval '91 days' where call_id = '{id}';
             insert into idempotency_keys (tenant_id, user_id, route, key, call_id, state, held_until, fingerprint, response, created_at)
                 select tenant_id, user_id, 'r', 'old', id, 'DONE', now() - interval '2 days', '\\x00', '{{}}', now() - interval '25 hours'
                 from call_records where id = '{id}';
             insert into idempotency_keys (tenant_id, user_id, route, key, call_id, state, held_until, fingerprint, response, created_at)
                 select tenant_id, user_id, 'r', 'young', id, 'DONE', now() - interval '2 days', '\\x00', '{{}}', now() - interval '23 hours'
                 from call_records where id = '{id}';
             insert into dead_letters (message_id, body, died_at) values ('old', '\\x00', now() - interval '31 days'),
                 ('young', '\\x00', now() - interval '29 days');
             insert into callback_inbox (provider, job_id, body, body_sha256, received_at)
                 values ('x', gen_random_uuid(), '\\x00', '\\x01', now() - interval '8 days'),
                        ('x', gen_random_uuid(), '\\x00', '\\x02', now() - interval '6 days');"
        ))
        .await
        .unwrap();
}

const AGED: &str = "select (select count(*) from call_processing_events where created_at < now() - interval '90 days')
    + (select count(*) from idempotency_keys where key = 'old') + (select count(*) from dead_letters where message_id = 'old')
    + (select count(*) from callback_inbox where received_at < now() - interval '7 days')";
const YOUNG: &str = "select (select count(*) from idempotency_keys where key = 'young')
    + (select count(*) from dead_letters where message_id = 'young') + (select count(*) from callback_inbox)";

#[tokio::test(flavor = "multi_thread")]
async fn while_a_hold_is_on_nothing_is_deleted() {
    let app = sweeping_orphans(&[("OBJECT_STORAGE_TEMP_AUDIO_TTL_HOURS", "0")]).await;
    let (code, held) = scryon(&app, &["hold", "on", "--reason", "case 4711"]).await;
    assert_eq!((code, held["on"].as_bool()), (0, Some(true)));
    let (kept, deleted) = (app.client.upload(unique_wav()).await, app.client.upload(unique_wav()).await);
    for id in [kept, deleted] {
        app.client.finished(id).await;
    }
    // An object of an upload that died before its commit, and a call that its owner deletes.
    let orphan = BlobKey::stored(&format!(
        "tenants/default/users/{}/calls/{}/temp/audio.wav",
        Uuid::now_v7(),
        Uuid::now_v7()
    ));
    app.context.blobs.put(&orphan, unique_wav()).await.unwrap();
    let before = objects_of(&app, deleted).await;
    let answer =
        app.client.send(app.client.request(reqwest::Method::DELETE, &format!("/api/calls/{deleted}"))).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_eq!(app.client.get(&format!("/api/calls/{deleted}")).await.status, 404, "the row is gone at once");
    age_everything(&app, kept).await;
    let aged = app.database.number(AGED).await;
    assert!(aged >= 4, "{aged}");
    a_sweep_passed(&app).await;
    eventually("looks at the orphan", || async {
        (app.database.number("select count(*) from storage_orphans where looks > 2").await > 0).then_some(())
    })
    .await;
    assert_eq!(app.database.number(AGED).await, aged);
    assert_eq!(
        objects_of(&app, deleted).await,
        before,
        "objects of a deleted call stay while the hold is on"
    );
    assert!(objects_of(&app, kept).await > 0 && app.context.blobs.size(&orphan).await.unwrap().is_some());
    let audio = "select count(*) from call_artifacts where artifact_type = 'TEMP_AUDIO'";
    assert_eq!(app.database.number(audio).await, 1, "the audio of a finished call outlives its TTL");
    eventually("the metric", || async {
        app.metrics().contains("scryon_hold{kind=\"legal\"} 1").then_some(())
    })
    .await;
    // Storage knows of the erasure all the same: a restore must not bring the call back.
    eventually("the note of the erasure", || async {
        let noted = app.context.blobs.erasures_since("2000-01-01".parse().unwrap()).await.unwrap();
        noted.iter().any(|e| matches!(e, scryon_blobs::Erased::Call(id) if id.0 == deleted)).then_some(())
    })
    .await;

    let (code, held) = scryon(&app, &["hold", "off", "--reason", "case closed"]).await;
    assert_eq!((code, held["on"].as_bool()), (0, Some(false)));
    eventually("everything that waited to leave", || async {
        let gone = app.database.number(AGED).await == 0
            && app.database.number(audio).await == 0
            && objects_of(&app, deleted).await == 0
            && app.context.blobs.size(&orphan).await.unwrap().is_none();
        gone.then_some(())
    })
    .await;
    assert_eq!(app.database.number(YOUNG).await, 3, "what is young stays");
    let logged = "select count(*) from change_log where kind = 'hold' and details->>'hold' = 'legal'";
    assert_eq!(app.database.number(logged).await, 2);
    eventually("the metric", || async {
        app.metrics().contains("scryon_hold{kind=\"legal\"} 0").then_some(())
    })
    .await;
    app.stop_and_clean().await;
}

/// Two of three answers are nobody's artifact any more: they leave. The third is the call's transcript: it stays.
#[tokio::test(flavor = "multi_thread")]
async fn raw_answers_leave_after_their_time_and_artifacts_stay() {
    let app = sweeping(&[]).await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    let spare = format!("tenants/default/users/{}/calls/{id}/r1/raw.spare.json", Uuid::now_v7());
    app.context.blobs.put(&BlobKey::stored(&spare), b"{}".to_vec()).await.unwrap();
    let young = "select count(*) from provider_jobs where live and result_ref is not null";
    let live = app.database.number(young).await;
    assert!(live >= 2, "{live}");
    app.database
        .sql(
            "insert into provider_jobs (id, tenant_id, stage, engine, params_hash, audio_sha256, purchase_no, live, state, cause, call_id,
                 run_no, result_ref, created_at)
             values ('00000000-0000-7000-8000-000000000001', 'default', 'transcription', 'x', '\\x00', '\\x00', 1, false, 'succeeded',
                 'first', $1, 1, $2, now() - interval '31 days')",
            &[&id, &spare],
        )
        .await;
    eventually("the spare answer to leave", || async {
        app.context.blobs.size(&BlobKey::stored(&spare)).await.unwrap().is_none().then_some(())
    })
    .await;
    assert_eq!(app.database.number(young).await, live, "younger answers still serve");
    // Thirty-one days later. The mark is behind them, as it would be.
    app.database.sql("update provider_jobs set created_at = created_at - interval '31 days'", &[]).await;
    eventually("old answers to serve nobody", || async {
        (app.database.number("select count(*) from provider_jobs where live").await == 0).then_some(())
    })
    .await;
    a_sweep_passed(&app).await;
    for document in ["transcript", "analysis"] {
        assert_eq!(app.client.get(&format!("/api/calls/{id}/{document}")).await.status, 200);
    }
    app.finish().await;
}

/// A sweeper on the database of a former life deletes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_of_the_past_deletes_nothing() {
    let app = sweeping(&[("OBJECT_STORAGE_TEMP_AUDIO_TTL_HOURS", "0")]).await;
    app.context.blobs.epoch_note(1).await.unwrap();
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    a_sweep_passed(&app).await;
    let audio = "select count(*) from call_artifacts where artifact_type = 'TEMP_AUDIO'";
    assert_eq!(app.database.number(audio).await, 1);
    app.database.sql("update restore_epoch set epoch = 1", &[]).await;
    eventually("the audio to leave", || async { (app.database.number(audio).await == 0).then_some(()) })
        .await;
    app.stop_and_clean().await;
}
