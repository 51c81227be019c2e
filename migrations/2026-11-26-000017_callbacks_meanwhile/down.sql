create or replace function stages_set_back(a_steps jsonb) returns setof lease_row language plpgsql as $$
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
drop function was_called_back(call_stages);
