//! Diarization of a recording with one party per channel: exact, no model. A single channel is left to the
//! labels of the transcription.

use async_trait::async_trait;
use scryon_domain::raw::{Diarization, DiarizationMethod, RAW_SCHEMA_VERSION};

use crate::engine::{
    Answer, AudioFile, DiarizationAnswer, DiarizationEngine, DiarizationRequest, EngineInfo, ProviderError,
};
use crate::media::voice_turns;

const NAME: &str = "channels";

/// The engine.
#[derive(Debug)]
pub struct ChannelsEngine {
    info: EngineInfo,
}

impl Default for ChannelsEngine {
    fn default() -> Self {
        Self {
            info: EngineInfo {
                name: NAME,
                model: "energy-1".to_owned(),
                paid: false,
                idempotent: true,
                cpu_bound: true,
                variant: String::new(),
                price_per_minute: None,
                settled_within: None,
            },
        }
    }
}

#[async_trait]
impl DiarizationEngine for ChannelsEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn diarize(&self, request: DiarizationRequest<'_>) -> Result<DiarizationAnswer, ProviderError> {
        let mut diarization = Diarization {
            schema_version: RAW_SCHEMA_VERSION,
            engine: NAME.to_owned(),
            model: self.info.model.clone(),
            method: DiarizationMethod::TranscriptLabels,
            channels: request.audio.channels().unwrap_or(1),
            turns: Vec::new(),
            exclusive_turns: None,
            fallback_reason: Some("single_channel".to_owned()),
            warnings: Vec::new(),
            voice: None,
        };
        if diarization.channels != 2 {
            return Ok(DiarizationAnswer::Done(Box::new(Answer::free(diarization))));
        }
        let file: Box<dyn AudioFile> = request.audio.file().await?;
        let voices = tokio::task::spawn_blocking(move || voice_turns(file.path()))
            .await
            .map_err(std::io::Error::other)?
            .map_err(|message| ProviderError::Rejected { engine: NAME, message })?;
        diarization.method = DiarizationMethod::Channels;
        diarization.turns = voices.turns;
        diarization.fallback_reason = None;
        Ok(DiarizationAnswer::Done(Box::new(Answer::free(diarization))))
    }
}
