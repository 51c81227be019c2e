//! What the sweeper asks of Postgres: admission, overdue announcements, expired leases, repairs. Every
//! statement is idempotent and bounded; several sweepers do no harm, one of them leads.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Bool, Double, Integer, Text, Timestamptz};
use scryon_domain::hint::{Hint, HintReason};
use scryon_domain::ids::{CallId, TenantId};
use scryon_domain::stage::{Lane, StageKind};
use uuid::Uuid;

use crate::claim::{ANNOUNCE_AGAIN, next_hint};
use crate::db::{Bind, Statement, Store, StoreError};
use crate::lease::word;

/// How long a leader that stopped renewing keeps others out.
pub const LEADERSHIP: Duration = Duration::from_secs(10);

/// How long an announcement is believed to stand in line in a queue that is not empty. Under a backlog the
/// second announcement of a call only costs a claim that finds nothing.
const IN_LINE: Duration = Duration::from_secs(300);

/// Announcements are repeated after 5 s, 10 s, 20 s, … up to a quarter of an hour.
const NEXT_ANNOUNCE: &str = "now() + least(900, $2 * power(2, least(r.publish_n, 8))) * interval '1 second'";

static OVERDUE_STARTS: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    format!(
        "with due as (
             select id from call_records where status = 'QUEUED'
               and publish_due <= now() - case when 'preprocessing.' || lane = any($3) then $4 else 0 end * interval '1 second'
             order by publish_due limit $1 for no key update skip locked)
         update call_records r set publish_due = {NEXT_ANNOUNCE}, publish_n = r.publish_n + 1 from due where r.id = due.id
         returning r.id as call_id, r.run_no, 'preprocessing' as stage, r.lane, r.tenant_id, true as current"
    )
});

/// Tenants that have held calls are found by jumping through the index, so that a million rows of one
/// tenant cost as much as one. Live calls are admitted before backfill.
const ADMIT: &str = "with recursive holders as (
         (select tenant_id from call_records where status = 'QUEUED' and publish_due is null order by tenant_id limit 1)
         union all
         select (select n.tenant_id from call_records n where n.status = 'QUEUED' and n.publish_due is null
                   and n.tenant_id > h.tenant_id order by n.tenant_id limit 1)
         from holders h where h.tenant_id is not null
     ), flight as (
         select tenant_id, count(*) as n from (
             select tenant_id from call_records where status = 'TRANSCRIBING'
             union all
             select tenant_id from call_records where status = 'QUEUED' and publish_due is not null) f
         group by tenant_id
     ), room as (
         select h.tenant_id, greatest(0, coalesce(t.max_in_flight, $3) - coalesce(f.n, 0)) as n
         from holders h join tenants t on t.id = h.tenant_id left join flight f on f.tenant_id = h.tenant_id
         where not h.tenant_id = any($5)
     ), picked as (
         select p.id from room cross join lateral (
             select id from (
                 (select id, 0 as lane_order, created_at from call_records where tenant_id = room.tenant_id and status = 'QUEUED'
                    and publish_due is null and lane = 'live' and not 'live' = any($4) order by created_at limit least(room.n, $1))
                 union all
                 (select id, 1, created_at from call_records where tenant_id = room.tenant_id and status = 'QUEUED'
                    and publish_due is null and lane = 'backfill' and not 'backfill' = any($4)
                  order by created_at limit least(room.n, $1))) both_lanes
             order by lane_order, created_at limit least(room.n, $1)) p
         limit $1
     ), locked as (
         select id from call_records where id in (select id from picked) and status = 'QUEUED' and publish_due is null
         for no key update skip locked
     )
     update call_records r set publish_due = now() + $2 * interval '1 second', publish_n = 1 from locked where r.id = locked.id
     returning r.id as call_id, r.run_no, 'preprocessing' as stage, r.lane, r.tenant_id, true as current";

/// Due stages are announced again; those of an old run, or of a call that is over, are superseded.
static DUE_STAGES: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    format!(
        "with due as (
             select s.call_id, s.run_no, s.stage from call_stages s join call_records c on c.id = s.call_id
             where s.state in ('PENDING', 'WAITING') and s.publish_due <= now()
               and (s.state = 'WAITING' or (s.error_code = 'worker_died' and s.publish_n = 1) or s.publish_due <= now() - $4 * interval '1 second' or not s.stage || '.' || c.lane = any($3))
             order by s.publish_due limit $1 for no key update of s skip locked
         ), judged as (
             select due.*, c.lane, c.run_no = due.run_no and c.status in ('TRANSCRIBING', 'ANALYZING') as current
             from due join call_records c on c.id = due.call_id)
         update call_stages r set
             state = case when j.current then r.state else 'SUPERSEDED' end,
             finished_at = case when j.current then r.finished_at else now() end,
             publish_n = r.publish_n + 1,
             publish_due = case when j.current then {NEXT_ANNOUNCE} end
         from judged j where r.call_id = j.call_id and r.run_no = j.run_no and r.stage = j.stage
         returning r.call_id, r.run_no, r.stage, j.lane, r.tenant_id, j.current"
    )
});

/// A lease nobody renewed: the stage waits for a worker again. The death is not an outcome. From the third one on it
/// waits for longer each time: 10 s, 20 s, … an hour. Claims take such a stage from nobody else's hands before that
/// (`stages_claim`), so whatever takes workers down meets ever fewer of them. It is announced at once all the same, and
/// that announcement finds it not due; so the next one does not wait for those in line (DUE_STAGES).
const EXPIRED_LEASES: &str = "with dead as (
         select s.call_id, s.run_no, s.stage, s.starts - s.outcomes as deaths from call_stages s
         where s.state = 'RUNNING' and s.lease_until < now()
         order by s.lease_until limit $1 for no key update skip locked
     ), judged as (
         select dead.*, pause_after_deaths(deaths) as pause,
             c.lane, c.run_no = dead.run_no and c.status in ('TRANSCRIBING', 'ANALYZING') as current
         from dead join call_records c on c.id = dead.call_id)
     update call_stages r set state = case when j.current then 'PENDING' else 'SUPERSEDED' end, lease_until = null,
         finished_at = case when j.current then null else now() end, publish_n = 1,
         not_before = coalesce(now() + j.pause, r.not_before),
         error_code = case when j.pause is null then r.error_code else 'worker_died' end,
         publish_due = case when j.current then now() + coalesce(j.pause, $2 * interval '1 second') end
     from judged j where r.call_id = j.call_id and r.run_no = j.run_no and r.stage = j.stage
     returning r.call_id, r.run_no, r.stage, j.lane, r.tenant_id, j.current";

/// What is paused is not announced again and again: a call that waits for its start is held at admission, a stage looks
/// again in half a minute. What lies in a queue stays there.
const HOLD_STARTS: &str = "with due as (
         select id from call_records where status = 'QUEUED' and publish_due <= now() and (lane = any($2) or tenant_id = any($3))
         limit $1 for no key update skip locked)
     update call_records r set publish_due = null, publish_n = 0 from due where r.id = due.id";

const HOLD_STAGES: &str = "with due as (
         select s.call_id, s.run_no, s.stage from call_stages s join call_records c on c.id = s.call_id
         where s.state in ('PENDING', 'WAITING') and s.publish_due <= now() and (s.stage = any($2) or c.lane = any($3))
         limit $1 for no key update of s skip locked)
     update call_stages r set publish_due = now() + interval '30 seconds' from due
     where r.call_id = due.call_id and r.run_no = due.run_no and r.stage = due.stage";

/// Live stages of old runs and of calls that are over.
const SUPERSEDE: &str = "with old as (
         select s.call_id, s.run_no, s.stage from call_stages s join call_records c on c.id = s.call_id
         where (s.publish_due is not null or s.lease_until is not null) and s.state in ('PENDING', 'RUNNING', 'WAITING')
           and (c.run_no <> s.run_no or c.status not in ('TRANSCRIBING', 'ANALYZING'))
         limit $1 for no key update of s skip locked)
     update call_stages s set state = 'SUPERSEDED', lease_until = null, publish_due = null, finished_at = now()
     from old o where s.call_id = o.call_id and s.run_no = o.run_no and s.stage = o.stage
     returning s.call_id, s.run_no, s.stage, 'live' as lane, s.tenant_id, false as current";

/// A live call without a live stage cannot go on by itself: its next stages are rebuilt from the bitmask.
/// This should never happen (a hand-typed status is the known way), hence the alarm at the caller.
static REBUILD: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    let graph = StageKind::ALL.map(|s| format!("('{s}', {}, {})", s.bit(), s.needs())).join(", ");
    format!(
        "with lost as (
             select c.id from call_records c where c.status in ('TRANSCRIBING', 'ANALYZING')
               and c.updated_at < now() - $3 * interval '1 second'
               and not exists (select 1 from call_stages s where s.call_id = c.id and s.run_no = c.run_no
                               and s.state in ('PENDING', 'RUNNING', 'WAITING'))
             limit $1 for no key update skip locked
         ), c as (
             update call_records r set updated_at = now(),
                 status = case when r.stages_done = 31 then 'COMPLETED' when r.stages_done & 8 = 8 then 'ANALYZING' else 'TRANSCRIBING' end,
                 finished_at = case when r.stages_done = 31 then now() end
             from lost where r.id = lost.id returning r.*
         )
         insert into call_stages as s (call_id, run_no, stage, tenant_id, state, publish_due, publish_n)
         select c.id, c.run_no, g.stage, c.tenant_id, 'PENDING', now() + $2 * interval '1 second', 1
         from c join (values {graph}) g (stage, bit, needs) on c.stages_done & g.needs = g.needs and c.stages_done & g.bit = 0
         on conflict (call_id, run_no, stage) do update set state = 'PENDING', publish_due = excluded.publish_due, publish_n = 1,
             error_code = null, finished_at = null, not_before = null
         returning s.call_id, s.run_no, s.stage, (select lane from c where c.id = s.call_id) as lane, s.tenant_id, true as current"
    )
});

const LEAD: &str = "update sweeper_lease set owner = $1, lease_until = now() + $2 * interval '1 second'
     where name = 'dispatcher' and (owner = $1 or lease_until < now()) returning 1 as n";

/// A queue that was created anew lost its messages: what was announced for it is due now.
const NEW_QUEUES: &str = "select queue as name, created_at from queue_generations
     where handled_at is null or handled_at < created_at";

/// Where it was created once more meanwhile, that one is still to be handled.
const QUEUE_HANDLED: &str =
    "update queue_generations set handled_at = created_at where queue = $1 and created_at = $2";

const DUE_NOW_STAGES: &str = "with lost as (
         select s.call_id, s.run_no, s.stage from call_stages s join call_records c on c.id = s.call_id
         where s.state = 'PENDING' and s.stage = $1 and c.lane = $2 and s.publish_due > now()
           and (s.not_before is null or s.not_before <= now()) for no key update of s skip locked)
     update call_stages s set publish_due = now(), publish_n = 0 from lost l
     where s.call_id = l.call_id and s.run_no = l.run_no and s.stage = l.stage";

const DUE_NOW_STARTS: &str = "with lost as (
         select id from call_records where status = 'QUEUED' and publish_due > now() and lane = $1 for no key update skip locked)
     update call_records r set publish_due = now(), publish_n = 0 from lost where r.id = lost.id";

/// Announced and not claimed, by stage and lane; what live workers hold is part of it.
const ANNOUNCED: &str = "select stage, lane, count(*)::int as announced,
         (select coalesce(sum((h.held->>(a.stage || '.' || a.lane))::int), 0)::int from worker_heartbeats h
          where h.beat_at > now() - interval '5 seconds') as held
     from (
         select 'preprocessing' as stage, lane from call_records where status = 'QUEUED' and publish_due is not null
         union all
         select s.stage, c.lane from call_stages s join call_records c on c.id = s.call_id and c.run_no = s.run_no
         where s.publish_due is not null and s.state = 'PENDING' and (s.not_before is null or s.not_before <= now())) a
     group by stage, lane";

#[derive(diesel::QueryableByName)]
struct DueRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    call_id: Uuid,
    #[diesel(sql_type = Integer)]
    run_no: i32,
    #[diesel(sql_type = Text)]
    stage: String,
    #[diesel(sql_type = Text)]
    lane: String,
    #[diesel(sql_type = Text)]
    tenant_id: String,
    #[diesel(sql_type = Bool)]
    current: bool,
}

#[derive(diesel::QueryableByName)]
struct NewQueueRow {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

#[derive(diesel::QueryableByName)]
struct CountRow {
    #[diesel(sql_type = Integer)]
    #[allow(dead_code)] // its presence is the answer
    n: i32,
}

/// Work announced to a queue and not claimed yet.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct Announced {
    #[diesel(sql_type = Text)]
    pub stage: String,
    #[diesel(sql_type = Text)]
    pub lane: String,
    #[diesel(sql_type = Integer)]
    pub announced: i32,
    /// Delivered to live workers, which have not claimed it yet.
    #[diesel(sql_type = Integer)]
    pub held: i32,
}

/// What operators keep back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paused {
    pub stages: Vec<String>,
    pub lanes: Vec<String>,
    pub tenants: Vec<String>,
}

impl Paused {
    /// Whether nothing is.
    pub const fn is_empty(&self) -> bool {
        self.stages.is_empty() && self.lanes.is_empty() && self.tenants.is_empty()
    }

    /// Lanes in which no run may begin: a run begins with preprocessing.
    fn start_lanes(&self) -> Vec<String> {
        if self.stages.iter().any(|s| s == StageKind::Preprocessing.as_str()) {
            return Lane::ALL.map(|l| l.as_str().to_owned()).to_vec();
        }
        self.lanes.clone()
    }
}

/// What one statement of the dispatcher found.
#[derive(Debug, Default)]
pub struct Due {
    /// To be announced.
    pub hints: Vec<Hint>,
    /// Rows that turned out to belong to an old run or a finished call.
    pub superseded: usize,
    /// As many rows as the batch allows: ask again at once.
    pub full: bool,
}

/// Totals of the call counters (`kind`, `label`), kept in Postgres so that no restart loses a call.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct CallCount {
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Text)]
    pub label: String,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub total: i64,
}

#[derive(diesel::QueryableByName)]
struct SecondsRow {
    #[diesel(sql_type = Double)]
    seconds: f64,
}

impl Store {
    /// True while this sweeper leads.
    pub async fn sweeper_lead(&self, owner: &str) -> Result<bool, StoreError> {
        let row: Option<CountRow> = self.row(Statement::new(LEAD).bind(owner).bind(LEADERSHIP)).await?;
        Ok(row.is_some())
    }

    /// Gives leadership up, so that another leads at once.
    pub async fn sweeper_resign(&self, owner: &str) -> Result<(), StoreError> {
        let sql = "update sweeper_lease set lease_until = now() where name = 'dispatcher' and owner = $1";
        self.execute(Statement::new(sql).bind(owner)).await.map(|_| ())
    }

    /// QUEUED calls whose announcement brought nobody. `busy`: queues (`stage.lane`) with messages that nobody
    /// took yet, where an announcement is believed for longer: it stands in line.
    pub async fn starts_overdue(&self, batch: i32, busy: &[String]) -> Result<Due, StoreError> {
        let statement = overdue(&OVERDUE_STARTS, batch, busy);
        self.due(statement, batch, Announce::Starts(HintReason::Redispatch)).await
    }

    /// QUEUED calls held at admission for which there is room now.
    pub async fn starts_admit(
        &self,
        batch: i32,
        tenant_cap: i32,
        paused: &Paused,
    ) -> Result<Due, StoreError> {
        let statement = Statement::new(ADMIT)
            .bind(batch)
            .bind(ANNOUNCE_AGAIN)
            .bind(tenant_cap)
            .bind(Bind::Texts(paused.start_lanes()))
            .bind(Bind::Texts(paused.tenants.clone()));
        self.due(statement, batch, Announce::Starts(HintReason::Upload)).await
    }

    /// Keeps back what is paused.
    pub async fn paused_hold(&self, batch: i32, paused: &Paused) -> Result<(), StoreError> {
        let starts = Statement::new(HOLD_STARTS)
            .bind(batch)
            .bind(Bind::Texts(paused.start_lanes()))
            .bind(Bind::Texts(paused.tenants.clone()));
        self.execute(starts).await?;
        let stages = Statement::new(HOLD_STAGES)
            .bind(batch)
            .bind(Bind::Texts(paused.stages.clone()))
            .bind(Bind::Texts(paused.lanes.clone()));
        self.execute(stages).await.map(|_| ())
    }

    /// PENDING stages whose announcement is overdue (`busy` as for starts), and WAITING ones that want a poll.
    pub async fn stages_due(&self, batch: i32, busy: &[String]) -> Result<Due, StoreError> {
        self.due(overdue(&DUE_STAGES, batch, busy), batch, Announce::Stages).await
    }

    /// Stages whose lease ran out.
    pub async fn leases_expire(&self, batch: i32) -> Result<Due, StoreError> {
        let statement = Statement::new(EXPIRED_LEASES).bind(batch).bind(ANNOUNCE_AGAIN);
        self.due(statement, batch, Announce::Stages).await
    }

    /// Live stages nobody may work on any more.
    pub async fn stages_supersede(&self, batch: i32) -> Result<Due, StoreError> {
        self.due(Statement::new(SUPERSEDE).bind(batch), batch, Announce::Stages).await
    }

    /// Live calls without a live stage for longer than `quiet`.
    pub async fn calls_rebuild(&self, batch: i32, quiet: Duration) -> Result<Due, StoreError> {
        let statement = Statement::new(&REBUILD).bind(batch).bind(ANNOUNCE_AGAIN).bind(quiet);
        self.due(statement, batch, Announce::Stages).await
    }

    async fn due(&self, statement: Statement, batch: i32, what: Announce) -> Result<Due, StoreError> {
        let rows: Vec<DueRow> = self.rows(statement).await?;
        let mut due = Due { full: usize::try_from(batch).is_ok_and(|b| rows.len() >= b), ..Due::default() };
        for row in rows {
            if !row.current {
                due.superseded += 1;
                continue;
            }
            let (stage, lane): (StageKind, Lane) = (word(&row.stage)?, word(&row.lane)?);
            let (call_id, tenant_id) = (CallId(row.call_id), TenantId(row.tenant_id));
            due.hints.push(match what {
                Announce::Starts(reason) => Hint::start(call_id, tenant_id, lane, reason),
                Announce::Stages => Hint {
                    reason: HintReason::Redispatch,
                    ..next_hint(call_id, row.run_no, (stage, lane, tenant_id))
                },
            });
        }
        Ok(due)
    }

    /// A process found the broker without this queue and created it.
    pub async fn queue_created(&self, queue: &str) -> Result<(), StoreError> {
        let sql = "insert into queue_generations (queue) values ($1)
                   on conflict (queue) do update set created_at = now()";
        self.execute(Statement::new(sql).bind(queue)).await.map(|_| ())
    }

    /// Queues that were created anew and not handled yet, and when.
    pub async fn queues_created(&self) -> Result<Vec<(String, DateTime<Utc>)>, StoreError> {
        let rows: Vec<NewQueueRow> = self.rows(Statement::new(NEW_QUEUES)).await?;
        Ok(rows.into_iter().map(|r| (r.name, r.created_at)).collect())
    }

    /// What was announced in a queue that was created anew is due again.
    pub async fn queue_handled(&self, queue: &str, created_at: DateTime<Utc>) -> Result<(), StoreError> {
        self.execute(Statement::new(QUEUE_HANDLED).bind(queue).bind(created_at)).await.map(|_| ())
    }

    /// The messages of a stage and lane are gone: announce its rows again in the next tick.
    pub async fn announcements_lost(&self, stage: StageKind, lane: Lane) -> Result<usize, StoreError> {
        let stages = Statement::new(DUE_NOW_STAGES).bind(stage.as_str()).bind(lane.as_str());
        let mut count = self.execute(stages).await?;
        if stage == StageKind::Preprocessing {
            count += self.execute(Statement::new(DUE_NOW_STARTS).bind(lane.as_str())).await?;
        }
        Ok(count)
    }

    /// What the queues should hold, for comparison with what they do hold.
    pub async fn announced(&self) -> Result<Vec<Announced>, StoreError> {
        self.rows(Statement::new(ANNOUNCED)).await
    }

    /// Adds what happened to calls since the last time to the totals. Gives the pipeline durations
    /// (seconds, accepted to completed) of what was added.
    pub async fn counts_drain(&self, batch: i32) -> Result<Vec<f64>, StoreError> {
        let sql = "with taken as (
                 delete from call_count_deltas where id in (
                     select id from call_count_deltas order by id limit $1 for update skip locked)
                 returning kind, label, seconds
             ), summed as (
                 insert into call_count_totals as t (kind, label, total)
                 select kind, label, count(*) from taken group by kind, label
                 on conflict (kind, label) do update set total = t.total + excluded.total
             )
             select seconds from taken where seconds is not null";
        let rows: Vec<SecondsRow> = self.rows(Statement::new(sql).bind(batch)).await?;
        Ok(rows.into_iter().map(|r| r.seconds).collect())
    }

    /// The call counters.
    pub async fn counts(&self) -> Result<Vec<CallCount>, StoreError> {
        self.rows(Statement::new("select kind, label, total from call_count_totals")).await
    }
}

/// Placeholders 1-4 of both statements that announce again.
fn overdue(sql: &'static str, batch: i32, busy: &[String]) -> Statement {
    Statement::new(sql).bind(batch).bind(ANNOUNCE_AGAIN).bind(Bind::Texts(busy.to_vec())).bind(IN_LINE)
}

/// What the rows of a dispatcher statement stand for.
#[derive(Clone, Copy)]
enum Announce {
    /// Calls that wait to leave QUEUED.
    Starts(HintReason),
    /// Stages of a run.
    Stages,
}
