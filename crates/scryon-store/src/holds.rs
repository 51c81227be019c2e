//! Holds: while one is on, nothing is deleted, whichever sweep it is.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Integer, Text, Timestamptz};
use serde::Serialize;

use crate::db::{Statement, Store, StoreError};

/// Why nothing may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldKind {
    /// An operator's word.
    Legal,
    /// The database came back from a backup, and nobody has looked at it yet.
    Restore,
}

impl HoldKind {
    pub const ALL: [Self; 2] = [Self::Legal, Self::Restore];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Legal => "legal",
            Self::Restore => "restore",
        }
    }
}

/// A hold that is on.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
pub struct Hold {
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Timestamptz)]
    pub since: DateTime<Utc>,
}

#[derive(diesel::QueryableByName)]
struct CountRow {
    #[diesel(sql_type = Integer)]
    #[allow(dead_code)] // its presence is the answer
    n: i32,
}

const SET: &str = "with held as (
         insert into holds (kind, reason) values ($1, $2) on conflict (kind) do update set reason = excluded.reason returning since),
     noted as (insert into change_log (kind, program, details)
         select 'hold', 'scryon', jsonb_build_object('hold', $1::text, 'on', true, 'reason', $2::text, 'since', since) from held)
     select 1 as n from held";

const LIFT: &str = "with lifted as (delete from holds where kind = $1 returning reason, since),
     noted as (insert into change_log (kind, program, details)
         select 'hold', 'scryon', jsonb_build_object('hold', $1::text, 'on', false, 'reason', $2::text, 'since', since,
             'reasonBefore', lifted.reason) from lifted)
     select 1 as n from lifted";

impl Store {
    /// The holds that are on.
    pub async fn holds(&self) -> Result<Vec<Hold>, StoreError> {
        self.rows(Statement::new("select kind, reason, since from holds order by kind")).await
    }

    /// From here on nothing is deleted. A hold that is on already gets the new reason.
    pub async fn hold_set(&self, kind: HoldKind, reason: &str) -> Result<(), StoreError> {
        let statement = Statement::new(SET).bind(kind.as_str()).bind(reason);
        self.row::<CountRow>(statement).await.map(|_| ())
    }

    /// What waited is deleted by the next sweeps, unless another hold is on. False: it was not on.
    pub async fn hold_lift(&self, kind: HoldKind, reason: &str) -> Result<bool, StoreError> {
        let statement = Statement::new(LIFT).bind(kind.as_str()).bind(reason);
        Ok(self.row::<CountRow>(statement).await?.is_some())
    }
}
