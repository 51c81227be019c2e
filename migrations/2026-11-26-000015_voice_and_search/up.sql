-- Voice profiles: at most one that is in use, one in the making and one that failed for each user.
create domain voice_profile_state as text check (value in ('PENDING', 'ACTIVE', 'FAILED'));
create table user_voice_profiles (
    -- Which voice it is; a new recording is another one. Purchases differ by it.
    id               uuid primary key,
    tenant_id        text not null,
    user_id          uuid not null,
    state            voice_profile_state not null,
    provider         text not null,
    model            text not null,
    consent_version  text not null,
    consented_at     timestamptz not null default now(),
    sample_count     int not null,
    sample_seconds   seconds not null,
    -- The provider's name for the job, from its submit to its end.
    external_id      text,
    -- Encrypted by the programs; the database never sees a voice, nor the key that key_id names.
    embedding        bytea,
    key_id           text,
    error_code       text,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    unique (user_id, state),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade,
    check ((state = 'ACTIVE') = (embedding is not null)),
    check ((embedding is null) = (key_id is null)),
    check ((state = 'FAILED') = (error_code is not null))
);
