-- Objects in storage that no call explains: an upload's, whose API died before the commit. Each is looked at
-- twice before anything happens to it.
create table storage_orphans (
    call_id  uuid primary key,
    prefix   text not null,
    -- The pass that saw it last, and how many did.
    pass     bigint not null,
    looks    int not null default 1
);
