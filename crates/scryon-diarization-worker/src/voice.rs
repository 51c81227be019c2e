//! Whether a call is compared with its owner's voice, and with which one. Everything here is soft: where a voice
//! cannot be had the call is diarized without it.

use std::sync::Arc;

use scryon_config::VoiceSettings;
use scryon_providers::{DiarizationEngine, EngineInfo, Voiceprint};
use scryon_runtime::engines::intent_of;
use scryon_runtime::{StageContext, StageError};
use scryon_store::{ActiveVoice, JobClaim, Vault, VaultError};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

/// The code of a profile that no key opens.
const UNREADABLE: &str = "profile_unreadable";

/// Reads voice profiles.
pub(crate) struct Voices {
    vault: Vault,
    consent_version: String,
}

/// The engine that compares, and what with.
pub(crate) struct Comparison {
    /// Its place among the stage's engines.
    pub(crate) engine: usize,
    pub(crate) info: EngineInfo,
    pub(crate) print: Voiceprint,
}

/// The voice of a call's owner, as far as diarization is concerned.
pub(crate) enum CallVoice {
    /// There is none, or the feature is off.
    None,
    /// There is one, and it is not compared.
    Unavailable,
    Compare {
        comparison: Box<Comparison>,
        /// The answer of an earlier run was bought without a voice.
        prior_is_plain: bool,
    },
}

impl CallVoice {
    pub(crate) fn comparison(&self) -> Option<&Comparison> {
        match self {
            Self::Compare { comparison, .. } => Some(comparison),
            Self::None | Self::Unavailable => None,
        }
    }

    pub(crate) const fn is_there(&self) -> bool {
        !matches!(self, Self::None)
    }
}

impl Voices {
    /// Nothing while the feature is off.
    pub(crate) fn new(settings: &VoiceSettings) -> Option<Self> {
        settings.enabled.then(|| Self {
            vault: Vault::new(&settings.data_keys.0),
            consent_version: settings.consent_version.clone(),
        })
    }

    /// Whether the owner has a profile that may be used.
    pub(crate) async fn has_profile(&self, cx: &StageContext<'_>) -> bool {
        let call = &cx.lease.call;
        match cx.deps.store.voice_active(&call.tenant_id, call.user_id).await {
            Ok(voice) => voice.is_some_and(|voice| voice.consent_version == self.consent_version),
            Err(_) => false,
        }
    }

    /// The voice that this call is compared with.
    pub(crate) async fn of_call(
        &self,
        cx: &StageContext<'_>,
        engines: &[Arc<dyn DiarizationEngine>],
    ) -> Result<CallVoice, StageError> {
        let call = &cx.lease.call;
        let Some(voice) = cx.deps.store.voice_active(&call.tenant_id, call.user_id).await? else {
            return Ok(CallVoice::None);
        };
        if voice.consent_version != self.consent_version {
            skipped(cx, "consent_outdated");
            return Ok(CallVoice::None);
        }
        let print = match self.open(cx, &voice).await {
            Ok(print) => print,
            Err(error) => {
                // A stage that waits comes here with every look at its job.
                if cx.lease.starts == 1 {
                    warn!(profile = %voice.id, errorCode = UNREADABLE, "a voice profile cannot be read: {error}");
                    cx.deps.metrics.voice_match_failed.with_label_values(&[UNREADABLE]).inc();
                }
                skipped(cx, UNREADABLE);
                return Ok(CallVoice::Unavailable);
            }
        };
        let able = engines.iter().enumerate().find_map(|(n, e)| Some((n, e.with_voice(&print)?)));
        let Some((engine, info)) = able else {
            skipped(cx, "provider_not_configured");
            return Ok(CallVoice::Unavailable);
        };
        let plain = engines[engine].info();
        // The comparison was given up in favour of this job, which is waited for.
        if let Some(intent) = intent_of(plain, "")
            && let Some(JobClaim::Submitted(_)) = cx.deps.store.job_found(cx.lease, &intent).await?
        {
            skipped(cx, "plain_job_running");
            return Ok(CallVoice::Unavailable);
        }
        let bought = cx.lease.prior.as_ref().and_then(|prior| prior.params.as_deref());
        let prior_is_plain = bought == Some(hex::encode(plain.params_hash("")).as_str());
        Ok(CallVoice::Compare { comparison: Box::new(Comparison { engine, info, print }), prior_is_plain })
    }

    /// Decrypts a voice. One under a former key is put under the present one on the way.
    async fn open(&self, cx: &StageContext<'_>, voice: &ActiveVoice) -> Result<Voiceprint, VaultError> {
        let place = voice.place();
        let content = self.vault.open(&voice.embedding, &place)?;
        if self.vault.is_old(&voice.embedding) {
            let new = self.vault.seal(&content, &place)?;
            if let Err(error) = cx.deps.store.voice_reseal(voice, &new).await {
                warn!(error = %error, "a voice profile stays under its former key for now");
            }
        }
        Ok(Voiceprint {
            // Of the profile's id, which says nothing of the voice and is another one after each recording.
            identity: hex::encode(Sha256::digest(voice.id.as_bytes())),
            model: voice.model.clone(),
            print: String::from_utf8(content).map_err(|_e| VaultError::Broken)?,
        })
    }
}

fn skipped(cx: &StageContext<'_>, reason: &str) {
    if cx.lease.starts > 1 {
        return;
    }
    info!(event = "VOICE_MATCH_SKIPPED", reason, "the call is not compared with a voice profile");
}

/// Why a comparison failed, in the closed set of the metric's label.
pub(crate) fn cause_of(code: &str) -> &'static str {
    match code {
        "provider_unavailable" | "circuit_open" | "provider_throttled" => "provider_unavailable",
        "provider_overdue" => "provider_overdue",
        "provider_rejected" => "provider_rejected",
        _ => "provider_failed",
    }
}
