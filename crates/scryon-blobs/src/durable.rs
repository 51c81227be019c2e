//! Group commit for a local folder: writers put their files where they belong, then wait until these are on the
//! disk, together with whoever else waits. One writer's file is synced by itself, with the folders above it; a
//! group's by one `syncfs`, which costs about as much as two files do.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::BlobError;

/// From so many files on the whole file system is synced.
const GROUP: usize = 3;
/// Folders that are remembered; a call has three.
const REMEMBERED: usize = 10_000;

/// Puts files of one folder on the disk. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Durable {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    waiting: Mutex<Vec<Waiting>>,
    /// Held by whoever syncs for all that wait.
    turn: tokio::sync::Mutex<()>,
    /// Folders whose own entry is on the disk.
    known: Mutex<HashSet<PathBuf>>,
}

struct Waiting {
    path: PathBuf,
    done: oneshot::Sender<Result<(), String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Durable {
    pub(crate) fn new(root: PathBuf) -> Self {
        let shared = Shared {
            root,
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            known: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Waits until a file that was written, and its name, are on the disk.
    pub(crate) async fn settle(&self, path: PathBuf) -> Result<(), BlobError> {
        let (done, mut settled) = oneshot::channel();
        lock(&self.shared.waiting).push(Waiting { path, done });
        let turn = self.shared.turn.lock().await;
        // Whoever had the turn before may have synced for this one, too.
        let result = match settled.try_recv() {
            Ok(result) => result,
            Err(_not_yet) => {
                let (shared, together) =
                    (self.shared.clone(), std::mem::take(&mut *lock(&self.shared.waiting)));
                // To its end, even where this writer gives up meanwhile: others wait for it.
                let _told_each = spawn_blocking(move || shared.sync(together)).await;
                drop(turn);
                settled.await.unwrap_or_else(|_gone| Err("the write to disk was given up".to_owned()))
            }
        };
        result.map_err(BlobError::Unavailable)
    }
}

impl Shared {
    fn sync(&self, together: Vec<Waiting>) {
        if together.len() < GROUP {
            for one in together {
                let result = self.sync_one(&one.path).map_err(|e| e.to_string());
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

    /// The file, its name in its folder, and the names of those folders above that are new.
    fn sync_one(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()?;
        let mut folder = path.parent();
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
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn alone_and_in_a_group_every_writer_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let durable = Durable::new(dir.path().to_owned());
        let file = |n: usize| {
            let path = dir.path().join(format!("calls/{n}/a"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, b"x").unwrap();
            path
        };
        durable.settle(file(0)).await.unwrap();
        let all: Vec<_> = (1..50).map(|n| durable.settle(file(n))).collect();
        for result in futures_util::future::join_all(all).await {
            result.unwrap();
        }
        let missing = durable.settle(dir.path().join("none")).await;
        assert!(matches!(missing, Err(BlobError::Unavailable(_))), "{missing:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_writer_that_gives_up_leaves_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let durable = Durable::new(dir.path().to_owned());
        let path = dir.path().join("a");
        std::fs::write(&path, b"x").unwrap();
        let turn = durable.shared.turn.lock().await;
        let gives_up = tokio::spawn({
            let (durable, path) = (durable.clone(), path.clone());
            async move { durable.settle(path).await }
        });
        while lock(&durable.shared.waiting).is_empty() {
            tokio::task::yield_now().await;
        }
        gives_up.abort();
        drop(turn);
        durable.settle(path).await.unwrap();
    }
}
