//! A voice leaves its row only on its way to the provider.

use reqwest::Method;
use scryon_config::value::{DataKeys, SettingValue};
use scryon_store::{Sealed, Vault, voice_place};
use scryon_testkit::{Client, Parts, Stack, TestApp, eventually, unique_wav_of};
use serde_json::json;

use super::{KEY, PATH, consented, enrol, sample, voices};

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_is_found_in_no_log_answer_row_document_or_metric() {
    let nothing = Parts { api: false, workers: false, sweeper: false };
    let app = TestApp::start_with(voices().set("SCRYON_PUBLIC_BASE_URL", "").parts(nothing)).await;
    let logs = tempfile::tempdir().unwrap();
    let stack = Stack::new(app.settings.clone(), logs.path().to_owned());
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
    let word = |log: &str, line: &str| {
        let line = log.lines().find(|l| l.contains(line))?.to_owned();
        line.split_whitespace().find_map(|w| w.strip_prefix("address=")).map(str::to_owned)
    };
    let address = eventually("the API", || async { word(&programs[0].log(), "API open") }).await;
    let client = Client::new(format!("http://{address}"));
    let made = enrol(&client, consented(sample(20))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = client.upload_with(unique_wav_of(24), &json!({"direction": "INCOMING"})).await;
    assert_eq!(client.finished(id).await["status"], "COMPLETED");

    let row = app.database.sql("select id, embedding, key_id from user_voice_profiles", &[]).await.remove(0);
    let vault = Vault::new(&DataKeys::read(KEY).unwrap().0);
    let sealed = Sealed { bytes: row.get(1), key_id: row.get(2) };
    let print = String::from_utf8(vault.open(&sealed, &voice_place(row.get(0))).unwrap()).unwrap();
    assert!(print.len() > 20, "this is what is looked for");

    let mut places = vec![("the answer".to_owned(), made.text)];
    for path in [format!("{PATH}/status"), format!("/api/calls/{id}"), format!("/api/calls/{id}/transcript")]
    {
        places.push((path.clone(), client.send(client.request(Method::GET, &path)).await.text));
    }
    assert!(places[3].1.contains("VOICE_EMBEDDING"), "the voice was compared");
    for program in &programs {
        places.push((format!("the log of {}", program.name), program.log()));
        let admin = eventually("an admin port", || async { word(&program.log(), "admin port open") }).await;
        let admin = Client::new(format!("http://{admin}"));
        places.push((format!("the metrics of {}", program.name), admin.get("/metrics").await.text));
    }
    for table in [
        "call_records",
        "call_stages",
        "call_processing_events",
        "provider_jobs",
        "call_artifacts",
        "user_voice_profiles",
    ] {
        let all = format!("select coalesce(string_agg(t::text, ' '), '') from {table} t");
        places.push((table.to_owned(), app.database.sql(&all, &[]).await[0].get(0)));
    }
    let keys = app.context.blobs.list("tenants").await.unwrap();
    assert!(keys.iter().any(|key| key.ends_with(".json") && key.contains("diarization")), "{keys:?}");
    for key in keys.iter().filter(|key| key.ends_with(".json")) {
        let text = std::fs::read_to_string(app.storage.path().join(key)).unwrap();
        places.push((key.clone(), text));
    }
    let (data_key, hexed) = (KEY.to_owned(), hex::encode(&print));
    for (place, text) in &places {
        assert!(!text.is_empty(), "{place} is empty: this test looks at nothing");
        for (what, secret) in [("the voice", &print), ("the voice in hex", &hexed), ("the key", &data_key)] {
            assert!(!text.contains(secret.as_str()), "{place} holds {what}");
        }
    }
    app.finish().await;
}
