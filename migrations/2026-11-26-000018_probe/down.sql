delete from provider_jobs where call_id is null;
alter table provider_jobs drop constraint provider_jobs_live_is_of_a_call;
drop index provider_jobs_of_no_call;
alter table provider_jobs alter column call_id set not null;
drop trigger call_records_canary_ended on call_records;
drop trigger call_records_canary_accepted on call_records;
drop function canary_not_counted();
drop table probes;
