update schema_floor set oldest_program = '20261121000004';
drop function call_accept, stage_fail, stage_set_back, job_end, analysis_finish, assembly_finish, artifacts_publish, stage_finish, stage_end, events_note, job_begin, stage_claim, run_start, job_buy, call_lock, lease_of;
drop type lease_row;
