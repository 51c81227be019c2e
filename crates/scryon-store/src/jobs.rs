//! The purchase ledger. A paid request is preceded by a committed row; "perhaps sent" is a state of its
//! own, and a second purchase is a decision that is counted, never an accident.

use std::time::Duration;

use diesel::sql_types::{Integer, Jsonb, Nullable, Text};
use scryon_domain::ids::JobId;
use serde_json::Value;

use crate::batch::Step;
use crate::claim::LEASE;
use crate::db::{Statement, Store, StoreError};
use crate::finish::{JobSettlement, OutputObject};
use crate::lease::{ClaimStep, JobClaim, JobIntent, Lease, job_claim};
use crate::outcome::JobEnd;

const BEGIN: Step = "jobs_begin";

/// One re-buy of a purchase that was perhaps made (13: the old one). Fenced by run, status and token, like every
/// write of a worker.
const REBUY: &str = "with c as materialized (
         select * from call_records where id = $1 and run_no = $2 and status = $3 for no key update
     ), t as materialized (
         select s.* from call_stages s cross join c
         where s.call_id = $1 and s.run_no = $2 and s.stage = $4 and s.lease_token = $5 and s.state = 'RUNNING'
     ), old as (
         update provider_jobs j set live = false, state = case when j.state = 'succeeded' then j.state else 'unknown' end,
             lease_until = null
         from t where j.id = $13 and j.live and coalesce(j.lease_until <= now(), true) returning j.*
     ), bought as (
         insert into provider_jobs (id, tenant_id, stage, engine, model, params_hash, audio_sha256, purchase_no, state,
             cause, call_id, run_no, lease_owner, lease_until, sent_at, estimated_cost)
         select $6, old.tenant_id, old.stage, $7, $8, $9, old.audio_sha256,
             1 + (select max(p.purchase_no) from provider_jobs p where p.tenant_id = old.tenant_id and p.stage = old.stage
                  and p.engine = $7 and p.params_hash = $9 and p.audio_sha256 = old.audio_sha256),
             'sending', $14, c.id, c.run_no, $11, now() + $12 * interval '1 second', now(), $10::float8::numeric
         from old, c
         on conflict do nothing returning id
     )
     select count(*)::int as n from bought";

const FOUND: &str = "select jsonb_build_object('id', j.id, 'mine', false, 'state', j.state, 'result_ref', j.result_ref, 'bytes', j.result_bytes,
         'sha256', encode(j.result_sha256, 'hex'), 'held', coalesce(j.lease_until > now(), false), 'cause', j.cause,
         'estimated_cost', j.estimated_cost::float8, 'external_id', j.external_id, 'overdue', coalesce(j.deadline <= now(), false)) as job
     from call_records c join provider_jobs j on j.live and j.tenant_id = $1 and j.stage = $2 and j.engine = $3 and j.params_hash = $4
         and j.audio_sha256 = c.audio_sha256
     where c.id = $5 and coalesce(j.created_at >= c.paid_since, true)";

const TAKE_OVER: &str = "update provider_jobs j set lease_owner = $2, lease_until = now() + $3 * interval '1 second', state = 'sending',
         sends = j.sends + 1, sent_at = now()
     where j.id = $1 and j.live and j.state in ('intent', 'sending', 'unknown')
       and (coalesce(j.lease_until <= now(), true) or (j.lease_owner <> $2 and not exists (select 1 from worker_heartbeats h
            where h.owner = j.lease_owner and h.beat_at > now() - interval '3 seconds')))
     returning 1 as n";

const STORE_ANSWER: &str =
    "update provider_jobs set state = 'succeeded', result_ref = $2, result_bytes = $3, result_sha256 = $4,
         units = $5, unit = $6, billed_cost = $7::float8::numeric, lease_until = null, finished_at = now()
     where id = $1 and state <> 'succeeded' returning 1 as n";

/// `lease_until`: a program that does not know this state leaves the job alone until then.
const SUBMITTED: &str = "update provider_jobs set state = 'submitted', external_id = $2, deadline = now() + $3 * interval '1 second',
         lease_until = now() + $3 * interval '1 second'
     where id = $1 and state in ('intent', 'sending', 'unknown', 'submitted') returning 1 as n";

const FORGET_ANSWER: &str = "update provider_jobs set live = false where id = $1 returning 1 as n";

/// The second half: one that was to be bought once more, and was not, leaves the former one to be settled again, unless
/// the call is gone or somebody has bought anew meanwhile.
const NOT_SENT: &str = "with closed as (
         update provider_jobs set state = 'failed', live = false, sends = 0, lease_until = null, error_code = 'not_asked',
             finished_at = now()
         where id = $1 and lease_owner = $2 and state = 'sending' and sends = 1
         returning *),
     former as (
         select p.id from closed c join provider_jobs p on p.tenant_id = c.tenant_id and p.stage = c.stage and p.engine = c.engine
             and p.params_hash = c.params_hash and p.audio_sha256 = c.audio_sha256 and p.purchase_no < c.purchase_no
         where c.cause = 'ambiguous' and p.error_code is distinct from 'not_asked'
           and not exists (select from provider_jobs o where o.live and o.id <> c.id and o.tenant_id = c.tenant_id
               and o.stage = c.stage and o.engine = c.engine and o.params_hash = c.params_hash and o.audio_sha256 = c.audio_sha256)
         order by p.purchase_no desc limit 1)
     update provider_jobs j set live = true from former f
     where j.id = f.id and j.state in ('unknown', 'submitted', 'succeeded')
       and exists (select from call_records r where r.id = j.call_id)";

const RELEASE: &str = "update provider_jobs set lease_until = now()
     where id = $1 and lease_owner = $2 and state in ('intent', 'sending') returning 1 as n";

#[derive(diesel::QueryableByName)]
struct FoundRow {
    #[diesel(sql_type = Jsonb)]
    job: Value,
}

#[derive(diesel::QueryableByName)]
struct CountRow {
    #[diesel(sql_type = Integer)]
    n: i32,
}

/// One purchase, as the checker and the price reports read it.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct Purchase {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: uuid::Uuid,
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub call_id: uuid::Uuid,
    #[diesel(sql_type = Text)]
    pub stage: String,
    #[diesel(sql_type = Text)]
    pub engine: String,
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = Text)]
    pub cause: String,
    #[diesel(sql_type = Integer)]
    pub purchase_no: i32,
    #[diesel(sql_type = Integer)]
    pub sends: i32,
    #[diesel(sql_type = Nullable<Text>)]
    pub result_ref: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub cost: Option<Value>,
}

impl Store {
    /// Records a purchase for a stage that is already held. `None`: the fence held.
    pub async fn job_begin(
        &self,
        lease: &Lease,
        owner: &str,
        intent: &JobIntent,
    ) -> Result<Option<JobClaim>, StoreError> {
        let step = ClaimStep {
            fence: lease.fence(),
            owner,
            lease: LEASE.as_secs_f64(),
            hint: None,
            redelivered: false,
            silence: 0.0,
            intent: Some(intent.step()),
        };
        let rows = self.steps.rows(BEGIN, lease.step_of(), &step).await?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        Ok(row.into_lease()?.job)
    }

    /// The live purchase of the same recording and parameters, where there is one. Writes nothing.
    pub async fn job_found(&self, lease: &Lease, intent: &JobIntent) -> Result<Option<JobClaim>, StoreError> {
        let statement = Statement::new(FOUND)
            .bind(&lease.call.tenant_id)
            .bind(lease.stage.as_str())
            .bind(intent.engine.as_str())
            .bind(intent.params_hash.clone())
            .bind(lease.call_id);
        let row: Option<FoundRow> = self.row(statement).await?;
        row.map(|row| job_claim(row.job)).transpose()
    }

    /// Buys again what was perhaps bought; the old row stays as `unknown`. True when this worker may send.
    pub async fn job_buy_again(
        &self,
        lease: &Lease,
        owner: &str,
        intent: &JobIntent,
        old: JobId,
        cause: RebuyCause,
    ) -> Result<bool, StoreError> {
        let statement = Statement::new(REBUY)
            .bind(lease.call_id)
            .bind(lease.run_no)
            .bind(lease.stage.call_status().as_str())
            .bind(lease.stage.as_str())
            .bind(lease.token)
            .bind(intent.id)
            .bind(intent.engine.as_str())
            .bind(intent.model.as_str())
            .bind(intent.params_hash.clone())
            .bind(intent.estimated_cost)
            .bind(owner)
            .bind(LEASE)
            .bind(old)
            .bind(cause.as_str());
        let row: Option<CountRow> = self.row(statement).await?;
        Ok(row.is_some_and(|r| r.n == 1))
    }

    /// Takes over a purchase that was perhaps sent by somebody who is gone, to send it again under the same
    /// key. Only for engines that honour idempotency keys. False: somebody else took it.
    pub async fn job_take_over(&self, id: JobId, owner: &str) -> Result<bool, StoreError> {
        let row: Option<CountRow> =
            self.row(Statement::new(TAKE_OVER).bind(id).bind(owner).bind(LEASE)).await?;
        Ok(row.is_some())
    }

    /// Keeps an answer whose stage was superseded while it was on its way: it was paid for, and the new run
    /// adopts it. Not fenced by the run.
    pub async fn job_store_answer(
        &self,
        settlement: &JobSettlement,
        object: &OutputObject,
    ) -> Result<bool, StoreError> {
        let statement = Statement::new(STORE_ANSWER)
            .bind(settlement.id)
            .bind(object.key.as_str())
            .bind(object.bytes)
            .bind(object.sha256.clone())
            .bind(settlement.units)
            .bind(settlement.unit)
            .bind(settlement.billed_cost);
        let row: Option<CountRow> = self.row(statement).await?;
        Ok(row.is_some())
    }

    /// The provider has taken the job under `external_id` and is expected to be done within `deadline`. Not fenced
    /// by the run: whichever run comes next finds it.
    pub async fn job_submitted(
        &self,
        id: JobId,
        external_id: &str,
        deadline: Duration,
    ) -> Result<bool, StoreError> {
        let statement = Statement::new(SUBMITTED).bind(id).bind(external_id).bind(deadline);
        let row: Option<CountRow> = self.row(statement).await?;
        Ok(row.is_some())
    }

    /// Counts a purchase as made because another engine had nothing to give.
    pub async fn job_failover(&self, id: JobId) -> Result<(), StoreError> {
        let sql = "update provider_jobs set cause = 'failover' where id = $1 and cause = 'first'";
        self.execute(Statement::new(sql).bind(id)).await.map(|_| ())
    }

    /// Records how a purchase ended that gave no answer, apart from what becomes of its stage.
    pub async fn job_end(&self, end: JobEnd, error_code: &str) -> Result<(), StoreError> {
        let sql = "update provider_jobs set state = $2, live = live and $2 <> 'failed', lease_until = null, error_code = $3,
                 finished_at = case when $2 = 'failed' then now() end
             where id = $1 and state not in ('succeeded', 'failed')";
        self.execute(Statement::new(sql).bind(end.id).bind(end.state.as_str()).bind(error_code))
            .await
            .map(|_| ())
    }

    /// Closes a purchase of which nothing was sent: not one that somebody has taken over to send it.
    pub async fn job_not_sent(&self, id: JobId, owner: &str) -> Result<(), StoreError> {
        self.execute(Statement::new(NOT_SENT).bind(id).bind(owner)).await.map(|_| ())
    }

    /// An answer whose object is gone cannot serve any more.
    pub async fn job_forget_answer(&self, id: JobId) -> Result<(), StoreError> {
        self.row::<CountRow>(Statement::new(FORGET_ANSWER).bind(id)).await.map(|_| ())
    }

    /// Hands a purchase in flight back when its worker stops: the next one settles it at once.
    pub async fn job_release(&self, id: JobId, owner: &str) -> Result<(), StoreError> {
        self.row::<CountRow>(Statement::new(RELEASE).bind(id).bind(owner)).await.map(|_| ())
    }

    /// Every purchase, oldest first.
    pub async fn purchases(&self) -> Result<Vec<Purchase>, StoreError> {
        self.rows(Statement::new(
            "select id, call_id, stage, engine, state, cause, purchase_no, sends, result_ref,
                 jsonb_build_object('estimated', estimated_cost, 'billed', billed_cost) as cost
             from provider_jobs order by created_at, id",
        ))
        .await
    }
}

/// Why something is bought a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuyCause {
    /// Perhaps sent, and the engine cannot tell: allowed once, below the price limit.
    Ambiguous,
    /// The stored answer is gone.
    Repair,
}

impl RebuyCause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous",
            Self::Repair => "repair",
        }
    }
}
