update schema_floor set oldest_program = '20261121000004';
drop function calls_accept, stages_fail, stages_set_back, jobs_end, calls_finish, stages_finish, analyses_apply, artifacts_publish,
    events_note, jobs_begin, stages_claim, run_start_without_audio, runs_start, stages_next, job_find, jobs_buy, output_json, lease_rows, calls_lock;
drop type accept_step, next_stages, buy_want, set_back_step, finish_step, claim_step, start_step, lease_row;
