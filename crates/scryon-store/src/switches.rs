//! What operators switch while programs run: pauses, throttles, log levels and feature flags. Rows with an end, so that
//! nobody has to remember to switch them back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Bool, Double, Jsonb, Nullable, Text};
use serde::Serialize;
use serde_json::Value;

use crate::db::{Bind, Statement, Store, StoreError};

/// One switch that holds now.
#[derive(Debug, Clone, PartialEq, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct Switch {
    /// `pause`, `throttle`, `log_level` or `flag`.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// What it is about: `stage:analysis`, a tenant, a flag's name.
    #[diesel(sql_type = Text)]
    pub target: String,
    /// throttle: uploads per minute; log_level: a directive; flag: `true` or `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub value: Option<String>,
    /// Absent: until it is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Double>)]
    pub seconds_left: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = Text)]
    pub actor: String,
}

const NOW: &str =
    "select kind, target, value, extract(epoch from until - now())::float8 as seconds_left, reason, actor
     from operator_switches where coalesce(until > now(), true)
     union all
     select 'flag', name, enabled::text, extract(epoch from until - now())::float8, reason, actor
     from feature_flags where coalesce(until > now(), true)
     order by 1, 2";

const SET: &str = "insert into operator_switches as s (kind, target, value, until, reason, actor)
     values ($1, $2, $3, now() + $4::float8 * interval '1 second', $5, $6)
     on conflict (kind, target) do update set value = excluded.value, until = excluded.until, reason = excluded.reason,
         actor = excluded.actor, created_at = now()";

const SET_FLAG: &str = "insert into feature_flags as f (name, enabled, until, reason, actor)
     values ($2, $3::boolean, now() + $4::float8 * interval '1 second', $5, $6)
     on conflict (name) do update set enabled = excluded.enabled, until = excluded.until, reason = excluded.reason,
         actor = excluded.actor, updated_at = now() where $1::text is not null";

/// What is wanted of a switch.
#[derive(Debug, Clone, Copy)]
pub struct SwitchOrder<'a> {
    /// As in [`Switch::kind`].
    pub kind: &'a str,
    pub target: &'a str,
    pub value: Option<&'a str>,
    /// For this long; without it until it is taken back.
    pub period: Option<Duration>,
    pub reason: &'a str,
    pub actor: &'a str,
}

/// The last slow sweep that somebody asked for.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct Sweep {
    /// Whether it is over.
    #[diesel(sql_type = Bool)]
    pub done: bool,
    /// What it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub result: Option<Value>,
    /// Whether a sweeper leads: without one nobody sweeps.
    #[diesel(sql_type = Bool)]
    pub led: bool,
}

const SWEEP: &str =
    "select coalesce(sweep_done >= sweep_wanted, sweep_wanted is null) as done, sweep_result as result,
     coalesce(lease_until > now(), false) as led from sweeper_lease where name = 'dispatcher'";

impl Store {
    /// Asks the leading sweeper for its slow sweeps now.
    pub async fn sweep_want(&self) -> Result<(), StoreError> {
        let sql = "update sweeper_lease set sweep_wanted = clock_timestamp() where name = 'dispatcher'";
        self.execute(Statement::new(sql)).await.map(|_| ())
    }

    /// How the sweep stands that was asked for.
    pub async fn sweep_state(&self) -> Result<Sweep, StoreError> {
        let row: Option<Sweep> = self.row(Statement::new(SWEEP)).await?;
        row.ok_or_else(|| StoreError::row("the row of the dispatcher's leadership is gone"))
    }

    /// A slow sweep is over that began after everything that was asked for by then.
    pub async fn sweep_end(&self, began: DateTime<Utc>, result: Value) -> Result<(), StoreError> {
        let sql = "update sweeper_lease set sweep_done = $1, sweep_result = $2 where name = 'dispatcher'";
        self.execute(Statement::new(sql).bind(Bind::Time(Some(began))).bind(result)).await.map(|_| ())
    }

    /// Every switch that holds now.
    pub async fn switches(&self) -> Result<Vec<Switch>, StoreError> {
        self.rows(Statement::new(NOW)).await
    }

    /// Sets a switch, or gives one that is set another value and end. The log of changes has it from a trigger.
    pub async fn switch_set(&self, order: SwitchOrder<'_>) -> Result<(), StoreError> {
        let sql = if order.kind == "flag" { SET_FLAG } else { SET };
        let statement = Statement::new(sql)
            .bind(order.kind)
            .bind(order.target)
            .bind(order.value)
            .bind(order.period.map(|p| p.as_secs_f64()))
            .bind(order.reason)
            .bind(order.actor);
        self.execute(statement).await.map(|_| ())
    }

    /// Takes a switch back. False: it was not set.
    pub async fn switch_clear(&self, kind: &str, target: &str) -> Result<bool, StoreError> {
        let statement = if kind == "flag" {
            Statement::new("delete from feature_flags where name = $1").bind(target)
        } else {
            Statement::new("delete from operator_switches where kind = $1 and target = $2")
                .bind(kind)
                .bind(target)
        };
        Ok(self.execute(statement).await? > 0)
    }
}
