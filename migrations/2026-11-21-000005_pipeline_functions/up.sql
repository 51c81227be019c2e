-- What workers do to a call, one function per step: one round trip, plans kept by the session, and only the
-- statements a case needs. The same steps written as one statement of many CTEs cost five times the processor
-- time. Rules that hold in each:
--   * the call row is locked first, then the stage row, then the rest: an operator's bulk DELETE locks in
--     this order, too;
--   * every write is fenced: by run and status of the call, and by the token of the lease;
--   * nothing is returned where the fence held.
-- Functions change by new migrations under new names, so that programs of two versions can run at once.

create type lease_row as (
    call_id uuid, run_no int, stage text, state text, lane text, lease_token uuid, starts int, tries int,
    tenant_id text, user_id uuid, direction text, contact_name text, phone_number text, user_display_name text,
    title text, recorded_at timestamptz, created_at timestamptz, audio_sha256 bytea, audio_key text,
    audio_type text, audio_bytes bigint, inputs jsonb, prior jsonb, job jsonb
);

-- What a program needs of a stage: all of it where it holds the stage, only the name where it announces it.
create function lease_of(c call_records, t call_stages, a_job jsonb) returns lease_row language plpgsql as $$
declare
    r lease_row;
begin
    if t.state is distinct from 'RUNNING' then
        r.call_id := c.id; r.run_no := c.run_no; r.stage := t.stage; r.state := t.state; r.lane := c.lane;
        r.tenant_id := c.tenant_id; r.user_id := c.user_id; r.direction := c.direction; r.created_at := c.created_at;
        return r;
    end if;
    select c.id, c.run_no, t.stage, t.state, c.lane, t.lease_token, t.starts, t.tries, c.tenant_id, c.user_id,
        c.direction, c.contact_name, c.phone_number, u.display_name, c.title, c.recorded_at, c.created_at,
        c.audio_sha256, a.storage_key, a.content_type, a.byte_size,
        coalesce((select jsonb_object_agg(i.stage, jsonb_build_object('ref', i.result_ref, 'engine', i.engine,
                'params', encode(i.params_hash, 'hex'), 'bytes', i.bytes, 'sha256', encode(i.sha256, 'hex'), 'details', i.details)) from call_stages i
            where i.call_id = c.id and i.run_no = c.run_no and i.state in ('SUCCEEDED', 'SKIPPED')), '{}'),
        null, a_job
        into r
        from (select 1) one
        left join users u on u.id = c.user_id
        left join call_artifacts a on a.call_id = c.id and a.artifact_type = 'TEMP_AUDIO';
    if c.run_no > 1 then
        -- The newest output of an earlier run, unless the call is to be paid for anew.
        r.prior := (select jsonb_build_object('ref', i.result_ref, 'engine', i.engine,
                'params', encode(i.params_hash, 'hex'), 'bytes', i.bytes, 'sha256', encode(i.sha256, 'hex'), 'details', i.details) from call_stages i
            where i.call_id = c.id and i.stage = t.stage and i.run_no < c.run_no and i.state in ('SUCCEEDED', 'SKIPPED')
              and i.params_hash is not null and (c.paid_since is null or i.finished_at >= c.paid_since)
            order by i.run_no desc limit 1);
    end if;
    return r;
end $$;

-- The fence of a run, and the first lock of every step: the call, locked, where it still is at this run and
-- status; null where it was reset, cancelled, deleted or finished.
create function call_lock(a_call uuid, a_run int, a_status text) returns call_records language plpgsql as $$
declare
    c call_records;
begin
    select * into c from call_records r where r.id = a_call and r.run_no = a_run and r.status = a_status
        for no key update;
    return c;
end $$;

-- Records a purchase for a stage that is held, unless a live purchase of the same key can serve. Two workers
-- who insert at once are told apart by the unique index on live rows.
create function job_buy(c call_records, a_stage text, j_id uuid, j_engine text, j_model text, j_params bytea,
    j_cost float8, j_owner text, j_lease float8) returns jsonb language plpgsql as $$
declare
    o provider_jobs;
    past int;
    stale boolean := false;
    v_cause text;
begin
    select * into o from provider_jobs j where j.live and j.tenant_id = c.tenant_id and j.stage = a_stage
        and j.engine = j_engine and j.params_hash = j_params and j.audio_sha256 = c.audio_sha256;
    if found and o.created_at < c.paid_since then
        update provider_jobs set live = false where id = o.id;
        stale := true;
    elsif found then
        return jsonb_build_object('id', o.id, 'mine', false, 'state', o.state, 'result_ref', o.result_ref,
            'bytes', o.result_bytes, 'sha256', encode(o.result_sha256, 'hex'),
            'held', coalesce(o.lease_until > now(), false), 'cause', o.cause, 'estimated_cost', o.estimated_cost::float8,
            'silent', not exists (select 1 from worker_heartbeats h where h.owner = o.lease_owner
                and h.beat_at > now() - interval '3 seconds'));
    end if;
    past := (select coalesce(max(p.purchase_no), 0) from provider_jobs p where p.tenant_id = c.tenant_id
        and p.stage = a_stage and p.engine = j_engine and p.params_hash = j_params and p.audio_sha256 = c.audio_sha256);
    v_cause := case when stale then 'reset' when past > 0 then 'retry' else 'first' end;
    insert into provider_jobs (id, tenant_id, stage, engine, model, params_hash, audio_sha256, purchase_no, state,
        cause, call_id, run_no, lease_owner, lease_until, sent_at, estimated_cost)
    values (j_id, c.tenant_id, a_stage, j_engine, j_model, j_params, c.audio_sha256, past + 1, 'sending',
        v_cause, c.id, c.run_no, j_owner, now() + j_lease * interval '1 second', now(), j_cost::numeric)
    on conflict do nothing;
    if not found then
        return '{"raced": true}';
    end if;
    return jsonb_build_object('id', j_id, 'mine', true, 'state', 'sending', 'held', true, 'cause', v_cause);
end $$;

-- The only way out of QUEUED: a compare-and-set that raises run_no.
create function run_start(a_call uuid, a_token uuid, a_owner text, a_lease float8, a_hint uuid, a_again float8,
    a_assembles boolean) returns setof lease_row language plpgsql as $$
declare
    c call_records;
    t call_stages;
    way text;
    first_stage text;
    mine boolean;
begin
    select * into c from call_records r where r.id = a_call and r.status = 'QUEUED' for no key update;
    if not found then
        return;
    end if;
    perform set_config('synchronous_commit', 'off', true);
    if exists (select 1 from call_artifacts a where a.call_id = a_call and a.artifact_type = 'TEMP_AUDIO') then
        way := 'run';
    elsif (select count(*) from call_artifacts a where a.call_id = a_call
           and a.artifact_type in ('RAW_TRANSCRIPT_JSON', 'DIARIZATION_JSON')) = 2 then
        way := 'rebuild';
    elsif c.completed_run > 0 then
        way := 'keep';
    else
        way := 'expire';
    end if;
    update call_records r set run_no = r.run_no + 1, publish_due = null, publish_n = 0, updated_at = now(),
        status = case way when 'keep' then 'COMPLETED' when 'expire' then 'FAILED' else 'TRANSCRIBING' end,
        error_reason = case way when 'expire' then 'temp_audio_expired' end,
        finished_at = case when way in ('keep', 'expire') then now() end,
        stages_done = case way when 'run' then 0 when 'rebuild' then 7 else r.stages_done end,
        force_paid = false, paid_since = case when r.force_paid then now() else r.paid_since end
        where r.id = a_call returning * into c;
    if way = 'keep' then
        insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status, error_code)
        values (c.id, c.tenant_id, c.user_id, c.run_no, 'REPROCESS_SKIPPED', 'SKIPPED', 'temp_audio_expired');
        return next lease_of(c, null, null);
        return;
    elsif way = 'expire' then
        insert into call_count_deltas (kind, label) values ('failed', 'temp_audio_expired');
        return next lease_of(c, null, null);
        return;
    elsif way = 'rebuild' then
        insert into call_stages (call_id, run_no, stage, tenant_id, state, skip_reason, engine, params_hash, result_ref,
            artifact_type, bytes, sha256, details, finished_at)
        select c.id, c.run_no, w.stage, c.tenant_id, 'SKIPPED', 'reused', p.engine, p.params_hash,
            coalesce(a.storage_key, p.result_ref), w.artifact_type, coalesce(a.byte_size, p.bytes), p.sha256, p.details, now()
        from (values ('preprocessing', 'PREPARED_AUDIO'), ('transcription', 'RAW_TRANSCRIPT_JSON'),
            ('diarization', 'DIARIZATION_JSON')) w (stage, artifact_type)
        left join call_artifacts a on a.call_id = a_call and a.artifact_type = w.artifact_type
        left join lateral (
            select * from call_stages o where o.call_id = a_call and o.stage = w.stage and o.state in ('SUCCEEDED', 'SKIPPED')
              and (a.storage_key is null or o.result_ref = a.storage_key)
            order by o.run_no desc limit 1) p on true;
    end if;
    first_stage := case way when 'run' then 'preprocessing' else 'assembly' end;
    mine := way = 'run' or a_assembles;
    insert into call_stages (call_id, run_no, stage, tenant_id, state, starts, lease_token, lease_owner, lease_until,
        hint_id, publish_due, publish_n, started_at)
    values (c.id, c.run_no, first_stage, c.tenant_id, case when mine then 'RUNNING' else 'PENDING' end,
        case when mine then 1 else 0 end, case when mine then a_token end, case when mine then a_owner end,
        case when mine then now() + a_lease * interval '1 second' end, case when mine then a_hint end,
        case when not mine then now() + a_again * interval '1 second' end, case when mine then 0 else 1 end,
        case when mine then now() end)
    returning * into t;
    return next lease_of(c, t, null);
end $$;

-- Claims a stage: PENDING or WAITING and due, or with a lease that ran out, or held by a process that is dead
-- by its beat and whose delivery came back. A paid stage records its purchase in the same step; only an
-- unpaid claim may be lost in a crash of the database, so only its commit is not awaited.
create function stage_claim(a_call uuid, a_run int, a_status text, a_stage text, a_token uuid, a_owner text,
    a_lease float8, a_hint uuid, a_redelivered boolean, a_silence float8,
    j_id uuid default null, j_engine text default null, j_model text default null, j_params bytea default null,
    j_cost float8 default null, j_owner text default null, j_lease float8 default null)
    returns setof lease_row language plpgsql as $$
declare
    c call_records;
    t call_stages;
    v_job jsonb;
begin
    c := call_lock(a_call, a_run, a_status);
    if c.id is null then
        return;
    end if;
    update call_stages s set state = 'RUNNING', starts = s.starts + 1, lease_token = a_token, lease_owner = a_owner,
        lease_until = now() + a_lease * interval '1 second', hint_id = a_hint, publish_due = null, started_at = now()
        where s.call_id = a_call and s.run_no = a_run and s.stage = a_stage and (
            (s.state in ('PENDING', 'WAITING') and (s.not_before is null or s.not_before <= now()))
            or (s.state = 'RUNNING' and (s.lease_until < now() or (a_redelivered and s.hint_id = a_hint and not exists (
                select 1 from worker_heartbeats h where h.owner = s.lease_owner
                  and h.beat_at > now() - a_silence * interval '1 second')))))
        returning * into t;
    if not found then
        return;
    end if;
    update call_records set updated_at = now() where id = a_call;
    if j_id is null then
        perform set_config('synchronous_commit', 'off', true);
    else
        v_job := job_buy(c, a_stage, j_id, j_engine, j_model, j_params, j_cost, j_owner, j_lease);
    end if;
    return next lease_of(c, t, v_job);
end $$;

-- Records a purchase for a stage that is held already.
create function job_begin(a_call uuid, a_run int, a_status text, a_stage text, a_token uuid,
    j_id uuid, j_engine text, j_model text, j_params bytea, j_cost float8, j_owner text, j_lease float8)
    returns setof lease_row language plpgsql as $$
declare
    c call_records;
    t call_stages;
begin
    c := call_lock(a_call, a_run, a_status);
    if c.id is null then
        return;
    end if;
    select * into t from call_stages s where s.call_id = a_call and s.run_no = a_run and s.stage = a_stage
        and s.lease_token = a_token and s.state = 'RUNNING';
    if not found then
        return;
    end if;
    return next lease_of(c, t, job_buy(c, a_stage, j_id, j_engine, j_model, j_params, j_cost, j_owner, j_lease));
end $$;

create function events_note(c call_records, a_events jsonb) returns void language plpgsql as $$
begin
    if jsonb_array_length(a_events) = 1 then
        insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status, provider, duration_ms, error_code)
        values (c.id, c.tenant_id, c.user_id, c.run_no, a_events->0->>'stage', a_events->0->>'status', a_events->0->>'provider',
            (a_events->0->>'duration_ms')::bigint, a_events->0->>'error_code');
    elsif jsonb_array_length(a_events) > 1 then
        insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status, provider, duration_ms, error_code)
        select c.id, c.tenant_id, c.user_id, c.run_no, e.stage, e.status, e.provider, e.duration_ms, e.error_code
        from jsonb_to_recordset(a_events) as e(stage text, status text, provider text, duration_ms bigint, error_code text);
    end if;
end $$;

-- The part of every Finish that concerns its own stage. Gives the call, locked; null where the fence held.
create function stage_end(a_call uuid, a_run int, a_status text, a_stage text, a_token uuid, a_state text, a_skip text,
    a_engine text, a_params bytea, a_ref text, a_type text, a_bytes bigint, a_sha256 bytea, a_details jsonb,
    a_events jsonb, j_id uuid, j_units float8, j_unit text, j_billed float8) returns call_records language plpgsql as $$
declare
    c call_records;
    mine boolean := false;
begin
    c := call_lock(a_call, a_run, a_status);
    if c.id is not null then
        update call_stages i set state = a_state, skip_reason = a_skip, outcomes = i.outcomes + 1, finished_at = now(),
            lease_until = null, engine = a_engine, params_hash = a_params, result_ref = a_ref, artifact_type = a_type,
            bytes = a_bytes, sha256 = a_sha256, details = a_details, error_code = null, error_message = null
            where i.call_id = a_call and i.run_no = a_run and i.stage = a_stage and i.lease_token = a_token and i.state = 'RUNNING';
        mine := found;
    end if;
    if j_id is not null then
        -- Not fenced: an answer that was paid for is kept even when the run that asked for it is over.
        update provider_jobs set state = 'succeeded', result_ref = a_ref, result_bytes = a_bytes, result_sha256 = a_sha256,
            units = j_units, unit = j_unit, billed_cost = j_billed::numeric, lease_until = null, finished_at = now()
            where id = j_id and state <> 'succeeded';
    end if;
    if not mine then
        return null;
    end if;
    perform events_note(c, a_events);
    return c;
end $$;

-- Finishes preprocessing, transcription or diarization and makes the stages ready whose needs are met. The
-- stage named k_stage is held by this worker at once, and bought where a purchase is given.
create function stage_finish(a_call uuid, a_run int, a_status text, a_stage text, a_token uuid, a_state text, a_skip text,
    a_engine text, a_params bytea, a_ref text, a_type text, a_bytes bigint, a_sha256 bytea, a_details jsonb, a_bit int,
    a_duration float8, a_events jsonb, j_id uuid, j_units float8, j_unit text, j_billed float8, a_again float8,
    k_stage text default null, k_token uuid default null, k_owner text default null, k_lease float8 default null,
    k_hint uuid default null,
    n_id uuid default null, n_engine text default null, n_model text default null, n_params bytea default null,
    n_cost float8 default null, n_owner text default null, n_lease float8 default null)
    returns setof lease_row language plpgsql as $$
declare
    c call_records;
    t call_stages;
    v_job jsonb;
    ready int := 0;
begin
    c := stage_end(a_call, a_run, a_status, a_stage, a_token, a_state, a_skip, a_engine, a_params, a_ref, a_type,
        a_bytes, a_sha256, a_details, a_events, j_id, j_units, j_unit, j_billed);
    if c.id is null then
        return;
    end if;
    update call_records r set stages_done = r.stages_done | a_bit, updated_at = now(),
        duration_seconds = coalesce(a_duration, r.duration_seconds)
        where r.id = a_call returning * into c;
    for t in
        insert into call_stages (call_id, run_no, stage, tenant_id, state, starts, publish_due, publish_n, lease_token,
            lease_owner, lease_until, hint_id, started_at)
        select c.id, c.run_no, g.stage, c.tenant_id, case when g.held then 'RUNNING' else 'PENDING' end,
            case when g.held then 1 else 0 end,
            case when not g.held then now() + a_again * interval '1 second' end, case when g.held then 0 else 1 end,
            case when g.held then k_token end, case when g.held then k_owner end,
            case when g.held then now() + k_lease * interval '1 second' end, case when g.held then k_hint end,
            case when g.held then now() end
        from (select v.*, coalesce(v.stage = k_stage, false) as held from (values
            ('transcription', 2, 1), ('diarization', 4, 1), ('assembly', 8, 7)) v (stage, bit, needs)) g
        where c.stages_done & g.needs = g.needs and c.stages_done & g.bit = 0
        on conflict do nothing
        returning *
    loop
        ready := ready + 1;
        v_job := null;
        if n_id is not null and t.state = 'RUNNING' then
            v_job := job_buy(c, k_stage, n_id, n_engine, n_model, n_params, n_cost, n_owner, n_lease);
        end if;
        return next lease_of(c, t, v_job);
    end loop;
    if ready = 0 then
        return next lease_of(c, null, null);
    end if;
end $$;

-- Makes the outputs of this run the artifacts that readers see, and lets the objects they replace go an hour
-- later, when no reader can be in the middle of one any more.
create function artifacts_publish(c call_records) returns void language plpgsql as $$
begin
    if c.run_no > 1 then
        insert into storage_tombstones (target, due_at)
        select a.storage_key, now() + interval '1 hour' from call_artifacts a
        join call_stages o on o.call_id = a.call_id and o.run_no = c.run_no and o.artifact_type = a.artifact_type
        where a.call_id = c.id and o.result_ref <> a.storage_key and o.state in ('SUCCEEDED', 'SKIPPED');
    end if;
    insert into call_artifacts as a (call_id, artifact_type, storage_key, content_type, byte_size, run_no)
    select c.id, o.artifact_type, o.result_ref,
        case o.artifact_type when 'PREPARED_AUDIO' then 'audio/wav' else 'application/json' end, o.bytes, c.run_no
    from call_stages o where o.call_id = c.id and o.run_no = c.run_no and o.result_ref is not null
        and o.state in ('SUCCEEDED', 'SKIPPED')
        -- What assembly published is not written a second time.
        and not exists (select 1 from call_artifacts p where p.call_id = c.id and p.artifact_type = o.artifact_type
            and p.storage_key = o.result_ref and p.run_no = c.run_no)
    on conflict (call_id, artifact_type) do update set storage_key = excluded.storage_key,
        content_type = excluded.content_type, byte_size = excluded.byte_size, run_no = excluded.run_no, created_at = now();
end $$;

-- The transcript becomes readable here when none was.
create function assembly_finish(a_call uuid, a_run int, a_status text, a_stage text, a_token uuid, a_state text, a_skip text,
    a_engine text, a_params bytea, a_ref text, a_type text, a_bytes bigint, a_sha256 bytea, a_details jsonb, a_bit int,
    a_duration float8, a_events jsonb, j_id uuid, j_units float8, j_unit text, j_billed float8, a_again float8,
    a_analyse boolean) returns setof lease_row language plpgsql as $$
declare
    c call_records;
    t call_stages;
begin
    c := stage_end(a_call, a_run, a_status, a_stage, a_token, a_state, a_skip, a_engine, a_params, a_ref, a_type,
        a_bytes, a_sha256, a_details, a_events, j_id, j_units, j_unit, j_billed);
    if c.id is null then
        return;
    end if;
    update call_records r set stages_done = r.stages_done | a_bit | case when a_analyse then 0 else 16 end,
        updated_at = now(), duration_seconds = coalesce(a_duration, r.duration_seconds),
        status = case when a_analyse then 'ANALYZING' else 'COMPLETED' end,
        finished_at = case when a_analyse then null else now() end,
        completed_run = case when a_analyse then r.completed_run else r.run_no end
        where r.id = a_call returning * into c;
    if a_analyse then
        insert into call_stages (call_id, run_no, stage, tenant_id, state, publish_due, publish_n)
        values (c.id, c.run_no, 'analysis', c.tenant_id, 'PENDING', now() + a_again * interval '1 second', 1)
        on conflict do nothing returning * into t;
    else
        insert into call_stages (call_id, run_no, stage, tenant_id, state, skip_reason, finished_at)
        values (c.id, c.run_no, 'analysis', c.tenant_id, 'SKIPPED', 'disabled', now()) on conflict do nothing;
        insert into call_count_deltas (kind, seconds)
        values ('completed', case when c.lane = 'live' then extract(epoch from now() - c.created_at) end);
    end if;
    if not a_analyse or not exists (select 1 from call_artifacts v where v.call_id = a_call
            and v.artifact_type = 'NORMALIZED_TRANSCRIPT_JSON') then
        perform artifacts_publish(c);
    end if;
    return next lease_of(c, t, null);
end $$;

-- Completes the run: all artifacts of it become current together. Action items that a person has touched are
-- left alone.
create function analysis_finish(a_call uuid, a_run int, a_status text, a_stage text, a_token uuid, a_state text, a_skip text,
    a_engine text, a_params bytea, a_ref text, a_type text, a_bytes bigint, a_sha256 bytea, a_details jsonb, a_bit int,
    a_duration float8, a_events jsonb, j_id uuid, j_units float8, j_unit text, j_billed float8, a_again float8,
    a_title text, a_summary text, a_tags text[], a_items jsonb, a_mood jsonb) returns setof lease_row language plpgsql as $$
declare
    c call_records;
begin
    c := stage_end(a_call, a_run, a_status, a_stage, a_token, a_state, a_skip, a_engine, a_params, a_ref, a_type,
        a_bytes, a_sha256, a_details, a_events, j_id, j_units, j_unit, j_billed);
    if c.id is null then
        return;
    end if;
    update call_records r set stages_done = r.stages_done | a_bit, updated_at = now(), status = 'COMPLETED',
        finished_at = now(), completed_run = r.run_no, duration_seconds = coalesce(a_duration, r.duration_seconds),
        title = case when r.title is null or r.title_source = 'ANALYSIS' then coalesce(a_title, r.title) else r.title end,
        title_source = case when r.title is null or r.title_source = 'ANALYSIS' then
            case when coalesce(a_title, r.title) is not null then 'ANALYSIS' end else r.title_source end,
        short_summary = case when r.summary_source = 'USER' then r.short_summary else coalesce(a_summary, r.short_summary) end,
        summary_source = case when r.summary_source = 'USER' then 'USER'
            when coalesce(a_summary, r.short_summary) is not null then 'ANALYSIS' end,
        tags = case when a_state = 'SUCCEEDED' then a_tags else r.tags end
        where r.id = a_call returning * into c;
    perform artifacts_publish(c);
    if c.run_no > 1 and a_state = 'SUCCEEDED' then
        delete from action_items a where a.call_record_id = a_call and a.source = 'AI' and a.touched_at is null
            and not a.identity in (select d->>'identity' from jsonb_array_elements(a_items) d);
    end if;
    if jsonb_array_length(a_items) > 0 then
        insert into action_items (call_record_id, tenant_id, user_id, title, description, due_date, priority, source,
            owner_speaker_id, owner_speaker_label, owner_display_name, owner_role, source_segment_ids_json, source_text,
            intent, intent_metadata_json, identity)
        select c.id, c.tenant_id, c.user_id, d.title, d.description, d.due_date, d.priority, 'AI', d.owner_speaker_id,
            d.owner_speaker_label, d.owner_display_name, d.owner_role, d.source_segment_ids, d.source_text, d.intent,
            d.intent_metadata, d.identity
        from jsonb_to_recordset(a_items) as d(title text, description text, due_date date, priority text,
            owner_speaker_id text, owner_speaker_label text, owner_display_name text, owner_role text,
            source_segment_ids jsonb, source_text text, intent text, intent_metadata jsonb, identity text)
        on conflict (call_record_id, identity) do update set title = excluded.title, description = excluded.description,
            due_date = excluded.due_date, priority = excluded.priority, owner_speaker_id = excluded.owner_speaker_id,
            owner_speaker_label = excluded.owner_speaker_label, owner_display_name = excluded.owner_display_name,
            owner_role = excluded.owner_role, source_segment_ids_json = excluded.source_segment_ids_json,
            source_text = excluded.source_text, intent = excluded.intent,
            intent_metadata_json = excluded.intent_metadata_json, updated_at = now()
        where action_items.touched_at is null;
    end if;
    if a_mood is not null then
        insert into call_sentiment_summary (call_record_id, tenant_id, user_id, recorded_at, sentiment_overall, user_sentiment,
            contact_sentiment, tone_overall, tone_formality, tone_energy, tone_pace)
        values (c.id, c.tenant_id, c.user_id, coalesce(c.recorded_at, c.created_at), a_mood->>'sentimentOverall',
            a_mood->>'userSentiment', a_mood->>'contactSentiment', a_mood->>'toneOverall', a_mood->>'toneFormality',
            a_mood->>'toneEnergy', a_mood->>'tonePace')
        on conflict (call_record_id) do update set recorded_at = excluded.recorded_at,
            sentiment_overall = excluded.sentiment_overall, user_sentiment = excluded.user_sentiment,
            contact_sentiment = excluded.contact_sentiment, tone_overall = excluded.tone_overall,
            tone_formality = excluded.tone_formality, tone_energy = excluded.tone_energy, tone_pace = excluded.tone_pace;
    end if;
    insert into call_count_deltas (kind, seconds)
    values ('completed', case when c.lane = 'live' then extract(epoch from now() - c.created_at) end);
    return next lease_of(c, null, null);
end $$;

-- How a purchase ended that gave no answer.
create function job_end(j_id uuid, j_state text, a_code text) returns void language plpgsql as $$
begin
    if j_id is not null then
        update provider_jobs set state = j_state, live = live and j_state <> 'failed', lease_until = null, error_code = a_code,
            finished_at = case when j_state = 'failed' then now() end
            where id = j_id and state not in ('succeeded', 'failed');
    end if;
end $$;

-- The stage waits for another attempt, or for something outside.
create function stage_set_back(a_call uuid, a_run int, a_status text, a_stage text, a_token uuid, a_events jsonb, a_code text,
    j_id uuid, j_state text, a_state text, a_counts int, a_delay float8, a_again float8)
    returns table (lane text, tenant_id text) language plpgsql as $$
declare
    c call_records;
    mine boolean := false;
begin
    c := call_lock(a_call, a_run, a_status);
    if c.id is not null then
        update call_stages i set state = a_state, outcomes = i.outcomes + 1, tries = i.tries + a_counts,
            not_before = now() + a_delay * interval '1 second',
            publish_due = now() + case when a_delay = 0 then a_again else a_delay end * interval '1 second',
            publish_n = 1, lease_until = null, error_code = a_code
            where i.call_id = a_call and i.run_no = a_run and i.stage = a_stage and i.lease_token = a_token and i.state = 'RUNNING';
        mine := found;
    end if;
    perform job_end(j_id, j_state, a_code);
    if not mine then
        return;
    end if;
    update call_records set updated_at = now() where id = a_call;
    perform events_note(c, a_events);
    return query select c.lane::text, c.tenant_id;
end $$;

-- A run that fails leaves an earlier result in place: the call returns to COMPLETED with it.
create function stage_fail(a_call uuid, a_run int, a_status text, a_stage text, a_token uuid, a_events jsonb, a_code text,
    j_id uuid, j_state text) returns table (lane text, tenant_id text) language plpgsql as $$
declare
    c call_records;
    mine boolean := false;
begin
    c := call_lock(a_call, a_run, a_status);
    if c.id is not null then
        update call_stages i set state = 'FAILED', outcomes = i.outcomes + 1, tries = i.tries + 1, finished_at = now(),
            lease_until = null, error_code = a_code
            where i.call_id = a_call and i.run_no = a_run and i.stage = a_stage and i.lease_token = a_token and i.state = 'RUNNING';
        mine := found;
    end if;
    perform job_end(j_id, j_state, a_code);
    if not mine then
        return;
    end if;
    update call_stages i set state = 'SUPERSEDED', lease_until = null, publish_due = null, finished_at = now()
        where i.call_id = a_call and i.run_no = a_run and i.stage <> a_stage and i.state in ('PENDING', 'RUNNING', 'WAITING');
    update call_records r set updated_at = now(), finished_at = now(),
        status = case when r.completed_run > 0 then 'COMPLETED' else 'FAILED' end,
        error_reason = case when r.completed_run > 0 then null else a_code end
        where r.id = a_call returning * into c;
    perform events_note(c, a_events);
    if c.status = 'FAILED' then
        insert into call_count_deltas (kind, label) values ('failed', c.error_reason);
    else
        insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status, error_code)
        values (c.id, c.tenant_id, c.user_id, c.run_no, 'REPROCESS_FAILED', 'FAILED', a_code);
    end if;
    return query select c.lane::text, c.tenant_id;
end $$;

-- Writes an accepted upload: the call, its audio and, where the request has a key, the answer to repeat. Gives
-- nothing where the key is no longer held for this call.
create function call_accept(a_id uuid, a_tenant text, a_user uuid, a_title text, a_contact_name text, a_contact_id text,
    a_phone text, a_organization text, a_direction text, a_recorded timestamptz, a_duration float8, a_file_name text,
    a_reference text, a_metadata jsonb, a_announced boolean, a_key_of_audio text, a_type text, a_bytes bigint,
    a_sha256 bytea, a_route text, a_key text, a_response jsonb, a_again float8)
    returns table (yes boolean) language plpgsql as $$
begin
    if a_key is not null then
        update idempotency_keys k set state = 'DONE', fingerprint = a_sha256, response = a_response
            where k.user_id = a_user and k.route = a_route and k.key = a_key and k.call_id = a_id and k.state = 'OPEN';
        if not found then
            return;
        end if;
    end if;
    insert into call_records (id, tenant_id, user_id, title, title_source, contact_name, contact_id, phone_number, organization,
        direction, recorded_at, duration_seconds, original_file_name, client_reference, metadata, audio_sha256, publish_due, publish_n)
    values (a_id, a_tenant, a_user, a_title, case when a_title is not null then 'CLIENT' end, a_contact_name, a_contact_id,
        a_phone, a_organization, a_direction, a_recorded, a_duration, a_file_name, a_reference, a_metadata, a_sha256,
        case when a_announced then now() + a_again * interval '1 second' end, case when a_announced then 1 else 0 end);
    insert into call_artifacts (call_id, artifact_type, storage_key, content_type, byte_size, run_no)
    values (a_id, 'TEMP_AUDIO', a_key_of_audio, a_type, a_bytes, 0);
    insert into call_count_deltas (kind, label) values ('uploaded', a_direction);
    return query select true;
end $$;

update schema_floor set oldest_program = '20261121000005';
