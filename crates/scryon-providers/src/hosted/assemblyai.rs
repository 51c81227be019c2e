//! AssemblyAI (assemblyai.com): the recording is uploaded, a transcript is submitted, and its result is fetched when a
//! callback or a look finds it done. Times are whole milliseconds, speakers are letters.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue};
use scryon_config::EngineSettings;
use scryon_domain::raw::{RAW_SCHEMA_VERSION, RawSegment, RawTranscript, RawWord};
use serde_json::{Value, json};

use super::callbacks::Callbacks;
use super::languages::code_of;
use super::upload::Upload;
use super::{ANSWER_LIMIT, Key, deadline, hosted, priced, reading};
use crate::engine::{
    Audio, CollectRequest, Collected, EngineInfo, ProviderError, Submitted, TranscriptionAnswer,
    TranscriptionEngine, TranscriptionRequest,
};
use crate::http::HttpClient;

const NAME: &str = "assemblyai";
/// Bytes of the largest upload.
const LARGEST: u64 = 2_200_000_000;
/// Wait for the answer to a small request.
const SMALL: Duration = Duration::from_secs(30);
/// Between two looks, without callbacks and beside them.
const LOOK: Duration = Duration::from_secs(5);
const LOOK_BESIDE_CALLBACKS: Duration = Duration::from_secs(60);
/// US dollars per minute by the beginning of a model's name.
const PRICES: &[(&str, f64)] = &[("universal-3", 0.21 / 60.0), ("universal-2", 0.15 / 60.0)];

/// The engine.
#[derive(Debug)]
pub struct AssemblyAiEngine {
    info: EngineInfo,
    http: HttpClient,
    base: String,
    key: Key,
    callbacks: Option<Callbacks>,
    timeout: Duration,
}

impl AssemblyAiEngine {
    /// Needs SCRYON_ASSEMBLYAI_API_KEY.
    pub fn new(settings: &EngineSettings, http: HttpClient) -> Result<Self, String> {
        let key = Key::new(NAME, "SCRYON_ASSEMBLYAI_API_KEY", &settings.assemblyai_api_key)?;
        let model = settings.assemblyai_model.clone();
        let usual = PRICES.iter().find(|(name, _)| model.starts_with(name)).map(|(_, price)| *price);
        let price = settings.prices.per_minute(NAME, &model).or(usual);
        let base = settings.assemblyai_base_url.0.clone();
        let callbacks = Callbacks::new(NAME, settings);
        let timeout = settings.transcription_callback_timeout.0;
        let info = EngineInfo {
            settled_within: callbacks.as_ref().map(|_| timeout),
            ..hosted(NAME, model, base.clone(), price)
        };
        Ok(Self { info, http, base, key, callbacks, timeout })
    }

    /// Deletes a transcript, and the recording with it.
    pub async fn forget(&self, transcript: &str) -> Result<(), ProviderError> {
        self.http.forget(NAME, format!("{}/v2/transcript/{transcript}", self.base), self.header()?).await
    }

    /// The key stands in its header by itself.
    fn header(&self) -> Result<HeaderValue, ProviderError> {
        let mut key = HeaderValue::from_str(&self.key.0).map_err(|_| ProviderError::Unavailable {
            engine: NAME,
            message: "its key cannot be sent".to_owned(),
        })?;
        key.set_sensitive(true);
        Ok(key)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, ProviderError> {
        let body = self.http.send(NAME, request.header(AUTHORIZATION, self.header()?), ANSWER_LIMIT).await?;
        reading::json(NAME, &body)
    }

    /// Gives the recording's address at the provider. Free, so that trouble with it is never ambiguous.
    async fn hand_over(&self, audio: &dyn Audio) -> Result<String, ProviderError> {
        if audio.bytes() > LARGEST {
            return Err(ProviderError::Declined { engine: NAME, reason: "audio_too_large" });
        }
        if let Some(address) = audio.address().await? {
            return Ok(address);
        }
        let upload = Upload::default();
        let request = self
            .http
            .post(format!("{}/v2/upload", self.base))
            .timeout(deadline(SMALL, audio.duration_seconds()))
            .header(CONTENT_LENGTH, audio.bytes())
            .body(upload.body(audio).await?);
        match self.send(request).await {
            Ok(answer) => reading::text(&answer["upload_url"]).map(str::to_owned).ok_or_else(|| {
                ProviderError::Malformed { engine: NAME, message: "no address for the recording".to_owned() }
            }),
            Err(error) => Err(match upload.explain(error.into()).error {
                ProviderError::Ambiguous { engine, message } => ProviderError::Transient { engine, message },
                error => error,
            }),
        }
    }
}

/// What is asked for. One party per channel is heard channel by channel.
fn question(url: &str, model: &str, channels: Option<u16>, webhook: Option<String>) -> Value {
    let mut body = json!({"audio_url": url, "speech_models": [model], "language_detection": true});
    let parties = if channels == Some(2) { "multichannel" } else { "speaker_labels" };
    body[parties] = true.into();
    if let Some(webhook) = webhook {
        body["webhook_url"] = webhook.into();
    }
    body
}

/// Reads a finished transcript.
fn transcript(info: &EngineInfo, done: &Value, audio_seconds: Option<f64>) -> RawTranscript {
    let words: Vec<RawWord> = reading::list(&done["words"]).iter().filter_map(word).collect();
    let segments: Vec<RawSegment> = reading::list(&done["utterances"]).iter().filter_map(segment).collect();
    let last = words.iter().map(|w| w.end).fold(0.0, f64::max);
    let told = reading::number(&done["audio_duration"]).filter(|s| *s > 0.0);
    let channels = words.iter().filter_map(|w| w.channel).max().map_or(1, |most| most + 1);
    RawTranscript {
        schema_version: RAW_SCHEMA_VERSION,
        engine: NAME.to_owned(),
        model: info.model.clone(),
        language: reading::text(&done["language_code"]).and_then(code_of),
        duration_seconds: audio_seconds.or(told).unwrap_or(last),
        channels,
        warnings: if words.is_empty() { vec!["no_speech".to_owned()] } else { Vec::new() },
        words,
        segments,
    }
}

fn seconds(value: &Value) -> Option<f64> {
    reading::number(value).map(|milliseconds| milliseconds / 1000.0)
}

/// Channels are counted from 1 in a text.
fn channel(item: &Value) -> Option<u16> {
    reading::number(&item["channel"]).filter(|n| *n >= 1.0).map(|n| n as u16 - 1)
}

fn speaker(item: &Value) -> Option<String> {
    reading::text(&item["speaker"]).filter(|_| channel(item).is_none()).map(str::to_owned)
}

fn word(item: &Value) -> Option<RawWord> {
    let start = seconds(&item["start"])?;
    Some(RawWord {
        text: reading::text(&item["text"])?.to_owned(),
        start,
        end: seconds(&item["end"]).unwrap_or(start),
        confidence: reading::share(&item["confidence"]),
        speaker: speaker(item),
        channel: channel(item),
    })
}

fn segment(item: &Value) -> Option<RawSegment> {
    let start = seconds(&item["start"])?;
    Some(RawSegment {
        text: reading::text(&item["text"])?.to_owned(),
        start,
        end: seconds(&item["end"]).unwrap_or(start),
        speaker: speaker(item),
        channel: channel(item),
    })
}

#[async_trait]
impl TranscriptionEngine for AssemblyAiEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn transcribe(
        &self,
        request: TranscriptionRequest<'_>,
    ) -> Result<TranscriptionAnswer, ProviderError> {
        let url = self.hand_over(request.audio).await?;
        let webhook = self.callbacks.as_ref().and_then(|callbacks| callbacks.address(&request));
        let look_in = if webhook.is_some() { LOOK_BESIDE_CALLBACKS } else { LOOK };
        let body = question(&url, &self.info.model, request.audio.channels(), webhook);
        let submit = self.http.post(format!("{}/v2/transcript", self.base)).timeout(SMALL).json(&body);
        let answer = self.send(submit).await?;
        match reading::text(&answer["id"]) {
            Some(id) => Ok(TranscriptionAnswer::Submitted(Submitted {
                external_id: id.to_owned(),
                look_in,
                deadline: self.timeout,
            })),
            None => Err(ProviderError::Ambiguous {
                engine: NAME,
                message: "no name for the transcript in it".to_owned(),
            }),
        }
    }

    async fn collect(&self, request: CollectRequest<'_>) -> Result<Collected<RawTranscript>, ProviderError> {
        let url = format!("{}/v2/transcript/{}", self.base, request.external_id);
        let done = self.send(self.http.get(url).timeout(SMALL)).await?;
        match reading::text(&done["status"]).unwrap_or_default() {
            "completed" => {
                let transcript = transcript(&self.info, &done, request.audio.duration_seconds());
                let price = self.info.price_per_minute;
                Ok(Collected::Done(Box::new(priced(transcript, request.audio, price))))
            }
            // Its words may quote the recording's address, and are not repeated.
            "error" => {
                Err(ProviderError::JobFailed { engine: NAME, message: "the transcript failed".to_owned() })
            }
            _ => Ok(Collected::Pending(LOOK)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> EngineInfo {
        hosted(NAME, "universal-2".to_owned(), String::new(), None)
    }

    #[test]
    fn two_channels_are_heard_one_by_one_and_a_mix_is_told_apart() {
        let of = |channels, webhook| question("u", "m", channels, webhook);
        let mix = of(Some(1), None);
        assert_eq!((&mix["speaker_labels"], &mix["speech_models"]), (&json!(true), &json!(["m"])));
        assert!(mix.get("multichannel").is_none() && mix.get("webhook_url").is_none());
        let two = of(Some(2), Some("https://h".to_owned()));
        assert_eq!((&two["multichannel"], &two["webhook_url"]), (&json!(true), &json!("https://h")));
        assert!(two.get("speaker_labels").is_none());
    }

    #[test]
    fn milliseconds_become_seconds_and_letters_stay() {
        let done = json!({"status": "completed", "text": "Hi.", "audio_duration": 12, "language_code": "en_us",
            "words": [{"text": "Hi.", "start": 120, "end": 400, "confidence": 0.97, "speaker": "A"},
                {"text": null, "start": 1, "end": 2}],
            "utterances": [{"speaker": "A", "start": 120, "end": 910, "text": "Hi.", "confidence": 0.97}]});
        let raw = transcript(&info(), &done, None);
        assert_eq!((raw.words.len(), raw.words[0].start, raw.words[0].end), (1, 0.12, 0.4));
        assert_eq!(raw.words[0].speaker.as_deref(), Some("A"));
        assert_eq!((raw.channels, raw.duration_seconds, raw.language.as_deref()), (1, 12.0, Some("en")));
        assert_eq!((raw.segments[0].end, raw.warnings.len()), (0.91, 0));
    }

    #[test]
    fn channels_count_from_one_and_their_letters_say_nothing() {
        let done = json!({"words": [
            {"text": "a", "start": 0, "end": 100, "speaker": "A", "channel": "1"},
            {"text": "b", "start": 100, "end": 200, "speaker": "B", "channel": "2"}]});
        let raw = transcript(&info(), &done, Some(1.0));
        let heard: Vec<_> = raw.words.iter().map(|w| (w.channel, w.speaker.clone())).collect();
        assert_eq!(heard, [(Some(0), None), (Some(1), None)]);
        assert_eq!(raw.channels, 2);
    }

    #[test]
    fn silence_is_an_answer() {
        let raw = transcript(&info(), &json!({"words": null, "utterances": null, "text": ""}), Some(3.0));
        assert_eq!(
            (raw.words.len(), raw.warnings, raw.duration_seconds),
            (0, vec!["no_speech".to_owned()], 3.0)
        );
    }
}
