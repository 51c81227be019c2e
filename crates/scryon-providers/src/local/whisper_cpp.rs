//! whisper.cpp by its command-line program, where an operator has a model.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use scryon_config::EngineSettings;
use serde::Deserialize;

use crate::engine::{
    EngineInfo, ProviderError, TranscriptionAnswer, TranscriptionEngine, TranscriptionRequest,
};
use crate::local::pieces::{PieceWord, transcribe_in_pieces};
use crate::media::tool::{ToolError, run_on_core};

const NAME: &str = "whisper-cpp";
/// For one piece of five minutes on a slow core.
const LIMIT: Duration = Duration::from_secs(1200);

/// The engine.
#[derive(Debug)]
pub struct WhisperCppEngine {
    info: EngineInfo,
    binary: String,
    model: PathBuf,
}

/// What `-oj` writes. With `-ml 1 -sow` every entry is one word.
#[derive(Deserialize)]
struct Written {
    transcription: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    offsets: Offsets,
    text: String,
}

/// Milliseconds.
#[derive(Deserialize)]
struct Offsets {
    from: f64,
    to: f64,
}

impl WhisperCppEngine {
    /// Needs SCRYON_WHISPER_MODEL.
    pub fn new(settings: &EngineSettings) -> Result<Self, String> {
        let model = settings
            .whisper_model
            .as_ref()
            .ok_or("the engine whisper-cpp needs SCRYON_WHISPER_MODEL, the path of a ggml model")?;
        let model = PathBuf::from(model);
        let name = model.file_stem().map_or_else(|| "ggml".into(), |s| s.to_string_lossy().into_owned());
        Ok(Self {
            info: EngineInfo {
                name: NAME,
                model: name,
                paid: false,
                idempotent: true,
                cpu_bound: true,
                variant: String::new(),
                price_per_minute: None,
                settled_within: None,
            },
            binary: settings.whisper_cli.clone(),
            model,
        })
    }

    async fn recognise(&self, wav: PathBuf) -> Result<Vec<PieceWord>, ProviderError> {
        let output = wav.with_extension("");
        let mut arguments: Vec<OsString> =
            vec!["-m".into(), self.model.clone().into(), "-f".into(), wav.into()];
        arguments
            .extend(["-ml", "1", "-sow", "-oj", "-np", "-l", "auto", "-t", "1", "-of"].map(OsString::from));
        arguments.push(output.clone().into());
        run_on_core(&self.binary, arguments, LIMIT).await.map_err(|error| match error {
            ToolError::Missing { .. } => {
                ProviderError::Unavailable { engine: NAME, message: error.to_string() }
            }
            ToolError::Failed { .. } if !self.model.is_file() => ProviderError::Unavailable {
                engine: NAME,
                message: "the model named by SCRYON_WHISPER_MODEL is not there".to_owned(),
            },
            error => ProviderError::Transient { engine: NAME, message: error.to_string() },
        })?;
        read(&output.with_extension("json")).await
    }
}

async fn read(file: &Path) -> Result<Vec<PieceWord>, ProviderError> {
    let malformed = |message: String| ProviderError::Malformed { engine: NAME, message };
    let body = tokio::fs::read(file).await.map_err(|e| malformed(e.to_string()))?;
    tokio::fs::remove_file(file).await?;
    let written: Written = serde_json::from_slice(&body).map_err(|e| malformed(e.to_string()))?;
    Ok(words(written))
}

fn words(written: Written) -> Vec<PieceWord> {
    written
        .transcription
        .into_iter()
        .map(|e| (e.text.trim().to_owned(), e.offsets))
        // Marks such as [BLANK_AUDIO] are about the sound, not in it.
        .filter(|(text, _)| !(text.is_empty() || text.starts_with('[') && text.ends_with(']')))
        .map(|(text, at)| PieceWord { text, start: at.from / 1000.0, end: at.to / 1000.0, confidence: None })
        .collect()
}

#[async_trait]
impl TranscriptionEngine for WhisperCppEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn transcribe(
        &self,
        request: TranscriptionRequest<'_>,
    ) -> Result<TranscriptionAnswer, ProviderError> {
        transcribe_in_pieces(&self.info, &request, None, &[], |wav| self.recognise(wav)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_seconds_without_marks() {
        let json = r#"{"result":{"language":"en"},"transcription":[
            {"timestamps":{"from":"00:00:00,000","to":"00:00:00,320"},"offsets":{"from":0,"to":320},"text":" Hello,"},
            {"offsets":{"from":320,"to":900},"text":" there."},
            {"offsets":{"from":900,"to":900},"text":""},
            {"offsets":{"from":900,"to":2900},"text":" [BLANK_AUDIO]"}]}"#;
        let words = words(serde_json::from_str(json).unwrap());
        let found: Vec<_> = words.iter().map(|w| (w.text.as_str(), w.start, w.end)).collect();
        assert_eq!(found, [("Hello,", 0.0, 0.32), ("there.", 0.32, 0.9)]);
    }

    #[test]
    fn without_a_model_it_says_what_to_set() {
        let settings = EngineSettings::read(&std::collections::BTreeMap::new()).unwrap();
        assert!(WhisperCppEngine::new(&settings).unwrap_err().contains("SCRYON_WHISPER_MODEL"));
    }
}
