//! Which engines a stage uses, in order, from configuration.

use std::sync::Arc;

use scryon_config::EngineSettings;

use crate::engine::{AnalysisEngine, DiarizationEngine, TranscriptionEngine};
use crate::fake::FakeEngine;
use crate::hosted::{
    AssemblyAiEngine, DeepgramEngine, LemonfoxEngine, LlmEngine, OpenAiEngine, PyannoteEngine,
};
use crate::http::HttpClient;
use crate::local::{ChannelsEngine, ExtractiveEngine, PocketsphinxEngine, WhisperCppEngine};

const AUTO: &str = "auto";

/// Engines of the transcription stage.
pub fn transcription_engines(
    settings: &EngineSettings,
    http: &HttpClient,
) -> Result<Vec<Arc<dyn TranscriptionEngine>>, String> {
    transcribers(settings)
        .into_iter()
        .map(|name| {
            Ok::<Arc<dyn TranscriptionEngine>, String>(match name {
                "lemonfox" => Arc::new(LemonfoxEngine::new(settings, http.clone())?),
                "openai" => Arc::new(OpenAiEngine::new(settings, http.clone())?),
                "assemblyai" => Arc::new(AssemblyAiEngine::new(settings, http.clone())?),
                "deepgram" => Arc::new(DeepgramEngine::new(settings, http.clone())?),
                "whisper-cpp" => Arc::new(WhisperCppEngine::new(settings)?),
                "pocketsphinx" => Arc::new(PocketsphinxEngine::new(settings)),
                "fake" => Arc::new(FakeEngine::new(settings, http.clone())),
                other => {
                    return Err(unknown(
                        "SCRYON_TRANSCRIPTION_ENGINES",
                        other,
                        "lemonfox, openai, deepgram, assemblyai, whisper-cpp, pocketsphinx, fake",
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
    diarizers(settings)
        .into_iter()
        .map(|name| {
            Ok::<Arc<dyn DiarizationEngine>, String>(match name {
                "pyannote" => Arc::new(PyannoteEngine::new(settings, http.clone())?),
                "channels" => Arc::new(ChannelsEngine::default()),
                "fake" => Arc::new(FakeEngine::new(settings, http.clone())),
                other => {
                    return Err(unknown("SCRYON_DIARIZATION_ENGINES", other, "pyannote, channels, fake"));
                }
            })
        })
        .collect()
}

/// Engines of the analysis stage.
pub fn analysis_engines(
    settings: &EngineSettings,
    http: &HttpClient,
) -> Result<Vec<Arc<dyn AnalysisEngine>>, String> {
    analysers(settings)
        .into_iter()
        .map(|name| {
            Ok::<Arc<dyn AnalysisEngine>, String>(match name {
                "openai" => Arc::new(LlmEngine::new(settings, http.clone())?),
                "extractive" => Arc::new(ExtractiveEngine::default()),
                "fake" => Arc::new(FakeEngine::new(settings, http.clone())),
                other => return Err(unknown("SCRYON_ANALYSIS_ENGINES", other, "openai, extractive, fake")),
            })
        })
        .collect()
}

/// Names of the transcription engines, in order.
pub(crate) fn transcribers(settings: &EngineSettings) -> Vec<&str> {
    let auto = if !settings.lemonfox_api_key.0.is_empty() {
        "lemonfox"
    } else if settings.whisper_model.is_some() {
        "whisper-cpp"
    } else {
        "pocketsphinx"
    };
    names(&settings.transcription.0, auto).collect()
}

/// Names of the diarization engines, in order.
pub(crate) fn diarizers(settings: &EngineSettings) -> Vec<&str> {
    let auto: &[&str] = if settings.pyannote_enabled { &["pyannote", "channels"] } else { &["channels"] };
    let configured = &settings.diarization.0;
    if configured.is_empty() {
        return auto.to_vec();
    }
    configured
        .iter()
        .flat_map(|name| if name == AUTO { auto.to_vec() } else { vec![name.as_str()] })
        // The switch of an emergency wins over the list.
        .filter(|name| *name != "pyannote" || settings.pyannote_enabled)
        .collect()
}

/// Names of the analysis engines, in order.
pub(crate) fn analysers(settings: &EngineSettings) -> Vec<&str> {
    let auto = if settings.llm_api_key.0.is_empty() { "extractive" } else { "openai" };
    names(&settings.analysis.0, auto).collect()
}

fn names<'a>(configured: &'a [String], auto: &'a str) -> impl Iterator<Item = &'a str> {
    let configured: Vec<&str> =
        if configured.is_empty() { vec![AUTO] } else { configured.iter().map(String::as_str).collect() };
    configured.into_iter().map(move |name| if name == AUTO { auto } else { name })
}

fn unknown(variable: &str, name: &str, allowed: &str) -> String {
    format!("{variable} names `{name}`; allowed: auto, {allowed}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Pairs = &'static [(&'static str, &'static str)];
    type Chosen = Result<Vec<&'static str>, String>;

    /// Names of the engines for transcription and for analysis.
    fn chosen(pairs: &[(&str, &str)]) -> (Chosen, Chosen) {
        let env: BTreeMap<String, String> =
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let settings = EngineSettings::read(&env).unwrap();
        let http = HttpClient::new(None).unwrap();
        let speech = transcription_engines(&settings, &http);
        let analysis = analysis_engines(&settings, &http);
        (
            speech.map(|engines| engines.iter().map(|e| e.info().name).collect()),
            analysis.map(|engines| engines.iter().map(|e| e.info().name).collect()),
        )
    }

    #[test]
    fn auto_goes_by_the_keys_that_are_set() {
        let cases: [(Pairs, &str, &str); 4] = [
            (&[], "pocketsphinx", "extractive"),
            (&[("SCRYON_WHISPER_MODEL", "ggml.bin")], "whisper-cpp", "extractive"),
            (&[("LEMONFOX_API_KEY", "k"), ("SCRYON_WHISPER_MODEL", "m")], "lemonfox", "extractive"),
            (&[("LLM_API_KEY", "k"), ("SCRYON_DEEPGRAM_API_KEY", "k")], "pocketsphinx", "openai"),
        ];
        for (pairs, speech, analysis) in cases {
            assert_eq!(chosen(pairs), (Ok(vec![speech]), Ok(vec![analysis])), "{pairs:?}");
        }
    }

    #[test]
    fn engines_come_in_the_order_that_was_set() {
        let (speech, analysis) = chosen(&[
            ("SCRYON_TRANSCRIPTION_ENGINES", "deepgram,openai,auto,fake"),
            ("SCRYON_ANALYSIS_ENGINES", "openai,extractive"),
            ("SCRYON_DEEPGRAM_API_KEY", "k"),
            ("SCRYON_OPENAI_API_KEY", "k"),
            ("LLM_API_KEY", "k"),
        ]);
        assert_eq!(speech.unwrap(), ["deepgram", "openai", "pocketsphinx", "fake"]);
        assert_eq!(analysis.unwrap(), ["openai", "extractive"]);
    }

    #[test]
    fn what_cannot_run_stops_the_start_with_what_is_missing() {
        let cases = [
            ("SCRYON_TRANSCRIPTION_ENGINES", "lemonfox", "LEMONFOX_API_KEY"),
            ("SCRYON_TRANSCRIPTION_ENGINES", "openai", "SCRYON_OPENAI_API_KEY"),
            ("SCRYON_TRANSCRIPTION_ENGINES", "deepgram", "SCRYON_DEEPGRAM_API_KEY"),
            ("SCRYON_TRANSCRIPTION_ENGINES", "nobody", "SCRYON_TRANSCRIPTION_ENGINES names `nobody`"),
            ("SCRYON_ANALYSIS_ENGINES", "openai", "LLM_API_KEY"),
            ("SCRYON_ANALYSIS_ENGINES", "nobody", "SCRYON_ANALYSIS_ENGINES names `nobody`"),
        ];
        for (variable, engine, expected) in cases {
            let (speech, analysis) = chosen(&[(variable, engine)]);
            let error = speech.err().or(analysis.err()).unwrap();
            assert!(error.contains(expected), "{error}");
        }
    }
}
