//! Programs of other people, run on files we do not trust: in a process group of their own, with limits on
//! time, memory and output, and ended as a group.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Address space of a tool; a decoder that wants more is fed something hostile.
const MEMORY: u64 = 2 << 30;
/// Bytes of output kept; the rest is read and thrown away, so that the tool does not block.
const OUTPUT: usize = 64 << 20;
const ERRORS: usize = 4 << 10;

/// Why a tool gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("{program} is not installed")]
    Missing { program: String },
    #[error("{program} was ended after {limit:?}")]
    TimedOut { program: String, limit: Duration },
    #[error("{program} failed ({status}): {message}")]
    Failed { program: String, status: String, message: String },
    /// It ended as programs end that meet a bug of their own, and not as somebody ends them.
    #[error("{program} crashed ({status})")]
    Crashed { program: String, status: String },
    #[error("{program} could not be run: {source}")]
    Run { program: String, source: std::io::Error },
}

/// What a tool printed.
#[derive(Debug)]
pub struct ToolOutput {
    pub stdout: Vec<u8>,
}

/// Heavy tools at once: one per core, whatever stages share this process.
static CORES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(cores()));

/// Runs a tool with no other heavy one beside it in this process: what happens to it is its own doing.
pub async fn run_alone(
    program: &str,
    arguments: Vec<OsString>,
    limit: Duration,
) -> Result<ToolOutput, ToolError> {
    let all = u32::try_from(cores()).unwrap_or(u32::MAX);
    let _cores = CORES.acquire_many(all).await;
    run(program, arguments, limit).await
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

/// Runs a tool that fills a core. The limit begins when a core is free.
pub async fn run_on_core(
    program: &str,
    arguments: Vec<OsString>,
    limit: Duration,
) -> Result<ToolOutput, ToolError> {
    let _core = CORES.acquire().await;
    run(program, arguments, limit).await
}

/// Runs a tool to its end.
pub async fn run(program: &str, arguments: Vec<OsString>, limit: Duration) -> Result<ToolOutput, ToolError> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => ToolError::Missing { program: program.to_owned() },
        _ => ToolError::Run { program: program.to_owned(), source },
    };
    let mut command = limited(program, limit);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if !is_installed(program) {
        return Err(ToolError::Missing { program: program.to_owned() });
    }
    let mut child = command.spawn().map_err(failed)?;
    let group = Group(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let finished = timeout(limit, async {
        let (stdout, stderr) = tokio::join!(read_first(stdout, OUTPUT), read_last(stderr, ERRORS));
        (child.wait().await, stdout, stderr)
    })
    .await;
    drop(group); // ends what the tool itself has started and left behind
    let Ok((status, stdout, stderr)) = finished else {
        return Err(ToolError::TimedOut { program: program.to_owned(), limit });
    };
    let status = status.map_err(failed)?;
    if status.success() {
        return Ok(ToolOutput { stdout });
    }
    if is_crash(status) {
        return Err(ToolError::Crashed { program: program.to_owned(), status: status.to_string() });
    }
    let text = String::from_utf8_lossy(&stderr);
    let message = text.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("no message").trim();
    Err(ToolError::Failed {
        program: program.to_owned(),
        status: status.to_string(),
        message: message.to_owned(),
    })
}

/// A signal that a program brings upon itself. SIGKILL is another's doing: a person's, or that of a machine
/// without memory.
fn is_crash(status: ExitStatus) -> bool {
    let crashes = [
        Signal::SIGABRT,
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGFPE,
        Signal::SIGTRAP,
        Signal::SIGSYS,
    ];
    status.signal().is_some_and(|signal| crashes.iter().any(|crash| *crash as i32 == signal))
}

/// Whether a program can be found, by path or in PATH.
pub fn is_installed(program: &str) -> bool {
    if program.contains('/') {
        return std::path::Path::new(program).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The program behind prlimit, where there is one (util-linux has it everywhere). The limits themselves
/// need no privilege.
fn limited(program: &str, limit: Duration) -> Command {
    static PRLIMIT: OnceLock<bool> = OnceLock::new();
    if !*PRLIMIT.get_or_init(|| is_installed("prlimit")) {
        return Command::new(program);
    }
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--as={MEMORY}"))
        .arg(format!("--cpu={}", limit.as_secs().saturating_add(1)))
        .arg("--core=0")
        .arg("--")
        .arg(program);
    command
}

/// Ends the whole group when it goes, also when the waiting task is cancelled.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0.and_then(|id| i32::try_from(id).ok()) {
            // A group that has ended already is what we want.
            let _ended = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

async fn read_first(pipe: Option<impl AsyncRead + Unpin>, keep: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    read(pipe, |chunk| {
        let room = keep.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    })
    .await;
    kept
}

/// What a tool said last tells why it failed.
async fn read_last(pipe: Option<impl AsyncRead + Unpin>, keep: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    read(pipe, |chunk| {
        kept.extend_from_slice(chunk);
        let surplus = kept.len().saturating_sub(keep);
        kept.drain(..surplus);
    })
    .await;
    kept
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&[u8])) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = vec![0; 16 << 10];
    while let Ok(n) = pipe.read(&mut chunk).await {
        if n == 0 {
            break;
        }
        take(&chunk[..n]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<OsString> {
        vec!["-c".into(), script.into()]
    }

    #[tokio::test]
    async fn output_comes_back_and_failures_say_why() {
        let output = run("sh", sh("echo hello"), Duration::from_secs(5)).await.unwrap();
        assert_eq!(output.stdout, b"hello\n");
        let error =
            run("sh", sh("echo first >&2; echo last >&2; exit 3"), Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(&error, ToolError::Failed { message, .. } if message == "last"), "{error}");
        let error = run("no-such-tool", vec![], Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(error, ToolError::Missing { .. }));
    }

    #[tokio::test]
    async fn a_crash_is_told_from_a_kill_and_from_a_refusal() {
        let end = async |how: &str| run("sh", sh(how), Duration::from_secs(5)).await.unwrap_err();
        for signal in ["ABRT", "SEGV", "ILL"] {
            let error = end(&format!("kill -{signal} $$")).await;
            assert!(matches!(error, ToolError::Crashed { .. }), "{signal}: {error}");
        }
        for how in ["kill -KILL $$", "kill -TERM $$", "exit 134"] {
            let error = end(how).await;
            assert!(matches!(error, ToolError::Failed { .. }), "{how}: {error}");
        }
    }

    #[tokio::test]
    async fn a_tool_that_hangs_ends_with_everything_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("grandchild");
        let script = format!("sleep 60 & echo $! > {}; wait", file.display());
        let error = run("sh", sh(&script), Duration::from_secs(3)).await.unwrap_err();
        assert!(matches!(error, ToolError::TimedOut { .. }));
        let id = std::fs::read_to_string(&file).unwrap();
        let state = format!("/proc/{}/stat", id.trim());
        let started = std::time::Instant::now();
        // Gone, or dead and waiting for a parent to notice.
        while std::fs::read_to_string(&state).is_ok_and(|s| !s.contains(") Z ")) {
            assert!(started.elapsed() < Duration::from_secs(10), "the grandchild survived");
            tokio::task::yield_now().await;
        }
    }
}
