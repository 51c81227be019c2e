//! Transcription at OpenAI and at servers that speak its API (Speaches, whisper.cpp, vLLM, LocalAI, …). What a
//! model can do is data: only some give times of words, only one tells speakers apart.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use scryon_config::EngineSettings;

use super::upload::{Upload, extension, fitting};
use super::{ANSWER_LIMIT, Key, USUAL_WAIT, answered, deadline, hosted, languages, whisper};
use crate::engine::{
    Audio, EngineInfo, ProviderError, TranscriptionAnswer, TranscriptionEngine, TranscriptionRequest,
};
use crate::http::{Failure, Fault, HttpClient};

const NAME: &str = "openai";
/// Bytes of the largest request that OpenAI takes.
const LARGEST: u64 = 25 << 20;
/// Bytes that the fields and the frame of a form take at most.
const FRAME: u64 = 4 << 10;
/// Containers that OpenAI takes, by their ending.
const CONTAINERS: &[&str] = &["flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm"];

/// What a model answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `verbose_json` with segments and words.
    Words,
    /// `json`: the text alone.
    Text,
    /// `diarized_json`: segments with speakers.
    Speakers,
}

/// What a model takes and gives.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Abilities {
    format: Format,
    /// The field that a language goes into.
    language: &'static str,
    /// Bytes of the largest request.
    largest: Option<u64>,
    /// Endings of the containers it takes; empty where it decides itself.
    containers: &'static [&'static str],
    price_per_minute: Option<f64>,
}

/// OpenAI's own models by the beginning of their names, longer ones first. All but the last are to be shut
/// down on 2027-02-26.
const MODELS: &[(&str, Abilities)] = &[
    ("gpt-4o-transcribe-diarize", open_ai(Format::Speakers, "language", 0.006)),
    ("gpt-4o-mini-transcribe", open_ai(Format::Text, "language", 0.003)),
    ("gpt-4o-transcribe", open_ai(Format::Text, "language", 0.006)),
    ("whisper-1", open_ai(Format::Words, "language", 0.006)),
    ("gpt-transcribe", open_ai(Format::Text, "languages[]", 0.0045)),
];

/// A model of somebody else: it is tried with everything, and nothing is known of its price.
const UNKNOWN: Abilities = Abilities {
    format: Format::Words,
    language: "language",
    largest: None,
    containers: &[],
    price_per_minute: None,
};

const fn open_ai(format: Format, language: &'static str, price: f64) -> Abilities {
    Abilities {
        format,
        language,
        largest: Some(LARGEST),
        containers: CONTAINERS,
        price_per_minute: Some(price),
    }
}

fn abilities(model: &str) -> Abilities {
    MODELS.iter().find(|(name, _)| model.starts_with(name)).map_or(UNKNOWN, |(_, abilities)| *abilities)
}

/// The engine.
#[derive(Debug)]
pub struct OpenAiEngine {
    info: EngineInfo,
    http: HttpClient,
    url: String,
    key: Key,
    language: Option<String>,
    abilities: Abilities,
    /// The server refused `verbose_json`, as older ones do: it is asked for the text alone from then on.
    text_only: AtomicBool,
}

impl OpenAiEngine {
    /// Needs SCRYON_OPENAI_API_KEY.
    pub fn new(settings: &EngineSettings, http: HttpClient) -> Result<Self, String> {
        let key = Key::new(NAME, "SCRYON_OPENAI_API_KEY", &settings.openai_api_key)?;
        let language = languages::configured("SCRYON_OPENAI_LANGUAGE", &settings.openai_language)?;
        let model = settings.openai_model.clone();
        let base = &settings.openai_base_url.0;
        let abilities = abilities(&model);
        let price = settings.prices.per_minute(NAME, &model).or(abilities.price_per_minute);
        let variant = format!("{base} {}", language.as_deref().unwrap_or_default());
        Ok(Self {
            info: hosted(NAME, model, variant, price),
            http,
            url: format!("{base}/audio/transcriptions"),
            key,
            language,
            abilities,
            text_only: AtomicBool::new(false),
        })
    }

    async fn post(&self, audio: &dyn Audio, format: Format) -> Result<Vec<u8>, Failure> {
        let upload = Upload::default();
        let abilities = Abilities { format, ..self.abilities };
        let form = upload.form(audio, fields(&self.info.model, abilities, self.language.as_deref())).await?;
        let request = self
            .http
            .post(self.url.clone())
            .timeout(deadline(USUAL_WAIT, audio.duration_seconds()))
            .bearer_auth(&self.key.0)
            .multipart(form);
        self.http.ask(NAME, request, ANSWER_LIMIT).await.map_err(|failure| upload.explain(failure))
    }

    async fn ask(&self, audio: &dyn Audio) -> Result<Vec<u8>, ProviderError> {
        let format =
            if self.text_only.load(Ordering::Relaxed) { Format::Text } else { self.abilities.format };
        match self.post(audio, format).await {
            Err(failure)
                if failure.fault == Fault::Request
                    && self.abilities == UNKNOWN
                    && format == Format::Words =>
            {
                let body = self.post(audio, Format::Text).await.map_err(|failure| failure.error)?;
                self.text_only.store(true, Ordering::Relaxed);
                Ok(body)
            }
            other => other.map_err(|failure| failure.error),
        }
    }
}

/// Why a model does not take a recording, before anything is sent.
fn refusal(abilities: Abilities, bytes: u64, content_type: &str) -> Option<String> {
    if abilities.largest.is_some_and(|largest| bytes.saturating_add(FRAME) > largest) {
        return Some(format!("{bytes} bytes are more than it takes"));
    }
    let ending = extension(content_type);
    let taken = abilities.containers.is_empty() || abilities.containers.contains(&ending);
    (!taken).then(|| format!("it does not take the container {ending}"))
}

/// The fields of the form beside the recording.
fn fields(model: &str, abilities: Abilities, language: Option<&str>) -> Vec<(&'static str, String)> {
    let mut fields = vec![("model", model.to_owned())];
    let mut push = |name, value: &str| fields.push((name, value.to_owned()));
    match abilities.format {
        Format::Words => {
            push("response_format", "verbose_json");
            push("timestamp_granularities[]", "word");
            push("timestamp_granularities[]", "segment");
        }
        Format::Text => push("response_format", "json"),
        Format::Speakers => {
            push("response_format", "diarized_json");
            // Required for recordings of more than 30 seconds.
            push("chunking_strategy", "auto");
        }
    }
    if let Some(language) = language {
        push(abilities.language, language);
    }
    fields
}

#[async_trait]
impl TranscriptionEngine for OpenAiEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn transcribe(
        &self,
        request: TranscriptionRequest<'_>,
    ) -> Result<TranscriptionAnswer, ProviderError> {
        let refusal = |audio: &dyn Audio| refusal(self.abilities, audio.bytes(), audio.content_type());
        let smaller = fitting(NAME, request.audio, refusal).await?;
        let audio = smaller.as_deref().unwrap_or(request.audio);
        let body = self.ask(audio).await?;
        let transcript = whisper::transcript(&self.info, &body, audio.duration_seconds())?;
        Ok(answered(transcript, audio, self.info.price_per_minute))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(model: &str, language: Option<&str>) -> String {
        let fields = fields(model, abilities(model), language);
        let pairs: Vec<_> = fields.iter().skip(1).map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(" ")
    }

    #[test]
    fn each_model_is_asked_for_what_it_can() {
        let words =
            "response_format=verbose_json timestamp_granularities[]=word timestamp_granularities[]=segment";
        let speakers = "response_format=diarized_json chunking_strategy=auto";
        let cases = [
            ("whisper-1", words),
            ("gpt-4o-transcribe", "response_format=json"),
            ("gpt-4o-transcribe-2025-03-20", "response_format=json"),
            ("gpt-4o-mini-transcribe", "response_format=json"),
            ("gpt-4o-transcribe-diarize", speakers),
            ("gpt-transcribe", "response_format=json"),
            ("Systran/faster-whisper-large-v3", words),
        ];
        for (model, expected) in cases {
            assert_eq!(asked(model, None), expected, "{model}");
        }
        assert!(asked("whisper-1", Some("de")).ends_with(" language=de"));
        assert!(asked("gpt-transcribe", Some("de")).ends_with(" languages[]=de"));
    }

    #[test]
    fn what_a_model_does_not_take_is_not_sent() {
        let limit = LARGEST - FRAME;
        let cases = [
            ("whisper-1", limit, "audio/wav", None),
            ("whisper-1", limit + 1, "audio/wav", Some("bytes")),
            ("whisper-1", u64::MAX, "audio/wav", Some("bytes")),
            ("gpt-transcribe", 1, "audio/amr", Some("amr")),
            ("gpt-transcribe", 1, "audio/mp4; codecs=x", None),
            ("large-v3", 1 << 30, "audio/amr", None),
        ];
        for (model, bytes, content_type, expected) in cases {
            let found = refusal(abilities(model), bytes, content_type);
            assert_eq!(found.is_some(), expected.is_some(), "{model} {bytes} {content_type}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()));
        }
    }
}
