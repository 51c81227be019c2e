//! `scryon doctor`: rows and objects compared, both ways, and repaired where that is possible.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::Utc;
use futures_util::future::join_all;
use scryon_blobs::{BlobKey, Blobs};
use scryon_config::{Config, ProcessEnv};
use scryon_store::{PromisedArtifact, Store};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::backup::from_blobs;
use crate::output::{Failure, Output};
use crate::own_store;
use crate::restore::Rebuild;

/// Artifacts read, and objects asked about, at once.
const BATCH: i32 = 500;
const ASKED: usize = 32;
/// An upload that takes longer has ended.
const ON_ITS_WAY: Duration = Duration::from_secs(3600);

/// What was found, and what became of it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    artifacts: usize,
    /// Artifacts whose object is gone, or has another size than its row says.
    missing: usize,
    other_size: usize,
    /// Calls of which storage has objects and no row: those that can be rebuilt, and others.
    without_row: usize,
    unexplained: usize,
    /// Repairs: rows taken, new runs begun, rows written anew.
    rows_removed: usize,
    reset: usize,
    rebuilt: usize,
    /// What still differs.
    left: usize,
}

pub(crate) async fn doctor(output: &Output, reconcile: bool) -> Result<u8, Failure> {
    let config = Config::from_env(&ProcessEnv).map_err(|e| Failure::new(Failure::USAGE, e.to_string()))?;
    let store = own_store(&config, "scryon-doctor", Duration::from_secs(600))?;
    let blobs = Blobs::open(&config.storage).map_err(from_blobs)?;
    let mut doctor = Doctor { output, store: &store, blobs: &blobs, reconcile, summary: Summary::default() };
    doctor.life().await?;
    doctor.rows().await?;
    doctor.objects().await?;
    let summary = doctor.summary;
    if output.is_json() {
        output.line(&json!(summary).to_string())?;
    } else {
        output.line(&format!(
            "{} artifacts: {} missing, {} of another size; {} calls without a row, {} unexplained; {} left that differs",
            summary.artifacts,
            summary.missing,
            summary.other_size,
            summary.without_row,
            summary.unexplained,
            summary.left
        ))?;
    }
    Ok(if summary.left == 0 { 0 } else { Failure::CALL_FAILED })
}

struct Doctor<'a> {
    output: &'a Output,
    store: &'a Store,
    blobs: &'a Blobs,
    reconcile: bool,
    summary: Summary,
}

impl Doctor<'_> {
    fn say(&self, call: Uuid, what: &str, then: &str) -> Result<(), Failure> {
        let text = if self.output.is_json() {
            json!({"call": call, "found": what, "then": then}).to_string()
        } else {
            format!("{call}  {what}: {then}")
        };
        self.output.line(&text).map(|_| ())
    }

    /// A database of another life than storage is not compared: every difference would mislead.
    async fn life(&self) -> Result<(), Failure> {
        let noted = self.blobs.epoch_noted().await.map_err(from_blobs)?;
        let ours = self.store.epoch().await.map_err(Failure::from_store)?;
        if noted > ours {
            return Err(Failure::new(
                Failure::STOPPED,
                format!(
                    "storage belongs to epoch {noted}, this database is of epoch {ours}: the installation was restored elsewhere. Is DATABASE_URL the right one?"
                ),
            ));
        }
        Ok(())
    }

    /// Every artifact's row has its object.
    async fn rows(&mut self) -> Result<(), Failure> {
        let mut last: Option<PromisedArtifact> = None;
        loop {
            let batch =
                self.store.artifacts_after(last.as_ref(), BATCH).await.map_err(Failure::from_store)?;
            if batch.is_empty() {
                return Ok(());
            }
            self.summary.artifacts += batch.len();
            let mut broken: Vec<(&PromisedArtifact, Option<u64>)> = Vec::new();
            for some in batch.chunks(ASKED) {
                let keys: Vec<BlobKey> = some.iter().map(|a| BlobKey::stored(&a.storage_key)).collect();
                let sizes = join_all(keys.iter().map(|key| self.blobs.size(key))).await;
                for (artifact, size) in some.iter().zip(sizes) {
                    let size = size.map_err(from_blobs)?;
                    if size != u64::try_from(artifact.byte_size).ok() {
                        broken.push((artifact, size));
                    }
                }
            }
            // Rows first, so that a reset of a call counts on none that is to go.
            let mut calls: Vec<(Uuid, &PromisedArtifact)> = Vec::new();
            for (artifact, size) in broken {
                self.row(artifact, size).await?;
                if is_result(artifact) && !calls.iter().any(|(id, _)| *id == artifact.call_id) {
                    calls.push((artifact.call_id, artifact));
                }
            }
            for (call, artifact) in calls {
                self.call(call, artifact).await?;
            }
            last = batch.last().cloned();
        }
    }

    async fn row(&mut self, artifact: &PromisedArtifact, size: Option<u64>) -> Result<(), Failure> {
        let what = match size {
            None => {
                self.summary.missing += 1;
                format!("{} is not in storage", artifact.artifact_type)
            }
            Some(size) => {
                self.summary.other_size += 1;
                format!("{} has {size} bytes, its row says {}", artifact.artifact_type, artifact.byte_size)
            }
        };
        if artifact.is_live {
            // Its run fails or replaces it by itself.
            return self.say(artifact.call_id, &what, "its call is under way and goes on without it");
        }
        if !self.reconcile {
            self.summary.left += 1;
            return self.say(artifact.call_id, &what, "--reconcile takes the row");
        }
        if self.store.artifact_forget(artifact).await.map_err(Failure::from_store)? {
            self.summary.rows_removed += 1;
        }
        self.say(artifact.call_id, &what, "its row was taken")
    }

    /// A call that lost a result gets a new run, where there is something to begin from.
    async fn call(&mut self, call: Uuid, artifact: &PromisedArtifact) -> Result<(), Failure> {
        if artifact.is_live || !self.reconcile {
            return Ok(());
        }
        let inputs = self.store.call_inputs(call).await.map_err(Failure::from_store)?;
        let there = match &inputs {
            None => false,
            Some(inputs) => {
                self.are_there(inputs.audio.as_slice()).await?
                    || (inputs.heard.len() == 2 && self.are_there(&inputs.heard).await?)
            }
        };
        if there && self.store.call_run_again(call).await.map_err(Failure::from_store)? {
            self.summary.reset += 1;
            return self.say(call, "a result is lost", "a new run makes it again");
        }
        self.summary.left += 1;
        self.say(
            call,
            "a result is lost",
            "nothing is left that it could be made from; restore the object, or delete the call",
        )
    }

    async fn are_there(&self, keys: &[String]) -> Result<bool, Failure> {
        for key in keys {
            if self.blobs.size(&BlobKey::stored(key)).await.map_err(from_blobs)?.is_none() {
                return Ok(false);
            }
        }
        Ok(!keys.is_empty())
    }

    /// Every call that has objects has a row.
    async fn objects(&mut self) -> Result<(), Failure> {
        // What is erased has a tombstone; a note says so also where that was lost with a database.
        let day = (Utc::now() - Duration::from_secs(7 * 86_400)).date_naive();
        let erased = self.blobs.erasures_since(day).await.map_err(from_blobs)?;
        let erased: Arc<HashSet<_>> = Arc::new(erased.into_iter().collect());
        let found = Rebuild::new(self.store, self.blobs, erased)
            .all(SystemTime::now() - ON_ITS_WAY, self.reconcile)
            .await?;
        self.summary.without_row = found.rebuilt;
        if self.reconcile {
            self.summary.rebuilt = found.rebuilt;
        } else {
            self.summary.left += found.rebuilt;
        }
        for call in &found.rebuildable {
            self.say(
                *call,
                "has objects and no row",
                if self.reconcile { "its row was written anew" } else { "--reconcile rebuilds it" },
            )?;
        }
        for call in &found.unexplained {
            self.summary.unexplained += 1;
            self.summary.left += 1;
            self.say(
                *call,
                "has objects, no row and no recording",
                "the orphan sweep takes them, unless they are many",
            )?;
        }
        Ok(())
    }
}

/// Recordings leave by their age and are missed by nobody; results are what people read.
fn is_result(artifact: &PromisedArtifact) -> bool {
    !matches!(artifact.artifact_type.as_str(), "TEMP_AUDIO" | "PREPARED_AUDIO")
}
