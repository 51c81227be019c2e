//! Carrying out steps: shell by bash, SQL by psql as an operator. Variables that a step sets are there in the next.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::output::Failure;
use crate::runbook::page::{Language, Step, placeholders};

/// Runs one script in a shell that has the variables of the scripts before, and keeps those it sets.
const SHELL: &str = r#"set -euo pipefail; set -a; [ ! -f "$RUNBOOK_STATE" ] || . "$RUNBOOK_STATE"; . "$RUNBOOK_SCRIPT"; export -p >"$RUNBOOK_STATE""#;
/// The functions of drills before the script.
const DRILL: &str = r#"set -euo pipefail; set -a; [ ! -f "$RUNBOOK_STATE" ] || . "$RUNBOOK_STATE"; . "$RUNBOOK_LIBRARY"; . "$RUNBOOK_SCRIPT"; export -p >"$RUNBOOK_STATE""#;

/// How long a step may take that nobody watches: one that waits for what never comes would say nothing.
const STEP: Duration = Duration::from_secs(480);

/// A shell session as far as scripts can tell.
pub(crate) struct Session {
    folder: TempDir,
    path: String,
    operator_url: Option<String>,
    library: PathBuf,
    /// Whether what scripts say is shown at once, or kept for when they fail.
    shown: bool,
}

/// How a script ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it said, where that is not shown at once.
    pub(crate) said: String,
}

impl Session {
    /// `root`: where docs/ and deploy/ are.
    pub(crate) fn open(root: &std::path::Path, shown: bool) -> Result<Self, Failure> {
        let stopped = |e: std::io::Error| Failure::new(Failure::STOPPED, format!("a scratch folder: {e}"));
        let folder = tempfile::tempdir().map_err(stopped)?;
        // `scryon` of the steps is this program.
        let own = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = own.map_or(path.clone(), |own| format!("{}:{path}", own.display()));
        let operator_url = std::env::var("OPERATOR_URL").ok().filter(|url| !url.is_empty());
        let operator_url =
            operator_url.or_else(|| std::env::var("DATABASE_URL").ok().map(|url| as_operator(&url)));
        Ok(Self { folder, path, operator_url, library: root.join("deploy/drills/lib.sh"), shown })
    }

    /// The value of a variable that a script set, or the environment has.
    pub(crate) async fn variable(&self, name: &str) -> Option<String> {
        let mut command = Command::new("bash");
        command.args([
            "-c",
            r#"[ ! -f "$RUNBOOK_STATE" ] || . "$RUNBOOK_STATE"; printf %s "${!1-}""#,
            "-",
            name,
        ]);
        let output = self.prepared(&mut command).stdout(Stdio::piped()).output().await.ok()?;
        let value = String::from_utf8_lossy(&output.stdout).into_owned();
        (!value.is_empty()).then_some(value)
    }

    /// A step's text with its words in angle brackets replaced.
    pub(crate) async fn filled(&self, step: &Step) -> Result<String, Failure> {
        let mut text = step.text.clone();
        for word in placeholders(&step.text) {
            let value = self.variable(word).await.ok_or_else(|| {
                Failure::new(Failure::USAGE, format!("<{word}> has no value: give it as --set {word}=…"))
            })?;
            text = text.replace(&format!("<{word}>"), &value);
        }
        Ok(text)
    }

    /// Carries out a step.
    pub(crate) async fn step(&self, step: &Step) -> Result<Ended, Failure> {
        let text = self.filled(step).await?;
        match step.language {
            Language::Sh => self.script(SHELL, &text).await,
            Language::Sql => {
                let url = self.operator_url.as_deref().ok_or_else(|| {
                    Failure::new(Failure::USAGE, "SQL needs OPERATOR_URL, or DATABASE_URL of a login that may take the role scryon_operator")
                })?;
                let file = self.write("step.sql", &text)?;
                let mut command = Command::new("psql");
                command.args(["-X", "--no-password", "-v", "ON_ERROR_STOP=1", "-P", "pager=off", "-f"]);
                command.arg(file).arg(url);
                self.ended(&mut command).await
            }
        }
    }

    /// Sets variables.
    pub(crate) async fn assign(&self, text: &str) -> Result<Ended, Failure> {
        self.script(SHELL, text).await
    }

    /// Runs a script of a drill.
    pub(crate) async fn drill(&self, text: &str) -> Result<Ended, Failure> {
        self.script(DRILL, text).await
    }

    async fn script(&self, shell: &str, text: &str) -> Result<Ended, Failure> {
        let file = self.write("step.sh", text)?;
        let mut command = Command::new("bash");
        command.args(["-c", shell]).env("RUNBOOK_SCRIPT", file).env("RUNBOOK_LIBRARY", &self.library);
        self.ended(&mut command).await
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let file = self.folder.path().join(name);
        std::fs::write(&file, text).map_err(|e| Failure::new(Failure::STOPPED, e.to_string()))?;
        Ok(file)
    }

    fn prepared<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let state = self.folder.path().join("variables");
        command.env("PATH", &self.path).env("RUNBOOK_STATE", state).stdin(Stdio::null()).kill_on_drop(true)
    }

    async fn ended(&self, command: &mut Command) -> Result<Ended, Failure> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let missing = |e: std::io::Error| Failure::new(Failure::UNAVAILABLE, format!("{program}: {e}"));
        let command = self.prepared(command);
        if self.shown {
            let status = command.status().await.map_err(missing)?;
            return Ok(Ended { status, said: String::new() });
        }
        let Ok(output) = tokio::time::timeout(STEP, command.output()).await else {
            let minutes = STEP.as_secs() / 60;
            return Err(Failure::new(
                Failure::STOPPED,
                format!("a step did not end within {minutes} minutes"),
            ));
        };
        let output = output.map_err(missing)?;
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Ok(Ended { status: output.status, said })
    }
}

/// The same login, in the role that operators have.
fn as_operator(url: &str) -> String {
    const ROLE: &str = "-crole%3Dscryon_operator";
    match url.split_once("options=") {
        Some((before, rest)) => format!("{before}options={ROLE}%20{rest}"),
        None if url.contains('?') => format!("{url}&options={ROLE}"),
        None => format!("{url}?options={ROLE}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_has_the_same_address_and_another_role() {
        for (url, expected) in [
            ("postgres://u:p@h/d", "postgres://u:p@h/d?options=-crole%3Dscryon_operator"),
            (
                "postgres://h/d?sslmode=disable",
                "postgres://h/d?sslmode=disable&options=-crole%3Dscryon_operator",
            ),
            (
                "postgres://h/d?options=-csearch_path%3Dt",
                "postgres://h/d?options=-crole%3Dscryon_operator%20-csearch_path%3Dt",
            ),
        ] {
            assert_eq!(as_operator(url), expected);
        }
    }

    #[tokio::test]
    async fn what_a_step_sets_is_there_in_the_next() {
        let session = Session::open(std::path::Path::new("."), false).unwrap();
        let step = |text: &str| Step {
            section: String::new(),
            way: None,
            language: Language::Sh,
            text: text.to_owned(),
        };
        assert!(session.step(&step("callId=a1b2 OTHER='two words'")).await.unwrap().status.success());
        let ended = session.step(&step("echo \"<callId> $OTHER\"; false; echo never")).await.unwrap();
        assert!(!ended.status.success(), "the first failure ends a step");
        assert_eq!(ended.said, "a1b2 two words\n");
        let failure = session.step(&step("echo <userId>")).await.err().unwrap();
        assert!(failure.message.contains("--set userId="), "{}", failure.message);
    }
}
