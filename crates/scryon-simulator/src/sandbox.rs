//! The simulator as a sandbox: an installation whose hosted engines are played here spends nothing.

use crate::options::HostedOptions;

/// What the sandbox signs its webhooks with.
pub const SANDBOX_SECRET: &str = "sandbox-webhook-secret";
/// A key that the sandbox takes.
const KEY: &str = "sandbox-key";

/// Base addresses of the hosted providers below the simulator's, as a client of each is configured.
pub const PROVIDERS: &[(&str, &str)] = &[
    ("lemonfox", "/lemonfox/v1"),
    ("openai", "/openai/v1"),
    ("pyannote", "/pyannote"),
    ("deepgram", "/deepgram"),
    ("assemblyai", "/assemblyai"),
];

/// Settings, by variable, of an installation that asks the simulator at `address` (`http://host:port`) in place of
/// Lemonfox, pyannoteAI, OpenAI and Deepgram.
pub fn sandbox_settings(address: &str) -> Vec<(&'static str, String)> {
    let at = |provider: &str| {
        let path = PROVIDERS.iter().find(|(name, _)| *name == provider).map_or("", |(_, path)| path);
        format!("{address}{path}")
    };
    let key = || KEY.to_owned();
    vec![
        ("SCRYON_TRANSCRIPTION_ENGINES", "lemonfox".to_owned()),
        ("SCRYON_DIARIZATION_ENGINES", "auto".to_owned()),
        ("SCRYON_ANALYSIS_ENGINES", "openai".to_owned()),
        ("LEMONFOX_API_KEY", key()),
        ("LEMONFOX_BASE_URL", at("lemonfox")),
        ("SCRYON_OPENAI_API_KEY", key()),
        ("SCRYON_OPENAI_BASE_URL", at("openai")),
        ("SCRYON_DEEPGRAM_API_KEY", key()),
        ("SCRYON_DEEPGRAM_BASE_URL", at("deepgram") + "/v1"),
        ("SCRYON_ASSEMBLYAI_API_KEY", key()),
        ("SCRYON_ASSEMBLYAI_BASE_URL", at("assemblyai")),
        ("LLM_API_KEY", key()),
        ("LLM_BASE_URL", at("openai")),
        ("PYANNOTE_ENABLED", "true".to_owned()),
        ("PYANNOTE_API_KEY", key()),
        ("PYANNOTE_BASE_URL", at("pyannote")),
        ("PYANNOTE_WEBHOOK_SECRET", SANDBOX_SECRET.to_owned()),
        ("SCRYON_WEBHOOK_SECRET", SANDBOX_SECRET.to_owned()),
    ]
}

impl HostedOptions {
    /// As the sandbox behaves: webhooks go to plain addresses, signed with [`SANDBOX_SECRET`].
    pub fn sandbox() -> Self {
        Self { plain_http_webhooks: true, pyannote_secret: SANDBOX_SECRET.to_owned(), ..Self::default() }
    }
}
