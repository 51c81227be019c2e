//! Programs under measurement, read from /proc.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

/// A running program.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) name: String,
    child: Child,
}

/// CPU seconds and peak memory of a program and its children.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_mb: f64,
}

impl Running {
    /// Starts a program; its output goes to `log`.
    pub(crate) fn start(
        name: &str,
        binary: &Path,
        arguments: &[&str],
        settings: &BTreeMap<String, String>,
        log: PathBuf,
    ) -> std::io::Result<Self> {
        let log = std::fs::File::create(log)?;
        let child = Command::new(binary)
            .args(arguments)
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Usage {
        self.child.id().map(|id| tree_usage(id as i32)).unwrap_or_default()
    }

    /// Its memory now, in MB; its peak begins here.
    pub(crate) fn forget_peak(&self) -> Result<f64, String> {
        let id = self.child.id().ok_or_else(|| format!("{} has ended", self.name))?;
        // 5: the high water mark becomes what is resident now (proc_pid_clear_refs(5)).
        std::fs::write(format!("/proc/{id}/clear_refs"), "5").map_err(|e| e.to_string())?;
        Ok(peak_mb(id as i32))
    }

    /// Asks it to stop, then makes it.
    pub(crate) async fn stop(mut self) {
        if let Some(id) = self.child.id() {
            let group = format!("-{id}");
            // A group that has ended already is what we want.
            let _ended = Command::new("kill").args(["-TERM", "--", &group]).status().await;
            if tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.is_err() {
                let _ended = Command::new("kill").args(["-KILL", "--", &group]).status().await;
            }
        }
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// A process and everything below it.
pub(crate) fn tree_usage(root: i32) -> Usage {
    let mut usage = Usage::default();
    let stats = stats();
    let mut wanted = vec![root];
    while let Some(id) = wanted.pop() {
        if let Some((_, ticks)) = stats.get(&id) {
            usage.cpu_seconds += *ticks as f64 / 100.0;
            usage.peak_mb += peak_mb(id);
        }
        wanted.extend(stats.iter().filter(|(_, (parent, _))| *parent == id).map(|(child, _)| *child));
    }
    usage
}

/// Parent and CPU ticks (of itself and of children it has waited for) by process.
fn stats() -> BTreeMap<i32, (i32, u64)> {
    let mut stats = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let Ok(text) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name is in parentheses and may hold anything.
        let Some((_, rest)) = text.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        let parent = fields.get(1).and_then(|f| f.parse().ok()).unwrap_or(0);
        stats.insert(id, (parent, number(11) + number(12) + number(13) + number(14)));
    }
    stats
}

fn peak_mb(id: i32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// The processes whose command line holds `needle`.
pub(crate) fn find(needle: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).replace('\0', " ").contains(needle) {
            found.push(id);
        }
    }
    found
}
