//! Recordings come out as streams or, for programs that want a file, as a path.

use std::path::{Path as FilePath, PathBuf};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

use crate::local::{self, CHUNK};
use crate::{BlobError, BlobKey, Blobs, path};

/// An object that is being read.
pub struct BlobReader {
    pub bytes: u64,
    stream: BoxStream<'static, std::io::Result<Bytes>>,
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobReader").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl BlobReader {
    /// The content, in order.
    pub fn into_stream(self) -> BoxStream<'static, std::io::Result<Bytes>> {
        self.stream
    }
}

/// A file on this machine with the content of an object: the object itself where storage is local, else a
/// temporary copy that goes with this value.
#[derive(Debug)]
pub struct LocalCopy {
    path: PathBuf,
    _copy: Option<tempfile::TempPath>,
}

impl LocalCopy {
    /// Where the file is.
    pub fn path(&self) -> &FilePath {
        &self.path
    }

    /// SHA-256 of the file, as hex.
    pub async fn sha256(&self) -> Result<String, BlobError> {
        let (_bytes, stream) = local::stream(self.path.clone()).await?;
        hash_of(stream).await
    }
}

async fn hash_of(mut stream: BoxStream<'static, std::io::Result<Bytes>>) -> Result<String, BlobError> {
    let mut hash = Sha256::new();
    while let Some(chunk) = stream.try_next().await? {
        hash.update(&chunk);
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

impl Blobs {
    /// Opens an object for streaming.
    pub async fn reader(&self, key: &BlobKey) -> Result<BlobReader, BlobError> {
        if let Some(file) = self.local_file(key)? {
            let (bytes, stream) = local::stream(file).await?;
            return Ok(BlobReader { bytes, stream });
        }
        let found = self.store.get(&path(key)?).await?;
        Ok(BlobReader {
            bytes: found.meta.size,
            stream: found.into_stream().map_err(std::io::Error::other).boxed(),
        })
    }

    /// SHA-256 of an object, as hex. Reads it whole.
    pub async fn sha256(&self, key: &BlobKey) -> Result<String, BlobError> {
        hash_of(self.reader(key).await?.into_stream()).await
    }

    /// The first bytes of an object, at most `length`.
    pub async fn head(&self, key: &BlobKey, length: u64) -> Result<Bytes, BlobError> {
        if let Some(file) = self.local_file(key)? {
            return local::head(file, length).await;
        }
        let size = self.size(key).await?.ok_or_else(|| BlobError::Missing { key: key.to_string() })?;
        if size == 0 {
            return Ok(Bytes::new());
        }
        Ok(self.store.get_range(&path(key)?, 0..length.min(size)).await?)
    }

    /// The object as a file.
    pub async fn local_copy(&self, key: &BlobKey) -> Result<LocalCopy, BlobError> {
        if let Some(path) = self.local_file(key)? {
            return match tokio::fs::try_exists(&path).await? {
                true => Ok(LocalCopy { path, _copy: None }),
                false => Err(BlobError::Missing { key: key.to_string() }),
            };
        }
        let mut stream = self.reader(key).await?.into_stream();
        let copy = tempfile::Builder::new().prefix("scryon-").tempfile_in(&self.spool_root)?.into_temp_path();
        let mut file = tokio::fs::OpenOptions::new().write(true).truncate(true).open(&copy).await?;
        while let Some(chunk) = stream.try_next().await? {
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        Ok(LocalCopy { path: copy.to_path_buf(), _copy: Some(copy) })
    }

    /// Stores a file of this machine.
    pub async fn put_file(&self, key: &BlobKey, file: &FilePath) -> Result<crate::Written, BlobError> {
        let file = tokio::fs::File::open(file).await?;
        let mut writer = self.writer(key, Some(file.metadata().await?.len()))?;
        let mut stream = ReaderStream::with_capacity(file, CHUNK);
        while let Some(chunk) = stream.try_next().await? {
            writer.write(&chunk).await?;
        }
        writer.finish().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::local;

    #[tokio::test]
    async fn what_was_written_is_read_whole_as_a_stream_and_as_a_file() {
        let (blobs, _dir) = local();
        let key = BlobKey::stored("tenants/t/x");
        let content: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        blobs.put(&key, content.clone()).await.unwrap();
        let reader = blobs.reader(&key).await.unwrap();
        assert_eq!(reader.bytes, 300_000);
        let read: Vec<Bytes> = reader.into_stream().try_collect().await.unwrap();
        assert_eq!(read.concat(), content);
        let copy = blobs.local_copy(&key).await.unwrap();
        assert_eq!(std::fs::read(copy.path()).unwrap(), content);
        assert_eq!(blobs.head(&key, 3).await.unwrap().as_ref(), &content[..3]);
    }

    #[tokio::test]
    async fn a_stream_has_every_byte_once_whatever_the_size() {
        let (blobs, dir) = local();
        let key = BlobKey::stored("tenants/t/x");
        let rest = CHUNK + (4 << 10);
        for (bytes, pieces) in
            [(0, 0), (1, 1), (CHUNK, 1), (CHUNK + 44, 1), (rest, 1), (rest + 1, 2), (2 * CHUNK + 44, 2)]
        {
            let content: Vec<u8> = (0..bytes as u32).map(|n| (n % 251) as u8).collect();
            blobs.put(&key, content.clone()).await.unwrap();
            let reader = blobs.reader(&key).await.unwrap();
            let read: Vec<Bytes> = reader.into_stream().try_collect().await.unwrap();
            assert_eq!((read.len(), read.concat() == content), (pieces, true), "{bytes} bytes");
        }
        // Cut short behind our back: an error, never a recording that is shorter than it said.
        let reader = blobs.reader(&key).await.unwrap();
        std::fs::OpenOptions::new()
            .write(true)
            .open(dir.path().join("tenants/t/x"))
            .unwrap()
            .set_len(9)
            .unwrap();
        let read: Result<Vec<Bytes>, _> = reader.into_stream().try_collect().await;
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_missing_object_says_so() {
        let (blobs, _dir) = local();
        let key = BlobKey::stored("tenants/t/none");
        assert!(matches!(blobs.get(&key, 10).await, Err(BlobError::Missing { .. })));
        assert!(matches!(blobs.local_copy(&key).await, Err(BlobError::Missing { .. })));
        assert_eq!(blobs.size(&key).await.unwrap(), None);
        blobs.delete(&key).await.unwrap();
    }
}
