drop trigger call_records_canary_ended on call_records;
drop trigger call_records_canary_accepted on call_records;
drop function canary_not_counted();
drop table probes;
