-- Limits of providers are shared by the processes that work on a stage, so each says which those are.
alter table worker_heartbeats add column stages text[] not null default '{}';

alter table provider_circuits
    -- An operator's word: what can be done without this provider does not wait for it where it asks for a pause.
    add column fail_fast        boolean not null default false,
    add column fail_fast_until  timestamptz,
    add column fail_fast_reason text,
    -- The free look at the key. Whoever moves check_begun does it.
    add column check_begun      timestamptz,
    add column checked_at       timestamptz,
    add column check_result     text check (check_result in
        ('ok', 'bad_key', 'no_credit', 'throttled', 'unreachable', 'no_check')),
    -- What the last look said that could tell; one that reached nobody leaves it as it was.
    add column credential_ok    boolean,
    -- US dollars, where the provider says it.
    add column quota_left       float8,
    add constraint provider_circuits_fail_fast check (not fail_fast or fail_fast_reason is not null);

-- Analyses that were left out because their provider asked for a pause, until they are put back to work.
create index call_stages_left_out on call_stages (call_id) where skip_reason = 'provider_throttled' and details is null;

-- Begins a new analysis, in the backfill lane, of calls whose analysis was left out, once no operator's word keeps it
-- out. Gives how many. Lock order: calls, then their stages.
create function analyses_put_back(a_batch int) returns int language plpgsql as $$
declare
    c call_records;
    done int := 0;
begin
    -- A later run has seen to these.
    update call_stages t set details = '{"putBack": false}'
        where (t.call_id, t.run_no, t.stage) in (
            select s.call_id, s.run_no, s.stage from call_stages s join call_records r on r.id = s.call_id
            where s.skip_reason = 'provider_throttled' and s.details is null and s.run_no < r.run_no limit a_batch);
    for c in
        select r.* from call_stages s join call_records r on r.id = s.call_id and r.run_no = s.run_no
        where s.skip_reason = 'provider_throttled' and s.details is null and r.status = 'COMPLETED'
          and not exists (select 1 from provider_circuits p
              where p.engine = case s.engine when 'openai' then 'llm' else s.engine end
                and p.fail_fast and coalesce(p.fail_fast_until > now(), true))
        order by r.id limit a_batch
        for no key update of r skip locked
    loop
        perform call_reanalyze(c.tenant_id, c.user_id, c.id, 0);
        update call_stages t set details = '{"putBack": true}'
            where t.call_id = c.id and t.run_no = c.run_no and t.stage = 'analysis';
        done := done + 1;
    end loop;
    return done;
end $$;
