//! Orders to one call by its owner, its log, and calls that are stuck.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::Method;
use scryon_testkit::{Fault, Parts, TestApp, TestOptions, eventually, scale, scryon_command, unique_wav};
use serde_json::{Value, json};
use uuid::Uuid;

async fn post(app: &TestApp, id: Uuid, order: &str) -> scryon_testkit::Answer {
    app.client.send(app.client.request(Method::POST, &format!("/api/calls/{id}/{order}"))).await
}

async fn run_ended(app: &TestApp, id: Uuid, run: i64) -> Value {
    eventually("the run's end", || async {
        let call = app.client.call(id).await;
        (call["run"] == run && matches!(call["status"].as_str(), Some("COMPLETED" | "FAILED")))
            .then_some(call)
    })
    .await
}

/// In mid-flight: what is on its way is fenced off, and a new run uses what it brought.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_writes_nothing_more_and_a_new_run_may_follow() {
    let app = TestApp::start().await;
    app.simulator.fail_next("transcribe", 1, Fault::Hold);
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    eventually("the request to be held", || async { (app.simulator.held() == 1).then_some(()) }).await;
    let answer = post(&app, id, "cancel").await;
    assert_eq!((answer.status, answer.body["status"].as_str()), (200, Some("CANCELLED")));
    let again = post(&app, id, "cancel").await;
    assert_eq!((again.status, again.code()), (409, "call_not_cancellable"));
    assert_eq!(again.body["error"]["details"]["status"], "CANCELLED");
    app.simulator.release();
    let live = "select count(*) from call_stages where state in ('PENDING', 'RUNNING', 'WAITING')";
    assert_eq!(app.database.number(live).await, 0);
    eventually("the paid answer to be kept", || async {
        let sql = "select count(*) from provider_jobs where stage = 'transcription' and state = 'succeeded'";
        (app.database.number(sql).await == 1).then_some(())
    })
    .await;
    assert_eq!(app.client.call(id).await["status"], "CANCELLED");

    assert_eq!(post(&app, id, "reprocess").await.status, 202);
    assert_eq!(run_ended(&app, id, 2).await["status"], "COMPLETED");
    assert_eq!(app.bought("transcribe", &audio), 1);
    // By SQL it is the same.
    app.database.sql("update call_records set status = 'CANCELLED' where id = $1", &[&id]).await;
    app.database.sql("update call_records set status = 'QUEUED' where id = $1", &[&id]).await;
    assert_eq!(run_ended(&app, id, 3).await["status"], "COMPLETED");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_is_cancelled_and_never_begins() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    let id = app.client.upload(unique_wav()).await;
    assert_eq!(post(&app, id, "cancel").await.status, 200);
    // A reset of a call that waits for its run begins no second one.
    let other = app.client.upload(unique_wav()).await;
    let answer = post(&app, other, "reprocess").await;
    assert_eq!((answer.status, answer.body["status"].as_str()), (202, Some("QUEUED")));
    assert_eq!(app.client.call(other).await["lane"], "live");
    for order in ["cancel", "reprocess", "reanalyze"] {
        assert_eq!(post(&app, Uuid::now_v7(), order).await.code(), "call_not_found", "{order}");
    }
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reprocess_reuses_what_is_paid_for_unless_told_not_to() {
    let app = TestApp::start().await;
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    app.client.finished(id).await;
    let ask = async |body: Value| {
        let request = app.client.request(Method::POST, &format!("/api/calls/{id}/reprocess")).json(&body);
        app.client.send(request).await.status
    };
    assert_eq!(ask(json!({})).await, 202);
    assert_eq!(run_ended(&app, id, 2).await["lane"], "backfill");
    assert_eq!(app.bought("transcribe", &audio), 1);
    assert_eq!(ask(json!({"forcePaid": true})).await, 202);
    run_ended(&app, id, 3).await;
    assert_eq!(app.bought("transcribe", &audio), 2);
    assert_eq!(ask(json!({"forcePaid": "yes"})).await, 400);
    app.finish().await;
}

/// The same order sent again under its key is carried out once.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_a_key_is_carried_out_once() {
    let app = TestApp::start().await;
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    app.client.finished(id).await;
    let ask = async |body: Value| {
        let request = app.client.request(Method::POST, &format!("/api/calls/{id}/reprocess"));
        app.client.send(request.header("Idempotency-Key", "\"again-1\"").json(&body)).await
    };
    let first = ask(json!({})).await;
    run_ended(&app, id, 2).await;
    let second = ask(json!({})).await;
    assert_eq!((first.status, second.status, &first.body), (202, 202, &second.body));
    let other = ask(json!({"forcePaid": true})).await;
    assert_eq!((other.status, other.code()), (422, "idempotency_mismatch"));
    let call = app.client.call(id).await;
    assert_eq!((&call["run"], &call["status"]), (&json!(2), &json!("COMPLETED")), "no third run");
    assert_eq!(app.bought("transcribe", &audio), 1);
    app.finish().await;
}

/// The analysis alone, without audio and without speech.
#[tokio::test(flavor = "multi_thread")]
async fn reanalyze_begins_at_the_stored_transcript() {
    let app = TestApp::start().await;
    let audio = unique_wav();
    app.simulator.fail_next("analyze", 2, Fault::Garbage);
    let id = app.client.upload(audio.clone()).await;
    assert_eq!(app.client.finished(id).await["errorReason"], "analysis_invalid");
    app.database
        .sql("delete from call_artifacts where call_id = $1 and artifact_type = 'TEMP_AUDIO'", &[&id])
        .await;
    let answer = post(&app, id, "reanalyze").await;
    assert_eq!((answer.status, answer.body["status"].as_str()), (202, Some("ANALYZING")));
    let call = run_ended(&app, id, 2).await;
    assert_eq!(call["status"], "COMPLETED");
    let states: Vec<(&str, &str)> = call["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["stage"].as_str().unwrap(), s["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states[4], ("analysis", "SUCCEEDED"));
    assert!(states[..4].iter().all(|(_, state)| *state == "SKIPPED"), "{states:?}");
    assert_eq!((app.bought("transcribe", &audio), app.bought("diarize", &audio)), (1, 1));
    assert_eq!(app.client.get(&format!("/api/calls/{id}/analysis")).await.status, 200);
    assert_eq!(app.client.get(&format!("/api/calls/{id}/transcript")).await.status, 200);

    // Not while a run is under way, and not without a transcript.
    app.simulator.fail_next("transcribe", 1, Fault::Hold);
    let early = app.client.upload(unique_wav()).await;
    eventually("the request to be held", || async { (app.simulator.held() == 1).then_some(()) }).await;
    assert_eq!(post(&app, early, "reanalyze").await.code(), "call_not_completed");
    app.simulator.release();
    app.client.finished(early).await;
    app.finish().await;
}

/// Retention took the recording and its prepared form; what a new run carries over names neither.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_its_recording_names_no_object_that_is_gone() {
    let app = TestApp::start().await;
    for order in ["reanalyze", "reprocess"] {
        let id = app.client.upload(unique_wav()).await;
        app.client.finished(id).await;
        app.database
            .sql(
                "update call_stages set state = 'SUCCEEDED', skip_reason = null, artifact_type = 'PREPARED_AUDIO', bytes = 7,
                     result_ref = 'tenants/default/users/u/calls/' || call_id || '/temp/prepared.wav'
                 where call_id = $1 and stage = 'preprocessing'",
                &[&id],
            )
            .await;
        app.database
            .sql("delete from call_artifacts where call_id = $1 and artifact_type = 'TEMP_AUDIO'", &[&id])
            .await;
        assert_eq!(post(&app, id, order).await.status, 202);
        assert_eq!(run_ended(&app, id, 2).await["status"], "COMPLETED");
        let named =
            "select artifact_type from call_artifacts where call_id = $1 and artifact_type like '%AUDIO'";
        assert!(app.database.sql(named, &[&id]).await.is_empty(), "{order}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_and_followed_to_its_end() {
    let app = TestApp::start().await;
    app.simulator.fail_next("transcribe", 1, Fault::Hold);
    let id = app.client.upload(unique_wav()).await;
    let request = app.client.request(Method::GET, &format!("/api/calls/{id}/events"));
    let response = request.header("Accept", "text/event-stream").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    eventually("the request to be held", || async { (app.simulator.held() == 1).then_some(()) }).await;
    app.simulator.release();
    let mut followed = String::new();
    let mut stream = response.bytes_stream();
    while let Some(piece) = stream.next().await {
        followed.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    assert!(followed.ends_with("event: end\ndata: {\"status\":\"COMPLETED\"}\n\n"), "{followed}");
    let log = app.client.get(&format!("/api/calls/{id}/events")).await.body;
    let stages: Vec<&str> = log.as_array().unwrap().iter().map(|e| e["stage"].as_str().unwrap()).collect();
    for stage in ["TRANSCRIBED", "DIARIZED", "TRANSCRIPT_NORMALIZED", "ANALYZED"] {
        assert!(stages.contains(&stage), "{stages:?}");
        assert_eq!(followed.matches(&format!("\"stage\":\"{stage}\"")).count(), 1, "{stage}: {followed}");
    }
    // From where a reader left.
    let last = log.as_array().unwrap().last().unwrap()["id"].to_string();
    let request = app.client.request(Method::GET, &format!("/api/debug/calls/{id}/events"));
    let rest = request.header("Accept", "text/event-stream").header("Last-Event-ID", last);
    assert!(app.client.send(rest).await.text.starts_with("event: end"));
    assert_eq!(
        app.client.get(&format!("/api/calls/{}/events", Uuid::now_v7())).await.code(),
        "call_not_found"
    );
    app.finish().await;
}

/// Waiting is not being stuck. What nobody will go on with is found, told how, and fails after its time.
#[tokio::test(flavor = "multi_thread")]
async fn stuck_calls_are_told_from_waiting_ones_and_fail_in_the_end() {
    let mut app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(app.client.upload(unique_wav()).await);
    }
    let (held, typed, overdue, waiting) = (ids[0], ids[1], ids[2], ids[3]);
    let sql = async |sql: &str, id: Uuid| app.database.sql(sql, &[&id]).await;
    let running = "update call_records set status = 'TRANSCRIBING', run_no = 1, updated_at = now() - interval '1 hour' where id = $1";
    sql(running, held).await;
    sql(
        "insert into call_stages (call_id, run_no, stage, tenant_id, state, lease_token, lease_owner, lease_until)
         values ($1, 1, 'transcription', 'default', 'RUNNING', gen_random_uuid(), 'gone', now() - interval '20 minutes')",
        held,
    )
    .await;
    sql(running, typed).await;
    sql("update call_records set publish_due = now() - interval '30 minutes' where id = $1", overdue).await;
    sql(running, waiting).await;
    sql(
        "insert into call_stages (call_id, run_no, stage, tenant_id, state, publish_due, not_before)
         values ($1, 1, 'diarization', 'default', 'WAITING', now() + interval '1 minute', now() + interval '1 minute')",
        waiting,
    )
    .await;
    let mut command = scryon_command();
    let shown =
        command.args(["stuck", "--json"]).env("DATABASE_URL", &app.database.url).output().await.unwrap();
    assert_eq!(shown.status.code(), Some(0));
    let mut found: Vec<(Uuid, String)> = String::from_utf8_lossy(&shown.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|call| {
            (call["id"].as_str().unwrap().parse().unwrap(), call["reason"].as_str().unwrap().to_owned())
        })
        .collect();
    found.sort();
    let mut expected = vec![
        (held, "lease_expired".to_owned()),
        (typed, "no_live_stage".to_owned()),
        (overdue, "announcement_overdue".to_owned()),
    ];
    expected.sort();
    assert_eq!(found, expected, "one that waits for a provider, and one in line, are not stuck");

    // The slow sweep's own question; a whole sweeper would first repair what can be repaired.
    let store = app.database.store();
    assert_eq!(store.calls_sweep_stale(Duration::from_secs(7_200), 100).await.unwrap(), 0, "not that long");
    assert_eq!(store.calls_sweep_stale(Duration::from_secs(900), 100).await.unwrap(), 3);
    for id in [held, typed, overdue] {
        let call = app.client.finished(id).await;
        assert_eq!(call["errorReason"], "stale_job", "{call}");
    }
    assert_eq!(app.client.call(waiting).await["status"], "TRANSCRIBING");
    assert_eq!(app.client.call(ids[4]).await["status"], "QUEUED");
    app.spawn_sweeper();
    eventually("the sweeps to be counted", || async {
        app.metrics().contains("scryon_calls_swept_total 3").then_some(())
    })
    .await;
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_gives_the_same_orders() {
    let app = TestApp::start().await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    let id_text = id.to_string();
    let scryon = async |arguments: &[&str]| {
        let mut command = scryon_command();
        let output = command.args(arguments).env("API_URL", &app.client.base).output().await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(scryon(&["reanalyze", &id_text]).await, (Some(0), format!("{id}  ANALYZING\n")));
    run_ended(&app, id, 2).await;
    let (code, log) = scryon(&["events", &id_text, "--follow"]).await;
    assert!(code == Some(0) && log.contains("ANALYZED"), "{log}");
    assert_eq!(scryon(&["reprocess", &id_text]).await.0, Some(0));
    run_ended(&app, id, 3).await;
    // One that is refused does not keep the order from the others.
    let stranger = Uuid::now_v7().to_string();
    let (code, shown) = scryon(&["cancel", &stranger, &id_text]).await;
    assert_eq!((code, shown.as_str()), (Some(65), ""), "a finished call is not cancelled either");
    assert_eq!(scryon(&["delete", &id_text]).await.0, Some(64), "it has to be meant");
    assert_eq!(scryon(&["delete", &id_text, "--yes"]).await, (Some(0), format!("{id}  DELETED\n")));
    assert_eq!(app.client.get(&format!("/api/calls/{id}")).await.status, 404);
    app.finish().await;
}

/// The last days after a new NORMALIZATION_VERSION, most of them without their recording: a plan that says what
/// happens, then all of them on the new version, without a purchase of speech and without a failure.
#[tokio::test(flavor = "multi_thread")]
async fn many_calls_are_reprocessed_by_a_plan_without_audio_and_without_a_purchase() {
    let app = TestApp::start().await;
    let count = scale("calls, of which 15 in a hundred have their recording", 40, 1_000);
    let kept = count * 15 / 100;
    let recordings: Vec<Vec<u8>> = (0..count).map(|_| unique_wav()).collect();
    let uploads = recordings.iter().map(|audio| app.client.upload(audio.clone()));
    let calls: Vec<Uuid> = futures_util::stream::iter(uploads).buffered(20).collect().await;
    for id in &calls {
        app.client.finished(*id).await;
    }
    // An older version made them, and the recordings of most are gone.
    app.database
        .sql("update call_stages set engine = 'assembly-0' where stage = 'assembly' and engine like 'assembly-%'", &[])
        .await;
    let gone = &calls[kept..];
    app.database
        .sql("delete from call_artifacts where artifact_type = 'TEMP_AUDIO' and call_id = any($1)", &[&gone])
        .await;
    let scryon = async |arguments: &[&str]| {
        let mut command = scryon_command();
        let output = command.args(arguments).env("DATABASE_URL", &app.database.url).output().await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(scryon(&["reprocess"]).await.0, Some(64), "an empty choice is every call there is");
    assert_eq!(scryon(&["reprocess", "--status", "QUEUED"]).await.0, Some(64));
    let wish = ["reprocess", "--since", "7d", "--normalization-below", "1", "--rate", "1000"];
    let (code, plan) = scryon(&[&wish[..], &["--dry-run", "--json"]].concat()).await;
    assert_eq!(code, Some(0));
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(
        (&plan["calls"], &plan["withAudio"], &plan["rebuilt"], &plan["lost"]),
        (&json!(count), &json!(kept), &json!(count - kept), &json!(0))
    );
    assert!(app.client.call(calls[0]).await["run"] == 1, "a dry run changes nothing");
    let speech = |app: &TestApp| {
        let bought = app.simulator.purchases().into_iter().filter(|p| p.route != "analyze");
        bought.map(|p| p.count).sum::<usize>()
    };
    let bought = speech(&app);
    let started = Instant::now();
    let (code, shown) = scryon(&wish).await;
    assert!(code == Some(0) && shown.contains("rebuilt from what was heard"), "{shown}");
    for id in &calls {
        assert_eq!(run_ended(&app, *id, 2).await["status"], "COMPLETED");
    }
    let old =
        "select count(*) from call_stages s join call_records c on c.id = s.call_id and c.run_no = s.run_no
         where s.stage = 'assembly' and s.engine = 'assembly-0'";
    println!("{count} calls on the new version {:?} after the order", started.elapsed());
    assert_eq!(app.database.number(old).await, 0);
    let new = old.replace("= 'assembly-0'", "<> 'assembly-0'");
    assert_eq!(app.database.number(&new).await, count as i64, "on the new version");
    assert_eq!((bought, speech(&app)), (2 * count, 2 * count), "transcribed and diarized once each");
    let (_, plan) = scryon(&[&wish[..], &["--dry-run", "--json"]].concat()).await;
    assert_eq!(serde_json::from_str::<Value>(&plan).unwrap()["calls"], 0);
    // Of one user, by the name it came in with.
    let (_, plan) = scryon(&["reprocess", "--user", "local-dev", "--dry-run", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&plan).unwrap()["calls"], count);
    let (_, plan) = scryon(&["reprocess", "--user", "nobody", "--dry-run", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&plan).unwrap()["calls"], 0);
    app.finish().await;
}
