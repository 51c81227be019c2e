//! The real programs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use scryon_testkit::{Stack, StackProgram, TestApp, elapse, eventually, free_port};

use crate::figures::{Peace, Watch};
use crate::operators::try_query;

/// Two of each, so that one may be missing.
const PROGRAMS: [&str; 10] = [
    "scryon-api",
    "scryon-api",
    "scryon-transcription-worker",
    "scryon-transcription-worker",
    "scryon-diarization-worker",
    "scryon-diarization-worker",
    "scryon-analysis-worker",
    "scryon-analysis-worker",
    "scryon-sweeper",
    "scryon-sweeper",
];
const LOOK: Duration = Duration::from_millis(50);
/// From then on nobody takes over any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// The programs, each in its place.
pub(crate) struct Programs {
    app: Arc<TestApp>,
    stack: Stack,
    ports: [String; 2],
    all: Vec<StackProgram>,
    redone: Arc<Redone>,
    peace: Arc<Peace>,
}

/// From a kill to the start of the redo.
#[derive(Debug, Default)]
pub(crate) struct Redone {
    pub(crate) all: Watch,
    /// Of those, the ones while no server was away and nothing was paused.
    pub(crate) in_peace: Watch,
}

/// Two ports for the APIs, which keep them over their deaths.
pub(crate) fn ports() -> [String; 2] {
    [(); 2].map(|()| free_port().to_string())
}

impl Programs {
    pub(crate) fn start(app: &Arc<TestApp>, ports: [String; 2], peace: Arc<Peace>) -> Self {
        let stack = Stack::new(app.settings.clone(), app.storage.path().to_owned());
        let (app, redone) = (app.clone(), Arc::default());
        let mut programs = Self { app, stack, ports, all: Vec::new(), redone, peace };
        programs.all = (0..PROGRAMS.len()).map(|place| programs.started(place)).collect();
        programs
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap()
    }

    pub(crate) fn redone(&self) -> Arc<Redone> {
        self.redone.clone()
    }

    fn started(&self, place: usize) -> StackProgram {
        let port = self.ports.get(place).map(|port| ("SERVER_PORT", port.as_str()));
        self.stack.start(PROGRAMS[place], port.as_slice())
    }

    pub(crate) async fn kill(&mut self, place: usize) -> &'static str {
        let process = self.all[place].id();
        self.all[place].kill().await;
        tokio::spawn(watch(self.app.clone(), process, self.redone.clone(), self.peace.clone()));
        self.all[place] = self.started(place);
        match PROGRAMS[place] {
            "scryon-api" => "APIs killed",
            "scryon-sweeper" => "sweepers killed",
            _ => "workers killed",
        }
    }

    /// As a deployment does.
    pub(crate) async fn replace(&mut self, place: usize) -> &'static str {
        ended(&mut self.all[place]).await;
        self.all[place] = self.started(place);
        "programs replaced (TERM)"
    }

    pub(crate) async fn signal(&self, place: usize, signal: &str) {
        self.all[place].signal(signal).await;
    }

    pub(crate) async fn stop(mut self) {
        for program in &mut self.all {
            ended(program).await;
        }
    }
}

/// Whatever it was doing, it ends well.
async fn ended(program: &mut StackProgram) {
    // Before it listens for it, TERM ends a program as it ends any.
    eventually(&format!("{} to listen to signals", program.name), || async {
        program.log().contains(" started\"").then_some(())
    })
    .await;
    program.signal("TERM").await;
    assert_eq!(program.ended().await, Some(0), "{}", program.log());
}

/// What a process that is dead holds: how long until each of it is begun again, or nobody's wish any more. Those that
/// nobody took over are a figure, too.
async fn watch(app: Arc<TestApp>, process: u32, redone: Arc<Redone>, peace: Arc<Peace>) {
    const HELD: &str = "select count(*) from call_stages
         where state = 'RUNNING' and split_part(lease_owner, ':', 2) = $1::text";
    let (killed, then) = (Instant::now(), peace.now());
    let mut held = None;
    let one_more = || {
        redone.all.add(killed.elapsed());
        if peace.held_since(then) {
            redone.in_peace.add(killed.elapsed());
        }
    };
    while held != Some(0) && killed.elapsed() < PATIENCE {
        if let Some(rows) = try_query(&app.database.url, HELD, &[&process.to_string()]).await {
            let now: i64 = rows[0].get(0);
            (now..held.unwrap_or(now)).for_each(|_| one_more());
            held = Some(now);
        }
        elapse(LOOK).await;
    }
    (0..held.unwrap_or_default()).for_each(|_| one_more());
}
