//! Lemonfox (lemonfox.ai): Whisper large-v3 with speaker labels, asked synchronously. Languages are named in
//! English there.

use std::time::Duration;

use async_trait::async_trait;
use scryon_config::EngineSettings;

use super::upload::Upload;
use super::{ANSWER_LIMIT, Key, answered, deadline, hosted, languages, whisper};
use crate::engine::{
    Audio, EngineInfo, ProviderError, TranscriptionAnswer, TranscriptionEngine, TranscriptionRequest,
};
use crate::http::HttpClient;

const NAME: &str = "lemonfox";
/// Bytes of the largest upload.
const LARGEST: u64 = 100_000_000;
/// 0.50 US dollars for three hours of audio, whatever the model is called.
const PRICE_PER_MINUTE: f64 = 0.50 / 180.0;
/// The address inside the EU costs a fifth more.
const EU_HOST: &str = "eu-api.lemonfox.ai";
const EU_SURCHARGE: f64 = 1.2;

/// The engine.
#[derive(Debug)]
pub struct LemonfoxEngine {
    info: EngineInfo,
    http: HttpClient,
    url: String,
    key: Key,
    language: Option<String>,
    wait: Duration,
}

impl LemonfoxEngine {
    /// Needs LEMONFOX_API_KEY.
    pub fn new(settings: &EngineSettings, http: HttpClient) -> Result<Self, String> {
        let key = Key::new(NAME, "LEMONFOX_API_KEY", &settings.lemonfox_api_key)?;
        let language = languages::configured("LEMONFOX_LANGUAGE", &settings.lemonfox_language)?;
        let model = settings.lemonfox_model.clone();
        let base = &settings.lemonfox_base_url.0;
        let usual = if base.contains(EU_HOST) { PRICE_PER_MINUTE * EU_SURCHARGE } else { PRICE_PER_MINUTE };
        let price = settings.prices.per_minute(NAME, &model).unwrap_or(usual);
        let variant = format!("{base} {}", language.as_deref().unwrap_or_default());
        Ok(Self {
            info: hosted(NAME, model, variant, Some(price)),
            http,
            url: format!("{base}/audio/transcriptions"),
            key,
            language,
            wait: settings.lemonfox_timeout.0,
        })
    }

    async fn post(&self, audio: &dyn Audio) -> Result<Vec<u8>, ProviderError> {
        if audio.bytes() > LARGEST {
            let message = format!("{} bytes are more than it takes", audio.bytes());
            return Err(ProviderError::Rejected { engine: NAME, message });
        }
        let upload = Upload::default();
        let form = upload.form(audio, fields(&self.info.model, self.language.as_deref())).await?;
        let request = self
            .http
            .post(self.url.clone())
            .timeout(deadline(self.wait, audio.duration_seconds()))
            .bearer_auth(&self.key.0)
            .multipart(form);
        self.http.ask(NAME, request, ANSWER_LIMIT).await.map_err(|failure| upload.explain(failure).error)
    }
}

/// The fields of the form beside the recording.
fn fields(model: &str, language: Option<&str>) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("model", model.to_owned()),
        ("response_format", "verbose_json".to_owned()),
        ("speaker_labels", "true".to_owned()),
        ("timestamp_granularities[]", "word".to_owned()),
    ];
    if let Some(name) = language.and_then(languages::name_of) {
        fields.push(("language", name.to_owned()));
    }
    fields
}

#[async_trait]
impl TranscriptionEngine for LemonfoxEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn transcribe(
        &self,
        request: TranscriptionRequest<'_>,
    ) -> Result<TranscriptionAnswer, ProviderError> {
        let body = self.post(request.audio).await?;
        let transcript = whisper::transcript(&self.info, &body, request.audio.duration_seconds())?;
        Ok(answered(transcript, request.audio, self.info.price_per_minute))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_go_by_name() {
        let language = |code| {
            let fields = fields("whisper-1", code);
            fields.into_iter().find(|(name, _)| *name == "language").map(|(_, value)| value)
        };
        assert_eq!(language(Some("hi")).as_deref(), Some("hindi"));
        assert_eq!(language(None), None);
    }
}
