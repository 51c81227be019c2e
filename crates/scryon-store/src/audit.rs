//! What was done to the installation, by whom, and what an incident touched.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Double, Jsonb, Nullable, Text, Timestamptz};
use serde::Serialize;
use serde_json::Value;

use crate::db::{Bind, Statement, Store, StoreError};

/// A line of the audit log to be.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// `key:<label>` or `direct:<login>`.
    pub actor: String,
    pub action: String,
    pub target: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: Option<String>,
    pub request_id: Option<String>,
}

/// A line of the audit log.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct AuditRow {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub actor: String,
    #[diesel(sql_type = Text)]
    pub action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub after: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
}

/// A change of how the installation behaves: a start, a migration, a switch, a flag, a key.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub program: Option<String>,
    #[diesel(sql_type = Jsonb)]
    pub details: Value,
}

/// What calls of one tenant and status a period had.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    #[diesel(sql_type = Text)]
    pub tenant_id: String,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub error_reason: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub calls: i64,
    #[diesel(sql_type = Double)]
    pub audio_minutes: f64,
    /// US dollars billed for them so far.
    #[diesel(sql_type = Double)]
    pub billed: f64,
}

#[derive(diesel::QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(diesel::QueryableByName)]
struct DetailsRow {
    #[diesel(sql_type = Jsonb)]
    details: Value,
}

const AUDIT: &str = "insert into admin_audit_log (actor, action, target, before, after, reason, request_id)
     values ($1, $2, $3, $4, $5, $6, $7)";

const IMPACT: &str = "with touched as (
         select id, tenant_id, status::text as status, error_reason, duration_seconds from call_records
         where tenant_id <> 'canary' and (created_at between $1 and $2 or finished_at between $1 and $2
            or (finished_at is null and created_at < $2))),
     paid as (
         select j.call_id, sum(j.billed_cost) as cost from provider_jobs j
         where j.call_id in (select id from touched) and j.state = 'succeeded' group by j.call_id)
     select t.tenant_id, t.status, t.error_reason, count(*) as calls,
         coalesce(sum(t.duration_seconds), 0)::float8 / 60 as audio_minutes, coalesce(sum(p.cost), 0)::float8 as billed
     from touched t left join paid p on p.call_id = t.id
     group by t.tenant_id, t.status, t.error_reason order by t.tenant_id, t.status, t.error_reason";

impl Store {
    /// Writes a line of the audit log.
    pub async fn audit(&self, line: &Audit) -> Result<(), StoreError> {
        let statement = Statement::new(AUDIT)
            .bind(line.actor.as_str())
            .bind(line.action.as_str())
            .bind(line.target.as_deref())
            .bind(Bind::Json(line.before.clone()))
            .bind(Bind::Json(line.after.clone()))
            .bind(line.reason.as_deref())
            .bind(line.request_id.as_deref());
        self.execute(statement).await.map(|_| ())
    }

    /// A page of the audit log, the newest first, and how many lines there are.
    pub async fn audit_log(&self, size: i64, offset: i64) -> Result<(Vec<AuditRow>, i64), StoreError> {
        let sql = "select id, at, actor, action, target, before, after, reason from admin_audit_log
                   order by id desc limit $1 offset $2";
        let rows = self.rows(Statement::new(sql).bind(size).bind(offset)).await?;
        let count: Option<CountRow> =
            self.row(Statement::new("select count(*) as n from admin_audit_log")).await?;
        Ok((rows, count.map_or(0, |c| c.n)))
    }

    /// Notes a change.
    pub async fn change_note(&self, kind: &str, program: &str, details: Value) -> Result<(), StoreError> {
        let sql = "insert into change_log (kind, program, details) values ($1, $2, $3)";
        self.execute(Statement::new(sql).bind(kind).bind(program).bind(details)).await.map(|_| ())
    }

    /// The details of the latest change of this kind that this program noted.
    pub async fn change_latest(&self, kind: &str, program: &str) -> Result<Option<Value>, StoreError> {
        let sql = "select details from change_log where kind = $1 and program = $2 order by id desc limit 1";
        let row: Option<DetailsRow> = self.row(Statement::new(sql).bind(kind).bind(program)).await?;
        Ok(row.map(|r| r.details))
    }

    /// What changed since then, oldest first.
    pub async fn changes(&self, since: DateTime<Utc>) -> Result<Vec<Change>, StoreError> {
        let sql = "select at, kind, program, details - 'settings' as details from change_log where at >= $1 order by id limit 10000";
        self.rows(Statement::new(sql).bind(Bind::Time(Some(since)))).await
    }

    /// Calls that were created, ended or under way in the period, by tenant and status.
    pub async fn impact(
        &self,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<Impact>, StoreError> {
        let statement = Statement::new(IMPACT).bind(Bind::Time(Some(since))).bind(Bind::Time(Some(until)));
        self.rows(statement).await
    }
}
