drop function calls_sweep_stale(float8, int);
drop view stuck_calls;
drop function call_reanalyze(text, uuid, uuid, float8);
create or replace function run_start_without_audio(s start_step) returns call_stages[] language plpgsql as $$
declare
    c call_records;
    t call_stages;
    way text;
begin
    select case when (select count(*) from call_artifacts a where a.call_id = r.id
            and a.artifact_type in ('RAW_TRANSCRIPT_JSON', 'DIARIZATION_JSON')) = 2 then 'rebuild'
        when r.completed_run > 0 then 'keep' else 'expire' end into way from call_records r where r.id = s.call_id;
    update call_records r set run_no = r.run_no + 1, publish_due = null, publish_n = 0, updated_at = now(),
        status = case way when 'keep' then 'COMPLETED' when 'expire' then 'FAILED' else 'TRANSCRIBING' end,
        error_reason = case way when 'expire' then 'temp_audio_expired' end,
        finished_at = case when way in ('keep', 'expire') then now() end,
        stages_done = case way when 'rebuild' then 7 else r.stages_done end,
        force_paid = false, paid_since = case when r.force_paid then now() else r.paid_since end
        where r.id = s.call_id returning * into c;
    if way = 'keep' then
        insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status, error_code)
        values (c.id, c.tenant_id, c.user_id, c.run_no, 'REPROCESS_SKIPPED', 'SKIPPED', 'temp_audio_expired');
        return '{}';
    elsif way = 'expire' then
        insert into call_count_deltas (kind, label) values ('failed', 'temp_audio_expired');
        return '{}';
    end if;
    insert into call_stages (call_id, run_no, stage, tenant_id, state, skip_reason, engine, params_hash, result_ref,
        artifact_type, bytes, sha256, details, finished_at)
    select c.id, c.run_no, w.stage, c.tenant_id, 'SKIPPED', 'reused', p.engine, p.params_hash,
        coalesce(a.storage_key, p.result_ref), w.artifact_type, coalesce(a.byte_size, p.bytes), p.sha256, p.details, now()
    from (values ('preprocessing', 'PREPARED_AUDIO'), ('transcription', 'RAW_TRANSCRIPT_JSON'),
        ('diarization', 'DIARIZATION_JSON')) w (stage, artifact_type)
    left join call_artifacts a on a.call_id = c.id and a.artifact_type = w.artifact_type
    left join lateral (
        select * from call_stages o where o.call_id = c.id and o.stage = w.stage and o.state in ('SUCCEEDED', 'SKIPPED')
          and (a.storage_key is null or o.result_ref = a.storage_key)
        order by o.run_no desc limit 1) p on true;
    insert into call_stages (call_id, run_no, stage, tenant_id, state, starts, lease_token, lease_owner, lease_until,
        hint_id, publish_due, publish_n, started_at)
    select c.id, c.run_no, 'assembly', c.tenant_id, case when s.assembles then 'RUNNING' else 'PENDING' end,
        case when s.assembles then 1 else 0 end, case when s.assembles then s.token end,
        case when s.assembles then s.owner end, case when s.assembles then now() + s.lease * interval '1 second' end,
        case when s.assembles then s.hint end, case when not s.assembles then now() + s.again * interval '1 second' end,
        case when s.assembles then 0 else 1 end, case when s.assembles then now() end
    returning * into t;
    return array[t];
end $$;
drop function stages_carry(call_records, text[]);
drop function call_reset(text, uuid, uuid, boolean);
drop function call_cancel(text, uuid, uuid);
