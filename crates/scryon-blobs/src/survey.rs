//! A look at everything that is stored, call by call.

use std::path::{Path as FilePath, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, future};
use object_store::path::Path;
use scryon_domain::ids::CallId;
use tokio::sync::mpsc;

use crate::{BlobError, Blobs, CallKeys};

/// A call that has objects, and their prefix.
pub type Survey = BoxStream<'static, Result<(CallId, String), BlobError>>;

impl Blobs {
    /// Calls with objects last written before `old`; of a remote store one answer for each object. Keys of
    /// another form are passed over.
    pub fn survey(&self, old: SystemTime) -> Survey {
        if let Some(root) = &self.local_root {
            return walk(root.clone(), old);
        }
        let old: DateTime<Utc> = old.into();
        self.store
            .list(Some(&Path::from("tenants")))
            .map_err(BlobError::from)
            .try_filter(move |meta| future::ready(meta.last_modified < old))
            .try_filter_map(|meta| future::ready(Ok(found(meta.location.as_ref()))))
            .boxed()
    }
}

fn found(key: &str) -> Option<(CallId, String)> {
    CallKeys::call_of(key).map(|(call, prefix)| (call, prefix.to_owned()))
}

/// Folder by folder: an upload that was cut by a crash left a file that a listing of objects does not show.
fn walk(root: PathBuf, old: SystemTime) -> Survey {
    let (sender, receiver) = mpsc::channel(64);
    tokio::task::spawn_blocking(move || {
        for tenant in folders(&root.join("tenants")) {
            for user in folders(&tenant.join("users")) {
                for call in folders(&user.join("calls")) {
                    let Ok(key) = call.strip_prefix(&root) else { continue };
                    let Some(found) = found(&format!("{}/", key.display())) else { continue };
                    if is_older(&call, old) && sender.blocking_send(Ok(found)).is_err() {
                        return;
                    }
                }
            }
        }
    });
    futures_util::stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| {
        receiver.recv().await.map(|found| (found, receiver))
    })
    .boxed()
}

fn folders(of: &FilePath) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(of).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_dir())
}

/// Whether nothing was written to the call's folders, or to a file in them, since.
fn is_older(call: &FilePath, old: SystemTime) -> bool {
    let written = |path: &FilePath| path.metadata().and_then(|m| m.modified()).is_ok_and(|at| at < old);
    let entries = |of: &FilePath| -> Vec<PathBuf> {
        std::fs::read_dir(of).into_iter().flatten().flatten().map(|e| e.path()).collect()
    };
    written(call)
        && entries(call).iter().all(|part| written(part) && entries(part).iter().all(|file| written(file)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::BlobKey;
    use crate::tests::local;

    const PREFIX: &str = "tenants/default/users/0195d8a0-0000-7000-8000-000000000001/calls/0195d8a0-0000-7000-8000-000000000000/";

    #[tokio::test]
    async fn a_survey_gives_each_call_once_and_no_other_key() {
        let (blobs, _dir) = local();
        for name in
            [format!("{PREFIX}temp/audio.wav"), format!("{PREFIX}r1/raw.json"), "tenants/x".to_owned()]
        {
            blobs.put(&BlobKey::stored(&name), vec![1]).await.unwrap();
        }
        let later = SystemTime::now() + Duration::from_secs(60);
        let all: Vec<_> = blobs.survey(later).try_collect().await.unwrap();
        assert_eq!(all.iter().map(|(_, prefix)| prefix.as_str()).collect::<Vec<_>>(), [PREFIX]);
        let young: Vec<_> =
            blobs.survey(SystemTime::now() - Duration::from_secs(60)).try_collect().await.unwrap();
        assert!(young.is_empty());
    }

    #[tokio::test]
    async fn what_a_crash_left_half_written_leaves_with_the_prefix() {
        let (blobs, dir) = local();
        let folder = dir.path().join(PREFIX).join("temp");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("audio.wav#1"), b"half").unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);
        let all: Vec<_> = blobs.survey(later).try_collect().await.unwrap();
        assert_eq!(all.len(), 1);
        blobs.delete_prefix(PREFIX).await.unwrap();
        assert!(!folder.exists());
    }
}
