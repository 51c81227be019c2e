//! Four hands that break things, each one thing after the other: programs, providers, wires and servers. What one
//! hand breaks is whole again before it breaks the next; the others do not wait for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scryon_domain::stage::{Lane, StageKind};
use scryon_testkit::{CallbackFault, Dice, Fault, Pair, Proxy, TestApp, Way, elapse, eventually_within};

use crate::figures::Peace;
use crate::programs::Programs;

const ROUTES: [&str; 3] = ["transcribe", "pyannote.diarize", "analyze"];
const LATE: Duration = Duration::from_secs(3);
/// Programs that declare queues may be dead or frozen themselves.
const PATIENCE: Duration = Duration::from_secs(180);

/// What was done, how often.
#[derive(Debug, Default)]
pub(crate) struct Injected(BTreeMap<&'static str, u32>);

impl Injected {
    pub(crate) fn count(&self) -> u32 {
        self.0.values().sum()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said: Vec<String> = self.0.iter().map(|(what, count)| format!("{what} {count}")).collect();
        f.write_str(&said.join(", "))
    }
}

/// Strikes until the time is over, with pauses of this many milliseconds between.
async fn strike(
    mut dice: Dice,
    pause: [u32; 2],
    until: Instant,
    mut once: impl AsyncFnMut(&mut Dice) -> &'static str,
) -> Injected {
    let mut injected = Injected::default();
    while Instant::now() < until {
        let what = once(&mut dice).await;
        *injected.0.entry(what).or_default() += 1;
        some_time(&mut dice, pause).await;
    }
    injected
}

async fn some_time(dice: &mut Dice, [from, to]: [u32; 2]) {
    elapse(Duration::from_millis(u64::from(from + dice.roll(to - from)))).await;
}

/// Workers, APIs and sweepers die, are told to stop, or stand still for a while.
pub(crate) async fn on_programs(programs: &mut Programs, dice: Dice, until: Instant) -> Injected {
    strike(dice, [500, 2_000], until, async |dice| {
        let victim = dice.roll(programs.count()) as usize;
        match dice.roll(13) {
            0..7 => programs.kill(victim).await,
            7..10 => programs.replace(victim).await,
            _ => {
                programs.signal(victim, "STOP").await;
                some_time(dice, [500, 6_500]).await;
                programs.signal(victim, "CONT").await;
                "programs frozen (STOP, CONT)"
            }
        }
    })
    .await
}

/// Providers refuse, fail, are late, and cut connections after they were paid; callbacks are lost, doubled, late.
pub(crate) async fn on_providers(app: &TestApp, dice: Dice, until: Instant) -> Injected {
    strike(dice, [2_000, 6_000], until, async |dice| {
        let route = ROUTES[dice.roll(3) as usize];
        let (what, route, count, fault) = match dice.roll(9) {
            0 | 1 => ("providers' 500", route, 5, Fault::Status(500, None)),
            2 => ("providers' 429", route, 10, Fault::Status(429, Some(1))),
            3 | 4 => ("answers cut after the purchase", route, 3, Fault::CutAfterPurchase),
            5 => ("slow answers", route, 10, Fault::Latency(LATE)),
            6 => ("callbacks lost", ROUTES[1], 3, Fault::Callback(CallbackFault::Never)),
            7 => ("callbacks doubled", ROUTES[1], 5, Fault::Callback(CallbackFault::Doubled)),
            _ => ("callbacks late", ROUTES[1], 5, Fault::Callback(CallbackFault::Delayed(LATE))),
        };
        // A bad phase ends with the next one. What nobody met, because nobody asks a provider that fails, would outlive
        // the soak by far.
        app.simulator.clear_faults();
        app.simulator.fail_next(route, count, fault);
        what
    })
    .await
}

/// Connections of programs are cut, reset, delayed, or fall silent.
pub(crate) async fn on_wires(app: &TestApp, peace: &Arc<Peace>, dice: Dice, until: Instant) -> Injected {
    strike(dice, [4_000, 12_000], until, async |dice| {
        let wires = app.wires();
        let wire: &Proxy = [&wires.postgres, &wires.broker, &wires.provider][dice.roll(3) as usize];
        peace
            .without(async {
                match dice.roll(6) {
                    0 | 1 => {
                        wire.cut();
                        "wires cut (FIN)"
                    }
                    2 => {
                        wire.reset();
                        "wires cut (RST)"
                    }
                    3 | 4 => {
                        wire.delay(&Way::BOTH, Duration::from_millis(u64::from(5 + dice.roll(60))));
                        some_time(dice, [1_000, 4_000]).await;
                        wire.heal();
                        "wires delayed"
                    }
                    _ => {
                        wire.silence(&Way::BOTH);
                        some_time(dice, [1_000, 6_000]).await;
                        wire.heal();
                        "wires silent"
                    }
                }
            })
            .await
    })
    .await
}

/// Servers stop, die, and lose what they had.
pub(crate) async fn on_servers(
    app: &TestApp,
    pair: &Pair,
    peace: &Arc<Peace>,
    dice: Dice,
    until: Instant,
) -> Injected {
    strike(dice, [8_000, 20_000], until, async |dice| {
        peace
            .without(async {
                match dice.roll(7) {
                    0 => {
                        app.broker().await.purge_queues(&app.topology()).await;
                        "queues emptied"
                    }
                    1 | 2 => {
                        app.broker().await.delete_queues(&app.topology()).await;
                        queues_back(app).await;
                        "queues deleted"
                    }
                    3 | 4 => {
                        pair.control("kill", "rabbitmq").await;
                        pair.control("start", "rabbitmq").await;
                        queues_back(app).await;
                        "broker killed"
                    }
                    way => {
                        let (action, what) =
                            [("stop", "Postgres stopped"), ("kill", "Postgres killed")][way as usize - 5];
                        pair.control(action, "postgres").await;
                        some_time(dice, [500, 3_500]).await;
                        pair.control("start", "postgres").await;
                        what
                    }
                }
            })
            .await
    })
    .await
}

/// RabbitMQ 3.10 takes its time to elect leaders again; the next fault waits for it.
async fn queues_back(app: &TestApp) {
    for (stage, lane) in StageKind::ALL.into_iter().flat_map(|s| Lane::ALL.map(|l| (s, l))) {
        eventually_within(PATIENCE, "the queues to be back", || async {
            app.context.publisher.depth(stage, lane).await.ok()
        })
        .await;
    }
}
