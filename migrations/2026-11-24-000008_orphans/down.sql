drop table storage_orphans;
