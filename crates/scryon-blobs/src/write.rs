//! Recordings go in as streams: the memory of an upload is one buffer, whatever its size.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::durable::Durable;
use crate::{BlobError, BlobKey, Blobs, Written, local, path};

/// Memory that all uploads of a process share for their buffers.
const BUFFERS: usize = 6 << 20;
const SMALLEST_BUFFER: usize = 4 << 10;
const LARGEST_BUFFER: usize = 1 << 20;
/// S3 refuses smaller parts (the last one aside).
const S3_PART: usize = 5 << 20;

static WRITERS: AtomicUsize = AtomicUsize::new(0);

/// An object that is being written. It becomes visible, whole, with [`BlobWriter::finish`]; dropped before
/// that it leaves nothing behind.
pub struct BlobWriter {
    /// The store that is written to: the final one, or the spool in front of it.
    store: Arc<dyn ObjectStore>,
    /// Where `store` is a spool: the file there, and the final store.
    remote: Option<(Spooled, Arc<dyn ObjectStore>)>,
    /// Of a local store: the file, and what puts it on the disk.
    local: Option<(PathBuf, Option<Durable>)>,
    path: Path,
    upload: Option<Parts>,
    buffer: BytesMut,
    hash: Sha256,
    bytes: u64,
}

impl std::fmt::Debug for BlobWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobWriter").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Blobs {
    /// Starts writing an object. `expected`: bytes it will have, roughly, where that is known.
    pub fn writer(&self, key: &BlobKey, expected: Option<u64>) -> Result<BlobWriter, BlobError> {
        let local = self.local_file(key)?.map(|file| (file, self.durable.clone()));
        WRITERS.fetch_add(1, Ordering::Relaxed);
        let (store, remote): (Arc<dyn ObjectStore>, _) = match &self.spool {
            None => (self.store.clone(), None),
            Some(spool) => (spool.clone(), Some((Spooled::new(spool.clone()), self.store.clone()))),
        };
        Ok(BlobWriter {
            store,
            remote,
            local,
            path: path(key)?,
            upload: None,
            // At once, where it will fit: growing step by step copies it several times.
            buffer: BytesMut::with_capacity(expected.map_or(0, |bytes| (bytes as usize).min(share()))),
            hash: Sha256::new(),
            bytes: 0,
        })
    }
}

/// The more uploads there are, the smaller each one's share of the memory.
fn share() -> usize {
    (BUFFERS / WRITERS.load(Ordering::Relaxed).max(1)).clamp(SMALLEST_BUFFER, LARGEST_BUFFER)
}

impl BlobWriter {
    /// Appends bytes; waits while the disk is slower than the client. A chunk that is given away is gone before the wait.
    pub async fn write<C: AsRef<[u8]>>(&mut self, chunk: C) -> Result<(), BlobError> {
        let bytes = chunk.as_ref();
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        drop(chunk);
        if self.buffer.len() >= share() {
            self.flush().await?;
        }
        Ok(())
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 of what was written so far.
    pub fn sha256(&self) -> Vec<u8> {
        self.hash.clone().finalize().to_vec()
    }

    /// Where the object will lie.
    pub fn key(&self) -> &str {
        self.path.as_ref()
    }

    /// Where `store` keeps it.
    fn place(&self) -> &Path {
        self.remote.as_ref().map_or(&self.path, |(spooled, _)| &spooled.path)
    }

    async fn flush(&mut self) -> Result<(), BlobError> {
        let part = self.buffer.split().freeze();
        // What is left of a buffer keeps all of it: where that is more than two shares, it goes with this part.
        if part.len() + self.buffer.capacity() > 2 * share() {
            self.buffer = BytesMut::new();
        }
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => self.upload.insert(Parts::start(&*self.store, self.place()).await?),
        };
        upload.put(part).await
    }

    /// Makes the object visible.
    pub async fn finish(mut self) -> Result<Written, BlobError> {
        match (self.upload.take(), self.local.take()) {
            (None, Some((file, durable))) => {
                local::write(vec![(file, self.buffer.split().freeze())], durable).await?;
            }
            (None, None) => {
                let whole = self.buffer.split().freeze();
                self.store.put(self.place(), whole.into()).await?;
            }
            (Some(mut upload), local) => {
                if !self.buffer.is_empty() {
                    upload.put(self.buffer.split().freeze()).await?;
                }
                upload.complete().await?;
                if let Some((file, Some(durable))) = local {
                    local::settle(file, durable).await?;
                }
            }
        }
        if let Some((spooled, remote)) = self.remote.take() {
            let sent = spooled.send(&*remote, &self.path).await;
            spooled.remove().await;
            sent?;
        }
        Ok(self.written())
    }

    /// The same, with a small document beside it.
    pub async fn finish_beside(
        mut self,
        blobs: &Blobs,
        key: &BlobKey,
        body: Vec<u8>,
    ) -> Result<Written, BlobError> {
        let places = self.local.clone().zip(blobs.local_file(key)?).filter(|_| self.upload.is_none());
        if let Some(((file, durable), beside)) = places {
            // Both in one visit to the disk.
            let whole = self.buffer.split().freeze();
            local::write(vec![(file, whole), (beside, body.into())], durable).await?;
            return Ok(self.written());
        }
        let (written, described) = tokio::join!(self.finish(), blobs.put(key, body));
        described.and(written)
    }

    fn written(&mut self) -> Written {
        let sha256 = std::mem::take(&mut self.hash).finalize().to_vec();
        let bytes = i64::try_from(self.bytes).unwrap_or(i64::MAX);
        Written { key: self.path.to_string(), bytes, sha256 }
    }

    /// Gives the object up. Dropping does the same without waiting for it.
    pub async fn abort(mut self) {
        if let Some(upload) = self.upload.take() {
            upload.abort().await;
        }
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        WRITERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An upload part by part. Whatever way it ends, be it a refusal of the store or a caller that waits no longer,
/// no parts lie about: they are put together, or given up. A bucket keeps and bills parts for ever, and no
/// listing of objects shows them.
struct Parts {
    /// None: it is at its end.
    upload: Option<Box<dyn MultipartUpload>>,
}

impl Parts {
    async fn start(store: &dyn ObjectStore, path: &Path) -> Result<Self, BlobError> {
        Ok(Self { upload: Some(store.put_multipart(path).await?) })
    }

    async fn put(&mut self, part: Bytes) -> Result<(), BlobError> {
        if let Some(upload) = &mut self.upload {
            upload.put_part(part.into()).await?;
        }
        Ok(())
    }

    /// Makes the object visible.
    async fn complete(mut self) -> Result<(), BlobError> {
        if let Some(upload) = &mut self.upload
            && let Err(error) = upload.complete().await
        {
            self.abort().await;
            return Err(error.into());
        }
        self.upload = None;
        Ok(())
    }

    /// Dropping does the same without waiting for it.
    async fn abort(mut self) {
        if let Some(mut upload) = self.upload.take() {
            // What cannot be given up now is left to the bucket's own rule (docs/backup.md, "Parts of uploads").
            let _left = upload.abort().await;
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let (Some(mut upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { upload.abort().await });
        }
    }
}

/// A recording in the spool. It goes whatever comes of the sending, also where nobody waits for it any more. Its name is
/// its own: two workers may have the same object in hands, one of which has lost its lease and does not know it yet.
struct Spooled {
    store: Arc<dyn ObjectStore>,
    path: Path,
    gone: bool,
}

impl Spooled {
    fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, path: Path::from(Uuid::new_v4().simple().to_string()), gone: false }
    }

    /// Sends the complete file to the remote store: whole when it fits one part, else part by part.
    async fn send(&self, remote: &dyn ObjectStore, to: &Path) -> Result<(), BlobError> {
        let size = self.store.head(&self.path).await?.size;
        if size <= S3_PART as u64 {
            let whole: Bytes = self.store.get(&self.path).await?.bytes().await?;
            remote.put(to, whole.into()).await?;
            return Ok(());
        }
        let mut upload = Parts::start(remote, to).await?;
        let mut start = 0;
        while start < size {
            let end = (start + S3_PART as u64).min(size);
            let sent = match self.store.get_range(&self.path, start..end).await {
                Ok(part) => upload.put(part).await,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = sent {
                upload.abort().await;
                return Err(error);
            }
            start = end;
        }
        upload.complete().await
    }

    /// Dropping does the same without waiting for it. What stays is removed by a later start (`spool::tidy`).
    async fn remove(mut self) {
        let _left = self.store.delete(&self.path).await;
        self.gone = true;
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.gone, tokio::runtime::Handle::try_current()) {
            let (store, path) = (self.store.clone(), std::mem::take(&mut self.path));
            runtime.spawn(async move { store.delete(&path).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::local;

    fn key(name: &str) -> BlobKey {
        BlobKey::stored(&format!("tenants/t/{name}"))
    }

    #[tokio::test]
    async fn a_stream_becomes_one_object_with_its_hash() {
        let (blobs, _dir) = local();
        let mut writer = blobs.writer(&key("a"), None).unwrap();
        let chunk = vec![7u8; 100_000];
        for _ in 0..50 {
            writer.write(&chunk).await.unwrap();
        }
        let written = writer.finish().await.unwrap();
        assert_eq!(written.bytes, 5_000_000);
        assert_eq!(written.sha256, Sha256::digest(vec![7u8; 5_000_000]).to_vec());
        assert_eq!(blobs.size(&key("a")).await.unwrap(), Some(5_000_000));
    }

    #[tokio::test]
    async fn an_aborted_upload_leaves_no_file() {
        let (blobs, dir) = local();
        let mut writer = blobs.writer(&key("b"), Some(7)).unwrap();
        writer.write(&vec![1u8; 3 << 20]).await.unwrap();
        assert!(count_files(dir.path()) > 0, "a staged file was expected");
        writer.abort().await;
        assert_eq!(count_files(dir.path()), 0);
    }

    #[tokio::test]
    async fn a_small_recording_and_its_document_are_written_together() {
        let (blobs, dir) = local();
        let small = |name: &str| {
            let writer = blobs.writer(&key(name), Some(3));
            async move {
                let mut writer = writer.unwrap();
                writer.write(b"wav").await.unwrap();
                writer
            }
        };
        // What a crash left under the staged name is in nobody's way.
        std::fs::create_dir_all(dir.path().join("tenants/t/c")).unwrap();
        std::fs::write(dir.path().join("tenants/t/c/audio#1"), b"half").unwrap();
        let writer = small("c/audio").await;
        let written = writer.finish_beside(&blobs, &key("c/call.json"), b"{}".to_vec()).await.unwrap();
        assert_eq!((written.key.as_str(), written.bytes), ("tenants/t/c/audio", 3));
        assert_eq!(written.sha256, Sha256::digest(b"wav").to_vec());
        assert_eq!(blobs.get(&key("c/audio"), 3).await.unwrap().as_ref(), b"wav");
        assert_eq!(blobs.get(&key("c/call.json"), 2).await.unwrap().as_ref(), b"{}");
        assert_eq!(count_files(dir.path()), 3);
        // A file where a folder has to be: an error, and nothing staged is left.
        let writer = small("c/audio/under").await;
        let refused = writer.finish_beside(&blobs, &key("c/other.json"), b"{}".to_vec()).await;
        assert!(matches!(refused, Err(BlobError::Unavailable(_))), "{refused:?}");
        assert_eq!(count_files(dir.path()), 3);
    }

    fn count_files(folder: &std::path::Path) -> usize {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                if path.is_dir() { count_files(&path) } else { 1 }
            })
            .sum()
    }
}
