-- One row per stage of a run: the claim, the lease and the output. The row is the outbox of its own message.
create table call_stages (
    call_id        uuid not null references call_records (id) on delete cascade,
    run_no         int not null,
    stage          stage_name not null,
    tenant_id      text not null,
    state          stage_state not null,
    -- Claims, and claims that ended with a recorded outcome: their difference is deaths.
    starts         int not null default 0,
    outcomes       int not null default 0,
    -- Attempts that count against the limit; waiting for a provider or an outage is free.
    tries          int not null default 0,
    -- Of PENDING and WAITING: not to be claimed before.
    not_before     timestamptz,
    -- Of PENDING: when to announce again. Of WAITING: when to hint a poll.
    publish_due    timestamptz,
    publish_n      int not null default 0,
    lease_token    uuid,
    lease_owner    text,
    lease_until    timestamptz,
    hint_id        uuid,
    engine         text,
    params_hash    bytea,
    result_ref     text,
    artifact_type  text,
    bytes          bigint,
    sha256         bytea,
    details        jsonb,
    skip_reason    text,
    error_code     text,
    error_message  text,
    created_at     timestamptz not null default now(),
    started_at     timestamptz,
    finished_at    timestamptz,
    primary key (call_id, run_no, stage),
    check ((state = 'RUNNING') <= (lease_token is not null and lease_until is not null)),
    check ((state in ('PENDING', 'WAITING')) <= (publish_due is not null)),
    check ((state = 'SKIPPED') = (skip_reason is not null)),
    -- A stage that waits for its next try carries the code of the last one.
    check ((state = 'FAILED') <= (error_code is not null)),
    check ((state in ('SUCCEEDED', 'SKIPPED')) <= (error_code is null))
) with (fillfactor = 70); -- a stage is written two or three times, best within its page
-- Each live row is in exactly one of these small indexes, which are for sweeps alone: a condition on `state` does
-- not lead into them, where a worker's look-up by key would have to read past the rows that were live before.
create index call_stages_due on call_stages (publish_due) where publish_due is not null;
create index call_stages_leases on call_stages (lease_until) where lease_until is not null;

-- The purchase ledger. No foreign key: it outlives calls. The key leaves the run out, so that a reset finds
-- what was already bought; a row is live while its answer can still serve.
create table provider_jobs (
    id              uuid primary key,
    tenant_id       text not null,
    stage           text not null,
    engine          text not null,
    model           text,
    params_hash     bytea not null,
    audio_sha256    bytea not null,
    purchase_no     int not null,
    live            boolean not null default true,
    state           job_state not null,
    cause           job_cause not null,
    call_id         uuid not null,
    run_no          int not null,
    -- Who is holding the request open, and until when that is believed without a heartbeat.
    lease_owner     text,
    lease_until     timestamptz,
    sends           int not null default 1,
    sent_at         timestamptz,
    deadline        timestamptz,
    external_id     text,
    result_ref      text,
    result_bytes    bigint,
    result_sha256   bytea,
    units           double precision,
    unit            text,
    estimated_cost  numeric(12, 6),
    billed_cost     numeric(12, 6),
    error_code      text,
    created_at      timestamptz not null default now(),
    finished_at     timestamptz,
    unique (tenant_id, stage, engine, params_hash, audio_sha256, purchase_no),
    check (state <> 'failed' or not live)
) with (fillfactor = 70); -- no index holds what an answer changes, so it stays within its page
create unique index provider_jobs_live on provider_jobs (tenant_id, stage, engine, params_hash, audio_sha256) where live;
create index provider_jobs_by_call on provider_jobs (call_id, stage);

-- A request whose answer is the same for every repetition with the same key, kept 24 hours.
create table idempotency_keys (
    tenant_id    text not null,
    user_id      uuid not null references users (id) on delete cascade,
    route        text not null,
    key          text not null check (length(key) between 1 and 255),
    call_id      uuid not null,
    state        text not null check (state in ('OPEN', 'DONE')),
    -- Of OPEN: the twin that holds it counts as broken from here on.
    held_until   timestamptz not null,
    fingerprint  bytea,
    response     jsonb,
    created_at   timestamptz not null default now(),
    primary key (user_id, route, key),
    check ((state = 'DONE') = (fingerprint is not null and response is not null))
);
create index idempotency_keys_age on idempotency_keys (created_at);

create table dead_letters (
    id            bigint generated always as identity primary key,
    -- The broker may deliver a letter again before its ack: the message id keeps the copy single.
    message_id    text not null unique,
    queue         text,
    reason        text,
    call_id       uuid,
    body          bytea not null,
    headers       jsonb not null default '{}',
    died_at       timestamptz not null default now(),
    redriven_at   timestamptz
);
