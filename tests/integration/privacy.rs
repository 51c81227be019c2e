//! Transcript text, names, phone numbers and secrets never reach logs, metrics, messages, events or storage keys.

use scryon_testkit::{Client, Parts, Stack, TestApp, TestOptions, eventually, unique_wav};
use serde_json::json;

/// Planted where a caller's data goes.
const NAME: &str = "Zebulonia Quackenbush";
const PHONE: &str = "+99 55501 77123";
const TITLE: &str = "Xylocarp merger talks";
const FILE: &str = "wombat-recording";
const KEY: &str = "planted-api-key-0001";
/// A word of every transcript of the fake provider.
const SPOKEN: &str = "segment number";

#[tokio::test(flavor = "multi_thread")]
async fn planted_words_are_found_only_where_they_belong() {
    let nothing = Parts { api: false, workers: false, sweeper: false };
    let app = TestApp::start_with(TestOptions::default().parts(nothing).set("SCRYON_API_KEY", KEY)).await;
    let stack = Stack::new(app.settings.clone(), app.storage.path().to_owned());
    // Everything our own crates can say.
    let loud = [("SCRYON_LOG", "debug,hyper=info"), ("SERVER_PORT", "0")];
    let programs: Vec<_> = [
        "scryon-api",
        "scryon-transcription-worker",
        "scryon-diarization-worker",
        "scryon-analysis-worker",
        "scryon-sweeper",
    ]
    .map(|name| stack.start(name, &loud))
    .into_iter()
    .collect();
    let address = eventually("the API", || async {
        let log = programs[0].log();
        let line = log.lines().find(|l| l.contains("API open"))?;
        line.split_whitespace().find_map(|w| w.strip_prefix("address=")).map(str::to_owned)
    })
    .await;
    let client = Client::new(format!("http://{address}"));
    let metadata =
        json!({"title": TITLE, "contactName": NAME, "phoneNumber": PHONE, "clientReference": "ref-7"});
    let part = reqwest::multipart::Part::bytes(unique_wav()).file_name(format!("{FILE}.wav"));
    let form = reqwest::multipart::Form::new().part("file", part).text("metadata", metadata.to_string());
    let key = |request: reqwest::RequestBuilder| request.header("X-Scryon-Api-Key", KEY);
    let upload = key(client.request(reqwest::Method::POST, "/api/calls/analyze")).multipart(form);
    let answer = client.send(upload).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let path = format!("/api/calls/{}", answer.body["id"].as_str().unwrap());
    eventually("the call's end", || async {
        let call = client.send(key(client.request(reqwest::Method::GET, &path))).await.body;
        (call["status"] == "COMPLETED").then_some(())
    })
    .await;
    // A refusal whose input is quoted nowhere.
    let bad = reqwest::multipart::Form::new().text("metadata", format!("{{{NAME}"));
    client.send(key(client.request(reqwest::Method::POST, "/api/calls/analyze")).multipart(bad)).await;
    let transcript =
        client.send(key(client.request(reqwest::Method::GET, &format!("{path}/transcript")))).await.text;
    assert!(transcript.contains(SPOKEN), "the transcript itself does hold it");

    let mut places: Vec<(String, String)> =
        programs.iter().map(|p| (format!("the log of {}", p.name), p.log())).collect();
    for program in &programs {
        let admin = eventually("an admin port", || async {
            let log = program.log();
            let line = log.lines().find(|l| l.contains("admin port open"))?;
            Some(line.split("address=").nth(1)?.split_whitespace().next()?.to_owned())
        })
        .await;
        places.push((
            format!("the metrics of {}", program.name),
            Client::new(format!("http://{admin}")).get("/metrics").await.text,
        ));
    }
    places.push(("storage keys".into(), app.context.blobs.list("tenants").await.unwrap().join("\n")));
    let events = "select coalesce(string_agg(e::text, ' '), '') from call_processing_events e";
    places.push(("events".into(), app.database.sql(events, &[]).await[0].get(0)));
    let stages = "select coalesce(string_agg(s::text, ' '), '') from call_stages s";
    places.push(("stage rows".into(), app.database.sql(stages, &[]).await[0].get(0)));
    for (place, text) in &places {
        assert!(!text.is_empty(), "{place} is empty: this test looks at nothing");
        for planted in [
            NAME,
            "Zebulonia",
            "Quackenbush",
            PHONE,
            "5550177123",
            TITLE,
            "Xylocarp",
            FILE,
            KEY,
            SPOKEN,
            "scryon:scryon@",
        ] {
            assert!(!text.contains(planted), "{place} holds `{planted}`");
        }
    }
    app.finish().await;
}
