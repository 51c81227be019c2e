//! The engines of the fake provider: the same requests a hosted engine gets, to a program of ours. For
//! tests and the benchmark.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Body;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use scryon_config::EngineSettings;
use scryon_domain::ids::JobId;
use scryon_domain::raw::{
    Diarization, DiarizationMethod, RAW_SCHEMA_VERSION, RawSegment, RawTranscript, Turn,
};
use serde::Deserialize;
use serde_json::Value;

use crate::engine::{
    AnalysisEngine, AnalysisRequest, Answer, Audio, DiarizationAnswer, DiarizationEngine, DiarizationRequest,
    EngineInfo, ProviderError, TranscriptionAnswer, TranscriptionEngine, TranscriptionRequest,
};
use crate::http::HttpClient;

const NAME: &str = "fake";
/// Bytes of an answer.
const LIMIT: usize = 16 << 20;

/// All three engines of one fake provider.
#[derive(Debug, Clone)]
pub struct FakeEngine {
    info: EngineInfo,
    http: HttpClient,
    url: String,
    timeout: Duration,
}

impl FakeEngine {
    /// Reads where the fake provider is.
    pub fn new(settings: &EngineSettings, http: HttpClient) -> Self {
        Self {
            info: EngineInfo {
                name: NAME,
                model: "fake-1".to_owned(),
                paid: true,
                idempotent: settings.fake_idempotent,
                cpu_bound: false,
                variant: String::new(),
                price_per_minute: Some(0.01),
                settled_within: None,
            },
            http,
            url: settings.fake_url.trim_end_matches('/').to_owned(),
            timeout: settings.fake_timeout.0,
        }
    }

    fn request(&self, path: &str, job: Option<JobId>) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}/{path}", self.url)).timeout(self.timeout);
        match job {
            Some(job) if self.info.idempotent => request.header("Idempotency-Key", job.to_string()),
            _ => request,
        }
    }

    /// Sends the recording as a stream: no copy of it is kept while the answer is awaited.
    async fn post_audio(
        &self,
        path: &str,
        audio: &dyn Audio,
        job: Option<JobId>,
    ) -> Result<Segments, ProviderError> {
        let request = self
            .request(path, job)
            .header(CONTENT_TYPE, audio.content_type())
            .header(CONTENT_LENGTH, audio.bytes())
            .body(Body::wrap_stream(audio.stream().await?));
        parse(&self.http.send(NAME, request, LIMIT).await?)
    }
}

#[derive(Deserialize)]
struct Segments {
    #[serde(default)]
    duration: Option<f64>,
    segments: Vec<Segment>,
}

#[derive(Deserialize)]
struct Segment {
    start: f64,
    end: f64,
    #[serde(default)]
    text: String,
    speaker: String,
}

impl Segments {
    fn duration(&self) -> f64 {
        self.duration.unwrap_or_else(|| self.segments.iter().map(|s| s.end).fold(0.0, f64::max))
    }

    fn answer<T>(&self, price: Option<f64>, content: T) -> Answer<T> {
        let seconds = self.duration();
        Answer {
            content,
            units: Some(seconds),
            unit: Some("audio_seconds"),
            billed_cost: price.map(|p| p * seconds / 60.0),
        }
    }
}

#[derive(Deserialize)]
struct Analysed {
    analysis: Value,
}

fn parse<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, ProviderError> {
    serde_json::from_slice(body)
        .map_err(|e| ProviderError::Malformed { engine: NAME, message: e.to_string() })
}

#[async_trait]
impl TranscriptionEngine for FakeEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn transcribe(
        &self,
        request: TranscriptionRequest<'_>,
    ) -> Result<TranscriptionAnswer, ProviderError> {
        let mut heard = self.post_audio("transcribe", request.audio, request.job).await?;
        let segments = std::mem::take(&mut heard.segments)
            .into_iter()
            .map(|s| RawSegment {
                text: s.text,
                start: s.start,
                end: s.end,
                speaker: Some(s.speaker),
                channel: None,
            })
            .collect::<Vec<_>>();
        let seconds = heard.duration.unwrap_or_else(|| segments.iter().map(|s| s.end).fold(0.0, f64::max));
        heard.duration = Some(seconds);
        let transcript = RawTranscript {
            schema_version: RAW_SCHEMA_VERSION,
            engine: NAME.to_owned(),
            model: self.info.model.clone(),
            language: Some("en".to_owned()),
            duration_seconds: seconds,
            channels: 1,
            words: Vec::new(),
            segments,
            warnings: Vec::new(),
        };
        Ok(TranscriptionAnswer::Done(Box::new(heard.answer(self.info.price_per_minute, transcript))))
    }
}

#[async_trait]
impl DiarizationEngine for FakeEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn diarize(&self, request: DiarizationRequest<'_>) -> Result<DiarizationAnswer, ProviderError> {
        let heard = self.post_audio("diarize", request.audio, request.job).await?;
        let turn = |s: &Segment| Turn { speaker: s.speaker.clone(), start: s.start, end: s.end };
        let diarization = Diarization {
            schema_version: RAW_SCHEMA_VERSION,
            engine: NAME.to_owned(),
            model: self.info.model.clone(),
            method: DiarizationMethod::Turns,
            channels: 1,
            turns: heard.segments.iter().map(turn).collect(),
            exclusive_turns: None,
            fallback_reason: None,
            warnings: Vec::new(),
            voice: None,
        };
        Ok(DiarizationAnswer::Done(Box::new(heard.answer(self.info.price_per_minute, diarization))))
    }
}

#[async_trait]
impl AnalysisEngine for FakeEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn analyse(&self, request: AnalysisRequest<'_>) -> Result<Answer<Value>, ProviderError> {
        let sent = self.request("analyze", request.job).json(request.transcript);
        let answer: Analysed = parse(&self.http.send(NAME, sent, LIMIT).await?)?;
        Ok(Answer {
            content: answer.analysis,
            units: Some(1.0),
            unit: Some("requests"),
            billed_cost: Some(0.001),
        })
    }
}
