-- What owners and operators do with one call, beside plain SQL, and what is stuck.

-- Ends a call's work. Gives its status after it, and whether this did it; nothing where the call is not the owner's.
create function call_cancel(a_tenant text, a_user uuid, a_call uuid) returns table (status text, done boolean)
    language plpgsql as $$
declare
    c call_records;
begin
    select * into c from call_records r where r.id = a_call and r.tenant_id = a_tenant and r.user_id = a_user for no key update;
    if not found then
        return;
    end if;
    if c.status not in ('QUEUED', 'TRANSCRIBING', 'ANALYZING') then
        return query select c.status::text, false;
        return;
    end if;
    update call_records r set status = 'CANCELLED', updated_at = now(), finished_at = now(), publish_due = null where r.id = c.id;
    update call_stages t set state = 'SUPERSEDED', lease_until = null, publish_due = null, finished_at = now()
        where t.call_id = c.id and t.state in ('PENDING', 'RUNNING', 'WAITING');
    insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status)
        values (c.id, c.tenant_id, c.user_id, c.run_no, 'CANCELLED', 'COMPLETED');
    return query select 'CANCELLED'::text, true;
end $$;

-- Begins a new run, as the same words typed by an operator do. A call that waits for its run begins no second one.
create function call_reset(a_tenant text, a_user uuid, a_call uuid, a_force boolean) returns table (status text)
    language plpgsql as $$
begin
    update call_records r set status = 'QUEUED', force_paid = r.force_paid or a_force
        where r.id = a_call and r.tenant_id = a_tenant and r.user_id = a_user and (r.status <> 'QUEUED' or a_force);
    return query select r.status::text from call_records r
        where r.id = a_call and r.tenant_id = a_tenant and r.user_id = a_user;
end $$;

-- Carries what earlier runs made over into the call's current run. Prepared audio leaves by retention, and its row with
-- it: only what a row still names is named again.
create function stages_carry(c call_records, a_stages text[]) returns void language sql as $$
    insert into call_stages (call_id, run_no, stage, tenant_id, state, skip_reason, engine, params_hash, result_ref,
        artifact_type, bytes, sha256, details, finished_at)
    select c.id, c.run_no, w.stage, c.tenant_id, 'SKIPPED', 'reused', p.engine, p.params_hash,
        case when w.stage = 'preprocessing' then a.storage_key else coalesce(a.storage_key, p.result_ref) end, w.artifact_type,
        coalesce(a.byte_size, p.bytes), p.sha256, p.details, now()
    from (values ('preprocessing', 'PREPARED_AUDIO'), ('transcription', 'RAW_TRANSCRIPT_JSON'),
        ('diarization', 'DIARIZATION_JSON'), ('assembly', 'NORMALIZED_TRANSCRIPT_JSON')) w (stage, artifact_type)
    left join call_artifacts a on a.call_id = c.id and a.artifact_type = w.artifact_type
    left join lateral (
        select * from call_stages o where o.call_id = c.id and o.stage = w.stage and o.state in ('SUCCEEDED', 'SKIPPED')
          and (a.storage_key is null or o.result_ref = a.storage_key)
        order by o.run_no desc limit 1) p on true
    where w.stage = any(a_stages)
$$;

-- As before, by the function above.
create or replace function run_start_without_audio(s start_step) returns call_stages[] language plpgsql as $$
declare
    c call_records;
    t call_stages;
    way text;
begin
    select case when (select count(*) from call_artifacts a where a.call_id = r.id
            and a.artifact_type in ('RAW_TRANSCRIPT_JSON', 'DIARIZATION_JSON')) = 2 then 'rebuild'
        when r.completed_run > 0 then 'keep' else 'expire' end into way from call_records r where r.id = s.call_id;
    update call_records r set run_no = r.run_no + 1, publish_due = null, publish_n = 0, updated_at = now(),
        status = case way when 'keep' then 'COMPLETED' when 'expire' then 'FAILED' else 'TRANSCRIBING' end,
        error_reason = case way when 'expire' then 'temp_audio_expired' end,
        finished_at = case when way in ('keep', 'expire') then now() end,
        stages_done = case way when 'rebuild' then 7 else r.stages_done end,
        force_paid = false, paid_since = case when r.force_paid then now() else r.paid_since end
        where r.id = s.call_id returning * into c;
    if way = 'keep' then
        insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status, error_code)
        values (c.id, c.tenant_id, c.user_id, c.run_no, 'REPROCESS_SKIPPED', 'SKIPPED', 'temp_audio_expired');
        return '{}';
    elsif way = 'expire' then
        insert into call_count_deltas (kind, label) values ('failed', 'temp_audio_expired');
        return '{}';
    end if;
    perform stages_carry(c, '{preprocessing,transcription,diarization}');
    insert into call_stages (call_id, run_no, stage, tenant_id, state, starts, lease_token, lease_owner, lease_until,
        hint_id, publish_due, publish_n, started_at)
    select c.id, c.run_no, 'assembly', c.tenant_id, case when s.assembles then 'RUNNING' else 'PENDING' end,
        case when s.assembles then 1 else 0 end, case when s.assembles then s.token end,
        case when s.assembles then s.owner end, case when s.assembles then now() + s.lease * interval '1 second' end,
        case when s.assembles then s.hint end, case when not s.assembles then now() + s.again * interval '1 second' end,
        case when s.assembles then 0 else 1 end, case when s.assembles then now() end
    returning * into t;
    return array[t];
end $$;

-- Begins a run of analysis alone, from the transcript that is there. `ready`: there is one, and no run is under way.
create function call_reanalyze(a_tenant text, a_user uuid, a_call uuid, a_again float8)
    returns table (status text, ready boolean, run_no int, lane text) language plpgsql as $$
declare
    c call_records;
begin
    select * into c from call_records r where r.id = a_call and r.tenant_id = a_tenant and r.user_id = a_user for no key update;
    if not found then
        return;
    end if;
    if c.status not in ('COMPLETED', 'FAILED') or not exists (
        select 1 from call_artifacts a where a.call_id = c.id and a.artifact_type = 'NORMALIZED_TRANSCRIPT_JSON') then
        return query select c.status::text, false, c.run_no, c.lane::text;
        return;
    end if;
    update call_records r set status = 'ANALYZING', run_no = r.run_no + 1, stages_done = 15, lane = 'backfill', error_reason = null,
        finished_at = null, publish_due = null, publish_n = 0, updated_at = clock_timestamp()
        where r.id = c.id returning * into c;
    perform stages_carry(c, '{preprocessing,transcription,diarization,assembly}');
    insert into call_stages (call_id, run_no, stage, tenant_id, state, publish_due, publish_n)
        values (c.id, c.run_no, 'analysis', c.tenant_id, 'PENDING', now() + a_again * interval '1 second', 1);
    return query select 'ANALYZING'::text, true, c.run_no, c.lane::text;
end $$;

-- Calls that nobody will go on with by themselves: not those that wait in a long queue, at admission, for the time of
-- their next try or for a provider. Ten minutes is twice as long as an announcement is believed to stand in line.
create view stuck_calls as
    select c.id, c.status::text as status, 'preprocessing'::text as stage, 'announcement_overdue'::text as reason,
        c.publish_due as since, 'no sweeper announces it: start scryon-sweeper'::text as advice
    from call_records c where c.status = 'QUEUED' and c.publish_due < now() - interval '10 minutes'
    union all
    select c.id, c.status::text, s.stage::text, 'announcement_overdue', s.publish_due,
        'no sweeper announces it: start scryon-sweeper'
    from call_stages s join call_records c on c.id = s.call_id and c.run_no = s.run_no
    where s.publish_due is not null and s.publish_due < now() - interval '10 minutes' and s.state in ('PENDING', 'WAITING')
      and c.status in ('TRANSCRIBING', 'ANALYZING')
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
                      and s.state in ('PENDING', 'RUNNING', 'WAITING'));

-- Fails calls that have been stuck for so long, and counts them. Lock order: calls, then their stages.
create function calls_sweep_stale(a_seconds float8, a_batch int) returns int language plpgsql as $$
declare
    stale uuid[];
begin
    stale := array(select r.id from call_records r
        where r.id in (select s.id from stuck_calls s where s.since < now() - a_seconds * interval '1 second' limit a_batch)
          and r.status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING')
        order by r.id for no key update skip locked);
    if stale = '{}' then
        return 0;
    end if;
    update call_records r set status = case when r.completed_run > 0 then 'COMPLETED' else 'FAILED' end,
        error_reason = case when r.completed_run > 0 then null else 'stale_job' end, updated_at = now(), finished_at = now(), publish_due = null
        from unnest(stale) k (id) where r.id = k.id;
    update call_stages t set state = 'SUPERSEDED', lease_until = null, publish_due = null, finished_at = now()
        from unnest(stale) k (id) where t.call_id = k.id and t.state in ('PENDING', 'RUNNING', 'WAITING');
    insert into call_count_deltas (kind) select 'swept' from unnest(stale);
    insert into call_count_deltas (kind, label) select 'failed', 'stale_job' from unnest(stale) k (id)
        join call_records r on r.id = k.id where r.status = 'FAILED';
    insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status, error_code)
        select r.id, r.tenant_id, r.user_id, r.run_no, case when r.status = 'FAILED' then 'SWEPT' else 'REPROCESS_FAILED' end,
            'FAILED', 'stale_job'
        from unnest(stale) k (id) join call_records r on r.id = k.id;
    return cardinality(stale);
end $$;
