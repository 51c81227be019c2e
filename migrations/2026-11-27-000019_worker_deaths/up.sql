-- A stage that took three workers down is taken back by the sweeper alone, later each time: whatever kills them meets one
-- worker at a time, ever more rarely, and no call is failed for a death that may be somebody else's.

-- How long a stage is kept back after so many deaths; null: not at all.
create function pause_after_deaths(a_deaths int) returns interval language sql immutable as $$
    select case when a_deaths >= 3 then least(10 * 2 ^ least(a_deaths - 3, 9), 3600) * interval '1 second' end
$$;

create or replace function stages_claim(a_steps jsonb) returns setof lease_row language plpgsql as $$
declare
    steps claim_step[] := array(select s from jsonb_populate_recordset(null::claim_step, a_steps) s);
    locked uuid[] := calls_lock(a_steps);
    claimed uuid[];
    held call_stages[];
    jobs jsonb;
begin
    if locked = '{}' then
        return;
    end if;
    with c as (
        update call_stages t set state = 'RUNNING', starts = t.starts + 1, lease_token = s.token, lease_owner = s.owner,
            lease_until = now() + s.lease * interval '1 second', hint_id = s.hint, publish_due = null, started_at = now()
        from unnest(locked) k (id) join unnest(steps) s on s.call_id = k.id
        where t.call_id = k.id and t.run_no = s.run_no and t.stage = s.stage and (
            (t.state in ('PENDING', 'WAITING') and (t.not_before is null or t.not_before <= now()))
            or (t.state = 'RUNNING' and pause_after_deaths(t.starts - t.outcomes) is null and (t.lease_until < now()
                or (s.redelivered and t.hint_id = s.hint and not exists (
                    select 1 from worker_heartbeats h where h.owner = t.lease_owner
                      and h.beat_at > now() - s.silence * interval '1 second')))))
        returning t)
    select array_agg(c.t), array_agg((c.t).call_id) into held, claimed from c;
    if held is null then
        return;
    end if;
    update call_records r set updated_at = now() from unnest(claimed) k (id) where r.id = k.id;
    if a_steps @? '$[*].j_id' then
        jobs := jobs_buy(array(select (r.id, r.run_no, r.tenant_id, s.stage, r.audio_sha256, r.paid_since, s.j_id, s.j_engine,
                s.j_model, s.j_params, s.j_cost, s.owner, s.lease)::buy_want
            from unnest(claimed) k (id) join unnest(steps) s on s.call_id = k.id and s.j_id is not null
            join call_records r on r.id = k.id));
    else
        perform set_config('synchronous_commit', 'off', true);
    end if;
    return query select * from lease_rows(claimed, held, jobs);
end $$;

-- As before, and what takes workers down.
create or replace view stuck_calls as
    select c.id, c.status::text as status, 'preprocessing'::text as stage, 'announcement_overdue'::text as reason,
        c.publish_due as since, 'no sweeper announces it: start scryon-sweeper'::text as advice
    from call_records c where c.status = 'QUEUED' and c.publish_due < now() - interval '10 minutes'
      and not is_paused('preprocessing', c.lane, c.tenant_id)
    union all
    select c.id, c.status::text, s.stage::text, 'announcement_overdue', s.publish_due,
        'no sweeper announces it: start scryon-sweeper'
    from call_stages s join call_records c on c.id = s.call_id and c.run_no = s.run_no
    where s.publish_due is not null and s.publish_due < now() - interval '10 minutes' and s.state in ('PENDING', 'WAITING')
      and c.status in ('TRANSCRIBING', 'ANALYZING') and not is_paused(s.stage, c.lane, null)
    union all
    select c.id, c.status::text, s.stage::text, 'lease_expired', s.lease_until,
        'its worker died and no sweeper took the stage back: start scryon-sweeper'
    from call_stages s join call_records c on c.id = s.call_id and c.run_no = s.run_no
    where s.lease_until is not null and s.lease_until < now() - interval '1 minute' and s.state = 'RUNNING'
      and c.status in ('TRANSCRIBING', 'ANALYZING')
    union all
    select c.id, c.status::text, null, 'no_live_stage', c.updated_at,
        'a status was typed by hand: set it to QUEUED for a new run'
    from call_records c where c.status in ('TRANSCRIBING', 'ANALYZING') and c.updated_at < now() - interval '5 minutes'
      and not exists (select 1 from call_stages s where s.call_id = c.id and s.run_no = c.run_no
                      and s.state in ('PENDING', 'RUNNING', 'WAITING'))
    union all
    select c.id, c.status::text, s.stage::text, 'workers_died',
        -- When the sweeper took it back.
        s.not_before - pause_after_deaths(s.starts - s.outcomes),
        (s.starts - s.outcomes)::text || ' workers died over it, and the next one begins it at '
            || to_char(s.not_before at time zone 'UTC', 'HH24:MI:SS') || ' UTC: look at their last logs, or cancel the call'
    from call_stages s join call_records c on c.id = s.call_id and c.run_no = s.run_no
    where s.publish_due is not null and s.state = 'PENDING' and s.error_code = 'worker_died' and s.starts - s.outcomes >= 5
      and s.not_before > now() and c.status in ('TRANSCRIBING', 'ANALYZING') and not is_paused(s.stage, c.lane, null);
