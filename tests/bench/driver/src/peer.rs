//! The peer a team would build instead: FastAPI and Celery on the same servers, its own code unchanged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::load::{Found, Pace, upload};
use crate::procs::{Running, Usage};
use crate::stack::{Places, connect, free_port, get};

/// How Celery runs its tasks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pool {
    pub(crate) kind: &'static str,
    pub(crate) concurrency: u32,
}

/// What a run of the peer gave.
#[derive(Debug)]
pub(crate) struct PeerFound {
    pub(crate) load: Found,
    pub(crate) completed: i64,
    pub(crate) per_second: f64,
    pub(crate) usage: Vec<(String, Usage)>,
}

/// Makes the virtual environment, once.
pub(crate) async fn prepare(work: &Path) -> Result<PathBuf, String> {
    let venv = work.join("venv");
    if !venv.join("bin/celery").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv)).await?;
        let packages =
            ["celery", "fastapi", "uvicorn", "psycopg[binary]", "psycopg_pool", "python-multipart", "httpx"];
        run(Command::new(venv.join("bin/pip")).args(["install", "-q"]).args(packages)).await?;
    }
    Ok(venv)
}

async fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().await.map_err(|e| e.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Loads the peer and waits for its backlog.
pub(crate) async fn measure(
    places: &Places,
    code: &Path,
    venv: &Path,
    provider: &str,
    pool: Pool,
    connections: usize,
    duration: Duration,
) -> Result<PeerFound, String> {
    let store = places.work.join("peer-store");
    let settings: BTreeMap<String, String> = [
        ("PEER_DB", places.database_url.replacen("postgres://", "postgresql://", 1)),
        ("PEER_AMQP", places.amqp_url.replace("%2f", "/")),
        ("PEER_STORE", store.to_string_lossy().into_owned()),
        ("PEER_PROVIDER", provider.to_owned()),
        ("PYTHONPATH", code.to_string_lossy().into_owned()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
    .collect();
    let database = connect(&places.database_url).await?;
    database.batch_execute(&schema(code)?).await.map_err(|e| e.to_string())?;
    let port = free_port().to_string();
    let log = |name: &str| places.work.join(format!("peer-{name}.log"));
    let start = |name: &str, program: &str, arguments: &[&str]| {
        Running::start(name, &venv.join("bin").join(program), arguments, &settings, log(name))
            .map_err(|e| e.to_string())
    };
    let api = start("peer-api", "uvicorn", &["api:app", "--port", &port, "--log-level", "warning"])?;
    let concurrency = pool.concurrency.to_string();
    let queues = "peer.prepare,peer.transcribe,peer.diarize,peer.analyze";
    let celery = start(
        "peer-celery",
        "celery",
        &[
            "-A",
            "pipeline",
            "worker",
            "-P",
            pool.kind,
            "-c",
            &concurrency,
            "-Q",
            queues,
            "-l",
            "error",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ],
    )?;
    let address = format!("127.0.0.1:{port}");
    let started = Instant::now();
    while get(&address, "/docs").await != Some(200) {
        if started.elapsed() > Duration::from_secs(60) {
            return Err(format!("the peer was not ready in time; see {}", places.work.display()));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Celery says nothing when it is ready: it gets the five seconds its own script gives it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let load = upload(&address, Pace::Flat { connections }, duration).await.map_err(|e| e.to_string())?;
    let started = Instant::now();
    loop {
        let left = "select count(*) from p_call where status <> 'COMPLETED'";
        let left: i64 = database.query_one(left, &[]).await.map_err(|e| e.to_string())?.get(0);
        if left == 0 || started.elapsed() > Duration::from_secs(420) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let sum = "select count(*) filter (where status = 'COMPLETED'), coalesce(count(*) filter (where status = 'COMPLETED') /
         nullif(extract(epoch from max(updated_at) filter (where status = 'COMPLETED') - min(created_at)), 0), 0)::float8 from p_call";
    let row = database.query_one(sum, &[]).await.map_err(|e| e.to_string())?;
    let usage = [&api, &celery].map(|p| (p.name.clone(), p.usage())).to_vec();
    api.stop().await;
    celery.stop().await;
    let _left = tokio::fs::remove_dir_all(&store).await;
    Ok(PeerFound { load, completed: row.get(0), per_second: row.get(1), usage })
}

/// The peer's own schema, out of its own code, emptied.
fn schema(code: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(code.join("pipeline.py")).map_err(|e| e.to_string())?;
    let (_, rest) = text.split_once("SCHEMA = \"\"\"").ok_or("the peer's schema is not where it was")?;
    let (schema, _) = rest.split_once("\"\"\"").ok_or("the peer's schema has no end")?;
    Ok(format!("{schema}; truncate p_call, p_stage, p_art, p_item"))
}
