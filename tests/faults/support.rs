//! What most fault tests need.

use std::time::Duration;

use futures_util::StreamExt;
use scryon_testkit::{
    Client, Parts, Stack, StackProgram, TestApp, TestOptions, elapse, eventually, unique_wav,
};
use uuid::Uuid;

pub(crate) use scryon_testkit::{objects, scale};

/// [`scale`] of a time.
pub(crate) fn scale_time(what: &str, small: u64, full: u64) -> Duration {
    let seconds = scale(&format!("seconds of {what}"), small as usize, full as usize);
    Duration::from_secs(seconds as u64)
}

/// The worker programs, and the stage of each that buys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkerProgram {
    pub(crate) name: &'static str,
    /// Of the fake provider.
    pub(crate) route: &'static str,
    pub(crate) stage: &'static str,
}

pub(crate) const TRANSCRIPTION: WorkerProgram =
    WorkerProgram { name: "scryon-transcription-worker", route: "transcribe", stage: "transcription" };
pub(crate) const DIARIZATION: WorkerProgram =
    WorkerProgram { name: "scryon-diarization-worker", route: "diarize", stage: "diarization" };
pub(crate) const ANALYSIS: WorkerProgram =
    WorkerProgram { name: "scryon-analysis-worker", route: "analyze", stage: "analysis" };
pub(crate) const WORKERS: [WorkerProgram; 3] = [TRANSCRIPTION, DIARIZATION, ANALYSIS];

pub(crate) const API_AND_SWEEPER: Parts = Parts { api: true, workers: false, sweeper: true };

/// API and sweeper in this process; workers are real programs beside it.
pub(crate) async fn app_for_real_workers(options: TestOptions) -> (TestApp, Stack) {
    let app = TestApp::start_with(options.parts(API_AND_SWEEPER)).await;
    let stack = Stack::new(app.settings.clone(), app.storage.path().to_owned());
    (app, stack)
}

/// Starts a program and waits until it is up.
pub(crate) async fn up(stack: &Stack, name: &'static str, extra: &[(&str, &str)]) -> StackProgram {
    let program = stack.start(name, extra);
    eventually(&format!("{name} to be up"), || async {
        program.log().contains(&format!("msg=\"{name} started\"")).then_some(())
    })
    .await;
    program
}

/// Starts the API as a real program on a port of its own; gives its `host:port`, too.
pub(crate) async fn api_up(stack: &Stack, extra: &[(&str, &str)]) -> (StackProgram, String) {
    let own = [("SERVER_PORT", "0"), ("SCRYON_LOG", "warn,scryon_api=info,scryon_runtime=info")];
    let settings: Vec<_> = own.into_iter().chain(extra.iter().copied()).collect();
    let api = stack.start("scryon-api", &settings);
    let address = eventually("the API's address", || async {
        let log = api.log();
        let (_, address) = log.split_once("API open at http://")?;
        address.split('"').next().map(str::to_owned)
    })
    .await;
    (api, address)
}

/// Uploads so many recordings, eight at a time.
pub(crate) async fn upload_many(app: &TestApp, count: usize) -> Vec<Uuid> {
    futures_util::stream::iter(0..count)
        .map(|_| app.client.upload(unique_wav()))
        .buffer_unordered(8)
        .collect()
        .await
}

/// Some calls a second, enough that every stage has some in its hands at any moment.
const PAUSE: Duration = Duration::from_millis(40);

/// Uploads at a steady pace; gives the calls that were promised. With a server away a refusal is allowed,
/// a broken promise is not.
pub(crate) async fn steady_load(app: &TestApp, uploads: usize) -> Vec<Uuid> {
    let sent = (0..uploads).map(async |n: usize| {
        elapse(PAUSE * u32::try_from(n).unwrap()).await;
        let answer = app.client.upload_form(Client::form(unique_wav())).await;
        assert!(matches!(answer.status, 202 | 503), "{} {}", answer.status, answer.text);
        (answer.status == 202).then(|| answer.body["callId"].as_str().unwrap().parse().unwrap())
    });
    futures_util::future::join_all(sent).await.into_iter().flatten().collect()
}

/// The value of a metric's line that begins so; 0 where there is none.
pub(crate) fn figure(app: &TestApp, line: &str) -> f64 {
    let metrics = app.metrics();
    let line = metrics.lines().find_map(|l| l.strip_prefix(line)).unwrap_or("0");
    line.trim().parse().unwrap_or_default()
}

/// Waits until every call is COMPLETED, and there are `count` of them.
pub(crate) async fn all_completed(app: &TestApp, count: usize) {
    all_completed_within(app, count, Duration::from_secs(120)).await;
}

pub(crate) async fn all_completed_within(app: &TestApp, count: usize, patience: Duration) {
    let client = app.database.client().await;
    let done = "select count(*) from call_records where status = 'COMPLETED'";
    let look = async {
        while client.query_one(done, &[]).await.unwrap().get::<_, i64>(0) != count as i64 {
            elapse(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(patience, look).await.is_err() {
        panic!("not {count} calls COMPLETED within {patience:?}, but:\n{}", standing(app).await);
    }
}

/// Where the calls stand, for the message of a test that waited in vain.
async fn standing(app: &TestApp) -> String {
    let sql = "select c.status || ' ' || coalesce(c.error_reason, '') || ' ' || coalesce(s.stage || ' ' || s.state || ' ' ||
             coalesce(s.error_code, ''), '') || ', announced ' || coalesce(max(s.publish_n), max(c.publish_n)) || ' times, due in ' ||
             coalesce(extract(epoch from min(coalesce(s.publish_due, c.publish_due)) - now())::int::text, '?') || ' s: ' || count(*)
         from call_records c left join call_stages s on s.call_id = c.id and s.run_no = c.run_no
              and s.state in ('PENDING', 'RUNNING', 'WAITING', 'FAILED')
         group by c.status, c.error_reason, s.stage, s.state, s.error_code";
    app.database.sql(sql, &[]).await.iter().map(|r| r.get::<_, String>(0) + "\n").collect()
}

/// Each of so many recordings was transcribed, diarized and analysed once.
pub(crate) fn bought_once_each(app: &TestApp, calls: usize) {
    let purchases = app.simulator.purchases();
    for route in ["transcribe", "diarize", "analyze"] {
        let bought: Vec<usize> = purchases.iter().filter(|p| p.route == route).map(|p| p.count).collect();
        assert_eq!(bought.iter().sum::<usize>(), calls, "{route}: {bought:?}");
    }
}
