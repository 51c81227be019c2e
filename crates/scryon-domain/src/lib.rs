//! The words of the pipeline and its pure parts. No I/O, no tokio.

pub mod analysis;
pub mod assembly;
pub mod callback;
pub mod epoch;
pub mod failure;
pub mod hint;
pub mod ids;
pub mod media_type;
pub mod raw;
pub mod stage;
pub mod status;
pub mod trace;
pub mod transcript;
pub mod transcript_text;
