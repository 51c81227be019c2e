//! Every setting in one registry: name, type, default, help. One env file serves all programs; a value
//! that is not allowed, or a `SCRYON_*` nobody knows, stops the start before a port opens.

mod prices;
mod rates;
pub mod registry;
mod settings;
pub mod telemetry;
pub mod value;
mod voice;

use std::collections::BTreeMap;

pub use prices::{Price, Prices, Rate};
pub use rates::RequestRates;
pub use registry::{ConfigError, Entry, Env, ProcessEnv};
pub use settings::{
    ApiSettings, AudioSettings, BackupSettings, EngineSettings, RetentionSettings, SearchSettings,
    ServerSettings, StorageSettings, SweeperSettings, TelemetrySettings, VoiceSettings, WorkerSettings,
};

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Config {
    pub api: ApiSettings,
    pub servers: ServerSettings,
    pub storage: StorageSettings,
    pub audio: AudioSettings,
    pub engines: EngineSettings,
    pub voice: VoiceSettings,
    pub search: SearchSettings,
    pub workers: WorkerSettings,
    pub sweeper: SweeperSettings,
    pub retention: RetentionSettings,
    pub backup: BackupSettings,
    pub telemetry: TelemetrySettings,
    /// One line per variable that is set and has no effect, saying what to use.
    pub notes: Vec<String>,
    /// Reserved names that are set.
    pub reserved: Vec<&'static str>,
    /// What is set, as it may be shown.
    pub shown: BTreeMap<&'static str, String>,
}

/// Names of earlier set-ups that are not used here, with what to use.
const OLD_NAMES: &[(&str, &str)] = &[
    ("FLYWAY_ENABLED", "migrations are applied by `scryon migrate`"),
    ("FIREBASE_CLIENT_EMAIL", "tokens are verified with public keys; FIREBASE_PROJECT_ID is enough"),
    ("FIREBASE_PRIVATE_KEY", "tokens are verified with public keys; FIREBASE_PROJECT_ID is enough"),
    ("SCRYON_OBSERVABILITY_ENABLED", "logs and metrics are always on; SCRYON_LOG sets how much is logged"),
    ("SCRYON_REQUEST_LOGGING_ENABLED", "use SCRYON_LOG"),
    ("SCRYON_PIPELINE_LOGGING_ENABLED", "use SCRYON_LOG"),
    ("SCRYON_DEBUG_ENDPOINTS_ENABLED", "GET /api/calls/{id} shows the stages of a call"),
    ("MANAGEMENT_TRACING_ENABLED", "use SCRYON_TRACING_ENABLED"),
    (
        "MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE",
        "health and metrics are on the admin port, SCRYON_ADMIN_PORT",
    ),
    ("SENTRY_DSN", "errors are in the logs; use SCRYON_LOG_FORMAT=json to ship them"),
    ("SENTRY_ENVIRONMENT", "errors are in the logs"),
    ("SENTRY_TRACES_SAMPLE_RATE", "errors are in the logs"),
];

/// Names of the contract whose feature this version does not have yet. They may be set: one env file
/// serves all versions.
const LATER_NAMES: &[&str] = &[
    "FIREBASE_PROJECT_ID",
    "SCRYON_AUTH_ISSUER",
    "SCRYON_AUTH_AUDIENCE",
    "SCRYON_AUTH_JWKS_URL",
    "SCRYON_ADMIN_ALLOWED_EMAILS",
    "SCRYON_TRACING_ENABLED",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_TRACES_SAMPLER_ARG",
];

/// Every entry of the registry, by group.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    [
        ApiSettings::ENTRIES,
        ServerSettings::ENTRIES,
        StorageSettings::ENTRIES,
        AudioSettings::ENTRIES,
        EngineSettings::ENTRIES,
        VoiceSettings::ENTRIES,
        SearchSettings::ENTRIES,
        WorkerSettings::ENTRIES,
        SweeperSettings::ENTRIES,
        RetentionSettings::ENTRIES,
        BackupSettings::ENTRIES,
        TelemetrySettings::ENTRIES,
    ]
    .into_iter()
    .flatten()
}

impl Config {
    /// Reads and checks everything.
    pub fn from_env(env: &dyn Env) -> Result<Self, ConfigError> {
        refuse_unknown(env)?;
        let config = Self {
            api: ApiSettings::read(env)?,
            servers: ServerSettings::read(env)?,
            storage: StorageSettings::read(env)?,
            audio: AudioSettings::read(env)?,
            engines: EngineSettings::read(env)?,
            voice: VoiceSettings::read(env)?,
            search: SearchSettings::read(env)?,
            workers: WorkerSettings::read(env)?,
            sweeper: SweeperSettings::read(env)?,
            retention: RetentionSettings::read(env)?,
            backup: BackupSettings::read(env)?,
            telemetry: TelemetrySettings::read(env)?,
            notes: notes(env),
            reserved: reserved(env),
            shown: shown(env),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let conflict = |text: &str| Err(ConfigError::Conflict(text.to_owned()));
        if self.api.max_request_size.0 < self.api.max_file_size.0 {
            return conflict("MAX_REQUEST_SIZE must not be smaller than MAX_FILE_SIZE");
        }
        if self.audio.output_format != "wav" {
            return conflict("SCRYON_AUDIO_PREPROCESSING_OUTPUT_FORMAT must be wav");
        }
        if self.storage.provider == value::StorageProvider::S3 && self.storage.bucket.is_none() {
            return conflict("OBJECT_STORAGE_PROVIDER=s3 needs OBJECT_STORAGE_BUCKET");
        }
        if self.backup.provider == value::StorageProvider::S3 && self.backup.bucket.is_none() {
            return conflict("SCRYON_BACKUP_STORAGE=s3 needs SCRYON_BACKUP_BUCKET");
        }
        let engines = &self.engines;
        if engines.transcription_callback
            && (engines.public_base_url.is_none() || engines.webhook_secrets.0.is_empty())
        {
            return conflict(
                "SCRYON_TRANSCRIPTION_CALLBACK_ENABLED=true needs SCRYON_PUBLIC_BASE_URL and SCRYON_WEBHOOK_SECRET",
            );
        }
        self.voice.check(engines)?;
        if self.search.embedding_enabled && engines.llm_api_key.0.is_empty() {
            return conflict("SCRYON_EMBEDDING_ENABLED=true needs LLM_API_KEY");
        }
        if self.telemetry.crash_at.is_some() && !cfg!(debug_assertions) {
            return conflict("SCRYON_CRASH_AT works in test builds only");
        }
        if !is_name(&self.servers.queue_prefix) {
            return conflict("SCRYON_QUEUE_PREFIX may hold letters, digits, '_' and '-' only");
        }
        Ok(())
    }

    /// The address of Postgres: DATABASE_URL, else DB_URL with DB_USERNAME and DB_PASSWORD, else the local server.
    pub fn database_url(&self) -> String {
        let servers = &self.servers;
        if !servers.database_url.0.is_empty() {
            return from_jdbc(&servers.database_url.0, servers);
        }
        if !servers.db_url.0.is_empty() {
            return from_jdbc(&servers.db_url.0, servers);
        }
        "postgres://scryon:scryon@127.0.0.1:5432/scryon".to_owned()
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// `jdbc:postgresql://host:port/db` carries no user; that comes from two variables of its own.
fn from_jdbc(url: &str, servers: &ServerSettings) -> String {
    let plain = url.strip_prefix("jdbc:").unwrap_or(url);
    let Some((scheme, rest)) = plain.split_once("://") else { return plain.to_owned() };
    let authority = rest.split('/').next().unwrap_or_default();
    match &servers.db_username {
        Some(user) if !authority.contains('@') => {
            format!("{scheme}://{}:{}@{rest}", percent(user), percent(&servers.db_password.0))
        }
        _ => plain.to_owned(),
    }
}

/// Escapes what has a meaning inside a URL.
fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn refuse_unknown(env: &dyn Env) -> Result<(), ConfigError> {
    let known = |name: &str| {
        entries().any(|e| e.name == name)
            || LATER_NAMES.contains(&name)
            || OLD_NAMES.iter().any(|(old, _)| *old == name)
    };
    let mut names = env.names();
    names.sort();
    for name in names {
        if name.starts_with("SCRYON_") && !known(&name) {
            let near = entries()
                .map(|e| e.name)
                .filter(|k| distance(k, &name) <= 3)
                .min_by_key(|k| distance(k, &name));
            let hint = near.map(|n| format!(" (did you mean {n}?)")).unwrap_or_default();
            return Err(ConfigError::Unknown { name, hint });
        }
    }
    Ok(())
}

fn reserved(env: &dyn Env) -> Vec<&'static str> {
    LATER_NAMES.iter().copied().filter(|name| env.get(name).is_some_and(|v| !v.trim().is_empty())).collect()
}

/// Of a secret one sees whether it changed, by the beginning of its hash; of a short one, or an address with a password,
/// only that it is set.
fn shown(env: &dyn Env) -> BTreeMap<&'static str, String> {
    let set = entries().filter_map(|entry| Some((entry, env.get(entry.name).filter(|v| !v.is_empty())?)));
    set.map(|(entry, value)| (entry.name, if entry.secret { redacted(&value) } else { value })).collect()
}

fn redacted(value: &str) -> String {
    let one = |part: &str| match part.len() {
        24.. if !part.contains("://") => hash_begin(part),
        _ => "(set)".to_owned(),
    };
    value.split(',').map(|part| one(part.trim())).collect::<Vec<_>>().join(",")
}

/// The first 12 digits of a secret's SHA-256: enough to tell two apart.
pub fn hash_begin(secret: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(secret.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn notes(env: &dyn Env) -> Vec<String> {
    let old = OLD_NAMES
        .iter()
        .filter(|(name, _)| env.get(name).is_some())
        .map(|(name, advice)| format!("{name} is not used: {advice}"));
    let later = reserved(env)
        .into_iter()
        .map(|name| format!("{name} is set, but this version does not have its feature yet"));
    old.chain(later).collect()
}

/// Levenshtein distance, for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// docs/configuration.md.
pub fn manual() -> String {
    let mut out = String::from(
        "# Configuration\n\nEvery setting is an environment variable with a safe default. One env file serves all programs. \
         A value that is not allowed, or a `SCRYON_*` name nobody knows, stops the start with the variable, its value and what is allowed.\n\n\
         This page is written from the registry in `crates/scryon-config` by `make docs`; a test compares them.\n",
    );
    let mut group = "";
    for entry in entries() {
        if entry.group != group {
            group = entry.group;
            out.push_str(&format!(
                "\n## {group}\n\n| variable | default | allowed | meaning |\n|---|---|---|---|\n"
            ));
        }
        let default =
            if entry.default.is_empty() { "(empty)".to_owned() } else { format!("`{}`", entry.default) };
        let secret = if entry.secret { " Never shown in logs." } else { "" };
        out.push_str(&format!(
            "| `{}` | {default} | {} | {}{secret} |\n",
            entry.name,
            (entry.allowed)(),
            entry.help.trim()
        ));
    }
    out.push_str("\n## Known names without effect\n\nThese start with a line in the log that says what to use.\n\n| variable | use |\n|---|---|\n");
    for (name, advice) in OLD_NAMES {
        out.push_str(&format!("| `{name}` | {advice} |\n"));
    }
    out.push_str(
        "\n## Reserved names\n\nThey belong to features this version does not have yet. They may be set.\n\n",
    );
    for name in LATER_NAMES {
        out.push_str(&format!("- `{name}`\n"));
    }
    out
}

#[cfg(test)]
mod tests;
