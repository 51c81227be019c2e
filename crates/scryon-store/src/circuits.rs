//! Circuits of providers: who is asked, for all programs at once.

use std::time::Duration;

use diesel::sql_types::{Bool, Double, Integer, Nullable, Text};
use serde::{Deserialize, Serialize};

use crate::db::{Statement, Store, StoreError};

/// The first opening lasts this long; each one after it twice as long as the one before, up to the longest.
const OPENING: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
/// How long the one request may take that finds out whether a provider lives again.
const PROBE: Duration = Duration::from_secs(60);

/// One circuit as it stands. Times are seconds from now on the database's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct Circuit {
    #[diesel(sql_type = Text)]
    pub engine: String,
    /// Absent: closed. Zero or less: open, and the next request may find out.
    #[diesel(sql_type = Nullable<Double>)]
    pub open_seconds: Option<f64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// `open` or `closed` by an operator's word.
    #[diesel(sql_type = Nullable<Text>)]
    pub forced: Option<String>,
    /// Absent: until it is taken back.
    #[diesel(sql_type = Nullable<Double>)]
    pub forced_seconds: Option<f64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub forced_reason: Option<String>,
    /// Whether an operator said not to wait where it asks for a pause.
    #[diesel(sql_type = Bool)]
    pub fail_fast: bool,
    /// Absent: until it is taken back.
    #[diesel(sql_type = Nullable<Double>)]
    pub fail_fast_seconds: Option<f64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub fail_fast_reason: Option<String>,
    /// How long ago its key was looked at, and what came of it.
    #[diesel(sql_type = Nullable<Double>)]
    pub checked_seconds: Option<f64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub check_result: Option<String>,
    /// What the last look said that could tell.
    #[diesel(sql_type = Nullable<Bool>)]
    pub credential_ok: Option<bool>,
    /// US dollars, where the provider says it.
    #[diesel(sql_type = Nullable<Double>)]
    pub quota_left: Option<f64>,
}

const ALL: &str = "select engine, extract(epoch from open_until - now())::float8 as open_seconds, reason,
         case when coalesce(forced_until > now(), true) then forced end as forced,
         case when forced_until > now() then extract(epoch from forced_until - now())::float8 end as forced_seconds,
         case when coalesce(forced_until > now(), true) then forced_reason end as forced_reason,
         f.on as fail_fast, case when f.on then extract(epoch from fail_fast_until - now())::float8 end as fail_fast_seconds,
         case when f.on then fail_fast_reason end as fail_fast_reason,
         extract(epoch from now() - checked_at)::float8 as checked_seconds, check_result, credential_ok, quota_left
     from provider_circuits, lateral (select fail_fast and coalesce(fail_fast_until > now(), true) as on) f order by engine";

/// A circuit that is open already stays as it is, unless its time is over: then the probe has failed.
const OPEN: &str = "insert into provider_circuits as c (engine, open_until, opened_at, openings, reason)
     values ($1, now() + $2 * interval '1 second', now(), 1, $4)
     on conflict (engine) do update set opened_at = now(), openings = c.openings + 1, reason = excluded.reason, probe_until = null,
         open_until = now() + least($3, $2 * power(2, least(c.openings, 10))) * interval '1 second', updated_at = now()
     where c.open_until is null or c.open_until <= now()
     returning 1 as n";

const PROBE_SQL: &str = "update provider_circuits set probe_until = now() + $2 * interval '1 second'
     where engine = $1 and open_until <= now() and coalesce(probe_until <= now(), true) returning 1 as n";

const PROBE_UNDONE: &str =
    "update provider_circuits set probe_until = null where engine = $1 and open_until <= now()";

const CLOSE: &str =
    "update provider_circuits set open_until = null, openings = 0, reason = null, probe_until = null,
         updated_at = now() where engine = $1 and open_until is not null returning 1 as n";

const FORCE: &str = "with before as (select forced from provider_circuits where engine = $1),
     noted as (insert into change_log (kind, program, details)
         select 'provider', 'scryon', jsonb_build_object('engine', $1::text, 'before', (select forced from before), 'after', $2::text,
             'seconds', $3::float8, 'reason', $4::text))
     insert into provider_circuits as c (engine, forced, forced_until, forced_reason)
     values ($1, $2, now() + $3::float8 * interval '1 second', $4)
     on conflict (engine) do update set forced = excluded.forced, forced_until = excluded.forced_until,
         forced_reason = excluded.forced_reason, updated_at = now()
     returning 1 as n";

const FAIL_FAST: &str = "with before as (select fail_fast from provider_circuits where engine = $1),
     noted as (insert into change_log (kind, program, details)
         select 'provider', 'scryon', jsonb_build_object('engine', $1::text, 'failFastBefore', (select fail_fast from before),
             'failFastAfter', $2::bool, 'seconds', $3::float8, 'reason', $4::text))
     insert into provider_circuits as c (engine, fail_fast, fail_fast_until, fail_fast_reason)
     values ($1, $2, now() + $3::float8 * interval '1 second', $4)
     on conflict (engine) do update set fail_fast = excluded.fail_fast, fail_fast_until = excluded.fail_fast_until,
         fail_fast_reason = excluded.fail_fast_reason, updated_at = now()
     returning 1 as n";

/// One of all programs looks, and leaves a row that others can see.
const CHECK_BEGIN: &str = "insert into provider_circuits as c (engine, check_begun) values ($1, now())
     on conflict (engine) do update set check_begun = now()
     where c.check_begun is null or c.check_begun <= now() - $2 * interval '1 second'
     returning 1 as n";

const CHECK_END: &str = "insert into provider_circuits as c (engine, check_begun, checked_at, check_result, credential_ok, quota_left)
     values ($1, now(), now(), $2, case when $2 = 'ok' then true when $2 in ('bad_key', 'no_credit') then false end, $3)
     on conflict (engine) do update set check_begun = now(), checked_at = now(), check_result = excluded.check_result,
         credential_ok = coalesce(excluded.credential_ok, c.credential_ok),
         quota_left = case when excluded.credential_ok then excluded.quota_left else c.quota_left end
     returning 1 as n";

#[derive(diesel::QueryableByName)]
struct CountRow {
    #[diesel(sql_type = Integer)]
    n: i32,
}

impl Store {
    /// Every circuit that ever was opened or forced.
    pub async fn circuits(&self) -> Result<Vec<Circuit>, StoreError> {
        self.rows(Statement::new(ALL)).await
    }

    /// Nobody asks this provider for a while. False: nobody did already.
    pub async fn circuit_open(&self, engine: &str, reason: &str) -> Result<bool, StoreError> {
        let statement = Statement::new(OPEN).bind(engine).bind(OPENING).bind(LONGEST).bind(reason);
        Ok(self.row::<CountRow>(statement).await?.is_some())
    }

    /// The right to find out whether a provider lives again: one request of all programs has it.
    pub async fn circuit_probe(&self, engine: &str) -> Result<bool, StoreError> {
        let statement = Statement::new(PROBE_SQL).bind(engine).bind(PROBE);
        Ok(self.row::<CountRow>(statement).await?.is_some())
    }

    /// The one that should find out heard nothing: another may.
    pub async fn circuit_probe_undone(&self, engine: &str) -> Result<(), StoreError> {
        self.execute(Statement::new(PROBE_UNDONE).bind(engine)).await.map(|_| ())
    }

    /// It lives.
    pub async fn circuit_close(&self, engine: &str) -> Result<bool, StoreError> {
        Ok(self.row::<CountRow>(Statement::new(CLOSE).bind(engine)).await?.is_some())
    }

    /// An operator's word about a provider, or none any more. It is kept in the log of changes.
    pub async fn circuit_force(
        &self,
        engine: &str,
        forced: Option<&str>,
        period: Option<Duration>,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let seconds = period.map(|p| p.as_secs_f64());
        let statement = Statement::new(FORCE).bind(engine).bind(forced).bind(seconds).bind(reason);
        self.row::<CountRow>(statement).await.map(|_| ())
    }

    /// An operator's word not to wait for a provider that asks for a pause. It is kept in the log of changes.
    pub async fn circuit_fail_fast(
        &self,
        engine: &str,
        on: bool,
        period: Option<Duration>,
        reason: &str,
    ) -> Result<(), StoreError> {
        let seconds = period.map(|p| p.as_secs_f64());
        let statement = Statement::new(FAIL_FAST).bind(engine).bind(on).bind(seconds).bind(reason);
        self.row::<CountRow>(statement).await.map(|_| ())
    }

    /// Begins a new analysis of calls whose analysis was left out, once no operator's word keeps it out. Gives how
    /// many.
    pub async fn analyses_put_back(&self, batch: i32) -> Result<i32, StoreError> {
        let statement = Statement::new("select analyses_put_back($1) as n").bind(batch);
        Ok(self.row::<CountRow>(statement).await?.map_or(0, |row| row.n))
    }

    /// The right to look at an engine's key: one program has it in so long.
    pub async fn credential_check_begin(&self, engine: &str, every: Duration) -> Result<bool, StoreError> {
        let statement = Statement::new(CHECK_BEGIN).bind(engine).bind(every);
        Ok(self.row::<CountRow>(statement).await?.is_some())
    }

    /// What a look at an engine's key said.
    pub async fn credential_checked(
        &self,
        engine: &str,
        result: &str,
        quota_left: Option<f64>,
    ) -> Result<(), StoreError> {
        let statement = Statement::new(CHECK_END).bind(engine).bind(result).bind(quota_left);
        self.row::<CountRow>(statement).await.map(|_| ())
    }
}
