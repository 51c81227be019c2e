//! A lease: the right to work on one stage of one run, and all that the work needs to know.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Binary, Integer, Jsonb, Nullable, Text, Timestamptz};
use scryon_domain::assembly::{Direction, PartyFacts};
use scryon_domain::ids::{CallId, JobId, LeaseToken, TenantId, UserId};
use scryon_domain::stage::{Lane, StageKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::db::StoreError;

/// What a worker holds while it works on a stage.
#[derive(Debug, Clone)]
pub struct Lease {
    pub call_id: CallId,
    pub run_no: i32,
    pub stage: StageKind,
    pub lane: Lane,
    /// Fences every write of this worker.
    pub token: LeaseToken,
    /// Claims of this stage so far, this one included.
    pub starts: i32,
    /// Attempts that counted, this one not included.
    pub tries: i32,
    pub call: CallFacts,
    /// Outputs of the finished stages of this run, by stage name.
    pub inputs: StageInputs,
    /// The newest output of this stage in an earlier run, where it may serve again.
    pub prior: Option<StageOutputRow>,
    /// The purchase that the claim recorded or found, for a paid engine.
    pub job: Option<JobClaim>,
}

/// The call as its stages see it. Holds personal data: never logged.
#[derive(Clone)]
pub struct CallFacts {
    pub tenant_id: TenantId,
    pub user_id: UserId,
    pub parties: PartyFacts,
    pub title: Option<String>,
    pub recorded_at: Option<DateTime<Utc>>,
    /// The uploaded recording; absent once retention took it.
    pub audio: Option<AudioObject>,
    pub audio_sha256: Option<Vec<u8>>,
    pub created_at: DateTime<Utc>,
}

impl std::fmt::Debug for CallFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallFacts").field("tenant_id", &self.tenant_id).finish_non_exhaustive()
    }
}

/// Where the recording lies.
#[derive(Debug, Clone)]
pub struct AudioObject {
    pub key: String,
    pub content_type: String,
    pub bytes: i64,
}

/// Outputs by stage name.
#[derive(Debug, Clone, Default)]
pub struct StageInputs(std::collections::BTreeMap<String, StageOutputRow>);

impl StageInputs {
    /// The output of one finished stage of this run.
    pub fn get(&self, stage: StageKind) -> Option<&StageOutputRow> {
        self.0.get(stage.as_str())
    }
}

/// The recorded output of a stage.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StageOutputRow {
    /// Storage key of the output object.
    #[serde(rename = "ref")]
    pub result_ref: Option<String>,
    pub engine: Option<String>,
    /// Hex of the hash of the engine's parameters.
    pub params: Option<String>,
    pub bytes: Option<i64>,
    /// Hex.
    pub sha256: Option<String>,
    pub details: Option<Value>,
}

/// A purchase to record together with the claim of a paid stage.
#[derive(Debug, Clone)]
pub struct JobIntent {
    pub id: JobId,
    pub engine: String,
    pub model: String,
    /// SHA-256 over everything besides the audio that decides the answer.
    pub params_hash: Vec<u8>,
    /// In US dollars; absent where the price is not known.
    pub estimated_cost: Option<f64>,
}

/// What the ledger says about the purchase this stage needs.
#[derive(Debug, Clone, PartialEq)]
pub enum JobClaim {
    /// Recorded as `sending`: this worker, and nobody else, may send the request.
    Mine { id: JobId },
    /// The answer is there already.
    Answered { id: JobId, result_ref: String, bytes: i64, sha256: Vec<u8> },
    /// Somebody alive is sending it: wait for the answer.
    InFlight { id: JobId },
    /// It was perhaps sent by somebody who is gone: settle it before anything else is bought.
    Unsettled { id: JobId, cause: String, estimated_cost: Option<f64> },
    /// Another worker recorded the same purchase in the same instant: look again.
    Raced,
}

#[derive(Debug, Deserialize)]
struct JobRow {
    id: Uuid,
    mine: bool,
    state: String,
    result_ref: Option<String>,
    bytes: Option<i64>,
    sha256: Option<String>,
    held: bool,
    cause: String,
    estimated_cost: Option<f64>,
}

/// The columns of [`LEASE_COLUMNS`].
#[derive(Debug, diesel::QueryableByName)]
pub(crate) struct LeaseRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    call_id: Uuid,
    #[diesel(sql_type = Integer)]
    run_no: i32,
    #[diesel(sql_type = Nullable<Text>)]
    stage: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    state: Option<String>,
    #[diesel(sql_type = Text)]
    lane: String,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    lease_token: Option<Uuid>,
    #[diesel(sql_type = Nullable<Integer>)]
    starts: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    tries: Option<i32>,
    #[diesel(sql_type = Text)]
    tenant_id: String,
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    user_id: Uuid,
    #[diesel(sql_type = Text)]
    direction: String,
    #[diesel(sql_type = Nullable<Text>)]
    contact_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    phone_number: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    user_display_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    title: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    recorded_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Binary>)]
    audio_sha256: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    audio_key: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    audio_type: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    audio_bytes: Option<i64>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    inputs: Option<Value>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    prior: Option<Value>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    job: Option<Value>,
}

/// The projection every statement that hands out a lease ends with. `c` is the call, `t` the stage row, `$1`
/// the call's id: keys are compared with placeholders throughout, because a plan that was made while the
/// tables were small and joins by columns reads whole indexes once they are not.
/// `$own` stands for the output a Finish is writing in the same statement, which its snapshot cannot see.
pub(crate) fn lease_columns(own_output: &str, job: &str) -> String {
    format!(
        "c.id as call_id, c.run_no, t.stage, t.state, c.lane, t.lease_token, t.starts, t.tries, c.tenant_id, c.user_id,
         c.direction, c.contact_name, c.phone_number, u.display_name as user_display_name, c.title, c.recorded_at,
         c.created_at, c.audio_sha256, a.storage_key as audio_key, a.content_type as audio_type, a.byte_size as audio_bytes,
         case when t.state = 'RUNNING' then coalesce((
             select jsonb_object_agg(i.stage, {OUTPUT_JSON}) from call_stages i
             where i.call_id = $1 and i.run_no = c.run_no and i.state in ('SUCCEEDED', 'SKIPPED')), '{{}}') {own_output} end as inputs,
         case when t.state = 'RUNNING' and c.run_no > 1 then (
             select {OUTPUT_JSON} from call_stages i
             where i.call_id = $1 and i.stage = t.stage and i.run_no < c.run_no and i.state in ('SUCCEEDED', 'SKIPPED')
               and i.params_hash is not null and (c.paid_since is null or i.finished_at >= c.paid_since)
             order by i.run_no desc limit 1) end as prior,
         {job} as job"
    )
}

/// A stage row `i` as JSON for [`StageOutputRow`].
pub(crate) const OUTPUT_JSON: &str = "jsonb_build_object('ref', i.result_ref, 'engine', i.engine, 'params', \
    encode(i.params_hash, 'hex'), 'bytes', i.bytes, 'sha256', encode(i.sha256, 'hex'), 'details', i.details)";

/// The joins of the projection.
pub(crate) const LEASE_JOINS: &str = "left join users u on u.id = c.user_id
     left join call_artifacts a on a.call_id = $1 and a.artifact_type = 'TEMP_AUDIO'";

/// The statements that record a purchase for the stage rows of `t`. Placeholders: job id, engine, model,
/// parameters' hash, estimated cost, lease owner, lease seconds, in this order from `first`.
///
/// The row is inserted only where no live purchase of the same key can serve; two workers who insert at
/// once are told apart by the unique index on live rows. `stage` is the placeholder of the paid stage.
pub(crate) fn job_ctes(first: usize, stage: usize) -> String {
    let p: Vec<String> = (first..first + 7).map(|n| format!("${n}")).collect();
    let [id, engine, model, params, cost, owner, lease] = p.as_slice() else { return String::new() };
    format!(
        ", live_job as materialized (
             select j.* from t cross join c join provider_jobs j on j.live and j.tenant_id = c.tenant_id
                 and j.stage = ${stage} and j.engine = {engine} and j.params_hash = {params} and j.audio_sha256 = c.audio_sha256
             where t.state = 'RUNNING' and t.stage = ${stage}
         ), stale_job as (
             update provider_jobs j set live = false from live_job o, c
             where j.id = o.id and o.created_at < c.paid_since returning j.id
         ), bought as (
             insert into provider_jobs (id, tenant_id, stage, engine, model, params_hash, audio_sha256, purchase_no, state,
                 cause, call_id, run_no, lease_owner, lease_until, sent_at, estimated_cost)
             select {id}, c.tenant_id, t.stage, {engine}, {model}, {params}, c.audio_sha256, 1 + past.n, 'sending',
                 case when exists (select 1 from stale_job) then 'reset' when past.n > 0 then 'retry' else 'first' end,
                 c.id, c.run_no, {owner}, now() + {lease} * interval '1 second', now(), {cost}::float8::numeric
             from t cross join c cross join lateral (
                 select coalesce(max(p.purchase_no), 0) as n from provider_jobs p
                 where p.tenant_id = c.tenant_id and p.stage = ${stage} and p.engine = {engine}
                   and p.params_hash = {params} and p.audio_sha256 = c.audio_sha256) past
             where t.state = 'RUNNING' and t.stage = ${stage} and (select count(*) from live_job) = (select count(*) from stale_job)
             on conflict do nothing
             returning id, cause
         )"
    )
}

/// The job column that goes with [`job_ctes`].
pub(crate) const JOB_COLUMN: &str = "case when t.state = 'RUNNING' then coalesce(
     (select jsonb_build_object('id', b.id, 'mine', true, 'state', 'sending', 'held', true, 'cause', b.cause) from bought b),
     (select jsonb_build_object('id', o.id, 'mine', false, 'state', o.state, 'result_ref', o.result_ref, 'bytes', o.result_bytes,
          'sha256', encode(o.result_sha256, 'hex'), 'held', coalesce(o.lease_until > now(), false), 'cause', o.cause,
          'estimated_cost', o.estimated_cost::float8)
      from live_job o where not exists (select 1 from stale_job)),
     '{\"raced\": true}') end";

impl LeaseRow {
    /// Whether this row is a stage that this worker now holds (else it waits for its own hint).
    pub(crate) fn is_held(&self) -> bool {
        self.state.as_deref() == Some("RUNNING")
    }

    pub(crate) fn run_no(&self) -> i32 {
        self.run_no
    }

    /// The stage of a row that this statement made PENDING.
    pub(crate) fn pending_stage(&self) -> Option<Result<(StageKind, Lane, TenantId), StoreError>> {
        (self.state.as_deref() == Some("PENDING")).then(|| {
            Ok((
                word(self.stage.as_deref().unwrap_or_default())?,
                word(&self.lane)?,
                TenantId(self.tenant_id.clone()),
            ))
        })
    }

    pub(crate) fn into_lease(self) -> Result<Lease, StoreError> {
        let job = self.job.map(job_claim).transpose()?;
        let inputs = self.inputs.map(serde_json::from_value).transpose().map_err(json_error)?;
        let prior = self.prior.map(serde_json::from_value).transpose().map_err(json_error)?;
        let audio = match (self.audio_key, self.audio_type, self.audio_bytes) {
            (Some(key), Some(content_type), Some(bytes)) => Some(AudioObject { key, content_type, bytes }),
            _ => None,
        };
        Ok(Lease {
            call_id: CallId(self.call_id),
            run_no: self.run_no,
            stage: word(self.stage.as_deref().unwrap_or_default())?,
            lane: word(&self.lane)?,
            token: LeaseToken(self.lease_token.ok_or_else(|| StoreError::row("a lease without a token"))?),
            starts: self.starts.unwrap_or_default(),
            tries: self.tries.unwrap_or_default(),
            call: CallFacts {
                tenant_id: TenantId(self.tenant_id),
                user_id: UserId(self.user_id),
                parties: PartyFacts {
                    user_display_name: self.user_display_name,
                    contact_name: self.contact_name,
                    phone_number: self.phone_number,
                    direction: Some(match self.direction.as_str() {
                        "INCOMING" => Direction::Incoming,
                        "OUTGOING" => Direction::Outgoing,
                        _ => Direction::Unknown,
                    }),
                },
                title: self.title,
                recorded_at: self.recorded_at,
                audio,
                audio_sha256: self.audio_sha256,
                created_at: self.created_at,
            },
            inputs: StageInputs(inputs.unwrap_or_default()),
            prior,
            job,
        })
    }
}

fn job_claim(value: Value) -> Result<JobClaim, StoreError> {
    if value.get("raced").is_some() {
        return Ok(JobClaim::Raced);
    }
    let row: JobRow = serde_json::from_value(value).map_err(json_error)?;
    let id = JobId(row.id);
    Ok(match row.state.as_str() {
        _ if row.mine => JobClaim::Mine { id },
        "succeeded" => JobClaim::Answered {
            id,
            result_ref: row.result_ref.unwrap_or_default(),
            bytes: row.bytes.unwrap_or_default(),
            sha256: row.sha256.and_then(|h| hex::decode(h).ok()).unwrap_or_default(),
        },
        _ if row.held => JobClaim::InFlight { id },
        _ => JobClaim::Unsettled { id, cause: row.cause, estimated_cost: row.estimated_cost },
    })
}

pub(crate) fn word<T>(text: &str) -> Result<T, StoreError>
where
    T: std::str::FromStr<Err = scryon_domain::stage::UnknownWord>,
{
    text.parse().map_err(|e: scryon_domain::stage::UnknownWord| StoreError::row(e.to_string()))
}

#[allow(clippy::needless_pass_by_value)] // used as a function in map_err
pub(crate) fn json_error(error: serde_json::Error) -> StoreError {
    StoreError::row(format!("a JSON column has an unknown shape: {error}"))
}
