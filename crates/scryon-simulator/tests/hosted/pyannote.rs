use hmac::{Hmac, KeyInit, Mac};
use reqwest::Response;
use scryon_simulator::{CallbackFault, Fault, HostedOptions, JobFault, ResetForm, SignatureForm};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::*;

const AUDIO: &[u8] = b"a recording of two";

async fn post(running: &Running, path: &str, body: &Value) -> Response {
    running.post(&format!("/pyannote{path}")).bearer_auth("k").json(body).send().await.unwrap()
}

/// Puts a recording where the provider says; gives its address there.
async fn handed_over(running: &Running) -> &'static str {
    const MEDIA: &str = "media://calls/one.wav";
    let place = post(running, "/v1/media/input", &json!({"url": MEDIA})).await;
    assert_eq!(place.status(), 201);
    let url = place.json::<Value>().await.unwrap()["url"].as_str().unwrap().to_owned();
    assert_eq!(running.http.put(url).body(AUDIO).send().await.unwrap().status(), 200);
    MEDIA
}

async fn submitted(running: &Running, more: &Value) -> Value {
    let mut body = json!({"url": handed_over(running).await, "exclusive": true});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = post(running, "/v1/diarize", &body).await;
    assert_eq!(answer.status(), 200, "a submit is 200, an address for an upload 201");
    answer.json().await.unwrap()
}

async fn job(running: &Running, id: &Value) -> Value {
    let path = format!("/pyannote/v1/jobs/{}", id.as_str().unwrap());
    json(running.get(&path).bearer_auth("k").send().await.unwrap()).await
}

async fn ended(running: &Running, id: &Value) -> Value {
    eventually("the job's end", || async {
        let job = job(running, id).await;
        ["succeeded", "failed", "canceled"].contains(&job["status"].as_str().unwrap()).then_some(job)
    })
    .await
}

fn speakers(turns: &Value) -> Vec<&str> {
    let mut speakers: Vec<_> =
        turns.as_array().unwrap().iter().map(|t| t["speaker"].as_str().unwrap()).collect();
    speakers.sort_unstable();
    speakers.dedup();
    speakers
}

#[tokio::test]
async fn a_recording_is_handed_over_diarized_and_paid_for_once() {
    let running = start().await;
    let test = json(running.get("/pyannote/v1/test").bearer_auth("k").send().await.unwrap()).await;
    assert_eq!(test["status"], "OK");
    let answer = submitted(&running, &json!({})).await;
    assert_eq!(answer["status"], "created");
    let job = ended(&running, &answer["jobId"]).await;
    let (all, exclusive) = (&job["output"]["diarization"], &job["output"]["exclusiveDiarization"]);
    assert_eq!((speakers(all), all.as_array().unwrap().len()), (vec!["SPEAKER_00", "SPEAKER_01"], 4));
    let ends = |turns: &Value| turns[0]["end"].as_f64().unwrap() - turns[1]["start"].as_f64().unwrap();
    assert!(ends(all) > 0.0 && ends(exclusive) <= 0.0, "turns overlap, exclusive ones do not");
    let purchases = running.simulator.purchases();
    assert_eq!(purchases.len(), 1, "looks, uploads and tests are free");
    assert_eq!(
        (purchases[0].route.as_str(), purchases[0].input.clone()),
        ("pyannote.diarize", sha256(AUDIO))
    );
    let list = json(running.get("/pyannote/v2/jobs?limit=1").bearer_auth("k").send().await.unwrap()).await;
    assert_eq!(list["items"][0]["id"], answer["jobId"]);
    assert!(list["items"][0].get("output").is_none());
}

#[tokio::test]
async fn a_job_walks_through_its_statuses_and_its_output_vanishes() {
    let running = start_with(|o| (o.pyannote_step_ms, o.pyannote_output_ms) = (40, 200)).await;
    let answer = submitted(&running, &json!({})).await;
    let seen = tokio::sync::Mutex::new(Vec::new());
    eventually("an end without an output", || async {
        let job = job(&running, &answer["jobId"]).await;
        let status = (job["status"].as_str().unwrap().to_owned(), job["output"].is_object());
        let mut seen = seen.lock().await;
        if seen.last() != Some(&status) {
            seen.push(status);
        }
        seen.iter().any(|s| s.1).then_some(())?;
        (!job["output"].is_object()).then_some(())
    })
    .await;
    let seen = seen.into_inner();
    let last = seen.len() - 2;
    assert_eq!(seen[last..], [("succeeded".to_owned(), true), ("succeeded".to_owned(), false)]);
    assert!(
        seen[..last].iter().all(|(status, output)| {
            ["created", "pending", "running"].contains(&status.as_str()) && !output
        })
    );
}

#[tokio::test]
async fn hints_and_faults_shape_the_output() {
    let running = start_with(|o| (o.segments, o.speakers) = (6, 3)).await;
    let table: [(Value, Option<JobFault>, usize, bool); 5] = [
        (json!({}), None, 3, false),
        (json!({"numSpeakers": 2}), None, 2, false),
        (json!({"numSpeakers": 5}), None, 3, true),
        (json!({"maxSpeakers": 2}), Some(JobFault::MoreSpeakers), 3, false),
        (json!({}), Some(JobFault::Empty), 0, false),
    ];
    for (more, fault, count, warned) in table {
        if let Some(fault) = fault {
            running.simulator.fail_next("pyannote.diarize", 1, Fault::Job(fault));
        }
        let answer = submitted(&running, &more).await;
        let job = ended(&running, &answer["jobId"]).await;
        assert_eq!(speakers(&job["output"]["diarization"]).len(), count, "{more} {fault:?}");
        assert_eq!(job["output"]["warning"].is_string(), warned, "{more}");
    }
    for (fault, status, told) in [
        (JobFault::Failed, "failed", true),
        (JobFault::FailedSilently, "failed", false),
        (JobFault::Canceled, "canceled", false),
    ] {
        let before = running.count("pyannote.diarize");
        running.simulator.fail_next("pyannote.diarize", 1, Fault::Job(fault));
        let answer = submitted(&running, &json!({})).await;
        let job = ended(&running, &answer["jobId"]).await;
        assert_eq!(
            (job["status"].as_str(), job["output"]["error"].is_string()),
            (Some(status), told),
            "{fault:?}"
        );
        assert_eq!(running.count("pyannote.diarize"), before, "only what succeeds is billed");
    }
}

fn signature(received: &Received, secret: &str) -> Vec<u8> {
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(secret.as_bytes()).unwrap();
    let timestamp = received.header("x-request-timestamp").unwrap();
    mac.update(format!("v0:{timestamp}:{}", received.body).as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[tokio::test]
async fn webhooks_are_signed_in_either_encoding_and_repeated_until_they_are_taken() {
    let mut receiver = Receiver::answering(&[500, 503]).await;
    let running = start_with(|o| o.pyannote_retries_ms = vec![0, 10, 10]).await;
    let webhook = json!({"webhook": format!("{}/hook/7", receiver.base)});
    let answer = submitted(&running, &webhook).await;
    for attempt in 0..3 {
        let received = receiver.next().await;
        assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/hook/7"));
        assert_eq!(
            received.header("x-retry-num").map(str::to_owned),
            (attempt > 0).then(|| attempt.to_string())
        );
        let expected = hex::encode(signature(&received, "pya-demo-secret"));
        assert_eq!(received.header("x-signature"), Some(expected.as_str()));
        assert_eq!(received.json()["jobId"], answer["jobId"]);
        assert!(received.json()["output"]["diarization"].is_array());
    }
    running.simulator.set_hosted(HostedOptions {
        pyannote_signature: SignatureForm::Base64,
        ..running.simulator.hosted()
    });
    let mut quiet = webhook.clone();
    quiet["webhookStatusOnly"] = json!(true);
    submitted(&running, &quiet).await;
    let received = receiver.next().await;
    use base64::Engine as _;
    let sent =
        base64::engine::general_purpose::STANDARD.decode(received.header("x-signature").unwrap()).unwrap();
    assert_eq!(sent, signature(&received, "pya-demo-secret"));
    assert_eq!(received.json().as_object().unwrap().len(), 2, "a status alone");
    running.simulator.fail_next("pyannote.diarize", 1, Fault::Callback(CallbackFault::WrongSecret));
    submitted(&running, &webhook).await;
    let forged = receiver.next().await;
    let sent =
        base64::engine::general_purpose::STANDARD.decode(forged.header("x-signature").unwrap()).unwrap();
    assert_ne!(sent, signature(&forged, "pya-demo-secret"));
}

#[tokio::test]
async fn a_webhook_may_come_before_its_submit_is_answered() {
    let mut receiver = Receiver::start().await;
    let running = start_with(|o| o.pyannote_step_ms = 60_000).await;
    running.simulator.fail_next("pyannote.diarize", 1, Fault::Callback(CallbackFault::BeforeAnswer));
    let answer = submitted(&running, &json!({"webhook": format!("{}/h", receiver.base)})).await;
    let received = receiver.ready().expect("it was there first");
    assert_eq!(received.json()["jobId"], answer["jobId"]);
}

#[tokio::test]
async fn addresses_run_out_and_keys_count() {
    let running = start_with(|o| o.pyannote_upload_ms = 0).await;
    let place = post(&running, "/v1/media/input", &json!({"url": "media://late"})).await;
    let url = place.json::<Value>().await.unwrap()["url"].as_str().unwrap().to_owned();
    assert_eq!(running.http.put(&url).body(AUDIO).send().await.unwrap().status(), 403);
    let keyed = running.http.put(&url).bearer_auth("k").body(AUDIO).send().await.unwrap();
    assert_eq!(keyed.status(), 400, "the address is the right, a key beside it is refused");
    for (key, status) in [("bad-1", 401), ("unpaid-1", 402)] {
        let body = json!({"url": "https://example.org/a.wav"});
        let answer = running.post("/pyannote/v1/diarize").bearer_auth(key).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), status);
    }
    let taken = json(post(&running, "/v1/diarize", &json!({"url": "media://nothing"})).await).await;
    let job = ended(&running, &taken["jobId"]).await;
    assert_eq!(job["output"]["error"], "Could not load audio", "found out when the work begins");
    assert_eq!(running.count("pyannote.diarize"), 0);
    let http = json!({"url": "https://example.org/a.wav", "webhook": "http://example.org/h"});
    running.simulator.set_hosted(HostedOptions { plain_http_webhooks: false, ..running.simulator.hosted() });
    let (status, body) = told(post(&running, "/v1/diarize", &http).await).await;
    assert_eq!((status, body["errors"][0]["field"].as_str()), (400, Some("webhook")));
}

#[tokio::test]
async fn limits_say_when_they_end_in_both_forms() {
    for form in [ResetForm::Seconds, ResetForm::Epoch] {
        let running = start_with(|o| (o.pyannote_reads_per_minute, o.pyannote_reset) = (2, form)).await;
        let read = || async { running.get("/pyannote/v2/jobs").bearer_auth("k").send().await.unwrap() };
        assert_eq!(header(&read().await, "x-ratelimit-remaining"), Some("1"));
        read().await;
        let refused = read().await;
        assert_eq!(refused.status(), 429);
        let wait: u64 = header(&refused, "retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait));
        let reset: u64 = header(&refused, "x-ratelimit-reset").unwrap().parse().unwrap();
        assert_eq!(reset > 1_000_000_000, form == ResetForm::Epoch);
        let body: Value = refused.json().await.unwrap();
        assert!(body["requestId"].is_string() && body["message"].is_string());
        // Another key has its own minute.
        let other = running.get("/pyannote/v2/jobs").bearer_auth("k2").send().await.unwrap();
        assert_eq!(other.status(), 200);
    }
}

#[tokio::test]
async fn a_voiceprint_is_made_and_recognised() {
    let running = start().await;
    let media = handed_over(&running).await;
    let made = json(post(&running, "/v1/voiceprint", &json!({"url": media})).await).await;
    let print = ended(&running, &made["jobId"]).await["output"]["voiceprint"].clone();
    assert!(print.is_string());
    let body = json!({"url": media, "voiceprints": [{"label": "Nia", "voiceprint": print}],
        "matching": {"threshold": 60}});
    let asked = json(post(&running, "/v1/identify", &body).await).await;
    let output = ended(&running, &asked["jobId"]).await["output"].clone();
    assert_eq!(output["identification"][0]["match"], "Nia");
    assert!(output["voiceprints"][0]["confidence"]["Nia"].as_f64().unwrap() > 60.0);
}
