//! Engines that need no key: what a fresh machine works with.

mod channels;
mod extractive;
mod pieces;
mod pocketsphinx;
mod whisper_cpp;

pub use channels::ChannelsEngine;
pub use extractive::ExtractiveEngine;
pub use pocketsphinx::PocketsphinxEngine;
pub use whisper_cpp::WhisperCppEngine;
