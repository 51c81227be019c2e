drop table user_voice_profiles;
drop domain voice_profile_state;
