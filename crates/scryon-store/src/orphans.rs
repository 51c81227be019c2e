//! Objects that no call explains. They are looked at twice, by passes that lie apart, and asked about once
//! more in the statement that lets them go.

use diesel::sql_types::BigInt;
use uuid::Uuid;

use crate::db::{Bind, Statement, Store, StoreError};

#[derive(diesel::QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// A call is explained by its row, or by an upload under an idempotency key that is still open; what has a
/// tombstone is on its way out already.
const NOTE: &str = "with seen as (select * from unnest($1::uuid[], $2::text[]) s (call_id, prefix)),
     noted as (
         insert into storage_orphans as o (call_id, prefix, pass)
         select s.call_id, s.prefix, $3 from seen s
         where not exists (select 1 from call_records c where c.id = s.call_id)
           and not exists (select 1 from idempotency_keys k where k.call_id = s.call_id and k.state = 'OPEN')
           and not exists (select 1 from storage_tombstones t where t.target = s.prefix)
         on conflict (call_id) do update set looks = o.looks + (o.pass <> excluded.pass)::int, pass = excluded.pass
         returning 1)
     select count(*) as n from noted";

const BURY: &str = "with forgotten as (delete from storage_orphans where pass <> $1),
     due as (
         delete from storage_orphans o where o.pass = $1 and o.looks > 1 and not exists (select 1 from holds)
         returning o.call_id, o.prefix),
     buried as (
         insert into storage_tombstones (target) select d.prefix from due d
         where not exists (select 1 from call_records c where c.id = d.call_id)
         returning 1)
     select count(*) as n from buried";

impl Store {
    /// Notes which of these calls, each with the prefix of its objects, no row explains; gives their number.
    /// `pass` is the number of this look at storage.
    pub async fn orphans_note(&self, seen: &[(Uuid, String)], pass: i64) -> Result<usize, StoreError> {
        let statement = Statement::new(NOTE)
            .bind(Bind::Uuids(seen.iter().map(|(id, _)| *id).collect()))
            .bind(Bind::Texts(seen.iter().map(|(_, prefix)| prefix.clone()).collect()))
            .bind(pass);
        self.count(statement).await
    }

    /// Leaves a tombstone for what this pass and an earlier one found unexplained; gives the number of calls.
    pub async fn orphans_bury(&self, pass: i64) -> Result<usize, StoreError> {
        self.count(Statement::new(BURY).bind(pass)).await
    }

    async fn count(&self, statement: Statement) -> Result<usize, StoreError> {
        let row: Option<CountRow> = self.row(statement).await?;
        Ok(row.and_then(|r| usize::try_from(r.n).ok()).unwrap_or_default())
    }
}
