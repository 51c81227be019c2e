//! What requests to hosted providers cost a worker: many in flight at once, each one's processor time, a large
//! recording on its way, and a provider that dies. The providers are the simulator's, inside this process, so that
//! nothing of theirs is charged to the worker.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use scryon_simulator::{Fault, HostedOptions, Options, Quota, Simulator, sandbox_settings, serve};
use serde_json::{Map, Value, json};

use crate::backlog::{TINY_SAMPLES, seed};
use crate::load::{Pace, upload, upload_one};
use crate::stack::{Places, Stack};
use crate::{round, say};

const WORKER: &str = "scryon-transcription-worker";
const ROUTE: &str = "lemonfox.transcribe";
/// Requests that one worker holds at once.
const HELD: i64 = 2_000;
/// Samples of 256 KiB.
const USUAL_SAMPLES: u32 = (256 << 9) - 22;
/// Requests of which each costs what is measured.
const COUNTED: i64 = 3_000;
/// The most that Lemonfox takes.
const LARGE_BYTES: usize = 100_000_000;
const REQUESTS_PER_SECOND: f64 = 50.0;
const PATIENCE: Duration = Duration::from_secs(240);

/// Goals: what is measured has to stay below.
const GOAL_HELD_MB: f64 = 200.0;
const GOAL_REQUEST_MS: f64 = 1.0;
const GOAL_LARGE_MB: f64 = 32.0;
const GOAL_OPEN_SECONDS: f64 = 2.0;

/// All of it.
pub(crate) async fn measure(places: &Places, figures: &mut Map<String, Value>) -> Result<(), String> {
    let mut part = Map::new();
    held(places, &mut part).await?;
    overhead(places, &mut part).await?;
    large(places, &mut part).await?;
    death(places, &mut part).await?;
    figures.insert("in_flight".into(), Value::Object(part));
    Ok(())
}

/// Hosted providers that do what they are told.
fn provider() -> Result<(Simulator, String), String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let options = Options { ledger: false, ..Options::default() };
    let (simulator, server) = serve(listener, options).map_err(|e| e.to_string())?;
    tokio::spawn(server);
    simulator.set_hosted(HostedOptions::sandbox());
    Ok((simulator, format!("http://{address}")))
}

/// A stack that asks Lemonfox and nobody else. Assembly is left to the diarization worker, so that the transcription
/// worker is charged for transcription alone.
async fn stack(places: &Places, provider: &str) -> Result<Stack, String> {
    let slots = (HELD + 1).to_string();
    let hosted = sandbox_settings(provider);
    let mut settings: Vec<(&str, &str)> =
        hosted.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.extend([
        ("SCRYON_DIARIZATION_ENGINES", "fake"),
        ("SCRYON_ANALYSIS_ENABLED", "false"),
        // Of a stage's slots live calls may use all but one.
        ("SCRYON_TRANSCRIPTION_SLOTS", slots.as_str()),
        ("SCRYON_TENANT_MAX_IN_FLIGHT", "100000"),
        ("MAX_FILE_SIZE", "200MB"),
        ("MAX_REQUEST_SIZE", "200MB"),
        // No callbacks: each request is held until its answer.
        ("SCRYON_PUBLIC_BASE_URL", ""),
    ]);
    let own = [(WORKER, "SCRYON_STAGES", "preprocessing,transcription")];
    Stack::start_with(places, provider, &settings, &own).await
}

/// One line of figures with its goal, and the same in the JSON.
fn figure(part: &mut Map<String, Value>, name: &str, text: &str, value: f64, goal: f64) {
    let verdict = if value < goal { "met" } else { "MISSED" };
    say(&format!("    {text:<58} {value:8.2}   goal < {goal}   {verdict}"));
    part.insert(name.to_owned(), json!({"measured": (value * 100.0).round() / 100.0, "goal_below": goal}));
}

async fn wait_for(what: &str, mut done: impl AsyncFnMut() -> Result<bool, String>) -> Result<(), String> {
    let started = Instant::now();
    while !done().await? {
        if started.elapsed() > PATIENCE {
            return Err(format!("{what}: not in time"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn all_complete(stack: &Stack, calls: i64) -> Result<(), String> {
    let drained = stack.drain(PATIENCE).await?;
    match drained.completed {
        completed if completed == calls => Ok(()),
        completed => Err(format!("{completed} of {calls} calls were completed")),
    }
}

/// Requests whose bodies have arrived and whose answers are held back: all of them are in flight at once.
async fn held(places: &Places, part: &mut Map<String, Value>) -> Result<(), String> {
    let (simulator, address) = provider()?;
    let stack = stack(places, &address).await?;
    let before = stack.program(WORKER)?.usage();
    simulator.fail_next(ROUTE, HELD as usize, Fault::Hold);
    seed(&stack, USUAL_SAMPLES, 1..=HELD).await?;
    wait_for("2,000 requests in flight", async || Ok(simulator.held() as i64 == HELD)).await?;
    // A lease is renewed meanwhile, as it is while a provider takes its time.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let in_flight = stack.program(WORKER)?.usage();
    simulator.release();
    all_complete(&stack, HELD).await?;
    let after = stack.program(WORKER)?.usage();
    say(&format!(
        "in flight           {HELD} requests held for 20 s by one transcription worker, 256 KiB each"
    ));
    part.insert("held_requests".into(), json!(HELD));
    part.insert("idle_worker_mb".into(), round(before.peak_mb));
    figure(
        part,
        "held_worker_mb",
        "its peak memory while they are held, MB",
        in_flight.peak_mb,
        GOAL_HELD_MB,
    );
    figure(part, "answered_worker_mb", "and with all their answers at once, MB", after.peak_mb, GOAL_HELD_MB);
    stack.stop().await;
    Ok(())
}

/// The processor time of a request is what calls cost with it beyond what the same recordings cost once the ledger has
/// their answers: claim, ledger, documents and Finish are the same, only nobody is asked.
async fn overhead(places: &Places, part: &mut Map<String, Value>) -> Result<(), String> {
    let (simulator, address) = provider()?;
    let stack = stack(places, &address).await?;
    let mut calls = 0;
    let mut cost = async |numbers: std::ops::RangeInclusive<i64>| -> Result<(f64, usize), String> {
        let count = numbers.end() - numbers.start() + 1;
        simulator.set_quota(ROUTE, Some(ANY));
        let before = stack.program(WORKER)?.usage();
        seed(&stack, TINY_SAMPLES, numbers).await?;
        calls += count;
        all_complete(&stack, calls).await?;
        let after = stack.program(WORKER)?.usage();
        let asked = simulator.traffic(ROUTE).map_or(0, |t| t.taken);
        Ok(((after.cpu_seconds - before.cpu_seconds) * 1000.0 / count as f64, asked))
    };
    cost(1..=500).await?;
    let (mut with, mut without) = (0.0, 0.0);
    for round in 1..=2 {
        let numbers = || round * COUNTED + 1..=(round + 1) * COUNTED;
        let (fresh, asked) = cost(numbers()).await?;
        let (again, asked_again) = cost(numbers()).await?;
        if asked as i64 != COUNTED || asked_again != 0 {
            return Err(format!("{asked} requests, then {asked_again}: nothing can be told from that"));
        }
        with += fresh / 2.0;
        without += again / 2.0;
    }
    say(&format!(
        "a request           {with:.2} ms of the worker's CPU for a call that asks, {without:.2} ms for one that the ledger answers"
    ));
    part.insert("call_cpu_ms".into(), json!({"asked": hundredths(with), "from_ledger": hundredths(without)}));
    figure(part, "request_cpu_ms", "what the request costs of it, ms", with - without, GOAL_REQUEST_MS);
    stack.stop().await;
    Ok(())
}

/// No request is too much; they are counted.
const ANY: Quota = Quota { per_second: usize::MAX, retry_after: None };

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A recording as large as the provider takes.
async fn large(places: &Places, part: &mut Map<String, Value>) -> Result<(), String> {
    let (simulator, address) = provider()?;
    let stack = stack(places, &address).await?;
    // Connections and code of a first call are not the recording's.
    seed(&stack, TINY_SAMPLES, 1..=10).await?;
    all_complete(&stack, 10).await?;
    let before = stack.program(WORKER)?.forget_peak()?;
    simulator.set_quota(ROUTE, Some(ANY));
    match upload_one(&stack.address, LARGE_BYTES).await {
        Ok(202) => {}
        other => return Err(format!("the upload of 100 MB was answered with {other:?}")),
    }
    all_complete(&stack, 11).await?;
    let peak = stack.program(WORKER)?.usage().peak_mb;
    if simulator.traffic(ROUTE).map(|t| t.taken) != Some(1) {
        return Err("the recording was not handed over once".to_owned());
    }
    say("a large recording   100 MB handed to a provider");
    figure(part, "large_growth_mb", "growth of the worker's memory, MB", peak - before, GOAL_LARGE_MB);
    stack.stop().await;
    Ok(())
}

/// A provider that dies under load, twice found dead, and lives again.
async fn death(places: &Places, part: &mut Map<String, Value>) -> Result<(), String> {
    let (simulator, address) = provider()?;
    let stack = stack(places, &address).await?;
    let uploads = tokio::spawn({
        let address = stack.address.clone();
        let pace = Pace::Rate { per_second: REQUESTS_PER_SECOND };
        async move { upload(&address, pace, Duration::from_secs(50)).await }
    });
    simulator.set_quota(ROUTE, Some(ANY));
    let taken = || simulator.traffic(ROUTE).map_or(0, |t| t.taken);
    wait_for("requests to flow", async || Ok(taken() as f64 >= 4.0 * REQUESTS_PER_SECOND)).await?;
    let began = taken();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rate = (taken() - began) as f64 / 2.0;

    let (died, before) = (Instant::now(), taken());
    simulator.fail_next(ROUTE, 1_000_000, Fault::Status(500, None));
    let opened = |times: i64| {
        format!(
            "select count(*) from provider_circuits where engine = 'lemonfox' and open_until > now() and openings >= {times}"
        )
    };
    wait_for("the circuit to open", async || Ok(stack.number(&opened(1)).await? == 1)).await?;
    let open_seconds = died.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked_dead = taken() - before;

    // Half open for the first time: the probe fails.
    simulator.set_quota(ROUTE, Some(ANY));
    wait_for("the circuit to open again", async || Ok(stack.number(&opened(2)).await? == 1)).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let failed_probes = taken();
    // Half open for the second time: while the probe is under way nobody else asks.
    simulator.clear_faults();
    simulator.fail_next(ROUTE, 1, Fault::Hold);
    simulator.set_quota(ROUTE, Some(ANY));
    wait_for("the probe", async || Ok(simulator.held() == 1)).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let probes = taken();
    simulator.release();
    let sent = uploads.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    all_complete(&stack, sent.accepted as i64).await?;

    say(&format!(
        "a provider's death  at {rate:.0} requests/s; all {} calls completed afterwards",
        sent.accepted
    ));
    figure(part, "open_seconds", "until its circuit is open, s", open_seconds, GOAL_OPEN_SECONDS);
    part.insert("requests_per_s".into(), round(rate));
    part.insert("asked_while_dead".into(), json!(asked_dead));
    say(&format!("    requests that met the dead provider {asked_dead:>31}"));
    for (name, text, count) in [
        ("probes_of_the_dead", "requests of the half open circuit, dead", failed_probes),
        ("probes_of_the_living", "and alive, in 5 s without an answer", probes),
    ] {
        let verdict = if count == 1 { "met" } else { "MISSED" };
        say(&format!("    {text:<58} {count:8}   goal 1        {verdict}"));
        part.insert(name.to_owned(), json!({"measured": count, "goal": 1}));
    }
    stack.stop().await;
    Ok(())
}
