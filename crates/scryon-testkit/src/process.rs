//! Real programs beside a test, to be killed.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::servers::root;

const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 8_000;

/// One running program.
#[derive(Debug)]
pub struct StackProgram {
    pub name: &'static str,
    child: Child,
    log: PathBuf,
}

/// Starts real binaries with the settings of an installation.
#[derive(Debug)]
pub struct Stack {
    settings: BTreeMap<String, String>,
    logs: PathBuf,
}

impl Stack {
    /// Programs of this installation; their logs go to `logs`.
    pub fn new(settings: BTreeMap<String, String>, logs: PathBuf) -> Self {
        Self { settings, logs }
    }

    /// Starts a program, with extra settings.
    ///
    /// # Panics
    /// When the binary is not there: `make test` builds them first.
    pub fn start(&self, name: &'static str, extra: &[(&str, &str)]) -> StackProgram {
        let binary = binary(name);
        let log = self.logs.join(format!("{name}-{}.log", Uuid::new_v4().simple()));
        let file = std::fs::File::create(&log).expect("a log file can be made");
        let child = Command::new(&binary)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(&self.settings)
            .envs(extra.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| {
                panic!("{} cannot be started ({e}); build it with `cargo build`", binary.display())
            });
        StackProgram { name, child, log }
    }
}

/// A port for a program that is restarted: below those that systems give to whoever asks for any, so that it stays free
/// meanwhile, and given to nobody else of this process.
///
/// # Panics
/// When all are taken.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(Uuid::new_v4().as_fields().1));
    let mut ports = (0..PORTS).map(|_| FIRST_PORT + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port is free")
}

/// The command line, with an environment of its own.
pub fn scryon_command() -> Command {
    let mut command = Command::new(binary("scryon"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    command
}

fn binary(name: &str) -> PathBuf {
    // Tests and programs are built into the same folder.
    let mut folder = std::env::current_exe().expect("a test has a path");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let beside = folder.join(name);
    if beside.is_file() { beside } else { root().join("target/debug").join(name) }
}

impl StackProgram {
    /// SIGKILL, and waits for the end.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Any signal by name, for example `STOP`.
    pub async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("the program runs").to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), id.as_str()]).status().await;
        assert!(sent.is_ok_and(|s| s.success()), "{} takes SIG{signal}", self.name);
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it has ended.
    pub fn id(&self) -> u32 {
        self.child.id().expect("the program runs")
    }

    /// Bytes of memory it holds now.
    ///
    /// # Panics
    /// When it has ended.
    pub fn resident_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the program runs");
        let kilobytes =
            status.lines().find_map(|l| l.strip_prefix("VmRSS:")).and_then(|v| v.split_whitespace().next());
        kilobytes.and_then(|v| v.parse::<u64>().ok()).expect("a process has memory") << 10
    }

    /// Waits for the program's own end; gives its exit code.
    ///
    /// # Panics
    /// When it does not end within two minutes.
    pub async fn ended(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(Duration::from_secs(120), self.child.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("the end of {}: not within two minutes", self.name));
        ended.expect("a child can be awaited").code()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
