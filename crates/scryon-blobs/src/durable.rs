//! Group commit for a local folder: writers put their files where they belong, then wait until these are on the
//! disk, together with whoever else waits. One writer's file is synced by itself, with the folders above it; a
//! group's by one `syncfs`, which costs about as much as two files do.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// From so many files on the whole file system is synced.
const GROUP: usize = 3;
/// Folders that are remembered; a call has three.
const REMEMBERED: usize = 10_000;

/// What became of the files somebody waits for; the text of an error.
pub(crate) type Settled = Result<(), String>;

/// Puts files of one folder on the disk. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Durable {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    queue: Mutex<Queue>,
    /// Folders whose own entry is on the disk.
    known: Mutex<HashSet<PathBuf>>,
    /// Least time between two syncs where they follow each other; see [`Queue::rest`].
    pace: Duration,
    /// Nobody is ever woken by it: it lets go of the queue while the pace is waited for.
    pause: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Somebody syncs, and goes on until nobody waits.
    served: bool,
    /// When the last two syncs began, the last one first.
    began: [Option<Instant>; 2],
}

impl Queue {
    /// What is left of the pace. There is none where syncs are few: below two in two paces a writer is synced at once.
    /// Where there are more, each would serve one or two, and all of them together take a tenth of the machine.
    fn rest(&self, pace: Duration, now: Instant) -> Option<Duration> {
        let [Some(last), Some(before)] = self.began else { return None };
        let busy = now.saturating_duration_since(before) < pace * 2;
        let rest = (last + pace).saturating_duration_since(now);
        (busy && !rest.is_zero()).then_some(rest)
    }
}

struct Waiting {
    files: Vec<PathBuf>,
    done: oneshot::Sender<Settled>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Durable {
    pub(crate) fn new(root: PathBuf, pace: Duration) -> Self {
        let (queue, known, pause) = (Mutex::default(), Mutex::default(), Condvar::new());
        Self { shared: Arc::new(Shared { root, queue, known, pace, pause }) }
    }

    /// The same with another pace.
    pub(crate) fn paced(&self, pace: Duration) -> Self {
        Self::new(self.shared.root.clone(), pace)
    }

    /// Puts files that were written, and their names, on the disk, then says so. On a thread that may block: whoever
    /// finds nobody syncing syncs for all that come meanwhile, so this may return long after `done` was told.
    pub(crate) fn settle(&self, files: Vec<PathBuf>, done: oneshot::Sender<Settled>) {
        let mut queue = lock(&self.shared.queue);
        queue.waiting.push(Waiting { files, done });
        if std::mem::replace(&mut queue.served, true) {
            return;
        }
        loop {
            let now = Instant::now();
            if let Some(rest) = queue.rest(self.shared.pace, now).filter(|_| !queue.waiting.is_empty()) {
                let paused = self.shared.pause.wait_timeout_while(queue, rest, |_| true);
                queue = paused.unwrap_or_else(PoisonError::into_inner).0;
            }
            let together = std::mem::take(&mut queue.waiting);
            // Seen under the same lock that a newcomer takes: nobody can wait unserved.
            if together.is_empty() {
                queue.served = false;
                return;
            }
            queue.began = [Some(Instant::now()), queue.began[0]];
            drop(queue);
            self.shared.sync(together);
            queue = lock(&self.shared.queue);
        }
    }
}

impl Shared {
    fn sync(&self, together: Vec<Waiting>) {
        if together.iter().map(|one| one.files.len()).sum::<usize>() < GROUP {
            for one in together {
                let result = self.sync_each(&one.files).map_err(|e| e.to_string());
                let _writer_gone = one.done.send(result);
            }
            return;
        }
        let result = File::open(&self.root).and_then(|root| Ok(rustix::fs::syncfs(root)?));
        let result = result.map_err(|e| e.to_string());
        for one in together {
            let _writer_gone = one.done.send(result.clone());
        }
    }

    /// The files, their names in their folders, and the names of those folders above that are new.
    fn sync_each(&self, files: &[PathBuf]) -> io::Result<()> {
        let mut folders: Vec<&Path> = Vec::new();
        for file in files {
            File::open(file)?.sync_all()?;
            folders.extend(file.parent());
        }
        folders.dedup();
        for folder in folders {
            self.sync_folders(folder)?;
        }
        Ok(())
    }

    fn sync_folders(&self, lowest: &Path) -> io::Result<()> {
        let mut folder = Some(lowest);
        while let Some(here) = folder {
            File::open(here)?.sync_all()?;
            let mut known = lock(&self.known);
            if known.len() > REMEMBERED {
                known.clear();
            }
            if here == self.root || !known.insert(here.to_owned()) {
                break;
            }
            folder = here.parent();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::spawn_blocking;

    use super::*;

    async fn settle(durable: &Durable, files: Vec<PathBuf>) -> Settled {
        let (done, settled) = oneshot::channel();
        let durable = durable.clone();
        drop(spawn_blocking(move || durable.settle(files, done)));
        settled.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn alone_and_in_a_group_every_writer_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let durable = Durable::new(dir.path().to_owned(), Duration::ZERO);
        let file = |n: usize| {
            let path = dir.path().join(format!("calls/{n}/a"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, b"x").unwrap();
            path
        };
        settle(&durable, vec![file(0), file(50)]).await.unwrap();
        let all: Vec<_> = (1..50).map(|n| settle(&durable, vec![file(n)])).collect();
        for result in futures_util::future::join_all(all).await {
            result.unwrap();
        }
        let missing = settle(&durable, vec![dir.path().join("none")]).await;
        assert!(missing.is_err(), "{missing:?}");
        // Whoever syncs tells the others before it looks whether anybody has come meanwhile.
        let over = async {
            while lock(&durable.shared.queue).served {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), over).await.expect("the next writer has to sync");
    }

    #[test]
    fn a_pace_is_kept_where_syncs_follow_each_other() {
        let pace = Duration::from_millis(50);
        let start = Instant::now();
        let after = |ms: [u64; 2]| Queue {
            began: ms.map(|ms| Some(start + Duration::from_millis(ms))),
            ..Queue::default()
        };
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(Queue::default().rest(pace, start), None, "the first");
        let second = Queue { began: [Some(start), None], ..Queue::default() };
        assert_eq!(second.rest(pace, at(1)), None, "the second");
        assert_eq!(after([30, 0]).rest(pace, at(40)), Some(Duration::from_millis(40)), "two just now");
        assert_eq!(after([30, 0]).rest(pace, at(80)), None, "the pace is over");
        assert_eq!(after([100, 0]).rest(pace, at(100)), None, "two in two paces at most");
        assert_eq!(after([30, 0]).rest(Duration::ZERO, at(30)), None, "none is ordered");
    }

    /// Waiting for the pace, a writer lets others come, and serves them.
    #[tokio::test(flavor = "multi_thread")]
    async fn those_who_come_within_the_pace_share_one_sync() {
        let dir = tempfile::tempdir().unwrap();
        let pace = Duration::from_secs(3);
        let durable = Durable::new(dir.path().to_owned(), pace);
        let file = |n: usize| {
            let path = dir.path().join(n.to_string());
            std::fs::write(&path, b"x").unwrap();
            path
        };
        let files: Vec<PathBuf> = (0..20).map(file).collect();
        // As if two syncs had just been.
        let second = Instant::now();
        lock(&durable.shared.queue).began = [Some(second); 2];
        let all: Vec<_> = files.into_iter().map(|file| settle(&durable, vec![file])).collect();
        for result in futures_util::future::join_all(all).await {
            result.unwrap();
        }
        let [last, before] = lock(&durable.shared.queue).began;
        assert_eq!(before, Some(second), "one sync for twenty");
        assert!(last.unwrap() >= second + pace);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_writer_that_gives_up_leaves_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let durable = Durable::new(dir.path().to_owned(), Duration::ZERO);
        let path = dir.path().join("a");
        std::fs::write(&path, b"x").unwrap();
        let (done, gone) = oneshot::channel();
        drop(gone);
        // As if somebody synced already: the one that gave up is served by whoever comes next.
        lock(&durable.shared.queue).waiting.push(Waiting { files: vec![path.clone()], done });
        settle(&durable, vec![path]).await.unwrap();
        assert!(lock(&durable.shared.queue).waiting.is_empty());
    }
}
