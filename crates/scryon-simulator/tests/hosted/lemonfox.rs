use std::time::Duration;

use reqwest::multipart::Form;
use scryon_simulator::{CallbackFault, Fault, HostedOptions, WordPlace};
use serde_json::{Value, json};

use crate::support::*;

const PATH: &str = "/lemonfox/v1/audio/transcriptions";
const ROUTE: &str = "lemonfox.transcribe";
const AUDIO: &[u8] = b"a recording";

#[tokio::test]
async fn each_format_says_the_words_of_the_recording() {
    let running = start().await;
    let word = word(AUDIO);
    let ask = async |format: &'static str| {
        let response = running.form(PATH, AUDIO, &[("response_format", format)]).await;
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    };
    let start = format!("{word} is the word of this call this is segment number 1 of the call");
    assert!(ask("text").await.starts_with(&start));
    assert!(ask("srt").await.starts_with(&format!("1\n00:00:00,000 --> 00:00:01,900\n{word} is")));
    assert!(ask("vtt").await.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:01.900\n"));
    let short: Value = serde_json::from_str(&ask("json").await).unwrap();
    assert!(short["text"].as_str().unwrap().starts_with(&start));
    assert_eq!(short.as_object().unwrap().len(), 1);
    let verbose: Value = serde_json::from_str(&ask("verbose_json").await).unwrap();
    assert_eq!(
        (&verbose["task"], &verbose["language"], &verbose["duration"]),
        (&json!("transcribe"), &json!("english"), &json!(8.0))
    );
    assert_eq!(verbose["segments"].as_array().unwrap().len(), 4);
    let first = &verbose["segments"][0];
    assert_eq!(first["text"], format!(" {word} is the word of this call"));
    assert!(first.get("speaker").is_none() && first.get("words").is_none() && verbose.get("words").is_none());
}

#[tokio::test]
async fn words_are_in_segments_at_the_top_or_missing() {
    let running = start_with(|o| o.lemonfox_words = WordPlace::TopLevel).await;
    let fields = [
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
        ("speaker_labels", "true"),
    ];
    let places = [(Some(WordPlace::Segments), 28, 0), (None, 0, 28), (Some(WordPlace::Missing), 0, 0)];
    for (fault, inside, top) in places {
        if let Some(place) = fault {
            running.simulator.fail_next(ROUTE, 1, Fault::Words(place));
        }
        let answer = json(running.form(PATH, AUDIO, &fields).await).await;
        let count = |words: &Value| words.as_array().map_or(0, Vec::len);
        let segments = answer["segments"].as_array().unwrap();
        let in_segments: usize = segments.iter().map(|s| count(&s["words"])).sum();
        assert!(
            (in_segments > 20) == (inside > 0) && (count(&answer["words"]) > 20) == (top > 0),
            "{fault:?}"
        );
        let words = if top > 0 { &answer["words"] } else { &segments[0]["words"] };
        if inside + top > 0 {
            assert_eq!(
                words[0],
                json!({"word": word(AUDIO), "start": 0.0, "end": 0.271, "speaker": "SPEAKER_00"})
            );
        }
    }
}

#[tokio::test]
async fn up_to_four_speakers_are_told_apart_within_the_hints() {
    let running = start_with(|o| o.segments = 12).await;
    let table: [(usize, &[(&str, &str)], usize); 6] = [
        (1, &[], 1),
        (2, &[], 2),
        (4, &[], 4),
        (7, &[], 4),
        (4, &[("max_speakers", "2")], 2),
        (1, &[("min_speakers", "3")], 3),
    ];
    for (voices, hints, speakers) in table {
        running.simulator.fail_next(ROUTE, 1, Fault::Speakers(voices));
        let mut fields = vec![("response_format", "verbose_json"), ("speaker_labels", "true")];
        fields.extend_from_slice(hints);
        let answer = json(running.form(PATH, AUDIO, &fields).await).await;
        let mut labels: Vec<_> =
            answer["segments"].as_array().unwrap().iter().map(|s| s["speaker"].as_str().unwrap()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(
            labels,
            ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02", "SPEAKER_03"][..speakers],
            "{voices} {hints:?}"
        );
    }
}

#[tokio::test]
async fn text_may_come_in_quotes() {
    let running = start().await;
    running.simulator.fail_next(ROUTE, 1, Fault::QuotedText);
    let ask =
        || async { running.form(PATH, AUDIO, &[("response_format", "text")]).await.text().await.unwrap() };
    let quoted = ask().await;
    let plain = ask().await;
    assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), plain);
    running.simulator.set_hosted(HostedOptions { lemonfox_quoted_text: true, ..running.simulator.hosted() });
    assert_eq!(ask().await, quoted);
}

#[tokio::test]
async fn an_address_in_place_of_the_recording_is_the_recording() {
    let running = start().await;
    let url = "https://storage.example.org/call.wav?sig=1";
    let form = with_fields(Form::new(), &[("file", url), ("language", "english")]);
    let answer = json(running.post(PATH).bearer_auth("k").multipart(form).send().await.unwrap()).await;
    assert!(answer["text"].as_str().unwrap().starts_with(&word(url.as_bytes())));
    let purchases = running.simulator.purchases();
    assert_eq!(purchases.len(), 1);
    assert_eq!(
        (purchases[0].input.as_str(), purchases[0].params.as_str()),
        (sha256(url.as_bytes()).as_str(), "language=english")
    );
}

#[tokio::test]
async fn a_purchase_is_a_recording_with_its_parameters_and_a_hashed_key() {
    let running = start().await;
    let french = [("language", "french")];
    let callback = [("language", "french"), ("callback_url", "http://127.0.0.1:9/1")];
    for (fields, key) in [(&[][..], "k1"), (&french[..], "k1"), (&french[..], "k2"), (&callback[..], "k2")] {
        let request = running.post(PATH).bearer_auth(key).multipart(form(AUDIO, fields));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    let purchases = running.simulator.purchases();
    let seen: Vec<_> = purchases.iter().map(|p| (p.params.as_str(), p.count, p.api_keys.len())).collect();
    assert_eq!(seen, [("", 1, 1), ("language=french", 3, 2)]);
    assert!(purchases.iter().all(|p| p.route == ROUTE && p.input == sha256(AUDIO)));
    assert_eq!(purchases[0].api_keys, [&sha256(b"k1")[..16]]);
}

#[tokio::test]
async fn a_recording_above_the_limit_is_refused_with_413() {
    assert_eq!(HostedOptions::default().lemonfox_max_bytes, 100_000_000);
    let running = start_with(|o| o.lemonfox_max_bytes = 1 << 20).await;
    static RIGHT: [u8; 1 << 20] = [1; 1 << 20];
    static LONG: [u8; (1 << 20) + 1] = [1; (1 << 20) + 1];
    assert_eq!(running.form(PATH, &RIGHT, &[]).await.status(), 200);
    let (status, body) = told(running.form(PATH, &LONG, &[]).await).await;
    assert_eq!(status, 413);
    assert!(body["error"]["message"].is_string());
    assert_eq!(running.count(ROUTE), 1);
}

#[tokio::test]
async fn what_is_refused_is_not_bought() {
    let running = start().await;
    for (key, status) in [(None, 401), (Some("bad-1"), 401), (Some("unpaid-1"), 402)] {
        let mut request = running.post(PATH).multipart(form(AUDIO, &[]));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        assert_eq!(told(request.send().await.unwrap()).await.0, status, "{key:?}");
    }
    let fields: [&[(&str, &str)]; 2] = [&[("response_format", "xml")], &[("callback_url", "ftp://a")]];
    for fields in fields {
        assert_eq!(told(running.form(PATH, AUDIO, fields).await).await.0, 400, "{fields:?}");
    }
    assert_eq!(told(running.form(PATH, b"", &[]).await).await.0, 400);
    let nothing = with_fields(Form::new(), &[("language", "german")]);
    let nothing = running.post(PATH).bearer_auth("k").multipart(nothing).send().await.unwrap();
    assert_eq!(told(nothing).await.0, 400);
    assert_eq!(told(running.post(PATH).bearer_auth("k").body("x").send().await.unwrap()).await.0, 415);
    running.simulator.fail_next(ROUTE, 1, Fault::Status(429, Some(3)));
    running.simulator.fail_next(ROUTE, 1, Fault::Status(429, None));
    for retry_after in [Some("3"), None] {
        let response = running.form(PATH, AUDIO, &[]).await;
        assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (429, retry_after));
    }
    assert_eq!(running.simulator.purchases(), []);
    assert_eq!(running.form(PATH, AUDIO, &[]).await.status(), 200);
}

#[tokio::test]
async fn answers_break_as_ordered_after_the_purchase() {
    let running = start().await;
    let order = |fault| running.simulator.fail_next(ROUTE, 1, fault);
    let ask = || running.post(PATH).bearer_auth("k").multipart(form(AUDIO, &[])).send();
    let whole = ask().await.unwrap().text().await.unwrap();
    order(Fault::CutAfterPurchase);
    let cut = ask().await;
    assert!(match cut {
        Err(_) => true,
        Ok(response) => response.text().await.is_err(),
    });
    order(Fault::CutInBody);
    let mut response = ask().await.unwrap();
    assert_eq!(response.content_length(), Some(whole.len() as u64));
    assert_eq!(response.chunk().await.unwrap().unwrap(), whole.as_bytes()[..whole.len() / 2]);
    assert!(response.chunk().await.is_err());
    order(Fault::SlowBody(Duration::from_millis(1)));
    assert_eq!(ask().await.unwrap().text().await.unwrap(), whole);
    order(Fault::Latency(Duration::from_millis(20)));
    let begun = std::time::Instant::now();
    assert_eq!(ask().await.unwrap().text().await.unwrap(), whole);
    assert!(begun.elapsed() >= Duration::from_millis(20));
    order(Fault::Garbage);
    assert!(serde_json::from_str::<Value>(&ask().await.unwrap().text().await.unwrap()).is_err());
    order(Fault::WrongSchema);
    assert!(json(ask().await.unwrap()).await.get("text").is_none());
    order(Fault::Hold);
    let held = tokio::spawn(ask());
    eventually("a held request", async || (running.simulator.held() == 1).then_some(())).await;
    assert!(!held.is_finished());
    running.simulator.release();
    assert_eq!(held.await.unwrap().unwrap().text().await.unwrap(), whole);
    assert_eq!(running.count(ROUTE), 8);
}

async fn submit(running: &Running, receiver: &Receiver, attempt: &str) {
    let url = format!("{}/hooks/{attempt}?sig=1", receiver.base);
    let answer =
        json(running.form(PATH, AUDIO, &[("callback_url", &url), ("response_format", "verbose_json")]).await)
            .await;
    assert!(answer.get("text").is_none() && answer.get("segments").is_none());
}

#[tokio::test]
async fn a_callback_brings_the_transcript_later() {
    let running = start().await;
    let mut receiver = Receiver::start().await;
    submit(&running, &receiver, "a").await;
    let received = receiver.next().await;
    assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/hooks/a?sig=1"));
    assert_eq!(received.json()["segments"][0]["text"], format!(" {} is the word of this call", word(AUDIO)));
    assert_eq!(running.count(ROUTE), 1);
    let url = format!("{}/b", receiver.base);
    json(running.form(PATH, AUDIO, &[("callback_url", &url), ("response_format", "srt")]).await).await;
    let received = receiver.next().await;
    assert!(received.body.starts_with("1\n00:00:00,000"));
    assert!(received.header("content-type").unwrap().starts_with("text/plain"));
}

#[tokio::test]
async fn callbacks_go_wrong_as_ordered() {
    let running = start().await;
    let mut receiver = Receiver::start().await;
    let order = |fault| running.simulator.fail_next(ROUTE, 1, Fault::Callback(fault));
    order(CallbackFault::Doubled);
    submit(&running, &receiver, "a").await;
    assert_eq!(receiver.next().await.body, receiver.next().await.body);
    order(CallbackFault::BeforeAnswer);
    submit(&running, &receiver, "b").await;
    assert_eq!(receiver.ready().unwrap().path, "/hooks/b?sig=1");
    order(CallbackFault::Garbage);
    submit(&running, &receiver, "c").await;
    assert!(serde_json::from_str::<Value>(&receiver.next().await.body).is_err());
    order(CallbackFault::Stranger);
    submit(&running, &receiver, "d").await;
    assert_eq!(receiver.next().await.path, "/hooks/0?sig=1");
    // What comes late is overtaken by what was submitted after it; what never comes is not among them.
    order(CallbackFault::Never);
    submit(&running, &receiver, "e").await;
    order(CallbackFault::Delayed(Duration::from_millis(300)));
    submit(&running, &receiver, "f").await;
    submit(&running, &receiver, "g").await;
    assert_eq!(receiver.next().await.path, "/hooks/g?sig=1");
    assert_eq!(receiver.next().await.path, "/hooks/f?sig=1");
    assert_eq!(receiver.ready().map(|r| r.path), None);
    // Nothing is known of retries, so there are none.
    assert!(running.simulator.deliveries().iter().all(|d| d.provider == "lemonfox" && d.attempt == 0));
}

#[tokio::test]
async fn a_refused_callback_is_not_repeated() {
    let running = start().await;
    let mut receiver = Receiver::answering(&[500]).await;
    submit(&running, &receiver, "a").await;
    receiver.next().await;
    submit(&running, &receiver, "b").await;
    assert_eq!(receiver.next().await.path, "/hooks/b?sig=1");
    let statuses = eventually("two deliveries", async || {
        let statuses: Vec<_> = running.simulator.deliveries().iter().map(|d| d.status).collect();
        (statuses.len() == 2).then_some(statuses)
    });
    assert_eq!(statuses.await, [Some(500), Some(200)]);
}
