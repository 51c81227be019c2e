//! Audio as files: what a recording is, its preparation with ffmpeg, its samples.

mod prepare;
mod probe;
mod sample;
mod smaller;
pub mod tool;
mod voice;

pub use prepare::{PrepareError, Prepared, Preparer};
pub use probe::{AudioFacts, probe, wav_facts};
pub use sample::{BestStretch, SampleError, Sampler, best_of};
pub use smaller::Encoder;
pub use tool::{ToolError, is_installed};
pub use voice::{VoiceTurns, voice_turns};
