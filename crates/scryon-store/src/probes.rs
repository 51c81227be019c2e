//! Probes: how recordings of our own fared; and the callbacks that providers still owe.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz};
use serde::Serialize;
use serde_json::Value;

use crate::db::{Statement, Store, StoreError};

/// Jobs of one provider whose callback has not come yet.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct AwaitedCallbacks {
    #[diesel(sql_type = Text)]
    pub engine: String,
    #[diesel(sql_type = BigInt)]
    pub jobs: i64,
    /// When the oldest and the newest of them were submitted.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub oldest: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub newest: Option<DateTime<Utc>>,
}

/// A program's last start.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct LastStart {
    #[diesel(sql_type = Text)]
    pub program: String,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    /// Name to value; secrets by the beginnings of their hashes.
    #[diesel(sql_type = Jsonb)]
    pub settings: Value,
}

/// Results that are older than this leave with the next one.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

const NOTE: &str = "with old as (delete from probes where at < now() - $4 * interval '1 second')
     insert into probes (seconds, failed_step, steps) values ($1, $2, $3)";

const AWAITED: &str = "select engine, count(*) as jobs, min(sent_at) as oldest, max(sent_at) as newest
     from provider_jobs where live and state = 'submitted' group by engine order by engine";

const STARTS: &str =
    "select distinct on (program) program, at, coalesce(details->'settings', '{}') as settings
     from change_log where kind = 'start' and program is not null order by program, id desc";

impl Store {
    /// Keeps how a probe ended.
    pub async fn probe_note(
        &self,
        took: Duration,
        failed_step: Option<&str>,
        steps: Value,
    ) -> Result<(), StoreError> {
        let statement =
            Statement::new(NOTE).bind(took.as_secs_f64()).bind(failed_step).bind(steps).bind(KEPT);
        self.execute(statement).await.map(|_| ())
    }

    /// Jobs that a provider works on and will call back for.
    pub async fn callbacks_awaited(&self) -> Result<Vec<AwaitedCallbacks>, StoreError> {
        self.rows(Statement::new(AWAITED)).await
    }

    /// Every program's last start and the settings that it was given.
    pub async fn starts_latest(&self) -> Result<Vec<LastStart>, StoreError> {
        self.rows(Statement::new(STARTS)).await
    }
}
