//! A profile in the making. A task of its own brings it to its end, whatever becomes of the request; where the
//! task dies with its program, the next look at the status goes on from the row.

use std::time::{Duration, Instant};

use actix_web::web::Data;
use scryon_providers::media::BestStretch;
use scryon_providers::{ProviderError, PyannoteEngine, VoiceprintState};
use scryon_store::{NewVoice, OwnPurchase, OwnPurchaseEnd, Owner, StoreError, VoiceRow, voice_place};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tracing::{Instrument, info, warn};
use uuid::Uuid;

use super::{Voice, view};
use crate::App;
use crate::error::ApiError;

/// Between two looks at a job.
const LOOK: Duration = Duration::from_secs(1);
/// A row that nobody has touched for so long may be looked after by somebody else.
const ABANDONED: Duration = Duration::from_secs(5);
/// A submit without an answer for so long never gets one.
const UNCONFIRMED: Duration = Duration::from_secs(120);
/// The provider keeps a result for a day.
const RESULT_KEPT: Duration = Duration::from_secs(24 * 3600);

/// How a profile ended.
enum End {
    Active,
    /// Deleted or begun anew meanwhile; what the provider made is dropped.
    Gone,
    Failed(&'static str),
}

/// Begins a profile and waits for it a little.
pub(super) async fn enrol(
    app: Data<App>,
    owner: Owner,
    best: BestStretch,
    sample_count: usize,
) -> Result<Value, ApiError> {
    let voice = app.voice()?;
    let new = NewVoice {
        id: Uuid::now_v7(),
        provider: "pyannote",
        model: PyannoteEngine::VOICE_MODEL,
        consent_version: voice.settings.consent_version.clone(),
        sample_count: i32::try_from(sample_count).unwrap_or(i32::MAX),
        sample_seconds: best.seconds,
    };
    let purchase = OwnPurchase {
        id: new.id,
        tenant_id: owner.tenant_id.clone(),
        what: "voiceprint",
        engine: new.provider,
        model: new.model.to_owned(),
        subject_sha256: Sha256::digest(&best.wav).to_vec(),
        // The provider has published no price for one.
        estimated_cost: None,
    };
    // The rows are there before anything is bought.
    app.store.own_purchase_begin(&purchase).await?;
    app.store.voice_begin(&owner, &new).await?;
    let (ended, end) = oneshot::channel();
    let task = {
        let app = app.clone();
        async move {
            let _nobody_waits = ended.send(make(&app, new.id, best.wav).await);
        }
    };
    tokio::spawn(task.instrument(tracing::Span::current()));
    match tokio::time::timeout(voice.settings.enrol_wait.0, end).await {
        Ok(Ok(Ok(End::Failed("voice_provider_unavailable")))) => {
            return Err(ApiError::voice_provider_unavailable());
        }
        Ok(Ok(Ok(End::Failed(code)))) => {
            return Err(ApiError::unprocessable(
                code,
                "The provider could make no voice profile of this sample. Record it again; a profile that was in use stays.",
            ));
        }
        Ok(Ok(Err(error))) => return Err(error.into()),
        Ok(Ok(Ok(End::Active | End::Gone)) | Err(_)) | Err(_) => {}
    }
    Ok(view(&app.store.voices(&owner).await?, voice))
}

/// Submits the sample and looks at the job until it is over, or for as long as is usual.
async fn make(app: &App, id: Uuid, sample: Vec<u8>) -> Result<End, StoreError> {
    let Ok(voice) = app.voice() else { return Ok(End::Gone) };
    let external_id = match voice.engine.submit_voice(sample).await {
        Ok(external_id) => external_id,
        Err(error) => return fail(app, id, &error).await,
    };
    app.store.own_purchase_end(id, OwnPurchaseEnd::Submitted { external_id: &external_id }).await?;
    if !app.store.voice_submitted(id, &external_id).await? {
        return Ok(End::Gone);
    }
    let began = Instant::now();
    loop {
        if let Some(end) = settle(app, voice, id, &external_id).await? {
            return Ok(end);
        }
        if began.elapsed() > voice.patience {
            warn!("a voice profile is not made yet; a look at its status goes on with it");
            return Ok(End::Gone);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = app.stop.cancelled() => return Ok(End::Gone),
        }
    }
}

/// One look at a job. `None`: it runs.
async fn settle(app: &App, voice: &Voice, id: Uuid, external_id: &str) -> Result<Option<End>, StoreError> {
    let print = match voice.engine.voice(external_id).await {
        Ok(VoiceprintState::Running) => return Ok(None),
        Ok(VoiceprintState::Done(print)) => {
            let one = OwnPurchaseEnd::Succeeded { units: Some(1.0), unit: "voiceprints", billed_cost: None };
            app.store.own_purchase_end(id, one).await?;
            print
        }
        // Looking is free: trouble with it only means to look again.
        Err(error @ (ProviderError::JobFailed { .. } | ProviderError::Rejected { .. })) => {
            return fail(app, id, &error).await.map(Some);
        }
        Err(error) => {
            warn!(errorCode = error.code(), "a voice profile's job could not be looked at: {error}");
            return Ok(None);
        }
    };
    let sealed = match voice.vault.seal(print.as_bytes(), &voice_place(id)) {
        Ok(sealed) => sealed,
        Err(error) => {
            warn!("a voice profile could not be encrypted and was dropped: {error}");
            app.store.voice_fail(id, "voice_profile_failed").await?;
            return Ok(Some(End::Failed("voice_profile_failed")));
        }
    };
    drop(print);
    if !app.store.voice_activate(id, &sealed).await? {
        return Ok(Some(End::Gone));
    }
    app.metrics.voice_profile_created.inc();
    info!(event = "VOICE_PROFILE_CREATED", provider = "pyannote", "a voice profile is in use");
    Ok(Some(End::Active))
}

async fn fail(app: &App, id: Uuid, error: &ProviderError) -> Result<End, StoreError> {
    warn!(errorCode = error.code(), "no voice profile was made: {error}");
    let code = match error {
        ProviderError::Rejected { .. } | ProviderError::JobFailed { .. } => "voice_sample_rejected",
        _ => "voice_provider_unavailable",
    };
    let end = match error {
        ProviderError::Ambiguous { .. } => OwnPurchaseEnd::Unknown { error_code: error.code() },
        _ => OwnPurchaseEnd::Failed { error_code: error.code() },
    };
    app.store.own_purchase_end(id, end).await?;
    app.store.voice_fail(id, code).await?;
    Ok(End::Failed(code))
}

/// Nobody will hear any more what became of it.
async fn give_up(app: &App, id: Uuid) -> Result<bool, StoreError> {
    let code = "voice_provider_unavailable";
    app.store.own_purchase_end(id, OwnPurchaseEnd::Unknown { error_code: code }).await?;
    app.store.voice_fail(id, code).await.map(|_| true)
}

/// Goes on with a profile whose task is gone. True: the row may have changed.
pub(super) async fn look(app: &App, voice: &Voice, row: &VoiceRow) -> bool {
    let age = Duration::from_secs_f64(row.age_seconds.max(0.0));
    let done = match &row.external_id {
        Some(_) if age > RESULT_KEPT => give_up(app, row.id).await,
        Some(external_id) if age > ABANDONED => {
            settle(app, voice, row.id, external_id).await.map(|end| end.is_some())
        }
        None if age > UNCONFIRMED => give_up(app, row.id).await,
        _ => Ok(false),
    };
    done.unwrap_or_else(|error| {
        warn!(error = %error, "a voice profile in the making could not be looked after");
        false
    })
}
