//! Engines behind three traits: speech, diarization, language. The local ones need no key; hosted ones
//! speak HTTP. And the tools that prepare audio for them.

mod credentials;
mod engine;
mod fake;
mod hosted;
mod http;
mod local;
pub mod media;
mod schema;
mod set;

pub use credentials::{CheckResult, Checked, CredentialCheck};
pub use engine::{
    AnalysisEngine, AnalysisRequest, Answer, Audio, AudioFile, CollectRequest, Collected, DiarizationAnswer,
    DiarizationEngine, DiarizationRequest, EngineInfo, Pieces, ProviderError, Submitted, TranscriptionAnswer,
    TranscriptionEngine, TranscriptionRequest, Voiceprint,
};
pub use fake::FakeEngine;
pub use hosted::{
    AssemblyAiEngine, DeepgramEngine, Embedder, LemonfoxEngine, LlmEngine, OpenAiEngine, PyannoteEngine,
    VoiceprintState,
};
pub use http::HttpClient;
pub use local::{ChannelsEngine, ExtractiveEngine, PocketsphinxEngine, WhisperCppEngine};
pub use schema::analysis_problems;
pub use set::{analysis_engines, diarization_engines, transcription_engines};
