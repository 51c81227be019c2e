-- Organisations, their people and keys. Tenant ids appear in storage keys, hence the narrow alphabet.
create table tenants (
    id             text primary key check (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
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
    account_status    text not null default 'ACTIVE' check (account_status in ('ACTIVE', 'SUSPENDED', 'DISABLED')),
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
    key_sha256    bytea not null unique check (length(key_sha256) = 32),
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
