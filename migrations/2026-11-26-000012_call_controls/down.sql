drop function calls_sweep_stale(float8, int);
drop view stuck_calls;
drop function call_reanalyze(text, uuid, uuid, float8);
drop function call_reset(text, uuid, uuid, boolean);
drop function call_cancel(text, uuid, uuid);
