-- Jobs that run at a provider while no worker waits: submitted under an id of the provider's, ended by a callback
-- or by a look at it.

-- What providers told us about jobs. No foreign key: it outlives calls. The same message twice is one row.
create table callback_inbox (
    id           bigint generated always as identity primary key,
    provider     text not null,
    job_id       uuid not null,
    external_id  text,
    -- The result itself, where the provider keeps none to be fetched; it leaves when it was used, or with its call.
    body         bytea,
    body_sha256  bytea not null,
    received_at  timestamptz not null default now(),
    unique (provider, job_id, body_sha256)
);
create index callback_inbox_age on callback_inbox (received_at);
create index callback_inbox_by_job on callback_inbox (job_id);

-- As before, and where a job runs at its provider.
create or replace function job_find(w buy_want) returns jsonb language plpgsql as $$
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

-- Keeps a callback and wakes the stage that waits for it, whichever run that is by now. Gives nothing for a job
-- nobody knows; a row without a stage where nobody waits. Lock order: call, then stage, then job.
create function callback_take(a_provider text, a_job uuid, a_external text, a_body bytea, a_sha256 bytea)
    returns table (call_id uuid, run_no int, stage text, lane text, tenant_id text, waiting boolean) language plpgsql as $$
declare
    j provider_jobs;
    c call_records;
begin
    select * into j from provider_jobs p where p.id = a_job and p.engine = a_provider;
    if not found then
        return;
    end if;
    select * into c from call_records r where r.id = j.call_id for no key update;
    insert into callback_inbox as i (provider, job_id, external_id, body, body_sha256)
        -- What a deleted call said is not kept.
        select a_provider, a_job, a_external, case when c.id is not null and j.state <> 'succeeded' then a_body end, a_sha256
        on conflict do nothing;
    update call_stages t set not_before = now(), publish_due = now()
        where t.call_id = c.id and t.run_no = c.run_no and t.stage = j.stage and t.state = 'WAITING';
    waiting := found;
    -- The answer to the submit may still be on its way, or lost: this settles it.
    update provider_jobs p set state = 'submitted', external_id = coalesce(p.external_id, a_external, p.id::text),
            deadline = coalesce(p.deadline, now() + interval '1 day')
        where p.id = a_job and p.state in ('intent', 'sending', 'unknown', 'submitted');
    return query select j.call_id, coalesce(c.run_no, j.run_no), j.stage, coalesce(c.lane::text, 'live'), j.tenant_id, waiting;
end $$;

-- As before; and what callbacks of the calls said goes with them.
create or replace function call_records_after_delete() returns trigger language plpgsql set search_path from current as $$
begin
    insert into storage_tombstones (target)
        select format('tenants/%s/users/%s/calls/%s/', tenant_id, user_id, id) from gone;
    -- Their objects go with them: what was bought for them can serve nobody else.
    update provider_jobs set live = false where live and call_id in (select id from gone);
    update callback_inbox set body = null where body is not null
        and job_id in (select j.id from provider_jobs j where j.call_id in (select id from gone));
    return null;
end $$;
