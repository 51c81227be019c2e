//! The endpoints.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use scryon_testkit::{Fault, HostedOptions, JobFault, Parts, TestApp, eventually, quiet_wav};
use serde_json::{Value, json};

use super::{PATH, consented, delete, enrol, sample, status, voices};

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_made_shown_made_anew_and_deleted() {
    let app = TestApp::start_with(voices().parts(Parts::API)).await;
    let none = status(&app.client).await;
    assert_eq!(
        (&none["status"], &none["hasProfile"], &none["enabled"]),
        (&json!("NONE"), &json!(false), &json!(true))
    );
    let made = enrol(&app.client, consented(sample(20))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.headers["cache-control"], "private, no-store");
    let shown = status(&app.client).await;
    assert_eq!(made.body, shown);
    assert_eq!(
        (
            &shown["status"],
            &shown["provider"],
            &shown["model"],
            &shown["sampleCount"],
            &shown["sampleSeconds"]
        ),
        (&json!("ACTIVE"), &json!("pyannote"), &json!("precision-2"), &json!(1), &json!(20.0))
    );
    assert_eq!((&shown["consentVersion"], &shown["consentCurrent"]), (&json!("v1"), &json!(true)));
    // Of several samples one is sent, and no more than 30 s of it.
    let form = consented(sample(20)).part("file", Part::bytes(sample(44)).file_name("b.wav"));
    let again = enrol(&app.client, form).await;
    assert_eq!(
        (again.status, &again.body["sampleCount"], &again.body["sampleSeconds"]),
        (201, &json!(2), &json!(30.0))
    );
    assert_ne!(again.body["id"], made.body["id"]);
    assert_eq!(bought(&app), 2);
    assert_eq!(ledger(&app).await, ["succeeded", "succeeded"]);
    let rows = "select count(*) from user_voice_profiles";
    assert_eq!(app.database.number(rows).await, 1);
    for expected in ["scryon_voice_profile_created_total 2", "scryon_voice_profile_deleted_total 0"] {
        assert!(app.metrics().contains(expected), "{expected}");
    }
    for _ in 0..2 {
        assert_eq!(delete(&app.client).await.status, 204);
    }
    assert_eq!(status(&app.client).await["status"], "NONE");
    assert_eq!(app.database.number(rows).await, 0);
    assert!(app.metrics().contains("scryon_voice_profile_deleted_total 1"));
    app.finish().await;
}

/// What became of every profile's purchase, in order.
async fn ledger(app: &TestApp) -> Vec<String> {
    let sql = "select state from provider_jobs where stage = 'voiceprint' and call_id is null and not live order by created_at";
    app.database.sql(sql, &[]).await.iter().map(|row| row.get(0)).collect()
}

fn bought(app: &TestApp) -> usize {
    app.simulator.purchases().iter().filter(|p| p.route == "pyannote.voiceprint").map(|p| p.count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_profile_is_refused_by_name_and_keeps_and_buys_nothing() {
    let app = TestApp::start_with(voices().set("SCRYON_VOICE_CONSENT_VERSION", "v2").parts(Parts::API)).await;
    let with = |sample: Vec<u8>| Form::new().part("file", Part::bytes(sample).file_name("voice.wav"));
    let cut = sample(20)[..30].to_vec();
    let cases: Vec<(&str, Form, u16, &str)> = vec![
        ("no consent", with(sample(20)), 422, "voice_consent_required"),
        ("refused", with(sample(20)).text("consentAccepted", "false"), 422, "voice_consent_required"),
        (
            "older",
            with(sample(20)).text("consentAccepted", "true").text("consentVersion", "v1"),
            403,
            "voice_consent_outdated",
        ),
        ("short", consented(sample(14)), 422, "voice_sample_too_short"),
        ("long", consented(sample(46)), 422, "voice_sample_too_long"),
        ("silent", consented(quiet_wav(20)), 422, "voice_sample_no_speech"),
        ("cut", consented(cut), 422, "voice_sample_unreadable"),
        ("text", consented(b"<html>no recording</html>".to_vec()), 415, "unsupported_media_type"),
        ("large", consented(sample(700)), 413, "payload_too_large"),
        ("no file", Form::new().text("consentAccepted", "true"), 400, "validation_failed"),
        (
            "many",
            (0..4).fold(Form::new(), |f, _| f.part("file", Part::bytes(sample(15)).file_name("v.wav"))),
            400,
            "validation_failed",
        ),
    ];
    for (name, form, expected, code) in cases {
        let answer = enrol(&app.client, form).await;
        assert_eq!((answer.status, answer.code()), (expected, code), "{name}: {}", answer.text);
    }
    let plain = app.client.request(Method::POST, PATH).json(&json!({"consentAccepted": true}));
    assert_eq!(app.client.send(plain).await.status, 415);
    assert_eq!(app.database.number("select count(*) from user_voice_profiles").await, 0);
    assert_eq!(bought(&app), 0);
    let named = with(sample(15)).text("consentVersion", "v2");
    let made = enrol(&app.client, named).await;
    assert_eq!((made.status, &made.body["consentVersion"]), (201, &json!("v2")), "{}", made.text);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_makes_one_profile() {
    let app = TestApp::start_with(voices().parts(Parts::API)).await;
    let voice = sample(20);
    let send = |voice: Vec<u8>| {
        let request = app.client.request(Method::POST, PATH).header("Idempotency-Key", "voice-1");
        app.client.send(request.multipart(consented(voice)))
    };
    let first = send(voice.clone()).await;
    let second = send(voice).await;
    assert_eq!((first.status, second.status, &first.body), (201, 201, &second.body), "{}", first.text);
    assert_eq!(send(sample(20)).await.code(), "idempotency_mismatch");
    assert_eq!(bought(&app), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_takes_its_time_holds_no_request() {
    let app =
        TestApp::start_with(voices().set("SCRYON_VOICE_PROFILE_WAIT_SECONDS", "0").parts(Parts::API)).await;
    let answer = enrol(&app.client, consented(sample(20))).await;
    assert_eq!(
        (answer.status, &answer.body["status"], &answer.body["hasProfile"]),
        (202, &json!("PENDING"), &json!(false))
    );
    let made = eventually("the profile", || async {
        let status = status(&app.client).await;
        (status["status"] == "ACTIVE").then_some(status)
    })
    .await;
    assert_eq!(made["id"], answer.body["id"]);
    // One that is deleted while it is made stays deleted.
    app.simulator.set_hosted(HostedOptions { pyannote_step_ms: 400, ..app.simulator.hosted() });
    let answer = enrol(&app.client, consented(sample(20))).await;
    assert_eq!(
        (answer.status, &answer.body["hasProfile"]),
        (202, &json!(true)),
        "the former one stays in use"
    );
    assert_eq!(delete(&app.client).await.status, 204);
    eventually("the job's end", || async { (bought(&app) == 2).then_some(()) }).await;
    assert_eq!(status(&app.client).await["status"], "NONE");
    app.finish().await;
}

/// The program that began it is gone; its row knows the job.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_whose_program_died_is_gone_on_with() {
    let app = TestApp::start_with(voices().parts(Parts::API)).await;
    status(&app.client).await;
    let submit = app
        .client
        .http
        .post(format!("{}/v1/voiceprint", app.settings["PYANNOTE_BASE_URL"]))
        .bearer_auth("sandbox-key")
        .json(&json!({"url": "https://example.org/voice.wav", "model": "precision-2"}));
    let job: Value = app.client.send(submit).await.body;
    let sql = "insert into user_voice_profiles (id, tenant_id, user_id, state, provider, model, consent_version, sample_count,
             sample_seconds, external_id, updated_at)
         select gen_random_uuid(), tenant_id, id, 'PENDING', 'pyannote', 'precision-2', 'v1', 1, 20, $1, now() - interval '1 minute'
         from users";
    app.database.sql(sql, &[&job["jobId"].as_str().unwrap()]).await;
    eventually("the profile", || async { (status(&app.client).await["status"] == "ACTIVE").then_some(()) })
        .await;
    // Of one that was never submitted nothing will come.
    let sql = "update user_voice_profiles set state = 'PENDING', embedding = null, key_id = null,
             updated_at = now() - interval '1 hour'";
    app.database.sql(sql, &[]).await;
    let shown = status(&app.client).await;
    assert_eq!(
        (&shown["status"], &shown["errorCode"]),
        (&json!("FAILED"), &json!("voice_provider_unavailable"))
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_leaves_the_former_profile_in_use() {
    let app = TestApp::start_with(voices().parts(Parts::API)).await;
    let made = enrol(&app.client, consented(sample(20))).await;
    app.simulator.fail_next("pyannote.voiceprint", 1, Fault::Job(JobFault::Failed));
    let failed = enrol(&app.client, consented(sample(20))).await;
    assert_eq!((failed.status, failed.code()), (422, "voice_sample_rejected"), "{}", failed.text);
    let shown = status(&app.client).await;
    assert_eq!((&shown["status"], &shown["hasProfile"]), (&json!("FAILED"), &json!(true)));
    assert_eq!((&shown["errorCode"], &shown["id"]), (&json!("voice_sample_rejected"), &made.body["id"]));
    for (route, fault) in [
        ("pyannote.voiceprint", Fault::Status(503, None)),
        ("pyannote.voiceprint", Fault::Quota),
        ("pyannote.media", Fault::Status(500, None)),
    ] {
        app.simulator.fail_next(route, 1, fault);
        let away = enrol(&app.client, consented(sample(20))).await;
        assert_eq!(
            (away.status, away.code()),
            (503, "voice_provider_unavailable"),
            "{fault:?} {}",
            away.text
        );
        assert!(away.headers.contains_key("retry-after"));
    }
    let again = enrol(&app.client, consented(sample(20))).await;
    assert_eq!((again.status, &again.body["status"]), (201, &json!("ACTIVE")), "{}", again.text);
    assert_ne!(again.body["id"], made.body["id"]);
    let failed = ["failed"; 4];
    assert_eq!(ledger(&app).await, [&["succeeded"][..], &failed[..], &["succeeded"][..]].concat());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_feature_is_off_its_endpoints_are_not_there() {
    let app =
        TestApp::start_with(voices().set("SCRYON_VOICE_EMBEDDING_ENABLED", "false").parts(Parts::API)).await;
    for answer in [
        enrol(&app.client, consented(sample(20))).await,
        app.client.get(&format!("{PATH}/status")).await,
        delete(&app.client).await,
    ] {
        assert_eq!((answer.status, answer.code()), (404, "feature_not_available"), "{}", answer.text);
    }
    assert_eq!(bought(&app), 0);
    app.finish().await;
}
