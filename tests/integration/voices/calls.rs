//! Calls that are compared with their owner's voice.

use scryon_store::Vault;
use scryon_testkit::{Fault, HostedOptions, JobFault, TestApp, eventually, unique_wav_of};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{FORMER_KEY, KEY, consented, delete, enrol, sample, voices};

async fn with_profile(app: &TestApp) {
    let made = enrol(&app.client, consented(sample(20))).await;
    assert_eq!(made.status, 201, "{}", made.text);
}

async fn transcript_of(app: &TestApp, audio: Vec<u8>) -> (Uuid, Value) {
    let id = app.client.upload_with(audio, &json!({"direction": "INCOMING"})).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    (id, app.client.get(&format!("/api/calls/{id}/transcript")).await.body)
}

/// `role labelSource confidence score` of each speaker.
fn speakers(transcript: &Value) -> Vec<String> {
    let of = |s: &Value| {
        let score = s["voiceMatchScore"].as_f64().map(|score| format!(" {score}")).unwrap_or_default();
        format!(
            "{} {} {}{score}",
            s["role"].as_str().unwrap(),
            s["labelSource"].as_str().unwrap(),
            s["confidence"].as_str().unwrap()
        )
    };
    transcript["speakers"].as_array().unwrap().iter().map(of).collect()
}

fn bought(app: &TestApp, route: &str) -> usize {
    app.simulator.purchases().iter().filter(|p| p.route == route).map(|p| p.count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_named_by_his_voice_and_a_reset_buys_nothing() {
    let app = TestApp::start_with(voices()).await;
    with_profile(&app).await;
    let (id, transcript) = transcript_of(&app, unique_wav_of(24)).await;
    assert_eq!(speakers(&transcript)[0], "USER VOICE_EMBEDDING HIGH 0.88", "{transcript}");
    let resolution = &transcript["speakerResolution"];
    assert_eq!(
        (
            &resolution["voiceEmbeddingEnabled"],
            &resolution["voiceProfileUsed"],
            &resolution["voiceMatchStatus"]
        ),
        (&json!(true), &json!(true), &json!("MATCHED"))
    );
    assert_eq!(transcript["pipeline"]["diarizationProvider"], "pyannote");
    assert_eq!((bought(&app, "pyannote.identify"), bought(&app, "pyannote.diarize")), (1, 0));
    let events = super::super::hosted::events(&app, id, "VOICE_MATCH_STARTED").await;
    assert_eq!(events, [("COMPLETED".to_owned(), Some("pyannote".to_owned()), None)]);
    let metrics = app.metrics();
    for expected in [
        "scryon_voice_match_attempted_total 1",
        "scryon_voice_match_outcome_total{outcome=\"matched\"} 1",
        "scryon_voice_match_outcome_total{outcome=\"ambiguous\"} 0",
    ] {
        assert!(metrics.contains(expected), "{expected}");
    }
    assert!(!metrics.contains("scryon_voice_embedding_provider_duration_seconds_count 0"));
    app.database.sql("update call_records set status = 'QUEUED' where id = $1", &[&id]).await;
    eventually("the new run's end", || async {
        let call = app.client.call(id).await;
        (call["run"] == 2 && call["status"] == "COMPLETED").then_some(())
    })
    .await;
    let again = app.client.get(&format!("/api/calls/{id}/transcript")).await.body;
    assert_eq!(speakers(&again), speakers(&transcript));
    assert_eq!((bought(&app, "pyannote.identify"), bought(&app, "pyannote.diarize")), (1, 0));
    app.finish().await;
}

/// A call from before the profile is compared when it is reset, and bought for that once.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_came_later_serves_a_reset_and_another_voice_is_another_purchase() {
    let app = TestApp::start_with(voices()).await;
    let (id, before) = transcript_of(&app, unique_wav_of(24)).await;
    assert_eq!(before["speakerResolution"]["voiceMatchStatus"], "NO_PROFILE");
    assert_eq!((bought(&app, "pyannote.identify"), bought(&app, "pyannote.diarize")), (0, 1));
    for run in [2, 3] {
        with_profile(&app).await;
        app.database.sql("update call_records set status = 'QUEUED' where id = $1", &[&id]).await;
        eventually("the new run's end", || async {
            let call = app.client.call(id).await;
            (call["run"] == run && call["status"] == "COMPLETED").then_some(())
        })
        .await;
        let after = app.client.get(&format!("/api/calls/{id}/transcript")).await.body;
        assert_eq!(after["speakerResolution"]["voiceMatchStatus"], "MATCHED");
        assert_eq!((bought(&app, "pyannote.identify"), bought(&app, "pyannote.diarize")), (run - 1, 1));
    }
    app.finish().await;
}

/// A comparison at the provider holds nobody either, and a new run takes it over.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_adopts_a_comparison_that_runs() {
    let app = TestApp::start_with(voices().set("SCRYON_PUBLIC_BASE_URL", "")).await;
    with_profile(&app).await;
    app.simulator.set_hosted(HostedOptions { pyannote_step_ms: 1_500, ..app.simulator.hosted() });
    let audio = unique_wav_of(24);
    let id = app.client.upload_with(audio.clone(), &json!({"direction": "INCOMING"})).await;
    eventually("the job to be submitted and its stage to wait", || async {
        let sql = "select count(*) from provider_jobs j join call_stages s on s.call_id = j.call_id and s.stage = j.stage
             where j.stage = 'diarization' and j.state = 'submitted' and s.state = 'WAITING' and s.lease_until is null";
        (app.database.number(sql).await == 1).then_some(())
    })
    .await;
    app.database.sql("update call_records set status = 'QUEUED' where id = $1", &[&id]).await;
    eventually("the new run's end", || async {
        let call = app.client.call(id).await;
        (call["run"] == 2 && call["status"] == "COMPLETED").then_some(())
    })
    .await;
    assert_eq!((app.bought("pyannote.identify", &audio), app.bought("pyannote.diarize", &audio)), (1, 0));
    let transcript = app.client.get(&format!("/api/calls/{id}/transcript")).await.body;
    assert_eq!(speakers(&transcript)[0], "USER VOICE_EMBEDDING HIGH 0.88");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_decide_and_two_that_pass_name_nobody() {
    let app = TestApp::start_with(voices()).await;
    with_profile(&app).await;
    for (scores, first, status) in [
        (vec![85.0, 74.9], "USER VOICE_EMBEDDING HIGH 0.85", "MATCHED"),
        (vec![75.0, 20.0], "USER VOICE_EMBEDDING MEDIUM 0.75", "MATCHED"),
        (vec![74.9, 20.0], "UNKNOWN DIARIZATION LOW", "NO_MATCH"),
        (vec![99.0, 75.0], "UNKNOWN AMBIGUOUS LOW", "AMBIGUOUS"),
    ] {
        app.simulator.set_hosted(HostedOptions { pyannote_scores: scores.clone(), ..app.simulator.hosted() });
        let (_, transcript) = transcript_of(&app, unique_wav_of(24)).await;
        assert_eq!(speakers(&transcript)[0], first, "{scores:?} {transcript}");
        assert_eq!(transcript["speakerResolution"]["voiceMatchStatus"], status, "{scores:?}");
        assert_eq!(transcript["speakers"].as_array().unwrap().len(), 2, "{scores:?}");
    }
    let metrics = app.metrics();
    for (outcome, count) in [("matched", 2), ("no_match", 1), ("ambiguous", 1)] {
        let expected = format!("scryon_voice_match_outcome_total{{outcome=\"{outcome}\"}} {count}");
        assert!(metrics.contains(&expected), "{expected}");
    }
    app.finish().await;
}

/// Voice match is soft: the call keeps its speakers, and pays for one plain job.
#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_fails_leaves_a_plain_diarization() {
    let app = TestApp::start_with(voices()).await;
    with_profile(&app).await;
    for (fault, cause) in
        [(Fault::Status(400, None), "provider_rejected"), (Fault::Job(JobFault::Failed), "provider_failed")]
    {
        app.simulator.clear_faults();
        app.simulator.fail_next("pyannote.identify", 1, fault);
        let audio = unique_wav_of(24);
        let (_, transcript) = transcript_of(&app, audio.clone()).await;
        assert_eq!(app.bought("pyannote.diarize", &audio), 1, "{fault:?}");
        assert_eq!(app.bought("pyannote.identify", &audio), 0, "{fault:?}");
        assert_eq!(transcript["pipeline"]["diarizationProvider"], "pyannote", "{fault:?}");
        assert_eq!(speakers(&transcript).len(), 2, "{fault:?}");
        let resolution = &transcript["speakerResolution"];
        assert_eq!(
            (&resolution["voiceMatchStatus"], &resolution["voiceProfileUsed"]),
            (&json!("UNAVAILABLE"), &json!(false)),
            "{fault:?}"
        );
        let expected = format!("scryon_voice_match_failed_total{{cause=\"{cause}\"}} 1");
        assert!(app.metrics().contains(&expected), "{expected}");
    }
    // No provider at all: what diarization falls back to says the same.
    app.simulator.fail_next("pyannote.media", 100, Fault::Status(403, None));
    let (_, transcript) = transcript_of(&app, unique_wav_of(24)).await;
    assert_ne!(transcript["pipeline"]["diarizationProvider"], "pyannote");
    assert_eq!(transcript["speakerResolution"]["voiceMatchStatus"], "UNAVAILABLE");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_feature_a_profile_or_its_consent_calls_are_diarized_as_ever() {
    let app = TestApp::start_with(voices()).await;
    with_profile(&app).await;
    app.database.sql("update user_voice_profiles set consent_version = 'v0'", &[]).await;
    assert_eq!(super::status(&app.client).await["consentCurrent"], false);
    let (_, transcript) = transcript_of(&app, unique_wav_of(24)).await;
    assert_eq!(transcript["speakerResolution"]["voiceMatchStatus"], "NO_PROFILE");
    app.database.sql("update user_voice_profiles set consent_version = 'v1'", &[]).await;
    assert_eq!(delete(&app.client).await.status, 204);
    let (_, transcript) = transcript_of(&app, unique_wav_of(24)).await;
    assert_eq!(transcript["speakerResolution"]["voiceMatchStatus"], "NO_PROFILE");
    assert_eq!((bought(&app, "pyannote.identify"), bought(&app, "pyannote.diarize")), (0, 2));
    app.finish().await;

    let app = TestApp::start_with(voices().set("SCRYON_VOICE_EMBEDDING_ENABLED", "false")).await;
    let sql = "insert into user_voice_profiles (id, tenant_id, user_id, state, provider, model, consent_version, sample_count,
             sample_seconds, embedding, key_id)
         select gen_random_uuid(), tenant_id, id, 'ACTIVE', 'pyannote', 'precision-2', 'v1', 1, 20, '\\x00', 'k' from users";
    app.client.get("/api/calls").await;
    assert_eq!(app.database.client().await.execute(sql, &[]).await.unwrap(), 1);
    let (_, transcript) = transcript_of(&app, unique_wav_of(24)).await;
    let resolution = &transcript["speakerResolution"];
    assert_eq!(
        (&resolution["voiceEmbeddingEnabled"], &resolution["voiceMatchStatus"]),
        (&json!(false), &json!("DISABLED"))
    );
    assert_eq!((bought(&app, "pyannote.identify"), bought(&app, "pyannote.diarize")), (0, 1));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_under_a_former_key_is_read_and_comes_under_the_present_one() {
    let app = TestApp::start_with(voices()).await;
    with_profile(&app).await;
    let key = |text: &str| {
        Vault::new(
            &scryon_config::value::SettingValue::read(text)
                .map(|k: scryon_config::value::DataKeys| k.0)
                .unwrap(),
        )
    };
    let (present, former) = (key(KEY), key(FORMER_KEY));
    let row = app.database.sql("select id, embedding, key_id from user_voice_profiles", &[]).await.remove(0);
    let (id, key_id): (Uuid, String) = (row.get(0), row.get(2));
    let place = scryon_store::voice_place(id);
    let print =
        present.open(&scryon_store::Sealed { bytes: row.get(1), key_id: key_id.clone() }, &place).unwrap();
    let old = former.seal(&print, &place).unwrap();
    let sql = "update user_voice_profiles set embedding = $1, key_id = $2";
    app.database.sql(sql, &[&old.bytes, &old.key_id]).await;
    let (_, transcript) = transcript_of(&app, unique_wav_of(24)).await;
    assert_eq!(transcript["speakerResolution"]["voiceMatchStatus"], "MATCHED");
    let now = app.database.sql("select key_id from user_voice_profiles", &[]).await;
    assert_eq!(now[0].get::<_, String>(0), key_id);
    // One that nobody can read is passed by.
    app.database.sql("update user_voice_profiles set key_id = 'gone'", &[]).await;
    let (_, transcript) = transcript_of(&app, unique_wav_of(24)).await;
    assert_eq!(transcript["speakerResolution"]["voiceMatchStatus"], "UNAVAILABLE");
    assert!(app.metrics().contains("scryon_voice_match_failed_total{cause=\"profile_unreadable\"} 1"));
    app.finish().await;
}
