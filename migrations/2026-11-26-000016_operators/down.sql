do $$
declare
    s text := current_schema();
begin
    if exists (select 1 from pg_roles where rolname = 'scryon_operator') then
        execute format('revoke all on all tables in schema %I from scryon_operator', s);
        execute format('revoke all on all functions in schema %I from scryon_operator', s);
        execute format('revoke all on schema %I from scryon_operator', s);
    end if;
end $$;
drop function grant_operator();
drop view stuck_calls;
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
drop function is_paused(text, text, text);
alter function call_records_after_delete() security invoker;
alter function call_records_before_status() security invoker;
drop trigger api_keys_noted on api_keys;
drop trigger feature_flags_noted on feature_flags;
drop trigger operator_switches_noted on operator_switches;
drop function change_log_note();
alter table sweeper_lease drop column sweep_wanted, drop column sweep_done, drop column sweep_result;
drop index change_log_at;
drop table key_uses;
drop table admin_audit_log;
alter table feature_flags drop column until, drop column actor;
drop table operator_switches;
