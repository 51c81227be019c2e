//! Transcripts that are not waited for: by callback, or by jobs that are looked at.

use reqwest::Method;
use scryon_domain::callback::CallbackAddress;
use scryon_domain::ids::{CallId, JobId};
use scryon_testkit::{
    CallbackFault, Fault, SANDBOX_SECRET, TestApp, TestOptions, eventually, unique_wav, unique_wav_of, wav,
};
use uuid::Uuid;

use super::{events, purchases, transcript, waits_pass};

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
                waits_pass(&app).await;
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
    let address =
        CallbackAddress { call: CallId(id), run_no: 1, job: JobId(job), expires: now + 60, epoch: 0 };
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

/// 25 MB are what OpenAI takes, and a quarter of an hour of prepared audio is more.
#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_too_large_for_an_engine_is_sent_in_fewer_bytes() {
    let options = TestOptions::hosted()
        .set("PYANNOTE_ENABLED", "false")
        .set("SCRYON_TRANSCRIPTION_ENGINES", "openai")
        .set("SCRYON_ANALYSIS_ENABLED", "false");
    let app = TestApp::start_with(options).await;
    let minutes = 15;
    let audio = wav(1, 16_000, (0..16_000 * 60 * minutes).map(|n: i32| ((n % 160) * 100 - 8_000) as i16));
    assert!(audio.len() > 25 << 20, "{} bytes", audio.len());
    let id = app.client.upload(audio.clone()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    assert_eq!(app.bought("openai.transcribe", &audio), 0, "the original was not sent");
    let bought: Vec<usize> = app.simulator.purchases().iter().map(|p| p.count).collect();
    assert_eq!(bought, [1]);
    // It is paid for by its length, which stays.
    let sql = "select units::float8 from provider_jobs where call_id = $1 and stage = 'transcription'";
    let seconds: f64 = app.database.sql(sql, &[&id]).await[0].get(0);
    assert!((seconds - f64::from(60 * minutes)).abs() < 1.0, "{seconds}");
    app.finish().await;
}

/// Deepgram's callback is a transcript too, of a job that holds no worker; a callback that never comes is made up for.
#[tokio::test(flavor = "multi_thread")]
async fn deepgram_calls_back_and_is_asked_once_more_where_it_does_not() {
    let app = TestApp::start_with(called_back().set("SCRYON_TRANSCRIPTION_ENGINES", "deepgram")).await;
    for fault in [CallbackFault::Doubled, CallbackFault::BeforeAnswer, CallbackFault::Garbage] {
        app.simulator.fail_next("deepgram.listen", 1, Fault::Callback(fault));
        let audio = unique_wav_of(24);
        let id = app.client.upload(audio.clone()).await;
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED", "{fault:?}");
        let transcript = transcript(&app, id).await;
        assert_eq!(transcript["pipeline"]["transcriptionProvider"], "deepgram");
        assert_eq!(transcript["speakers"].as_array().unwrap().len(), 2, "{fault:?}");
        assert_eq!(events(&app, id, "DEEPGRAM_SUBMITTED").await.len(), 1, "{fault:?}");
        let useless = fault == CallbackFault::Garbage;
        assert_eq!(app.bought("deepgram.listen", &audio), if useless { 2 } else { 1 }, "{fault:?}");
        let speech: Vec<String> = purchases(&app, id)
            .await
            .into_iter()
            .map(|(p, _)| p)
            .filter(|p| p.contains("deepgram"))
            .collect();
        let once = ["transcription deepgram first succeeded"];
        let twice = ["transcription deepgram first unknown", "transcription deepgram ambiguous succeeded"];
        assert_eq!(speech, if useless { &twice[..] } else { &once[..] }, "{fault:?}");
    }
    // One is doubled, and one comes before its job is written down: which of them wakes the call is a matter of moments.
    eventually("callbacks to be counted", || async {
        let counted = app.metrics();
        let ours = counted.lines().filter(|l| {
            l.starts_with("scryon_callbacks_total{") && l.contains("deepgram") && !l.contains("signature")
        });
        let sum: f64 = ours.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        (sum == 4.0).then_some(())
    })
    .await;
    let address = CallbackAddress {
        call: CallId(Uuid::new_v4()),
        run_no: 1,
        job: JobId(Uuid::new_v4()),
        expires: i64::MAX,
        epoch: 0,
    };
    for (path, status) in [
        (address.signed("deepgram", "a guess"), 401),
        // An address of another provider is not one of this.
        (address.signed("lemonfox", SANDBOX_SECRET).replace("/lemonfox/", "/deepgram/"), 401),
        (address.signed("deepgram", SANDBOX_SECRET), 204),
    ] {
        let answer = app.client.send(app.client.request(Method::POST, &path).body("{}")).await;
        assert_eq!(answer.status, status, "{path}");
    }
    app.finish().await;
}
