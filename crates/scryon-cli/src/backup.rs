//! `scryon backup`: the whole schema by pg_dump, in a store of its own, with a description beside it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clap::Args;
use scryon_blobs::{BlobError, BlobKey, Blobs, Written};
use scryon_config::{Config, ProcessEnv, StorageSettings};
use scryon_store::Store;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::output::{Failure, Output};
use crate::{own_store, postgres};

/// A description is small; more is not ours.
const LIMIT: u64 = 64 << 10;
const CHUNK: usize = 256 << 10;

#[derive(Args)]
pub(crate) struct BackupArguments {
    /// Where to: a folder, or `s3://bucket/prefix` (keys and endpoint from SCRYON_BACKUP_…). Default: SCRYON_BACKUP_STORAGE.
    #[arg(long)]
    to: Option<String>,
    /// Keep this many backups and delete older ones. While a hold is on none is deleted.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    keep: Option<u16>,
    /// List the backups there are, oldest first, and make none.
    #[arg(long, conflicts_with = "keep")]
    list: bool,
}

/// What a backup is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    pub(crate) name: String,
    /// The clock of the database just before the dump.
    pub(crate) snapshot_at: DateTime<Utc>,
    pub(crate) bytes: i64,
    pub(crate) seconds: f64,
    pub(crate) sha256: String,
    pub(crate) schema: String,
    pub(crate) epoch: i32,
    pub(crate) calls: i64,
    pub(crate) migration: String,
    pub(crate) program: String,
}

/// The store of backups.
pub(crate) struct Backups {
    blobs: Blobs,
    prefix: String,
}

impl Backups {
    pub(crate) fn open(config: &Config, place: Option<&str>) -> Result<Self, Failure> {
        let (settings, prefix) = place_of(config, place);
        let blobs = Blobs::open(&settings).map_err(from_blobs)?;
        Ok(Self { blobs, prefix })
    }

    fn key(&self, name: &str, extension: &str) -> BlobKey {
        BlobKey::stored(&format!("{}{name}.{extension}", self.prefix))
    }

    /// Every backup, oldest first.
    pub(crate) async fn all(&self) -> Result<Vec<Description>, Failure> {
        let keys = self.blobs.list(&self.prefix).await.map_err(from_blobs)?;
        let mut all = Vec::new();
        for key in keys.iter().filter(|k| k.starts_with(&self.prefix) && k.ends_with(".json")) {
            let body = self.blobs.get(&BlobKey::stored(key), LIMIT).await.map_err(from_blobs)?;
            // Another file in the same folder is not ours.
            all.extend(serde_json::from_slice::<Description>(&body).ok());
        }
        all.sort_by_key(|d| d.snapshot_at);
        Ok(all)
    }

    /// The backup of this name, or the newest for `latest`.
    pub(crate) async fn find(&self, name: &str) -> Result<Description, Failure> {
        let mut all = self.all().await?;
        let found = if name == "latest" { all.pop() } else { all.into_iter().find(|d| d.name == name) };
        found.ok_or_else(|| {
            Failure::new(
                Failure::USAGE,
                format!("there is no backup {name}; `scryon backup --list` shows them"),
            )
        })
    }

    /// The dump as a file, whose bytes are those that were written.
    pub(crate) async fn fetch(&self, backup: &Description) -> Result<scryon_blobs::LocalCopy, Failure> {
        let copy = self.blobs.local_copy(&self.key(&backup.name, "dump")).await.map_err(from_blobs)?;
        if copy.sha256().await.map_err(from_blobs)? != backup.sha256 {
            return Err(Failure::new(
                Failure::STOPPED,
                format!(
                    "backup {} is damaged: its bytes are not those that were written. Nothing was restored; take another one",
                    backup.name
                ),
            ));
        }
        Ok(copy)
    }

    async fn delete(&self, name: &str) -> Result<(), Failure> {
        // The description last: what has none is not listed, and would stay for ever.
        for extension in ["dump", "json"] {
            self.blobs.delete(&self.key(name, extension)).await.map_err(from_blobs)?;
        }
        Ok(())
    }
}

fn place_of(config: &Config, place: Option<&str>) -> (StorageSettings, String) {
    use scryon_config::value::StorageProvider;
    let backup = &config.backup;
    let mut settings = StorageSettings {
        provider: backup.provider,
        local_path: backup.local_path.clone(),
        local_fsync: true,
        bucket: backup.bucket.clone(),
        endpoint: backup.endpoint.clone(),
        bucket_region: backup.bucket_region.clone(),
        access_key: backup.access_key.clone(),
        secret_key: backup.secret_key.clone(),
        path_style: backup.path_style,
        ..config.storage.clone()
    };
    let mut prefix = String::new();
    match place.map(|p| (p, p.strip_prefix("s3://"))) {
        Some((_, Some(address))) => {
            let (bucket, folder) = address.split_once('/').unwrap_or((address, ""));
            settings.provider = StorageProvider::S3;
            settings.bucket = Some(bucket.to_owned());
            folder.trim_matches('/').clone_into(&mut prefix);
        }
        Some((folder, None)) => {
            settings.provider = StorageProvider::Local;
            folder.clone_into(&mut settings.local_path);
        }
        None => {}
    }
    if !prefix.is_empty() {
        prefix.push('/');
    }
    (settings, prefix)
}

#[allow(clippy::needless_pass_by_value)] // used as a function in map_err
pub(crate) fn from_blobs(error: BlobError) -> Failure {
    let code = match error {
        BlobError::Unavailable(_) => Failure::UNAVAILABLE,
        _ => Failure::STOPPED,
    };
    Failure::new(code, error.to_string())
}

pub(crate) async fn backup(output: &Output, arguments: BackupArguments) -> Result<u8, Failure> {
    let config = Config::from_env(&ProcessEnv).map_err(|e| Failure::new(Failure::USAGE, e.to_string()))?;
    let backups = Backups::open(&config, arguments.to.as_deref())?;
    if arguments.list {
        return list(output, &backups).await;
    }
    let store = own_store(&config, "scryon-backup", Duration::from_secs(600))?;
    let made = make(&config, &store, &backups).await?;
    output.line(&if output.is_json() { json!(made).to_string() } else { line(&made) })?;
    if let Some(keep) = arguments.keep {
        prune(output, &store, &backups, usize::from(keep)).await?;
    }
    let kept = config.retention.tombstones.0;
    if backups.all().await?.iter().any(|d| d.snapshot_at < Utc::now() - kept) {
        output.note("a backup is older than SCRYON_RETENTION_TOMBSTONES_DAYS: what was erased since could come back with it. Delete it, or set more days");
    }
    Ok(0)
}

async fn make(config: &Config, store: &Store, backups: &Backups) -> Result<Description, Failure> {
    let facts = store.database_facts().await.map_err(Failure::from_store)?;
    let began = Instant::now();
    let name = format!("scryon-{}", facts.now.format("%Y%m%dT%H%M%S%3fZ"));
    let mut command = postgres::program(config, "pg_dump", &config.database_url())?;
    command
        .args([
            "--format=custom",
            "--compress=1",
            "--no-owner",
            "--no-privileges",
            "--lock-wait-timeout=60000",
        ])
        .arg(format!("--schema={}", facts.schema));
    let written = pour(command, backups, &name).await?;
    let made = Description {
        name,
        snapshot_at: facts.now,
        bytes: written.bytes,
        seconds: began.elapsed().as_secs_f64(),
        sha256: written.sha256.iter().map(|b| format!("{b:02x}")).collect(),
        schema: facts.schema,
        epoch: facts.epoch,
        calls: facts.calls,
        migration: facts.migration,
        program: env!("CARGO_PKG_VERSION").to_owned(),
    };
    // Only what has a description is a backup.
    let body = json!(made).to_string().into_bytes();
    backups.blobs.put(&backups.key(&made.name, "json"), body).await.map_err(from_blobs)?;
    store
        .backup_made(&made.name, made.snapshot_at, made.bytes, Duration::from_secs_f64(made.seconds))
        .await
        .map_err(Failure::from_store)?;
    Ok(made)
}

/// Pours the dump into storage as it is made.
async fn pour(mut command: Command, backups: &Backups, name: &str) -> Result<Written, Failure> {
    let stopped = |e: std::io::Error| Failure::new(Failure::STOPPED, format!("pg_dump cannot be run: {e}"));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(stopped)?;
    let mut dump =
        child.stdout.take().ok_or_else(|| Failure::new(Failure::STOPPED, "pg_dump has no output"))?;
    let mut writer = backups.blobs.writer(&backups.key(name, "dump"), None).map_err(from_blobs)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = dump.read(&mut chunk).await.map_err(stopped)?;
        if read == 0 {
            break;
        }
        writer.write(&chunk[..read]).await.map_err(from_blobs)?;
    }
    let status = child.wait().await.map_err(stopped)?;
    if !status.success() {
        writer.abort().await;
        return Err(Failure::new(
            Failure::STOPPED,
            format!("pg_dump ended with {status}; there is no new backup"),
        ));
    }
    writer.finish().await.map_err(from_blobs)
}

async fn prune(output: &Output, store: &Store, backups: &Backups, keep: usize) -> Result<(), Failure> {
    let all = backups.all().await?;
    let old = &all[..all.len().saturating_sub(keep)];
    if old.is_empty() {
        return Ok(());
    }
    if !store.holds().await.map_err(Failure::from_store)?.is_empty() {
        output.note("a hold is on: no backup is deleted");
        return Ok(());
    }
    for backup in old {
        backups.delete(&backup.name).await?;
        output.note(&format!("deleted {}", backup.name));
    }
    Ok(())
}

async fn list(output: &Output, backups: &Backups) -> Result<u8, Failure> {
    let all = backups.all().await?;
    for backup in &all {
        output.line(&if output.is_json() { json!(backup).to_string() } else { line(backup) })?;
    }
    if all.is_empty() {
        output.note("there is no backup");
    }
    Ok(0)
}

fn line(backup: &Description) -> String {
    format!("{}  {} bytes  {:.1} s  {} calls", backup.name, backup.bytes, backup.seconds, backup.calls)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use scryon_config::value::StorageProvider;

    use super::*;

    #[test]
    fn a_place_is_a_folder_or_a_bucket_with_a_prefix() {
        let env = BTreeMap::from([
            ("OBJECT_STORAGE_ACCESS_KEY".to_owned(), "of-the-objects".to_owned()),
            ("SCRYON_BACKUP_ACCESS_KEY".to_owned(), "of-the-backups".to_owned()),
        ]);
        let config = Config::from_env(&env).unwrap();
        let of = |place| place_of(&config, place);
        let (settings, prefix) = of(Some("s3://bucket/a/b/"));
        assert_eq!(
            (settings.provider, settings.bucket.as_deref(), prefix.as_str()),
            (StorageProvider::S3, Some("bucket"), "a/b/")
        );
        assert_eq!(settings.access_key.0, "of-the-backups", "the keys of object storage stay where they are");
        assert_eq!(of(Some("s3://bucket")).1, "");
        let (settings, prefix) = of(Some("/mnt/x"));
        assert_eq!(
            (settings.provider, settings.local_path.as_str(), prefix.as_str()),
            (StorageProvider::Local, "/mnt/x", "")
        );
        assert_eq!(of(None).0.local_path, "./var/backups");
    }
}
