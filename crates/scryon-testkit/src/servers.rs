//! Where Postgres and RabbitMQ are. Tests use the pair that `make test` found or started; fault tests that
//! stop a server start a pair of their own, never a found one.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// Addresses of a pair of servers.
#[derive(Debug, Clone)]
pub struct Servers {
    pub database_url: String,
    pub amqp_url: String,
}

impl Servers {
    /// The pair of this test run.
    ///
    /// # Panics
    /// When the test was not started by `make test` and no pair is named.
    pub fn found() -> Self {
        if let (Ok(database_url), Ok(amqp_url)) = (std::env::var("DATABASE_URL"), std::env::var("AMQP_URL")) {
            return Self { database_url, amqp_url };
        }
        read_env(&root().join("var/services/main.env"))
            .expect("no servers: run `make services` (or `make test`), or set DATABASE_URL and AMQP_URL")
    }
}

/// The folder of the clone.
pub fn repository() -> PathBuf {
    root()
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the clone is where it was built")
}

fn read_env(file: &Path) -> Option<Servers> {
    let text = std::fs::read_to_string(file).ok()?;
    let value = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim_matches('\'').to_owned())
    };
    Some(Servers { database_url: value("DATABASE_URL")?, amqp_url: value("AMQP_URL")? })
}

/// A pair of our own, to be stopped, killed and started again.
#[derive(Debug)]
pub struct Pair {
    name: String,
    pub servers: Servers,
}

impl Pair {
    /// Starts the pair `name`, or goes on with it when it runs.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start(name: &str) -> Self {
        script(&["own", name]).await;
        let file = root().join(format!("var/services/{name}.env"));
        Self {
            name: name.to_owned(),
            servers: read_env(&file).expect("services.sh wrote the pair's addresses"),
        }
    }

    /// `stop`, `start` or `kill` of `postgres` or `rabbitmq`.
    pub async fn control(&self, action: &str, server: &str) {
        script(&[action, &self.name, server]).await;
    }

    /// `rabbitmqctl` of this pair's broker; gives what it printed.
    pub async fn rabbitmqctl(&self, arguments: &[&str]) -> String {
        script(&[&["rabbitmqctl", &self.name], arguments].concat()).await
    }
}

/// The library that shifts a program's clock, found or installed.
///
/// # Panics
/// When there is none and none can be installed.
pub async fn faketime() -> String {
    script(&["faketime"]).await.trim().to_owned()
}

async fn script(arguments: &[&str]) -> String {
    let output = Command::new(root().join("deploy/local/services.sh"))
        .args(arguments)
        .env_remove("DATABASE_URL")
        .env_remove("AMQP_URL")
        .output()
        .await
        .expect("services.sh can be run");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "services.sh {arguments:?} failed:\n{words}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
