//! pyannoteAI (pyannote.ai): who spoke when. The recording is put into the provider's storage through a presigned
//! address, a job is submitted, and its result is fetched when a callback or a look finds it done.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::CONTENT_LENGTH;
use scryon_config::EngineSettings;
use scryon_domain::assembly::Direction;
use scryon_domain::ids::JobId;
use scryon_domain::raw::{Diarization, DiarizationMethod, RAW_SCHEMA_VERSION, Turn};
use serde_json::{Value, json};

use super::upload::Upload;
use super::{ANSWER_LIMIT, Key, deadline, hosted, reading};
use crate::engine::{
    Answer, Audio, CollectRequest, Collected, DiarizationAnswer, DiarizationEngine, DiarizationRequest,
    EngineInfo, ProviderError, Submitted, Voiceprint,
};
use crate::http::HttpClient;

const NAME: &str = "pyannote";
/// Bytes of the largest recording of a job.
const LARGEST: u64 = 1 << 30;
/// Seconds of a recording that are paid for at least.
const LEAST_SECONDS: f64 = 20.0;
/// Wait for the answer to a small request.
const SMALL: Duration = Duration::from_secs(30);
/// Looks are this much farther apart where the provider calls back.
const LOOKS_BESIDE_CALLBACKS: u32 = 6;
/// US dollars per minute by model: 0.112 EUR an hour, at 1.16 dollars for one.
const PRICES: &[(&str, f64)] = &[("precision-2", 0.112 * 1.16 / 60.0)];
/// US dollars per minute for the comparison with a voice, on top of the diarization: 0.015 EUR an hour.
const VOICE_PRICE: f64 = 0.015 * 1.16 / 60.0;

/// The engine.
#[derive(Debug)]
pub struct PyannoteEngine {
    info: EngineInfo,
    http: HttpClient,
    base: String,
    key: Key,
    callbacks: Option<String>,
    interval: Duration,
    timeout: Duration,
    longest_seconds: f64,
    two_speakers: bool,
}

impl PyannoteEngine {
    /// Needs PYANNOTE_API_KEY.
    pub fn new(settings: &EngineSettings, http: HttpClient) -> Result<Self, String> {
        let key = Key::new(NAME, "PYANNOTE_API_KEY", &settings.pyannote_api_key)?;
        let model = settings.pyannote_model.clone();
        let usual = PRICES.iter().find(|(name, _)| *name == model).map(|(_, price)| *price);
        let price = settings.prices.per_minute(NAME, &model).or(usual);
        let base = settings.pyannote_base_url.0.clone();
        let public =
            settings.public_base_url.as_deref().filter(|_| !settings.pyannote_webhook_secrets.0.is_empty());
        let info = EngineInfo {
            settled_within: public.map(|_| settings.diarization_timeout.0),
            ..hosted(NAME, model, base.clone(), price)
        };
        Ok(Self {
            info,
            http,
            base,
            key,
            callbacks: public.map(|url| format!("{}/api/webhooks/pyannote", url.trim_end_matches('/'))),
            interval: settings.diarization_poll_interval.0,
            timeout: settings.diarization_timeout.0,
            longest_seconds: settings.diarization_max_audio.0.as_secs_f64(),
            two_speakers: settings.diarization_hint_two_speakers,
        })
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, ProviderError> {
        let request =
            self.http.post(format!("{}{path}", self.base)).timeout(SMALL).bearer_auth(&self.key.0).json(body);
        reading::json(NAME, &self.http.send(NAME, request, ANSWER_LIMIT).await?)
    }

    fn refuse(&self, audio: &dyn Audio) -> Result<(), ProviderError> {
        if audio.duration_seconds().is_some_and(|seconds| seconds > self.longest_seconds) {
            return Err(ProviderError::Declined { engine: NAME, reason: "audio_too_long" });
        }
        if audio.bytes() > LARGEST {
            return Err(ProviderError::Declined { engine: NAME, reason: "audio_too_large" });
        }
        Ok(())
    }

    /// Price of a minute, with a comparison or without.
    fn price(&self, with_voice: bool) -> Option<f64> {
        self.info.price_per_minute.map(|price| if with_voice { price + VOICE_PRICE } else { price })
    }

    /// Submits a job and gives the provider's name for it.
    async fn submit(&self, path: &str, body: &Value) -> Result<String, ProviderError> {
        let answer = self.post(path, body).await?;
        reading::text(&answer["jobId"]).map(str::to_owned).ok_or_else(|| ProviderError::Ambiguous {
            engine: NAME,
            message: "no name for the job in it".to_owned(),
        })
    }

    /// A job as it stands.
    async fn job(&self, external_id: &str) -> Result<Value, ProviderError> {
        let url = format!("{}/v1/jobs/{external_id}", self.base);
        let sent = self.http.get(url).timeout(SMALL).bearer_auth(&self.key.0);
        reading::json(NAME, &self.http.send(NAME, sent, ANSWER_LIMIT).await?)
    }

    /// Puts the recording into the provider's storage under a name of our own. Free, so that trouble with it is
    /// never ambiguous.
    async fn hand_over(&self, audio: &dyn Audio, media: &str) -> Result<(), ProviderError> {
        let place = self.post("/v1/media/input", &json!({ "url": media })).await.map_err(free)?;
        let url = reading::text(&place["url"]).ok_or(ProviderError::Malformed {
            engine: NAME,
            message: "no address for the recording".to_owned(),
        })?;
        let upload = Upload::default();
        // Without our key: the address itself is the right.
        let request = self
            .http
            .put(url.to_owned())
            .timeout(deadline(SMALL, audio.duration_seconds()))
            .header(CONTENT_LENGTH, audio.bytes())
            .body(upload.body(audio).await?);
        match self.http.ask(NAME, request, ANSWER_LIMIT).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(match upload.explain(failure).error {
                // The address was used too late; the next attempt gets another.
                ProviderError::Unavailable { engine, message } => {
                    ProviderError::Transient { engine, message }
                }
                error => free(error),
            }),
        }
    }
}

/// What fails in a request that buys nothing is tried again.
fn free(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::Ambiguous { engine, message } => ProviderError::Transient { engine, message },
        error => error,
    }
}

/// The job's parameters. Overlap is wanted for cross-talk, the exclusive list for words.
fn job(media: &str, model: &str, speakers: Option<u32>, webhook: Option<String>) -> Value {
    let mut body = json!({ "url": media, "model": model, "exclusive": true });
    if let Some(speakers) = speakers {
        body["numSpeakers"] = speakers.into();
    }
    if let Some(webhook) = webhook {
        // The result is fetched: a callback is a wake-up, and its body stays small.
        body["webhook"] = webhook.into();
        body["webhookStatusOnly"] = true.into();
    }
    body
}

/// A name for the recording in the provider's storage: ids only.
fn media_name(job: Option<JobId>) -> String {
    format!("media://scryon/{}", job.unwrap_or(JobId(uuid::Uuid::now_v7())).0)
}

/// How far a job is.
#[derive(Debug, PartialEq)]
enum Progress {
    Done(Box<Diarization>),
    Running,
    /// Why, in the provider's words where they are known here.
    Failed(&'static str),
}

fn progress(info: &EngineInfo, job: &Value) -> Progress {
    match reading::text(&job["status"]).unwrap_or_default() {
        "succeeded" => {
            let output = &job["output"];
            // It is kept for a day; an empty list is an answer, no list is none.
            let Some(all) = output["diarization"].as_array() else {
                return Progress::Failed("its result is gone");
            };
            let exclusive = output["exclusiveDiarization"].as_array().map(|list| turns(list));
            Progress::Done(Box::new(Diarization {
                schema_version: RAW_SCHEMA_VERSION,
                engine: NAME.to_owned(),
                model: info.model.clone(),
                method: DiarizationMethod::Turns,
                channels: 1,
                turns: turns(all),
                exclusive_turns: exclusive,
                fallback_reason: None,
                warnings: Vec::new(),
                voice: voice::evidence(output),
            }))
        }
        // Older descriptions report a failed job as canceled.
        "failed" | "canceled" => Progress::Failed(match reading::text(&job["output"]["error"]) {
            Some(text) if text.contains("Could not load audio") => "it could not load the recording",
            _ => "the job failed",
        }),
        _ => Progress::Running,
    }
}

fn turns(list: &[Value]) -> Vec<Turn> {
    let mut turns: Vec<Turn> = list
        .iter()
        .filter_map(|turn| {
            let (start, end) = (reading::number(&turn["start"])?, reading::number(&turn["end"])?);
            Some(Turn { speaker: reading::text(&turn["speaker"])?.to_owned(), start, end })
        })
        .collect();
    turns.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
    turns
}

#[async_trait]
impl DiarizationEngine for PyannoteEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn diarize(&self, request: DiarizationRequest<'_>) -> Result<DiarizationAnswer, ProviderError> {
        self.refuse(request.audio)?;
        let media = match request.audio.address().await? {
            Some(address) => address,
            None => {
                let media = media_name(request.job);
                self.hand_over(request.audio, &media).await?;
                media
            }
        };
        let two =
            self.two_speakers && matches!(request.direction, Some(Direction::Incoming | Direction::Outgoing));
        let webhook =
            self.callbacks.as_ref().zip(request.job).map(|(address, job)| format!("{address}/{}", job.0));
        let look_in = if webhook.is_some() { self.interval * LOOKS_BESIDE_CALLBACKS } else { self.interval };
        let model = request.voice.map_or(self.info.model.as_str(), |_| voice::MODEL);
        let mut body = job(&media, model, two.then_some(2), webhook);
        let path = match request.voice {
            None => "/v1/diarize",
            Some(print) => {
                voice::compare(&mut body, print);
                "/v1/identify"
            }
        };
        let external_id = self.submit(path, &body).await?;
        Ok(DiarizationAnswer::Submitted(Submitted { external_id, look_in, deadline: self.timeout }))
    }

    fn with_voice(&self, print: &Voiceprint) -> Option<EngineInfo> {
        voice::info(&self.info, print, self.price(true))
    }

    async fn collect(&self, request: CollectRequest<'_>) -> Result<Collected<Diarization>, ProviderError> {
        let job = self.job(request.external_id).await?;
        match progress(&self.info, &job) {
            Progress::Running => Ok(Collected::Pending(self.interval)),
            Progress::Failed(why) => Err(ProviderError::JobFailed { engine: NAME, message: why.to_owned() }),
            Progress::Done(diarization) => {
                let last = diarization.turns.iter().map(|t| t.end).fold(0.0, f64::max);
                let seconds = request.audio.duration_seconds().unwrap_or(last).max(LEAST_SECONDS);
                let price = self.price(diarization.voice.is_some());
                Ok(Collected::Done(Box::new(Answer {
                    content: *diarization,
                    units: Some(seconds),
                    unit: Some("audio_seconds"),
                    billed_cost: price.map(|price| price * seconds / 60.0),
                })))
            }
        }
    }
}

mod voice;

pub use voice::VoiceprintState;

#[cfg(test)]
mod tests;
