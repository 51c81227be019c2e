//! Providers that are away: the next engine, waiting, one request that finds out, an operator's word.

use std::time::Duration;

use scryon_testkit::{
    Fault, Quota, TestApp, TestOptions, eventually, eventually_within, scryon_command, unique_wav,
};
use uuid::Uuid;

use super::{exported, purchases, transcript, waits_pass};

/// Lets the time pass that providers are not asked.
async fn openings_pass(app: &TestApp) {
    app.database
        .sql("update provider_circuits set open_until = now() where open_until is not null", &[])
        .await;
}

fn two_transcribers() -> TestOptions {
    TestOptions::hosted()
        .set("SCRYON_TRANSCRIPTION_ENGINES", "lemonfox,deepgram")
        .set("PYANNOTE_ENABLED", "false")
}

/// The first engine is dead for the whole run: every call completes on the second, and the ledger says why.
#[tokio::test(flavor = "multi_thread")]
async fn calls_complete_on_the_second_engine() {
    let app = TestApp::start_with(two_transcribers()).await;
    app.simulator.fail_next("lemonfox.transcribe", 1000, Fault::Status(402, None));
    let calls = futures_util::future::join_all((0..10).map(|_| app.client.upload(unique_wav()))).await;
    let mut refused = 0;
    for id in calls {
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
        let transcript = transcript(&app, id).await;
        assert_eq!(transcript["pipeline"]["transcriptionProvider"], "deepgram");
        let speech: Vec<String> = purchases(&app, id)
            .await
            .into_iter()
            .map(|(line, _)| line)
            .filter(|line| line.starts_with("transcription"))
            .collect();
        // The first refusal opens the circuit: whoever comes later does not ask.
        let (asked, served) = speech.split_at(speech.len() - 1);
        assert_eq!(served, ["transcription deepgram failover succeeded"]);
        assert!(asked.iter().all(|line| line == "transcription lemonfox first failed"), "{asked:?}");
        refused += asked.len();
    }
    assert!((1..=10).contains(&refused), "{refused}");
    app.finish().await;
}

/// Without credit and without another engine calls wait; none fails, and all complete when there is credit.
#[tokio::test(flavor = "multi_thread")]
async fn without_credit_calls_wait_for_it() {
    let app = TestApp::start_with(TestOptions::hosted().set("PYANNOTE_ENABLED", "false")).await;
    app.simulator.fail_next("openai.chat", 1, Fault::Quota);
    let id = app.client.upload(unique_wav()).await;
    let pause = eventually("the analysis to be put off", || async {
        let sql = "select extract(epoch from not_before - now())::float8, tries from call_stages
             where call_id = $1 and stage = 'analysis' and state = 'PENDING' and not_before > now()";
        app.database.sql(sql, &[&id]).await.first().map(|r| (r.get::<_, f64>(0), r.get::<_, i32>(1)))
    })
    .await;
    assert!(pause.0 > 1.0 && pause.1 == 0, "{pause:?}");
    assert_eq!(app.client.call(id).await["status"], "ANALYZING");
    assert_eq!(transcript(&app, id).await["pipeline"]["transcriptionProvider"], "lemonfox");
    // Half a minute passes.
    app.database
        .sql("update call_stages set not_before = now(), publish_due = now() where call_id = $1 and state = 'PENDING'", &[&id])
        .await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    app.finish().await;
}

/// A quota that is used up pauses the engine for all calls at its first word, shows in the metric that alerts are made
/// of, costs no try, and every call completes when there is credit again: one purchase each.
#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_pauses_the_engine_and_every_call_waits() {
    let app = TestApp::start_with(TestOptions::hosted().set("PYANNOTE_ENABLED", "false")).await;
    app.simulator.fail_next("openai.chat", 100_000, Fault::Quota);
    app.simulator.set_quota("openai.chat", Some(Quota { per_second: usize::MAX, retry_after: None }));
    let first = app.client.upload(unique_wav()).await;
    exported(&app, "scryon_provider_circuit_open{engine=\"llm\"} 1").await;
    let rest = futures_util::future::join_all((0..19).map(|_| app.client.upload(unique_wav()))).await;
    let waiting =
        "select count(*) from call_stages where stage = 'analysis' and state = 'PENDING' and tries = 0
         and error_code in ('provider_unavailable', 'circuit_open')";
    eventually("every call to wait", || async { (app.database.number(waiting).await == 20).then_some(()) })
        .await;
    // One found out, and perhaps one more after the first ten seconds, and after the twenty behind them.
    let asked = app.simulator.traffic("openai.chat").unwrap().taken;
    assert!((1..=3).contains(&asked), "{asked} requests");
    let ended = "select count(*) from call_records where status <> 'ANALYZING'";
    assert_eq!(app.database.number(ended).await, 0, "none failed, none went without");
    assert!(app.metrics().contains("scryon_provider_circuit_open{engine=\"llm\"} 1"));
    assert!(app.simulator.chats().is_empty(), "a refusal is no purchase");

    app.simulator.clear_faults();
    eventually("all calls to complete", || async {
        openings_pass(&app).await;
        waits_pass(&app).await;
        let sql = "select count(*) from call_records where status = 'COMPLETED'";
        (app.database.number(sql).await == 20).then_some(())
    })
    .await;
    for id in rest.into_iter().chain([first]) {
        let bought = purchases(&app, id).await;
        let succeeded = bought.iter().filter(|(p, _)| p.starts_with("analysis") && p.ends_with("succeeded"));
        assert_eq!(succeeded.count(), 1, "{bought:?}");
    }
    assert_eq!(app.simulator.chats().len(), 20);
    exported(&app, "scryon_provider_circuit_open{engine=\"llm\"} 0").await;
    app.finish().await;
}

/// A provider that is dead is found dead once: its calls go to the next engine, and none fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_provider_is_left_for_the_next_engine() {
    let app = TestApp::start_with(two_transcribers()).await;
    app.simulator.fail_next("lemonfox.transcribe", 100_000, Fault::Status(503, None));
    let recordings: Vec<Vec<u8>> = (0..40).map(|_| unique_wav()).collect();
    let calls =
        futures_util::future::join_all(recordings.iter().map(|audio| app.client.upload(audio.clone()))).await;
    for id in &calls {
        assert_eq!(app.client.finished(*id).await["status"], "COMPLETED");
    }
    assert!(recordings.iter().all(|audio| app.bought("deepgram.listen", audio) == 1));
    let caused = "select count(*) from provider_jobs where engine = 'deepgram' and cause = 'failover'";
    assert_eq!(app.database.number(caused).await, 40);
    assert!(app.metrics().contains("scryon_provider_circuit_open{engine=\"lemonfox\"} 1"));

    // Who asks at the half opening goes on like the others: nobody waits for a provider that another can stand in for.
    openings_pass(&app).await;
    eventually("the workers to know", || async {
        app.simulator
            .set_quota("lemonfox.transcribe", Some(Quota { per_second: usize::MAX, retry_after: None }));
        let id = app.client.upload(unique_wav()).await;
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
        let asked = app.simulator.traffic("lemonfox.transcribe").unwrap().taken;
        let bought = purchases(&app, id).await;
        assert!(bought.iter().any(|(p, _)| p == "transcription deepgram failover succeeded"), "{bought:?}");
        assert_eq!(bought.iter().filter(|(p, _)| p == "transcription lemonfox first failed").count(), asked);
        (asked == 1).then_some(())
    })
    .await;
    app.finish().await;
}

/// A half open circuit lets one request through. A call that the ledger answers makes none, and leaves it to others.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_ledger_answers_does_not_find_out_whether_a_provider_lives() {
    let app = TestApp::start_with(TestOptions::hosted().set("PYANNOTE_ENABLED", "false")).await;
    let audio = unique_wav();
    let first = app.client.upload(audio.clone()).await;
    assert_eq!(app.client.finished(first).await["status"], "COMPLETED");
    let open = "insert into provider_circuits (engine, open_until, openings, reason) values ('lemonfox', now(), 1, 'test')
         on conflict (engine) do update set open_until = excluded.open_until, openings = 1";
    app.database.sql(open, &[]).await;
    let version = "select xmin::text::bigint from provider_circuits where engine = 'lemonfox'";
    let opened = app.database.number(version).await;
    eventually("a call of the same recording to come through the circuit", || async {
        let same = app.client.upload(audio.clone()).await;
        assert_eq!(app.client.finished(same).await["status"], "COMPLETED");
        (app.database.number(version).await != opened).then_some(())
    })
    .await;
    let new = app.client.upload(unique_wav()).await;
    eventually_within(
        Duration::from_secs(30),
        "the next call to find out, and not a minute later",
        || async {
            let closed =
                "select count(*) from provider_circuits where engine = 'lemonfox' and open_until is null";
            (app.database.number(closed).await == 1).then_some(())
        },
    )
    .await;
    assert_eq!(app.client.finished(new).await["status"], "COMPLETED");
    assert_eq!(app.bought("lemonfox.transcribe", &audio), 1);
    app.finish().await;
}

/// Without another engine calls wait: none fails, none is tried to death, and one request finds out when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_for_a_dead_provider_and_one_request_finds_it_alive() {
    let app = TestApp::start_with(TestOptions::hosted().set("PYANNOTE_ENABLED", "false")).await;
    app.simulator.fail_next("lemonfox.transcribe", 100_000, Fault::Status(500, None));
    let recordings: Vec<Vec<u8>> = (0..30).map(|_| unique_wav()).collect();
    let calls =
        futures_util::future::join_all(recordings.iter().map(|audio| app.client.upload(audio.clone()))).await;
    let waiting =
        "select count(*) from call_stages where stage = 'transcription' and error_code = 'circuit_open'";
    eventually("every call to wait", || async {
        waits_pass(&app).await;
        (app.database.number(waiting).await == 30).then_some(())
    })
    .await;
    let tries = "select coalesce(max(tries), 0)::bigint from call_stages where stage = 'transcription'";
    assert!(app.database.number(tries).await <= 2, "waiting for a dead provider costs no try");
    let asked = "select count(*) from provider_jobs where engine = 'lemonfox'";
    let before = app.database.number(asked).await;
    waits_pass(&app).await;

    // It lives again, slowly: while the first request is on its way no other is sent.
    app.simulator.clear_faults();
    app.simulator.fail_next("lemonfox.transcribe", 1, Fault::Hold);
    openings_pass(&app).await;
    eventually("one request to be made", || async {
        waits_pass(&app).await;
        (app.simulator.held() == 1).then_some(())
    })
    .await;
    let starts = "select sum(starts)::bigint from call_stages where stage = 'transcription'";
    let then = app.database.number(starts).await;
    eventually("every other call to have tried", || async {
        waits_pass(&app).await;
        (app.database.number(starts).await >= then + 29).then_some(())
    })
    .await;
    assert_eq!(app.database.number(asked).await, before + 1, "one request finds out");
    app.simulator.release();
    eventually("all calls to complete", || async {
        waits_pass(&app).await;
        let sql = "select count(*) from call_records where status = 'COMPLETED'";
        (app.database.number(sql).await == 30).then_some(())
    })
    .await;
    for (id, audio) in calls.iter().zip(&recordings) {
        assert_eq!(app.client.call(*id).await["status"], "COMPLETED");
        assert_eq!(app.bought("lemonfox.transcribe", audio), 1);
    }
    app.finish().await;
}

/// An operator's word reaches running programs, has a reason and an end, and is kept in the log of changes.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_switches_a_provider_without_a_restart() {
    let app = TestApp::start_with(two_transcribers()).await;
    let scryon = async |arguments: &[&str]| {
        let mut command = scryon_command();
        command.args(arguments).env("DATABASE_URL", &app.database.url);
        let output = command.output().await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let engine_of = async |id: Uuid| transcript(&app, id).await["pipeline"]["transcriptionProvider"].clone();
    let disable = ["provider", "disable", "lemonfox", "--for", "2h", "--reason", "their status page is red"];
    let (code, shown) = scryon(&disable).await;
    assert_eq!(code, Some(0));
    assert!(shown.lines().any(|l| l.starts_with("lemonfox     disabled for 7")), "{shown}");
    eventually("the workers to know", || async {
        app.metrics().contains("scryon_provider_circuit_open{engine=\"lemonfox\"} 1").then_some(())
    })
    .await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    assert_eq!(engine_of(id).await, "deepgram");
    assert_eq!(purchases(&app, id).await.iter().filter(|(p, _)| p.contains("lemonfox")).count(), 0);

    assert_eq!(scryon(&["provider", "enable", "lemonfox"]).await.0, Some(0));
    eventually("the workers to know", || async {
        app.metrics().contains("scryon_provider_circuit_open{engine=\"lemonfox\"} 0").then_some(())
    })
    .await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    assert_eq!(engine_of(id).await, "lemonfox");
    let noted = "select count(*) from change_log where kind = 'provider' and details->>'engine' = 'lemonfox'";
    assert_eq!(app.database.number(noted).await, 2);
    let audited = "select count(*) from admin_audit_log where action = 'provider' and target = 'lemonfox'
         and actor like 'direct:%' and before is distinct from after";
    assert_eq!(app.database.number(audited).await, 2);
    assert_eq!(scryon(&["provider", "disable", "nobody", "--reason", "x"]).await.0, Some(64));
    app.finish().await;
}

/// The one request that finds out is asked to wait: the provider lives, and the next one does not have to find out again.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_asks_for_a_pause_is_not_taken_for_dead_any_more() {
    let app = TestApp::start_with(TestOptions::hosted().set("PYANNOTE_ENABLED", "false")).await;
    app.simulator.fail_next("lemonfox.transcribe", 1000, Fault::Status(402, None));
    let id = app.client.upload(unique_wav()).await;
    let open = "select count(*) from provider_circuits where engine = 'lemonfox' and open_until is not null";
    eventually("the provider to be taken for dead", || async {
        (app.database.number(open).await == 1).then_some(())
    })
    .await;
    app.simulator.clear_faults();
    app.simulator.fail_next("lemonfox.transcribe", 1, Fault::Status(429, Some(1)));
    openings_pass(&app).await;
    eventually("a pause to be asked for", || async {
        waits_pass(&app).await;
        let throttled =
            "select count(*) from provider_jobs where engine = 'lemonfox' and error_code = 'provider_throttled'";
        (app.database.number(throttled).await == 1).then_some(())
    })
    .await;
    eventually("the circuit to be closed by it", || async {
        (app.database.number(open).await == 0).then_some(())
    })
    .await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    app.finish().await;
}
