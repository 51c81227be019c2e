-- What workers do to calls: one function per kind of step, each for many calls at once. A step is a JSON object
-- (the composite types below say what is in it), the argument is an array of them with at most one step of a
-- call; steps that are asked for together share a round trip, a commit and the start of each statement. Rules
-- that hold in each function:
--   * call rows are locked first, in the order of their ids, then stage rows, then the rest: an operator's bulk
--     DELETE locks in this order, too;
--   * every write is fenced: by run and status of the call, and by the token of the lease;
--   * nothing is returned for a call whose fence held;
--   * rows are found by key, through unnest of what is already known, never by a scan; what must not be there is
--     asked for as `(select true …) is null`, which is always a look-up (`not exists` may become a join).
-- Functions change by new migrations under new names, so that programs of two versions can run at once.

create type lease_row as (
    call_id uuid, run_no int, stage text, state text, lane text, lease_token uuid, starts int, tries int,
    tenant_id text, user_id uuid, direction text, contact_name text, phone_number text, user_display_name text,
    title text, recorded_at timestamptz, created_at timestamptz, audio_sha256 bytea, audio_key text,
    audio_type text, audio_bytes bigint, inputs jsonb, prior jsonb, job jsonb
);

-- Leaves QUEUED. `lease`, `again`: seconds. `assembles`: this worker can hold the assembly of a rebuild. `unprepared`:
-- preprocessing is switched off; then the step has the fields of a finish_step of preprocessing, too.
create type start_step as (
    call_id uuid, token uuid, owner text, lease float8, hint uuid, again float8, assembles boolean, unprepared boolean
);

-- Takes a stage. Where j_id is given, its purchase is recorded too. `silence`: seconds without a beat after which
-- the owner of a delivery that came back is dead.
create type claim_step as (
    call_id uuid, run_no int, status text, stage text, token uuid, owner text, lease float8, hint uuid,
    redelivered boolean, silence float8, j_id uuid, j_engine text, j_model text, j_params bytea, j_cost float8
);

-- Ends a stage well. k_…: the stage that this worker goes on with, n_…: its purchase. `to_analyse`: an analysis follows
-- assembly. From `title` on: what an analysis leaves besides its document.
create type finish_step as (
    call_id uuid, run_no int, status text, stage text, token uuid, state text, skip text, engine text, params bytea,
    ref text, artifact_type text, bytes bigint, sha256 bytea, details jsonb, bit int, duration float8, events jsonb,
    j_id uuid, j_units float8, j_unit text, j_billed float8, again float8,
    k_stage text, k_token uuid, k_owner text, k_lease float8, k_hint uuid,
    n_id uuid, n_engine text, n_model text, n_params bytea, n_cost float8,
    to_analyse boolean, title text, summary text, tags jsonb, items jsonb, mood jsonb
);

-- Ends an attempt without a result: for another one, or for good where `state` is FAILED.
create type set_back_step as (
    call_id uuid, run_no int, status text, stage text, token uuid, events jsonb, code text, j_id uuid, j_state text,
    state text, counts int, delay float8, again float8
);

create type buy_want as (
    call_id uuid, run_no int, tenant_id text, stage text, audio_sha256 bytea, paid_since timestamptz,
    j_id uuid, j_engine text, j_model text, j_params bytea, j_cost float8, owner text, lease float8
);

-- The fence of a run, and the first lock of every step: gives the calls, locked, that still are at this run and
-- status; not those that were reset, cancelled, deleted or finished.
create function calls_lock(a_steps jsonb) returns uuid[] language plpgsql as $$
begin
    return array(select r.id from jsonb_to_recordset(a_steps) s (call_id uuid, run_no int, status text)
        join call_records r on r.id = s.call_id and r.run_no = s.run_no and r.status = s.status
        order by r.id for no key update of r);
end $$;

-- What a program needs of stages: all of it where it holds the stage, little where it announces it. A call
-- without a stage among a_stages gives one row without a stage. a_jobs: purchases by call.
create function lease_rows(a_calls uuid[], a_stages call_stages[], a_jobs jsonb) returns setof lease_row language plpgsql as $$
begin
    return query
    select c.id, c.run_no, t.stage::text, t.state::text, c.lane::text, t.lease_token, t.starts, t.tries, c.tenant_id, c.user_id,
        c.direction::text, c.contact_name, c.phone_number, u.display_name, c.title, c.recorded_at, c.created_at,
        c.audio_sha256::bytea, a.storage_key, a.content_type, a.byte_size::bigint,
        case when t.state = 'RUNNING' then (select coalesce(jsonb_object_agg(i.stage, output_json(i)), '{}') from call_stages i
            where i.call_id = c.id and i.run_no = c.run_no and i.state in ('SUCCEEDED', 'SKIPPED')) end,
        -- The newest output of an earlier run, unless the call is to be paid for anew.
        case when t.state = 'RUNNING' and c.run_no > 1 then (select output_json(i) from call_stages i
            where i.call_id = c.id and i.stage = t.stage and i.run_no < c.run_no and i.state in ('SUCCEEDED', 'SKIPPED')
              and i.params_hash is not null and (c.paid_since is null or i.finished_at >= c.paid_since)
            order by i.run_no desc limit 1) end,
        a_jobs -> c.id::text
    from unnest(a_calls) k (id)
    join call_records c on c.id = k.id
    left join unnest(a_stages) t on t.call_id = k.id
    left join users u on t.state = 'RUNNING' and u.id = c.user_id
    left join call_artifacts a on t.state = 'RUNNING' and a.call_id = c.id and a.artifact_type = 'TEMP_AUDIO';
end $$;

create function output_json(i call_stages) returns jsonb language sql stable as $$
    select jsonb_build_object('ref', i.result_ref, 'engine', i.engine, 'params', encode(i.params_hash, 'hex'),
        'bytes', i.bytes, 'sha256', encode(i.sha256, 'hex'), 'details', i.details)
$$;

-- Records purchases for stages that are held, where no live purchase of the same key can serve. Gives them by
-- call. Two workers who insert at once are told apart by the unique index on live rows.
create function jobs_buy(a_wants buy_want[]) returns jsonb language plpgsql as $$
declare
    w buy_want;
    jobs jsonb;
begin
    with bought as (
        insert into provider_jobs (id, tenant_id, stage, engine, model, params_hash, audio_sha256, purchase_no, state, cause,
            call_id, run_no, lease_owner, lease_until, sent_at, estimated_cost)
        select n.j_id, n.tenant_id, n.stage, n.j_engine, n.j_model, n.j_params, n.audio_sha256, past.n + 1, 'sending',
            case when past.n > 0 then 'retry' else 'first' end, n.call_id, n.run_no, n.owner,
            now() + n.lease * interval '1 second', now(), n.j_cost::numeric
        from unnest(a_wants) n
        cross join lateral (select coalesce(max(p.purchase_no), 0) as n from provider_jobs p where p.tenant_id = n.tenant_id
            and p.stage = n.stage and p.engine = n.j_engine and p.params_hash = n.j_params and p.audio_sha256 = n.audio_sha256) past
        where (select true from provider_jobs j where j.live and j.tenant_id = n.tenant_id and j.stage = n.stage
            and j.engine = n.j_engine and j.params_hash = n.j_params and j.audio_sha256 = n.audio_sha256) is null
        on conflict do nothing
        returning id, call_id, cause)
    select coalesce(jsonb_object_agg(b.call_id, jsonb_build_object('id', b.id, 'mine', true, 'state', 'sending', 'held', true,
        'cause', b.cause)), '{}') into jobs from bought b;
    foreach w in array a_wants loop
        if not jobs ? w.call_id::text then
            jobs := jobs || jsonb_build_object(w.call_id, job_find(w));
        end if;
    end loop;
    return jobs;
end $$;

-- The live purchase that stands in the way of another; one from before the call was to be paid for anew is
-- replaced.
create function job_find(w buy_want) returns jsonb language plpgsql as $$
declare
    o provider_jobs;
begin
    select * into o from provider_jobs j where j.live and j.tenant_id = w.tenant_id and j.stage = w.stage
        and j.engine = w.j_engine and j.params_hash = w.j_params and j.audio_sha256 = w.audio_sha256;
    if found and coalesce(o.created_at >= w.paid_since, true) then
        return jsonb_build_object('id', o.id, 'mine', false, 'state', o.state, 'result_ref', o.result_ref,
            'bytes', o.result_bytes, 'sha256', encode(o.result_sha256, 'hex'),
            'held', coalesce(o.lease_until > now(), false), 'cause', o.cause, 'estimated_cost', o.estimated_cost::float8,
            'silent', not exists (select 1 from worker_heartbeats h where h.owner = o.lease_owner
                and h.beat_at > now() - interval '3 seconds'));
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

-- Stages that became ready, and purchases by call.
create type next_stages as (ready call_stages[], jobs jsonb);

-- Makes those stages ready whose needs are met by what is done, and holds the one that the worker goes on with.
-- a_paid: some of these have a purchase.
create function stages_next(a_done finish_step[], a_paid boolean) returns next_stages language plpgsql as $$
declare
    n next_stages;
begin
    with made as (
        insert into call_stages as t (call_id, run_no, stage, tenant_id, state, skip_reason, finished_at, starts, publish_due,
            publish_n, lease_token, lease_owner, lease_until, hint_id, started_at)
        select g.call_id, g.run_no, g.stage, g.tenant_id,
            case when g.off then 'SKIPPED' when g.held then 'RUNNING' else 'PENDING' end,
            case when g.off then 'disabled' end, case when g.off then now() end,
            case when g.held then 1 else 0 end,
            case when not g.held and not g.off then now() + g.again * interval '1 second' end,
            case when g.held or g.off then 0 else 1 end,
            case when g.held then g.k_token end, case when g.held then g.k_owner end,
            case when g.held then now() + g.k_lease * interval '1 second' end, case when g.held then g.k_hint end,
            case when g.held then now() end
        from (
            select s.call_id, c.run_no, s.again, s.k_token, s.k_owner, s.k_lease, s.k_hint, c.tenant_id, v.stage,
                coalesce(v.stage = s.k_stage, false) as held, v.stage = 'analysis' and not s.to_analyse as off
            from unnest(a_done) s join call_records c on c.id = s.call_id
            cross join (values ('transcription', 2, 1), ('diarization', 4, 1), ('assembly', 8, 7), ('analysis', 16, 15))
                v (stage, bit, needs)
            where v.needs & s.bit <> 0 and c.stages_done & v.needs = v.needs
              and (c.stages_done & v.bit = 0 or (v.stage = 'analysis' and not s.to_analyse))) g
        on conflict do nothing
        returning t)
    select array_agg(m.t) into n.ready from made m;
    if a_paid then
        n.jobs := jobs_buy(array(select (r.id, r.run_no, r.tenant_id, s.k_stage, r.audio_sha256, r.paid_since, s.n_id, s.n_engine,
                s.n_model, s.n_params, s.n_cost, s.k_owner, s.k_lease)::buy_want
            from unnest(n.ready) t join unnest(a_done) s on s.call_id = t.call_id and s.n_id is not null
            join call_records r on r.id = t.call_id where t.state = 'RUNNING'));
    end if;
    return n;
end $$;

-- The only way out of QUEUED: a compare-and-set that raises run_no. Where preprocessing is switched off and the
-- API could read what the recording is, the run begins behind it.
create function runs_start(a_steps jsonb) returns setof lease_row language plpgsql as $$
declare
    steps start_step[] := array(select s from jsonb_populate_recordset(null::start_step, a_steps) s);
    -- A variable, because the word itself would lead into an index of live calls instead of the key.
    expected text := 'QUEUED';
    queued uuid[] := array(select r.id from unnest(steps) s join call_records r on r.id = s.call_id and r.status = expected
        order by r.id for no key update of r);
    heard uuid[];
    known uuid[];
    held call_stages[];
    behind next_stages;
    s start_step;
begin
    if queued = '{}' then
        return;
    end if;
    select array_agg(a.call_id), coalesce(array_agg(a.call_id) filter (where n.unprepared and a.details is not null), '{}')
        into heard, known
        from unnest(queued) q (id) join unnest(steps) n on n.call_id = q.id
        join call_artifacts a on a.call_id = q.id and a.artifact_type = 'TEMP_AUDIO';
    update call_records r set run_no = r.run_no + 1, publish_due = null, publish_n = 0, updated_at = now(), status = 'TRANSCRIBING',
        stages_done = case when r.id = any(known) then 1 else 0 end,
        force_paid = false, paid_since = case when r.force_paid then now() else r.paid_since end
        from unnest(heard) k (id) where r.id = k.id;
    with made as (
        insert into call_stages as t (call_id, run_no, stage, tenant_id, state, starts, lease_token, lease_owner, lease_until,
            hint_id, started_at, skip_reason, details, finished_at)
        select c.id, c.run_no, 'preprocessing', c.tenant_id, case when g.off then 'SKIPPED' else 'RUNNING' end,
            case when g.off then 0 else 1 end, case when not g.off then n.token end, case when not g.off then n.owner end,
            case when not g.off then now() + n.lease * interval '1 second' end, case when not g.off then n.hint end,
            case when not g.off then now() end, case when g.off then 'disabled' end,
            case when g.off then a.details end, case when g.off then now() end
        from unnest(heard) k (id) join unnest(steps) n on n.call_id = k.id join call_records c on c.id = k.id
        join call_artifacts a on a.call_id = k.id and a.artifact_type = 'TEMP_AUDIO'
        cross join lateral (select k.id = any(known) as off) g
        returning t)
    select array_agg(m.t) filter (where (m.t).state = 'RUNNING') into held from made m;
    if known <> '{}' then
        insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status)
        select c.id, c.tenant_id, c.user_id, c.run_no, 'AUDIO_PREPROCESSED', 'SKIPPED'
        from unnest(known) k (id) join call_records c on c.id = k.id;
        behind := stages_next(array(select f from jsonb_populate_recordset(null::finish_step, a_steps) f where f.call_id = any(known)),
            a_steps @? '$[*].n_id');
        held := held || behind.ready;
    end if;
    if coalesce(cardinality(heard), 0) < cardinality(queued) then
        foreach s in array steps loop
            if s.call_id = any(queued) and not s.call_id = any(coalesce(heard, '{}')) then
                held := held || run_start_without_audio(s);
            end if;
        end loop;
    end if;
    if behind.jobs is null then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    return query select * from lease_rows(queued, held, behind.jobs);
end $$;

-- With its audio gone, a call whose raw transcript and diarization are kept begins at assembly; one that has
-- results returns to COMPLETED with them; any other fails.
create function run_start_without_audio(s start_step) returns call_stages[] language plpgsql as $$
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
    insert into call_stages (call_id, run_no, stage, tenant_id, state, skip_reason, engine, params_hash, result_ref,
        artifact_type, bytes, sha256, details, finished_at)
    select c.id, c.run_no, w.stage, c.tenant_id, 'SKIPPED', 'reused', p.engine, p.params_hash,
        coalesce(a.storage_key, p.result_ref), w.artifact_type, coalesce(a.byte_size, p.bytes), p.sha256, p.details, now()
    from (values ('preprocessing', 'PREPARED_AUDIO'), ('transcription', 'RAW_TRANSCRIPT_JSON'),
        ('diarization', 'DIARIZATION_JSON')) w (stage, artifact_type)
    left join call_artifacts a on a.call_id = c.id and a.artifact_type = w.artifact_type
    left join lateral (
        select * from call_stages o where o.call_id = c.id and o.stage = w.stage and o.state in ('SUCCEEDED', 'SKIPPED')
          and (a.storage_key is null or o.result_ref = a.storage_key)
        order by o.run_no desc limit 1) p on true;
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

-- Claims stages: PENDING or WAITING and due, or with a lease that ran out, or held by a process that is dead by
-- its beat and whose delivery came back. A paid stage records its purchase in the same step; only unpaid claims
-- may be lost in a crash of the database, so only their commit is not awaited.
create function stages_claim(a_steps jsonb) returns setof lease_row language plpgsql as $$
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
            or (t.state = 'RUNNING' and (t.lease_until < now() or (s.redelivered and t.hint_id = s.hint and not exists (
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

-- Records purchases for stages that are held already.
create function jobs_begin(a_steps jsonb) returns setof lease_row language plpgsql as $$
declare
    locked uuid[] := calls_lock(a_steps);
    held call_stages[];
    kept uuid[];
    jobs jsonb;
begin
    select array_agg(t), array_agg(t.call_id) into held, kept
        from unnest(locked) k (id) join jsonb_populate_recordset(null::claim_step, a_steps) s on s.call_id = k.id
        join call_stages t on t.call_id = k.id and t.run_no = s.run_no and t.stage = s.stage and t.lease_token = s.token
            and t.state = 'RUNNING';
    if held is null then
        return;
    end if;
    jobs := jobs_buy(array(select (r.id, r.run_no, r.tenant_id, s.stage, r.audio_sha256, r.paid_since, s.j_id, s.j_engine,
            s.j_model, s.j_params, s.j_cost, s.owner, s.lease)::buy_want
        from unnest(kept) k (id) join jsonb_populate_recordset(null::claim_step, a_steps) s on s.call_id = k.id
        join call_records r on r.id = k.id));
    return query select * from lease_rows(kept, held, jobs);
end $$;

-- Lines of the processing log. a_steps: objects with call_id and events.
create function events_note(a_calls uuid[], a_steps jsonb) returns void language plpgsql as $$
begin
    insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status, provider, duration_ms, error_code)
    select c.id, c.tenant_id, c.user_id, c.run_no, e.stage, e.status, e.provider, e.duration_ms, e.error_code
    from unnest(a_calls) k (id) join jsonb_to_recordset(a_steps) s (call_id uuid, events jsonb) on s.call_id = k.id
    join call_records c on c.id = k.id
    cross join lateral jsonb_to_recordset(s.events) e (stage text, status text, provider text, duration_ms bigint, error_code text);
end $$;

-- Makes the outputs of a run the artifacts that readers see, and lets the objects they replace go an hour later,
-- when no reader can be in the middle of one any more. a_again: some calls are in a run after their first.
create function artifacts_publish(a_calls uuid[], a_again boolean) returns void language plpgsql as $$
begin
    if a_again then
        insert into storage_tombstones (target, due_at)
        select a.storage_key, now() + interval '1 hour' from unnest(a_calls) k (id)
        join call_records c on c.id = k.id and c.run_no > 1
        join call_artifacts a on a.call_id = k.id
        join call_stages o on o.call_id = k.id and o.run_no = c.run_no and o.artifact_type = a.artifact_type
        where o.result_ref <> a.storage_key and o.state in ('SUCCEEDED', 'SKIPPED');
    end if;
    insert into call_artifacts as a (call_id, artifact_type, storage_key, content_type, byte_size, run_no)
    select k.id, o.artifact_type, o.result_ref,
        case o.artifact_type when 'PREPARED_AUDIO' then 'audio/wav' else 'application/json' end, o.bytes, c.run_no
    from unnest(a_calls) k (id)
    join call_records c on c.id = k.id
    join call_stages o on o.call_id = k.id and o.run_no = c.run_no and o.result_ref is not null
        and o.state in ('SUCCEEDED', 'SKIPPED')
    -- What assembly published is not written a second time.
    where (select true from call_artifacts p where p.call_id = k.id and p.artifact_type = o.artifact_type
        and p.storage_key = o.result_ref and p.run_no = c.run_no) is null
    on conflict (call_id, artifact_type) do update set storage_key = excluded.storage_key,
        content_type = excluded.content_type, byte_size = excluded.byte_size, run_no = excluded.run_no, created_at = now();
end $$;

-- What an analysis leaves besides its document. Action items that a person has touched are left alone.
create function analyses_apply(a_done finish_step[], a_again boolean) returns void language plpgsql as $$
begin
    if a_again then
        delete from action_items a using unnest(a_done) s
            where s.run_no > 1 and s.state = 'SUCCEEDED' and a.call_record_id = s.call_id and a.source = 'AI' and a.touched_at is null
              and not a.identity in (select d->>'identity' from jsonb_array_elements(s.items) d);
    end if;
    insert into action_items (call_record_id, tenant_id, user_id, title, description, due_date, priority, source,
        owner_speaker_id, owner_speaker_label, owner_display_name, owner_role, source_segment_ids_json, source_text,
        intent, intent_metadata_json, identity)
    select c.id, c.tenant_id, c.user_id, d.title, d.description, d.due_date, d.priority, 'AI', d.owner_speaker_id,
        d.owner_speaker_label, d.owner_display_name, d.owner_role, d.source_segment_ids, d.source_text, d.intent,
        d.intent_metadata, d.identity
    from unnest(a_done) s join call_records c on c.id = s.call_id
    cross join lateral jsonb_to_recordset(s.items) as d(title text, description text, due_date date, priority text,
        owner_speaker_id text, owner_speaker_label text, owner_display_name text, owner_role text,
        source_segment_ids jsonb, source_text text, intent text, intent_metadata jsonb, identity text)
    on conflict (call_record_id, identity) do update set title = excluded.title, description = excluded.description,
        due_date = excluded.due_date, priority = excluded.priority, owner_speaker_id = excluded.owner_speaker_id,
        owner_speaker_label = excluded.owner_speaker_label, owner_display_name = excluded.owner_display_name,
        owner_role = excluded.owner_role, source_segment_ids_json = excluded.source_segment_ids_json,
        source_text = excluded.source_text, intent = excluded.intent,
        intent_metadata_json = excluded.intent_metadata_json, updated_at = now()
    where action_items.touched_at is null;
    insert into call_sentiment_summary (call_record_id, tenant_id, user_id, recorded_at, sentiment_overall, user_sentiment,
        contact_sentiment, tone_overall, tone_formality, tone_energy, tone_pace)
    select c.id, c.tenant_id, c.user_id, coalesce(c.recorded_at, c.created_at), s.mood->>'sentimentOverall',
        s.mood->>'userSentiment', s.mood->>'contactSentiment', s.mood->>'toneOverall', s.mood->>'toneFormality',
        s.mood->>'toneEnergy', s.mood->>'tonePace'
    from unnest(a_done) s join call_records c on c.id = s.call_id where s.mood is not null
    on conflict (call_record_id) do update set recorded_at = excluded.recorded_at,
        sentiment_overall = excluded.sentiment_overall, user_sentiment = excluded.user_sentiment,
        contact_sentiment = excluded.contact_sentiment, tone_overall = excluded.tone_overall,
        tone_formality = excluded.tone_formality, tone_energy = excluded.tone_energy, tone_pace = excluded.tone_pace;
end $$;

-- Ends stages well, makes those ready whose needs are met now, and lets the worker go on with one of them where it
-- asked for it. Assembly publishes the transcript where none is readable; analysis completes the run, whose
-- artifacts become current together.
create function stages_finish(a_steps jsonb) returns setof lease_row language plpgsql as $$
declare
    steps finish_step[] := array(select s from jsonb_populate_recordset(null::finish_step, a_steps) s);
    locked uuid[] := calls_lock(a_steps);
    done finish_step[];
    finished uuid[];
    -- What is among them: stages before assembly, assembly, analysis, runs after the first.
    early boolean;
    assembled boolean;
    analysed boolean;
    again boolean;
    next next_stages;
begin
    with ended as (
        update call_stages t set state = s.state, skip_reason = s.skip, outcomes = t.outcomes + 1, finished_at = now(),
            lease_until = null, engine = s.engine, params_hash = s.params, result_ref = s.ref, artifact_type = s.artifact_type,
            bytes = s.bytes, sha256 = s.sha256, details = s.details, error_code = null, error_message = null
        from unnest(locked) k (id) join unnest(steps) s on s.call_id = k.id
        where t.call_id = k.id and t.run_no = s.run_no and t.stage = s.stage and t.lease_token = s.token and t.state = 'RUNNING'
        returning s)
    select array_agg(e.s), array_agg((e.s).call_id), bool_or((e.s).stage not in ('assembly', 'analysis')),
        bool_or((e.s).stage = 'assembly'), bool_or((e.s).stage = 'analysis'), bool_or((e.s).run_no > 1)
        into done, finished, early, assembled, analysed, again from ended e;
    if a_steps @? '$[*].j_id' then
        -- Not fenced: an answer that was paid for is kept even when the run that asked for it is over.
        update provider_jobs j set state = 'succeeded', result_ref = s.ref, result_bytes = s.bytes, result_sha256 = s.sha256,
            units = s.j_units, unit = s.j_unit, billed_cost = s.j_billed::numeric, lease_until = null, finished_at = now()
            from unnest(steps) s where s.j_id is not null and j.id = s.j_id and j.state <> 'succeeded';
    end if;
    if done is null then
        return;
    end if;
    perform events_note(finished, a_steps);
    if early then
        update call_records r set stages_done = r.stages_done | s.bit, updated_at = now(),
            duration_seconds = coalesce(s.duration, r.duration_seconds)
            from unnest(done) s where r.id = s.call_id and s.stage not in ('assembly', 'analysis');
    end if;
    if assembled or analysed then
        perform calls_finish(done);
    end if;
    next := stages_next(done, a_steps @? '$[*].n_id');
    if assembled or analysed then
        perform artifacts_publish(array(select s.call_id from unnest(done) s where s.stage = 'analysis' or (s.stage = 'assembly'
            and (not s.to_analyse or (select true from call_artifacts v where v.call_id = s.call_id
                and v.artifact_type = 'NORMALIZED_TRANSCRIPT_JSON') is null))), again);
    end if;
    if analysed then
        perform analyses_apply(array(select s from unnest(done) s where s.stage = 'analysis'), again);
    end if;
    return query select * from lease_rows(finished, next.ready, next.jobs);
end $$;

-- The calls of finished assemblies and analyses: to their next status, and counted where it is the last.
create function calls_finish(a_done finish_step[]) returns void language plpgsql as $$
begin
    with moved as (
        update call_records r set stages_done = r.stages_done | s.bit | case when s.stage = 'assembly' and not s.to_analyse then 16 else 0 end,
            updated_at = now(), duration_seconds = coalesce(s.duration, r.duration_seconds),
            status = case when s.stage = 'assembly' and s.to_analyse then 'ANALYZING' else 'COMPLETED' end,
            finished_at = case when s.stage = 'assembly' and s.to_analyse then null else now() end,
            completed_run = case when s.stage = 'assembly' and s.to_analyse then r.completed_run else r.run_no end,
            title = case when s.title is null or r.title_source is distinct from 'ANALYSIS' and r.title is not null
                then r.title else s.title end,
            title_source = case when s.title is null or r.title is not null then r.title_source else 'ANALYSIS' end,
            short_summary = case when s.summary is null or r.summary_source = 'USER' then r.short_summary else s.summary end,
            summary_source = case when s.summary is null or r.summary_source = 'USER' then r.summary_source else 'ANALYSIS' end,
            tags = case when s.stage = 'analysis' and s.state = 'SUCCEEDED'
                then array(select jsonb_array_elements_text(s.tags)) else r.tags end
        from unnest(a_done) s where r.id = s.call_id and s.stage in ('assembly', 'analysis')
        returning r.status, r.lane, r.created_at)
    insert into call_count_deltas (kind, seconds)
    select 'completed', case when m.lane = 'live' then extract(epoch from now() - m.created_at) end
    from moved m where m.status = 'COMPLETED';
end $$;

-- How purchases ended that gave no answer.
create function jobs_end(a_steps jsonb) returns void language plpgsql as $$
begin
    update provider_jobs j set state = s.j_state, live = j.live and s.j_state <> 'failed', lease_until = null, error_code = s.code,
        finished_at = case when s.j_state = 'failed' then now() end
        from jsonb_to_recordset(a_steps) s (j_id uuid, j_state text, code text)
        where s.j_id is not null and j.id = s.j_id and j.state not in ('succeeded', 'failed');
end $$;

-- Stages wait for another attempt, or for something outside.
create function stages_set_back(a_steps jsonb) returns setof lease_row language plpgsql as $$
declare
    locked uuid[] := calls_lock(a_steps);
    waiting call_stages[];
    kept uuid[];
begin
    with back as (
        update call_stages t set state = s.state, outcomes = t.outcomes + 1, tries = t.tries + s.counts,
            not_before = now() + s.delay * interval '1 second',
            publish_due = now() + case when s.delay = 0 then s.again else s.delay end * interval '1 second',
            publish_n = 1, lease_until = null, error_code = s.code
        from unnest(locked) k (id) join jsonb_populate_recordset(null::set_back_step, a_steps) s on s.call_id = k.id
        where t.call_id = k.id and t.run_no = s.run_no and t.stage = s.stage and t.lease_token = s.token and t.state = 'RUNNING'
        returning t)
    select array_agg(b.t), array_agg((b.t).call_id) into waiting, kept from back b;
    perform jobs_end(a_steps);
    if waiting is null then
        return;
    end if;
    update call_records r set updated_at = now() from unnest(kept) k (id) where r.id = k.id;
    perform events_note(kept, a_steps);
    return query select * from lease_rows(kept, waiting, null);
end $$;

-- A run that fails leaves an earlier result in place: the call returns to COMPLETED with it.
create function stages_fail(a_steps jsonb) returns setof lease_row language plpgsql as $$
declare
    locked uuid[] := calls_lock(a_steps);
    failed uuid[];
begin
    with ended as (
        update call_stages t set state = 'FAILED', outcomes = t.outcomes + 1, tries = t.tries + 1, finished_at = now(),
            lease_until = null, error_code = s.code
        from unnest(locked) k (id) join jsonb_populate_recordset(null::set_back_step, a_steps) s on s.call_id = k.id
        where t.call_id = k.id and t.run_no = s.run_no and t.stage = s.stage and t.lease_token = s.token and t.state = 'RUNNING'
        returning t.call_id)
    select array_agg(e.call_id) into failed from ended e;
    perform jobs_end(a_steps);
    if failed is null then
        return;
    end if;
    update call_stages t set state = 'SUPERSEDED', lease_until = null, publish_due = null, finished_at = now()
        from unnest(failed) k (id) join call_records c on c.id = k.id
        where t.call_id = k.id and t.run_no = c.run_no and t.state in ('PENDING', 'RUNNING', 'WAITING');
    perform events_note(failed, a_steps);
    with moved as (
        update call_records r set updated_at = now(), finished_at = now(),
            status = case when r.completed_run > 0 then 'COMPLETED' else 'FAILED' end,
            error_reason = case when r.completed_run > 0 then null else s.code end
        from unnest(failed) k (id) join jsonb_populate_recordset(null::set_back_step, a_steps) s on s.call_id = k.id
        where r.id = k.id
        returning r.id, r.tenant_id, r.user_id, r.run_no, r.status, s.code
    ), counted as (
        insert into call_count_deltas (kind, label) select 'failed', m.code from moved m where m.status = 'FAILED'
    )
    insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status, error_code)
    select m.id, m.tenant_id, m.user_id, m.run_no, 'REPROCESS_FAILED', 'FAILED', m.code from moved m where m.status <> 'FAILED';
    return query select * from lease_rows(failed, null, null);
end $$;

-- An accepted upload. announced: the API sends its hint. key: the request had one, and `response` is what it gets
-- again.
create type accept_step as (
    call_id uuid, tenant_id text, user_id uuid, title text, contact_name text, contact_id text, phone_number text,
    organization text, direction text, recorded_at timestamptz, duration_seconds float8, original_file_name text,
    client_reference text, metadata jsonb, announced boolean, audio_key text, audio_type text, audio_bytes bigint,
    audio_sha256 bytea, audio_details jsonb, route text, key text, response jsonb, again float8
);

-- Writes accepted uploads: each call, its audio and, where the request has a key, the answer to repeat. Gives the
-- calls that were written: not one whose key is no longer held for it.
create function calls_accept(a_steps jsonb) returns table (call_id uuid) language plpgsql as $$
declare
    steps accept_step[] := array(select s from jsonb_populate_recordset(null::accept_step, a_steps) s);
    taken uuid[];
begin
    with completed as (
        update idempotency_keys k set state = 'DONE', fingerprint = s.audio_sha256, response = s.response
        from unnest(steps) s where s.key is not null and k.user_id = s.user_id and k.route = s.route and k.key = s.key
            and k.call_id = s.call_id and k.state = 'OPEN'
        returning s.call_id)
    select coalesce(array_agg(c.call_id), '{}') into taken from completed c;
    steps := array(select s from unnest(steps) s where s.key is null or s.call_id = any(taken));
    insert into call_records (id, tenant_id, user_id, title, title_source, contact_name, contact_id, phone_number, organization,
        direction, recorded_at, duration_seconds, original_file_name, client_reference, metadata, audio_sha256, publish_due, publish_n)
    select s.call_id, s.tenant_id, s.user_id, s.title, case when s.title is not null then 'CLIENT' end, s.contact_name, s.contact_id,
        s.phone_number, s.organization, s.direction, s.recorded_at, s.duration_seconds, s.original_file_name, s.client_reference,
        s.metadata, s.audio_sha256, case when s.announced then now() + s.again * interval '1 second' end,
        case when s.announced then 1 else 0 end
    from unnest(steps) s;
    insert into call_artifacts (call_id, artifact_type, storage_key, content_type, byte_size, run_no, details)
    select s.call_id, 'TEMP_AUDIO', s.audio_key, s.audio_type, s.audio_bytes, 0, s.audio_details from unnest(steps) s;
    insert into call_count_deltas (kind, label) select 'uploaded', s.direction from unnest(steps) s;
    return query select s.call_id from unnest(steps) s;
end $$;

update schema_floor set oldest_program = '20261121000005';
