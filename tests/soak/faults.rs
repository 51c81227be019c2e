//! One fault after the other.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use scryon_domain::stage::{Lane, StageKind};
use scryon_testkit::{Dice, Fault, Pair, Stack, StackProgram, TestApp, elapse, eventually};

use crate::traffic::Traffic;

/// Two of each, so that one may be missing.
const PROGRAMS: [&str; 8] = [
    "scryon-transcription-worker",
    "scryon-transcription-worker",
    "scryon-diarization-worker",
    "scryon-diarization-worker",
    "scryon-analysis-worker",
    "scryon-analysis-worker",
    "scryon-sweeper",
    "scryon-sweeper",
];
const ROUTES: [&str; 3] = ["transcribe", "diarize", "analyze"];

/// How often of 24, and what.
const CHANCES: [(u32, Kind); 9] = [
    (7, Kind::Kill),
    (3, Kind::Terminate),
    (3, Kind::Freeze),
    (3, Kind::ProviderErrors),
    (2, Kind::ProviderThrottles),
    (3, Kind::ProviderCuts),
    (1, Kind::Purge),
    (1, Kind::Broker),
    (1, Kind::Postgres),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Kill,
    Terminate,
    Freeze,
    ProviderErrors,
    ProviderThrottles,
    ProviderCuts,
    Purge,
    Broker,
    Postgres,
}

/// The programs, and what was done to them.
pub(crate) struct Faults<'a> {
    stack: Stack,
    pair: &'a Pair,
    programs: Vec<StackProgram>,
    done: BTreeMap<Kind, u32>,
}

impl fmt::Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in all", self.done.values().sum::<u32>())?;
        self.done.iter().try_for_each(|(kind, count)| write!(f, ", {kind:?} {count}"))
    }
}

impl<'a> Faults<'a> {
    /// Starts the programs.
    pub(crate) async fn start(app: &TestApp, pair: &'a Pair) -> Self {
        let stack = Stack::new(app.settings.clone(), app.storage.path().to_owned());
        let programs = PROGRAMS.iter().map(|name| stack.start(name, &[])).collect();
        Self { stack, pair, programs, done: BTreeMap::new() }
    }

    /// Strikes until the time is over; each fault is undone before the next.
    pub(crate) async fn strike(&mut self, app: &TestApp, traffic: &Traffic, mut dice: Dice, until: Instant) {
        // Something to break.
        eventually("the first calls", || async { (traffic.kept().len() > 20).then_some(()) }).await;
        while Instant::now() < until {
            let kind = choose(&mut dice);
            self.once(app, kind, &mut dice).await;
            *self.done.entry(kind).or_default() += 1;
            elapse(Duration::from_millis(u64::from(500 + dice.roll(1500)))).await;
        }
    }

    async fn once(&mut self, app: &TestApp, kind: Kind, dice: &mut Dice) {
        let victim = dice.roll(8) as usize;
        let route = ROUTES[dice.roll(3) as usize];
        match kind {
            Kind::Kill => {
                self.programs[victim].kill().await;
                self.restart(victim);
            }
            Kind::Terminate => {
                self.programs[victim].signal("TERM").await;
                let code = self.programs[victim].ended().await;
                assert_eq!(code, Some(0), "{}", self.programs[victim].log());
                self.restart(victim);
            }
            Kind::Freeze => {
                self.programs[victim].signal("STOP").await;
                elapse(Duration::from_millis(u64::from(500 + dice.roll(6000)))).await;
                self.programs[victim].signal("CONT").await;
            }
            Kind::ProviderErrors => app.simulator.fail_next(route, 5, Fault::Status(500, None)),
            Kind::ProviderThrottles => app.simulator.fail_next(route, 10, Fault::Status(429, Some(1))),
            Kind::ProviderCuts => app.simulator.fail_next(route, 3, Fault::CutAfterPurchase),
            Kind::Purge => app.broker().await.purge_queues(&app.topology()).await,
            Kind::Broker => {
                self.pair.control("kill", "rabbitmq").await;
                self.pair.control("start", "rabbitmq").await;
                queues_back(app).await;
            }
            Kind::Postgres => {
                self.pair.control("stop", "postgres").await;
                elapse(Duration::from_millis(u64::from(500 + dice.roll(3000)))).await;
                self.pair.control("start", "postgres").await;
            }
        }
    }

    fn restart(&mut self, victim: usize) {
        self.programs[victim] = self.stack.start(PROGRAMS[victim], &[]);
    }

    /// Stops the programs as a deployment does.
    pub(crate) async fn stop(mut self) {
        for program in &self.programs {
            program.signal("TERM").await;
        }
        for program in &mut self.programs {
            assert_eq!(program.ended().await, Some(0), "{}", program.log());
        }
    }
}

fn choose(dice: &mut Dice) -> Kind {
    let mut roll = dice.roll(CHANCES.iter().map(|(chance, _)| chance).sum());
    for (chance, kind) in CHANCES {
        match roll.checked_sub(chance) {
            Some(rest) => roll = rest,
            None => return kind,
        }
    }
    Kind::Kill
}

/// RabbitMQ 3.10 takes its time to elect leaders again; the next fault waits for it.
async fn queues_back(app: &TestApp) {
    for (stage, lane) in StageKind::ALL.into_iter().flat_map(|s| Lane::ALL.map(|l| (s, l))) {
        eventually("the queues to be back", || async { app.context.publisher.depth(stage, lane).await.ok() })
            .await;
    }
}
