//! A recording on its way to a provider: streamed from storage with its length said in advance, never held in
//! memory.

use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};

use futures_util::TryStreamExt;
use reqwest::Body;
use reqwest::multipart::{Form, Part};
use tracing::info;

use crate::engine::{Audio, ProviderError};
use crate::http::Failure;

/// Remembers whether it was our side that broke off.
#[derive(Debug, Clone, Default)]
pub(super) struct Upload {
    broken: Arc<OnceLock<ErrorKind>>,
}

impl Upload {
    /// The content as a request body.
    pub(super) async fn body(&self, audio: &dyn Audio) -> std::io::Result<Body> {
        let broken = Arc::clone(&self.broken);
        let stream = audio.stream().await?.inspect_err(move |error| {
            let _first_wins = broken.set(error.kind());
        });
        Ok(Body::wrap_stream(stream))
    }

    /// A form with the recording as its part `file`, after the fields.
    pub(super) async fn form(
        &self,
        audio: &dyn Audio,
        fields: Vec<(&'static str, String)>,
    ) -> Result<Form, ProviderError> {
        let part = Part::stream_with_length(self.body(audio).await?, audio.bytes())
            .file_name(file_name(audio.content_type()))
            .mime_str(audio.content_type())
            .map_err(std::io::Error::other)?;
        let form = fields.into_iter().fold(Form::new(), |form, (name, value)| form.text(name, value));
        Ok(form.part("file", part))
    }

    /// A request whose body ended before its length was no purchase: the recording is to blame.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        match self.broken.get() {
            Some(kind) => ProviderError::Audio((*kind).into()).into(),
            None => failure,
        }
    }
}

/// Why a recording of so many bytes is not sent as it is.
pub(super) fn too_large(audio: &dyn Audio, largest: u64) -> Option<String> {
    let bytes = audio.bytes();
    (bytes > largest).then(|| format!("{bytes} bytes are more than it takes"))
}

/// The recording in fewer bytes where it does not fit as it is, and that does. `refusal` says why one does not.
pub(super) async fn fitting(
    engine: &'static str,
    audio: &dyn Audio,
    refusal: impl Fn(&dyn Audio) -> Option<String>,
) -> Result<Option<Box<dyn Audio>>, ProviderError> {
    let Some(message) = refusal(audio) else { return Ok(None) };
    match audio.smaller().await? {
        Some(smaller) if refusal(&*smaller).is_none() => {
            info!(
                provider = engine,
                bytes = audio.bytes(),
                sentBytes = smaller.bytes(),
                "a recording is sent in fewer bytes: {message}"
            );
            Ok(Some(smaller))
        }
        _ => Err(ProviderError::Rejected { engine, message }),
    }
}

/// A name whose ending tells the container: some providers go by it. The name the recording came with may
/// hold a person's name and stays here.
fn file_name(content_type: &str) -> String {
    format!("audio.{}", extension(content_type))
}

/// The usual ending of a container.
pub(super) fn extension(content_type: &str) -> &'static str {
    match content_type.split(';').next().unwrap_or_default().trim() {
        "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
        "audio/mpeg" => "mp3",
        "audio/mp4" | "audio/x-m4a" => "m4a",
        "audio/ogg" => "ogg",
        "audio/flac" => "flac",
        "audio/webm" => "webm",
        "audio/aac" => "aac",
        "audio/amr" => "amr",
        "audio/x-ms-wma" => "wma",
        "video/mp4" => "mp4",
        "video/x-m4v" => "m4v",
        "video/quicktime" => "mov",
        "video/3gpp" => "3gp",
        _ => "bin",
    }
}
