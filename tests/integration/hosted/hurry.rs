//! An operator's word not to wait for a provider that asks for a pause.

use scryon_testkit::{Fault, Quota, TestApp, TestOptions, eventually, unique_wav};
use uuid::Uuid;

use super::{events, exported, purchases, scryon, transcript};

async fn analysis_of(app: &TestApp, id: Uuid) -> (String, Option<String>, i32) {
    let sql = "select s.state::text, s.skip_reason, s.tries from call_stages s join call_records c on c.id = s.call_id
             and c.run_no = s.run_no where s.call_id = $1 and s.stage = 'analysis'";
    let rows = app.database.sql(sql, &[&id]).await;
    (rows[0].get(0), rows[0].get(1), rows[0].get(2))
}

fn left_out() -> (String, Option<String>, i32) {
    ("SKIPPED".to_owned(), Some("provider_throttled".to_owned()), 0)
}

async fn fail_fast(app: &TestApp, engine: &str) {
    let arguments = ["provider", "fail-fast", engine, "on", "--for", "2h", "--reason", "month end"];
    let (code, shown, _) = scryon(app, &[], &arguments).await;
    assert_eq!(code, Some(0));
    assert!(shown.contains("; not waited for for 7") && shown.contains(" s: month end"), "{shown}");
    exported(app, &format!("scryon_provider_fail_fast{{engine=\"{engine}\"}} 1")).await;
}

/// A call whose analysis was put back ends with one, bought once. A worker hears within a second that the word was taken
/// back: a run that it leaves out meanwhile is put back as well.
async fn analysed_after_all(app: &TestApp, id: Uuid) {
    let call = eventually("the analysis after all", || async {
        let call = app.client.call(id).await;
        let again = call["run"].as_i64().is_some_and(|run| run >= 2) && call["status"] == "COMPLETED";
        (again && analysis_of(app, id).await == ("SUCCEEDED".to_owned(), None, 0)).then_some(call)
    })
    .await;
    assert_eq!(app.client.get(&format!("/api/calls/{id}/analysis")).await.status, 200, "{call}");
    let lane = "select count(*) from call_records where lane = 'backfill' and id = $1";
    assert_eq!(app.database.sql(lane, &[&id]).await[0].get::<_, i64>(0), 1);
    let bought = purchases(app, id)
        .await
        .into_iter()
        .filter(|(p, _)| p.contains("analysis") && p.ends_with("succeeded"));
    assert_eq!(bought.count(), 1);
}

/// The first 429 leaves the analysis out, and so does the pause behind it, without a request; at the end of the word
/// the calls are analysed behind live ones.
#[tokio::test(flavor = "multi_thread")]
async fn analyses_are_left_out_and_put_back() {
    let app = TestApp::start_with(TestOptions::hosted().set("PYANNOTE_ENABLED", "false")).await;
    fail_fast(&app, "llm").await;
    app.simulator.set_quota("openai.chat", Some(Quota { per_second: 0, retry_after: Some(20) }));
    let calls = [app.client.upload(unique_wav()).await, app.client.upload(unique_wav()).await];
    for id in calls {
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
        assert_eq!(analysis_of(&app, id).await, left_out());
        let skipped =
            ("SKIPPED".to_owned(), Some("openai".to_owned()), Some("provider_throttled".to_owned()));
        assert_eq!(events(&app, id, "ANALYZED").await, [skipped]);
        assert_eq!(transcript(&app, id).await["pipeline"]["transcriptionProvider"], "lemonfox");
    }
    let third = app.client.upload(unique_wav()).await;
    app.client.finished(third).await;
    assert_eq!(analysis_of(&app, third).await, left_out());
    assert!(app.simulator.traffic("openai.chat").unwrap().refused <= 2, "nobody asks during the pause");

    app.simulator.set_quota("openai.chat", None);
    let (code, _, said) = scryon(&app, &[], &["provider", "fail-fast", "llm", "off"]).await;
    assert_eq!(code, Some(0));
    assert!(said.contains("back to work"), "{said}");
    for id in calls.into_iter().chain([third]) {
        analysed_after_all(&app, id).await;
    }
    let noted = "select count(*) from change_log where kind = 'provider' and details->>'engine' = 'llm'";
    assert_eq!(app.database.number(noted).await, 2);
    app.finish().await;
}

/// The word's time being over is as good as its being taken back; a call that was analysed meanwhile stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_words_time_puts_analyses_back_too() {
    let app = TestApp::start_with(TestOptions::hosted().set("PYANNOTE_ENABLED", "false")).await;
    fail_fast(&app, "llm").await;
    app.simulator.fail_next("openai.chat", 1, Fault::Status(429, Some(1)));
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    assert_eq!(analysis_of(&app, id).await, left_out());
    app.database.sql("update provider_circuits set fail_fast_until = now() where engine = 'llm'", &[]).await;
    analysed_after_all(&app, id).await;
    // The index of what is left out is empty again.
    let left =
        "select count(*) from call_stages where skip_reason = 'provider_throttled' and details is null";
    assert_eq!(app.database.number(left).await, 0);
    app.finish().await;
}

/// A second engine in the list serves before anything is left out.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_engine_serves_before_an_analysis_is_left_out() {
    let options = TestOptions::hosted()
        .set("PYANNOTE_ENABLED", "false")
        .set("SCRYON_ANALYSIS_ENGINES", "openai,extractive");
    let app = TestApp::start_with(options).await;
    fail_fast(&app, "llm").await;
    app.simulator.fail_next("openai.chat", 1, Fault::Status(429, Some(60)));
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    assert_eq!(analysis_of(&app, id).await, ("SUCCEEDED".to_owned(), None, 0));
    let sql = "select count(*) from call_stages where engine = 'extractive' and stage = 'analysis'";
    assert_eq!(app.database.number(sql).await, 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn diarization_falls_back_at_once() {
    let app = TestApp::start_with(TestOptions::hosted().set("SCRYON_DIARIZATION_ENGINES", "pyannote")).await;
    fail_fast(&app, "pyannote").await;
    app.simulator.set_quota("pyannote.diarize", Some(Quota { per_second: 0, retry_after: Some(600) }));
    for code in ["provider_throttled", "provider_paced"] {
        let id = app.client.upload(unique_wav()).await;
        app.client.finished(id).await;
        let transcript = transcript(&app, id).await;
        assert_eq!(transcript["pipeline"]["diarizationProvider"], "transcript-labels");
        let passed = ("FAILED".to_owned(), Some("pyannote".to_owned()), Some(code.to_owned()));
        assert_eq!(events(&app, id, "PYANNOTE_FAILED_FALLBACK").await, [passed]);
    }
    assert_eq!(app.simulator.traffic("pyannote.diarize").unwrap().refused, 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_call_can_do_without_is_waited_for() {
    let app = TestApp::start_with(TestOptions::hosted()).await;
    for (arguments, words) in [
        (vec!["lemonfox", "on", "--reason", "x"], "no call can do without lemonfox"),
        (vec!["nobody", "on", "--reason", "x"], "no engine that asks a provider"),
        (vec!["llm", "on"], "--reason"),
    ] {
        let arguments = [vec!["provider", "fail-fast"], arguments].concat();
        let (code, shown, said) = scryon(&app, &[], &arguments).await;
        assert_eq!(code, Some(64), "{arguments:?}: {said}");
        assert!(shown.is_empty() && said.contains(words), "{arguments:?}: {said}");
    }
    app.finish().await;
}
