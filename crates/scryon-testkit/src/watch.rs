//! Ends a test run that hangs, and says where. A run that is ended from outside names no test.

use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use crate::figures::is_full;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// So many steps are told.
const TOLD: usize = 12;

/// What installations did last.
#[derive(Default)]
struct Steps {
    /// The last of them, oldest first.
    last: Vec<(Instant, String)>,
    allowed: Duration,
}

static STEPS: Mutex<Steps> = Mutex::new(Steps { last: Vec::new(), allowed: Duration::ZERO });
static WATCHING: Once = Once::new();

/// An installation came to a step of its life. Where none comes to a step for ten minutes, the run ends.
pub(crate) fn step(what: String) {
    WATCHING.call_once(|| drop(std::thread::spawn(watch)));
    let mut steps = STEPS.lock().unwrap_or_else(PoisonError::into_inner);
    if steps.last.len() == TOLD {
        steps.last.remove(0);
    }
    steps.last.push((Instant::now(), what));
}

/// A test of this run takes so long without a step.
pub fn allow(time: Duration) {
    let mut steps = STEPS.lock().unwrap_or_else(PoisonError::into_inner);
    steps.allowed = steps.allowed.max(time);
}

#[allow(clippy::disallowed_methods)] // a thread of its own, which must look when the runtime does not
fn watch() {
    let usual = Duration::from_secs(if is_full() { 3600 } else { 600 });
    loop {
        std::thread::sleep(LOOK);
        let steps = STEPS.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((at, _)) = steps.last.last() else { continue };
        if at.elapsed() > usual + steps.allowed {
            give_up(&steps.last);
        }
    }
}

/// Not by `eprintln`, which goes to whatever test is running.
fn give_up(steps: &[(Instant, String)]) -> ! {
    let mut told = String::from("\nthe tests hang; what installations did last:\n");
    for (at, what) in steps {
        told += &format!("  {} s ago: {what}\n", at.elapsed().as_secs());
    }
    told += "threads of the tests, and what each waits for in the kernel:\n";
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        told += &format!("  {}: {}\n", read("comm").trim(), read("wchan"));
    }
    let _nobody_hears = std::io::stderr().write_all(told.as_bytes());
    // Programs beside the tests would outlive them.
    let children = ["-KILL", "-P", &std::process::id().to_string()];
    let _nobody_asks = std::process::Command::new("pkill").args(children).status();
    std::process::exit(101)
}
