//! Calls as the API writes and reads them.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz};
use scryon_domain::ids::{CallId, TenantId, UserId};
use scryon_domain::stage::Lane;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::batch::{OfCall, Step};
use crate::claim::ANNOUNCE_AGAIN;
use crate::db::{Bind, Statement, Store, StoreError};
use crate::lease::bytea;

/// An accepted upload: its object is stored, its row is not yet written. Holds personal data.
#[derive(Clone, Default)]
pub struct NewCall {
    pub title: Option<String>,
    pub contact_name: Option<String>,
    pub contact_id: Option<String>,
    pub phone_number: Option<String>,
    pub organization: Option<String>,
    /// INCOMING, OUTGOING or UNKNOWN.
    pub direction: String,
    pub recorded_at: Option<DateTime<Utc>>,
    /// Seconds, as the client says; replaced by what the audio says.
    pub duration_seconds: Option<f64>,
    pub original_file_name: Option<String>,
    pub client_reference: Option<String>,
    pub metadata: Option<Value>,
    pub audio_key: String,
    pub audio_content_type: String,
    pub audio_bytes: i64,
    pub audio_sha256: Vec<u8>,
    /// What the recording is, where its header could be read on the way.
    pub audio_details: Option<Value>,
}

impl std::fmt::Debug for NewCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewCall").field("audio_bytes", &self.audio_bytes).finish_non_exhaustive()
    }
}

/// Whose request it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    pub tenant_id: TenantId,
    pub user_id: UserId,
}

/// The idempotency row that an upload completes together with its call.
#[derive(Debug, Clone)]
pub struct CompletedKey {
    pub route: &'static str,
    pub key: String,
    pub response: Value,
}

const ACCEPT: Step = "calls_accept";

/// The composite type `accept_step`.
#[derive(Serialize)]
struct AcceptStep<'a> {
    call_id: CallId,
    tenant_id: &'a TenantId,
    user_id: UserId,
    title: Option<&'a str>,
    contact_name: Option<&'a str>,
    contact_id: Option<&'a str>,
    phone_number: Option<&'a str>,
    organization: Option<&'a str>,
    direction: &'a str,
    recorded_at: Option<DateTime<Utc>>,
    duration_seconds: Option<f64>,
    original_file_name: Option<&'a str>,
    client_reference: Option<&'a str>,
    metadata: Option<&'a Value>,
    announced: bool,
    audio_key: &'a str,
    audio_type: &'a str,
    audio_bytes: i64,
    audio_sha256: String,
    audio_details: Option<&'a Value>,
    route: Option<&'static str>,
    key: Option<&'a str>,
    response: Option<&'a Value>,
    again: f64,
}

/// A call that was written.
#[derive(diesel::QueryableByName)]
pub(crate) struct AcceptedRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    call_id: Uuid,
}

impl OfCall for AcceptedRow {
    fn call(&self) -> Uuid {
        self.call_id
    }
}

#[derive(diesel::QueryableByName)]
struct TenantRow {
    #[diesel(sql_type = Text)]
    tenant: String,
}

#[derive(diesel::QueryableByName)]
struct YesRow {
    #[diesel(sql_type = Bool)]
    #[allow(dead_code, reason = "a row is the answer")]
    yes: bool,
}

/// A line of the list of calls.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct CallListRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    pub title: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub original_file_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub contact_name: Option<String>,
    #[diesel(sql_type = Text)]
    pub direction: String,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Nullable<Double>)]
    pub duration_seconds: Option<f64>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    pub short_summary: Option<String>,
    #[diesel(sql_type = Array<Text>)]
    pub tags: Vec<String>,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    pub scryon_contact_id: Option<Uuid>,
    #[diesel(sql_type = Integer)]
    pub action_item_count: i32,
    #[diesel(sql_type = Nullable<Text>)]
    pub first_action_title: Option<String>,
}

/// Where a page of the list ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ListPosition {
    pub created_at: DateTime<Utc>,
    pub id: Uuid,
}

/// Lines of the list, of all calls.
pub(crate) const LIST_ITEMS: &str = "select c.id, c.title, c.original_file_name, c.contact_name, c.direction, c.status, c.duration_seconds, c.created_at,
         c.short_summary, c.tags, c.scryon_contact_id, coalesce(i.n, 0) as action_item_count, i.first_title as first_action_title
     from call_records c left join lateral (
         select count(*)::int as n, (array_agg(a.title order by a.created_at, a.id))[1] as first_title
         from action_items a where a.call_record_id = c.id and a.status <> 'DISMISSED') i on true";

static LIST: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    format!(
        "{LIST_ITEMS}
     where c.tenant_id = $1 and c.user_id = $2 and ($3::text is null or c.status = $3)
       and ($4::timestamptz is null or (c.created_at, c.id) < ($4, $5))
     order by c.created_at desc, c.id desc limit $6 offset $7"
    )
});

/// One call, whole.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct CallDetailRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub error_reason: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub finished_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub title: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub notes: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub short_summary: Option<String>,
    #[diesel(sql_type = Array<Text>)]
    pub tags: Vec<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub contact_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub contact_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub phone_number: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub organization: Option<String>,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    pub scryon_contact_id: Option<Uuid>,
    #[diesel(sql_type = Text)]
    pub direction: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub recorded_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Double>)]
    pub duration_seconds: Option<f64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub original_file_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub client_reference: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub metadata: Option<Value>,
    #[diesel(sql_type = Text)]
    pub lane: String,
    #[diesel(sql_type = Integer)]
    pub run_no: i32,
    #[diesel(sql_type = Bool)]
    pub has_audio: bool,
    /// Stages of the current run, as a JSON array in pipeline order.
    #[diesel(sql_type = Jsonb)]
    pub stages: Value,
    /// Calls of the same tenant and lane that were accepted before this one and wait too, up to 10,000.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub ahead: Option<i64>,
}

const DETAIL: &str = "select c.id, c.status, c.error_reason, c.created_at, c.updated_at, c.finished_at, c.title, c.notes, c.short_summary,
         c.tags, c.contact_name, c.contact_id, c.phone_number, c.organization, c.scryon_contact_id, c.direction, c.recorded_at,
         c.duration_seconds, c.original_file_name, c.client_reference, c.metadata, c.lane, c.run_no,
         exists (select 1 from call_artifacts a where a.call_id = c.id and a.artifact_type = 'TEMP_AUDIO') as has_audio,
         coalesce((select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('stage', s.stage, 'state', s.state, 'engine', s.engine,
                 'skipReason', s.skip_reason, 'errorCode', s.error_code, 'attempts', s.starts, 'startedAt', s.started_at,
                 'finishedAt', s.finished_at,
                 'durationMs', round(extract(epoch from s.finished_at - s.started_at) * 1000)))
             order by array_position(array['preprocessing', 'transcription', 'diarization', 'assembly', 'analysis'], s.stage))
             from call_stages s where s.call_id = c.id and s.run_no = c.run_no), '[]') as stages,
         case when c.status = 'QUEUED' then (select count(*) from (
             select 1 from call_records q where q.status = 'QUEUED' and q.tenant_id = c.tenant_id and q.lane = c.lane
               and (q.created_at, q.id) < (c.created_at, c.id) limit 10000) f) end as ahead
     from call_records c where c.tenant_id = $1 and c.user_id = $2 and c.id = $3";

/// A call's status for bulk polling.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct CallStatusRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub status: String,
}

/// Where a reader finds a document of a call.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct DocumentRow {
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub storage_key: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub error_reason: Option<String>,
    /// Why the analysis of the current run was skipped, if it was.
    #[diesel(sql_type = Nullable<Text>)]
    pub skip_reason: Option<String>,
}

const DOCUMENT: &str = "select c.status, a.storage_key, c.error_reason,
         (select s.skip_reason from call_stages s where s.call_id = c.id and s.run_no = c.run_no and s.stage = 'analysis') as skip_reason
     from call_records c left join call_artifacts a on a.call_id = c.id and a.artifact_type = $4
     where c.tenant_id = $1 and c.user_id = $2 and c.id = $3";

#[derive(diesel::QueryableByName)]
struct RoomRow {
    #[diesel(sql_type = BigInt)]
    in_flight: i64,
    #[diesel(sql_type = Nullable<Integer>)]
    cap: Option<i32>,
}

impl Store {
    /// Writes the call, its audio's artifact and its idempotency key in one statement: from here on the
    /// upload is a promise. False when the key was taken over meanwhile and nothing was written.
    pub async fn call_insert(
        &self,
        call_id: CallId,
        owner: &Owner,
        call: &NewCall,
        announce: bool,
        key: Option<&CompletedKey>,
    ) -> Result<bool, StoreError> {
        let step = AcceptStep {
            call_id,
            tenant_id: &owner.tenant_id,
            user_id: owner.user_id,
            title: call.title.as_deref(),
            contact_name: call.contact_name.as_deref(),
            contact_id: call.contact_id.as_deref(),
            phone_number: call.phone_number.as_deref(),
            organization: call.organization.as_deref(),
            direction: &call.direction,
            recorded_at: call.recorded_at,
            duration_seconds: call.duration_seconds,
            original_file_name: call.original_file_name.as_deref(),
            client_reference: call.client_reference.as_deref(),
            metadata: call.metadata.as_ref(),
            announced: announce,
            audio_key: &call.audio_key,
            audio_type: &call.audio_content_type,
            audio_bytes: call.audio_bytes,
            audio_sha256: bytea(&call.audio_sha256),
            audio_details: call.audio_details.as_ref(),
            route: key.map(|k| k.route),
            key: key.map(|k| k.key.as_str()),
            response: key.map(|k| &k.response),
            again: ANNOUNCE_AGAIN.as_secs_f64(),
        };
        Ok(!self.accepts.rows(ACCEPT, (call_id.0, Lane::Live), &step).await?.is_empty())
    }

    /// Whether the call is there, for a client whose commit's answer was lost.
    pub async fn call_exists(&self, call_id: CallId) -> Result<bool, StoreError> {
        let sql = "select true as yes from call_records where id = $1";
        Ok(self.row::<YesRow>(Statement::new(sql).bind(call_id)).await?.is_some())
    }

    /// A page of the owner's calls, newest first.
    pub async fn calls_list(
        &self,
        owner: &Owner,
        status: Option<&str>,
        after: Option<ListPosition>,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<CallListRow>, StoreError> {
        self.rows(
            Statement::new(&LIST)
                .bind(&owner.tenant_id)
                .bind(owner.user_id)
                .bind(status)
                .bind(after.map(|p| p.created_at))
                .bind(Bind::Uuid(after.map(|p| p.id)))
                .bind(limit)
                .bind(offset),
        )
        .await
    }

    /// One call of the owner.
    pub async fn call_detail(&self, owner: &Owner, id: CallId) -> Result<Option<CallDetailRow>, StoreError> {
        self.row(owned(DETAIL, owner, id)).await
    }

    /// Statuses of the owner's calls among `ids`.
    pub async fn calls_status(
        &self,
        owner: &Owner,
        ids: &[CallId],
    ) -> Result<Vec<CallStatusRow>, StoreError> {
        let sql =
            "select id, status from call_records where tenant_id = $1 and user_id = $2 and id = any($3)";
        let ids = Bind::Uuids(ids.iter().map(|id| id.0).collect());
        self.rows(Statement::new(sql).bind(&owner.tenant_id).bind(owner.user_id).bind(ids)).await
    }

    /// Deletes the owner's call; its children go by cascade, its objects by tombstone. False: no such call.
    pub async fn call_delete(&self, owner: &Owner, id: CallId) -> Result<bool, StoreError> {
        let sql = "delete from call_records where tenant_id = $1 and user_id = $2 and id = $3 returning true as yes";
        Ok(self.row::<YesRow>(owned(sql, owner, id)).await?.is_some())
    }

    /// Deletes a call of whatever tenant, as [`Store::call_delete`]; gives its tenant. `None`: no such call.
    pub async fn call_delete_any(&self, id: CallId) -> Result<Option<String>, StoreError> {
        let sql = "delete from call_records where id = $1 returning tenant_id as tenant";
        Ok(self.row::<TenantRow>(Statement::new(sql).bind(id)).await?.map(|r| r.tenant))
    }

    /// Where the owner's transcript or analysis lies. `None`: no such call.
    pub async fn call_document(
        &self,
        owner: &Owner,
        id: CallId,
        artifact_type: &str,
    ) -> Result<Option<DocumentRow>, StoreError> {
        self.row(owned(DOCUMENT, owner, id).bind(artifact_type)).await
    }

    /// How many calls of a tenant are in flight, and its own cap where it has one.
    pub async fn tenant_in_flight(&self, tenant_id: &TenantId) -> Result<(i64, Option<i32>), StoreError> {
        let sql = "select (select count(*) from call_records where status = 'TRANSCRIBING' and tenant_id = $1)
                 + (select count(*) from call_records where status = 'QUEUED' and publish_due is not null and tenant_id = $1) as in_flight,
                 (select max_in_flight from tenants where id = $1) as cap";
        let row: Option<RoomRow> = self.row(Statement::new(sql).bind(tenant_id)).await?;
        Ok(row.map_or((0, None), |r| (r.in_flight, r.cap)))
    }
}

fn owned(sql: &'static str, owner: &Owner, id: CallId) -> Statement {
    Statement::new(sql).bind(&owner.tenant_id).bind(owner.user_id).bind(id)
}
