drop function calls_find(text, uuid, text, text, bigint);
drop trigger call_records_search on call_records;
drop function call_search_edited();
drop table call_embeddings;
drop table call_search_progress;
drop table call_search;
drop table user_voice_profiles;
drop domain voice_profile_state;
