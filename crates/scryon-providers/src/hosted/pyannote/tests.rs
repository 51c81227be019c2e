use std::collections::BTreeMap;

use super::*;
use crate::hosted::testing::{Recording, Server};

fn engine(url: &str, more: &[(&str, &str)]) -> PyannoteEngine {
    let base = url.trim_end_matches("/v1").to_owned();
    let mut env: BTreeMap<String, String> = [("PYANNOTE_API_KEY", "key-1"), ("PYANNOTE_BASE_URL", &base)]
        .map(|(k, v)| (k.into(), v.into()))
        .into();
    env.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    let settings = EngineSettings::read(&env).unwrap();
    PyannoteEngine::new(&settings, HttpClient::new(None).unwrap()).unwrap()
}

fn recording(content: &str, seconds: f64) -> Recording {
    Recording { seconds: Some(seconds), ..Recording::new(content) }
}

fn request<'a>(audio: &'a Recording, job: JobId) -> DiarizationRequest<'a> {
    DiarizationRequest { audio, direction: Some(Direction::Incoming), job: Some(job), voice: None }
}

#[tokio::test]
async fn a_job_is_submitted_with_the_recording_in_the_providers_storage() {
    // The first answer must name an address on the same server, which is known once it runs.
    let server = Server::answering_with(|url| {
        let put = format!("{}/put", url.trim_end_matches("/v1"));
        vec![
            (201, format!(r#"{{"url":"{put}"}}"#)),
            (200, String::new()),
            (200, r#"{"jobId":"job-7","status":"created"}"#.to_owned()),
        ]
    })
    .await;
    let engine = engine(
        &server.url,
        &[("SCRYON_PUBLIC_BASE_URL", "https://calls.example.org/"), ("PYANNOTE_WEBHOOK_SECRET", "s")],
    );
    let job = JobId(uuid::Uuid::from_u128(5));
    let audio = recording("some sound", 61.0);
    let answer = engine.diarize(request(&audio, job)).await.unwrap();
    let DiarizationAnswer::Submitted(submitted) = answer else { panic!("{answer:?}") };
    assert_eq!(submitted.external_id, "job-7");
    assert_eq!(submitted.look_in, Duration::from_secs(30), "looks are rare where the provider calls back");
    assert_eq!(submitted.deadline, Duration::from_secs(300));

    let received = server.received();
    let lines: Vec<&str> = received.iter().map(|r| r.line.as_str()).collect();
    assert_eq!(lines, ["POST /v1/media/input", "PUT /put", "POST /v1/diarize"]);
    let media = format!("media://scryon/{}", job.0);
    assert_eq!(received[0].json(), json!({ "url": media }));
    assert_eq!(received[1].body, b"some sound");
    assert_eq!(received[1].header("authorization"), None, "the address is the right");
    assert_eq!(received[2].header("authorization"), Some("Bearer key-1"));
    assert_eq!(
        received[2].json(),
        json!({
            "url": media, "model": "precision-2", "exclusive": true, "numSpeakers": 2,
            "webhook": format!("https://calls.example.org/api/webhooks/pyannote/{}", job.0),
            "webhookStatusOnly": true,
        })
    );
}

#[test]
fn a_job_says_only_what_is_known() {
    let body = job("media://scryon/1", "precision-2", None, None);
    assert_eq!(body, json!({"url": "media://scryon/1", "model": "precision-2", "exclusive": true}));
}

#[tokio::test]
async fn a_recording_that_is_too_long_is_not_sent() {
    let server = Server::answering(Vec::new()).await;
    let engine = engine(&server.url, &[("SCRYON_DIARIZATION_MAX_AUDIO_MINUTES", "1")]);
    let audio = recording("x", 60.5);
    let error = engine.diarize(request(&audio, JobId(uuid::Uuid::nil()))).await.unwrap_err();
    assert!(matches!(error, ProviderError::Declined { reason: "audio_too_long", .. }), "{error:?}");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn trouble_before_the_job_is_submitted_is_never_ambiguous() {
    // The connection ends without an answer to the upload's address, and a full storage refuses.
    for (status, expected) in
        [(500, "provider_failed"), (429, "provider_throttled"), (402, "provider_unavailable")]
    {
        let server = Server::answering(vec![(status, "{}".to_owned())]).await;
        let audio = recording("x", 1.0);
        let job = JobId(uuid::Uuid::nil());
        let error = engine(&server.url, &[]).diarize(request(&audio, job)).await.unwrap_err();
        assert_eq!(error.code(), expected, "{status}");
    }
}

fn turn(speaker: &str, start: f64, end: f64) -> Turn {
    Turn { speaker: speaker.to_owned(), start, end }
}

#[test]
fn progress_goes_by_the_status_and_the_output() {
    let info = hosted(NAME, "precision-2".to_owned(), String::new(), None);
    let of = |body: Value| progress(&info, &body);
    for status in ["created", "pending", "running", "something new"] {
        assert_eq!(of(json!({ "status": status })), Progress::Running, "{status}");
    }
    let failed = |why| Progress::Failed(why);
    assert_eq!(of(json!({"status": "failed"})), failed("the job failed"));
    assert_eq!(of(json!({"status": "canceled", "output": {"error": "x"}})), failed("the job failed"));
    assert_eq!(
        of(json!({"status": "failed", "output": {"error": "Could not load audio"}})),
        failed("it could not load the recording")
    );
    assert_eq!(of(json!({"status": "succeeded"})), failed("its result is gone"), "kept for a day only");
    let Progress::Done(empty) = of(json!({"status": "succeeded", "output": {"diarization": []}})) else {
        panic!("an empty list is an answer")
    };
    assert_eq!((empty.turns.len(), empty.exclusive_turns), (0, None));
    let Progress::Done(done) = of(json!({"status": "succeeded", "output": {
        "diarization": [
            {"speaker": "SPEAKER_01", "start": 3.9, "end": 8, "confidence": {"SPEAKER_01": 86}},
            {"speaker": "SPEAKER_00", "start": "0.3", "end": 4.2},
            {"speaker": null, "start": 1, "end": 2},
        ],
        "exclusiveDiarization": [{"speaker": "SPEAKER_00", "start": 0.3, "end": 4.0}],
    }})) else {
        panic!("done")
    };
    assert_eq!(done.turns, [turn("SPEAKER_00", 0.3, 4.2), turn("SPEAKER_01", 3.9, 8.0)]);
    assert_eq!(done.exclusive_turns, Some(vec![turn("SPEAKER_00", 0.3, 4.0)]));
}

#[tokio::test]
async fn a_finished_job_is_paid_by_its_length_and_at_least_twenty_seconds() {
    let body = r#"{"jobId":"job-7","status":"succeeded","output":{"diarization":[]}}"#;
    for (seconds, units) in [(5.0, 20.0), (90.0, 90.0)] {
        let server = Server::answering(vec![(200, body.to_owned())]).await;
        let engine = engine(&server.url, &[("SCRYON_PRICES", "pyannote/precision-2=0.6")]);
        let audio = recording("x", seconds);
        let looked = CollectRequest { external_id: "job-7", callback: None, audio: &audio };
        let Collected::Done(answer) = engine.collect(looked).await.unwrap() else { panic!("not done") };
        assert_eq!((answer.units, answer.unit), (Some(units), Some("audio_seconds")));
        assert!((answer.billed_cost.unwrap() - 0.6 * units / 60.0).abs() < 1e-9);
        assert_eq!(server.received()[0].line, "GET /v1/jobs/job-7");
    }
}
