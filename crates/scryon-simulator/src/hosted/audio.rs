//! Recordings on their way in: counted and hashed, never kept.

use std::collections::BTreeMap;

use actix_multipart::{Field, Multipart};
use actix_web::HttpRequest;
use actix_web::web::Payload;
use futures_util::StreamExt;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Most bytes of a field that is not the recording.
const TEXT_FIELD: usize = 1 << 20;
/// Longest value that the ledger keeps as it is.
const LONG_VALUE: usize = 64;

/// A recording that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Audio {
    /// SHA-256 of the bytes, or of the address where one came in their place.
    pub(crate) hash: Vec<u8>,
    pub(crate) bytes: u64,
    /// Whether an address came in place of the bytes.
    pub(crate) by_url: bool,
}

impl Audio {
    /// An address in place of the recording: the address is the recording.
    pub(crate) fn at(url: &str) -> Self {
        Self { hash: Sha256::digest(url.as_bytes()).to_vec(), bytes: 0, by_url: true }
    }
}

/// Fields of a form, in the order of their names, and the recording.
#[derive(Debug, Default)]
pub(crate) struct Form {
    fields: BTreeMap<String, Vec<String>>,
    pub(crate) audio: Option<Audio>,
}

/// Why a form could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormProblem {
    NotMultipart,
    TooLarge,
    Broken,
}

impl Form {
    /// Reads a form to its end, also past the limit: a client that is still sending would not see the answer.
    pub(crate) async fn read(
        request: &HttpRequest,
        payload: Payload,
        limit: u64,
    ) -> Result<Self, FormProblem> {
        let multipart = request.headers().get("content-type").and_then(|v| v.to_str().ok());
        if !multipart.is_some_and(|v| v.starts_with("multipart/form-data")) {
            return Err(FormProblem::NotMultipart);
        }
        let mut parts = Multipart::new(request.headers(), payload);
        let mut form = Self::default();
        let mut too_large = false;
        while let Some(part) = parts.next().await {
            let field = part.map_err(|_e| FormProblem::Broken)?;
            let name = field.name().unwrap_or_default().to_owned();
            let is_file = field.content_disposition().is_some_and(|d| d.get_filename().is_some());
            if name == "file" && is_file {
                let audio = recording(field).await?;
                too_large |= audio.bytes > limit;
                form.audio = Some(audio);
            } else {
                let text = text(field).await?;
                if name == "file" {
                    form.audio = Some(Audio::at(&text));
                } else {
                    form.fields.entry(name).or_default().push(text);
                }
            }
        }
        if too_large { Err(FormProblem::TooLarge) } else { Ok(form) }
    }

    /// The first value of a field; empty is absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.first().map(String::as_str).filter(|v| !v.is_empty())
    }

    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.fields.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// Every field but these, in a fixed order: what decides the answer besides the recording.
    pub(crate) fn params(&self, without: &[&str]) -> String {
        let pairs = self.fields.iter().filter(|(name, _)| !without.contains(&name.as_str()));
        params(pairs.flat_map(|(name, values)| values.iter().map(move |v| (name.as_str(), v.as_str()))))
    }
}

/// `name=value&…` in the order of names. A long value is its hash: it may be somebody's words.
pub(crate) fn params<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pair = |(name, value): (&str, &str)| {
        if name == "prompt" || value.len() > LONG_VALUE {
            format!("{name}=sha256:{}", hex::encode(&Sha256::digest(value.as_bytes())[..8]))
        } else {
            format!("{name}={value}")
        }
    };
    let mut pairs: Vec<_> = pairs.map(pair).collect();
    pairs.sort();
    pairs.join("&")
}

/// Every field of a JSON body but these, the same way.
pub(crate) fn json_params(body: &Value, without: &[&str]) -> String {
    let fields: Vec<_> = body
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !without.contains(&name.as_str()))
        .map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    params(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

async fn recording(mut field: Field) -> Result<Audio, FormProblem> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    while let Some(chunk) = field.next().await {
        let chunk = chunk.map_err(|_e| FormProblem::Broken)?;
        bytes += chunk.len() as u64;
        hash.update(&chunk);
    }
    Ok(Audio { hash: hash.finalize().to_vec(), bytes, by_url: false })
}

async fn text(mut field: Field) -> Result<String, FormProblem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.next().await {
        bytes.extend_from_slice(&chunk.map_err(|_e| FormProblem::Broken)?);
        if bytes.len() > TEXT_FIELD {
            return Err(FormProblem::Broken);
        }
    }
    String::from_utf8(bytes).map_err(|_e| FormProblem::Broken)
}

/// A body that is nothing but the recording.
pub(crate) async fn raw(mut payload: Payload, limit: u64) -> Result<Audio, FormProblem> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_e| FormProblem::Broken)?;
        bytes += chunk.len() as u64;
        hash.update(&chunk);
    }
    if bytes > limit {
        return Err(FormProblem::TooLarge);
    }
    Ok(Audio { hash: hash.finalize().to_vec(), bytes, by_url: false })
}
