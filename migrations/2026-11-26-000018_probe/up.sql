-- Probes: recordings of our own that go the whole way of a customer's, in the tenant `canary`.

-- How each ended, seen by dashboards after its call was deleted again.
create table probes (
    id           bigint generated always as identity primary key,
    at           timestamptz not null default now(),
    seconds      double precision not null,
    -- The step that was not done; null: all were.
    failed_step  text,
    -- Seconds from the upload to the end of each step, in order.
    steps        jsonb not null
);
create index probes_passed on probes (at) where failed_step is null;

-- What happened to a probe's call is taken out of the customers' counts again, at the end of the transaction that put it
-- there. Rows of one kind, label and duration are alike, so any of them may go; `skip locked` leaves those that are being
-- added to the totals, and our own is none of them.
create function canary_not_counted() returns trigger language plpgsql security definer set search_path from current as $$
declare
    what count_kind := case when tg_op = 'INSERT' then 'uploaded' when new.status = 'COMPLETED' then 'completed' else 'failed' end;
    which text := case what when 'uploaded' then new.direction when 'failed' then new.error_reason else '' end;
    took float8 := case when what = 'completed' and new.lane = 'live' then extract(epoch from new.finished_at - new.created_at) end;
begin
    delete from call_count_deltas where id = (
        select d.id from call_count_deltas d where d.kind = what and d.label = which and d.seconds is not distinct from took
        order by d.id desc limit 1 for update skip locked);
    return null;
end $$;
create constraint trigger call_records_canary_accepted after insert on call_records deferrable initially deferred
    for each row when (new.tenant_id = 'canary') execute function canary_not_counted();
create constraint trigger call_records_canary_ended after update of status on call_records deferrable initially deferred
    for each row when (new.tenant_id = 'canary' and new.status in ('COMPLETED', 'FAILED') and new.status is distinct from old.status)
    execute function canary_not_counted();

-- A voice profile and a question are bought for no call. The answer of either serves nobody else.
alter table provider_jobs alter column call_id drop not null;
create index provider_jobs_of_no_call on provider_jobs (created_at) where call_id is null;
alter table provider_jobs add constraint provider_jobs_live_is_of_a_call check (call_id is not null or not live);
