//! Calls that only storage knows: their rows are written anew from the description beside the recording.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use scryon_blobs::{BlobError, BlobKey, Blobs, Erased};
use scryon_domain::ids::{CallId, TenantId, UserId};
use scryon_store::Store;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::backup::from_blobs;
use crate::output::Failure;

/// Calls asked about in one statement.
const BATCH: usize = 500;
/// Descriptions read at once.
const READERS: usize = 32;
/// The free-form part of a description has at most 16 KiB.
const LIMIT: u64 = 256 << 10;

/// What a look at storage found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Calls that have objects.
    pub(crate) calls: usize,
    /// Rows that were, or with `repair` off would be, written anew.
    pub(crate) rebuilt: usize,
    pub(crate) rebuildable: Vec<Uuid>,
    /// Calls without a row that are on their way in, or out under a tombstone.
    pub(crate) explained: usize,
    /// Calls that were erased, whose objects are still there; they leave with the storage sweep.
    pub(crate) erased: usize,
    /// Calls without a row that cannot be rebuilt: no description, or no recording.
    pub(crate) unexplained: Vec<Uuid>,
    /// When the newest of all these calls was accepted.
    pub(crate) last_sign: Option<DateTime<Utc>>,
}

/// The description beside a recording, version 1 or 2.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallJson {
    call_id: Uuid,
    tenant_id: String,
    user_id: Uuid,
    accepted_at: DateTime<Utc>,
    content_type: String,
    audio_key: Option<String>,
    byte_size: Option<u64>,
    sha256: Option<String>,
    audio_details: Option<Value>,
    idempotency_key: Option<String>,
    title: Option<String>,
    contact_name: Option<String>,
    contact_id: Option<String>,
    phone_number: Option<String>,
    organization: Option<String>,
    direction: Option<String>,
    recorded_at: Option<DateTime<Utc>>,
    duration_seconds: Option<f64>,
    original_file_name: Option<String>,
    client_reference: Option<String>,
    metadata: Option<Value>,
}

pub(crate) struct Rebuild<'a> {
    store: &'a Store,
    blobs: &'a Blobs,
    erased: Arc<HashSet<Erased>>,
    /// The identity provider's name for each user, as storage knows it.
    users: HashMap<Uuid, Option<String>>,
}

impl<'a> Rebuild<'a> {
    pub(crate) fn new(store: &'a Store, blobs: &'a Blobs, erased: Arc<HashSet<Erased>>) -> Self {
        Self { store, blobs, erased, users: HashMap::new() }
    }

    /// Looks at every call in storage that was last written before `old`. With `repair` rows are written; without it
    /// they are only counted.
    pub(crate) async fn all(&mut self, old: SystemTime, repair: bool) -> Result<Found, Failure> {
        let mut found = Found::default();
        let mut survey = self.blobs.survey(old);
        let mut seen: HashMap<Uuid, String> = HashMap::new();
        loop {
            let next = survey.try_next().await.map_err(from_blobs)?;
            let end = next.is_none();
            seen.extend(next.map(|(call, prefix)| (call.0, prefix)));
            if seen.len() >= BATCH || end {
                self.batch(std::mem::take(&mut seen), repair, &mut found).await?;
            }
            if end {
                return Ok(found);
            }
        }
    }

    async fn batch(
        &mut self,
        mut seen: HashMap<Uuid, String>,
        repair: bool,
        found: &mut Found,
    ) -> Result<(), Failure> {
        found.calls += seen.len();
        let known = self.store.calls_known(seen.keys().copied().collect()).await;
        for id in known.map_err(Failure::from_store)? {
            seen.remove(&id);
        }
        let mut rest: Vec<(Uuid, String)> = seen.into_iter().collect();
        let explained = self.store.calls_explained(&rest).await.map_err(Failure::from_store)?;
        found.explained += explained.len();
        rest.retain(|(id, _)| !explained.contains(id));
        let (gone, unknown): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|(id, prefix)| self.was_erased(*id, prefix));
        found.erased += gone.len();
        if repair && !gone.is_empty() {
            let prefixes = gone.into_iter().map(|(_, prefix)| prefix).collect();
            self.store.prefixes_bury(prefixes).await.map_err(Failure::from_store)?;
        }
        let mut rows = Vec::new();
        for some in unknown.chunks(READERS) {
            let described = join_all(some.iter().map(|(id, prefix)| describe(self.blobs, *id, prefix))).await;
            for ((id, _), described) in some.iter().zip(described) {
                match described.map_err(from_blobs)? {
                    Some(call) => {
                        found.last_sign = found.last_sign.max(Some(call.accepted_at));
                        found.rebuildable.push(*id);
                        rows.push(self.row(call).await?);
                    }
                    None => found.unexplained.push(*id),
                }
            }
        }
        found.rebuilt += rows.len();
        if repair && !rows.is_empty() {
            self.store.calls_restore(rows.into()).await.map_err(Failure::from_store)?;
        }
        Ok(())
    }

    fn was_erased(&self, id: Uuid, prefix: &str) -> bool {
        let user = prefix.split('/').nth(3).and_then(|u| u.parse().ok());
        self.erased.contains(&Erased::Call(CallId(id)))
            || user.is_some_and(|user| self.erased.contains(&Erased::User(UserId(user))))
    }

    /// The composite type `stored_call`.
    async fn row(&mut self, call: CallJson) -> Result<Value, Failure> {
        let external = match self.users.get(&call.user_id) {
            Some(known) => known.clone(),
            None => {
                let tenant = TenantId(call.tenant_id.clone());
                let noted = self.blobs.user_noted(&tenant, UserId(call.user_id)).await.map_err(from_blobs)?;
                let external = noted.map(|n| n.external_user_id);
                self.users.insert(call.user_id, external.clone());
                external
            }
        };
        Ok(json!({
            "call_id": call.call_id, "tenant_id": call.tenant_id, "user_id": call.user_id, "external_user_id": external,
            "title": call.title, "contact_name": call.contact_name, "contact_id": call.contact_id,
            "phone_number": call.phone_number, "organization": call.organization, "direction": call.direction,
            "recorded_at": call.recorded_at, "duration_seconds": call.duration_seconds,
            "original_file_name": call.original_file_name, "client_reference": call.client_reference,
            "metadata": call.metadata, "created_at": call.accepted_at, "audio_key": call.audio_key,
            "audio_type": call.content_type, "audio_bytes": call.byte_size,
            "audio_sha256": call.sha256.map(|hash| format!("\\x{hash}")), "audio_details": call.audio_details,
            "idempotency_key": call.idempotency_key,
        }))
    }
}

/// What is needed for the call's row; nothing where the description or the recording is not there, or not whole.
async fn describe(blobs: &Blobs, id: Uuid, prefix: &str) -> Result<Option<CallJson>, BlobError> {
    let body = match blobs.get(&BlobKey::stored(&format!("{prefix}temp/call.json")), LIMIT).await {
        Ok(body) => body,
        Err(BlobError::Missing { .. } | BlobError::TooLarge { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Ok(mut call) = serde_json::from_slice::<CallJson>(&body) else { return Ok(None) };
    // Nobody else's description, wherever it was copied from.
    let own = format!("tenants/{}/users/{}/calls/{}/", call.tenant_id, call.user_id, call.call_id);
    if call.call_id != id || own != prefix {
        return Ok(None);
    }
    if call.audio_key.is_none() {
        let keys = blobs.list(&format!("{prefix}temp/")).await?;
        call.audio_key = keys.into_iter().find(|k| k.starts_with(&format!("{prefix}temp/audio.")));
    }
    let Some(key) = call.audio_key.as_deref().filter(|k| k.starts_with(prefix)).map(BlobKey::stored) else {
        return Ok(None);
    };
    let Some(size) = blobs.size(&key).await? else { return Ok(None) };
    if call.byte_size.is_some_and(|expected| expected != size) {
        return Ok(None);
    }
    call.byte_size = Some(size);
    if call.sha256.is_none() {
        call.sha256 = Some(blobs.sha256(&key).await?);
    }
    Ok(Some(call))
}
