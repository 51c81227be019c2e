//! Objects in a local folder, read and written in as few visits to the blocking threads as possible: a visit costs
//! more than the reading of a small object, and under load each is a wait for a processor.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use rustix::buffer::spare_capacity;
use rustix::io::retry_on_intr;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::BlobError;
use crate::durable::{Durable, Settled};

/// Bytes of a stream that are read at once.
pub(crate) const CHUNK: usize = 128 << 10;
/// So many more at the end: recordings are often some power of two and a header.
const REST: usize = 4 << 10;

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
    let stream = stream::try_unfold((file, bytes), async |(file, left)| {
        if left == 0 {
            return Ok(None);
        }
        // A short rest goes along: it is not worth a visit of its own.
        let length = if left <= (CHUNK + REST) as u64 { left as usize } else { CHUNK };
        let (chunk, file) = spawn_blocking(move || chunk(&file, length).map(|chunk| (chunk, file)))
            .await
            .map_err(std::io::Error::other)??;
        let left = left.saturating_sub(chunk.len() as u64);
        Ok(Some((Bytes::from(chunk), (file, left))))
    });
    Ok((bytes, stream.boxed()))
}

/// The next `length` bytes. Read into memory that nobody has zeroed: an allocator zeroes so much by giving it back to the
/// kernel, and then each page costs a fault.
fn chunk(file: &File, length: usize) -> std::io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(length);
    while chunk.len() < length {
        if retry_on_intr(|| rustix::io::read(file, spare_capacity(&mut chunk)))? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(chunk)
}

/// Writes whole objects and, where there is a `Durable`, waits until they are on the disk.
pub(crate) async fn write(objects: Vec<(PathBuf, Bytes)>, durable: Option<Durable>) -> Result<(), BlobError> {
    let (done, settled) = oneshot::channel();
    // Not waited for: the thread may go on syncing for others.
    drop(spawn_blocking(move || {
        let written = objects.iter().try_for_each(|(path, content)| place(path, content));
        match (written, durable) {
            (Ok(()), Some(durable)) => {
                durable.settle(objects.into_iter().map(|(path, _)| path).collect(), done);
            }
            (written, _) => {
                let _writer_gone = done.send(written.map_err(|e| e.to_string()));
            }
        }
    }));
    told(settled).await
}

/// Waits until an object that was written is on the disk.
pub(crate) async fn settle(path: PathBuf, durable: Durable) -> Result<(), BlobError> {
    let (done, settled) = oneshot::channel();
    drop(spawn_blocking(move || durable.settle(vec![path], done)));
    told(settled).await
}

async fn told(settled: oneshot::Receiver<Settled>) -> Result<(), BlobError> {
    let given_up = |_gone| Err("the write to disk was given up".to_owned());
    settled.await.unwrap_or_else(given_up).map_err(BlobError::Unavailable)
}

/// Makes an object visible, whole, as `object_store` does: under the name of a staged file, which is no object to a
/// listing, then under its own.
fn place(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let (mut file, staged) = stage(path)?;
    let placed = file.write_all(content).and_then(|()| std::fs::rename(&staged, path));
    if placed.is_err() {
        let _left = std::fs::remove_file(&staged);
    }
    placed
}

fn stage(path: &Path) -> std::io::Result<(File, PathBuf)> {
    let mut number = 1u32;
    loop {
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!("#{number}"));
        let staged = PathBuf::from(staged);
        match OpenOptions::new().write(true).create_new(true).open(&staged) {
            Ok(file) => return Ok((file, staged)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                std::fs::create_dir_all(path.parent().ok_or(error)?)?;
            }
            Err(error) => return Err(error),
        }
    }
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
