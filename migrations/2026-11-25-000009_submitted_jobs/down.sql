-- Functions keep their newer bodies: what they return beside the old fields is not read by older programs.
create or replace function call_records_after_delete() returns trigger language plpgsql set search_path from current as $$
begin
    insert into storage_tombstones (target)
        select format('tenants/%s/users/%s/calls/%s/', tenant_id, user_id, id) from gone;
    update provider_jobs set live = false where live and call_id in (select id from gone);
    return null;
end $$;
drop function callback_take(text, uuid, text, bytea, bytea);
drop table callback_inbox;
