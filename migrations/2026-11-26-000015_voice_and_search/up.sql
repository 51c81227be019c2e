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

-- Search. Rows are written by the sweeper after a call's end, never by the pipeline; the words of a transcript are
-- here, its text is not.
create table call_search (
    call_id          uuid primary key references call_records (id) on delete cascade,
    tenant_id        text not null,
    user_id          uuid not null,
    -- Of the call: newest first where many match.
    created_at       timestamptz not null,
    -- The end of the call that this row was made after; another one makes it anew.
    finished_at      timestamptz,
    -- Besides the words it holds '@' and the owner's id, a lexeme that no query can name: the index finds one
    -- owner's calls with a word without reading everybody's.
    document         tsvector not null default '',
    -- A person changed the call, or asked for it to be indexed again.
    due              boolean not null default false,
    embed_due        boolean not null default false,
    embed_after      timestamptz,
    -- Of the text and the model that its embeddings were made from.
    embedded_sha256  sha256,
    indexed_at       timestamptz not null default now()
);
create index call_search_words on call_search using gin (document);
create index call_search_due on call_search (indexed_at) where due;
create index call_search_embed_due on call_search (indexed_at) where embed_due;

-- How far the ends of calls were looked at.
create table call_search_progress (
    one_row         boolean primary key default true check (one_row),
    finished_until  timestamptz not null default '-infinity'
);
insert into call_search_progress default values;

-- Numbers by which calls are found by meaning; only where embeddings are on.
create table call_embeddings (
    call_id     uuid not null references call_records (id) on delete cascade,
    chunk_no    int not null,
    tenant_id   text not null,
    user_id     uuid not null,
    created_at  timestamptz not null,
    model       text not null,
    embedding   real[] not null,
    primary key (call_id, chunk_no)
);
create index call_embeddings_by_user on call_embeddings (user_id, created_at desc);

create function call_search_edited() returns trigger language plpgsql as $$
begin
    update call_search set due = true where call_id = new.id and not due;
    return null;
end $$;
-- A person's edit leaves the status alone. The pipeline writes these columns only together with a status, so that
-- its statements do no more than compare two words.
create trigger call_records_search after update of title, short_summary, contact_name, organization, phone_number, tags
    on call_records for each row
    when (old.status = new.status and (old.title, old.short_summary, old.contact_name, old.organization, old.phone_number, old.tags)
          is distinct from (new.title, new.short_summary, new.contact_name, new.organization, new.phone_number, new.tags))
    execute function call_search_edited();

-- An owner's calls with these words, best first. a_query is what was typed, a_beginnings a tsquery of beginnings or
-- empty. Of many matches the newest are ranked: what ranking costs has a bound. The planner does not count what it
-- takes to read a long document from its side table, and would rather read them all than ask the index.
create function calls_find(a_tenant text, a_user uuid, a_query text, a_beginnings text, a_limit bigint)
returns setof uuid language plpgsql stable set enable_seqscan = off as $$
declare
    words tsquery := websearch_to_tsquery('simple', a_query);
begin
    if numnode(words) = 0 then
        return;
    end if;
    if a_beginnings <> '' then
        words := words || to_tsquery('simple', a_beginnings);
    end if;
    return query
        select f.call_id from (
            select s.call_id, s.document, s.created_at from call_search s
            where s.tenant_id = a_tenant and s.user_id = a_user
              and s.document @@ (format('''@%s''', a_user)::tsquery && words)
            order by s.created_at desc limit 1000) f
        order by ts_rank(f.document, words) desc, f.created_at desc, f.call_id limit a_limit;
end $$;
