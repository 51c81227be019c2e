-- Hands on the wheel: what operators switch while programs run, who did it, and the role they log in with.

-- Read by every program once a second. `until`: after it the row is as if it were not there.
create table operator_switches (
    kind        text not null check (kind in ('pause', 'throttle', 'log_level')),
    -- pause: `stage:analysis`, `lane:backfill`, `tenant:acme`; throttle: a tenant or `*`; log_level: `all`.
    target      text not null,
    -- throttle: uploads per minute; log_level: a directive such as `scryon_providers=debug`.
    value       text,
    until       timestamptz,
    reason      text not null check (reason <> ''),
    actor       text not null default session_user,
    created_at  timestamptz not null default now(),
    primary key (kind, target),
    check (kind <> 'pause' or target ~ '^(stage:(preprocessing|transcription|diarization|assembly|analysis)|lane:(live|backfill)|tenant:.+)$'),
    check (kind <> 'throttle' or value::int >= 0)
);

alter table feature_flags
    add column until timestamptz,
    add column actor text not null default session_user;

-- Who did what by API or command line; outlives what it was done to.
create table admin_audit_log (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default now(),
    -- `key:<label>`, or `direct:<login>` for a command line on the database.
    actor       text not null,
    action      text not null,
    target      text,
    before      jsonb,
    after       jsonb,
    reason      text,
    request_id  text
);

-- Uses of a key, so that an old one is seen to fall silent before it is dropped. `key` is the beginning of the
-- key's SHA-256, never of the key.
create table key_uses (
    key         text not null,
    -- The first word of the client's User-Agent.
    client      text not null,
    uses        bigint not null default 0,
    first_seen  timestamptz not null default now(),
    last_seen   timestamptz not null default now(),
    primary key (key, client)
);

create index change_log_at on change_log (at);

-- A wish for the slow sweeps now instead of at their next time, and how the last one ended.
alter table sweeper_lease
    add column sweep_wanted timestamptz,
    add column sweep_done timestamptz,
    add column sweep_result jsonb;

-- Everything that changes how the installation behaves is noted, also what is typed by hand.
create function change_log_note() returns trigger language plpgsql security definer set search_path from current as $$
begin
    insert into change_log (kind, program, details) values (tg_argv[0], session_user, jsonb_build_object(
        'before', case when tg_op <> 'INSERT' then to_jsonb(old) - 'key_sha256' end,
        'after', case when tg_op <> 'DELETE' then to_jsonb(new) - 'key_sha256' end));
    return null;
end $$;
create trigger operator_switches_noted after insert or update or delete on operator_switches
    for each row execute function change_log_note('switch');
create trigger feature_flags_noted after insert or update or delete on feature_flags
    for each row execute function change_log_note('flag');
create trigger api_keys_noted after insert or delete or update of revoked_at, scopes on api_keys
    for each row execute function change_log_note('key');

-- What a status or a deletion typed by hand sets off is ours to write, not the operator's.
alter function call_records_before_status() security definer;
alter function call_records_after_delete() security definer;

-- A paused call waits; nobody has to be told. Its row stays held or announced as it is.
create function is_paused(a_stage text, a_lane text, a_tenant text) returns boolean language sql stable as $$
    select exists (select 1 from operator_switches w where w.kind = 'pause' and coalesce(w.until > now(), true)
        and w.target in ('stage:' || a_stage, 'lane:' || a_lane, 'tenant:' || a_tenant))
$$;

-- As before, without what is paused.
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
                      and s.state in ('PENDING', 'RUNNING', 'WAITING'));

-- The role of those who type SQL: it reads everything, and writes what the runbooks write. Roles belong to the whole
-- server, so it may be there already; a login of its own is a member (`grant scryon_operator to …`).
do $$
begin
    if not exists (select 1 from pg_roles where rolname = 'scryon_operator') then
        create role scryon_operator nologin;
    end if;
exception
    when duplicate_object or unique_violation then null; -- another schema's migration was faster
    when insufficient_privilege then
        raise notice 'the role scryon_operator is missing and could not be made: create it, then grant as docs/runbooks/README.md says';
end $$;
create function grant_operator() returns void language plpgsql set search_path from current as $$
declare
    s text := current_schema();
begin
    if not exists (select 1 from pg_roles where rolname = 'scryon_operator') then
        return;
    end if;
    execute format('grant usage on schema %I to scryon_operator', s);
    execute format('grant select on all tables in schema %I to scryon_operator', s);
    execute format('grant execute on function %I.is_paused(text, text, text) to scryon_operator', s);
    execute format('grant update (status, error_reason, force_paid), delete on %I.call_records to scryon_operator', s);
    execute format('grant insert, update, delete on %I.feature_flags, %I.operator_switches, %I.provider_circuits to scryon_operator', s, s, s);
end $$;
select grant_operator();
