//! Every command that docs/providers.md prints, run as it is printed.
//!
//! A fence `sh` is a script that must succeed; a fence `text` behind it is what it printed, figures aside. `sh settings`
//! are variables that a start must accept. `sh example` is not run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use scryon_testkit::{TestApp, TestOptions, eventually, scryon_command, unique_wav};

const MANUAL: &str = "docs/providers.md";
/// A manual whose examples are not run is one that nobody checks.
const MOST_EXAMPLES: usize = 1;

#[derive(Debug)]
struct Fence {
    line: usize,
    info: String,
    body: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn fences(manual: &str) -> Vec<Fence> {
    let mut found = Vec::new();
    let mut open: Option<Fence> = None;
    for (number, line) in manual.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                open = Some(Fence { line: number + 1, info: info.to_owned(), body: String::new() });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(fence), None) => fence.body.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence of {MANUAL} has no end");
    found
}

/// A line without what differs from run to run: figures, and the width of columns.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for c in line.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        match c {
            '0'..='9' if shape.ends_with('#') => {}
            '.' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            other => shape.push(other),
        }
    }
    shape
}

/// Assignments as an environment file has them.
fn settings(body: &str) -> BTreeMap<String, String> {
    body.lines().map(|l| l.split_once('=').unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// Variables of a manual stand on top of an installation that works.
fn accepted(app: &TestApp, fence: &Fence) {
    let mut env = app.settings.clone();
    let named = settings(&fence.body);
    let known: Vec<&str> = scryon_config::entries().map(|e| e.name).collect();
    for name in named.keys() {
        assert!(known.contains(&name.as_str()), "{MANUAL}:{}: there is no setting {name}", fence.line);
    }
    env.extend(named);
    let config = scryon_config::Config::from_env(&env);
    let config = config.unwrap_or_else(|e| panic!("{MANUAL}:{}: {e}", fence.line));
    let http = scryon_providers::HttpClient::new(None).unwrap();
    let made = scryon_providers::transcription_engines(&config.engines, &http)
        .map(|_| ())
        .and_then(|()| scryon_providers::diarization_engines(&config.engines, &http).map(|_| ()))
        .and_then(|()| scryon_providers::analysis_engines(&config.engines, &http).map(|_| ()));
    made.unwrap_or_else(|e| panic!("{MANUAL}:{}: {e}", fence.line));
}

/// Runs a script and gives what it printed.
async fn run(env: &BTreeMap<String, String>, fence: &Fence) -> String {
    let mut command = tokio::process::Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &fence.body]).env_clear().envs(env);
    let output = command.stdin(std::process::Stdio::null()).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{MANUAL}:{}: {}\n{out}{err}", fence.line, output.status);
    out
}

fn environment(app: &TestApp, call: uuid::Uuid) -> BTreeMap<String, String> {
    let mut env = app.settings.clone();
    let program = PathBuf::from(scryon_command().as_std().get_program());
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let simulator = env["SCRYON_FAKE_PROVIDER_URL"].clone();
    for (name, value) in [
        ("PATH", path),
        ("API_URL", app.client.base.clone()),
        ("CALL_ID", call.to_string()),
        ("SIMULATOR", simulator),
    ] {
        env.insert(name.to_owned(), value);
    }
    env
}

/// The manual is about an installation that has run for a while: a call is done, and keys were looked at.
#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_manual_of_providers_does_what_it_says() {
    let manual = std::fs::read_to_string(root().join(MANUAL)).unwrap();
    let options = TestOptions::hosted().set("SCRYON_AUDIO_PREPROCESSING_ENABLED", "true");
    let app = TestApp::start_with(options).await;
    let call = app.client.upload(unique_wav()).await;
    assert_eq!(app.client.finished(call).await["status"], "COMPLETED");
    let looked = "select count(*) from provider_circuits where check_result = 'ok'";
    eventually("keys to be looked at", || async { (app.database.number(looked).await == 3).then_some(()) })
        .await;
    let env = environment(&app, call);

    let (mut scripts, mut examples) = (0, 0);
    let mut printed: Option<String> = None;
    for fence in fences(&manual) {
        match fence.info.as_str() {
            "sh" => {
                scripts += 1;
                printed = Some(run(&env, &fence).await);
            }
            "text" => {
                let Some(printed) = printed.take() else { continue };
                let shapes: Vec<String> = printed.lines().map(shape).collect();
                for line in fence.body.lines() {
                    let found = shapes.contains(&shape(line));
                    assert!(found, "{MANUAL}:{}: nothing printed `{line}`, but:\n{printed}", fence.line);
                }
            }
            "sh settings" => accepted(&app, &fence),
            "sh example" => {
                examples += 1;
                printed = None;
            }
            other => panic!("{MANUAL}:{}: a fence `{other}` is not checked", fence.line),
        }
    }
    assert!(scripts >= 5, "{scripts} scripts");
    assert!(examples <= MOST_EXAMPLES, "{examples} examples");
    app.finish().await;
}

#[test]
fn figures_and_columns_do_not_count() {
    assert_eq!(shape("total   $0.005257"), shape("total $12.5"));
    assert_ne!(shape("lemonfox asked"), shape("lemonfox disabled"));
    let found = fences("a\n```sh\nx\ny\n```\n```text\nz\n```\n");
    assert_eq!(
        found.iter().map(|f| (f.line, f.info.as_str(), f.body.as_str())).collect::<Vec<_>>(),
        [(2, "sh", "x\ny\n"), (6, "text", "z\n"),]
    );
}
