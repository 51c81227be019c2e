-- A claim whose answer was lost is repeated under its token, and gives what it took: neither the stage nor the purchase
-- that was recorded with it waits for the end of a lease that its own holder does not know of.
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
        update call_stages t set state = 'RUNNING', lease_token = s.token, lease_owner = s.owner,
            starts = case when t.lease_token = s.token then greatest(t.starts, t.outcomes + 1) else t.starts + 1 end,
            lease_until = now() + s.lease * interval '1 second', hint_id = s.hint, publish_due = null, started_at = now()
        from unnest(locked) k (id) join unnest(steps) s on s.call_id = k.id
        where t.call_id = k.id and t.run_no = s.run_no and t.stage = s.stage and (
            (t.state in ('PENDING', 'WAITING') and (t.not_before is null or t.not_before <= now()))
            or (t.state = 'RUNNING' and t.lease_token = s.token)
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

-- As before; and what this very claim has recorded is its own.
create or replace function job_find(w buy_want) returns jsonb language plpgsql as $$
declare
    o provider_jobs;
begin
    -- Nobody may begin to settle it meanwhile: it is sent next.
    update provider_jobs j set lease_until = now() + w.lease * interval '1 second', sent_at = now()
    where j.id = w.j_id and j.live and j.state = 'sending' and j.lease_owner = w.owner and j.tenant_id = w.tenant_id
        and j.stage = w.stage and j.engine = w.j_engine and j.params_hash = w.j_params and j.audio_sha256 = w.audio_sha256
        and coalesce(j.created_at >= w.paid_since, true)
    returning * into o;
    if found then
        return jsonb_build_object('id', o.id, 'mine', true, 'state', 'sending', 'held', true, 'cause', o.cause);
    end if;
    select * into o from provider_jobs j where j.live and j.tenant_id = w.tenant_id and j.stage = w.stage
        and j.engine = w.j_engine and j.params_hash = w.j_params and j.audio_sha256 = w.audio_sha256;
    if found and coalesce(o.created_at >= w.paid_since, true) then
        return jsonb_build_object('id', o.id, 'mine', false, 'state', o.state, 'result_ref', o.result_ref,
            'bytes', o.result_bytes, 'sha256', encode(o.result_sha256, 'hex'),
            'held', coalesce(o.lease_until > now(), false), 'cause', o.cause, 'estimated_cost', o.estimated_cost::float8,
            'silent', not exists (select 1 from worker_heartbeats h where h.owner = o.lease_owner
                and h.beat_at > now() - interval '3 seconds'),
            'external_id', o.external_id, 'overdue', coalesce(o.deadline <= now(), false),
            'awaited', extract(epoch from now() - o.sent_at)::float8);
    end if;
    if not found then
        return '{"raced": true}';
    end if;
    update provider_jobs set live = false where id = o.id;
    insert into provider_jobs (id, tenant_id, stage, engine, model, params_hash, audio_sha256, purchase_no, state,
        cause, call_id, run_no, lease_owner, lease_until, sent_at, estimated_cost)
    select w.j_id, w.tenant_id, w.stage, w.j_engine, w.j_model, w.j_params, w.audio_sha256, 1 + max(p.purchase_no), 'sending',
        'reset', w.call_id, w.run_no, w.owner, now() + w.lease * interval '1 second', now(), w.j_cost::numeric
    from provider_jobs p where p.tenant_id = w.tenant_id and p.stage = w.stage and p.engine = w.j_engine
        and p.params_hash = w.j_params and p.audio_sha256 = w.audio_sha256
    on conflict do nothing;
    if not found then
        return '{"raced": true}';
    end if;
    return jsonb_build_object('id', w.j_id, 'mine', true, 'state', 'sending', 'held', true, 'cause', 'reset');
end $$;

-- A callback waits for the call's row: a claim that had it first, and began later, is not newer than the callback.
alter table callback_inbox alter column received_at set default clock_timestamp();
