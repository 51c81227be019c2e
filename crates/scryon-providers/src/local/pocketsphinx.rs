//! pocketsphinx: about three times faster than real time on one core, draft quality. Debian 12 ships
//! `pocketsphinx_continuous` (version 0.8), later releases `pocketsphinx` (version 5).

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use scryon_config::EngineSettings;
use serde::Deserialize;

use crate::engine::{
    EngineInfo, ProviderError, TranscriptionAnswer, TranscriptionEngine, TranscriptionRequest,
};
use crate::local::pieces::{PieceWord, transcribe_in_pieces};
use crate::media::tool::{ToolError, is_installed, run_on_core};

const NAME: &str = "pocketsphinx";
/// For one piece of five minutes on a slow core.
const LIMIT: Duration = Duration::from_secs(900);
/// The binaries of versions 0.8 and 5, in order of search.
const BINARIES: [&str; 2] = ["pocketsphinx_continuous", "pocketsphinx"];

/// The engine.
#[derive(Debug)]
pub struct PocketsphinxEngine {
    info: EngineInfo,
    binary: Option<String>,
}

impl PocketsphinxEngine {
    /// Uses the configured binary, else looks for one in PATH each time: it may be installed meanwhile.
    pub fn new(settings: &EngineSettings) -> Self {
        Self {
            info: EngineInfo {
                name: NAME,
                model: "en-us".to_owned(),
                paid: false,
                idempotent: true,
                cpu_bound: true,
                variant: String::new(),
                price_per_minute: None,
                settled_within: None,
            },
            binary: settings.pocketsphinx.clone(),
        }
    }

    fn binary(&self) -> Result<String, ProviderError> {
        let found = self
            .binary
            .clone()
            .or_else(|| BINARIES.iter().find(|b| is_installed(b)).map(ToString::to_string));
        found.ok_or_else(|| ProviderError::Unavailable {
            engine: NAME,
            message: "it is not installed (Debian: apt-get install pocketsphinx pocketsphinx-en-us)"
                .to_owned(),
        })
    }

    async fn recognise(&self, wav: PathBuf) -> Result<Vec<PieceWord>, ProviderError> {
        let binary = self.binary()?;
        let continuous = binary.ends_with("_continuous");
        let arguments: Vec<OsString> = if continuous {
            vec!["-infile".into(), wav.into(), "-time".into(), "yes".into()]
        } else {
            // `single` would take the whole file for one utterance.
            vec!["live".into(), wav.into()]
        };
        let output = run_on_core(&binary, arguments, LIMIT).await.map_err(|error| match error {
            ToolError::Missing { .. } => {
                ProviderError::Unavailable { engine: NAME, message: error.to_string() }
            }
            error => ProviderError::Transient { engine: NAME, message: error.to_string() },
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(if continuous { timed_lines(&text) } else { json_lines(&text) })
    }
}

#[async_trait]
impl TranscriptionEngine for PocketsphinxEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn transcribe(
        &self,
        request: TranscriptionRequest<'_>,
    ) -> Result<TranscriptionAnswer, ProviderError> {
        self.binary()?;
        transcribe_in_pieces(&self.info, &request, Some("en"), &["draft_quality_engine"], |wav| {
            self.recognise(wav)
        })
        .await
    }
}

/// Version 0.8 with `-time yes`: after each utterance's text one line per word, `word start end confidence`,
/// in seconds from the start of the file.
fn timed_lines(text: &str) -> Vec<PieceWord> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let word = spoken(fields.next()?)?;
            let (start, end) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            let confidence: f32 = fields.next()?.parse().ok()?;
            fields.next().is_none().then(|| PieceWord {
                text: word,
                start,
                end,
                confidence: Some(confidence.min(1.0)),
            })
        })
        .collect()
}

/// One line of version 5: times are a begin and a duration.
#[derive(Deserialize)]
struct Spoken {
    #[serde(default)]
    b: f64,
    #[serde(default)]
    d: f64,
    #[serde(default)]
    p: Option<f32>,
    #[serde(default)]
    t: String,
    #[serde(default)]
    w: Vec<Spoken>,
}

/// Version 5 prints one JSON object per utterance. It does not escape strings, and some builds print an
/// utterance without words as broken JSON: such a line says nothing.
fn json_lines(text: &str) -> Vec<PieceWord> {
    text.lines()
        .filter_map(|line| serde_json::from_str::<Spoken>(line).ok())
        .flat_map(|utterance| utterance.w)
        .filter_map(|w| {
            let text = spoken(&w.t)?;
            Some(PieceWord { text, start: w.b, end: w.b + w.d, confidence: w.p.map(|p| p.clamp(0.0, 1.0)) })
        })
        .collect()
}

/// A word without the mark of its variant; `None` for silence, sentence marks and noises.
fn spoken(token: &str) -> Option<String> {
    let mark = token.starts_with('<') || token.starts_with('[') || token.starts_with("++");
    let word = token.split('(').next().unwrap_or_default();
    (!mark && !word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[PieceWord]) -> Vec<(&str, f64, f64)> {
        words.iter().map(|w| (w.text.as_str(), w.start, w.end)).collect()
    }

    #[test]
    fn timed_lines_give_words_without_marks_and_variants() {
        let text = "have you tried to start\n<s> 0.410 0.510 0.999500\nhave(2) 0.520 1.000 0.931641\n<sil> 1.010 1.150 0.985110\n\
                    you 1.160 1.340 1.000200\n[NOISE] 1.350 1.480 0.2\n++BREATH++ 1.5 1.6 0.1\n</s> 5.440 5.830 1.000000\n";
        let words = timed_lines(text);
        assert_eq!(shown(&words), [("have", 0.52, 1.0), ("you", 1.16, 1.34)]);
        assert_eq!(words[1].confidence, Some(1.0));
    }

    #[test]
    fn an_utterance_of_numbers_is_not_taken_for_a_timed_line() {
        assert!(timed_lines("one two three four\nwe have 1 2 3\n").is_empty());
    }

    #[test]
    fn json_lines_give_the_same() {
        let text = r#"{"b":0.05,"d":1.2,"p":1.0,"t":"hello there","w":[{"b":0.05,"d":0.5,"p":0.9,"t":"hello(2)"},{"b":0.55,"d":0.1,"p":1,"t":"<sil>"},{"b":0.65,"d":0.6,"p":1.02,"t":"there"}]}
not json
"#;
        let words = json_lines(text);
        assert_eq!(shown(&words), [("hello", 0.05, 0.55), ("there", 0.65, 1.25)]);
    }
}
