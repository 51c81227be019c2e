-- The closed sets of words. Domains rather than CHECKs on tables: Postgres reads the text of a table's CHECKs
-- anew in every statement that writes it, a domain's once in a session. Hot tables keep only the CHECKs that
-- compare columns with each other.
create domain tenant_name as text check (value ~ '^[a-z0-9][a-z0-9_-]{0,62}$');
create domain account_status as text check (value in ('ACTIVE', 'SUSPENDED', 'DISABLED'));
create domain call_status as text
    check (value in ('QUEUED', 'TRANSCRIBING', 'ANALYZING', 'COMPLETED', 'FAILED', 'CANCELLED'));
create domain call_direction as text check (value in ('INCOMING', 'OUTGOING', 'UNKNOWN'));
create domain title_source as text check (value in ('CLIENT', 'USER', 'ANALYSIS'));
create domain summary_source as text check (value in ('USER', 'ANALYSIS'));
create domain lane as text check (value in ('live', 'backfill'));
create domain stage_bits as int check (value between 0 and 31);
create domain sha256 as bytea check (length(value) = 32);
create domain not_negative as bigint check (value >= 0);
create domain seconds as double precision check (value >= 0);
create domain artifact_type as text check (value in ('TEMP_AUDIO', 'PREPARED_AUDIO', 'RAW_TRANSCRIPT_JSON',
    'DIARIZATION_JSON', 'NORMALIZED_TRANSCRIPT_JSON', 'ANALYSIS_JSON'));
create domain action_priority as text check (value in ('LOW', 'MEDIUM', 'HIGH'));
create domain action_status as text check (value in ('OPEN', 'IN_PROGRESS', 'DONE', 'DISMISSED'));
create domain action_source as text check (value in ('AI', 'MANUAL'));
create domain speaker_role as text check (value in ('USER', 'CONTACT', 'UNKNOWN'));
create domain event_status as text check (value in ('STARTED', 'COMPLETED', 'FAILED', 'SKIPPED'));
create domain count_kind as text check (value in ('uploaded', 'completed', 'failed', 'swept'));
create domain stage_name as text
    check (value in ('preprocessing', 'transcription', 'diarization', 'assembly', 'analysis'));
create domain stage_state as text
    check (value in ('PENDING', 'RUNNING', 'WAITING', 'SUCCEEDED', 'FAILED', 'SKIPPED', 'SUPERSEDED'));
create domain job_state as text
    check (value in ('intent', 'sending', 'submitted', 'succeeded', 'failed', 'unknown'));
create domain job_cause as text
    check (value in ('first', 'retry', 'failover', 'repair', 'backfill', 'ambiguous', 'reset'));

-- Organisations, their people and keys. Tenant ids appear in storage keys, hence the narrow alphabet.
create table tenants (
    id             tenant_name primary key,
    display_name   text,
    -- Calls in flight at once; null means SCRYON_TENANT_MAX_IN_FLIGHT.
    max_in_flight  int check (max_in_flight > 0),
    weight         int not null default 1 check (weight between 1 and 1000),
    created_at     timestamptz not null default now()
);
insert into tenants (id, display_name) values ('default', 'Default tenant');

create table users (
    id                uuid primary key default gen_random_uuid(),
    tenant_id         text not null references tenants (id) on delete cascade,
    external_user_id  text not null,
    email             text,
    display_name      text,
    plan              text not null default 'free',
    account_status    account_status not null default 'ACTIVE',
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now(),
    unique (tenant_id, external_user_id),
    -- Target of composite keys: a call's tenant cannot differ from its user's.
    unique (tenant_id, id)
);

create table api_keys (
    id            uuid primary key default gen_random_uuid(),
    tenant_id     text not null references tenants (id) on delete cascade,
    user_id       uuid not null,
    -- SHA-256 of the key; the key itself is shown once and never stored.
    key_sha256    sha256 not null unique,
    label         text not null,
    scopes        text[] not null default '{}',
    created_at    timestamptz not null default now(),
    last_used_at  timestamptz,
    revoked_at    timestamptz,
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

create table contacts (
    id            uuid primary key default gen_random_uuid(),
    tenant_id     text not null,
    user_id       uuid not null,
    name          text not null,
    phone_number  text,
    email         text,
    notes         text,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);
create index contacts_by_name on contacts (user_id, lower(name));
