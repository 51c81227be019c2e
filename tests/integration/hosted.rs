//! Hosted engines, as the simulator plays them: jobs that run while no worker waits, callbacks, failover.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use scryon_domain::callback::CallbackAddress;
use scryon_domain::ids::{CallId, JobId};
use scryon_testkit::{
    Answer, CallbackFault, Fault, HostedOptions, JobFault, SANDBOX_SECRET, TestApp, TestOptions, eventually,
    scryon_command, unique_wav, unique_wav_of,
};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

/// Callbacks off: without a public address providers are looked at.
fn looked_at() -> TestOptions {
    TestOptions::hosted()
        .set("SCRYON_PUBLIC_BASE_URL", "")
        .set("SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS", "1")
}

async fn events(app: &TestApp, id: Uuid, stage: &str) -> Vec<(String, Option<String>, Option<String>)> {
    let sql = "select status, provider, error_code from call_processing_events where call_id = $1 and stage = $2 order by id";
    app.database.sql(sql, &[&id, &stage]).await.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect()
}

/// `engine cause state`, and whether the price is known, of each purchase for a call.
async fn purchases(app: &TestApp, id: Uuid) -> Vec<(String, bool)> {
    let sql =
        "select stage || ' ' || engine || ' ' || cause || ' ' || state, billed_cost > 0 from provider_jobs
         where call_id = $1 order by created_at, stage, purchase_no";
    app.database
        .sql(sql, &[&id])
        .await
        .iter()
        .map(|r| (r.get(0), r.get::<_, Option<bool>>(1).unwrap_or_default()))
        .collect()
}

async fn waiting_job(app: &TestApp, id: Uuid) -> Uuid {
    eventually("the job to be submitted and its stage to wait", || async {
        let sql = "select j.id from provider_jobs j join call_stages s on s.call_id = j.call_id and s.stage = j.stage
             where j.call_id = $1 and j.stage = 'diarization' and j.state = 'submitted' and s.state = 'WAITING'";
        app.database.sql(sql, &[&id]).await.first().map(|r| r.get(0))
    })
    .await
}

async fn transcript(app: &TestApp, id: Uuid) -> Value {
    app.client.get(&format!("/api/calls/{id}/transcript")).await.body
}

/// A webhook as pyannoteAI would sign it.
async fn webhook(app: &TestApp, job: Uuid, body: &str, secret: &str, age: i64) -> Answer {
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
    app.simulator.set_hosted(HostedOptions { pyannote_step_ms: 2_000, ..app.simulator.hosted() });
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

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_may_come_twice_and_before_its_submit_is_answered() {
    let app =
        TestApp::start_with(TestOptions::hosted().set("SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS", "1")).await;
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
    app.simulator.set_hosted(HostedOptions { pyannote_step_ms: 2_000, ..app.simulator.hosted() });
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    let passed = events(&app, id, "PYANNOTE_FAILED_FALLBACK").await;
    assert_eq!(passed[0].2.as_deref(), Some("provider_overdue"));
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

/// The first engine is dead for the whole run: every call completes on the second, and the ledger says why.
#[tokio::test(flavor = "multi_thread")]
async fn calls_complete_on_the_second_engine() {
    let app = TestApp::start_with(
        TestOptions::hosted()
            .set("SCRYON_TRANSCRIPTION_ENGINES", "lemonfox,deepgram")
            .set("PYANNOTE_ENABLED", "false"),
    )
    .await;
    app.simulator.fail_next("lemonfox.transcribe", 1000, Fault::Status(402, None));
    let calls = futures_util::future::join_all((0..10).map(|_| app.client.upload(unique_wav()))).await;
    for id in calls {
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
        let transcript = transcript(&app, id).await;
        assert_eq!(transcript["pipeline"]["transcriptionProvider"], "deepgram");
        let speech: Vec<String> = purchases(&app, id)
            .await
            .into_iter()
            .map(|(line, _)| line)
            .filter(|line| line.starts_with("transcription"))
            .collect();
        assert_eq!(
            speech,
            ["transcription lemonfox first failed", "transcription deepgram failover succeeded"]
        );
    }
    app.finish().await;
}

/// Without credit and without another engine calls wait; none fails, and all complete when there is credit.
#[tokio::test(flavor = "multi_thread")]
async fn without_credit_calls_wait_for_it() {
    let app = TestApp::start_with(TestOptions::hosted().set("PYANNOTE_ENABLED", "false")).await;
    app.simulator.fail_next("openai.chat", 1, Fault::Quota);
    let id = app.client.upload(unique_wav()).await;
    let pause = eventually("the analysis to be put off", || async {
        let sql = "select extract(epoch from not_before - now())::float8, tries from call_stages
             where call_id = $1 and stage = 'analysis' and state = 'PENDING' and not_before > now()";
        app.database.sql(sql, &[&id]).await.first().map(|r| (r.get::<_, f64>(0), r.get::<_, i32>(1)))
    })
    .await;
    assert!(pause.0 > 1.0 && pause.1 == 0, "{pause:?}");
    assert_eq!(app.client.call(id).await["status"], "ANALYZING");
    assert_eq!(transcript(&app, id).await["pipeline"]["transcriptionProvider"], "lemonfox");
    // Half a minute passes.
    app.database
        .sql("update call_stages set not_before = now(), publish_due = now() where call_id = $1 and state = 'PENDING'", &[&id])
        .await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
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

/// Lets the time pass that a provider is not asked, and the time that calls wait.
async fn time_passes(app: &TestApp) {
    app.database
        .sql("update provider_circuits set open_until = now() where open_until is not null", &[])
        .await;
    app.database
        .sql(
            "update call_stages set not_before = now(), publish_due = now() where state in ('PENDING', 'WAITING')
                 and not_before is not null",
            &[],
        )
        .await;
}

/// A provider that is dead is found dead once: its calls go to the next engine, and none fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_provider_is_left_for_the_next_engine() {
    let app = TestApp::start_with(
        TestOptions::hosted()
            .set("SCRYON_TRANSCRIPTION_ENGINES", "lemonfox,deepgram")
            .set("PYANNOTE_ENABLED", "false"),
    )
    .await;
    app.simulator.fail_next("lemonfox.transcribe", 100_000, Fault::Status(503, None));
    let recordings: Vec<Vec<u8>> = (0..40).map(|_| unique_wav()).collect();
    let calls =
        futures_util::future::join_all(recordings.iter().map(|audio| app.client.upload(audio.clone()))).await;
    for id in &calls {
        assert_eq!(app.client.finished(*id).await["status"], "COMPLETED");
    }
    assert!(recordings.iter().all(|audio| app.bought("deepgram.listen", audio) == 1));
    let caused = "select count(*) from provider_jobs where engine = 'deepgram' and cause = 'failover'";
    assert_eq!(app.database.number(caused).await, 40);
    assert!(app.metrics().contains("scryon_provider_circuit_open{engine=\"lemonfox\"} 1"));
    app.finish().await;
}

/// Without another engine calls wait: none fails, none is tried to death, and one request finds out when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_for_a_dead_provider_and_one_request_finds_it_alive() {
    let app = TestApp::start_with(TestOptions::hosted().set("PYANNOTE_ENABLED", "false")).await;
    app.simulator.fail_next("lemonfox.transcribe", 100_000, Fault::Status(500, None));
    let recordings: Vec<Vec<u8>> = (0..30).map(|_| unique_wav()).collect();
    let calls =
        futures_util::future::join_all(recordings.iter().map(|audio| app.client.upload(audio.clone()))).await;
    let waiting =
        "select count(*) from call_stages where stage = 'transcription' and error_code = 'circuit_open'";
    eventually("every call to wait", || async {
        time_passes_for_calls(&app).await;
        (app.database.number(waiting).await == 30).then_some(())
    })
    .await;
    let tries = "select coalesce(max(tries), 0)::bigint from call_stages where stage = 'transcription'";
    assert!(app.database.number(tries).await <= 2, "waiting for a dead provider costs no try");
    let asked = "select count(*) from provider_jobs where engine = 'lemonfox'";
    let before = app.database.number(asked).await;
    time_passes_for_calls(&app).await;

    // It lives again, slowly: while the first request is on its way no other is sent.
    app.simulator.clear_faults();
    app.simulator.fail_next("lemonfox.transcribe", 1, Fault::Hold);
    time_passes(&app).await;
    eventually("one request to be made", || async {
        time_passes_for_calls(&app).await;
        (app.simulator.held() == 1).then_some(())
    })
    .await;
    time_passes_for_calls(&app).await;
    assert_eq!(app.database.number(asked).await, before + 1, "one request finds out");
    app.simulator.release();
    eventually("all calls to complete", || async {
        time_passes_for_calls(&app).await;
        let sql = "select count(*) from call_records where status = 'COMPLETED'";
        (app.database.number(sql).await == 30).then_some(())
    })
    .await;
    for (id, audio) in calls.iter().zip(&recordings) {
        assert_eq!(app.client.call(*id).await["status"], "COMPLETED");
        assert_eq!(app.bought("lemonfox.transcribe", audio), 1);
    }
    app.finish().await;
}

async fn time_passes_for_calls(app: &TestApp) {
    app.database
        .sql(
            "update call_stages set not_before = now(), publish_due = now() where state in ('PENDING', 'WAITING')
                 and not_before > now()",
            &[],
        )
        .await;
}

/// An operator's word reaches running programs, has a reason and an end, and is kept in the log of changes.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_switches_a_provider_without_a_restart() {
    let app = TestApp::start_with(
        TestOptions::hosted()
            .set("SCRYON_TRANSCRIPTION_ENGINES", "lemonfox,deepgram")
            .set("PYANNOTE_ENABLED", "false"),
    )
    .await;
    let scryon = async |arguments: &[&str]| {
        let mut command = scryon_command();
        command.args(arguments).env("DATABASE_URL", &app.database.url);
        let output = command.output().await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let engine_of = async |id: Uuid| transcript(&app, id).await["pipeline"]["transcriptionProvider"].clone();
    let disable = ["provider", "disable", "lemonfox", "--for", "2h", "--reason", "their status page is red"];
    let (code, shown) = scryon(&disable).await;
    assert_eq!(code, Some(0));
    assert!(shown.starts_with("lemonfox     disabled for 7"), "{shown}");
    eventually("the workers to know", || async {
        app.metrics().contains("scryon_provider_circuit_open{engine=\"lemonfox\"} 1").then_some(())
    })
    .await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    assert_eq!(engine_of(id).await, "deepgram");
    assert_eq!(purchases(&app, id).await.iter().filter(|(p, _)| p.contains("lemonfox")).count(), 0);

    assert_eq!(scryon(&["provider", "enable", "lemonfox"]).await.0, Some(0));
    eventually("the workers to know", || async {
        app.metrics().contains("scryon_provider_circuit_open{engine=\"lemonfox\"} 0").then_some(())
    })
    .await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    assert_eq!(engine_of(id).await, "lemonfox");
    let noted = "select count(*) from change_log where kind = 'provider' and details->>'engine' = 'lemonfox'";
    assert_eq!(app.database.number(noted).await, 2);
    assert_eq!(scryon(&["provider", "disable", "nobody", "--reason", "x"]).await.0, Some(64));
    app.finish().await;
}

fn called_back() -> TestOptions {
    TestOptions::hosted()
        .set("PYANNOTE_ENABLED", "false")
        .set("SCRYON_TRANSCRIPTION_CALLBACK_ENABLED", "true")
}

/// The transcript comes by callback: no worker waits for it, and it is used once however often it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_comes_by_callback_also_twice_and_before_the_submit_is_answered() {
    let app = TestApp::start_with(called_back()).await;
    for fault in [None, Some(CallbackFault::Doubled), Some(CallbackFault::BeforeAnswer)] {
        if let Some(fault) = fault {
            app.simulator.fail_next("lemonfox.transcribe", 1, Fault::Callback(fault));
        }
        let audio = unique_wav_of(24);
        let id = app.client.upload(audio.clone()).await;
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED", "{fault:?}");
        assert_eq!(transcript(&app, id).await["speakers"].as_array().unwrap().len(), 2, "{fault:?}");
        assert_eq!(app.bought("lemonfox.transcribe", &audio), 1, "{fault:?}");
        assert_eq!(events(&app, id, "LEMONFOX_SUBMITTED").await.len(), 1, "{fault:?}");
        let speech: Vec<(String, bool)> =
            purchases(&app, id).await.into_iter().filter(|(p, _)| p.starts_with("transcription")).collect();
        assert_eq!(speech, [("transcription lemonfox first succeeded".to_owned(), true)], "{fault:?}");
    }
    assert!(app.simulator.deliveries().iter().all(|d| d.status == Some(204)));
    app.finish().await;
}

/// No callback, or one that is no transcript: the provider keeps nothing to be fetched, so it is asked once more.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_usable_callback_the_answer_is_asked_for_once_more() {
    let app = TestApp::start_with(called_back()).await;
    for fault in [CallbackFault::Garbage, CallbackFault::Never] {
        app.simulator.fail_next("lemonfox.transcribe", 1, Fault::Callback(fault));
        let audio = unique_wav();
        let id = app.client.upload(audio.clone()).await;
        if fault == CallbackFault::Never {
            eventually("the job to be late", || async {
                // Half an hour passes.
                let sql = "update provider_jobs set deadline = now(), lease_until = now()
                     where call_id = $1 and state = 'submitted' returning id";
                let late = app.database.sql(sql, &[&id]).await;
                time_passes_for_calls(&app).await;
                (!late.is_empty()).then_some(())
            })
            .await;
        }
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED", "{fault:?}");
        assert_eq!(app.bought("lemonfox.transcribe", &audio), 2, "{fault:?}");
        let speech: Vec<String> = purchases(&app, id)
            .await
            .into_iter()
            .map(|(line, _)| line)
            .filter(|line| line.starts_with("transcription"))
            .collect();
        assert_eq!(
            speech,
            ["transcription lemonfox first unknown", "transcription lemonfox ambiguous succeeded"],
            "{fault:?}"
        );
    }
    app.finish().await;
}

/// The address of a callback is the only proof of where it comes from.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_we_did_not_sign_or_that_is_over_brings_nothing_in() {
    let secrets = format!("the-new-one,{SANDBOX_SECRET}");
    let app = TestApp::start_with(called_back().set("SCRYON_WEBHOOK_SECRET", secrets)).await;
    app.simulator.fail_next("lemonfox.transcribe", 1, Fault::Callback(CallbackFault::Never));
    let id = app.client.upload(unique_wav()).await;
    let job: Uuid = eventually("the job to be submitted", || async {
        let sql = "select j.id from provider_jobs j join call_stages s on s.call_id = j.call_id and s.stage = j.stage
             where j.call_id = $1 and j.state = 'submitted' and s.state = 'WAITING'";
        app.database.sql(sql, &[&id]).await.first().map(|r| r.get(0))
    })
    .await;
    let now = chrono::Utc::now().timestamp();
    let address = CallbackAddress { call: CallId(id), run_no: 1, job: JobId(job), expires: now + 60 };
    let over = CallbackAddress { expires: now - 1, ..address };
    let other = CallbackAddress { job: JobId(Uuid::now_v7()), ..address };
    let body = r#"{"text":"planted words of a stranger","duration":0.05,"segments":[]}"#;
    let post =
        async |path: &str| app.client.send(app.client.request(Method::POST, path).body(body)).await.status;
    assert_eq!(post(&address.signed("lemonfox", "a guess")).await, 401);
    assert_eq!(post(&over.signed("lemonfox", SANDBOX_SECRET)).await, 401);
    assert_eq!(post(&format!("/api/webhooks/lemonfox/{id}?sig=00")).await, 401);
    assert_eq!(app.database.number("select count(*) from callback_inbox").await, 0);
    assert_eq!(post(&other.signed("lemonfox", SANDBOX_SECRET)).await, 204, "nobody's job, kindly answered");
    // Signed before the secret was changed: the old one still verifies.
    assert_eq!(post(&address.signed("lemonfox", SANDBOX_SECRET)).await, 204);
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    let text = transcript(&app, id).await["cleanText"].as_str().unwrap().to_owned();
    assert!(text.contains("planted words"), "{text}");
    // The words leave the inbox with their call.
    app.database.sql("delete from call_records where id = $1", &[&id]).await;
    assert_eq!(app.database.number("select count(*) from callback_inbox where body is not null").await, 0);
    app.stop_and_clean().await;
}

/// An engine of jobs for transcription: called back for, and looked at where no callback comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_is_submitted_called_back_for_or_looked_at() {
    for public in [true, false] {
        let mut options = TestOptions::hosted()
            .set("SCRYON_TRANSCRIPTION_ENGINES", "assemblyai")
            .set("PYANNOTE_ENABLED", "false");
        if !public {
            options = options.set("SCRYON_PUBLIC_BASE_URL", "");
        }
        let app = TestApp::start_with(options).await;
        let audio = unique_wav_of(24);
        let id = app.client.upload(audio.clone()).await;
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
        let transcript = transcript(&app, id).await;
        assert_eq!(transcript["pipeline"]["transcriptionProvider"], "assemblyai");
        assert_eq!(transcript["speakers"].as_array().unwrap().len(), 2);
        assert_eq!(app.bought("assemblyai.submit", &audio), 1);
        let called = app.simulator.deliveries().iter().filter(|d| d.status == Some(204)).count();
        assert_eq!(called, usize::from(public));
        app.finish().await;
    }
}
