//! Deepgram (deepgram.com), asked for an answer or for a callback: the recording is the body itself, options are in the
//! address. A recording with two channels is heard channel by channel, which tells its parties apart exactly. It signs
//! no callback and keeps no result: as with Lemonfox the address is signed by us, and a job that is never called back
//! for is asked for once more.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use scryon_config::EngineSettings;
use scryon_domain::raw::{RAW_SCHEMA_VERSION, RawSegment, RawTranscript, RawWord};
use serde_json::{Value, json};

use super::callbacks::Callbacks;
use super::languages::code_of;
use super::upload::{Upload, fitting, too_large};
use super::{ANSWER_LIMIT, Key, USUAL_WAIT, deadline, hosted, priced, reading};
use crate::engine::{
    Answer, Audio, CollectRequest, Collected, EngineInfo, ProviderError, Submitted, TranscriptionAnswer,
    TranscriptionEngine, TranscriptionRequest,
};
use crate::http::HttpClient;

const NAME: &str = "deepgram";
/// Bytes of the largest upload.
const LARGEST: u64 = 2_000_000_000;
/// US dollars per minute by the beginning of a model's name; the dearer, multilingual rate.
const PRICES: &[(&str, f64)] = &[("nova-3", 0.0058)];
/// It calls back to these ports alone.
const PORTS: &[u16] = &[80, 443, 8080, 8443];
/// Between two looks into our own inbox, for a callback that woke nobody.
const LOOK: Duration = Duration::from_secs(30);

/// The engine.
#[derive(Debug)]
pub struct DeepgramEngine {
    info: EngineInfo,
    http: HttpClient,
    url: String,
    key: Key,
    callbacks: Option<Callbacks>,
    /// How long a callback is waited for.
    deadline: Duration,
}

impl DeepgramEngine {
    /// Needs SCRYON_DEEPGRAM_API_KEY.
    pub fn new(settings: &EngineSettings, http: HttpClient) -> Result<Self, String> {
        let key = Key::new(NAME, "SCRYON_DEEPGRAM_API_KEY", &settings.deepgram_api_key)?;
        let model = settings.deepgram_model.clone();
        let base = &settings.deepgram_base_url.0;
        let usual = PRICES.iter().find(|(name, _)| model.starts_with(name)).map(|(_, price)| *price);
        let price = settings.prices.per_minute(NAME, &model).or(usual);
        let reachable = settings.public_base_url.as_deref().is_some_and(is_called);
        Ok(Self {
            info: hosted(NAME, model, base.clone(), price),
            http,
            url: format!("{base}/listen"),
            key,
            callbacks: Callbacks::new(NAME, settings)
                .filter(|_| settings.transcription_callback && reachable),
            deadline: settings.transcription_callback_timeout.0,
        })
    }

    async fn post(&self, audio: &dyn Audio, callback: Option<String>) -> Result<Vec<u8>, ProviderError> {
        let unusable = |what: &str| ProviderError::Unavailable { engine: NAME, message: what.to_owned() };
        let mut options = options(&self.info.model, audio.channels());
        options.extend(callback.map(|address| ("callback", address)));
        let url =
            Url::parse_with_params(&self.url, options).map_err(|_| unusable("its address cannot be used"))?;
        let mut token = HeaderValue::from_str(&format!("Token {}", self.key.0))
            .map_err(|_| unusable("its key cannot be sent"))?;
        token.set_sensitive(true);
        let wait = deadline(USUAL_WAIT, audio.duration_seconds());
        let request = self.http.post(url.into()).timeout(wait).header(AUTHORIZATION, token);
        if let Some(address) = audio.address().await? {
            let request = request.json(&json!({ "url": address }));
            return self.http.send(NAME, request, ANSWER_LIMIT).await;
        }
        let smaller = fitting(NAME, audio, |audio| too_large(audio, LARGEST)).await?;
        let audio = smaller.as_deref().unwrap_or(audio);
        let upload = Upload::default();
        let request = request
            .header(CONTENT_TYPE, audio.content_type())
            .header(CONTENT_LENGTH, audio.bytes())
            .body(upload.body(audio).await?);
        self.http.ask(NAME, request, ANSWER_LIMIT).await.map_err(|failure| upload.explain(failure).error)
    }
}

impl DeepgramEngine {
    fn answer(&self, body: &[u8], audio: &dyn Audio) -> Result<Answer<RawTranscript>, ProviderError> {
        let transcript = transcript(&self.info, body, audio.duration_seconds())?;
        // Each channel that is heard is paid for.
        let price = self.info.price_per_minute.map(|price| price * f64::from(transcript.channels));
        Ok(priced(transcript, audio, price))
    }
}

/// Whether it would call this address at all. One of this machine is that of a simulator, which is not so particular.
fn is_called(base: &str) -> bool {
    let Ok(url) = Url::parse(base) else { return false };
    let here = matches!(url.host_str(), Some("127.0.0.1" | "localhost"));
    here || url.port_or_known_default().is_some_and(|port| PORTS.contains(&port))
}

/// The options in the address. The model is always named: the provider's own default is its oldest.
fn options(model: &str, channels: Option<u16>) -> Vec<(&'static str, String)> {
    let mut options = vec![
        ("model", model.to_owned()),
        ("detect_language", "true".to_owned()),
        ("smart_format", "true".to_owned()),
        ("utterances", "true".to_owned()),
    ];
    options.push(match channels {
        Some(2) => ("multichannel", "true".to_owned()),
        _ => ("diarize_model", "latest".to_owned()),
    });
    options
}

/// Reads an answer.
fn transcript(
    info: &EngineInfo,
    body: &[u8],
    audio_seconds: Option<f64>,
) -> Result<RawTranscript, ProviderError> {
    let answer = reading::json(NAME, body)?;
    let heard = reading::list(&answer["results"]["channels"]);
    if heard.is_empty() {
        return Err(ProviderError::Malformed { engine: NAME, message: "no channels in it".to_owned() });
    }
    let count = u16::try_from(heard.len()).unwrap_or(u16::MAX);
    let channel = |number: usize| u16::try_from(number).ok().filter(|_| count > 1);
    let best = |channel: &Value| channel["alternatives"][0].clone();
    let mut words: Vec<RawWord> = heard
        .iter()
        .enumerate()
        .flat_map(|(number, side)| {
            reading::list(&best(side)["words"])
                .iter()
                .filter_map(move |w| word(w, channel(number)))
                .collect::<Vec<_>>()
        })
        .collect();
    words.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.channel.cmp(&b.channel)));
    let duration = reading::number(&answer["metadata"]["duration"]).filter(|s| *s > 0.0).or(audio_seconds);
    let last = words.iter().map(|w| w.end).fold(0.0, f64::max);
    let duration_seconds = duration.unwrap_or(last);
    let mut segments: Vec<RawSegment> = reading::list(&answer["results"]["utterances"])
        .iter()
        .filter_map(|utterance| {
            let number = reading::number(&utterance["channel"]).map_or(0, |n| n as usize);
            segment(utterance, channel(number))
        })
        .collect();
    if segments.is_empty() && words.is_empty() {
        // Both are optional: what is left is the text of each channel.
        segments.extend(heard.iter().enumerate().filter_map(|(number, side)| {
            let text = reading::text(&best(side)["transcript"])?.to_owned();
            let channel = channel(number);
            Some(RawSegment { text, start: 0.0, end: duration_seconds, speaker: None, channel })
        }));
    }
    let warning = match (words.is_empty(), segments.is_empty()) {
        (false, _) => None,
        (true, false) => Some("no_word_times"),
        (true, true) => Some("no_speech"),
    };
    Ok(RawTranscript {
        schema_version: RAW_SCHEMA_VERSION,
        engine: NAME.to_owned(),
        model: info.model.clone(),
        language: heard
            .iter()
            .flat_map(|side| [&side["detected_language"], &side["alternatives"][0]["languages"][0]])
            .filter_map(reading::text)
            .find_map(code_of),
        duration_seconds,
        channels: count,
        words,
        segments,
        warnings: warning.into_iter().map(str::to_owned).collect(),
    })
}

fn word(item: &Value, channel: Option<u16>) -> Option<RawWord> {
    let text = reading::text(&item["punctuated_word"]).or_else(|| reading::text(&item["word"]))?;
    let start = reading::number(&item["start"])?;
    Some(RawWord {
        text: text.to_owned(),
        start,
        end: reading::number(&item["end"]).unwrap_or(start),
        confidence: reading::share(&item["confidence"]),
        speaker: speaker(item, channel),
        channel,
    })
}

fn segment(item: &Value, channel: Option<u16>) -> Option<RawSegment> {
    let text = reading::text(&item["transcript"])?;
    let start = reading::number(&item["start"]).unwrap_or_default();
    Some(RawSegment {
        text: text.to_owned(),
        start,
        end: reading::number(&item["end"]).unwrap_or(start),
        speaker: speaker(item, channel),
        channel,
    })
}

/// Speakers are whole numbers from 0. With channels heard one by one they count within each channel and say
/// nothing about the call.
fn speaker(item: &Value, channel: Option<u16>) -> Option<String> {
    let number = reading::number(&item["speaker"]).filter(|n| *n >= 0.0 && channel.is_none())?;
    Some(format!("SPEAKER_{:02}", number as u64))
}

#[async_trait]
impl TranscriptionEngine for DeepgramEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn transcribe(
        &self,
        request: TranscriptionRequest<'_>,
    ) -> Result<TranscriptionAnswer, ProviderError> {
        let callbacks = self.callbacks.as_ref().filter(|_| !request.answer_now);
        let address = callbacks.and_then(|callbacks| callbacks.address(&request));
        let called_back = address.is_some();
        let body = self.post(request.audio, address).await?;
        if called_back {
            let taken = reading::json(NAME, &body)?;
            // Without results it is a job; its name is good for a question to their support.
            if let (Some(name), true) = (reading::text(&taken["request_id"]), taken["results"].is_null()) {
                let external_id = name.to_owned();
                let submitted = Submitted { external_id, look_in: LOOK, deadline: self.deadline };
                return Ok(TranscriptionAnswer::Submitted(submitted));
            }
        }
        self.answer(&body, request.audio).map(|answer| TranscriptionAnswer::Done(Box::new(answer)))
    }

    fn answers_by_callback(&self) -> bool {
        self.callbacks.is_some()
    }

    async fn collect(&self, request: CollectRequest<'_>) -> Result<Collected<RawTranscript>, ProviderError> {
        let Some(body) = request.callback else { return Ok(Collected::Pending(LOOK)) };
        // What came is no transcript, and nothing else will come.
        let useless = |_| ProviderError::Overdue { engine: NAME };
        self.answer(&body, request.audio).map(|a| Collected::Done(Box::new(a))).map_err(useless)
    }
}

#[cfg(test)]
mod tests;
