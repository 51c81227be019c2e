//! Lemonfox (lemonfox.ai): Whisper large-v3 with speaker labels, asked for an answer or for a callback. Languages are
//! named in English there. It gives a job no name, signs nothing and keeps no result: the callback's address says
//! which job it is for and is signed by us, and a job that is never called back for is asked for once more.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::multipart::Form;
use scryon_config::EngineSettings;
use scryon_domain::raw::RawTranscript;
use serde_json::Value;

use super::callbacks::Callbacks;
use super::upload::{Upload, fitting, too_large};
use super::{ANSWER_LIMIT, Key, deadline, hosted, languages, priced, whisper};
use crate::engine::{
    Answer, Audio, CollectRequest, Collected, EngineInfo, ProviderError, Submitted, TranscriptionAnswer,
    TranscriptionEngine, TranscriptionRequest,
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

/// Between two looks into our own inbox, for a callback that woke nobody.
const LOOK: Duration = Duration::from_secs(30);
/// The engine.
#[derive(Debug)]
pub struct LemonfoxEngine {
    info: EngineInfo,
    http: HttpClient,
    url: String,
    key: Key,
    language: Option<String>,
    wait: Duration,
    callbacks: Option<Callbacks>,
    /// How long a callback is waited for.
    deadline: Duration,
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
            callbacks: Callbacks::new(NAME, settings).filter(|_| settings.transcription_callback),
            deadline: settings.transcription_callback_timeout.0,
        })
    }

    async fn post(&self, audio: &dyn Audio, callback: Option<String>) -> Result<Vec<u8>, ProviderError> {
        let mut fields = fields(&self.info.model, self.language.as_deref());
        fields.extend(callback.map(|address| ("callback_url", address)));
        let request = self
            .http
            .post(self.url.clone())
            .timeout(deadline(self.wait, audio.duration_seconds()))
            .bearer_auth(&self.key.0);
        if let Some(address) = audio.address().await? {
            // A text in the place of the file is an address to fetch it from.
            fields.push(("file", address));
            let form = fields.into_iter().fold(Form::new(), |form, (name, value)| form.text(name, value));
            return self.http.send(NAME, request.multipart(form), ANSWER_LIMIT).await;
        }
        let smaller = fitting(NAME, audio, |audio| too_large(audio, LARGEST)).await?;
        let upload = Upload::default();
        let form = upload.form(smaller.as_deref().unwrap_or(audio), fields).await?;
        let request = request.multipart(form);
        self.http.ask(NAME, request, ANSWER_LIMIT).await.map_err(|failure| upload.explain(failure).error)
    }
}

impl LemonfoxEngine {
    fn answer(&self, body: &[u8], audio: &dyn Audio) -> Result<Answer<RawTranscript>, ProviderError> {
        let transcript = whisper::transcript(&self.info, body, audio.duration_seconds())?;
        Ok(priced(transcript, audio, self.info.price_per_minute))
    }
}

/// Whether the body that a submit is answered with is the transcript already.
fn is_answer(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body.is_string() || ["text", "segments"].iter().any(|name| !body[*name].is_null())
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
        let callbacks = self.callbacks.as_ref().filter(|_| !request.answer_now);
        let address = callbacks.and_then(|callbacks| callbacks.address(&request));
        let job = request.job.filter(|_| address.is_some());
        let body = self.post(request.audio, address).await?;
        if let Some(job) = job
            && !is_answer(&body)
        {
            return Ok(TranscriptionAnswer::Submitted(Submitted {
                external_id: job.0.to_string(),
                look_in: LOOK,
                deadline: self.deadline,
            }));
        }
        self.answer(&body, request.audio).map(|answer| TranscriptionAnswer::Done(Box::new(answer)))
    }

    fn answers_by_callback(&self) -> bool {
        true
    }

    async fn collect(&self, request: CollectRequest<'_>) -> Result<Collected<RawTranscript>, ProviderError> {
        let Some(body) = request.callback else { return Ok(Collected::Pending(LOOK)) };
        // What came is no transcript, and nothing else will come.
        let useless = |_| ProviderError::Overdue { engine: NAME };
        self.answer(&body, request.audio).map(|a| Collected::Done(Box::new(a))).map_err(useless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_submit_is_answered_with_may_be_the_transcript() {
        for (body, answer) in [
            (r#"{"text":"hello"}"#, true),
            (r#"{"segments":[]}"#, true),
            (r#""hello""#, true),
            (r#"{"status":"processing"}"#, false),
            (r#"{"text":null}"#, false),
            ("{}", false),
            ("accepted", false),
            ("", false),
        ] {
            assert_eq!(is_answer(body.as_bytes()), answer, "{body}");
        }
    }

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
