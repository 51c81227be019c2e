//! What leaves storage, and when. Rows go first and leave a tombstone, so that no row ever points at a
//! missing object; the sweep deletes what the tombstones name. Each statement asks for holds itself: none deletes
//! while one is on, whoever runs it.

use std::time::Duration;

use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
use uuid::Uuid;

use crate::db::{Bind, Statement, Store, StoreError};

/// Objects to delete: one object, or everything under a prefix that ends in `/`.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct Tombstone {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Text)]
    pub target: String,
    /// The erasure that it is part of.
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    pub receipt_id: Option<Uuid>,
}

/// Rows that leave by age alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aged {
    Events,
    IdempotencyKeys,
    DeadLetters,
    /// What a callback said and has been used leaves at once; all else by age.
    Callbacks,
}

impl Aged {
    pub const ALL: [Self; 4] = [Self::Events, Self::IdempotencyKeys, Self::DeadLetters, Self::Callbacks];

    /// As metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::IdempotencyKeys => "idempotency_keys",
            Self::DeadLetters => "dead_letters",
            Self::Callbacks => "callbacks",
        }
    }

    /// One bounded statement each. A lock that somebody holds is passed over: the next sweep comes by.
    const fn sql(self) -> &'static str {
        match self {
            // By the rows' places: a join would read the whole log for a thousand of them.
            Self::Events => {
                "delete from call_processing_events e where e.ctid = any(array(
                     select o.ctid from call_processing_events o
                     where o.created_at < now() - $1 * interval '1 second' and not exists (select 1 from holds)
                     limit $2 for update skip locked))
                 returning true as gone"
            }
            // An open one belongs to a request on its way, or to a dead one that a new request takes over.
            Self::IdempotencyKeys => {
                "with old as (select k.user_id, k.route, k.key from idempotency_keys k
                     where k.created_at < now() - $1 * interval '1 second' and not exists (select 1 from holds)
                       and (k.state = 'DONE' or k.held_until < now() - interval '1 hour')
                     order by k.created_at limit $2 for update skip locked)
                 delete from idempotency_keys k using old where k.user_id = old.user_id and k.route = old.route and k.key = old.key
                 returning true as gone"
            }
            Self::DeadLetters => {
                "with old as (select d.id from dead_letters d
                     where d.died_at < now() - $1 * interval '1 second' and not exists (select 1 from holds)
                     order by d.id limit $2 for update skip locked)
                 delete from dead_letters d using old where d.id = old.id returning true as gone"
            }
            Self::Callbacks => {
                "with used as (update callback_inbox i set body = null from provider_jobs j
                     where i.body is not null and j.id = i.job_id and j.state = 'succeeded' and not exists (select 1 from holds)),
                 old as (select i.id from callback_inbox i
                     where i.received_at < now() - $1 * interval '1 second' and not exists (select 1 from holds)
                     order by i.received_at limit $2 for update skip locked)
                 delete from callback_inbox i using old where i.id = old.id returning true as gone"
            }
        }
    }
}

#[derive(diesel::QueryableByName)]
struct GoneRow {
    #[diesel(sql_type = Bool)]
    #[allow(dead_code)] // rows are counted
    gone: bool,
}

#[derive(diesel::QueryableByName)]
struct AnswersRow {
    #[diesel(sql_type = Integer)]
    seen: i32,
    #[diesel(sql_type = Integer)]
    gone: i32,
}

/// Audio of calls that ended longer ago than the TTL, and of any call older than the hard limit. All of the
/// call's `temp/` goes: the recording, its prepared form, and the copy of its row.
const EXPIRE_AUDIO: &str = "with old as (
         select c.id, format('tenants/%s/users/%s/calls/%s/temp/', c.tenant_id, c.user_id, c.id) as prefix from call_records c
         where c.id in (
             select a.call_id from call_artifacts a join call_records r on r.id = a.call_id
             where (a.artifact_type in ('TEMP_AUDIO', 'PREPARED_AUDIO')) is true and not exists (select 1 from holds)
               and (r.finished_at < now() - $1 * interval '1 second' or a.created_at < now() - $2 * interval '1 second')
             limit $3)
         for no key update skip locked
     ), gone as (
         delete from call_artifacts a using old where a.call_id = old.id and a.artifact_type in ('TEMP_AUDIO', 'PREPARED_AUDIO')
         returning a.call_id
     ), buried as (insert into storage_tombstones (target) select prefix from old)
     select prefix as target, 0::bigint as id, null::uuid as receipt_id from old";

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

    /// Tombstones whose time has come. Storage has to know of an erasure before anything is deleted.
    pub async fn tombstones_due(&self, batch: i32) -> Result<Vec<Tombstone>, StoreError> {
        let sql = "select id, target, receipt_id from storage_tombstones
             where due_at <= now() and not exists (select 1 from holds) and (recorded_at is not null or not is_erasure(target))
             order by due_at limit $1";
        self.rows(Statement::new(sql).bind(batch)).await
    }

    /// A prefix is swept once more after an hour (a worker may have been writing); an object is done.
    pub async fn tombstones_done(&self, ids: &[i64]) -> Result<(), StoreError> {
        let sql = "with done as (select t.* from storage_tombstones t where t.id::text = any($1)),
                 again as (insert into storage_tombstones (target, due_at, created_at, recorded_at)
                     select target, now() + interval '1 hour', created_at, recorded_at from done
                     where target like '%/' and created_at > now() - interval '1 hour')
             delete from storage_tombstones t using done where t.id = done.id";
        let ids = Bind::Texts(ids.iter().map(ToString::to_string).collect());
        self.execute(Statement::new(sql).bind(ids)).await.map(|_| ())
    }

    /// Counts objects that left for an erasure; the last of them completes its receipt. Comes before the tombstones are
    /// done with: cut short between the two, it counts none of them twice, because they are gone.
    pub async fn receipt_count(&self, receipt: Uuid, objects: usize, done: &[i64]) -> Result<(), StoreError> {
        let sql = "update erasure_receipts e set objects_deleted = objects_deleted + $2,
                 completed_at = case when not exists (select 1 from storage_tombstones t where t.receipt_id = e.id
                     and t.id::text <> all($3)) then now() end
             where e.id = $1";
        let objects = i64::try_from(objects).unwrap_or(i64::MAX);
        let done = Bind::Texts(done.iter().map(ToString::to_string).collect());
        self.execute(Statement::new(sql).bind(Bind::Uuid(Some(receipt))).bind(objects).bind(done))
            .await
            .map(|_| ())
    }

    /// Deletes a batch of what is older than `age`; gives how many.
    pub async fn expire(&self, what: Aged, age: Duration, batch: i32) -> Result<usize, StoreError> {
        let statement = Statement::new(what.sql()).bind(age).bind(batch);
        let rows: Vec<GoneRow> = self.rows(statement).await?;
        Ok(rows.len())
    }

    /// Raw answers of providers that were bought longer ago than `age` and are no call's artifact get a tombstone, and
    /// none serves another call any more. Gives how many purchases were looked at, and how many answers leave.
    pub async fn answers_expire(&self, age: Duration, batch: i32) -> Result<(usize, usize), StoreError> {
        let sql = "select coalesce(seen, 0) as seen, coalesce(gone, 0) as gone from answers_expire($1, $2)
             where not exists (select 1 from holds)";
        let row: Option<AnswersRow> = self.row(Statement::new(sql).bind(age).bind(batch)).await?;
        let count = |n: i32| usize::try_from(n).unwrap_or_default();
        Ok(row.map_or((0, 0), |r| (count(r.seen), count(r.gone))))
    }

    /// Heartbeats of processes that are long gone.
    pub async fn heartbeats_expire(&self) -> Result<(), StoreError> {
        let sql = "delete from worker_heartbeats where beat_at < now() - interval '1 day'";
        self.execute(Statement::new(sql)).await.map(|_| ())
    }
}
