-- Nothing is lost when the database is lost: holds, what storage has to know, and the way back.

-- While a row is here nothing is deleted, from storage or by age. `legal`: an operator's word; `restore`: a database
-- came back from a backup and nobody has looked at it yet.
create table holds (
    kind    text primary key check (kind in ('legal', 'restore')),
    reason  text not null check (reason <> ''),
    since   timestamptz not null default now()
);

-- How often this installation came back from a backup. Messages, callbacks and addresses of an earlier life carry
-- another number.
create table restore_epoch (
    single  boolean primary key default true check (single),
    epoch   int not null default 0
);
insert into restore_epoch default values;

create table restores (
    epoch         int primary key,
    backup        text not null,
    -- When the backup was begun, and the newest sign of life after it that storage shows.
    snapshot_at   timestamptz not null,
    last_sign_at  timestamptz,
    started_at    timestamptz not null default now(),
    finished_at   timestamptz,
    rpo_seconds   double precision,
    rto_seconds   double precision,
    counts        jsonb not null default '{}'
);

create table backups (
    name         text primary key,
    snapshot_at  timestamptz not null,
    finished_at  timestamptz not null default now(),
    bytes        bigint not null,
    seconds      double precision not null
);

-- A restore has to know which calls, users and tenants were erased after the backup: a sweep writes that into storage
-- before it deletes anything of theirs.
create function is_erasure(target text) returns boolean language sql immutable parallel safe as $$
    select target ~ '^tenants/[^/]+/(users/[^/]+/(calls/[^/]+/)?)?$'
$$;
alter table storage_tombstones add column recorded_at timestamptz, add column receipt_id uuid;
create index storage_tombstones_unrecorded on storage_tombstones (id) where recorded_at is null and is_erasure(target);

-- A call can be rebuilt from storage only for a user who is known there.
alter table users add column stored_at timestamptz;
create index users_unstored on users (created_at) where stored_at is null;

-- How far a sweep has come that goes along a key.
create table retention_marks (
    name  text primary key,
    mark  uuid not null
);
-- Rows come in the order of time, so ranges of pages are enough, and cost an insert next to nothing.
create index call_processing_events_age on call_processing_events using brin (created_at) with (pages_per_range = 32, autosummarize = on);

-- What an erasure took, for those who have to prove it. No foreign key: it outlives whom it is about.
create table erasure_receipts (
    id               uuid primary key default gen_random_uuid(),
    subject          text not null check (subject in ('user', 'tenant')),
    tenant_id        text not null,
    subject_id       text not null,
    reason           text not null check (reason <> ''),
    requested_by     text not null,
    requested_at     timestamptz not null default now(),
    rows_deleted     jsonb not null default '{}',
    rows_deleted_at  timestamptz,
    objects_deleted  bigint not null default 0,
    -- When the last object had left; while a hold is on they wait.
    completed_at     timestamptz,
    providers        jsonb not null default '[]'
);

-- Copies at providers that can delete them. They wait while a hold is on.
create table provider_erasures (
    id            bigint generated always as identity primary key,
    receipt_id    uuid not null,
    engine        text not null,
    external_id   text not null,
    requested_at  timestamptz not null default now(),
    done_at       timestamptz
);
create index provider_erasures_due on provider_erasures (id) where done_at is null;

-- A callback of an earlier life is kept, and wakes nobody. What it says is found by whoever looks for it by itself.
create function callback_keep(a_provider text, a_job uuid, a_external text, a_body bytea, a_sha256 bytea)
    returns void language sql as $$
    insert into callback_inbox (provider, job_id, external_id, body, body_sha256)
    select a_provider, a_job, a_external,
        case when exists (select 1 from provider_jobs j join call_records c on c.id = j.call_id
                          where j.id = a_job and j.engine = a_provider and j.state <> 'succeeded') then a_body end, a_sha256
    on conflict do nothing
$$;

-- Raw answers that were bought longer ago, along the key of the ledger, which is in order of time. An answer that is a
-- call's artifact stays with the call; any other leaves storage, and none serves another call any more. Gives how many
-- rows it read and how many answers left.
create function answers_expire(a_seconds float8, a_batch int) returns table (seen int, gone int) language plpgsql as $$
declare
    since uuid := (select m.mark from retention_marks m where m.name = 'provider_answers');
    batch provider_jobs[] := array(select j from provider_jobs j
        where j.id > coalesce(since, '00000000-0000-0000-0000-000000000000') order by j.id limit a_batch);
    old provider_jobs[];
begin
    -- A row that is too young, or not settled, ends the batch: the next sweep goes on there.
    select array_agg(o.j order by (o.j).id) into old from (
        select b as j, bool_and(b.created_at < now() - a_seconds * interval '1 second'
            and (b.state in ('succeeded', 'failed') or b.created_at < now() - 2 * a_seconds * interval '1 second'))
            over (order by b.id) as done
        from unnest(batch) b) o where o.done;
    if old is null then
        return query select 0, 0;
        return;
    end if;
    with answers as (
        select o.id, o.result_ref, exists (select 1 from call_artifacts a where a.call_id = o.call_id and a.storage_key = o.result_ref)
            or exists (select 1 from call_records c join call_stages s on s.call_id = c.id and s.run_no = c.run_no
                       where c.id = o.call_id and c.status in ('TRANSCRIBING', 'ANALYZING') and s.result_ref = o.result_ref) as kept
        from unnest(old) o where o.result_ref is not null
    ), buried as (
        insert into storage_tombstones (target) select a.result_ref from answers a where not a.kept
    ), forgotten as (
        update provider_jobs j set live = false, result_ref = case when a.kept then j.result_ref end
        from answers a where j.id = a.id returning 1)
    select cardinality(old), (select count(*)::int from answers a where not a.kept) into seen, gone;
    insert into retention_marks (name, mark) values ('provider_answers', (old[cardinality(old)]).id)
        on conflict (name) do update set mark = excluded.mark;
    return next;
end $$;

-- After the rows of a backup are in place: a new life. Whoever worked before has lost his leases, everything that waits
-- is due now, and nothing is deleted until somebody lifts the hold. Gives the new epoch, which is higher than any that
-- storage has seen.
create function restore_begin(a_backup text, a_snapshot timestamptz, a_seen int) returns int language plpgsql as $$
declare
    e int;
begin
    update restore_epoch set epoch = greatest(epoch, a_seen) + 1 returning epoch into e;
    insert into holds (kind, reason) values ('restore', 'restored from ' || a_backup)
        on conflict (kind) do update set reason = excluded.reason, since = now();
    insert into restores (epoch, backup, snapshot_at) values (e, a_backup, a_snapshot);
    -- It was no death of a worker's, so it counts as an outcome.
    update call_stages set state = 'PENDING', lease_token = null, lease_owner = null, lease_until = null, hint_id = null,
        outcomes = starts, publish_due = now(), publish_n = 0 where lease_until is not null and state = 'RUNNING';
    update call_stages set publish_due = now(), publish_n = 0
        where publish_due is not null and state in ('PENDING', 'WAITING');
    update call_records set publish_due = null, publish_n = 0 where status = 'QUEUED' and publish_due is not null;
    update provider_jobs set lease_until = now(), lease_owner = null where live and state in ('intent', 'sending');
    update sweeper_lease set owner = null, lease_until = '-infinity';
    delete from worker_heartbeats;
    delete from storage_orphans;
    insert into change_log (kind, program, details)
        values ('restore', 'scryon', jsonb_build_object('epoch', e, 'backup', a_backup, 'snapshotAt', a_snapshot));
    return e;
end $$;

-- A call as storage describes it.
create type stored_call as (
    call_id uuid, tenant_id text, user_id uuid, external_user_id text, title text, contact_name text, contact_id text,
    phone_number text, organization text, direction text, recorded_at timestamptz, duration_seconds float8,
    original_file_name text, client_reference text, metadata jsonb, created_at timestamptz, audio_key text, audio_type text,
    audio_bytes bigint, audio_sha256 bytea, audio_details jsonb, idempotency_key text
);

-- Writes the rows of calls that only storage knows. They wait for admission behind live ones. Gives how many.
create function calls_restore(a_calls jsonb) returns int language plpgsql as $$
declare
    calls stored_call[] := array(select s from jsonb_populate_recordset(null::stored_call, a_calls) s
        where not exists (select 1 from call_records c where c.id = s.call_id));
begin
    insert into tenants (id) select distinct s.tenant_id from unnest(calls) s on conflict do nothing;
    insert into users (id, tenant_id, external_user_id)
        select distinct on (s.user_id) s.user_id, s.tenant_id, coalesce(s.external_user_id, 'restored:' || s.user_id) from unnest(calls) s
        on conflict do nothing;
    -- The same person may have come back under another id before this ran: a name of its own, then.
    insert into users (id, tenant_id, external_user_id)
        select distinct on (s.user_id) s.user_id, s.tenant_id, 'restored:' || s.user_id from unnest(calls) s
        on conflict do nothing;
    insert into call_records (id, tenant_id, user_id, title, title_source, contact_name, contact_id, phone_number, organization, direction,
        recorded_at, duration_seconds, original_file_name, client_reference, metadata, audio_sha256, created_at, lane)
    select s.call_id, s.tenant_id, s.user_id, s.title, case when s.title is not null then 'CLIENT' end, s.contact_name, s.contact_id,
        s.phone_number, s.organization, coalesce(s.direction, 'UNKNOWN'), s.recorded_at, s.duration_seconds, s.original_file_name,
        s.client_reference, s.metadata, s.audio_sha256, s.created_at, 'backfill'
    from unnest(calls) s;
    insert into call_artifacts (call_id, artifact_type, storage_key, content_type, byte_size, created_at, run_no, details)
    select s.call_id, 'TEMP_AUDIO', s.audio_key, s.audio_type, s.audio_bytes, s.created_at, 0, s.audio_details from unnest(calls) s;
    -- A client that never heard its 202 repeats the request, and must not make a second call.
    insert into idempotency_keys (tenant_id, user_id, route, key, call_id, state, held_until, fingerprint, response, created_at)
    select s.tenant_id, s.user_id, 'POST /api/calls/analyze', s.idempotency_key, s.call_id, 'DONE', s.created_at, s.audio_sha256,
        jsonb_build_object('callId', s.call_id, 'id', s.call_id, 'status', 'QUEUED'), s.created_at
    from unnest(calls) s where s.idempotency_key is not null and s.created_at > now() - interval '24 hours' on conflict do nothing;
    insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status)
    select s.call_id, s.tenant_id, s.user_id, 0, 'RESTORED', 'COMPLETED' from unnest(calls) s;
    insert into call_count_deltas (kind, label) select 'uploaded', coalesce(s.direction, 'UNKNOWN') from unnest(calls) s;
    return cardinality(calls);
end $$;

-- A receipt from storage, as `scryon erase` wrote it there, for a database that does not know it. What is left in storage
-- leaves under it; where nothing is, it is complete.
create function receipt_restore(a_receipt jsonb) returns void language plpgsql as $$
declare
    r erasure_receipts;
    prefix text;
begin
    insert into erasure_receipts (id, subject, tenant_id, subject_id, reason, requested_by, requested_at, rows_deleted,
        rows_deleted_at, providers)
    values ((a_receipt->>'id')::uuid, a_receipt->>'subject', a_receipt->>'tenantId', a_receipt->>'subjectId', a_receipt->>'reason',
        a_receipt->>'requestedBy', (a_receipt->>'requestedAt')::timestamptz, a_receipt->'rowsDeleted',
        (a_receipt->>'rowsDeletedAt')::timestamptz, a_receipt->'providers')
    on conflict do nothing returning * into r;
    if not found then
        return;
    end if;
    prefix := case r.subject when 'user' then format('tenants/%s/users/%s/', r.tenant_id, r.subject_id)
        else format('tenants/%s/', r.tenant_id) end;
    if r.subject = 'user' then
        insert into storage_tombstones (target) values (prefix);
    end if;
    update storage_tombstones t set receipt_id = r.id where t.receipt_id is null and starts_with(t.target, prefix);
    if not found then
        update erasure_receipts e set completed_at = now() where e.id = r.id;
    end if;
end $$;

-- Deletes calls of a user, or of a whole tenant, and says what went with them.
create function erase_calls(a_receipt uuid, a_batch int) returns int language plpgsql as $$
declare
    r erasure_receipts;
    ids uuid[];
    took jsonb;
begin
    select * into r from erasure_receipts e where e.id = a_receipt for update;
    ids := array(select c.id from call_records c where c.tenant_id = r.tenant_id
        and (r.subject = 'tenant' or c.user_id::text = r.subject_id) order by c.id limit a_batch for update);
    if ids = '{}' then
        return 0;
    end if;
    took := jsonb_build_object('calls', cardinality(ids),
        'artifacts', (select count(*) from call_artifacts a where a.call_id = any(ids)),
        'actionItems', (select count(*) from action_items a where a.call_record_id = any(ids)),
        'events', (select count(*) from call_processing_events e where e.call_id = any(ids)));
    update erasure_receipts e set
        rows_deleted = (select jsonb_object_agg(k.key, coalesce((e.rows_deleted->>k.key)::bigint, 0) + k.value::bigint)
            from jsonb_each_text(took) k) || (e.rows_deleted - array(select jsonb_object_keys(took))),
        providers = (select coalesce(jsonb_agg(distinct p), '[]') from (
            select jsonb_array_elements(e.providers) as p
            union select to_jsonb(j.engine) from provider_jobs j where j.call_id = any(ids) and j.sends > 0) x)
        where e.id = a_receipt;
    insert into provider_erasures (receipt_id, engine, external_id)
        select a_receipt, j.engine, j.external_id from provider_jobs j
        where j.call_id = any(ids) and j.engine = 'assemblyai' and j.external_id is not null;
    delete from call_records c where c.id = any(ids);
    return cardinality(ids);
end $$;

-- The user, or the tenant with all its users, last; their objects get tombstones that count for the receipt. Never the
-- tenant's own prefix: a tenant of the same name may come again, and a prefix is swept twice.
create function erase_subject(a_receipt uuid) returns void language plpgsql as $$
declare
    r erasure_receipts;
    gone uuid[];
    took jsonb;
begin
    select * into r from erasure_receipts e where e.id = a_receipt for update;
    gone := array(select u.id from users u where u.tenant_id = r.tenant_id and (r.subject = 'tenant' or u.id::text = r.subject_id));
    took := jsonb_build_object('users', cardinality(gone),
        'contacts', (select count(*) from contacts c where c.user_id = any(gone)),
        'apiKeys', (select count(*) from api_keys k where k.user_id = any(gone)),
        'idempotencyKeys', (select count(*) from idempotency_keys k where k.user_id = any(gone)));
    delete from users u where u.id = any(gone);
    if r.subject = 'tenant' then
        delete from tenants t where t.id = r.tenant_id and t.id <> 'default';
    end if;
    insert into storage_tombstones (target, receipt_id)
        select format('tenants/%s/users/%s/', r.tenant_id, g.id), a_receipt from unnest(gone) g (id);
    update storage_tombstones t set receipt_id = a_receipt where t.receipt_id is null
        and starts_with(t.target, format('tenants/%s/users/', r.tenant_id)) and split_part(t.target, '/', 4)::uuid = any(gone);
    update erasure_receipts e set rows_deleted = e.rows_deleted || took, rows_deleted_at = now(),
        completed_at = case when gone = '{}' then now() end where e.id = a_receipt;
    insert into change_log (kind, program, details)
        values ('erasure', 'scryon', jsonb_build_object('receipt', a_receipt, 'subject', r.subject));
end $$;
