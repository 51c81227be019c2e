drop table schema_floor, feature_flags, change_log, queue_generations, sweeper_lease, worker_heartbeats;
