-- Called by the statement that carries an order to a call out: what it did and the answer that its Idempotency-Key gives
-- from now on are there together or not at all, whatever becomes of the connection. Where the key was taken over or
-- freed meanwhile, somebody else was promised to act, so that nothing is done.
create function order_kept(a_user uuid, a_route text, a_key text, a_hold uuid, a_fingerprint bytea, a_response jsonb)
    returns boolean language plpgsql as $$
begin
    update idempotency_keys k set state = 'DONE', fingerprint = a_fingerprint, response = a_response
        where k.user_id = a_user and k.route = a_route and k.key = a_key and k.call_id = a_hold and k.state = 'OPEN';
    if not found then
        raise exception 'the Idempotency-Key of an order is not held any more; nothing was done'
            using errcode = 'check_violation', constraint = 'order_key_held';
    end if;
    return true;
end $$;
