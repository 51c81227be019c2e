//! Beats and leases. All leases of a worker are renewed by one statement; only the database's clock counts.

use std::collections::HashSet;
use std::time::Duration;

use diesel::sql_types::Bool;
use scryon_domain::ids::{CallId, JobId, LeaseToken};
use scryon_domain::stage::StageKind;
use serde_json::Value;
use tracing::debug;
use uuid::Uuid;

use crate::claim::LEASE;
use crate::db::{Bind, Statement, Store, StoreError};

/// How long a connection for a beat, and then the answer, is awaited at first. Others believe a process dead after
/// three seconds of silence: a connection that hangs must leave time for the next.
pub const BEAT_PATIENCE: Duration = Duration::from_secs(1);

/// A lease as the heartbeat names it.
#[derive(Debug, Clone, Copy)]
pub struct HeldLease {
    pub call_id: CallId,
    pub run_no: i32,
    pub stage: StageKind,
    pub token: LeaseToken,
}

/// Rows that somebody has locked (an operator's bulk DELETE, a Finish) are skipped, not waited for: a
/// statement over many calls that waits can close a circle. They are renewed by the next beat, long before
/// the lease ends; whether a lease still stands is read from the snapshot instead.
const RENEW: &str = "with mine as materialized (
         select * from unnest($1::uuid[], $2::int[], $3::text[], $4::uuid[]) as m(call_id, run_no, stage, token)
     ), standing as materialized (
         select m.call_id, m.run_no, m.stage, m.token from mine m
         join call_stages s on s.call_id = m.call_id and s.run_no = m.run_no and s.stage = m.stage
         join call_records c on c.id = s.call_id and c.run_no = s.run_no
         where s.lease_token = m.token and s.state = 'RUNNING' and c.status in ('TRANSCRIBING', 'ANALYZING')
     ), free as materialized (
         select s.call_id, s.run_no, s.stage from call_stages s join standing m
             on s.call_id = m.call_id and s.run_no = m.run_no and s.stage = m.stage and s.lease_token = m.token
         where s.state = 'RUNNING' for no key update of s skip locked
     ), renewed as (
         update call_stages s set lease_until = now() + $5 * interval '1 second' from free f
         where s.call_id = f.call_id and s.run_no = f.run_no and s.stage = f.stage
     ), jobs as (
         update provider_jobs j set lease_until = now() + $5 * interval '1 second'
         where j.id in (select o.id from provider_jobs o where o.id = any($6) and o.lease_owner = $7
                        and o.state in ('intent', 'sending') for no key update skip locked)
     )
     select token, set_config('synchronous_commit', 'off', true) is not null as standing from standing";

/// Operators read updated_at: it moves at least every 5 minutes while a lease is renewed.
const TOUCH: &str = "update call_records r set updated_at = now() from (
         select id from call_records where id = any($1) and status in ('TRANSCRIBING', 'ANALYZING')
           and updated_at < now() - interval '4 minutes' for no key update skip locked) o
     where r.id = o.id";

const BEAT: &str = "with beat as (
         insert into worker_heartbeats (owner, program, version, held, stages) values ($1, $2, $3, $4, $5)
         on conflict (owner) do update set beat_at = now(), held = excluded.held,
             stages = case when excluded.stages = '{}' then worker_heartbeats.stages else excluded.stages end
     ) select set_config('synchronous_commit', 'off', true)";

#[derive(diesel::QueryableByName)]
struct StandingRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    token: Uuid,
    #[diesel(sql_type = Bool)]
    #[allow(dead_code)] // forces the evaluation of set_config
    standing: bool,
}

#[derive(diesel::QueryableByName)]
struct StagesRow {
    #[diesel(sql_type = diesel::sql_types::Array<diesel::sql_types::Text>)]
    stages: Vec<String>,
}

impl Store {
    /// Renews leases and the purchases in flight under them; gives the tokens that still stand. A token
    /// that is missing was taken over, or its call was reset, cancelled or deleted.
    pub async fn leases_renew(
        &self,
        owner: &str,
        leases: &[HeldLease],
        jobs: &[JobId],
    ) -> Result<HashSet<LeaseToken>, StoreError> {
        let statement = Statement::new(RENEW)
            .bind(Bind::Uuids(leases.iter().map(|l| l.call_id.0).collect()))
            .bind(Bind::Ints(leases.iter().map(|l| l.run_no).collect()))
            .bind(Bind::Texts(leases.iter().map(|l| l.stage.as_str().to_owned()).collect()))
            .bind(Bind::Uuids(leases.iter().map(|l| l.token.0).collect()))
            .bind(LEASE)
            .bind(Bind::Uuids(jobs.iter().map(|j| j.0).collect()))
            .bind(owner);
        let rows: Vec<StandingRow> = self.rows(statement).await?;
        let calls = Bind::Uuids(leases.iter().map(|l| l.call_id.0).collect());
        self.execute(Statement::new(TOUCH).bind(calls)).await?;
        Ok(rows.into_iter().map(|r| LeaseToken(r.token)).collect())
    }

    /// One beat of a process; `held` counts deliveries received but not yet claimed, by `stage.lane`.
    pub async fn beat(
        &self,
        owner: &str,
        (program, version): (&str, &str),
        stages: &[StageKind],
        held: Value,
        patience: Duration,
    ) -> Result<(), StoreError> {
        let stages = Bind::Texts(stages.iter().map(|s| s.as_str().to_owned()).collect());
        let statement = Statement::new(BEAT).bind(owner).bind(program).bind(version).bind(held).bind(stages);
        self.on_its_own(statement, patience).await
    }

    /// What each process that lives works on.
    pub async fn stages_of_processes(&self) -> Result<Vec<Vec<String>>, StoreError> {
        let sql = "select stages from worker_heartbeats where beat_at > now() - interval '10 seconds'";
        let rows: Vec<StagesRow> = self.rows(Statement::new(sql)).await?;
        Ok(rows.into_iter().map(|row| row.stages).collect())
    }

    /// Takes a stopped process off the list, so that its redelivered work is claimed at once.
    pub async fn beat_stop(&self, owner: &str) -> Result<(), StoreError> {
        let statement = Statement::new("delete from worker_heartbeats where owner = $1").bind(owner);
        self.on_its_own(statement, BEAT_PATIENCE).await
    }

    /// Over the beats' own connection. Where that cannot be had, those of the pool may stand; others wait for them, so
    /// that they are not given up as soon.
    async fn on_its_own(&self, statement: Statement, patience: Duration) -> Result<(), StoreError> {
        let beats = self.beats.within(patience);
        let told = match beats.get().await {
            Ok(conn) => beats.effect_on(conn, statement).await,
            Err(error) => {
                debug!(error = %error, "no connection for heartbeats; taking one of the pool");
                self.connections.within(patience * 2).effect(statement).await
            }
        };
        told.map(|_| ())
    }
}
