//! Objects in a local folder, read in as few visits to the blocking threads as possible: a visit costs more
//! than the reading of a small object.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::task::spawn_blocking;

use crate::BlobError;

/// Bytes of a stream that are read at once.
pub(crate) const CHUNK: usize = 128 << 10;

/// Reads a whole object; `Err(bytes)`: it is larger than `limit`.
pub(crate) async fn read(path: PathBuf, limit: u64) -> Result<Result<Bytes, u64>, BlobError> {
    visit(move || {
        let (mut file, bytes) = open(&path)?;
        if bytes > limit {
            return Ok(Err(bytes));
        }
        let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        file.read_to_end(&mut content).map_err(BlobError::from)?;
        Ok(Ok(content.into()))
    })
    .await
}

/// Reads the first bytes of an object, at most `length`.
pub(crate) async fn head(path: PathBuf, length: u64) -> Result<Bytes, BlobError> {
    visit(move || {
        let (file, bytes) = open(&path)?;
        let mut content = Vec::with_capacity(usize::try_from(length.min(bytes)).unwrap_or(0));
        file.take(length).read_to_end(&mut content).map_err(BlobError::from)?;
        Ok(content.into())
    })
    .await
}

/// The size of an object and its content.
pub(crate) async fn stream(
    path: PathBuf,
) -> Result<(u64, BoxStream<'static, std::io::Result<Bytes>>), BlobError> {
    let (file, bytes) = visit(move || open(&path)).await?;
    // Counted down, so that no visit is needed to learn that the end is reached.
    let stream = stream::try_unfold((file, bytes), async |(mut file, left)| {
        if left == 0 {
            return Ok(None);
        }
        let length = left.min(CHUNK as u64);
        let (chunk, file) = spawn_blocking(move || {
            let mut chunk = vec![0; usize::try_from(length).unwrap_or(CHUNK)];
            file.read_exact(&mut chunk).map(|()| (chunk, file))
        })
        .await
        .map_err(std::io::Error::other)??;
        Ok(Some((Bytes::from(chunk), (file, left - length))))
    });
    Ok((bytes, stream.boxed()))
}

fn open(path: &Path) -> Result<(File, u64), BlobError> {
    let missing = || BlobError::Missing { key: path.display().to_string() };
    let file =
        File::open(path).map_err(|e| if e.kind() == ErrorKind::NotFound { missing() } else { e.into() })?;
    let found = file.metadata()?;
    // A folder is no object.
    if found.is_file() { Ok((file, found.len())) } else { Err(missing()) }
}

async fn visit<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    spawn_blocking(work).await.map_err(|e| BlobError::Unavailable(e.to_string()))?
}
