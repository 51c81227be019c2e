drop table contacts, api_keys, users, tenants;
drop domain tenant_name, account_status, call_status, call_direction, title_source, summary_source, lane, stage_bits, sha256, not_negative, seconds, artifact_type, action_priority, action_status, action_source, speaker_role, event_status, count_kind, stage_name, stage_state, job_state, job_cause;
