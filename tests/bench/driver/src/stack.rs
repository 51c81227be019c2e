//! Our own stack: the real programs, one process each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use scryon_domain::epoch::Epoch;
use scryon_queue::{QueueSettings, Topology};
use tokio_postgres::{Client, NoTls};

use crate::procs::{Running, Usage};

/// Programs, with the port of each admin door.
const PROGRAMS: [&str; 5] = [
    "scryon-api",
    "scryon-transcription-worker",
    "scryon-diarization-worker",
    "scryon-analysis-worker",
    "scryon-sweeper",
];

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Release binaries.
    pub(crate) binaries: PathBuf,
    /// Logs and storage of this run.
    pub(crate) work: PathBuf,
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
}

/// A running stack in a schema of its own.
pub(crate) struct Stack {
    pub(crate) address: String,
    pub(crate) programs: Vec<Running>,
    pub(crate) database: Client,
    pub(crate) storage: PathBuf,
    schema: String,
    admin: Client,
    amqp_url: String,
}

/// Result of waiting for the backlog.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    pub(crate) calls: i64,
    pub(crate) completed: i64,
    pub(crate) per_second: f64,
}

impl Stack {
    /// Starts everything and waits until it is ready.
    pub(crate) async fn start(
        places: &Places,
        provider: &str,
        extra: &[(&str, &str)],
    ) -> Result<Self, String> {
        Self::start_with(places, provider, extra, &[]).await
    }

    /// The same with settings that one program has alone: its name, the setting, the value.
    pub(crate) async fn start_with(
        places: &Places,
        provider: &str,
        extra: &[(&str, &str)],
        own: &[(&str, &str, &str)],
    ) -> Result<Self, String> {
        let schema = format!("bench_{}", uuid::Uuid::new_v4().simple());
        let admin = connect(&places.database_url).await?;
        admin.batch_execute(&format!("create schema {schema}")).await.map_err(|e| e.to_string())?;
        let url = format!("{}?options=-csearch_path%3D{schema}", places.database_url);
        let storage = places.work.join(&schema);
        let address = format!("127.0.0.1:{}", free_port());
        let mut settings: BTreeMap<String, String> = [
            ("DATABASE_URL", url.as_str()),
            ("AMQP_URL", &places.amqp_url),
            ("SCRYON_QUEUE_PREFIX", queue_prefix(&schema)),
            ("OBJECT_STORAGE_LOCAL_PATH", &storage.to_string_lossy()),
            ("SERVER_PORT", address.rsplit(':').next().unwrap_or_default()),
            ("SCRYON_ADMIN_PORT", "0"),
            ("SCRYON_AUDIO_PREPROCESSING_ENABLED", "false"),
            ("SCRYON_TRANSCRIPTION_ENGINES", "fake"),
            ("SCRYON_DIARIZATION_ENGINES", "fake"),
            ("SCRYON_ANALYSIS_ENGINES", "fake"),
            ("SCRYON_FAKE_PROVIDER_URL", provider),
            ("SCRYON_LOG", "warn"),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
        settings.extend(extra.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let migrated = tokio::process::Command::new(places.binaries.join("scryon"))
            .arg("migrate")
            .envs(&settings)
            .output()
            .await
            .map_err(|e| e.to_string())?;
        if !migrated.status.success() {
            return Err(String::from_utf8_lossy(&migrated.stderr).into_owned());
        }
        let mut programs = Vec::new();
        for name in PROGRAMS {
            let log = places.work.join(format!("{name}.log"));
            let mut settings = settings.clone();
            let of_it = own.iter().filter(|(program, ..)| *program == name);
            settings.extend(of_it.map(|(_, setting, value)| ((*setting).to_owned(), (*value).to_owned())));
            let program = Running::start(name, &places.binaries.join(name), &[], &settings, log);
            programs.push(program.map_err(|e| format!("{name}: {e}"))?);
        }
        let database = connect(&url).await?;
        let amqp_url = places.amqp_url.clone();
        let mut stack = Self { address, programs, database, storage, schema, admin, amqp_url };
        stack.wait_until_ready(&places.work).await?;
        Ok(stack)
    }

    async fn wait_until_ready(&mut self, logs: &Path) -> Result<(), String> {
        let started = Instant::now();
        loop {
            for program in &mut self.programs {
                if !program.is_running() {
                    return Err(format!("{} ended; see {}", program.name, logs.display()));
                }
            }
            let beats = "select count(*) from worker_heartbeats where beat_at > now() - interval '2 seconds'";
            let beating: i64 = self.database.query_one(beats, &[]).await.map_err(|e| e.to_string())?.get(0);
            if beating >= 4 && get(&self.address, "/api/health/ready").await == Some(200) {
                return Ok(());
            }
            if started.elapsed() > Duration::from_secs(60) {
                return Err(format!("the stack was not ready in time; see {}", logs.display()));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until no call is live.
    pub(crate) async fn drain(&self, patience: Duration) -> Result<Drained, String> {
        let started = Instant::now();
        let live =
            "select count(*) from call_records where status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING')";
        loop {
            let left: i64 = self.database.query_one(live, &[]).await.map_err(|e| e.to_string())?.get(0);
            if left == 0 || started.elapsed() > patience {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let sum = "select count(*), count(*) filter (where status = 'COMPLETED'),
             coalesce(count(*) filter (where status = 'COMPLETED') /
                 nullif(extract(epoch from max(finished_at) - min(created_at)), 0), 0)::float8 from call_records";
        let row = self.database.query_one(sum, &[]).await.map_err(|e| e.to_string())?;
        Ok(Drained { calls: row.get(0), completed: row.get(1), per_second: row.get(2) })
    }

    /// One of the programs.
    pub(crate) fn program(&self, name: &str) -> Result<&Running, String> {
        self.programs.iter().find(|p| p.name == name).ok_or_else(|| format!("{name} does not run"))
    }

    /// A number that the database counts.
    pub(crate) async fn number(&self, sql: &str) -> Result<i64, String> {
        Ok(self.database.query_one(sql, &[]).await.map_err(|e| e.to_string())?.get(0))
    }

    /// What each program has used.
    pub(crate) fn usage(&self) -> Vec<(String, Usage)> {
        self.programs.iter().map(|p| (p.name.clone(), p.usage())).collect()
    }

    /// Forgets all calls, so that the next measurement starts empty.
    pub(crate) async fn empty(&self) -> Result<(), String> {
        self.database
            .batch_execute("delete from call_records; delete from provider_jobs")
            .await
            .map_err(|e| e.to_string())
    }

    /// Stops the programs, drops the schema and deletes the queues: idle ones would cost whoever is measured next.
    /// The storage stays until the end of the benchmark.
    pub(crate) async fn stop(self) {
        for program in self.programs {
            program.stop().await;
        }
        drop(self.database);
        let settings = QueueSettings {
            url: self.amqp_url,
            prefix: queue_prefix(&self.schema).to_owned(),
            program: "scryon-bench".to_owned(),
            epoch: Epoch::default(),
        };
        if let Ok(connection) = scryon_queue::connect(&settings, "clean-up").await {
            let _left = Topology::new(&settings.prefix).delete(&connection).await;
            scryon_queue::close(connection).await;
        }
        // What is left goes with the server: it is the benchmark's own.
        let _left = self.admin.batch_execute(&format!("drop schema {} cascade", self.schema)).await;
    }
}

fn queue_prefix(schema: &str) -> &str {
    &schema[..14]
}

/// A connection that ends with its client.
pub(crate) async fn connect(url: &str) -> Result<Client, String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    Ok(client)
}

/// A port nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0");
    listener.and_then(|l| l.local_addr()).map(|a| a.port()).unwrap_or(0)
}

/// The status of a GET.
pub(crate) async fn get(address: &str, path: &str) -> Option<u16> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    String::from_utf8_lossy(&answer).get(9..12)?.parse().ok()
}
