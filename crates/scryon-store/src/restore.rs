//! What a restore needs to know and to do: erasures and users that storage has to know of, the epoch, backups, calls that
//! only storage knows.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Double, Integer, Jsonb, Nullable, Text, Timestamptz};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::db::{Bind, Statement, Store, StoreError};

/// An erasure that storage does not know of yet.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct Unrecorded {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Text)]
    pub target: String,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

/// A user whom storage does not know yet.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct UnstoredUser {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub tenant_id: String,
    #[diesel(sql_type = Text)]
    pub external_user_id: String,
}

/// What dashboards show of holds, backups, restores and probes.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct SafetyFigures {
    #[diesel(sql_type = diesel::sql_types::Array<Text>)]
    pub holds: Vec<String>,
    #[diesel(sql_type = BigInt)]
    pub unrecorded: i64,
    #[diesel(sql_type = Integer)]
    pub epoch: i32,
    #[diesel(sql_type = Nullable<Double>)]
    pub backup_age: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub rpo: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub rto: Option<f64>,
    /// Unix seconds of the last probe that passed, and how long that took.
    #[diesel(sql_type = Nullable<Double>)]
    pub probe_passed: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub probe_seconds: Option<f64>,
}

const FIGURES: &str = "select array(select kind from holds) as holds,
         (select count(*) from storage_tombstones where recorded_at is null and is_erasure(target)) as unrecorded,
         (select epoch from restore_epoch) as epoch,
         (select extract(epoch from now() - max(snapshot_at))::float8 from backups) as backup_age,
         (select rpo_seconds from restores order by epoch desc limit 1) as rpo,
         (select rto_seconds from restores order by epoch desc limit 1) as rto,
         (select extract(epoch from at)::float8 from probes where failed_step is null order by at desc limit 1) as probe_passed,
         (select seconds from probes where failed_step is null order by at desc limit 1) as probe_seconds";

/// What a backup is called, and what it is of.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseFacts {
    /// The schema that this installation lives in.
    #[diesel(sql_type = Text)]
    pub schema: String,
    #[diesel(sql_type = Timestamptz)]
    pub now: DateTime<Utc>,
    #[diesel(sql_type = Integer)]
    pub epoch: i32,
    #[diesel(sql_type = BigInt)]
    pub calls: i64,
    #[diesel(sql_type = Text)]
    pub migration: String,
    /// The newest time that any of its rows carries.
    #[diesel(sql_type = Timestamptz)]
    pub last_sign: DateTime<Utc>,
}

/// A database that is to be restored into.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct TargetFacts {
    #[diesel(sql_type = Nullable<Text>)]
    pub schema: Option<String>,
    /// Tables in it, and whether they are ours.
    #[diesel(sql_type = BigInt)]
    pub tables: i64,
    #[diesel(sql_type = diesel::sql_types::Bool)]
    pub ours: bool,
}

/// How a restore went.
#[derive(Debug, Clone, Default)]
pub struct RestoreEnd {
    pub last_sign_at: Option<DateTime<Utc>>,
    pub rto: Duration,
    pub counts: Value,
}

#[derive(diesel::QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(diesel::QueryableByName)]
struct IdRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
}

#[derive(diesel::QueryableByName)]
struct RpoRow {
    #[diesel(sql_type = Nullable<Double>)]
    rpo: Option<f64>,
}

#[derive(diesel::QueryableByName)]
struct CountsRow {
    #[diesel(sql_type = Jsonb)]
    counts: Value,
}

impl Store {
    /// Erasures that storage has to be told, oldest first.
    pub async fn erasures_unrecorded(&self, batch: i32) -> Result<Vec<Unrecorded>, StoreError> {
        let sql = "select id, target, created_at from storage_tombstones where recorded_at is null and is_erasure(target)
             order by id limit $1";
        self.rows(Statement::new(sql).bind(batch)).await
    }

    /// Storage knows of these.
    pub async fn erasures_recorded(&self, ids: &[i64]) -> Result<(), StoreError> {
        let sql = "update storage_tombstones set recorded_at = now() where id = any($1::text[]::bigint[])";
        let ids = Bind::Texts(ids.iter().map(ToString::to_string).collect());
        self.execute(Statement::new(sql).bind(ids)).await.map(|_| ())
    }

    /// Users that storage has to be told.
    pub async fn users_unstored(&self, batch: i32) -> Result<Vec<UnstoredUser>, StoreError> {
        let sql = "select id, tenant_id, external_user_id from users where stored_at is null order by created_at limit $1";
        self.rows(Statement::new(sql).bind(batch)).await
    }

    /// Storage knows these users.
    pub async fn users_stored(&self, ids: Vec<Uuid>) -> Result<(), StoreError> {
        let sql = "update users set stored_at = now() where id = any($1)";
        self.execute(Statement::new(sql).bind(Bind::Uuids(ids))).await.map(|_| ())
    }

    /// Holds, epoch, backups and the last restore, as metrics show them.
    pub async fn safety_figures(&self) -> Result<Option<SafetyFigures>, StoreError> {
        self.row(Statement::new(FIGURES)).await
    }

    /// Which life of this installation the database is of.
    pub async fn epoch(&self) -> Result<i32, StoreError> {
        let row: Option<NumberRow> =
            self.row(Statement::new("select epoch::bigint as n from restore_epoch")).await?;
        Ok(row.and_then(|r| i32::try_from(r.n).ok()).unwrap_or_default())
    }

    /// What a backup begun now is of.
    pub async fn database_facts(&self) -> Result<DatabaseFacts, StoreError> {
        let sql = "select current_schema()::text as schema, now() as now, (select epoch from restore_epoch) as epoch,
                 (select count(*) from call_records) as calls,
                 (select max(version)::text from __diesel_schema_migrations) as migration,
                 greatest((select max(updated_at) from call_records), (select max(beat_at) from worker_heartbeats),
                     (select max(at) from change_log), (select min(created_at) from tenants)) as last_sign";
        let row: Option<DatabaseFacts> = self.row(Statement::new(sql)).await?;
        row.ok_or_else(|| StoreError::row("no facts about the database"))
    }

    /// Keeps that there is a backup.
    pub async fn backup_made(
        &self,
        name: &str,
        snapshot_at: DateTime<Utc>,
        bytes: i64,
        took: Duration,
    ) -> Result<(), StoreError> {
        let sql = "with made as (insert into backups (name, snapshot_at, bytes, seconds) values ($1, $2, $3, $4)
                 on conflict (name) do nothing)
             insert into change_log (kind, program, details) values ('backup', 'scryon',
                 jsonb_build_object('name', $1::text, 'snapshotAt', $2::timestamptz, 'bytes', $3::bigint, 'seconds', $4::float8))";
        let statement = Statement::new(sql).bind(name).bind(snapshot_at).bind(bytes).bind(took);
        self.execute(statement).await.map(|_| ())
    }

    /// What is there where a restore is to go.
    pub async fn target_facts(&self) -> Result<TargetFacts, StoreError> {
        let sql = "select current_schema()::text as schema,
                 (select count(*) from pg_class c where c.relnamespace = to_regnamespace(current_schema()::text)
                    and c.relkind in ('r', 'p', 'v', 'm')) as tables,
                 to_regclass('__diesel_schema_migrations') is not null and to_regclass('call_records') is not null as ours";
        let row: Option<TargetFacts> = self.row(Statement::new(sql)).await?;
        row.ok_or_else(|| StoreError::row("no facts about the database"))
    }

    /// Calls in the database.
    pub async fn calls_count(&self) -> Result<i64, StoreError> {
        let row: Option<NumberRow> =
            self.row(Statement::new("select count(*) as n from call_records")).await?;
        Ok(row.map_or(0, |r| r.n))
    }

    /// Empties the schema that a restore goes to, or makes it. The name comes from a backup, and is quoted.
    pub async fn schema_empty(&self, schema: &str) -> Result<(), StoreError> {
        let name = format!("\"{}\"", schema.replace('"', "\"\""));
        for sql in [format!("drop schema if exists {name} cascade"), format!("create schema {name}")] {
            self.execute(Statement::of_text(sql.into())).await?;
        }
        Ok(())
    }

    /// Has Postgres look at what its tables hold now.
    pub async fn tables_analyze(&self) -> Result<(), StoreError> {
        self.execute(Statement::new("analyze")).await.map(|_| ())
    }

    /// Begins a new life on restored rows; `seen` is the newest one that storage knows.
    pub async fn restore_begin(
        &self,
        backup: &str,
        snapshot_at: DateTime<Utc>,
        seen: i32,
    ) -> Result<i32, StoreError> {
        let sql = "select restore_begin($1, $2, $3)::bigint as n";
        let statement = Statement::new(sql).bind(backup).bind(snapshot_at).bind(seen);
        let row: Option<NumberRow> = self.row(statement).await?;
        row.and_then(|r| i32::try_from(r.n).ok()).ok_or_else(|| StoreError::row("no epoch"))
    }

    /// Deletes calls that were erased after the backup; gives how many were there.
    pub async fn calls_erase_again(&self, ids: Vec<Uuid>) -> Result<usize, StoreError> {
        let sql = "delete from call_records where id = any($1) returning id";
        let gone: Vec<IdRow> = self.rows(Statement::new(sql).bind(Bind::Uuids(ids))).await?;
        Ok(gone.len())
    }

    /// Deletes a user, or a tenant, who was erased after the backup, with all that belongs to them.
    pub async fn user_erase_again(&self, id: Uuid) -> Result<bool, StoreError> {
        let sql = "delete from users where id = $1 returning id";
        Ok(self.row::<IdRow>(Statement::new(sql).bind(id)).await?.is_some())
    }

    /// The same for a tenant; the default one stays, without its users.
    pub async fn tenant_erase_again(&self, id: &str) -> Result<bool, StoreError> {
        let sql = "with users_gone as (delete from users where tenant_id = $1 returning id),
                 tenant_gone as (delete from tenants where id = $1 and id <> 'default' returning id)
             select (select count(*) from users_gone) + (select count(*) from tenant_gone) as n";
        let row: Option<NumberRow> = self.row(Statement::new(sql).bind(id)).await?;
        Ok(row.is_some_and(|r| r.n > 0))
    }

    /// Which of these calls have a row.
    pub async fn calls_known(&self, ids: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        let sql = "select id from call_records where id = any($1)";
        let rows: Vec<IdRow> = self.rows(Statement::new(sql).bind(Bind::Uuids(ids))).await?;
        Ok(rows.into_iter().map(|r| r.id).collect())
    }

    /// Writes the rows of calls that only storage knows: an array of `stored_call`.
    pub async fn calls_restore(&self, calls: Value) -> Result<usize, StoreError> {
        let sql = "select calls_restore($1)::bigint as n";
        let row: Option<NumberRow> = self.row(Statement::new(sql).bind(calls)).await?;
        Ok(row.and_then(|r| usize::try_from(r.n).ok()).unwrap_or_default())
    }

    /// Objects of calls that were erased before, and are still there, leave with the storage sweep.
    pub async fn prefixes_bury(&self, prefixes: Vec<String>) -> Result<usize, StoreError> {
        let sql = "insert into storage_tombstones (target) select p from unnest($1::text[]) p
             where not exists (select 1 from storage_tombstones t where t.target = p)";
        self.execute(Statement::new(sql).bind(Bind::Texts(prefixes))).await
    }

    /// Keeps how a restore went; gives the seconds of history that only the database had.
    pub async fn restore_end(&self, epoch: i32, end: RestoreEnd) -> Result<f64, StoreError> {
        let sql = "update restores set finished_at = now(), last_sign_at = $2, rto_seconds = $3, counts = $4,
                 rpo_seconds = greatest(0, extract(epoch from coalesce($2, snapshot_at) - snapshot_at))::float8
             where epoch = $1 returning rpo_seconds as rpo";
        let statement =
            Statement::new(sql).bind(epoch).bind(Bind::Time(end.last_sign_at)).bind(end.rto).bind(end.counts);
        let row: Option<RpoRow> = self.row(statement).await?;
        Ok(row.and_then(|r| r.rpo).unwrap_or_default())
    }

    /// Rows by table, for a look at what came back.
    pub async fn rows_by_table(&self) -> Result<Value, StoreError> {
        let sql = "select jsonb_build_object('calls', (select count(*) from call_records), 'artifacts', (select count(*) from call_artifacts),
                 'users', (select count(*) from users), 'purchases', (select count(*) from provider_jobs),
                 'unfinished', (select count(*) from call_records where status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING'))) as counts";
        let row: Option<CountsRow> = self.row(Statement::new(sql)).await?;
        Ok(row.map(|r| r.counts).unwrap_or_default())
    }
}
