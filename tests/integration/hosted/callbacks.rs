//! Callbacks that come to another world than the one they were ordered in: a later run, a call that is done, changed
//! secrets.

use reqwest::Method;
use scryon_domain::callback::CallbackAddress;
use scryon_domain::ids::{CallId, JobId};
use scryon_testkit::{
    CallbackFault, Database, Fault, JobFault, Parts, SANDBOX_SECRET, TestApp, TestOptions, eventually,
    unique_wav,
};
use serde_json::Value;
use uuid::Uuid;

use super::jobs::webhook;
use super::{purchases, transcript};

const PLANTED: &str = r#"{"text":"planted words of a callback","duration":0.05,"segments":[]}"#;

/// Both speech engines call back; looks are minutes apart.
fn called_back() -> TestOptions {
    TestOptions::hosted()
        .set("SCRYON_TRANSCRIPTION_CALLBACK_ENABLED", "true")
        .set("SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS", "60")
}

async fn waiting(app: &TestApp, id: Uuid, stage: &str, run: i32) -> Uuid {
    eventually("the stage to wait for its job", || async {
        let sql = "select j.id from provider_jobs j join call_stages s on s.call_id = j.call_id and s.stage = j.stage
             where j.call_id = $1 and j.stage = $2 and s.run_no = $3 and j.state = 'submitted' and s.state = 'WAITING'";
        app.database.sql(sql, &[&id, &stage, &run]).await.first().map(|r| r.get(0))
    })
    .await
}

fn address(app: &TestApp, id: Uuid, job: Uuid) -> CallbackAddress {
    let expires = chrono::Utc::now().timestamp() + 3_600;
    let epoch = app.context.queue.epoch.get();
    CallbackAddress { call: CallId(id), run_no: 1, job: JobId(job), expires, epoch }
}

async fn post(app: &TestApp, path: &str) -> u16 {
    app.client.send(app.client.request(Method::POST, path).body(PLANTED)).await.status
}

async fn speech(app: &TestApp, id: Uuid) -> Vec<String> {
    let mut all: Vec<String> = purchases(app, id).await.into_iter().map(|(line, _)| line).collect();
    all.retain(|line| !line.starts_with("analysis"));
    all.sort();
    all
}

fn once() -> [String; 2] {
    ["diarization pyannote first succeeded".to_owned(), "transcription lemonfox first succeeded".to_owned()]
}

/// The run that ordered it is over. What it brings was paid for, and serves the run that is current.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_of_an_old_run_serves_the_current_one() {
    let app = TestApp::start_with(called_back()).await;
    app.simulator.fail_next("lemonfox.transcribe", 1, Fault::Callback(CallbackFault::Never));
    app.simulator.fail_next("pyannote.diarize", 1, Fault::Job(JobFault::Held));
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    let job = waiting(&app, id, "transcription", 1).await;
    waiting(&app, id, "diarization", 1).await;
    app.database.sql("update call_records set status = 'QUEUED' where id = $1", &[&id]).await;
    waiting(&app, id, "transcription", 2).await;
    waiting(&app, id, "diarization", 2).await;
    app.simulator.release();
    assert_eq!(post(&app, &address(&app, id, job).signed("lemonfox", SANDBOX_SECRET)).await, 204);
    eventually("the new run's end", || async {
        let call = app.client.call(id).await;
        (call["run"] == 2 && call["status"] == "COMPLETED").then_some(())
    })
    .await;
    let transcript = transcript(&app, id).await;
    assert!(transcript["cleanText"].as_str().unwrap().contains("planted words"), "{transcript}");
    assert_eq!(transcript["pipeline"]["diarizationProvider"], "pyannote");
    assert_eq!(speech(&app, id).await, once());
    for route in ["lemonfox.transcribe", "pyannote.diarize"] {
        assert_eq!(app.bought(route, &audio), 1, "{route}");
    }
    app.finish().await;
}

/// Repeated when the call is done, at once or ten minutes later: answered or refused, and nothing changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_is_replayed_changes_nothing() {
    let app = TestApp::start_with(called_back()).await;
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    let jobs = "select id from provider_jobs where call_id = $1 and engine = $2";
    let job = async |engine: &str| -> Uuid { app.database.sql(jobs, &[&id, &engine]).await[0].get(0) };
    let (lemonfox, pyannote) = (job("lemonfox").await, job("pyannote").await);
    let before = (transcript(&app, id).await, app.client.call(id).await);

    let external = "select external_id from provider_jobs where id = $1";
    let external: String = app.database.sql(external, &[&pyannote]).await[0].get(0);
    let body = format!(r#"{{"jobId":"{external}","status":"failed"}}"#);
    assert_eq!(webhook(&app, pyannote, &body, SANDBOX_SECRET, 600).await.status, 401, "ten minutes old");
    for _ in 0..3 {
        assert_eq!(webhook(&app, pyannote, &body, SANDBOX_SECRET, 0).await.status, 204);
        assert_eq!(post(&app, &address(&app, id, lemonfox).signed("lemonfox", SANDBOX_SECRET)).await, 204);
    }
    let over =
        CallbackAddress { expires: chrono::Utc::now().timestamp() - 600, ..address(&app, id, lemonfox) };
    assert_eq!(post(&app, &over.signed("lemonfox", SANDBOX_SECRET)).await, 401, "its address is over");

    // A run that begins now reads the answers that were paid for, and not what was replayed.
    app.database.sql("update call_records set status = 'QUEUED' where id = $1", &[&id]).await;
    eventually("the new run's end", || async {
        let call = app.client.call(id).await;
        (call["run"] == 2 && call["status"] == "COMPLETED").then_some(())
    })
    .await;
    let after = transcript(&app, id).await;
    assert_eq!(after["cleanText"], before.0["cleanText"]);
    assert_eq!(after["pipeline"]["diarizationProvider"], "pyannote");
    assert_eq!(speech(&app, id).await, once());
    for route in ["lemonfox.transcribe", "pyannote.diarize"] {
        assert_eq!(app.bought(route, &audio), 1, "{route}");
    }
    app.finish().await;
}

async fn restart_with(app: &mut TestApp, secrets: &str) {
    app.stop_programs().await;
    for name in ["SCRYON_WEBHOOK_SECRET", "PYANNOTE_WEBHOOK_SECRET"] {
        app.settings.insert(name.to_owned(), secrets.to_owned());
    }
    let database = Database { url: app.database.url.clone(), schema: app.database.schema.clone() };
    app.start_again(database, Parts::ALL).await;
}

/// Jobs are on their way when the secrets change: what the old one signed is taken as long as it is named, and no longer.
/// Operators see which secret verified what, and that an old one is awaited by nothing any more.
async fn verified_by(app: &TestApp, expected: &[(&str, &str)]) {
    eventually("the secrets' uses", || async {
        let (_, seen) = crate::holds::scryon(app, &["--direct", "secrets", "list"]).await;
        let seen = seen["callbacks"].as_array()?.clone();
        let found = |(secret, provider): &(&str, &str)| {
            let hash = scryon_config::hash_begin(secret);
            seen.iter().any(|used| {
                used["secret"] == hash.as_str() && used["provider"] == *provider && used["uses"] == 1
            })
        };
        expected.iter().all(found).then_some(())
    })
    .await;
    let (code, seen) = crate::holds::scryon(app, &["--direct", "secrets", "list"]).await;
    assert_eq!((code, seen["awaited"].as_array().map(Vec::len)), (0, Some(0)), "{seen}");
    assert_eq!(seen["callbacks"].as_array().map(Vec::len), Some(expected.len()), "{seen}");
    let (_, keys) = crate::holds::scryon(app, &["--direct", "keys", "list"]).await;
    assert_eq!(keys["uses"].as_array().map(Vec::len), Some(0), "a webhook's secret is no key: {keys}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_changed_while_jobs_are_on_their_way() {
    let mut app = TestApp::start_with(called_back()).await;
    app.simulator.fail_next("lemonfox.transcribe", 1, Fault::Callback(CallbackFault::Never));
    app.simulator.fail_next("pyannote.diarize", 1, Fault::Callback(CallbackFault::Never));
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    let speech_job = waiting(&app, id, "transcription", 1).await;
    let voices_job = waiting(&app, id, "diarization", 1).await;
    let old = address(&app, id, speech_job).signed("lemonfox", SANDBOX_SECRET);
    let external = "select external_id from provider_jobs where id = $1";
    let external: String = app.database.sql(external, &[&voices_job]).await[0].get(0);
    let body = format!(r#"{{"jobId":"{external}","status":"succeeded"}}"#);

    restart_with(&mut app, "the-next-one").await;
    assert_eq!(post(&app, &old).await, 401, "nobody names the old secret any more");
    assert_eq!(webhook(&app, voices_job, &body, SANDBOX_SECRET, 0).await.status, 401);
    assert_eq!(app.client.call(id).await["status"], Value::from("TRANSCRIBING"), "it waits on");

    restart_with(&mut app, &format!("the-next-one,{SANDBOX_SECRET}")).await;
    assert_eq!(post(&app, &old).await, 204, "signed before, taken after");
    assert_eq!(webhook(&app, voices_job, &body, "the-next-one", 0).await.status, 204);
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    verified_by(&app, &[(SANDBOX_SECRET, "lemonfox"), ("the-next-one", "pyannote")]).await;
    let transcript = transcript(&app, id).await;
    assert!(transcript["cleanText"].as_str().unwrap().contains("planted words"), "{transcript}");
    assert_eq!(transcript["pipeline"]["diarizationProvider"], "pyannote");
    assert_eq!(speech(&app, id).await, once());
    for route in ["lemonfox.transcribe", "pyannote.diarize"] {
        assert_eq!(app.bought(route, &audio), 1, "{route}");
    }
    app.finish().await;
}
