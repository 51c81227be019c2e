//! Recordings that are handed over by `media://`: an address to put them to, then their hash.

use std::time::{Duration, Instant};

use actix_web::http::header::AUTHORIZATION;
use actix_web::web::{Bytes, Data, Path, Payload};
use actix_web::{Error, HttpRequest, HttpResponse};
use serde_json::json;
use uuid::Uuid;

use super::super::audio;
use super::super::provider::{Problem, Provider};
use super::super::visit::Visit;
use super::limits;
use crate::reply::Reply;
use crate::{Shared, lock};

const MAX_BYTES: u64 = 1 << 30;
/// Longest `media://` address.
const LONGEST: usize = 255;
const SCHEME: &str = "media://";

/// The team's key and the `media://` address.
pub(super) type Place = (String, String);

/// An address that was given out.
#[derive(Debug)]
pub(super) struct Upload {
    place: Place,
    until: Instant,
}

/// A recording that was put.
#[derive(Debug)]
pub(super) struct Media {
    hash: Vec<u8>,
    until: Instant,
}

/// `media://` and a key of letters, digits and `-_./`.
fn is_media(url: &str) -> bool {
    url.len() <= LONGEST
        && url.strip_prefix(SCHEME).is_some_and(|key| {
            !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        })
}

/// `POST /v1/media/input`
pub(super) async fn input(
    request: HttpRequest,
    shared: Data<Shared>,
    body: Bytes,
) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::Pyannote, "pyannote.media")?;
    let limit = limits::count(&visit, "media", visit.options.pyannote_submits_per_minute)?;
    let body = visit.object(&body)?;
    let Some(url) = body["url"].as_str().filter(|url| is_media(url)) else {
        return Err(visit.refuse(&Problem::field("url", "Invalid media URL")));
    };
    let token = Uuid::new_v4().simple().to_string();
    let until = Instant::now() + Duration::from_millis(visit.options.pyannote_upload_ms);
    let upload = Upload { place: (visit.key.clone(), url.to_owned()), until };
    let address = {
        let connection = request.connection_info();
        format!("{}://{}/pyannote/upload/{token}", connection.scheme(), connection.host())
    };
    lock(&shared.hosted.pyannote).uploads.insert(token, upload);
    visit.answer(limit.on(Reply::json(&json!({"url": address})).status(201))).await
}

/// `PUT` to the address that was given out. The address is the secret, and a key beside it is refused, as
/// object storage does.
pub(super) async fn upload(
    request: HttpRequest,
    shared: Data<Shared>,
    token: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Error> {
    let visit = Visit::begin_open(&shared, Provider::Pyannote, "pyannote.upload");
    let audio = audio::raw(payload, MAX_BYTES).await;
    let visit = visit?;
    let audio = audio.map_err(|problem| visit.refuse_form(problem, MAX_BYTES))?;
    if request.headers().contains_key(AUTHORIZATION) {
        return Err(visit.refuse(&Problem::new(400, "Only one way of authorization is allowed.")));
    }
    let now = Instant::now();
    let kept = Duration::from_millis(visit.options.pyannote_media_ms);
    let put = {
        let mut state = lock(&shared.hosted.pyannote);
        let place = state.uploads.get(token.as_str()).filter(|u| now < u.until).map(|u| u.place.clone());
        place.map(|place| state.media.insert(place, Media { hash: audio.hash, until: now + kept }))
    };
    if put.is_none() {
        return Err(visit.refuse(&Problem::new(403, "Request has expired")));
    }
    visit.answer(Reply::text("text/plain", String::new())).await
}

/// Hash of the recording behind an address. None where nothing was put, or no longer is.
pub(super) fn find(visit: &Visit, url: &str) -> Option<Vec<u8>> {
    if !url.starts_with(SCHEME) {
        return Some(audio::Audio::at(url).hash);
    }
    let state = lock(&visit.shared.hosted.pyannote);
    let media = state.media.get(&(visit.key.clone(), url.to_owned()))?;
    (Instant::now() < media.until).then(|| media.hash.clone())
}

/// Whether a job may have its recording there.
pub(super) fn is_address(url: &str) -> bool {
    is_media(url) || url.starts_with("https://") || url.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_address_has_a_key_of_few_letters() {
        let long = format!("media://{}", "a".repeat(LONGEST));
        for (url, right) in [
            ("media://calls/2026/a-1_b.wav", true),
            ("media://", false),
            ("media://with blank", false),
            ("https://example.org/a.wav", false),
            (long.as_str(), false),
        ] {
            assert_eq!(is_media(url), right, "{url}");
        }
    }
}
