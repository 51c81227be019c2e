//! Postgres that is there and refuses: without room for a connection, read-only, with another password, with a
//! full disk; and that goes because its log's disk is full. The API says 503 with Retry-After, nothing is written by
//! halves, and all of it goes on without a restart. The pair is our own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use scryon_testkit::{Client, Pair, TestApp, TestOptions, elapse, eventually, eventually_within, unique_wav};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{all_completed, bought_once_each, objects, scale_time};

const PAIR: &str = "postgres-faults";
const NOT_SHOWN: &str =
    "NOT SHOWN: a small disk can be mounted by root only, beside a server of this machine";
const LATENCY: Duration = Duration::from_millis(200);

/// The administrator's connection: it is made in time, and nobody ends it.
struct Admin {
    client: tokio_postgres::Client,
    url: String,
}

impl Admin {
    async fn of(pair: &Pair) -> Self {
        let url = pair.servers.database_url.clone();
        let client = connect(&url, "admin").await.expect("Postgres lets us in");
        Self { client, url }
    }

    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    async fn data_directory(&self) -> PathBuf {
        let found: String = self.client.query_one("show data_directory", &[]).await.unwrap().get(0);
        PathBuf::from(found)
    }

    /// Ends every connection but this one and those of `hog`; gives their number.
    async fn end_the_others(&self) -> usize {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity
             where backend_type = 'client backend' and application_name not in ('admin', 'hog')";
        self.client.query(sql, &[]).await.unwrap().len()
    }
}

async fn connect(url: &str, name: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let mut config: tokio_postgres::Config = url.parse()?;
    let (client, connection) = config.application_name(name).connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn app_on(pair: &Pair) -> TestApp {
    TestApp::start_with(TestOptions::default().latency(LATENCY).on(pair.servers.clone())).await
}

/// What the API answered to reads and uploads while Postgres refused.
#[derive(Default)]
struct Answers {
    accepted: usize,
    refused: usize,
}

/// Some of each until the time is over and an upload was refused.
async fn asked_meanwhile(app: &TestApp, time: Duration) -> Answers {
    let began = Instant::now();
    let mut answers = Answers::default();
    while began.elapsed() < time || answers.refused == 0 {
        assert!(began.elapsed() < time + Duration::from_secs(60), "no upload was ever refused");
        let uploads = join_all((0..4).map(|_| app.client.upload_form(Client::form(unique_wav()))));
        let (read, uploads) = join(app.client.get("/api/calls"), uploads).await;
        assert!(matches!(read.status, 200 | 503), "{}", read.text);
        for answer in uploads {
            match answer.status {
                202 => answers.accepted += 1,
                503 => {
                    let wait = answer.headers.get("retry-after").and_then(|v| v.to_str().ok());
                    assert!(wait.is_some_and(|w| w.parse::<u32>().is_ok()), "{:?}", answer.headers);
                    assert_eq!(answer.body["error"]["retryable"], true, "{}", answer.text);
                    answers.refused += 1;
                }
                other => panic!("{other}: {}", answer.text),
            }
        }
        elapse(Duration::from_millis(100)).await;
    }
    answers
}

/// Objects of recordings that have no row.
async fn without_row(app: &TestApp) -> Vec<String> {
    let rows = app.database.sql("select id::text from call_records", &[]).await;
    let there: Vec<String> = rows.iter().map(|r| r.get(0)).collect();
    let mut left = objects(app.storage.path());
    left.retain(|object| !there.iter().any(|id| object.contains(id)));
    left
}

/// Load, the fault, load, its end; and everything that was promised is completed, once.
async fn weathered<U>(what: &str, app: &TestApp, strike: impl AsyncFnOnce() -> U, undo: impl AsyncFnOnce(U)) {
    let time = scale_time(what, 8, 120);
    for _ in 0..10 {
        app.client.upload(unique_wav()).await;
    }
    let struck = strike().await;
    let answers = asked_meanwhile(app, time).await;
    undo(struck).await;
    let undone = Instant::now();
    eventually_within(Duration::from_secs(30), "an upload to be accepted again", || async {
        (app.client.upload_form(Client::form(unique_wav())).await.status == 202).then_some(())
    })
    .await;
    let kept = app.database.number("select count(*) from call_records").await as usize;
    println!(
        "{what}: {} uploads accepted meanwhile, {} refused; accepted {:?} after its end; {kept} calls",
        answers.accepted,
        answers.refused,
        undone.elapsed()
    );
    assert!(kept > 10 + answers.accepted, "{kept} calls");
    all_completed(app, kept).await;
    bought_once_each(app, kept);
    let tried = "select count(*) from call_stages where tries > 0";
    assert_eq!(app.database.number(tried).await, 0, "an outage costs no try");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_postgres_is_answered_with_503_and_leaves_nothing_by_halves() {
    let pair = Pair::start(PAIR).await;
    let app = app_on(&pair).await;
    let admin = Admin::of(&pair).await;
    // The administrator's own session stays as it is.
    admin.run("set default_transaction_read_only = off").await;
    let turn = async |value: &str| {
        admin.run(&format!("alter system set default_transaction_read_only = {value}")).await;
        admin.run("select pg_reload_conf()").await;
    };
    weathered("read-only", &app, async || turn("on").await, async |()| turn("off").await).await;
    assert_eq!(without_row(&app).await, Vec::<String>::new(), "what was refused leaves no object");
    admin.run("alter system reset default_transaction_read_only").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_changed_away_and_back_needs_no_restart() {
    let pair = Pair::start(PAIR).await;
    let app = app_on(&pair).await;
    let admin = Admin::of(&pair).await;
    let rotate = async || {
        admin.run("alter role scryon password 'another'").await;
        assert!(admin.end_the_others().await > 0);
        assert!(connect(&admin.url, "stranger").await.is_err(), "the old password lets nobody in");
    };
    weathered("another password", &app, rotate, async |()| {
        admin.run("alter role scryon password 'scryon'").await;
    })
    .await;
    app.finish().await;
}

/// Somebody else beside us, until it is ended.
struct Neighbour {
    stop: CancellationToken,
    task: JoinHandle<usize>,
}

impl Neighbour {
    fn does<R: Future<Output = usize> + Send + 'static>(work: impl FnOnce(CancellationToken) -> R) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(work(stop.clone()));
        Self { stop, task }
    }

    /// What it has counted.
    async fn end(self) -> usize {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

/// Holds connections, as many as there is room for.
async fn hog(url: String, stopped: CancellationToken) -> usize {
    let mut held = Vec::new();
    while !stopped.is_cancelled() {
        match connect(&url, "hog").await {
            Ok(client) => held.push(client),
            Err(_full) => elapse(Duration::from_millis(2)).await,
        }
    }
    held.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_without_room_for_a_connection_is_answered_with_503() {
    let pair = Pair::start(PAIR).await;
    let room = async |connections: &str| {
        Admin::of(&pair).await.run(connections).await;
        pair.control("stop", "postgres").await;
        pair.control("start", "postgres").await;
    };
    room("alter system set max_connections = 60").await;
    let app = app_on(&pair).await;
    let admin = Admin::of(&pair).await;
    let fill = async || {
        let url = admin.url.clone();
        let hog = Neighbour::does(|stopped| hog(url, stopped));
        // Who is quick gets the place of a connection that is ended; in the end they are all the hog's.
        let none_left = std::cell::Cell::new(0);
        eventually("every place to be taken", || async {
            let ended = admin.end_the_others().await;
            none_left.set(if ended == 0 { none_left.get() + 1 } else { 0 });
            (none_left.get() == 20).then_some(())
        })
        .await;
        hog
    };
    let leave = async |hog: Neighbour| println!("{} connections were held", hog.end().await);
    weathered("no free connection", &app, fill, leave).await;
    app.finish().await;
    drop(admin);
    room("alter system reset max_connections").await;
}

/// A small disk, for tables or the log alone.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this machine lets us make none, or the server's disks are not this machine's.
    async fn new(admin: &Admin, megabytes: u32) -> Option<Self> {
        let data = admin.data_directory().await;
        let disk = Self(std::env::temp_dir().join(format!("scryon-small-{}", Uuid::new_v4().simple())));
        std::fs::create_dir(&disk.0).unwrap();
        let folder = disk.0.to_str().unwrap();
        let size = format!("size={megabytes}m");
        if data.exists()
            && command("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", folder]).await
            && command("chown", &["postgres:postgres", folder]).await
        {
            return Some(disk);
        }
        std::fs::remove_dir(&disk.0).unwrap();
        None
    }

    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = std::process::Command::new("umount").arg(&self.0).status();
        let _removed = std::fs::remove_dir(&self.0);
    }
}

async fn command(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).status().await.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_answered_with_503_and_emptied_without_a_restart() {
    let pair = Pair::start(PAIR).await;
    let admin = Admin::of(&pair).await;
    let Some(disk) = SmallDisk::new(&admin, 48).await else {
        println!("{NOT_SHOWN}");
        return;
    };
    let name = format!("small_{}", Uuid::new_v4().simple());
    admin.run(&format!("create tablespace {name} location '{}'", disk.0.display())).await;
    admin.run(&format!("alter role scryon set default_tablespace = '{name}'")).await;
    let app = app_on(&pair).await;
    admin.run("alter role scryon reset default_tablespace").await;
    weathered("a full disk", &app, async || disk.fill(), async |()| disk.empty()).await;
    assert_eq!(without_row(&app).await, Vec::<String>::new(), "what was refused leaves no object");
    app.finish().await;
    admin.run(&format!("drop tablespace {name}")).await;
}

/// The write-ahead log of a server on a small disk. The server is stopped when it goes there; and stopped for it to go
/// back, when this is dropped.
struct SmallLog {
    data: PathBuf,
    disk: SmallDisk,
}

impl SmallLog {
    fn new(data: PathBuf, disk: SmallDisk) -> Self {
        let log = Self { data, disk };
        log.shell("cp -a pg_wal/. \"$DISK\" && mv pg_wal aside && ln -s \"$DISK\" pg_wal && chown -h postgres: pg_wal");
        log
    }

    /// In the data directory.
    fn shell(&self, script: &str) {
        let mut shell = std::process::Command::new("sh");
        let done = shell.args(["-ec", script]).current_dir(&self.data).env("DISK", &self.disk.0).status();
        // A second panic would end the other tests, too.
        let well = done.is_ok_and(|status| status.success());
        assert!(well || std::thread::panicking(), "{script}");
    }
}

impl Drop for SmallLog {
    fn drop(&mut self) {
        // Also after a panic, when the server still runs.
        self.shell("[ ! -f postmaster.pid ] || kill -INT $(head -n 1 postmaster.pid)");
        self.shell("for n in $(seq 600); do [ -f postmaster.pid ] || exit 0; sleep 0.1; done; exit 1");
        self.shell(
            "rm -rf aside/* \"$DISK\"/filler && cp -a \"$DISK\"/. aside && rm pg_wal && mv aside pg_wal",
        );
    }
}

/// Writes a lot, so that the log finds no room in the place of what it needs no more; counts how often it was cut off.
async fn write_a_lot(url: String, stopped: CancellationToken) -> usize {
    let mut cut_off = 0;
    while !stopped.is_cancelled() {
        let Ok(client) = connect(&url, "hog").await else {
            elapse(Duration::from_millis(20)).await;
            continue;
        };
        let much = "select pg_logical_emit_message(true, 'much', repeat('x', 1000000))";
        while !stopped.is_cancelled() && client.batch_execute(much).await.is_ok() {}
        cut_off += usize::from(!stopped.is_cancelled());
    }
    cut_off
}

/// Postgres ends itself where it cannot write its log, and whoever looks after it makes room and starts it.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_log_loses_no_call() {
    let pair = Pair::start(PAIR).await;
    let admin = Admin::of(&pair).await;
    let Some(disk) = SmallDisk::new(&admin, 256).await else {
        println!("{NOT_SHOWN}");
        return;
    };
    for setting in ["min_wal_size = '32MB'", "max_wal_size = '64MB'"] {
        admin.run(&format!("alter system set {setting}")).await;
    }
    admin.run("select pg_reload_conf()").await;
    // What an earlier load left is let go.
    for step in ["select pg_switch_wal()", "checkpoint", "select pg_switch_wal()", "checkpoint"] {
        admin.run(step).await;
    }
    let (url, data) = (admin.url.clone(), admin.data_directory().await);
    drop(admin);
    pair.control("stop", "postgres").await;
    let log = SmallLog::new(data, disk);
    pair.control("start", "postgres").await;

    let app = app_on(&pair).await;
    let fill = async || {
        log.disk.fill();
        Neighbour::does(|stopped| write_a_lot(url, stopped))
    };
    let make_room = async |writer: Neighbour| {
        let ends = writer.end().await;
        log.disk.empty();
        pair.control("start", "postgres").await;
        println!("Postgres ended {ends} times for want of room");
        assert!(ends > 0, "the log always found room");
    };
    weathered("a full disk under the log", &app, fill, make_room).await;
    app.finish().await;
    drop(log);
    pair.control("start", "postgres").await;
    let admin = Admin::of(&pair).await;
    for setting in ["min_wal_size", "max_wal_size"] {
        admin.run(&format!("alter system reset {setting}")).await;
    }
    admin.run("select pg_reload_conf()").await;
}
