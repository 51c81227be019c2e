//! Notes in storage that outlive the database: who was erased, who the users are, and which life this is. A restored
//! backup reads them.

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use scryon_domain::ids::{CallId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BlobError, BlobKey, Blobs};

const TOMBSTONES: &str = "tombstones";
const EPOCH: &str = "system/epoch.json";
const HOLD: &str = "system/hold.json";
/// Notes are small; more is not ours.
const LIMIT: u64 = 64 << 10;

/// Whom an erasure took.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Erased {
    Call(CallId),
    User(UserId),
    Tenant(TenantId),
}

impl Erased {
    /// Of a prefix in storage that is deleted whole; nothing for a part of a call.
    pub fn of_prefix(prefix: &str) -> Option<Self> {
        let id = |text: &str| text.parse::<Uuid>().ok();
        match *prefix.strip_suffix('/')?.split('/').collect::<Vec<_>>() {
            ["tenants", tenant] if !tenant.is_empty() => Some(Self::Tenant(TenantId(tenant.to_owned()))),
            ["tenants", _, "users", user] => Some(Self::User(UserId(id(user)?))),
            ["tenants", _, "users", _, "calls", call] => Some(Self::Call(CallId(id(call)?))),
            _ => None,
        }
    }

    /// The name of its note within a day.
    fn file(&self) -> String {
        match self {
            Self::Call(id) => format!("{id}.json"),
            Self::User(id) => format!("user.{}.json", id.0),
            Self::Tenant(id) => format!("tenant.{id}.json"),
        }
    }

    fn of_file(file: &str) -> Option<Self> {
        let name = file.strip_suffix(".json")?;
        if let Some(user) = name.strip_prefix("user.") {
            return Some(Self::User(UserId(user.parse().ok()?)));
        }
        if let Some(tenant) = name.strip_prefix("tenant.") {
            return Some(Self::Tenant(TenantId(tenant.to_owned())));
        }
        Some(Self::Call(CallId(name.parse().ok()?)))
    }
}

/// A user as storage knows him, so that calls can be rebuilt for him.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredUser {
    pub version: u32,
    pub tenant_id: TenantId,
    pub user_id: UserId,
    pub external_user_id: String,
}

#[derive(Serialize, Deserialize)]
struct EpochNote {
    epoch: i32,
}

#[derive(Serialize, Deserialize)]
struct HoldNote {
    /// Absent: the hold was lifted.
    reason: Option<String>,
}

fn user_key(tenant_id: &TenantId, user_id: UserId) -> BlobKey {
    BlobKey::stored(&format!("tenants/{tenant_id}/users/{}/user.json", user_id.0))
}

impl Blobs {
    /// Notes that everything under a prefix was erased on a day.
    pub async fn erasure_note(&self, prefix: &str, at: DateTime<Utc>) -> Result<(), BlobError> {
        let Some(erased) = Erased::of_prefix(prefix) else { return Ok(()) };
        let key = BlobKey::stored(&format!("{TOMBSTONES}/{}/{}", at.date_naive(), erased.file()));
        let note = serde_json::json!({"version": 1, "erased": prefix, "erasedAt": at});
        self.put(&key, note.to_string().into_bytes()).await.map(|_| ())
    }

    /// The receipt of an erasure, which a restored database has to know too.
    pub async fn receipt_note(&self, id: Uuid, body: Vec<u8>) -> Result<(), BlobError> {
        let key = format!("{TOMBSTONES}/{}/receipt.{id}.json", Utc::now().date_naive());
        self.put(&BlobKey::stored(&key), body).await.map(|_| ())
    }

    /// Receipts of erasures on and after a day.
    pub async fn receipts_since(&self, day: NaiveDate) -> Result<Vec<Bytes>, BlobError> {
        let mut receipts = Vec::new();
        for noted in self.erasure_days().await?.into_iter().filter(|d| *d >= day) {
            for key in self.list(&format!("{TOMBSTONES}/{noted}/")).await? {
                if key.rsplit('/').next().is_some_and(|file| file.starts_with("receipt.")) {
                    receipts.extend(self.note(&BlobKey::stored(&key)).await?);
                }
            }
        }
        Ok(receipts)
    }

    /// Whom erasures took on and after a day.
    pub async fn erasures_since(&self, day: NaiveDate) -> Result<Vec<Erased>, BlobError> {
        let mut erased = Vec::new();
        for noted in self.erasure_days().await?.into_iter().filter(|d| *d >= day) {
            let names = self.list(&format!("{TOMBSTONES}/{noted}/")).await?;
            erased.extend(
                names.iter().filter_map(|key| Erased::of_file(key.rsplit('/').next().unwrap_or_default())),
            );
        }
        Ok(erased)
    }

    /// Lets notes of days before this one go; gives how many.
    pub async fn erasures_forget(&self, before: NaiveDate) -> Result<usize, BlobError> {
        let mut gone = 0;
        for day in self.erasure_days().await?.into_iter().filter(|d| *d < before) {
            gone += self.delete_prefix(&format!("{TOMBSTONES}/{day}/")).await?;
        }
        Ok(gone)
    }

    async fn erasure_days(&self) -> Result<Vec<NaiveDate>, BlobError> {
        let found = self.store.list_with_delimiter(Some(&Path::from(TOMBSTONES))).await?;
        let mut days: Vec<NaiveDate> =
            found.common_prefixes.iter().filter_map(|p| p.filename()?.parse().ok()).collect();
        days.sort_unstable();
        Ok(days)
    }

    /// Notes who a user is.
    pub async fn user_note(&self, user: &StoredUser) -> Result<(), BlobError> {
        let body = serde_json::to_vec(user).unwrap_or_default();
        self.put(&user_key(&user.tenant_id, user.user_id), body).await.map(|_| ())
    }

    /// Who a user is, where storage knows.
    pub async fn user_noted(
        &self,
        tenant_id: &TenantId,
        user_id: UserId,
    ) -> Result<Option<StoredUser>, BlobError> {
        let note = self.note(&user_key(tenant_id, user_id)).await?;
        Ok(note.and_then(|body| serde_json::from_slice(&body).ok()))
    }

    /// The newest life that storage has seen; 0 where there was only one.
    pub async fn epoch_noted(&self) -> Result<i32, BlobError> {
        let Some(body) = self.note(&BlobKey::stored(EPOCH)).await? else { return Ok(0) };
        // A note that cannot be read must not look like the first life.
        let note: EpochNote = serde_json::from_slice(&body)
            .map_err(|e| BlobError::Unavailable(format!("{EPOCH} cannot be read: {e}")))?;
        Ok(note.epoch)
    }

    /// Notes that a new life began. Sweepers on a database of an older one delete nothing from here on.
    pub async fn epoch_note(&self, epoch: i32) -> Result<(), BlobError> {
        let body = serde_json::to_vec(&EpochNote { epoch }).unwrap_or_default();
        self.put(&BlobKey::stored(EPOCH), body).await.map(|_| ())
    }

    /// Notes that an operator's hold is on, and why, or that it was lifted.
    pub async fn hold_note(&self, reason: Option<&str>) -> Result<(), BlobError> {
        let note = HoldNote { reason: reason.map(str::to_owned) };
        let body = serde_json::to_vec(&note).unwrap_or_default();
        self.put(&BlobKey::stored(HOLD), body).await.map(|_| ())
    }

    /// Why an operator's hold is on, where one is.
    pub async fn hold_noted(&self) -> Result<Option<String>, BlobError> {
        let Some(body) = self.note(&BlobKey::stored(HOLD)).await? else { return Ok(None) };
        // One that cannot be read is believed to be on.
        let unread = HoldNote { reason: Some(format!("{HOLD} cannot be read")) };
        Ok(serde_json::from_slice(&body).unwrap_or(unread).reason)
    }

    async fn note(&self, key: &BlobKey) -> Result<Option<Bytes>, BlobError> {
        match self.get(key, LIMIT).await {
            Ok(body) => Ok(Some(body)),
            Err(BlobError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest time at which anything of a call was written, where the object store tells.
    pub async fn written_last(&self, prefix: &str) -> Result<Option<DateTime<Utc>>, BlobError> {
        let path =
            Path::parse(prefix.trim_end_matches('/')).map_err(|e| BlobError::Unavailable(e.to_string()))?;
        let mut newest = None;
        let mut listed = self.store.list(Some(&path)).map_err(BlobError::from).boxed();
        while let Some(meta) = listed.try_next().await? {
            newest = newest.max(Some(meta.last_modified));
        }
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::local;

    const CALL: &str = "tenants/default/users/0195d8a0-0000-7000-8000-000000000001/calls/0195d8a0-0000-7000-8000-000000000000/";

    #[test]
    fn only_a_whole_call_user_or_tenant_is_an_erasure() {
        assert!(matches!(Erased::of_prefix(CALL), Some(Erased::Call(_))));
        assert!(matches!(
            Erased::of_prefix("tenants/default/users/0195d8a0-0000-7000-8000-000000000001/"),
            Some(Erased::User(_))
        ));
        assert!(matches!(Erased::of_prefix("tenants/acme/"), Some(Erased::Tenant(_))));
        for other in
            ["", "/", "tenants/", "tenants//", "tenants/a/users/b/", &format!("{CALL}temp/"), &CALL[..20]]
        {
            assert_eq!(Erased::of_prefix(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn erasures_are_found_by_day_and_forgotten_by_day() {
        let (blobs, _dir) = local();
        let day = |text: &str| -> DateTime<Utc> { format!("{text}T10:00:00Z").parse().unwrap() };
        blobs.erasure_note(CALL, day("2026-11-01")).await.unwrap();
        blobs.erasure_note("tenants/acme/", day("2026-11-03")).await.unwrap();
        blobs.erasure_note(&format!("{CALL}temp/"), day("2026-11-03")).await.unwrap();
        let since = async |d: &str| blobs.erasures_since(d.parse().unwrap()).await.unwrap();
        assert_eq!(since("2026-11-01").await.len(), 2);
        assert_eq!(since("2026-11-02").await, [Erased::Tenant(TenantId("acme".to_owned()))]);
        assert_eq!(blobs.erasures_forget("2026-11-03".parse().unwrap()).await.unwrap(), 1);
        assert_eq!(since("2026-11-01").await.len(), 1);
    }

    #[tokio::test]
    async fn a_note_of_the_epoch_that_is_broken_is_not_the_first_life() {
        let (blobs, _dir) = local();
        assert_eq!(blobs.epoch_noted().await.unwrap(), 0);
        blobs.epoch_note(3).await.unwrap();
        assert_eq!(blobs.epoch_noted().await.unwrap(), 3);
        blobs.put(&BlobKey::stored(EPOCH), b"{".to_vec()).await.unwrap();
        assert!(blobs.epoch_noted().await.is_err());
    }
}
