//! All settings, by group. The doc comments are the manual.

use crate::prices::Prices;
use crate::rates::RequestRates;
use crate::settings;
use crate::value::{
    BaseUrl, ByteSize, ChannelRoles, Count, DataKeys, Days, Decimal, Hours, List, LlmProvider, LogFormat,
    Millis, Minutes, Seconds, Secret, SecretList, Stages, StorageProvider,
};

settings! {
    /// The public API.
    "API" ApiSettings {
        /// Port of the public API; 0 picks a free one.
        server_port: u16 = "SERVER_PORT", "8080";
        /// Address the public API listens on. Anything but loopback needs SCRYON_API_KEY or SCRYON_ALLOW_UNAUTHENTICATED.
        server_host: String = "SERVER_HOST", "127.0.0.1";
        /// Serve a non-loopback address without any key. Everybody who reaches it is the local-dev user.
        allow_unauthenticated: bool = "SCRYON_ALLOW_UNAUTHENTICATED", "false";
        /// Keys accepted in X-Scryon-Api-Key (or X-API-Key); while it is set every call needs one. Two at once make a roll-over.
        api_keys: SecretList = "SCRYON_API_KEY", "", secret;
        /// Key of a tenant with the scope `admin`. The command line sends it with operators' orders; programs do not use it.
        admin_key: Secret = "SCRYON_ADMIN_KEY", "", secret;
        /// Key of the tenant `canary`, for `scryon probe`; without it each probe makes one and ends it. Programs do not use it.
        probe_key: Secret = "SCRYON_PROBE_KEY", "", secret;
        /// Largest recording.
        max_file_size: ByteSize = "MAX_FILE_SIZE", "50MB";
        /// Largest request: the recording and its metadata.
        max_request_size: ByteSize = "MAX_REQUEST_SIZE", "55MB";
        /// Slowest upload that is waited for, in bytes per second, measured after its first 10 seconds.
        upload_min_rate: ByteSize = "SCRYON_UPLOAD_MIN_BYTES_PER_SECOND", "4KB";
        /// Longest time one upload may take.
        upload_timeout: Minutes = "SCRYON_UPLOAD_TIMEOUT_MINUTES", "30";
        /// How long a stopping API still lets requests in while its readiness says no, so that balancers and clients hear of it first. At most half of SCRYON_DRAIN_SECONDS.
        stop_notice: Millis = "SCRYON_STOP_NOTICE_MS", "3000";
        /// How long a client's connection stays open without a request. Longer than the balancer in front waits (60 s at most of them): what the API ends first, a balancer may just be sending to, and answers 502.
        keep_alive: Seconds = "SCRYON_KEEP_ALIVE_SECONDS", "75";
        /// Origins that browsers may call the API from; empty sends no CORS headers.
        cors_allowed_origins: List = "SCRYON_CORS_ALLOWED_ORIGINS", "";
        /// Name of the region, shown in logs.
        region: Option<String> = "SCRYON_REGION", "";
    }
}

settings! {
    /// Postgres and RabbitMQ.
    "Servers" ServerSettings {
        /// Postgres, as `postgres://user:password@host:5432/database`. Wins over DB_URL.
        database_url: Secret = "DATABASE_URL", "", secret;
        /// Postgres in the older form; `jdbc:postgresql://host:5432/database` is understood.
        db_url: Secret = "DB_URL", "", secret;
        /// User for DB_URL.
        db_username: Option<String> = "DB_USERNAME", "";
        /// Password for DB_URL.
        db_password: Secret = "DB_PASSWORD", "", secret;
        /// Connections of one program to Postgres, besides one for each kind of step it does (at most seven), two for steps that are sent again and one for its heartbeat.
        database_pool_size: Count<1, 200> = "SCRYON_DATABASE_POOL_SIZE", "12";
        /// Time between two statements of one kind that a busy worker sends. Steps that are asked for meanwhile travel together: longer spares Postgres under load, shorter saves a call a few times this. A worker whose steps come alone, below some sixty a second, sends them at once.
        step_pace: Millis = "SCRYON_STEP_PACE_MS", "100";
        /// RabbitMQ.
        amqp_url: Secret = "AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f", secret;
        /// First part of the names of queues and exchanges; lets several installations share a broker.
        queue_prefix: String = "SCRYON_QUEUE_PREFIX", "scryon";
        /// Address of the admin port (health, readiness, metrics).
        admin_host: String = "SCRYON_ADMIN_HOST", "127.0.0.1";
        /// Admin port. Empty means the program's own: API 9101, transcription worker 9102, diarization worker 9103, analysis worker 9104, sweeper 9105, `scryon dev` 9100. 0 picks a free one.
        admin_port: Option<u16> = "SCRYON_ADMIN_PORT", "";
    }
}

settings! {
    /// Object storage.
    "Object storage" StorageSettings {
        /// Where objects are stored.
        provider: StorageProvider = "OBJECT_STORAGE_PROVIDER", "local";
        /// Folder of the local provider.
        local_path: String = "OBJECT_STORAGE_LOCAL_PATH", "./var/storage";
        /// Whether the local provider waits until an object is on the disk. Without it a power cut can lose objects that rows name.
        local_fsync: bool = "OBJECT_STORAGE_LOCAL_FSYNC", "true";
        /// Bucket of the s3 provider.
        bucket: Option<String> = "OBJECT_STORAGE_BUCKET", "";
        /// Endpoint of an S3-compatible service; empty means AWS.
        endpoint: Option<String> = "OBJECT_STORAGE_ENDPOINT", "";
        /// Region of the bucket.
        bucket_region: String = "OBJECT_STORAGE_REGION", "auto";
        /// Access key of the s3 provider.
        access_key: Secret = "OBJECT_STORAGE_ACCESS_KEY", "", secret;
        /// Secret key of the s3 provider.
        secret_key: Secret = "OBJECT_STORAGE_SECRET_KEY", "", secret;
        /// Whether the bucket is part of the path rather than of the host name.
        path_style: bool = "OBJECT_STORAGE_PATH_STYLE_ACCESS", "true";
        /// Whether hosted engines that can fetch a recording get a signed address of it, good for some hours, instead of its bytes: nothing goes through the workers. Only for the s3 provider, and where the engines' providers reach its endpoint.
        audio_by_url: bool = "SCRYON_AUDIO_BY_URL", "false";
        /// How long audio is kept after its call reached a final status.
        temp_audio_ttl: Hours = "OBJECT_STORAGE_TEMP_AUDIO_TTL_HOURS", "24";
        /// How long audio of an unfinished call is kept.
        temp_audio_max: Hours = "SCRYON_TEMP_AUDIO_MAX_HOURS", "72";
    }
}

settings! {
    /// Preparation of audio.
    "Audio preprocessing" AudioSettings {
        /// Whether recordings are prepared with ffmpeg (16 kHz, high-pass, denoise, loudness) before the engines hear them. Off: only headers are read.
        enabled: bool = "SCRYON_AUDIO_PREPROCESSING_ENABLED", "true";
        /// Longest run of ffmpeg for one recording, per started hour of audio.
        timeout: Seconds = "SCRYON_AUDIO_PREPROCESSING_TIMEOUT_SECONDS", "60";
        /// Container of prepared audio; `wav` is the only one.
        output_format: String = "SCRYON_AUDIO_PREPROCESSING_OUTPUT_FORMAT", "wav";
        /// The ffmpeg binary; ffprobe is expected beside it.
        ffmpeg_path: String = "SCRYON_FFMPEG_PATH", "ffmpeg";
        /// Whether noise is reduced.
        denoise: bool = "SCRYON_AUDIO_DENOISE_ENABLED", "true";
        /// Strength of the noise reduction in dB, 0.01 to 97.
        denoise_nr_db: Decimal = "SCRYON_AUDIO_DENOISE_NR_DB", "12";
        /// Assumed noise floor in dB, -80 to -20.
        denoise_floor_db: Decimal = "SCRYON_AUDIO_DENOISE_NOISE_FLOOR_DB", "-25";
        /// Frequencies below this are cut, in Hz.
        highpass_hz: Count<0, 1000> = "SCRYON_AUDIO_HIGHPASS_HZ", "80";
    }
}

settings! {
    /// Which engine does what.
    "Engines" EngineSettings {
        /// Transcription engines in order of preference: `lemonfox`, `openai`, `deepgram`, `assemblyai`, `whisper-cpp`, `pocketsphinx`, `fake`. `auto` picks lemonfox where LEMONFOX_API_KEY is set, else whisper-cpp where SCRYON_WHISPER_MODEL is set, else pocketsphinx.
        transcription: List = "SCRYON_TRANSCRIPTION_ENGINES", "auto";
        /// Diarization engines in order of preference: `pyannote`, `channels`, `fake`. `auto` means pyannote before channels where PYANNOTE_ENABLED is true, else channels. Where all have nothing to give the speaker labels of the transcription are used.
        diarization: List = "SCRYON_DIARIZATION_ENGINES", "auto";
        /// Analysis engines in order of preference: `openai`, `extractive`, `fake`. `auto` picks openai where LLM_API_KEY is set, else extractive.
        analysis: List = "SCRYON_ANALYSIS_ENGINES", "auto";
        /// Whether calls are analysed. Off: they are COMPLETED with their transcript.
        analysis_enabled: bool = "SCRYON_ANALYSIS_ENABLED", "true";
        /// A ggml model for whisper.cpp; with it the `whisper-cpp` engine can run.
        whisper_model: Option<String> = "SCRYON_WHISPER_MODEL", "";
        /// The whisper.cpp binary.
        whisper_cli: String = "SCRYON_WHISPER_CLI", "whisper-cli";
        /// The pocketsphinx binary; empty looks for pocketsphinx_continuous, then pocketsphinx.
        pocketsphinx: Option<String> = "SCRYON_POCKETSPHINX_PATH", "";
        /// Key of Lemonfox; with it the transcription engine `lemonfox` can run.
        lemonfox_api_key: Secret = "LEMONFOX_API_KEY", "", secret;
        /// Base address of Lemonfox; `https://eu-api.lemonfox.ai/v1` processes inside the EU, at a higher price.
        lemonfox_base_url: BaseUrl = "LEMONFOX_BASE_URL", "https://api.lemonfox.ai/v1";
        /// Model that is asked for at Lemonfox.
        lemonfox_model: String = "LEMONFOX_MODEL", "whisper-1";
        /// Language of the recordings, by its English name or ISO code; `auto` lets the engine tell.
        lemonfox_language: String = "LEMONFOX_LANGUAGE", "auto";
        /// Longest wait for an answer of Lemonfox. Long recordings are waited for longer: a minute and half their length.
        lemonfox_timeout: Seconds = "LEMONFOX_TIMEOUT_SECONDS", "180";
        /// Whether Lemonfox and Deepgram are asked to call back with the transcript, so that no worker waits for it. Needs SCRYON_PUBLIC_BASE_URL and SCRYON_WEBHOOK_SECRET.
        transcription_callback: bool = "SCRYON_TRANSCRIPTION_CALLBACK_ENABLED", "false";
        /// How long such a callback, or a job of AssemblyAI, is waited for; after that Lemonfox or Deepgram is asked once more, and its answer waited for.
        transcription_callback_timeout: Minutes = "SCRYON_TRANSCRIPTION_CALLBACK_TIMEOUT_MINUTES", "30";
        /// Key for the transcription engine `openai`. A server that needs none takes any text.
        openai_api_key: Secret = "SCRYON_OPENAI_API_KEY", "", secret;
        /// Base address of OpenAI, or of a server that speaks its transcription API.
        openai_base_url: BaseUrl = "SCRYON_OPENAI_BASE_URL", "https://api.openai.com/v1";
        /// Transcription model of the engine `openai`. One that is not known here is asked for word times, and for plain text where it refuses.
        openai_model: String = "SCRYON_OPENAI_MODEL", "whisper-1";
        /// Language of the recordings for the engine `openai`, by ISO code or English name; `auto` lets the engine tell.
        openai_language: String = "SCRYON_OPENAI_LANGUAGE", "auto";
        /// Key of Deepgram; with it the transcription engine `deepgram` can run.
        deepgram_api_key: Secret = "SCRYON_DEEPGRAM_API_KEY", "", secret;
        /// Base address of Deepgram; `https://api.eu.deepgram.com/v1` is the one in the EU.
        deepgram_base_url: BaseUrl = "SCRYON_DEEPGRAM_BASE_URL", "https://api.deepgram.com/v1";
        /// Model that is asked for at Deepgram.
        deepgram_model: String = "SCRYON_DEEPGRAM_MODEL", "nova-3";
        /// Whether pyannoteAI is used. Off takes it out of SCRYON_DIARIZATION_ENGINES, too: the speaker labels of the transcription are used instead.
        pyannote_enabled: bool = "PYANNOTE_ENABLED", "false";
        /// Key of pyannoteAI.
        pyannote_api_key: Secret = "PYANNOTE_API_KEY", "", secret;
        /// Base address of pyannoteAI.
        pyannote_base_url: BaseUrl = "PYANNOTE_BASE_URL", "https://api.pyannote.ai";
        /// Model that is asked for at pyannoteAI.
        pyannote_model: String = "PYANNOTE_MODEL", "precision-2";
        /// How long a diarization job is waited for before the call goes on without it.
        diarization_timeout: Seconds = "SCRYON_DIARIZATION_TIMEOUT_SECONDS", "300";
        /// Time between two looks at a diarization job. With SCRYON_PUBLIC_BASE_URL the provider calls back, and looks are six times as far apart.
        diarization_poll_interval: Seconds = "SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS", "5";
        /// Attempts beyond the first at submitting a diarization job before the call goes on without it.
        diarization_max_retries: Count<0, 100> = "SCRYON_DIARIZATION_MAX_RETRIES", "2";
        /// Longer recordings are not sent to a hosted diarization engine.
        diarization_max_audio: Minutes = "SCRYON_DIARIZATION_MAX_AUDIO_MINUTES", "30";
        /// Whether a hosted diarization engine is told that an INCOMING or OUTGOING call has two speakers.
        diarization_hint_two_speakers: bool = "SCRYON_DIARIZATION_HINT_TWO_SPEAKERS", "true";
        /// Where providers reach this installation's API, as `https://calls.example.org`. With it jobs are called back for; without it they are looked at.
        public_base_url: Option<String> = "SCRYON_PUBLIC_BASE_URL", "";
        /// Secrets of callbacks whose authenticity is our own affair. The first signs addresses, all verify.
        webhook_secrets: SecretList = "SCRYON_WEBHOOK_SECRET", "", secret;
        /// Secrets by which pyannoteAI signs its callbacks, the current one and perhaps the one before.
        pyannote_webhook_secrets: SecretList = "PYANNOTE_WEBHOOK_SECRET", "", secret;
        /// Key of AssemblyAI; with it the transcription engine `assemblyai` can run.
        assemblyai_api_key: Secret = "SCRYON_ASSEMBLYAI_API_KEY", "", secret;
        /// Base address of AssemblyAI; `https://api.eu.assemblyai.com` is the one in the EU.
        assemblyai_base_url: BaseUrl = "SCRYON_ASSEMBLYAI_BASE_URL", "https://api.assemblyai.com";
        /// Model that is asked for at AssemblyAI.
        assemblyai_model: String = "SCRYON_ASSEMBLYAI_MODEL", "universal-2";
        /// Dialect of the language model that analyses calls; `openai` is what most servers speak.
        llm_provider: LlmProvider = "LLM_PROVIDER", "openai";
        /// Key of the language model; with it the analysis engine `openai` can run. A server that needs none takes any text.
        llm_api_key: Secret = "LLM_API_KEY", "", secret;
        /// Base address of the language model's server.
        llm_base_url: BaseUrl = "LLM_BASE_URL", "https://api.openai.com/v1";
        /// Language model that analyses calls.
        llm_model: String = "LLM_MODEL", "gpt-6-luna";
        /// Longest wait for an answer of the language model.
        llm_timeout: Seconds = "LLM_TIMEOUT_SECONDS", "120";
        /// Temperature that the language model is asked with; not sent to models that refuse one.
        llm_temperature: Decimal = "LLM_TEMPERATURE", "0.2";
        /// Prices in US dollars that win over the built-in ones: `engine/model=0.003` per minute of audio, `engine/model=0.10/0.50` or `engine/model=0.10/0.01/0.50` per million tokens (input, cached input, output). A model without a price is not bought a second time when its answer was lost.
        prices: Prices = "SCRYON_PRICES", "";
        /// Most paid requests a minute that all programs together make to an engine, as `lemonfox=300,llm=500`. `llm` is the language model of the analysis. Each worker takes its part, by how many of them live. Empty: as many as the provider takes.
        provider_rpm: RequestRates = "SCRYON_PROVIDER_RPM", "";
        /// Base address of the fake provider that tests and the benchmark run.
        fake_url: String = "SCRYON_FAKE_PROVIDER_URL", "http://127.0.0.1:8099";
        /// Whether the fake provider honours idempotency keys; off makes an unanswered request ambiguous.
        fake_idempotent: bool = "SCRYON_FAKE_PROVIDER_IDEMPOTENT", "true";
        /// Longest wait for an answer of the fake provider.
        fake_timeout: Seconds = "SCRYON_FAKE_PROVIDER_TIMEOUT_SECONDS", "60";
        /// Whose voice each channel carries, by position, for example `USER,CONTACT`. Empty: channels separate speakers but give no role.
        channel_roles: ChannelRoles = "SCRYON_CHANNEL_ROLES", "";
        /// Most that is spent, in US dollars, on buying a second time what was perhaps bought already.
        ambiguous_rebuy_max: Decimal = "SCRYON_AMBIGUOUS_REBUY_MAX_USD", "0.50";
    }
}

settings! {
    /// Voice profiles: a user's own voice, by which a call's speakers are compared.
    "Voice profiles" VoiceSettings {
        /// Whether users may have voice profiles and calls are compared with them. Needs SCRYON_DATA_KEY and PYANNOTE_API_KEY. Off: the endpoints answer 404 `feature_not_available`, and calls are diarized as ever.
        enabled: bool = "SCRYON_VOICE_EMBEDDING_ENABLED", "false";
        /// Who makes and compares voice profiles; `pyannote` is the only one.
        provider: String = "SCRYON_VOICE_EMBEDDING_PROVIDER", "pyannote";
        /// From this score on, 0 to 1, the speaker is the user with high confidence.
        high_threshold: Decimal = "SCRYON_VOICE_EMBEDDING_HIGH_THRESHOLD", "0.85";
        /// From this score on the speaker is the user with medium confidence. Two speakers above it are ambiguous, and neither is named.
        medium_threshold: Decimal = "SCRYON_VOICE_EMBEDDING_MEDIUM_THRESHOLD", "0.75";
        /// Shortest voice sample.
        sample_min: Seconds = "SCRYON_VOICE_SAMPLE_MIN_SECONDS", "15";
        /// Longest voice sample; the 30 seconds with the most speech are used.
        sample_max: Seconds = "SCRYON_VOICE_SAMPLE_MAX_SECONDS", "45";
        /// Largest request with voice samples, in megabytes.
        sample_max_megabytes: Count<1, 100> = "SCRYON_VOICE_SAMPLE_MAX_SIZE_MB", "10";
        /// How long `POST /api/users/me/voice-profile` waits for the provider before it answers 202 with a profile in the making.
        enrol_wait: Seconds = "SCRYON_VOICE_PROFILE_WAIT_SECONDS", "10";
        /// Version of the consent that users are asked for. Raising it puts profiles with an older one out of use until their owners consent anew.
        consent_version: String = "SCRYON_VOICE_CONSENT_VERSION", "v1";
        /// Keys that biometric data is encrypted with at rest. The first encrypts, all decrypt; a key is taken out when nothing is left under it.
        data_keys: DataKeys = "SCRYON_DATA_KEY", "", secret;
    }
}

settings! {
    /// Search over calls.
    "Search" SearchSettings {
        /// Calls that come into the search index at once: once a second, a tenth of them while more than 200 calls are in flight, and as fast as it goes while none is. 0: no call is indexed.
        batch: Count<0, 5000> = "SCRYON_SEARCH_BATCH", "100";
        /// Whether calls are found by meaning as well as by words. Needs LLM_API_KEY, and a server at LLM_BASE_URL that has embeddings.
        embedding_enabled: bool = "SCRYON_EMBEDDING_ENABLED", "false";
        /// Model that makes embeddings. With another one older embeddings are of no use; `POST /api/calls/search/backfill` makes them anew.
        embedding_model: String = "SCRYON_EMBEDDING_MODEL", "text-embedding-3-small";
        /// Longest wait for embeddings of a call; a search waits for at most 5 seconds.
        embedding_timeout: Seconds = "SCRYON_EMBEDDING_TIMEOUT_SECONDS", "30";
    }
}

settings! {
    /// Workers.
    "Workers" WorkerSettings {
        /// Stages this worker works on; empty means all that its program knows.
        stages: Stages = "SCRYON_STAGES", "";
        /// Calls in preprocessing at once; 0 means one per core with ffmpeg, 1000 without.
        preprocessing_slots: Count<0, 100_000> = "SCRYON_PREPROCESSING_SLOTS", "0";
        /// Calls in transcription at once; 0 means one per core for local engines, 600 for hosted ones.
        transcription_slots: Count<0, 100_000> = "SCRYON_TRANSCRIPTION_SLOTS", "0";
        /// Calls in diarization at once; 0 as above.
        diarization_slots: Count<0, 100_000> = "SCRYON_DIARIZATION_SLOTS", "0";
        /// Calls in assembly at once; 0 means 1000. At most 32 of them have their documents in memory.
        assembly_slots: Count<0, 100_000> = "SCRYON_ASSEMBLY_SLOTS", "0";
        /// Calls in analysis at once; 0 means one per core for local engines, 600 for hosted ones.
        analysis_slots: Count<0, 100_000> = "SCRYON_ANALYSIS_SLOTS", "0";
        /// Attempts of a stage before it fails; waiting for a provider or an outage costs none.
        max_tries: Count<1, 100> = "SCRYON_STAGE_MAX_TRIES", "6";
        /// How long a stopping program waits for work in flight before it hands it back.
        drain: Seconds = "SCRYON_DRAIN_SECONDS", "25";
    }
}

settings! {
    /// Dispatcher and sweeps.
    "Sweeper" SweeperSettings {
        /// Pace of the slow sweeps (retention, storage).
        interval: Millis = "SCRYON_SWEEP_INTERVAL_MS", "300000";
        /// Wait before the first slow sweep.
        initial_delay: Millis = "SCRYON_SWEEP_INITIAL_DELAY_MS", "60000";
        /// How long a call may be stuck (nobody holds it, nobody will take it) before it fails with `stale_job`. Waiting in a queue, at admission or for a provider is not being stuck.
        stale_after: Minutes = "SCRYON_STALE_JOB_TIMEOUT_MINUTES", "15";
        /// Pace of the look for objects that no call explains (what an upload left whose API died).
        orphan_interval: Millis = "SCRYON_ORPHAN_SWEEP_INTERVAL_MS", "21600000";
        /// Younger objects are left alone, whatever the rows say.
        orphan_min_age: Hours = "SCRYON_ORPHAN_MIN_AGE_HOURS", "24";
        /// Pace of the dispatcher.
        tick: Millis = "SCRYON_DISPATCH_TICK_MS", "1000";
        /// Calls of one tenant that are announced or being transcribed at once; more wait at admission.
        tenant_max_in_flight: Count<1, 1_000_000> = "SCRYON_TENANT_MAX_IN_FLIGHT", "2000";
    }
}

settings! {
    /// How long rows are kept that nobody needs for ever. While a hold is on (`scryon hold`) nothing leaves.
    "Retention" RetentionSettings {
        /// Processing log of calls.
        events: Days = "SCRYON_RETENTION_EVENTS_DAYS", "90";
        /// Answers that are repeated for the same `Idempotency-Key`. Less than 24 hours counts as 24.
        idempotency: Hours = "SCRYON_RETENTION_IDEMPOTENCY_HOURS", "24";
        /// Messages nobody could use.
        dead_letters: Days = "SCRYON_RETENTION_DEAD_LETTERS_DAYS", "30";
        /// Callbacks of providers.
        callbacks: Days = "SCRYON_RETENTION_CALLBACKS_DAYS", "7";
        /// Raw answers of providers that are no call's artifact; after this time none serves another call either. Artifacts stay as long as their call.
        raw_answers: Days = "SCRYON_RETENTION_RAW_ANSWERS_DAYS", "30";
        /// Notes in storage of which calls, users and tenants were erased, by which a restored backup is made to forget them again. Has to be longer than any backup is kept.
        tombstones: Days = "SCRYON_RETENTION_TOMBSTONES_DAYS", "400";
    }
}

settings! {
    /// Backups (`scryon backup`, `scryon restore`), in a store of their own.
    "Backups" BackupSettings {
        /// Where backups are stored. It should be another place than object storage, with keys of its own.
        provider: StorageProvider = "SCRYON_BACKUP_STORAGE", "local";
        /// Folder of the local provider.
        local_path: String = "SCRYON_BACKUP_LOCAL_PATH", "./var/backups";
        /// Bucket of the s3 provider.
        bucket: Option<String> = "SCRYON_BACKUP_BUCKET", "";
        /// Endpoint of an S3-compatible service; empty means AWS.
        endpoint: Option<String> = "SCRYON_BACKUP_ENDPOINT", "";
        /// Region of the bucket.
        bucket_region: String = "SCRYON_BACKUP_REGION", "auto";
        /// Access key of the s3 provider.
        access_key: Secret = "SCRYON_BACKUP_ACCESS_KEY", "", secret;
        /// Secret key of the s3 provider.
        secret_key: Secret = "SCRYON_BACKUP_SECRET_KEY", "", secret;
        /// Whether the bucket is part of the path rather than of the host name.
        path_style: bool = "SCRYON_BACKUP_PATH_STYLE_ACCESS", "true";
        /// Folder of pg_dump and pg_restore; empty looks on PATH, then in /usr/lib/postgresql.
        postgres_bin: Option<String> = "SCRYON_POSTGRES_BIN", "";
    }
}

settings! {
    /// Logs and traces.
    "Telemetry" TelemetrySettings {
        /// Form of a log line.
        log_format: LogFormat = "SCRYON_LOG_FORMAT", "kv";
        /// What is logged, as `info` or `info,scryon_runtime=debug`.
        log_filter: String = "SCRYON_LOG", "info";
        /// Kept for older set-ups: transcript text is never logged, whatever this says.
        redact_transcripts: bool = "REDACT_TRANSCRIPTS", "true";
        /// Named point at which a test build ends itself at once, for crash tests. Release builds refuse it.
        crash_at: Option<String> = "SCRYON_CRASH_AT", "";
    }
}
