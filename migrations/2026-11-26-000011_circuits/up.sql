-- Which providers are asked: shared by all programs, so that one of them finding a provider dead spares the others,
-- and so that an operator's word reaches all of them within a second, without a restart.
create table provider_circuits (
    engine        text primary key,
    -- Not asked before this; null: the circuit is closed.
    open_until    timestamptz,
    opened_at     timestamptz,
    -- Openings without a success between them: each is twice as long as the one before.
    openings      int not null default 0,
    reason        text,
    -- One request of one program finds out whether it lives again; it has until then.
    probe_until   timestamptz,
    -- An operator's word: `open` keeps requests away, `closed` lets them through whatever happens.
    forced        text check (forced in ('open', 'closed')),
    forced_until  timestamptz,
    forced_reason text,
    updated_at    timestamptz not null default now(),
    check ((forced is null) = (forced_reason is null))
);
