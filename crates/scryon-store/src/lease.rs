//! A lease: the right to work on one stage of one run, and all that the work needs to know.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Binary, Integer, Jsonb, Nullable, Text, Timestamptz};
use scryon_domain::assembly::{Direction, PartyFacts};
use scryon_domain::hint::Hint;
use scryon_domain::ids::{CallId, HintId, JobId, LeaseToken, TenantId, UserId};
use scryon_domain::stage::{Lane, StageKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::batch::OfCall;
use crate::claim::next_hint;
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
    /// Somebody is sending it: wait for the answer. An owner without a beat for 3 s is probably dead, which is
    /// enough to send again under the same key, and not enough to buy again.
    InFlight { id: JobId, owner_silent: bool },
    /// It was perhaps sent by somebody who is gone: settle it before anything else is bought.
    Unsettled {
        id: JobId,
        cause: String,
        estimated_cost: Option<f64>,
        /// Since it was perhaps sent.
        awaited: Duration,
    },
    /// It runs at the provider.
    Submitted(SubmittedJob),
    /// Another worker recorded the same purchase in the same instant: look again.
    Raced,
}

/// A job that a provider has taken.
#[derive(Debug, Clone, PartialEq)]
pub struct SubmittedJob {
    pub id: JobId,
    /// The provider's name for it; ours where it has none.
    pub external_id: String,
    /// Its deadline has passed.
    pub overdue: bool,
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
    #[serde(default)]
    silent: bool,
    cause: String,
    estimated_cost: Option<f64>,
    external_id: Option<String>,
    #[serde(default)]
    overdue: bool,
    #[serde(default)]
    awaited: f64,
}

/// The composite type `lease_row` that every function for steps returns.
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

impl OfCall for LeaseRow {
    fn call(&self) -> Uuid {
        self.call_id
    }
}

impl LeaseRow {
    /// Whether this row is a stage that this worker now holds (else it waits for its own hint).
    pub(crate) fn is_held(&self) -> bool {
        self.state.as_deref() == Some("RUNNING")
    }

    /// The hint of a stage that this statement made PENDING.
    pub(crate) fn hint(&self) -> Option<Result<Hint, StoreError>> {
        (self.state.as_deref() == Some("PENDING")).then(|| self.place())
    }

    /// A hint for the stage of a row.
    pub(crate) fn place(&self) -> Result<Hint, StoreError> {
        let stage = word(self.stage.as_deref().unwrap_or_default())?;
        let tenant = TenantId(self.tenant_id.clone());
        Ok(next_hint(CallId(self.call_id), self.run_no, (stage, word(&self.lane)?, tenant)))
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

pub(crate) fn job_claim(value: Value) -> Result<JobClaim, StoreError> {
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
        "submitted" | "unknown" if row.external_id.is_some() => JobClaim::Submitted(SubmittedJob {
            id,
            external_id: row.external_id.unwrap_or_default(),
            overdue: row.overdue,
        }),
        _ if row.held => JobClaim::InFlight { id, owner_silent: row.silent },
        _ => JobClaim::Unsettled {
            id,
            cause: row.cause,
            estimated_cost: row.estimated_cost,
            awaited: Duration::try_from_secs_f64(row.awaited).unwrap_or_default(),
        },
    })
}

/// How JSON carries bytes into a column.
pub(crate) fn bytea(bytes: &[u8]) -> String {
    format!("\\x{}", hex::encode(bytes))
}

/// A purchase as steps carry it.
#[derive(Serialize)]
pub(crate) struct IntentStep<'a> {
    j_id: JobId,
    j_engine: &'a str,
    j_model: &'a str,
    j_params: String,
    j_cost: Option<f64>,
}

impl JobIntent {
    pub(crate) fn step(&self) -> IntentStep<'_> {
        IntentStep {
            j_id: self.id,
            j_engine: &self.engine,
            j_model: &self.model,
            j_params: bytea(&self.params_hash),
            j_cost: self.estimated_cost,
        }
    }
}

/// What every step on a held stage begins with: the fence.
#[derive(Serialize)]
pub(crate) struct Fence {
    call_id: CallId,
    run_no: i32,
    status: &'static str,
    stage: &'static str,
    token: LeaseToken,
}

impl Fence {
    pub(crate) fn new(call_id: CallId, run_no: i32, stage: StageKind, token: LeaseToken) -> Self {
        Self { call_id, run_no, status: stage.call_status().as_str(), stage: stage.as_str(), token }
    }
}

impl Lease {
    /// Whose step a statement carries, and how long it may wait for others.
    pub(crate) const fn step_of(&self) -> (Uuid, Lane) {
        (self.call_id.0, self.lane)
    }

    pub(crate) fn fence(&self) -> Fence {
        Fence::new(self.call_id, self.run_no, self.stage, self.token)
    }
}

/// The composite type `claim_step`: a stage to take, or one that is held and to be bought for.
#[derive(Serialize)]
pub(crate) struct ClaimStep<'a> {
    #[serde(flatten)]
    pub fence: Fence,
    pub owner: &'a str,
    pub lease: f64,
    pub hint: Option<HintId>,
    pub redelivered: bool,
    pub silence: f64,
    #[serde(flatten)]
    pub intent: Option<IntentStep<'a>>,
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
