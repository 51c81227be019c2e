//! The start-up shell: one order for every program. Settings, logs, Postgres and its schema, storage, the
//! admin port, work, and on SIGTERM or SIGINT an orderly stop.

use std::future::Future;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::Registry;
use scryon_blobs::Blobs;
use scryon_config::{Config, Env, ProcessEnv, telemetry};
use scryon_metrics::ProgramMetrics;
use scryon_queue::{Observer, Publisher, QueueError, QueueSettings};
use scryon_store::{Store, StoreError, StoreSettings};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::admin::{AdminState, serve};
use crate::announce::Announce;
use crate::epoch;
use crate::owner::owner_name;
use crate::switches::Switches;

/// Exit codes, documented in docs/configuration.md of every program.
const BAD_SETTINGS: u8 = 64;
const CANNOT_START: u8 = 69;
const STOPPED_BY_ERROR: u8 = 70;

/// A program as its `main` names it.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    pub name: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
    /// Default of SCRYON_ADMIN_PORT.
    pub admin_port: u16,
    pub limits: StoreLimits,
}

/// How patient a program is with Postgres, and how hurried with the disk.
#[derive(Debug, Clone, Copy)]
pub struct StoreLimits {
    pub pool_wait: Duration,
    pub statement_timeout: Duration,
    pub lock_timeout: Option<Duration>,
    /// Least time between two visits to the disk of local storage where they follow each other; see
    /// [`Blobs::paced`].
    pub disk_pace: Duration,
}

impl StoreLimits {
    /// The API answers 503 rather than late.
    pub const API: Self = Self {
        pool_wait: Duration::from_millis(250),
        statement_timeout: Duration::from_secs(5),
        lock_timeout: None,
        // A client waits for its 202.
        disk_pace: Duration::from_millis(10),
    };
    /// An operator's open transaction makes a worker retry, at no try.
    pub const WORKER: Self = Self {
        pool_wait: Duration::from_secs(2),
        statement_timeout: Duration::from_secs(5),
        lock_timeout: Some(Duration::from_millis(300)),
        disk_pace: Duration::from_millis(50),
    };
    /// Batches take longer than single rows.
    pub const SWEEPER: Self = Self {
        pool_wait: Duration::from_secs(2),
        statement_timeout: Duration::from_secs(10),
        lock_timeout: Some(Duration::from_millis(300)),
        // Its batches write one after another.
        disk_pace: Duration::ZERO,
    };
}

/// Why a program ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blobs(#[from] scryon_blobs::BlobError),
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{0}")]
    Setup(String),
}

/// What every program works with.
#[derive(Clone)]
pub struct Context {
    pub program: &'static str,
    pub config: Arc<Config>,
    pub store: Store,
    pub blobs: Blobs,
    pub registry: Registry,
    pub metrics: ProgramMetrics,
    /// Told when the process should stop.
    pub stop: CancellationToken,
    pub owner: Arc<str>,
    pub queue: QueueSettings,
    pub observer: Arc<dyn Observer>,
    pub announcer: Arc<dyn Announce>,
    /// The publisher itself, for what only the sweeper does with it.
    pub publisher: Publisher,
    /// What operators have switched.
    pub switches: Switches,
    fatal: Arc<Mutex<Option<String>>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("program", &self.program)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// `main` of every program.
pub fn main<F, R>(program: Program, run: F) -> ExitCode
where
    F: FnOnce(Context) -> R,
    R: Future<Output = Result<(), ProgramError>>,
{
    if let Some(code) = answer_arguments(&program) {
        return code;
    }
    main_with(program, &ProcessEnv, async |_config| Ok(()), run)
}

/// The same for a program that reads its own arguments, may have settings of its own, and has something to do
/// before it opens anything.
pub fn main_with<P, F, R>(program: Program, env: &dyn Env, before: P, run: F) -> ExitCode
where
    P: AsyncFnOnce(&Config) -> Result<(), ProgramError>,
    F: FnOnce(Context) -> R,
    R: Future<Output = Result<(), ProgramError>>,
{
    let config = match Config::from_env(env) {
        Ok(config) => config,
        Err(error) => return refuse(&program, &error.to_string()),
    };
    telemetry::init(&config.telemetry);
    for note in &config.notes {
        warn!("{note}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads()).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&program, &error.to_string()),
    };
    let code = runtime.block_on(async {
        match before(&config).await {
            Ok(()) => start(program, config, run).await,
            Err(error) => {
                error!("{} cannot start: {error}", program.name);
                ExitCode::from(CANNOT_START)
            }
        }
    });
    // Tasks of a stopped program are not waited for: what they hold is handed back or found by its lease.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

/// Half of the cores: tasks wait most of the time, what computes has threads of its own, and with a thread
/// for each core of each program they spend more time on waking each other than on work.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

async fn start<F, R>(program: Program, config: Config, run: F) -> ExitCode
where
    F: FnOnce(Context) -> R,
    R: Future<Output = Result<(), ProgramError>>,
{
    let stop = stop_on_signals();
    let context = match Context::open(program, config, stop).await {
        Ok(Some(context)) => context,
        Ok(None) => return ExitCode::SUCCESS, // told to stop while waiting for Postgres
        Err(error) => {
            error!("{} cannot start: {error}", program.name);
            return ExitCode::from(CANNOT_START);
        }
    };
    info!(version = env!("CARGO_PKG_VERSION"), owner = %context.owner, region = context.config.api.region.as_deref(), "{} started", program.name);
    let fatal = context.fatal.clone();
    match run(context).await {
        Ok(()) => match fatal.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => {
                info!("{} stopped", program.name);
                ExitCode::SUCCESS
            }
            Some(message) => {
                error!("{} stopped: {message}", program.name);
                ExitCode::from(STOPPED_BY_ERROR)
            }
        },
        Err(error) => {
            error!("{} stopped: {error}", program.name);
            ExitCode::from(STOPPED_BY_ERROR)
        }
    }
}

impl Context {
    /// Opens everything in order. `None`: told to stop before Postgres was there.
    pub async fn open(
        program: Program,
        config: Config,
        stop: CancellationToken,
    ) -> Result<Option<Self>, ProgramError> {
        let store = Store::new(&store_settings(&program, &config))?;
        let blobs = Blobs::open(&config.storage)?.paced(program.limits.disk_pace);
        let Some(now) = wait_for_schema(&store, &stop).await? else { return Ok(None) };
        let (registry, metrics) = scryon_metrics::program_registry(program.name, env!("CARGO_PKG_VERSION"))?;
        let epoch = epoch::follow(&store, now, &stop);
        let queue = QueueSettings {
            url: config.servers.amqp_url.0.clone(),
            prefix: config.servers.queue_prefix.clone(),
            program: program.name.to_owned(),
            epoch,
        };
        let fatal = Arc::new(Mutex::new(None));
        let observer: Arc<dyn Observer> = Arc::new(Watch {
            metrics: metrics.clone(),
            store: store.clone(),
            stop: stop.clone(),
            fatal: fatal.clone(),
        });
        let publisher = Publisher::start(queue.clone(), observer.clone());
        note_start(&store, program.name, &config).await;
        let switches = Switches::new(store.clone(), metrics.clone());
        switches.read().await;
        tokio::spawn(switches.clone().keep(stop.clone()));
        let context = Self {
            program: program.name,
            config: Arc::new(config),
            store,
            blobs,
            registry,
            metrics,
            stop,
            owner: owner_name().into(),
            queue,
            observer,
            announcer: Arc::new(publisher.clone()),
            publisher,
            switches,
            fatal,
        };
        context.serve_admin(program.admin_port)?;
        Ok(Some(context))
    }

    fn serve_admin(&self, default_port: u16) -> Result<(), ProgramError> {
        let servers = &self.config.servers;
        let address = (servers.admin_host.as_str(), servers.admin_port.unwrap_or(default_port));
        let io = |source| ProgramError::Io {
            what: format!(
                "the admin port {}:{} cannot be opened (SCRYON_ADMIN_HOST, SCRYON_ADMIN_PORT)",
                address.0, address.1
            ),
            source,
        };
        let listener = TcpListener::bind(address).map_err(io)?;
        if let Ok(address) = listener.local_addr() {
            info!(address = %address, "admin port open");
        }
        let state = AdminState {
            registry: self.registry.clone(),
            store: self.store.clone(),
            announcer: self.announcer.clone(),
            stop: self.stop.clone(),
        };
        serve(listener, state).map_err(io)
    }
}

fn store_settings(program: &Program, config: &Config) -> StoreSettings {
    StoreSettings {
        url: config.database_url(),
        application_name: program.name.to_owned(),
        pool_size: config.servers.database_pool_size.0 as usize,
        pool_wait: program.limits.pool_wait,
        connect_timeout: Duration::from_secs(3),
        statement_timeout: program.limits.statement_timeout,
        lock_timeout: program.limits.lock_timeout,
        step_pace: config.servers.step_pace.0,
    }
}

/// A program that starts before its database, or while it goes away, waits for it; an older schema is another matter.
/// Gives the installation's epoch; `None`: told to stop.
async fn wait_for_schema(store: &Store, stop: &CancellationToken) -> Result<Option<i32>, ProgramError> {
    let mut patience = crate::retry::Patience::new(stop);
    let ask = async || {
        store.check_schema().await?;
        store.epoch().await
    };
    loop {
        match ask().await {
            Ok(epoch) => return Ok(Some(epoch)),
            Err(error) if error.is_unavailable() => warn!(error = %error, "waiting for Postgres"),
            Err(error) => return Err(error.into()),
        }
        if !patience.wait().await {
            return Ok(None);
        }
    }
}

/// Says in the log of changes that this program started, and what is set otherwise than at the start before. Whoever
/// looks for the cause of an incident looks there first; a start does not fail for want of it.
async fn note_start(store: &Store, program: &str, config: &Config) {
    let noted = async {
        let before = store.change_latest("start", program).await?.unwrap_or_default();
        let was = |name: &str| before["settings"].get(name).cloned().unwrap_or_default();
        let now: serde_json::Map<String, serde_json::Value> =
            config.shown.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
        let gone = before["settings"].as_object().into_iter().flat_map(|s| s.keys());
        let names = now.keys().chain(gone.filter(|name| !now.contains_key(*name)));
        let changed: serde_json::Map<String, serde_json::Value> = names
            .filter(|name| !before.is_null() && now.get(*name).cloned().unwrap_or_default() != was(name))
            .map(|name| (name.clone(), serde_json::json!({"before": was(name), "after": now.get(name)})))
            .collect();
        let details =
            serde_json::json!({"version": env!("CARGO_PKG_VERSION"), "changed": changed, "settings": now});
        store.change_note("start", program, details).await
    };
    if let Err(error) = noted.await {
        warn!(error = %error, "the start was not noted in the log of changes");
    }
}

struct Watch {
    metrics: ProgramMetrics,
    store: Store,
    stop: CancellationToken,
    fatal: Arc<Mutex<Option<String>>>,
}

impl Observer for Watch {
    fn connected(&self, connection: &'static str, up: bool) {
        self.metrics.broker_connected.with_label_values(&[connection]).set(i64::from(up));
    }

    fn queues_created(&self, queues: &[String]) {
        let (store, queues, stop) = (self.store.clone(), queues.to_vec(), self.stop.clone());
        // The dispatcher must hear of it, however long Postgres is away.
        tokio::spawn(async move {
            for queue in queues {
                let mut patience = crate::retry::Patience::new(&stop);
                while let Err(error) = store.queue_created(&queue).await {
                    warn!(error = %error, queue, "failed to record that a queue was created anew; trying again");
                    if !patience.wait().await {
                        return;
                    }
                }
            }
        });
    }

    fn fatal(&self, error: &QueueError) {
        *self.fatal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        self.stop.cancel();
    }
}

fn stop_on_signals() -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    // Listened for from here on, not from the task's first turn: until then a signal would end the program as it is.
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        warn!("signals cannot be received; this program stops only when it is killed");
        return stop;
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => info!("SIGTERM: stopping"),
            _ = int.recv() => info!("SIGINT: stopping"),
        }
        token.cancel();
    });
    stop
}

#[allow(clippy::print_stdout)] // the answer to --help and --version is data
fn answer_arguments(program: &Program) -> Option<ExitCode> {
    let argument = std::env::args().nth(1)?;
    match argument.as_str() {
        "--version" | "-V" => println!("{} {}", program.name, env!("CARGO_PKG_VERSION")),
        "--help" | "-h" => {
            println!("{}: {}\n\nSettings are environment variables:\n", program.name, program.about);
            for entry in scryon_config::entries() {
                println!("  {:<44} {}", entry.name, entry.help.trim());
            }
        }
        other => {
            return Some(refuse(
                program,
                &format!("unknown argument `{other}`; this program takes --help and --version only"),
            ));
        }
    }
    Some(ExitCode::SUCCESS)
}

#[allow(clippy::print_stderr)] // logging is not set up yet
fn refuse(program: &Program, message: &str) -> ExitCode {
    eprintln!("{}: {message}", program.name);
    ExitCode::from(BAD_SETTINGS)
}

/// Reads settings from any environment, for programs that run inside others and for tests.
pub fn config_from(env: &dyn Env) -> Result<Config, ProgramError> {
    Config::from_env(env).map_err(|e| ProgramError::Setup(e.to_string()))
}
