drop table dead_letters, idempotency_keys, provider_jobs, call_stages;
