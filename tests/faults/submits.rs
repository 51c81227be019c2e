//! The real programs end themselves around the submit of a job and around its callback: diarization's, whose provider
//! names its jobs and can be looked at, and transcription's, whose provider does neither.

use futures_util::future::join_all;
use reqwest::Method;
use scryon_testkit::{
    CallbackFault, Client, Fault, Parts, Stack, TestApp, TestOptions, eventually, free_port, unique_wav,
};

use crate::support::{
    ANALYSIS, DIARIZATION, TRANSCRIPTION, WORKERS, WorkerProgram, all_completed, api_up,
    app_for_real_workers, up,
};

/// A stage whose provider calls back.
#[derive(Clone, Copy)]
struct Victim {
    program: WorkerProgram,
    stage: &'static str,
    engine: &'static str,
    route: &'static str,
}

const VOICES: Victim =
    Victim { program: DIARIZATION, stage: "diarization", engine: "pyannote", route: "pyannote.diarize" };
const SPEECH: Victim = Victim {
    program: TRANSCRIPTION,
    stage: "transcription",
    engine: "lemonfox",
    route: "lemonfox.transcribe",
};

/// Jobs of this stage alone: a crash point is met once.
fn jobs_of(victim: Victim) -> TestOptions {
    let speech = victim.stage == SPEECH.stage;
    TestOptions::hosted()
        .set("SCRYON_TRANSCRIPTION_CALLBACK_ENABLED", speech.to_string())
        .set("PYANNOTE_ENABLED", (!speech).to_string())
        // Looks are minutes apart: it is the callback that ends the wait.
        .set("SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS", "60")
}

/// What the ledger says of the jobs of a stage.
async fn ledger(app: &TestApp, victim: Victim) -> Vec<String> {
    let sql = "select cause || ' ' || state from provider_jobs where stage = $1 order by purchase_no";
    app.database.sql(sql, &[&victim.stage]).await.iter().map(|row| row.get(0)).collect()
}

async fn method(app: &TestApp, victim: Victim) -> String {
    let sql = "select engine from call_stages where stage = $1 and state = 'SUCCEEDED'";
    app.database.sql(sql, &[&victim.stage]).await[0].get(0)
}

async fn submit_dies(victim: Victim, point: &'static str, expected: &[&str]) {
    let options = jobs_of(victim).set("SCRYON_DIARIZATION_TIMEOUT_SECONDS", "4");
    let (app, stack) = app_for_real_workers(options).await;
    let others = WORKERS.iter().filter(|w| w.name != victim.program.name);
    let others = join_all(others.map(|w| up(&stack, w.name, &[]))).await;
    let mut first = up(&stack, victim.program.name, &[("SCRYON_CRASH_AT", point)]).await;
    let audio = unique_wav();
    app.client.upload(audio.clone()).await;
    assert_eq!(first.ended().await, None, "{point} ends by a signal:\n{}", first.log());
    assert!(first.log().contains(&format!("point={point} ")), "{}", first.log());
    let second = up(&stack, victim.program.name, &[]).await;
    all_completed(&app, 1).await;
    assert_eq!(app.bought(victim.route, &audio), 1, "{point}:\n{}", second.log());
    assert_eq!(ledger(&app, victim).await, expected, "{point}");
    assert_eq!(method(&app, victim).await, victim.engine, "{point}");
    drop((others, second));
    app.finish().await;
}

/// Recorded and not sent: nobody can tell, so a callback is waited for and then it is bought, counted. Taken, and the
/// name not written down: the callback tells it. Written down: the next worker looks at the job.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_around_a_submit_buys_nothing_twice() {
    tokio::join!(
        submit_dies(VOICES, "C9", &["first unknown", "ambiguous succeeded"]),
        submit_dies(VOICES, "C10", &["first succeeded"]),
        submit_dies(VOICES, "C11", &["first succeeded"]),
    );
}

/// The same where the callback is all that ever comes: its address names the job.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_around_a_submit_without_a_name_buys_nothing_twice() {
    tokio::join!(
        submit_dies(SPEECH, "C9", &["first unknown", "ambiguous succeeded"]),
        submit_dies(SPEECH, "C10", &["first succeeded"]),
        submit_dies(SPEECH, "C11", &["first succeeded"]),
    );
}

/// Nobody asks the provider any more, so nobody settles what was perhaps submitted: the call goes on without it, and
/// the ledger does not say that somebody is sending it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_perhaps_submitted_to_a_provider_that_is_given_up_is_unknown() {
    let (app, stack) = app_for_real_workers(TestOptions::hosted()).await;
    let others = join_all([TRANSCRIPTION, ANALYSIS].map(|w| up(&stack, w.name, &[]))).await;
    let mut first = up(&stack, DIARIZATION.name, &[("SCRYON_CRASH_AT", "C9")]).await;
    app.client.upload(unique_wav()).await;
    assert_eq!(first.ended().await, None, "C9 ends by a signal:\n{}", first.log());
    assert_eq!(ledger(&app, VOICES).await, ["first sending"]);
    let give_up =
        "insert into provider_circuits (engine, forced, forced_reason) values ('pyannote', 'open', 'test')
         on conflict (engine) do update set forced = excluded.forced, forced_reason = excluded.forced_reason";
    app.database.sql(give_up, &[]).await;
    let second = up(&stack, DIARIZATION.name, &[]).await;
    all_completed(&app, 1).await;
    assert_ne!(method(&app, VOICES).await, "pyannote");
    assert_eq!(ledger(&app, VOICES).await, ["first unknown"]);
    drop((others, second));
    app.finish().await;
}

async fn callback_dies(victim: Victim, point: &'static str) {
    let parts = Parts { api: false, workers: true, sweeper: true };
    let port = free_port().to_string();
    let public = format!("http://127.0.0.1:{port}");
    let options = jobs_of(victim).parts(parts).set("SCRYON_PUBLIC_BASE_URL", &public);
    let app = TestApp::start_with(options).await;
    let stack = Stack::new(app.settings.clone(), app.storage.path().to_owned());
    let (mut api, _address) = api_up(&stack, &[("SERVER_PORT", &port), ("SCRYON_CRASH_AT", point)]).await;
    let client = Client::new(public);
    app.simulator.fail_next(victim.route, 1, Fault::Callback(CallbackFault::Held));
    let audio = unique_wav();
    let upload = client.request(Method::POST, "/api/calls/analyze").multipart(Client::form(audio.clone()));
    assert_eq!(upload.send().await.unwrap().status(), 202);
    // A callback that comes before the stage waits for it is kept, and wakes nobody.
    eventually("a stage that waits for its callback", || async {
        let sql = "select count(*) from call_stages where stage = $1 and state = 'WAITING'";
        let waiting: i64 = app.database.sql(sql, &[&victim.stage]).await[0].get(0);
        (waiting == 1 && app.simulator.held() == 1).then_some(())
    })
    .await;
    app.simulator.release();
    assert_eq!(api.ended().await, None, "{point} ends by a signal:\n{}", api.log());
    assert!(api.log().contains(&format!("point={point} ")), "{}", api.log());
    // Nobody is there to hear the provider's repetition: the row is enough.
    all_completed(&app, 1).await;
    assert_eq!(app.bought(victim.route, &audio), 1, "{point}");
    assert_eq!(ledger(&app, victim).await, ["first succeeded"], "{point}");
    assert_eq!(method(&app, victim).await, victim.engine, "{point}");
    app.finish().await;
}

/// Kept and not answered; answered and not announced.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_dies_around_a_callback_loses_nothing() {
    tokio::join!(
        callback_dies(VOICES, "C12"),
        callback_dies(VOICES, "C13"),
        callback_dies(SPEECH, "C12"),
        callback_dies(SPEECH, "C13"),
    );
}
