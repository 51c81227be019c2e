drop function analyses_put_back(int);
drop index call_stages_left_out;
alter table provider_circuits
    drop column fail_fast, drop column fail_fast_until, drop column fail_fast_reason, drop column check_begun,
    drop column checked_at, drop column check_result, drop column credential_ok, drop column quota_left;
alter table worker_heartbeats drop column stages;
