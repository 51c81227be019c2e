//! The hosted providers' APIs, spoken to over HTTP.

// Helpers of tests may stop a test as tests do; tables have rows of several types.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

mod assemblyai;
mod control;
mod deepgram;
mod lemonfox;
mod openai_audio;
mod openai_chat;
mod pyannote;
mod support;
