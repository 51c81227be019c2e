-- One row per process, a beat each second: lets a redelivery tell a dead owner from a busy one.
create table worker_heartbeats (
    -- host, process id and a boot uuid: a restarted process is another owner.
    owner       text primary key,
    program     text not null,
    version     text not null,
    started_at  timestamptz not null default now(),
    beat_at     timestamptz not null default now(),
    -- Deliveries held but not yet claimed, by `stage.lane`.
    held        jsonb not null default '{}'
) with (fillfactor = 50);

-- Leadership of the sweepers by the database clock. A row, because a frozen holder of a session lock
-- would keep that for good.
create table sweeper_lease (
    name         text primary key,
    owner        text,
    lease_until  timestamptz not null default '-infinity'
);
insert into sweeper_lease (name) values ('dispatcher');

-- When a queue had to be created anew its messages were lost: the dispatcher announces its rows again.
create table queue_generations (
    queue       text primary key,
    created_at  timestamptz not null default now(),
    handled_at  timestamptz
);

create table change_log (
    id        bigint generated always as identity primary key,
    at        timestamptz not null default now(),
    kind      text not null,
    program   text,
    details   jsonb not null default '{}'
);

create table feature_flags (
    name        text primary key,
    enabled     boolean not null,
    updated_at  timestamptz not null default now(),
    reason      text
);

-- Programs whose newest known migration is older than this refuse to start: an expand step leaves it
-- alone, a contract step raises it.
create table schema_floor (
    oldest_program  text not null
);
insert into schema_floor (oldest_program) values ('20261121000004');
