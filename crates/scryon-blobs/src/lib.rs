//! Object storage: typed keys, whole small documents, recordings as streams.

mod durable;
mod key;
mod local;
mod notes;
mod read;
mod spool;
mod survey;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};
use scryon_config::StorageSettings;
use scryon_config::value::StorageProvider;
use sha2::{Digest, Sha256};

use crate::durable::Durable;
pub use key::{BlobKey, CallKeys, DocumentName};
pub use notes::{Erased, StoredUser};
pub use read::{BlobReader, LocalCopy};
pub use survey::Survey;
pub use write::BlobWriter;

/// Why storage did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no such object.
    #[error("object {key} is not in storage")]
    Missing { key: String },
    /// Larger than the reader was ready for.
    #[error("object {key} has {bytes} bytes, more than the {limit} that are read at once")]
    TooLarge { key: String, bytes: u64, limit: u64 },
    /// Storage did not answer, or refused; trying again can help.
    #[error("storage is not available: {0}")]
    Unavailable(String),
}

impl From<object_store::Error> for BlobError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { path, .. } => Self::Missing { key: path },
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<std::io::Error> for BlobError {
    fn from(error: std::io::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// A document that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub key: String,
    pub bytes: i64,
    pub sha256: Vec<u8>,
}

/// Object storage. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// Of the local provider: its folder. Recordings are read in place.
    local_root: Option<PathBuf>,
    /// Of the local provider, where objects have to survive a power cut.
    durable: Option<Durable>,
    /// Of a remote provider: where a recording waits until it is complete. Buffering whole multipart
    /// parts per upload would cost 5 MiB for each of a thousand slow clients.
    spool: Option<Arc<LocalFileSystem>>,
    spool_root: PathBuf,
    /// Where strangers may fetch what they are given an address of.
    signer: Option<Arc<dyn Signer>>,
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs").field("local", &self.local_root.is_some()).finish_non_exhaustive()
    }
}

impl Blobs {
    /// Opens the configured storage; a local folder is made where it is missing.
    pub fn open(settings: &StorageSettings) -> Result<Self, BlobError> {
        let spool_root = std::env::temp_dir();
        match settings.provider {
            StorageProvider::Local => {
                std::fs::create_dir_all(&settings.local_path)?;
                let root = std::fs::canonicalize(&settings.local_path)?;
                // Its own fsync is one for each file and folder: `Durable` makes one serve many.
                let store = LocalFileSystem::new_with_prefix(&root)?.with_automatic_cleanup(true);
                let durable = settings.local_fsync.then(|| Durable::new(root.clone(), Duration::ZERO));
                Ok(Self {
                    store: Arc::new(store),
                    local_root: Some(root),
                    durable,
                    spool: None,
                    spool_root,
                    signer: None,
                })
            }
            StorageProvider::S3 => {
                // Two processes may install it at once; the second finds it done.
                let _already = rustls::crypto::ring::default_provider().install_default();
                let folder = spool_root.join("scryon-spool");
                std::fs::create_dir_all(&folder)?;
                spool::tidy(&folder, spool::LEFT);
                let spool = LocalFileSystem::new_with_prefix(&folder)?.with_automatic_cleanup(true);
                let store = Arc::new(s3(settings)?);
                let signer: Arc<dyn Signer> = store.clone();
                Ok(Self {
                    store,
                    local_root: None,
                    durable: None,
                    spool: Some(Arc::new(spool)),
                    spool_root: folder,
                    signer: settings.audio_by_url.then_some(signer),
                })
            }
        }
    }

    /// With at least so much time between two visits to the disk of a local store, where they follow each other: those
    /// who write in the meantime share one.
    #[must_use]
    pub fn paced(mut self, pace: Duration) -> Self {
        self.durable = self.durable.map(|durable| durable.paced(pace));
        self
    }

    /// Writes a whole document; an object with the same key is replaced.
    pub async fn put(&self, key: &BlobKey, body: Vec<u8>) -> Result<Written, BlobError> {
        let sha256 = Sha256::digest(&body).to_vec();
        let bytes = i64::try_from(body.len()).unwrap_or(i64::MAX);
        self.place(key, body.into()).await?;
        Ok(Written { key: key.as_str().to_owned(), bytes, sha256 })
    }

    /// The same for whoever knows already what it is.
    pub async fn place(&self, key: &BlobKey, body: Bytes) -> Result<(), BlobError> {
        if let Some(file) = self.local_file(key)? {
            return local::write(vec![(file, body)], self.durable.clone()).await;
        }
        self.store.put(&path(key)?, body.into()).await?;
        Ok(())
    }

    /// Reads a whole document of at most `limit` bytes.
    pub async fn get(&self, key: &BlobKey, limit: u64) -> Result<Bytes, BlobError> {
        if let Some(file) = self.local_file(key)? {
            let read = local::read(file, limit).await?;
            return read.map_err(|bytes| BlobError::TooLarge { key: key.to_string(), bytes, limit });
        }
        let found = self.store.get(&path(key)?).await?;
        if found.meta.size > limit {
            return Err(BlobError::TooLarge { key: key.to_string(), bytes: found.meta.size, limit });
        }
        Ok(found.bytes().await?)
    }

    /// The file of an object, where storage is local.
    fn local_file(&self, key: &BlobKey) -> Result<Option<PathBuf>, BlobError> {
        let Some(root) = &self.local_root else { return Ok(None) };
        // The library's own check: no part of a key leads out of the folder.
        Ok(Some(root.join(path(key)?.as_ref())))
    }

    /// The object's size, if it is there.
    pub async fn size(&self, key: &BlobKey) -> Result<Option<u64>, BlobError> {
        match self.store.head(&path(key)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Copies an object to another key.
    pub async fn copy(&self, from: &BlobKey, to: &BlobKey) -> Result<(), BlobError> {
        self.store.copy(&path(from)?, &path(to)?).await?;
        self.settle(to).await
    }

    /// Waits until a written object survives a power cut.
    async fn settle(&self, key: &BlobKey) -> Result<(), BlobError> {
        match (self.durable.clone(), self.local_file(key)?) {
            (Some(durable), Some(file)) => local::settle(file, durable).await,
            _ => Ok(()),
        }
    }

    /// Deletes an object; one that is gone already is fine.
    pub async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        match self.store.delete(&path(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes everything under a prefix; gives the number of objects.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<usize, BlobError> {
        let prefix =
            Path::parse(prefix.trim_end_matches('/')).map_err(|e| BlobError::Unavailable(e.to_string()))?;
        let found: Vec<Path> =
            self.store.list(Some(&prefix)).map_ok(|meta| meta.location).try_collect().await?;
        for location in &found {
            match self.store.delete(location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(root) = &self.local_root {
            // Files that a crash left half written are no objects, and not in the list.
            match tokio::fs::remove_dir_all(root.join(prefix.as_ref())).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(found.len())
    }

    /// Every key under a prefix.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, BlobError> {
        let prefix =
            Path::parse(prefix.trim_end_matches('/')).map_err(|e| BlobError::Unavailable(e.to_string()))?;
        Ok(self.store.list(Some(&prefix)).map_ok(|meta| meta.location.to_string()).try_collect().await?)
    }

    /// An address from which anybody may fetch the object for so long. `None`: this storage gives none, or may not.
    pub async fn signed_url(&self, key: &BlobKey, lifetime: Duration) -> Result<Option<String>, BlobError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let url = signer.signed_url(reqwest::Method::GET, &path(key)?, lifetime).await?;
        Ok(Some(url.into()))
    }

    /// Answers whether storage works at all.
    pub async fn ping(&self) -> Result<(), BlobError> {
        match self.store.head(&Path::from("ping")).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

pub(crate) fn path(key: &BlobKey) -> Result<Path, BlobError> {
    Path::parse(key.as_str()).map_err(|e| BlobError::Unavailable(e.to_string()))
}

/// The library's own patience (30 s a request, 10 retries in 3 minutes) is longer than the deadlines around it.
fn s3(settings: &StorageSettings) -> Result<object_store::aws::AmazonS3, BlobError> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(settings.bucket.clone().unwrap_or_default())
        .with_region(&settings.bucket_region)
        .with_access_key_id(&settings.access_key.0)
        .with_secret_access_key(&settings.secret_key.0)
        .with_virtual_hosted_style_request(!settings.path_style)
        .with_client_options(
            ClientOptions::new()
                .with_timeout(Duration::from_secs(20))
                .with_connect_timeout(Duration::from_secs(3)),
        )
        .with_retry(RetryConfig {
            max_retries: 3,
            retry_timeout: Duration::from_secs(30),
            backoff: BackoffConfig::default(),
        });
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
    }
    Ok(builder.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store in a folder that goes with the test.
    pub(crate) fn local() -> (Blobs, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let env = std::collections::BTreeMap::from([(
            "OBJECT_STORAGE_LOCAL_PATH".to_owned(),
            dir.path().to_string_lossy().into_owned(),
        )]);
        let settings = StorageSettings::read(&env).unwrap();
        (Blobs::open(&settings).unwrap(), dir)
    }

    #[tokio::test]
    async fn a_prefix_leaves_whole_and_alone() {
        let (blobs, _dir) = local();
        for name in ["calls/a/temp/audio.wav", "calls/a/r1/raw.json", "calls/ab/temp/audio.wav"] {
            blobs.put(&BlobKey::stored(name), vec![1]).await.unwrap();
        }
        assert_eq!(blobs.delete_prefix("calls/a/").await.unwrap(), 2);
        assert_eq!(blobs.list("calls/").await.unwrap(), ["calls/ab/temp/audio.wav"]);
    }

    #[tokio::test]
    async fn a_document_is_read_within_its_limit() {
        let (blobs, _dir) = local();
        let key = BlobKey::stored("d.json");
        let written = blobs.put(&key, b"{}".to_vec()).await.unwrap();
        assert_eq!(written.bytes, 2);
        assert_eq!(blobs.get(&key, 2).await.unwrap().as_ref(), b"{}");
        assert!(matches!(blobs.get(&key, 1).await, Err(BlobError::TooLarge { .. })));
    }

    #[tokio::test]
    async fn an_address_is_given_only_where_it_was_set() {
        let signed = async |by_url: &str, provider: &str| {
            let env = [
                ("OBJECT_STORAGE_PROVIDER", provider),
                ("OBJECT_STORAGE_LOCAL_PATH", "/tmp"),
                ("OBJECT_STORAGE_BUCKET", "calls"),
                ("OBJECT_STORAGE_ENDPOINT", "https://s3.example.org"),
                ("OBJECT_STORAGE_ACCESS_KEY", "access"),
                ("OBJECT_STORAGE_SECRET_KEY", "hush"),
                ("SCRYON_AUDIO_BY_URL", by_url),
            ];
            let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            let env: std::collections::BTreeMap<String, String> = env.collect();
            let blobs = Blobs::open(&StorageSettings::read(&env).unwrap()).unwrap();
            blobs.signed_url(&BlobKey::stored("a/b.wav"), Duration::from_secs(3600)).await.unwrap()
        };
        assert_eq!(signed("false", "s3").await, None);
        assert_eq!(signed("true", "local").await, None);
        let url = signed("true", "s3").await.unwrap();
        assert!(url.starts_with("https://s3.example.org/calls/a/b.wav?"), "{url}");
        assert!(url.contains("X-Amz-Expires=3600") && url.contains("X-Amz-Signature="), "{url}");
        assert!(!url.contains("hush"));
    }
}
