//! The operators' runbooks, executed: on a stack of real programs the trouble of a page is made, stays without the remedy,
//! and goes away by the commands of the page, as printed. One test per page; `every_page_is_practised` sees to that.

// A test may stop as tests do, and its figures are its result.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use scryon_testkit::{Database, Servers, free_port, repository, scryon_command};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// A whole stack of programs, with hosted engines that a simulator plays.
struct Practice {
    folder: TempDir,
    database: Database,
    env: BTreeMap<&'static str, String>,
}

impl Practice {
    async fn start(id: &str) -> Self {
        let servers = Servers::found();
        let database = Database::create(&servers.database_url).await;
        let folder = tempfile::Builder::new().prefix("scryon-drill-").tempdir().unwrap();
        let settings = [
            ("SCRYON_QUEUE_PREFIX", format!("d{}", &database.schema[2..14])),
            ("SCRYON_AUDIO_PREPROCESSING_ENABLED", "false".to_owned()),
            ("OBJECT_STORAGE_LOCAL_FSYNC", "false".to_owned()),
            // Slow sweeps come every few seconds instead of minutes.
            ("SCRYON_SWEEP_INITIAL_DELAY_MS", "1000".to_owned()),
            ("SCRYON_SWEEP_INTERVAL_MS", "2000".to_owned()),
            ("SCRYON_DRAIN_SECONDS", "3".to_owned()),
            ("SERVER_PORT", free_port().to_string()),
        ];
        let lines: String = settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        std::fs::write(folder.path().join("settings.env"), lines).unwrap();
        let own = std::env::current_exe().unwrap();
        let bin = own.parent().and_then(Path::parent).unwrap().to_string_lossy().into_owned();
        let env = BTreeMap::from([
            ("STACK_VAR", folder.path().to_string_lossy().into_owned()),
            ("STACK_BUILD", "no".to_owned()),
            ("STACK_BIN", bin),
            ("DATABASE_URL", database.url.clone()),
            ("AMQP_URL", servers.amqp_url),
        ]);
        let practice = Self { folder, database, env };
        let up = practice.stack("up").await;
        if !up.status.success() {
            let logs = tails(&practice.folder.path().join("log"));
            practice.stack("down").await;
            panic!("{id}: the stack did not come up\n{}\n{logs}", words(&up));
        }
        practice
    }

    async fn stack(&self, word: &str) -> Output {
        let mut command = Command::new(repository().join("deploy/local/stack.sh"));
        command.arg(word).envs(&self.env).env("PROVIDERS", "simulator");
        command.output().await.unwrap()
    }

    async fn scryon(&self, arguments: &[&str]) -> Output {
        let mut command = scryon_command();
        let address = std::fs::read_to_string(self.folder.path().join("dev.env")).unwrap();
        let api =
            address.lines().find_map(|l| l.strip_prefix("API_URL=")).unwrap().trim_matches('\'').to_owned();
        command.args(arguments).envs(&self.env).env("API_URL", api).env("HOME", self.folder.path());
        command.current_dir(repository());
        command.output().await.unwrap()
    }
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Practises a page; the seconds of each of its ways are printed.
async fn practise(id: &str) {
    let practice = Practice::start(id).await;
    let drilled = practice.scryon(&["--json", "runbook", "drill", id, "--on-this-stack"]).await;
    let logs = tails(&practice.folder.path().join("log"));
    let down = practice.stack("down").await;
    assert!(drilled.status.success(), "{}\nlogs:\n{logs}", words(&drilled));
    assert!(down.status.success(), "{}", words(&down));
    let ways: Vec<Value> =
        String::from_utf8_lossy(&drilled.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(!ways.is_empty(), "{id}: nothing was practised");
    for way in ways {
        println!(
            "runbook {id} ({}): remedied in {:.1} s, limit {} s; the trouble stayed {} s without it",
            way["way"].as_str().unwrap_or("the remedy"),
            way["secondsToRemedy"].as_f64().unwrap(),
            way["limit"],
            way["stayedWithout"]
        );
    }
    practice.database.drop_schema().await;
}

/// The last lines of what the programs said.
fn tails(logs: &Path) -> String {
    let files = std::fs::read_dir(logs).into_iter().flatten().flatten();
    let tail = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("== {}\n{}\n", path.display(), lines[lines.len().saturating_sub(15)..].join("\n"))
    };
    files.map(|f| tail(&f.path())).collect()
}

macro_rules! pages {
    ($($test:ident = $id:literal),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                practise($id).await;
            }
        )+
        const PRACTISED: &[&str] = &[$($id),+];
    };
}

pages! {
    delete_a_stuck_call = "delete-a-stuck-call",
    disable_a_provider = "disable-a-provider",
    disable_analysis = "disable-analysis",
    disable_voice_embedding = "disable-voice-embedding",
    reprocess_after_normalization_bump = "reprocess-after-normalization-bump",
    reprocess_one_call = "reprocess-one-call",
    reprocess_user = "reprocess-user",
    restore_from_backup = "restore-from-backup",
    restore_from_snapshot = "restore-from-snapshot",
    roll_api_key = "roll-api-key",
    roll_webhook_secret = "roll-webhook-secret",
    stale_jobs = "stale-jobs",
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_practised_and_well_formed() {
    let output = scryon_command()
        .args(["--json", "runbook", "list"])
        .current_dir(repository())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", words(&output));
    let listed: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, PRACTISED, "a page without a drill is not believed");
    let lint = scryon_command().args(["runbook", "lint"]).current_dir(repository()).output().await.unwrap();
    assert!(lint.status.success(), "{}", words(&lint));
    // Every line of the operators' old runbook leads to a page and the test that executes it.
    let map = std::fs::read_to_string(repository().join("docs/runbooks/README.md")).unwrap();
    for id in PRACTISED {
        assert!(map.contains(&format!("({id}.md)")), "docs/runbooks/README.md does not name {id}");
    }
}
