//! What leaves storage, and when. Rows go first and leave a tombstone, so that no row ever points at a
//! missing object; the sweep deletes what the tombstones name.

use std::time::Duration;

use diesel::sql_types::{BigInt, Text};

use crate::db::{Bind, Statement, Store, StoreError};

/// Objects to delete: one object, or everything under a prefix that ends in `/`.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct Tombstone {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Text)]
    pub target: String,
}

/// Audio of calls that ended longer ago than the TTL, and of any call older than the hard limit. All of the
/// call's `temp/` goes: the recording, its prepared form, and the copy of its row.
const EXPIRE_AUDIO: &str = "with old as (
         select c.id, format('tenants/%s/users/%s/calls/%s/temp/', c.tenant_id, c.user_id, c.id) as prefix from call_records c
         where c.id in (
             select a.call_id from call_artifacts a join call_records r on r.id = a.call_id
             where (a.artifact_type in ('TEMP_AUDIO', 'PREPARED_AUDIO')) is true
               and (r.finished_at < now() - $1 * interval '1 second' or a.created_at < now() - $2 * interval '1 second')
             limit $3)
         for no key update skip locked
     ), gone as (
         delete from call_artifacts a using old where a.call_id = old.id and a.artifact_type in ('TEMP_AUDIO', 'PREPARED_AUDIO')
         returning a.call_id
     ), buried as (insert into storage_tombstones (target) select prefix from old)
     select prefix as target, 0::bigint as id from old";

impl Store {
    /// Lets the audio of finished calls go; gives the number of calls.
    pub async fn audio_expire(
        &self,
        ttl: Duration,
        hard_limit: Duration,
        batch: i32,
    ) -> Result<usize, StoreError> {
        let statement = Statement::new(EXPIRE_AUDIO).bind(ttl).bind(hard_limit).bind(batch);
        let rows: Vec<Tombstone> = self.rows(statement).await?;
        Ok(rows.len())
    }

    /// Tombstones whose time has come.
    pub async fn tombstones_due(&self, batch: i32) -> Result<Vec<Tombstone>, StoreError> {
        let sql = "select id, target from storage_tombstones where due_at <= now() order by due_at limit $1";
        self.rows(Statement::new(sql).bind(batch)).await
    }

    /// A prefix is swept once more after an hour (a worker may have been writing); an object is done.
    pub async fn tombstones_done(&self, ids: &[i64]) -> Result<(), StoreError> {
        let sql = "with done as (select t.* from storage_tombstones t where t.id::text = any($1)),
                 again as (insert into storage_tombstones (target, due_at, created_at)
                     select target, now() + interval '1 hour', created_at from done
                     where target like '%/' and created_at > now() - interval '1 hour')
             delete from storage_tombstones t using done where t.id = done.id";
        let ids = Bind::Texts(ids.iter().map(ToString::to_string).collect());
        self.execute(Statement::new(sql).bind(ids)).await.map(|_| ())
    }

    /// Idempotency keys and heartbeats nobody needs any more.
    pub async fn leftovers_expire(&self) -> Result<(), StoreError> {
        self.execute(Statement::new(
            "delete from idempotency_keys where created_at < now() - interval '25 hours'",
        ))
        .await?;
        self.execute(Statement::new(
            "delete from worker_heartbeats where beat_at < now() - interval '1 day'",
        ))
        .await?;
        // What a callback said is kept until it is used; that there was one, for a month.
        self.execute(Statement::new(
            "update callback_inbox i set body = null from provider_jobs j
             where i.body is not null and j.id = i.job_id and (j.state = 'succeeded' or i.received_at < now() - interval '7 days')",
        ))
        .await?;
        self.execute(Statement::new(
            "delete from callback_inbox where received_at < now() - interval '30 days'",
        ))
        .await?;
        Ok(())
    }
}
