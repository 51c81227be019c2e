//! `make bench`: our stack, the database's own limit and the peer, in one run on one machine.

mod backlog;
mod in_flight;
mod load;
mod peer;
mod procs;
mod stack;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::{Map, Value, json};

use crate::load::{Found, Pace, upload};
use crate::peer::Pool;
use crate::procs::{Running, Usage, find, tree_usage};
use crate::stack::{Places, Stack, free_port};

/// Connections of a flat load, as the peer's own script has it.
const CONNECTIONS: usize = 16;

/// The benchmark.
#[derive(Parser)]
struct Arguments {
    /// Write the figures to this file, too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Seconds of each load.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Uploads a second with the slow provider.
    #[arg(long, default_value_t = 260.0)]
    slow_rate: f64,
    /// Only these parts: instant, limit, peer, slow, backlog, in-flight.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Leave out parts, by the names above; cleanup keeps what was stored, for a run soon after.
    #[arg(long, value_delimiter = ',')]
    skip: Vec<String>,
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    amqp_url: String,
    /// Where logs, storage and the peer's packages go.
    #[arg(long, default_value = "var/bench")]
    work: PathBuf,
}

#[tokio::main]
#[allow(clippy::print_stderr)] // a tool for a terminal
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let work = arguments.work.clone();
    let cleans = !arguments.skip.iter().any(|s| s == "cleanup");
    let ended = bench(arguments).await;
    if cleans {
        remove_storage(&work);
    }
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Not before the end: a file system that has just deleted thousands of files creates new ones slowly (ext4
/// does not use an inode again at once), which would be charged to whoever is measured next.
fn remove_storage(work: &Path) {
    for entry in std::fs::read_dir(work).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("bench_") {
            let _left = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[allow(clippy::print_stdout)] // the figures are what it is for
pub(crate) fn say(text: &str) {
    println!("{text}");
}

async fn bench(arguments: Arguments) -> Result<(), String> {
    let work = std::path::absolute(&arguments.work).map_err(|e| e.to_string())?;
    std::fs::create_dir_all(&work).map_err(|e| e.to_string())?;
    let binaries = std::env::current_exe().map_err(|e| e.to_string())?;
    let places = Places {
        binaries: binaries.parent().map(Path::to_owned).unwrap_or_default(),
        work,
        database_url: arguments.database_url.clone(),
        amqp_url: arguments.amqp_url.clone(),
    };
    let seconds = Duration::from_secs(arguments.seconds);
    let skip = |what: &str| {
        let named = |list: &[String]| list.iter().any(|s| s == what);
        named(&arguments.skip) || !(arguments.only.is_empty() || named(&arguments.only))
    };
    let mut figures = Map::new();

    if !skip("instant") {
        instant(&places, seconds, &mut figures).await?;
    }
    if !skip("limit") {
        limit(&places, arguments.seconds, &mut figures).await?;
    }
    let code = std::path::absolute("tests/bench/peers/celery").map_err(|e| e.to_string())?;
    if !skip("peer") {
        let venv = peer::prepare(&places.work).await?;
        let provider = provider(&places, 0).await?;
        let pools = [Pool { kind: "prefork", concurrency: 2 }, Pool { kind: "prefork", concurrency: 4 }];
        let best = best_peer(&places, &code, &venv, &provider.0, &pools, seconds).await?;
        provider.1.stop().await;
        figures.insert("peer_completed_per_s".into(), round(best));
    }
    if !skip("slow") {
        slow(&places, arguments.slow_rate, seconds * 2, &mut figures).await?;
        if !skip("peer") {
            let venv = peer::prepare(&places.work).await?;
            let provider = provider(&places, 2000).await?;
            let pools =
                [Pool { kind: "prefork", concurrency: 4 }, Pool { kind: "threads", concurrency: 200 }];
            // A short load is enough: the backlog it leaves takes the peer minutes.
            let best = best_peer(&places, &code, &venv, &provider.0, &pools, Duration::from_secs(5)).await?;
            provider.1.stop().await;
            figures.insert("latency2s_peer_per_s".into(), round(best));
        }
    }
    if !skip("backlog") {
        let (provider, running) = provider(&places, 0).await?;
        let (short, long) = backlog::measure(&places, &provider).await?;
        running.stop().await;
        say(&format!(
            "seeded, tiny audio  {short:7.1} calls/s from a short queue   {long:7.1} calls/s with 100,000 calls queued"
        ));
        figures.insert("short_queue_completed_per_s".into(), round(short));
        figures.insert("backlog_completed_per_s".into(), round(long));
    }
    if !skip("in-flight") {
        in_flight::measure(&places, &mut figures).await?;
    }
    conclude(&figures);
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&figures).map_err(|e| e.to_string())?;
        std::fs::write(file, text + "\n").map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Our stack with instant providers: what it accepts, what it completes, how long a 202 takes.
async fn instant(
    places: &Places,
    duration: Duration,
    figures: &mut Map<String, Value>,
) -> Result<(), String> {
    let (provider, running) = provider(places, 0).await?;
    let stack = Stack::start(places, &provider, &[]).await?;
    let before = stack.usage();
    let servers = server_usage(places);
    let load = upload(&stack.address, Pace::Flat { connections: CONNECTIONS }, duration)
        .await
        .map_err(|e| e.to_string())?;
    let drained = stack.drain(Duration::from_secs(300)).await?;
    say(&format!(
        "instant providers   {:7.1} uploads/s accepted   {:7.1} calls/s completed   ({} of {} calls, {} refused)",
        load.rate(),
        drained.per_second,
        drained.completed,
        drained.calls,
        load.refused
    ));
    say(&format!(
        "                    202 at full load: p50 {:.1} ms, p99 {:.1} ms",
        load.percentile(0.5),
        load.percentile(0.99)
    ));
    print_usage(&before, &stack.usage(), drained.completed);
    print_usage(
        &[("fake provider".into(), Usage::default())],
        &[("fake provider".into(), running.usage())],
        drained.completed,
    );
    print_usage(&servers, &server_usage(places), drained.completed);
    figures.insert("accepted_per_s".into(), round(load.rate()));
    figures.insert("completed_per_s".into(), round(drained.per_second));
    let memory = stack.usage().into_iter().map(|(name, usage)| (name, round(usage.peak_mb)));
    figures.insert("rss_mb".into(), Value::Object(memory.collect()));

    stack.empty().await?;
    let half = Pace::Rate { per_second: load.rate() / 2.0 };
    let paced: Found = upload(&stack.address, half, duration).await.map_err(|e| e.to_string())?;
    say(&format!(
        "half of that        202 at {:.0}/s: p50 {:.1} ms, p99 {:.1} ms ({} refused)",
        load.rate() / 2.0,
        paced.percentile(0.5),
        paced.percentile(0.99),
        paced.refused
    ));
    figures.insert("p50_202_ms".into(), round(paced.percentile(0.5)));
    figures.insert("p99_202_ms".into(), round(paced.percentile(0.99)));
    stack.drain(Duration::from_secs(120)).await?;
    stack.stop().await;
    running.stop().await;
    Ok(())
}

/// Our stack with providers that take 2 s for each answer.
async fn slow(
    places: &Places,
    rate: f64,
    duration: Duration,
    figures: &mut Map<String, Value>,
) -> Result<(), String> {
    let (provider, running) = provider(places, 2000).await?;
    let stack = Stack::start(places, &provider, &[("SCRYON_TENANT_MAX_IN_FLIGHT", "5000")]).await?;
    let before = stack.usage();
    let load =
        upload(&stack.address, Pace::Rate { per_second: rate }, duration).await.map_err(|e| e.to_string())?;
    let drained = stack.drain(Duration::from_secs(300)).await?;
    say(&format!(
        "2 s per answer      {:7.1} uploads/s accepted   {:7.1} calls/s completed   ({} of {} calls, {} refused)",
        load.rate(),
        drained.per_second,
        drained.completed,
        drained.calls,
        load.refused
    ));
    print_usage(&before, &stack.usage(), drained.completed);
    figures.insert("latency2s_completed_per_s".into(), round(drained.per_second));
    let memory = stack.usage().into_iter().map(|(name, usage)| (name, round(usage.peak_mb)));
    figures.insert("latency2s_rss_mb".into(), Value::Object(memory.collect()));
    stack.stop().await;
    running.stop().await;
    Ok(())
}

/// The database's own limit by the frozen yardstick.
async fn limit(places: &Places, seconds: u64, figures: &mut Map<String, Value>) -> Result<(), String> {
    let schema = std::fs::read_to_string("tests/bench/db-limit/schema.sql").map_err(|e| e.to_string())?;
    let client = stack::connect(&places.database_url).await?;
    client.batch_execute(&schema).await.map_err(|e| e.to_string())?;
    let output = tokio::process::Command::new(pgbench())
        .args(["-n", "-M", "prepared", "-f", "tests/bench/db-limit/call.sql", "-c", "32", "-j", "2", "-T"])
        .arg(seconds.to_string())
        .arg(&places.database_url)
        .output()
        .await
        .map_err(|e| format!("pgbench: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tps = text.lines().find_map(|l| l.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
    let tps =
        tps.ok_or_else(|| format!("pgbench gave no figure: {}", String::from_utf8_lossy(&output.stderr)))?;
    say(&format!("database's limit    {tps:7.1} calls/s (frozen yardstick, 32 clients)"));
    client.batch_execute("drop schema db_limit cascade").await.map_err(|e| e.to_string())?;
    figures.insert("db_limit_per_s".into(), round(tps));
    Ok(())
}

/// pgbench of the newest server on this machine.
fn pgbench() -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path().join("bin/pgbench"))
        .filter(|p| p.exists())
        .collect();
    versions.sort();
    versions.pop().unwrap_or_else(|| "pgbench".into())
}

async fn best_peer(
    places: &Places,
    code: &Path,
    venv: &Path,
    provider: &str,
    pools: &[Pool],
    duration: Duration,
) -> Result<f64, String> {
    let mut best = 0f64;
    for pool in pools {
        let found = peer::measure(places, code, venv, provider, *pool, CONNECTIONS, duration).await?;
        say(&format!(
            "peer, {:>7} {:>3}   {:7.1} uploads/s accepted   {:7.1} calls/s completed   ({} calls)",
            pool.kind,
            pool.concurrency,
            found.load.rate(),
            found.per_second,
            found.completed
        ));
        let nothing: Vec<(String, Usage)> =
            found.usage.iter().map(|(n, _)| (n.clone(), Usage::default())).collect();
        print_usage(&nothing, &found.usage, found.completed);
        best = best.max(found.per_second);
    }
    Ok(best)
}

/// Starts the fake provider that serves both sides.
async fn provider(places: &Places, latency_ms: u32) -> Result<(String, Running), String> {
    let address = format!("127.0.0.1:{}", free_port());
    let latency = latency_ms.to_string();
    let arguments = [address.as_str(), "--no-ledger", "--latency-ms", latency.as_str()];
    let log = places.work.join("provider.log");
    let running = Running::start(
        "fake provider",
        &places.binaries.join("scryon-simulator"),
        &arguments,
        &Default::default(),
        log,
    )
    .map_err(|e| e.to_string())?;
    while stack::get(&address, "/ledger").await.is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok((format!("http://{address}"), running))
}

/// Postgres and RabbitMQ, found by their ports' processes.
fn server_usage(places: &Places) -> Vec<(String, Usage)> {
    let port =
        |url: &str| url.rsplit(':').next().and_then(|p| p.split('/').next()).unwrap_or_default().to_owned();
    let _ = port(&places.database_url);
    let sum = |needle: &str| find(needle).into_iter().take(1).map(tree_usage).next().unwrap_or_default();
    vec![("postgres".into(), sum("/bench/data")), ("rabbitmq".into(), sum("/bench -epmd_port"))]
}

fn print_usage(before: &[(String, Usage)], after: &[(String, Usage)], calls: i64) {
    for ((name, before), (_, after)) in before.iter().zip(after) {
        let cpu = after.cpu_seconds - before.cpu_seconds;
        say(&format!(
            "    {name:<28} {cpu:6.1} CPU s   {:5.2} ms per call   {:6.1} MB peak",
            cpu * 1000.0 / calls.max(1) as f64,
            after.peak_mb
        ));
    }
}

fn conclude(figures: &Map<String, Value>) {
    let get = |name: &str| figures.get(name).and_then(Value::as_f64);
    if let (Some(ours), Some(peer)) = (get("completed_per_s"), get("peer_completed_per_s")) {
        say(&format!("completed           {:.1} times the peer", ours / peer));
    }
    if let (Some(ours), Some(limit)) = (get("completed_per_s"), get("db_limit_per_s")) {
        say(&format!("                    {:.2} of the database's limit", ours / limit));
    }
    if let (Some(ours), Some(peer)) = (get("latency2s_completed_per_s"), get("latency2s_peer_per_s")) {
        say(&format!("with 2 s latency    {:.1} times the best of the peer's pools", ours / peer));
    }
}

pub(crate) fn round(value: f64) -> Value {
    json!((value * 10.0).round() / 10.0)
}
