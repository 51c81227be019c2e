-- Calls and what belongs to them. Column names are typed by operators: they are a contract.
create table call_records (
    id                  uuid primary key,
    tenant_id           text not null,
    user_id             uuid not null,
    status              call_status not null default 'QUEUED',
    error_reason        text,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    -- When the status became final; null while the call is live. Retention of audio counts from here.
    finished_at         timestamptz,

    title               text,
    title_source        title_source,
    notes               text,
    short_summary       text,
    summary_source      summary_source,
    tags                text[] not null default '{}',
    contact_name        text,
    contact_id          text,
    phone_number        text,
    organization        text,
    scryon_contact_id   uuid,
    direction           call_direction not null default 'UNKNOWN',
    recorded_at         timestamptz,
    duration_seconds    seconds,
    original_file_name  text,
    client_reference    text,
    metadata            jsonb,

    audio_sha256        sha256,
    lane                lane not null default 'live',
    -- One pass through the pipeline; raised by the only statement that leaves QUEUED.
    run_no              int not null default 0,
    -- 1 preprocessing, 2 transcription, 4 diarization, 8 assembly, 16 analysis.
    stages_done         stage_bits not null default 0,
    -- Of a QUEUED call: when to announce it again; null means it is held at admission.
    publish_due         timestamptz,
    publish_n           int not null default 0,
    -- The latest run that reached COMPLETED; 0 means the call never had a result.
    completed_run       int not null default 0,
    -- Typed by operators to buy everything again; the start of the run turns it into paid_since.
    force_paid          boolean not null default false,
    -- Results bought before this moment do not serve this call any more.
    paid_since          timestamptz,

    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade,
    -- Both ways: FAILED has a reason, and nothing else has one.
    constraint call_records_reason_iff_failed check ((status = 'FAILED') = (error_reason is not null)),
    constraint call_records_finished_iff_final
        check ((status in ('COMPLETED', 'FAILED', 'CANCELLED')) = (finished_at is not null))
) with (fillfactor = 70); -- room for updates that need no index entry: every start and end of a stage

-- The list of a user's calls, newest first.
create index call_records_by_user on call_records (user_id, created_at desc, id desc);
-- Operators: live calls whose updated_at is old. Not by updated_at itself: it moves with every stage, and an
-- index on it would cost an entry in every index each time.
create index call_records_live on call_records (created_at)
    where status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING');
-- Dispatcher: announced calls whose announcement is overdue, and calls held at admission.
create index call_records_announced on call_records (publish_due) where status = 'QUEUED' and publish_due is not null;
create index call_records_held on call_records (tenant_id, lane, created_at)
    where status = 'QUEUED' and publish_due is null;
-- Retention: audio that outlived its call's end.
create index call_records_finished on call_records (finished_at) where finished_at is not null;

create table call_artifacts (
    id             uuid not null default gen_random_uuid(),
    call_id        uuid not null references call_records (id) on delete cascade,
    artifact_type  artifact_type not null,
    storage_key    text not null,
    content_type   text not null,
    byte_size      not_negative not null,
    created_at     timestamptz not null default now(),
    run_no         int not null,
    -- Of TEMP_AUDIO: what its header says, where that could be read while it came in.
    details        jsonb,
    primary key (call_id, artifact_type)
);
-- For retention alone: `is true` keeps the look-ups of a call's recording out of it, which belong to the key.
create index call_artifacts_audio on call_artifacts (created_at) where (artifact_type in ('TEMP_AUDIO', 'PREPARED_AUDIO')) is true;

create table action_items (
    id                       uuid primary key default gen_random_uuid(),
    call_record_id           uuid not null references call_records (id) on delete cascade,
    tenant_id                text not null,
    user_id                  uuid not null,
    title                    text not null check (title <> ''),
    description              text,
    due_date                 date,
    priority                 action_priority,
    status                   action_status not null default 'OPEN',
    source                   action_source not null default 'AI',
    contact_id               uuid,
    owner_speaker_id         text,
    owner_speaker_label      text,
    owner_display_name       text,
    owner_role               speaker_role,
    source_segment_ids_json  jsonb not null default '[]',
    source_text              text,
    intent                   text,
    intent_metadata_json     jsonb,
    -- What makes two analyses mean the same item: an item a person has touched keeps it for ever.
    identity                 text,
    -- A person edited, completed or dismissed it: a new analysis leaves it alone.
    touched_at               timestamptz,
    completed_at             timestamptz,
    created_at               timestamptz not null default now(),
    updated_at               timestamptz not null default now(),
    check ((status = 'DONE') = (completed_at is not null))
);
-- Also the target of re-analysis: one item per identity; items made by hand have none.
create unique index action_items_by_call on action_items (call_record_id, identity);
create index action_items_by_user on action_items (user_id, created_at desc, id);

create table call_sentiment_summary (
    call_record_id     uuid primary key references call_records (id) on delete cascade,
    tenant_id          text not null,
    user_id            uuid not null,
    recorded_at        timestamptz not null,
    sentiment_overall  text,
    user_sentiment     text,
    contact_sentiment  text,
    tone_overall       text,
    tone_formality     text,
    tone_energy        text,
    tone_pace          text,
    created_at         timestamptz not null default now()
);
create index call_sentiment_summary_window on call_sentiment_summary (user_id, recorded_at);

create table call_processing_events (
    id             bigint generated always as identity,
    call_id        uuid not null references call_records (id) on delete cascade,
    tenant_id      text not null,
    user_id        uuid,
    run_no         int,
    stage          text not null,
    status         event_status not null,
    provider       text,
    duration_ms    bigint,
    error_code     text,
    error_message  text,
    created_at     timestamptz not null default now(),
    -- One index: the log of a call, in order.
    primary key (call_id, id)
);

-- What happened to calls, counted once by the sweeper whoever made it happen (worker, API or a hand at psql).
create table call_count_deltas (
    id         bigint generated always as identity primary key,
    kind       count_kind not null,
    label      text not null default '',
    seconds    double precision
);
create table call_count_totals (
    kind   text not null,
    label  text not null,
    total  bigint not null,
    primary key (kind, label)
);

-- A deleted call's objects leave in the next storage sweep; so do single objects whose row was let go.
create table storage_tombstones (
    id          bigint generated always as identity primary key,
    -- A whole prefix when it ends in '/', else one object.
    target      text not null,
    due_at      timestamptz not null default now(),
    created_at  timestamptz not null default now()
);
create index storage_tombstones_due on storage_tombstones (due_at);

-- A status typed by hand. The project's own statements set these columns themselves and do not pass the
-- `when` clauses below, so the pipeline does not pay for the triggers.
create function call_records_before_status() returns trigger language plpgsql set search_path from current as $$
begin
    if new.status = 'QUEUED' then
        -- Without this a reset of an announced call is not seen before its old announcement is overdue.
        new.publish_due := null;
        new.publish_n := 0;
        new.error_reason := null;
        new.finished_at := null;
        if old.status <> 'QUEUED' then
            new.lane := 'backfill';
        end if;
    elsif new.status in ('COMPLETED', 'FAILED', 'CANCELLED') then
        if old.finished_at is null then
            new.finished_at := now();
        end if;
        if new.status = 'FAILED' and new.error_reason is not null then
            insert into call_count_deltas (kind, label) values ('failed', new.error_reason);
        end if;
        if new.status <> 'FAILED' then
            new.error_reason := null;
        end if;
    else
        new.finished_at := null;
        new.error_reason := null;
    end if;
    new.updated_at := now();
    return new;
end $$;
create trigger call_records_reset before update of status on call_records
    for each row when (new.status = 'QUEUED') execute function call_records_before_status();
create trigger call_records_status_by_hand before update of status on call_records
    for each row when (new.status <> 'QUEUED' and new.status is distinct from old.status
                       and (new.updated_at is not distinct from old.updated_at
                            or (new.status in ('COMPLETED', 'FAILED', 'CANCELLED')) <> (new.finished_at is not null)
                            or (new.status = 'FAILED') <> (new.error_reason is not null)))
    execute function call_records_before_status();

create function call_records_after_delete() returns trigger language plpgsql set search_path from current as $$
begin
    insert into storage_tombstones (target)
        select format('tenants/%s/users/%s/calls/%s/', tenant_id, user_id, id) from gone;
    -- Their objects go with them: what was bought for them can serve nobody else.
    update provider_jobs set live = false where live and call_id in (select id from gone);
    return null;
end $$;
create trigger call_records_tombstone after delete on call_records
    referencing old table as gone for each statement execute function call_records_after_delete();
