//! Messages nobody could use, kept where people can see them.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::db::{Bind, Statement, Store, StoreError};

/// A letter as the broker handed it over.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Unique per message, so that a letter delivered twice is kept once.
    pub message_id: String,
    pub queue: Option<String>,
    pub reason: Option<String>,
    pub call_id: Option<Uuid>,
    pub body: Vec<u8>,
    pub headers: Value,
}

/// A kept letter as operators see it. Its body may be anything and is not shown.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterRow {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    pub call_id: Option<Uuid>,
    /// The call's status now; absent where there is no such call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub call_status: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub died_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub redriven_at: Option<DateTime<Utc>>,
}

/// A letter is only a hint: what it was about is in its call's rows, and these are announced anew. Lock order: the call,
/// then its stages.
const REDRIVE: &str = "with letters as (
         update dead_letters set redriven_at = now() where id = any($1) returning call_id),
     calls as (
         select id, run_no, status from call_records where id in (select call_id from letters)
         order by id for no key update),
     starts as (
         update call_records r set publish_due = now(), publish_n = 0 from calls c
         where r.id = c.id and c.status = 'QUEUED' and r.publish_due is not null returning 1),
     stages as (
         update call_stages s set publish_due = now(), publish_n = 0 from calls c
         where s.call_id = c.id and s.run_no = c.run_no and s.state = 'PENDING' and c.status in ('TRANSCRIBING', 'ANALYZING')
         returning 1)
     select (select count(*) from starts) + (select count(*) from stages) + 0 * (select count(*) from letters) as n";

#[derive(diesel::QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

impl Store {
    /// Kept letters, the newest first.
    pub async fn dead_letters(&self, most: i64) -> Result<Vec<DeadLetterRow>, StoreError> {
        let sql = "select d.id, d.queue, d.reason, d.call_id, c.status::text as call_status, d.died_at, d.redriven_at
                   from dead_letters d left join call_records c on c.id = d.call_id order by d.id desc limit $1";
        self.rows(Statement::new(sql).bind(most)).await
    }

    /// Announces anew what letters were about; gives how many rows are announced in the next tick.
    pub async fn dead_letters_redrive(&self, ids: &[i64]) -> Result<i64, StoreError> {
        let row: Option<CountRow> =
            self.row(Statement::new(REDRIVE).bind(Bind::BigInts(ids.to_vec()))).await?;
        Ok(row.map_or(0, |r| r.n))
    }

    /// Keeps a letter; keeping it again changes nothing.
    pub async fn dead_letter_insert(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        let sql = "insert into dead_letters (message_id, queue, reason, call_id, body, headers)
                   values ($1, $2, $3, $4, $5, $6) on conflict (message_id) do nothing";
        let statement = Statement::new(sql)
            .bind(letter.message_id.as_str())
            .bind(letter.queue.as_deref())
            .bind(letter.reason.as_deref())
            .bind(Bind::Uuid(letter.call_id))
            .bind(letter.body.clone())
            .bind(letter.headers.clone());
        self.execute(statement).await.map(|_| ())
    }
}
