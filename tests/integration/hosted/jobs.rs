//! Jobs of diarization: submitted, called back for, looked at, late, adopted, and what serves without them.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use scryon_testkit::{
    Answer, CallbackFault, Fault, HostedOptions, JobFault, SANDBOX_SECRET, TestApp, TestOptions, eventually,
    unique_wav, unique_wav_of,
};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::{events, purchases, transcript};

/// Callbacks off: without a public address providers are looked at.
fn looked_at() -> TestOptions {
    TestOptions::hosted()
        .set("SCRYON_PUBLIC_BASE_URL", "")
        .set("SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS", "1")
}

async fn waiting_job(app: &TestApp, id: Uuid) -> Uuid {
    eventually("the job to be submitted and its stage to wait", || async {
        let sql = "select j.id from provider_jobs j join call_stages s on s.call_id = j.call_id and s.stage = j.stage
             where j.call_id = $1 and j.stage = 'diarization' and j.state = 'submitted' and s.state = 'WAITING'";
        app.database.sql(sql, &[&id]).await.first().map(|r| r.get(0))
    })
    .await
}

/// A webhook as pyannoteAI would sign it.
pub(super) async fn webhook(app: &TestApp, job: Uuid, body: &str, secret: &str, age: i64) -> Answer {
    let at = (chrono::Utc::now().timestamp() - age).to_string();
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("v0:{at}:{body}").as_bytes());
    let request = app
        .client
        .request(Method::POST, &format!("/api/webhooks/pyannote/{job}"))
        .header("X-Request-Timestamp", at)
        .header("X-Signature", hex::encode(mac.finalize().into_bytes()))
        .body(body.to_owned());
    app.client.send(request).await
}

/// Looks are minutes apart here: it is the callback that wakes the stage.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_through_hosted_engines_and_a_callback_ends_its_wait() {
    let app =
        TestApp::start_with(TestOptions::hosted().set("SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS", "60"))
            .await;
    let audio = unique_wav_of(24);
    let id = app.client.upload_with(audio.clone(), &json!({"direction": "INCOMING"})).await;
    let call = app.client.finished(id).await;
    assert_eq!(call["status"], "COMPLETED", "{call}");
    let transcript = transcript(&app, id).await;
    assert_eq!(transcript["pipeline"]["transcriptionProvider"], "lemonfox");
    assert_eq!(transcript["pipeline"]["diarizationProvider"], "pyannote");
    assert_eq!(transcript["speakers"].as_array().unwrap().len(), 2, "{transcript}");
    let mut bought = purchases(&app, id).await;
    bought.sort();
    assert_eq!(
        bought,
        [
            ("analysis openai first succeeded".to_owned(), true),
            ("diarization pyannote first succeeded".to_owned(), true),
            ("transcription lemonfox first succeeded".to_owned(), true),
        ]
    );
    let analysis = app.client.get(&format!("/api/calls/{id}/analysis")).await.body;
    assert_eq!(analysis["qualityWarnings"], json!([]), "the strict schema asks for all that ours requires");
    for route in ["lemonfox.transcribe", "pyannote.diarize"] {
        assert_eq!(app.bought(route, &audio), 1, "{route}");
    }
    let started = events(&app, id, "PYANNOTE_STARTED").await;
    assert_eq!(started, [("COMPLETED".to_owned(), Some("pyannote".to_owned()), None)]);
    let delivered = app.simulator.deliveries();
    assert_eq!(delivered.iter().map(|d| d.status).collect::<Vec<_>>(), [Some(204)]);
    app.finish().await;
}

/// A job at the provider holds no worker, no lease and no delivery.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_job_runs_nobody_waits_for_it_and_a_reset_adopts_it() {
    let app = TestApp::start_with(looked_at()).await;
    app.simulator.fail_next("pyannote.diarize", 1, Fault::Job(JobFault::Held));
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    waiting_job(&app, id).await;
    let held = "select count(*) from call_stages where stage = 'diarization' and (lease_until is not null or state = 'RUNNING')";
    eventually("a moment in which nobody looks", || async {
        (app.database.number(held).await == 0).then_some(())
    })
    .await;
    app.database.sql("update call_records set status = 'QUEUED' where id = $1", &[&id]).await;
    eventually("the new run to wait for the same job", || async {
        let sql = "select count(*) from call_stages where run_no = 2 and stage = 'diarization' and state = 'WAITING'";
        (app.database.number(sql).await == 1).then_some(())
    })
    .await;
    app.simulator.release();
    eventually("the new run's end", || async {
        let call = app.client.call(id).await;
        (call["run"] == 2 && call["status"] == "COMPLETED").then_some(())
    })
    .await;
    assert_eq!(app.bought("pyannote.diarize", &audio), 1);
    assert_eq!(transcript(&app, id).await["pipeline"]["diarizationProvider"], "pyannote");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_is_lost_is_made_up_for_by_looking() {
    let app =
        TestApp::start_with(TestOptions::hosted().set("SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS", "1")).await;
    app.simulator.fail_next("pyannote.diarize", 1, Fault::Callback(CallbackFault::Never));
    let id = app.client.upload(unique_wav()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    assert_eq!(transcript(&app, id).await["pipeline"]["diarizationProvider"], "pyannote");
    assert!(app.simulator.deliveries().is_empty());
    app.finish().await;
}

/// Looks are minutes apart: a callback that comes when nobody waits yet is not forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_may_come_twice_and_before_its_submit_is_answered() {
    let app =
        TestApp::start_with(TestOptions::hosted().set("SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS", "60"))
            .await;
    for fault in [CallbackFault::Doubled, CallbackFault::BeforeAnswer] {
        app.simulator.fail_next("pyannote.diarize", 1, Fault::Callback(fault));
        let audio = unique_wav();
        let id = app.client.upload(audio.clone()).await;
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED", "{fault:?}");
        assert_eq!(app.bought("pyannote.diarize", &audio), 1, "{fault:?}");
        assert_eq!(transcript(&app, id).await["pipeline"]["diarizationProvider"], "pyannote", "{fault:?}");
    }
    assert!(app.simulator.deliveries().iter().all(|d| d.status == Some(204)));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_are_believed_only_with_a_signature_and_answered_whatever_they_meet() {
    let app =
        TestApp::start_with(TestOptions::hosted().set("SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS", "60"))
            .await;
    app.simulator.set_hosted(HostedOptions { pyannote_step_ms: 600_000, ..app.simulator.hosted() });
    let id = app.client.upload(unique_wav()).await;
    let job = waiting_job(&app, id).await;
    let body = r#"{"jobId":"somebody's","status":"succeeded"}"#;
    let refused = [
        webhook(&app, job, body, "another secret", 0).await,
        webhook(&app, job, body, SANDBOX_SECRET, 360).await,
        webhook(&app, job, body, SANDBOX_SECRET, -360).await,
    ];
    for answer in refused {
        assert_eq!((answer.status, answer.code()), (401, "signature_invalid"));
    }
    let unsigned = app.client.request(Method::POST, &format!("/api/webhooks/pyannote/{job}")).body(body);
    assert_eq!(app.client.send(unsigned).await.status, 401);
    let huge =
        app.client.request(Method::POST, &format!("/api/webhooks/pyannote/{job}")).body(vec![b'x'; 10 << 20]);
    let huge = app.client.send(huge).await;
    assert_eq!((huge.status, huge.code()), (413, "payload_too_large"));
    assert_eq!(app.database.number("select count(*) from callback_inbox").await, 0, "no row for the refused");

    // A job nobody knows, and words that are no ids, are answered kindly: a 4xx would end delivery for good.
    assert_eq!(webhook(&app, Uuid::now_v7(), body, SANDBOX_SECRET, 0).await.status, 204);
    // Three times the same is one row.
    for _ in 0..3 {
        assert_eq!(webhook(&app, job, body, SANDBOX_SECRET, 0).await.status, 204);
    }
    assert_eq!(app.database.number("select count(*) from callback_inbox").await, 1);
    // The call is deleted: its callback is answered, and brings nothing back.
    assert_eq!(
        app.client.send(app.client.request(Method::DELETE, &format!("/api/calls/{id}"))).await.status,
        204
    );
    assert_eq!(webhook(&app, job, "{}", SANDBOX_SECRET, 0).await.status, 204);
    assert_eq!(app.database.number("select count(*) from call_records").await, 0);
    app.stop_and_clean().await;
}

/// Who ends without diarization says why, in the log and in the metric, and the call completes.
#[tokio::test(flavor = "multi_thread")]
async fn without_pyannote_the_labels_of_the_transcription_serve() {
    let cases: [(&str, usize, Fault, &str, &str); 4] = [
        ("pyannote.diarize", 1, Fault::Job(JobFault::Failed), "provider_job_failed", "engine_failed"),
        ("pyannote.diarize", 1, Fault::Job(JobFault::Canceled), "provider_job_failed", "engine_failed"),
        ("pyannote.media", 1, Fault::Status(402, None), "provider_unavailable", "engine_unavailable"),
        ("pyannote.media", 9, Fault::Status(500, None), "provider_failed", "engine_failed"),
    ];
    for (route, count, fault, code, reason) in cases {
        let app = TestApp::start_with(looked_at().set("SCRYON_DIARIZATION_MAX_RETRIES", "1")).await;
        app.simulator.fail_next(route, count, fault);
        let id = app.client.upload(unique_wav()).await;
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED", "{fault:?}");
        let transcript = transcript(&app, id).await;
        assert_ne!(transcript["pipeline"]["diarizationProvider"], "pyannote", "{fault:?}");
        assert_eq!(transcript["speakers"].as_array().unwrap().len(), 2, "labels tell two apart: {fault:?}");
        let passed = events(&app, id, "PYANNOTE_FAILED_FALLBACK").await;
        assert_eq!(
            passed,
            [("FAILED".to_owned(), Some("pyannote".to_owned()), Some(code.to_owned()))],
            "{fault:?}"
        );
        let metric = format!("scryon_diarization_fallback_total{{reason=\"{reason}\"}} 1");
        assert!(app.metrics().contains(&metric), "{metric}");
        app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_late_is_left_behind_and_its_answer_serves_a_later_run() {
    let app = TestApp::start_with(looked_at().set("SCRYON_DIARIZATION_TIMEOUT_SECONDS", "2")).await;
    app.simulator.fail_next("pyannote.diarize", 1, Fault::Job(JobFault::Held));
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    let passed = events(&app, id, "PYANNOTE_FAILED_FALLBACK").await;
    assert_eq!(passed[0].2.as_deref(), Some("provider_overdue"));
    app.simulator.release();
    let id_at_provider: String = app
        .database
        .sql("select external_id from provider_jobs where call_id = $1 and engine = 'pyannote'", &[&id])
        .await[0]
        .get(0);
    let place = format!("{}/v1/jobs/{id_at_provider}", app.settings["PYANNOTE_BASE_URL"]);
    eventually("the job's end at the provider", || async {
        let job = app.client.http.get(&place).bearer_auth("sandbox-key").send().await.ok()?;
        (job.json::<Value>().await.ok()?["status"] == "succeeded").then_some(())
    })
    .await;
    app.database.sql("update call_records set status = 'QUEUED' where id = $1", &[&id]).await;
    eventually("the new run's end", || async {
        let call = app.client.call(id).await;
        (call["run"] == 2 && call["status"] == "COMPLETED").then_some(())
    })
    .await;
    assert_eq!(transcript(&app, id).await["pipeline"]["diarizationProvider"], "pyannote");
    assert_eq!(app.bought("pyannote.diarize", &audio), 1, "what was paid for is used");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_takes_pyannote_out_wherever_it_is_named() {
    let app = TestApp::start_with(
        TestOptions::hosted()
            .set("PYANNOTE_ENABLED", "false")
            .set("SCRYON_DIARIZATION_ENGINES", "pyannote,channels"),
    )
    .await;
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    assert_eq!(app.bought("pyannote.diarize", &audio), 0);
    assert_eq!(transcript(&app, id).await["speakers"].as_array().unwrap().len(), 2);
    app.finish().await;
}

/// An answer that is lost on its way is not bought again where a callback can still tell its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_submit_whose_answer_was_lost_is_settled_by_its_callback() {
    let app =
        TestApp::start_with(TestOptions::hosted().set("SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS", "1")).await;
    app.simulator.set_hosted(HostedOptions { pyannote_step_ms: 300, ..app.simulator.hosted() });
    app.simulator.fail_next("pyannote.diarize", 1, Fault::CutAfterPurchase);
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    assert_eq!(app.bought("pyannote.diarize", &audio), 1);
    assert_eq!(transcript(&app, id).await["pipeline"]["diarizationProvider"], "pyannote");
    app.finish().await;
}

/// A provider that does not answer holds up nobody who does not ask it, also where an engine that fills a core stands
/// behind it: there are as many slots as for any that is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_hang_hold_up_no_other_call() {
    let app =
        TestApp::start_with(TestOptions::hosted().set("SCRYON_DIARIZATION_ENGINES", "pyannote,channels"))
            .await;
    let hang = 2 * std::thread::available_parallelism().unwrap().get();
    app.simulator.fail_next("pyannote.diarize", hang, Fault::Hold);
    let mut ids = Vec::new();
    for _ in 0..hang {
        ids.push(app.client.upload(unique_wav()).await);
    }
    eventually("all of them at the provider", || async { (app.simulator.held() == hang).then_some(()) })
        .await;
    let quick = app.client.upload(unique_wav()).await;
    assert_eq!(app.client.finished(quick).await["status"], "COMPLETED");
    assert_eq!(app.simulator.held(), hang, "they hang still");
    app.simulator.release();
    for id in ids {
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    }
    app.finish().await;
}
