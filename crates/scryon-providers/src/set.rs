//! Which engines a stage uses, in order, from configuration.

use std::sync::Arc;

use scryon_config::EngineSettings;

use crate::engine::{AnalysisEngine, DiarizationEngine, TranscriptionEngine};
use crate::fake::FakeEngine;
use crate::http::HttpClient;
use crate::local::{ChannelsEngine, ExtractiveEngine, PocketsphinxEngine, WhisperCppEngine};

const AUTO: &str = "auto";

/// Engines of the transcription stage.
pub fn transcription_engines(
    settings: &EngineSettings,
    http: &HttpClient,
) -> Result<Vec<Arc<dyn TranscriptionEngine>>, String> {
    let auto = if settings.whisper_model.is_some() { "whisper-cpp" } else { "pocketsphinx" };
    names(&settings.transcription.0, auto)
        .map(|name| {
            Ok::<Arc<dyn TranscriptionEngine>, String>(match name {
                "whisper-cpp" => Arc::new(WhisperCppEngine::new(settings)?),
                "pocketsphinx" => Arc::new(PocketsphinxEngine::new(settings)),
                "fake" => Arc::new(FakeEngine::new(settings, http.clone())),
                other => {
                    return Err(unknown(
                        "SCRYON_TRANSCRIPTION_ENGINES",
                        other,
                        "whisper-cpp, pocketsphinx, fake",
                    ));
                }
            })
        })
        .collect()
}

/// Engines of the diarization stage.
pub fn diarization_engines(
    settings: &EngineSettings,
    http: &HttpClient,
) -> Result<Vec<Arc<dyn DiarizationEngine>>, String> {
    names(&settings.diarization.0, "channels")
        .map(|name| {
            Ok::<Arc<dyn DiarizationEngine>, String>(match name {
                "channels" => Arc::new(ChannelsEngine::default()),
                "fake" => Arc::new(FakeEngine::new(settings, http.clone())),
                other => return Err(unknown("SCRYON_DIARIZATION_ENGINES", other, "channels, fake")),
            })
        })
        .collect()
}

/// Engines of the analysis stage.
pub fn analysis_engines(
    settings: &EngineSettings,
    http: &HttpClient,
) -> Result<Vec<Arc<dyn AnalysisEngine>>, String> {
    names(&settings.analysis.0, "extractive")
        .map(|name| {
            Ok::<Arc<dyn AnalysisEngine>, String>(match name {
                "extractive" => Arc::new(ExtractiveEngine::default()),
                "fake" => Arc::new(FakeEngine::new(settings, http.clone())),
                other => return Err(unknown("SCRYON_ANALYSIS_ENGINES", other, "extractive, fake")),
            })
        })
        .collect()
}

fn names<'a>(configured: &'a [String], auto: &'a str) -> impl Iterator<Item = &'a str> {
    let configured: Vec<&str> =
        if configured.is_empty() { vec![AUTO] } else { configured.iter().map(String::as_str).collect() };
    configured.into_iter().map(move |name| if name == AUTO { auto } else { name })
}

fn unknown(variable: &str, name: &str, allowed: &str) -> String {
    format!("{variable} names `{name}`; allowed: auto, {allowed}")
}
