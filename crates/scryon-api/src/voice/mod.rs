//! A user's voice profile: made from samples, shown without its voice, deleted. The voice itself leaves this
//! program encrypted only, and the samples are not kept at all.

mod enrol;
mod form;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use scryon_config::{Config, VoiceSettings};
use scryon_providers::media::{BestStretch, SampleError, Sampler, best_of};
use scryon_providers::{HttpClient, PyannoteEngine};
use scryon_runtime::switches::FLAG_VOICE;
use scryon_store::{Vault, VoiceRow};
use serde_json::{Value, json};
use std::time::Duration;
use tracing::warn;

use self::form::Form;
use crate::App;
use crate::error::ApiError;
use crate::idempotency::Once;
use crate::identity::Caller;

/// What the feature needs while it is on.
#[derive(Debug)]
pub(crate) struct Voice {
    settings: VoiceSettings,
    engine: PyannoteEngine,
    /// Off in an emergency: no profile is made, those that exist stay.
    provider_enabled: bool,
    sampler: Sampler,
    vault: Vault,
    /// How long a job is looked at without being asked about.
    patience: Duration,
}

impl Voice {
    /// Nothing while the feature is off.
    pub(crate) fn new(config: &Config) -> Result<Option<Self>, String> {
        let settings = &config.voice;
        if !settings.enabled {
            return Ok(None);
        }
        Ok(Some(Self {
            settings: settings.clone(),
            engine: PyannoteEngine::new(&config.engines, HttpClient::new(None)?)?,
            provider_enabled: config.engines.pyannote_enabled,
            sampler: Sampler::new(&config.audio, settings.sample_min.0, settings.sample_max.0),
            vault: Vault::new(&settings.data_keys.0),
            patience: config.engines.diarization_timeout.0,
        }))
    }

    /// Of all samples the stretch with the most speech.
    async fn best(&self, samples: Vec<Vec<u8>>) -> Result<BestStretch, ApiError> {
        let mut stretches = Vec::new();
        for sample in samples {
            stretches.push(self.sampler.best(sample).await.map_err(|error| self.refuse(&error))?);
        }
        best_of(stretches).ok_or_else(|| ApiError::validation("file", "is missing"))
    }

    fn refuse(&self, error: &SampleError) -> ApiError {
        let (least, most) = (self.settings.sample_min.0.as_secs(), self.settings.sample_max.0.as_secs());
        let length = |code, seconds: f64| {
            let message = format!("A voice sample is {least} to {most} seconds long; nothing was kept.");
            ApiError::unprocessable(code, message)
                .with("seconds", (seconds * 10.0).round() / 10.0)
                .with("minSeconds", least)
                .with("maxSeconds", most)
        };
        match error {
            SampleError::Unreadable => ApiError::unprocessable(
                "voice_sample_unreadable",
                "The sample holds no audio that can be decoded; nothing was kept. Record it again.",
            ),
            SampleError::TooShort { seconds } => length("voice_sample_too_short", *seconds),
            SampleError::TooLong { seconds } => length("voice_sample_too_long", *seconds),
            SampleError::TooLittleSpeech { seconds } => ApiError::unprocessable(
                "voice_sample_no_speech",
                "There is too little speech in the sample; nothing was kept. Record it again, closer to the microphone.",
            )
            .with("speechSeconds", (seconds * 10.0).round() / 10.0),
            SampleError::Tool(_) | SampleError::Io(_) => {
                warn!(error = %error, "a voice sample could not be looked at");
                ApiError::unavailable()
            }
        }
    }
}

impl App {
    /// Off by configuration or by an operator's flag: the feature is not there.
    fn voice(&self) -> Result<&Voice, ApiError> {
        let on = self.voice.as_ref().filter(|_| !self.switches.now().is_off(FLAG_VOICE));
        on.ok_or_else(ApiError::feature_not_available)
    }
}

/// POST /api/users/me/voice-profile: 201 with the profile, or 202 where the provider takes its time.
pub(crate) async fn create(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let voice = app.voice()?;
    let form =
        Form::read(&app, &request, payload, u64::from(voice.settings.sample_max_megabytes.0) << 20).await?;
    form.check_consent(&voice.settings.consent_version)?;
    if !voice.provider_enabled {
        return Err(ApiError::voice_provider_unavailable());
    }
    let fingerprint = form.fingerprint();
    let act = async {
        let count = form.samples.len();
        let best = voice.best(form.samples).await?;
        enrol::enrol(app.clone(), caller.0.clone(), best, count).await
    };
    let once = Once { request: &request, route: "POST /api/users/me/voice-profile", payload: &fingerprint };
    let view = once.carried_out(&app.store, &caller.0, act).await?;
    Ok(if view["status"] == "ACTIVE" {
        HttpResponse::Created().json(view)
    } else {
        HttpResponse::Accepted().json(view)
    })
}

/// GET /api/users/me/voice-profile/status
pub(crate) async fn status(app: Data<App>, caller: Caller) -> Result<HttpResponse, ApiError> {
    let voice = app.voice()?;
    let mut rows = app.store.voices(&caller.0).await?;
    if let Some(pending) = rows.iter().find(|row| row.state == "PENDING")
        && enrol::look(&app, voice, pending).await
    {
        rows = app.store.voices(&caller.0).await?;
    }
    Ok(HttpResponse::Ok().json(view(&rows, voice)))
}

/// DELETE /api/users/me/voice-profile: also one in the making. The provider has no way to delete a voiceprint,
/// and keeps none: what it made of the sample goes with the job, a day later.
pub(crate) async fn delete(app: Data<App>, caller: Caller) -> Result<HttpResponse, ApiError> {
    app.voice()?;
    if app.store.voice_delete(&caller.0).await? {
        app.metrics.voice_profile_deleted.inc();
    }
    Ok(HttpResponse::NoContent().finish())
}

/// The profile as its owner sees it: the one in use, and what became of the last attempt at another.
fn view(rows: &[VoiceRow], voice: &Voice) -> Value {
    let of = |state: &str| rows.iter().find(|row| row.state == state);
    let active = of("ACTIVE");
    let required = voice.settings.consent_version.as_str();
    let newest = of("PENDING").or_else(|| {
        // A failure is told until a profile is made after it.
        of("FAILED").filter(|failed| active.is_none_or(|active| failed.updated_at > active.updated_at))
    });
    let status = newest.or(active).map_or("NONE", |row| row.state.as_str());
    let mut view = json!({
        "enabled": true,
        "hasProfile": active.is_some(),
        "status": status,
        "requiredConsentVersion": required,
    });
    if let (Some(row), Value::Object(fields)) = (active.or(newest), &mut view) {
        let shown = json!({
            "id": row.id,
            "provider": row.provider,
            "model": row.model,
            "sampleCount": row.sample_count,
            "sampleSeconds": (row.sample_seconds * 10.0).round() / 10.0,
            "consentVersion": row.consent_version,
            "consentCurrent": row.consent_version == required,
            "createdAt": row.created_at,
            "updatedAt": row.updated_at,
        });
        if let Value::Object(shown) = shown {
            fields.extend(shown);
        }
        if let Some(code) = newest.and_then(|row| row.error_code.as_deref()) {
            fields.insert("errorCode".to_owned(), code.into());
        }
    }
    view
}
