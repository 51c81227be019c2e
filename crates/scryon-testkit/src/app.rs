//! The installation: API, workers and sweeper in this process, or only some of them.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use scryon_config::Config;
use scryon_queue::{QueueSettings, Topology};
use scryon_runtime::{Announce, Context, Mute, Registry};
use scryon_simulator::{HostedOptions, Options, SANDBOX_SECRET, Simulator, sandbox_settings};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::broker::BrokerConnection;
use crate::client::Client;
use crate::database::Database;
use crate::gate::Gate;
use crate::link::Link;
use crate::proxy::Proxy;
use crate::s3::ObjectStore;
use crate::servers::Servers;
use crate::wait::{eventually, promptly};
use crate::watch::step;

/// Which programs run.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    pub api: bool,
    pub workers: bool,
    pub sweeper: bool,
}

impl Parts {
    pub const ALL: Self = Self { api: true, workers: true, sweeper: true };
    pub const API: Self = Self { api: true, workers: false, sweeper: false };
    pub const WITHOUT_SWEEPER: Self = Self { api: true, workers: true, sweeper: false };
}

/// How hints are carried.
#[derive(Clone, Default)]
pub enum Carrier {
    #[default]
    Broker,
    /// Every hint of API and workers is dropped.
    Dropped,
    /// Every hint is delivered twice.
    Doubled,
    /// The same, and in any order.
    Shuffled,
}

/// How a test's installation differs from the usual one.
pub struct TestOptions {
    pub parts: Parts,
    /// Settings on top of the usual ones.
    pub settings: Vec<(&'static str, String)>,
    pub carrier: Carrier,
    pub latency: Duration,
    pub servers: Option<Servers>,
    /// Hosted engines instead of the fake ones.
    pub hosted: bool,
    /// Programs reach everything through proxies.
    pub wired: bool,
    /// Postgres and RabbitMQ are at the far end of it.
    pub link: Option<Arc<Link>>,
    /// Objects are in a store that speaks S3.
    pub remote_storage: bool,
}

impl Default for TestOptions {
    fn default() -> Self {
        Self {
            parts: Parts::ALL,
            settings: Vec::new(),
            carrier: Carrier::Broker,
            latency: Duration::ZERO,
            servers: None,
            hosted: false,
            wired: false,
            link: None,
            remote_storage: false,
        }
    }
}

impl TestOptions {
    /// With other programs.
    pub fn parts(mut self, parts: Parts) -> Self {
        self.parts = parts;
        self
    }

    /// With one more setting.
    pub fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    /// With hints dropped.
    pub fn drop_hints(mut self) -> Self {
        self.carrier = Carrier::Dropped;
        self
    }

    /// With hints doubled.
    pub fn double_hints(mut self) -> Self {
        self.carrier = Carrier::Doubled;
        self
    }

    /// With hints doubled, which overtake one another.
    pub fn shuffle_hints(mut self) -> Self {
        self.carrier = Carrier::Shuffled;
        self
    }

    /// With hosted engines (Lemonfox, pyannoteAI, OpenAI), all of them the simulator's, and its callbacks.
    pub fn hosted() -> Self {
        Self { hosted: true, ..Self::default() }
    }

    /// With a provider that takes its time.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// With every wire of the programs in the test's hands: see [`TestApp::wires`].
    pub fn wired(mut self) -> Self {
        self.wired = true;
        self
    }

    /// The same, with Postgres and RabbitMQ at the far end of a link.
    pub fn linked(mut self, link: Arc<Link>) -> Self {
        self.link = Some(link);
        self.wired()
    }

    /// With an object store of the test's own instead of a folder: see [`TestApp::object_store`].
    pub fn remote_storage(mut self) -> Self {
        self.remote_storage = true;
        self
    }

    /// On other servers.
    pub fn on(mut self, servers: Servers) -> Self {
        self.servers = Some(servers);
        self
    }
}

/// What the programs of an installation reach everything through. The test itself does not.
#[derive(Debug)]
pub struct Wires {
    pub postgres: Proxy,
    pub broker: Proxy,
    pub provider: Proxy,
}

impl Wires {
    fn to(servers: &Servers, provider: &str, link: Option<&Link>) -> Self {
        let server = |url: &str| link.map_or_else(|| Proxy::to_url(url), |link| Proxy::behind(link, url));
        Self {
            postgres: server(&servers.database_url),
            broker: server(&servers.amqp_url),
            provider: Proxy::to_url(provider),
        }
    }
}

/// A running installation.
pub struct TestApp {
    pub client: Client,
    pub database: Database,
    pub simulator: Simulator,
    pub context: Context,
    pub storage: TempDir,
    pub servers: Servers,
    /// Settings of this installation, for real programs beside it.
    pub settings: BTreeMap<String, String>,
    wires: Option<Wires>,
    object_store: Option<ObjectStore>,
    stop: CancellationToken,
    tasks: Vec<(&'static str, JoinHandle<Result<(), String>>)>,
}

impl TestApp {
    /// Everything, with fake engines.
    pub async fn start() -> Self {
        Self::start_with(TestOptions::default()).await
    }

    /// As the options say.
    ///
    /// # Panics
    /// When anything cannot be started.
    pub async fn start_with(options: TestOptions) -> Self {
        let servers = options.servers.clone().unwrap_or_else(Servers::found);
        let database = Database::create(&servers.database_url).await;
        let name = format!("{} ({})", std::thread::current().name().unwrap_or("a test"), database.schema);
        step(format!("{name}: has its schema"));
        let storage =
            tempfile::Builder::new().prefix("scryon-test-").tempdir().expect("a folder can be made");
        let (simulator, provider_url) = simulator(options.latency);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let base = format!("http://{}", listener.local_addr().expect("a bound address"));
        let places = Places { provider: &provider_url, api: &base };
        let mut settings = settings(&options, &servers, &database, &storage, &places);
        let wires = match options.wired {
            true => Some(Wires::to(&servers, &provider_url, options.link.as_deref())),
            false => None,
        };
        if let Some(wires) = &wires {
            reroute(&mut settings, wires, &provider_url);
        }
        let object_store = options.remote_storage.then(|| ObjectStore::start(storage.path().to_owned()));
        if let Some(store) = &object_store {
            settings.extend(store.settings());
        }
        let config = Config::from_env(&settings).expect("the settings are allowed");
        let stop = CancellationToken::new();
        let context = Context::open(scryon_dev::PROGRAM, config, stop.clone())
            .await
            .expect("the installation opens")
            .expect("nobody told it to stop");
        promptly("a connection to RabbitMQ", context.publisher.connected()).await;
        let mut app = Self {
            client: Client::new(base),
            database,
            simulator,
            context,
            storage,
            servers,
            settings,
            wires,
            object_store,
            stop,
            tasks: Vec::new(),
        };
        app.run(options.parts, &options.carrier, listener);
        step(format!("{name}: runs"));
        app
    }

    fn run(&mut self, parts: Parts, carrier: &Carrier, listener: TcpListener) {
        let mut context = self.context.clone();
        context.announcer = match carrier {
            Carrier::Broker => context.announcer,
            Carrier::Dropped => Arc::new(Mute),
            Carrier::Shuffled => Arc::new(Gate::shuffling(context.announcer)),
            Carrier::Doubled => Arc::new(Gate::doubling(context.announcer)),
        };
        if parts.api {
            self.spawn("api", scryon_api::serve(context.clone(), listener));
        }
        if parts.workers {
            self.spawn("workers", scryon_dev::workers(context));
        }
        if parts.sweeper {
            self.spawn("sweeper", scryon_sweeper::run(self.context.clone()));
        }
    }

    /// Starts workers later, or again, with another carrier of hints.
    pub fn spawn_workers(&mut self, announcer: Arc<dyn Announce>, stop: CancellationToken) {
        let mut context = self.context.clone();
        context.announcer = announcer;
        context.stop = stop;
        context.registry = Registry::new();
        context.owner = scryon_runtime::owner::owner_name().into();
        self.spawn("workers", scryon_dev::workers(context));
    }

    /// Starts the sweeper later.
    pub fn spawn_sweeper(&mut self) {
        self.spawn("sweeper", scryon_sweeper::run(self.context.clone()));
    }

    /// Stops every program; database, storage and queues stay.
    ///
    /// # Panics
    /// When one does not stop, or ended with an error.
    pub async fn stop_programs(&mut self) {
        self.stop.cancel();
        for (name, task) in self.tasks.drain(..) {
            let ended = tokio::time::timeout(Duration::from_secs(40), task).await;
            let ended = ended.unwrap_or_else(|_| panic!("{name} did not stop")).expect("no program panics");
            ended.unwrap_or_else(|error| panic!("{name} ended with: {error}"));
        }
    }

    /// Starts programs again, on another database of the same installation.
    ///
    /// # Panics
    /// When anything cannot be started.
    pub async fn start_again(&mut self, database: Database, parts: Parts) {
        self.settings.insert("DATABASE_URL".to_owned(), database.url.clone());
        let config = Config::from_env(&self.settings).expect("the settings are allowed");
        self.stop = CancellationToken::new();
        self.context = Context::open(scryon_dev::PROGRAM, config, self.stop.clone())
            .await
            .expect("the installation opens")
            .expect("nobody told it to stop");
        promptly("a connection to RabbitMQ", self.context.publisher.connected()).await;
        self.database = database;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        self.client = Client::new(format!("http://{}", listener.local_addr().expect("a bound address")));
        self.run(parts, &Carrier::Broker, listener);
    }

    fn spawn(
        &mut self,
        name: &'static str,
        program: impl Future<Output = Result<(), scryon_runtime::ProgramError>> + Send + 'static,
    ) {
        let task = tokio::spawn(async move { program.await.map_err(|e| e.to_string()) });
        self.tasks.push((name, task));
    }

    /// The wires of an installation that was started [`TestOptions::wired`].
    ///
    /// # Panics
    /// When it was not.
    pub fn wires(&self) -> &Wires {
        self.wires.as_ref().expect("the installation was started wired")
    }

    /// The object store of an installation that was started with [`TestOptions::remote_storage`].
    ///
    /// # Panics
    /// When it was not.
    pub fn object_store(&self) -> &ObjectStore {
        self.object_store.as_ref().expect("the installation was started with a remote storage")
    }

    /// The names of this installation's queues.
    pub fn topology(&self) -> Topology {
        Topology::new(self.context.queue.prefix.clone())
    }

    /// A broker connection of the test's own.
    ///
    /// # Panics
    /// When the broker does not let us in.
    pub async fn broker(&self) -> BrokerConnection {
        let settings = self.own_queue_settings();
        let connected = eventually("the broker to let us in", || async {
            scryon_queue::connect(&settings, "test").await.ok()
        });
        BrokerConnection::new(connected.await)
    }

    /// The test's own way to the broker.
    fn own_queue_settings(&self) -> QueueSettings {
        QueueSettings {
            program: "test".to_owned(),
            url: self.servers.amqp_url.clone(),
            ..self.context.queue.clone()
        }
    }

    /// What this installation's programs export, as Prometheus reads it.
    pub fn metrics(&self) -> String {
        scryon_metrics::render(&self.context.registry)
    }

    /// Stops everything, checks what every run must leave behind, and cleans up.
    ///
    /// # Panics
    /// When a program ended with an error, or the checker finds something.
    pub async fn finish(self) {
        let verdict = self.verdict().await;
        self.stop_and_clean().await;
        assert!(verdict.problems.is_empty(), "the checker found:\n{}", verdict.problems.join("\n"));
    }

    /// Stops and cleans up without the checker.
    pub async fn stop_and_clean(self) {
        let schema = self.database.schema.clone();
        step(format!("{schema}: stops its programs"));
        let settings = self.own_queue_settings();
        self.stop.cancel();
        for (name, task) in self.tasks {
            let ended = tokio::time::timeout(Duration::from_secs(40), task).await;
            let ended = ended.unwrap_or_else(|_| panic!("{name} did not stop")).expect("no program panics");
            ended.unwrap_or_else(|error| panic!("{name} ended with: {error}"));
        }
        if let Ok(connection) = scryon_queue::connect(&settings, "clean").await {
            // A queue that is left behind on a server of our own goes with it.
            let topology = Topology::new(settings.prefix.clone());
            let _left = promptly("the queues' end", topology.delete(&connection)).await;
            scryon_queue::close(connection).await;
        }
        step(format!("{schema}: has no queues"));
        drop(self.context);
        self.database.drop_schema().await;
        step(format!("{schema}: is gone"));
    }
}

/// Sends the programs through the wires.
fn reroute(settings: &mut BTreeMap<String, String>, wires: &Wires, provider: &str) {
    let provider_by_wire = wires.provider.url(provider);
    for (name, value) in settings.iter_mut() {
        match name.as_str() {
            "DATABASE_URL" => *value = wires.postgres.url(value),
            "AMQP_URL" => *value = wires.broker.url(value),
            _ => *value = value.replace(provider, &provider_by_wire),
        }
    }
}

fn simulator(latency: Duration) -> (Simulator, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("a bound address"));
    let (simulator, server) = scryon_simulator::serve(listener, Options { latency, ledger: true })
        .expect("the fake provider starts");
    tokio::spawn(server);
    simulator
        .set_hosted(HostedOptions { latency_ms: simulator.hosted().latency_ms, ..HostedOptions::sandbox() });
    (simulator, url)
}

/// Addresses that settings name.
struct Places<'a> {
    provider: &'a str,
    api: &'a str,
}

/// Hosted engines in place of the fake ones, and secrets that are being changed.
fn hosted(places: &Places<'_>) -> Vec<(&'static str, String)> {
    let mut settings = sandbox_settings(places.provider);
    settings.push(("PYANNOTE_WEBHOOK_SECRET", format!("the-one-to-come,{SANDBOX_SECRET}")));
    settings.push(("SCRYON_PUBLIC_BASE_URL", places.api.to_owned()));
    settings
}

fn settings(
    options: &TestOptions,
    servers: &Servers,
    database: &Database,
    storage: &TempDir,
    places: &Places<'_>,
) -> BTreeMap<String, String> {
    let prefix = format!("t{}", &database.schema[2..14]);
    let usual = [
        ("DATABASE_URL", database.url.clone()),
        ("AMQP_URL", servers.amqp_url.clone()),
        ("SCRYON_QUEUE_PREFIX", prefix),
        ("OBJECT_STORAGE_LOCAL_PATH", storage.path().to_string_lossy().into_owned()),
        ("OBJECT_STORAGE_LOCAL_FSYNC", "false".to_owned()),
        ("SCRYON_ADMIN_PORT", "0".to_owned()),
        ("SCRYON_AUDIO_PREPROCESSING_ENABLED", "false".to_owned()),
        ("SCRYON_TRANSCRIPTION_ENGINES", "fake".to_owned()),
        ("SCRYON_DIARIZATION_ENGINES", "fake".to_owned()),
        ("SCRYON_ANALYSIS_ENGINES", "fake".to_owned()),
        ("SCRYON_FAKE_PROVIDER_URL", places.provider.to_owned()),
        ("SCRYON_DRAIN_SECONDS", "10".to_owned()),
        // Tests that end have no balancer to tell.
        ("SCRYON_STOP_NOTICE_MS", "0".to_owned()),
    ];
    let mut settings: BTreeMap<String, String> = usual.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    if options.hosted {
        settings.extend(hosted(places).into_iter().map(|(k, v)| (k.to_owned(), v)));
    }
    settings.extend(options.settings.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
    settings
}
