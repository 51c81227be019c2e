//! Logs in three forms, metrics on every admin port, and the trace that travels with a call.

use scryon_domain::stage::{Lane, StageKind};
use scryon_testkit::{Client, Parts, Stack, StackProgram, TestApp, TestOptions, eventually, unique_wav};
use serde_json::Value;

/// The address a program says it serves on.
async fn address(program: &StackProgram, what: &str) -> String {
    eventually(what, || async {
        let log = program.log();
        let line = log.lines().find(|l| l.contains(what))?;
        line.split_whitespace().find_map(|w| w.strip_prefix("address=")).map(str::to_owned)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_serves_health_and_metrics_from_zero() {
    let nothing = Parts { api: false, workers: false, sweeper: false };
    let app = TestApp::start_with(TestOptions::default().parts(nothing)).await;
    let stack = Stack::new(app.settings.clone(), app.storage.path().to_owned());
    for (name, series) in [
        ("scryon-api", "scryon_uploads_in_progress 0"),
        (
            "scryon-transcription-worker",
            "scryon_audio_preprocessing_fallback_total{reason=\"ffmpeg_failed\"} 0",
        ),
        ("scryon-diarization-worker", "scryon_diarization_fallback_total{reason=\"single_channel\"} 0"),
        ("scryon-analysis-worker", "scryon_action_items_extracted_total 0"),
        ("scryon-sweeper", "scryon_calls_failed_total{reason=\"audio_unreadable\"} 0"),
    ] {
        let program = stack.start(name, &[("SERVER_PORT", "0")]);
        let admin = Client::new(format!("http://{}", address(&program, "admin port open").await));
        assert_eq!(admin.get("/health").await.body["status"], "ok", "{name}");
        eventually(&format!("{name} to be ready"), || async {
            (admin.get("/ready").await.status == 200).then_some(())
        })
        .await;
        for path in ["/metrics", "/actuator/prometheus"] {
            let metrics = admin.get(path).await.text;
            assert!(metrics.contains(series), "{name}{path} lacks {series}");
            assert!(metrics.contains(&format!("scryon_build_info{{program=\"{name}\"")), "{name}");
            assert!(metrics.contains("process_resident_memory_bytes"), "{name}");
        }
    }
    app.finish().await;
}

/// Counters of calls come from Postgres: what a hand did is counted like what a worker did.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_whoever_made_them_what_they_are() {
    let app = TestApp::start().await;
    let first = app.client.upload(unique_wav()).await;
    let second = app.client.upload(unique_wav()).await;
    app.client.finished(first).await;
    app.client.finished(second).await;
    app.database
        .sql(
            "update call_records set status = 'FAILED', error_reason = 'manual_sweep' where id = $1",
            &[&first],
        )
        .await;
    let shown = || app.metrics();
    eventually("the counters", || async {
        let text = shown();
        [
            "scryon_calls_uploaded_total{direction=\"UNKNOWN\"} 2",
            "scryon_calls_completed_total 2",
            "scryon_calls_failed_total{reason=\"manual_sweep\"} 1",
            "scryon_pipeline_total_duration_seconds_count 2",
        ]
        .iter()
        .all(|s| text.contains(s))
        .then_some(())
    })
    .await;
    let text = shown();
    assert!(
        text.contains(
            "http_server_requests_seconds_count{method=\"POST\",status=\"202\",uri=\"/api/calls/analyze\"} 2"
        ),
        "{text}"
    );
    assert!(text.contains("scryon_transcription_duration_seconds_count{provider=\"fake\"} 2"), "{text}");
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_have_the_fields_that_filters_use() {
    let nothing = Parts { api: false, workers: false, sweeper: false };
    let app = TestApp::start_with(TestOptions::default().parts(nothing)).await;
    let stack = Stack::new(app.settings.clone(), app.storage.path().to_owned());
    let api = stack.start("scryon-api", &[("SERVER_PORT", "0")]);
    // It carries what was accepted before the broker was reached.
    let _sweeper = stack.start("scryon-sweeper", &[]);
    let json = [("SCRYON_LOG_FORMAT", "json")];
    let workers: Vec<_> =
        ["scryon-transcription-worker", "scryon-diarization-worker", "scryon-analysis-worker"]
            .map(|name| stack.start(name, &json))
            .into_iter()
            .collect();
    let client = Client::new(format!("http://{}", address(&api, "API open").await));
    let id = client.upload(unique_wav()).await;
    client.finished(id).await;
    let request = eventually("the access log", || async {
        api.log()
            .lines()
            .find(|l| l.contains("event=HTTP_REQUEST_COMPLETED") && l.contains("/api/calls/analyze"))
            .map(str::to_owned)
    })
    .await;
    for field in ["reqId=", "method=POST", "status=202", "durationMs="] {
        assert!(request.contains(field), "{request}");
    }
    let logged = |worker: &StackProgram| {
        let log = worker.log();
        // The last line may be on its way.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        let lines =
            whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")));
        lines.filter(|line: &Value| line["event"] == "PIPELINE").collect::<Vec<_>>()
    };
    // A stage is over before its worker says so.
    let lines = eventually("a line of each stage", || async {
        let lines: Vec<Value> = workers.iter().flat_map(logged).collect();
        (lines.len() >= 5).then_some(lines)
    })
    .await;
    let mut stages = Vec::new();
    for line in lines {
        assert_eq!(line["callId"], id.to_string());
        assert_eq!(line["tenantId"], "default");
        // Preprocessing is switched off, and the API could read what the recording is.
        let skipped = line["stage"] == "AUDIO_PREPROCESSED";
        assert_eq!(line["status"], if skipped { "SKIPPED" } else { "COMPLETED" });
        assert!(line["durationMs"].is_u64());
        stages.push(line["stage"].as_str().unwrap().to_owned());
    }
    stages.sort();
    assert_eq!(
        stages,
        ["ANALYZED", "AUDIO_PREPROCESSED", "DIARIZED", "TRANSCRIBED", "TRANSCRIPT_NORMALIZED"]
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_travels_in_the_headers_of_the_hints() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    let trace = "3d1f0c9e7a5b4c2d8e6f1a2b3c4d5e6f";
    let upload = app
        .client
        .request(reqwest::Method::POST, "/api/calls/analyze")
        .header("traceparent", format!("00-{trace}-1a2b3c4d5e6f7081-01"))
        .multipart(Client::form(unique_wav()));
    assert_eq!(app.client.send(upload).await.status, 202);
    let broker = app.broker().await;
    let queue = app.topology().queue(StageKind::Preprocessing, Lane::Live);
    let header = eventually("the hint", || async { broker.take(&queue).await?.traceparent }).await;
    assert!(header.starts_with(&format!("00-{trace}-")) && header.ends_with("-01"), "{header}");
    assert!(!header.contains("1a2b3c4d5e6f7081"), "each hop has a parent of its own");
    app.stop_and_clean().await;
}
