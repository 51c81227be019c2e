-- What was swept already, and is swept once more in an hour, is no part of the receipt: it would wait for that.
create or replace function erase_subject(a_receipt uuid) returns void language plpgsql as $$
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
    update storage_tombstones t set receipt_id = a_receipt where t.receipt_id is null and t.due_at <= now()
        and starts_with(t.target, format('tenants/%s/users/', r.tenant_id)) and split_part(t.target, '/', 4)::uuid = any(gone);
    update erasure_receipts e set rows_deleted = e.rows_deleted || took, rows_deleted_at = now(),
        completed_at = case when gone = '{}' then now() end where e.id = a_receipt;
    insert into change_log (kind, program, details)
        values ('erasure', 'scryon', jsonb_build_object('receipt', a_receipt, 'subject', r.subject));
end $$;
