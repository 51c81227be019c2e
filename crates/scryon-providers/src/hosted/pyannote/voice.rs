//! Voices at pyannoteAI: a voiceprint is made from a sample, and a recording's speakers are compared with it.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use scryon_domain::raw::{VoiceEvidence, VoiceScore};
use serde_json::{Value, json};

use super::{NAME, PyannoteEngine, media_name, reading};
use crate::engine::{Audio, AudioFile, EngineInfo, ProviderError, Voiceprint};

/// The only model that makes voiceprints and compares them.
pub(super) const MODEL: &str = "precision-2";
/// Our one label. The provider is told no name.
const LABEL: &str = "user";
/// Bytes of a voiceprint that the provider takes back.
const LONGEST: usize = 20_000;

/// The parameters of a comparison on top of a diarization's. Every score is wanted: what counts as a match is
/// decided by whoever reads the scores.
pub(super) fn compare(body: &mut Value, print: &Voiceprint) {
    body["voiceprints"] = json!([{"label": LABEL, "voiceprint": print.print}]);
    body["matching"] = json!({"exclusive": true, "threshold": 0});
}

/// The engine that compares with this voice, or nothing where the voice is of another model.
pub(super) fn info(plain: &EngineInfo, print: &Voiceprint, price: Option<f64>) -> Option<EngineInfo> {
    (print.model == MODEL).then(|| EngineInfo {
        model: MODEL.to_owned(),
        variant: format!("{} identify {}", plain.variant, print.identity),
        price_per_minute: price,
        ..plain.clone()
    })
}

/// The speakers' scores, where the job compared them.
pub(super) fn evidence(output: &Value) -> Option<VoiceEvidence> {
    let list = output["voiceprints"].as_array()?;
    let score = |entry: &Value| {
        let percent = reading::number(&entry["confidence"][LABEL])?;
        Some(VoiceScore {
            speaker: reading::text(&entry["speaker"])?.to_owned(),
            score: (percent / 100.0).clamp(0.0, 1.0),
        })
    };
    Some(VoiceEvidence { compared: true, scores: list.iter().filter_map(score).collect() })
}

/// A job that makes a voiceprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoiceprintState {
    Running,
    /// Opaque; biometric.
    Done(String),
}

impl PyannoteEngine {
    /// The model that voiceprints are made with.
    pub const VOICE_MODEL: &str = MODEL;

    /// Submits a sample of one voice (WAV, at most 30 s) and gives the provider's name for the job.
    pub async fn submit_voice(&self, sample: Vec<u8>) -> Result<String, ProviderError> {
        let media = media_name(None);
        self.hand_over(&Sample(sample.into()), &media).await?;
        self.submit("/v1/voiceprint", &json!({"url": media, "model": MODEL})).await
    }

    /// Looks at such a job.
    pub async fn voice(&self, external_id: &str) -> Result<VoiceprintState, ProviderError> {
        read(&self.job(external_id).await?)
    }
}

fn read(job: &Value) -> Result<VoiceprintState, ProviderError> {
    let failed = |message: &str| ProviderError::JobFailed { engine: NAME, message: message.to_owned() };
    match reading::text(&job["status"]).unwrap_or_default() {
        "succeeded" => match reading::text(&job["output"]["voiceprint"]) {
            Some(print) if print.len() <= LONGEST => Ok(VoiceprintState::Done(print.to_owned())),
            Some(_) => Err(failed("its voiceprint is larger than it takes back")),
            None => Err(failed("its result is gone")),
        },
        "failed" | "canceled" => Err(failed("the job failed")),
        _ => Ok(VoiceprintState::Running),
    }
}

/// A sample in memory.
struct Sample(Bytes);

#[async_trait]
impl Audio for Sample {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn content_type(&self) -> &str {
        "audio/wav"
    }

    fn duration_seconds(&self) -> Option<f64> {
        None
    }

    fn channels(&self) -> Option<u16> {
        Some(1)
    }

    async fn stream(&self) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let content = self.0.clone();
        Ok(stream::once(async move { Ok(content) }).boxed())
    }

    async fn file(&self) -> io::Result<Box<dyn AudioFile>> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_shares_and_name_speakers_only() {
        let output = json!({"voiceprints": [
            {"speaker": "SPEAKER_00", "match": "user", "confidence": {"user": 88}},
            {"speaker": "SPEAKER_01", "match": null, "confidence": {"user": "21.5", "other": 99}},
            {"speaker": "SPEAKER_02", "confidence": {}},
            {"confidence": {"user": 50}},
            {"speaker": "SPEAKER_03", "confidence": {"user": 170}}]});
        let found = evidence(&output).unwrap();
        let scores: Vec<_> = found.scores.iter().map(|s| (s.speaker.as_str(), s.score)).collect();
        assert!(found.compared);
        assert_eq!(scores, [("SPEAKER_00", 0.88), ("SPEAKER_01", 0.215), ("SPEAKER_03", 1.0)]);
        assert_eq!(evidence(&json!({"diarization": []})), None);
        assert_eq!(evidence(&json!({"voiceprints": []})).unwrap().scores, []);
    }

    #[test]
    fn a_voiceprint_job_is_read() {
        let done = json!({"status": "succeeded", "output": {"voiceprint": "b3BhcXVl"}});
        assert_eq!(read(&done).unwrap(), VoiceprintState::Done("b3BhcXVl".to_owned()));
        for status in ["created", "pending", "running", "something-new"] {
            assert_eq!(read(&json!({"status": status})).unwrap(), VoiceprintState::Running);
        }
        let long = json!({"status": "succeeded", "output": {"voiceprint": "a".repeat(LONGEST + 1)}});
        for job in
            [json!({"status": "failed"}), json!({"status": "canceled"}), long, json!({"status": "succeeded"})]
        {
            assert!(matches!(read(&job), Err(ProviderError::JobFailed { .. })));
        }
    }

    #[test]
    fn purchases_differ_by_the_identity_of_the_voice_and_never_hold_it() {
        let plain = crate::hosted::hosted(NAME, MODEL.to_owned(), "https://base".to_owned(), Some(0.1));
        let print = |identity: &str, model: &str| Voiceprint {
            identity: identity.to_owned(),
            model: model.to_owned(),
            print: "planted-print".to_owned(),
        };
        let (a, b) = (
            info(&plain, &print("a", MODEL), None).unwrap(),
            info(&plain, &print("b", MODEL), None).unwrap(),
        );
        assert_ne!(a.params_hash(""), b.params_hash(""));
        assert_ne!(a.params_hash(""), plain.params_hash(""));
        assert!(!format!("{a:?} {:?}", print("a", MODEL)).contains("planted-print"));
        assert_eq!(info(&plain, &print("a", "precision-1"), None), None);
    }
}
