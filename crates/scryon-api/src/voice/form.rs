//! The form of a voice profile: samples in parts named `file`, and the owner's consent.

use actix_multipart::Field;
use actix_web::HttpRequest;
use actix_web::web::Payload;
use scryon_domain::media_type::{SNIFF_BYTES, sniff};
use sha2::{Digest, Sha256};

use crate::App;
use crate::error::ApiError;
use crate::upload::{Clock, broken, is_multipart, parts_of};

/// Most samples of one profile.
const SAMPLES: usize = 3;
/// Most bytes of a part that is no sample.
const TEXT: usize = 256;
const PARTS: usize = 16;

/// What was sent. Samples live in memory only, and only until the best stretch is cut out.
#[derive(Default)]
pub(super) struct Form {
    pub(super) samples: Vec<Vec<u8>>,
    accepted: Option<String>,
    version: Option<String>,
}

impl Form {
    pub(super) async fn read(
        app: &App,
        request: &HttpRequest,
        payload: Payload,
        limit: u64,
    ) -> Result<Self, ApiError> {
        if !is_multipart(request) {
            return Err(ApiError::unsupported_media(
                "Send the sample as multipart/form-data with a part named `file`.",
            ));
        }
        let mut clock = Clock::new(app).with_limit(limit);
        let mut form = Self::default();
        let mut parts = parts_of(request, payload).await?;
        let mut count = 0;
        while let Some(part) = clock.next(&mut parts).await? {
            count += 1;
            if count > PARTS {
                return Err(ApiError::validation("body", format!("has more than {PARTS} parts")).closing());
            }
            form.part(part.map_err(|e| broken(&e))?, &mut clock).await?;
        }
        if form.samples.is_empty() {
            return Err(ApiError::validation("file", "is missing: send the sample in a part named `file`"));
        }
        Ok(form)
    }

    async fn part(&mut self, mut field: Field, clock: &mut Clock) -> Result<(), ApiError> {
        let name = field.name().unwrap_or_default().to_owned();
        let is_sample = matches!(name.as_str(), "file" | "files" | "sample" | "samples");
        if is_sample && self.samples.len() == SAMPLES {
            return Err(ApiError::validation("file", format!("is there more than {SAMPLES} times")).closing());
        }
        let mut body = Vec::new();
        while let Some(chunk) = clock.next(&mut field).await? {
            let chunk = chunk.map_err(|e| broken(&e))?;
            clock.count(chunk.len())?;
            if !is_sample && body.len() + chunk.len() > TEXT {
                return Err(ApiError::validation("body", "has a part that is too long").closing());
            }
            body.extend_from_slice(&chunk);
        }
        if is_sample {
            if sniff(&body[..body.len().min(SNIFF_BYTES)]).is_none() {
                return Err(ApiError::unsupported_media("The sample is no recording in a format we know."));
            }
            self.samples.push(body);
            return Ok(());
        }
        let text = String::from_utf8(body).unwrap_or_default().trim().to_owned();
        match name.as_str() {
            "consentAccepted" => self.accepted = Some(text),
            "consentVersion" => self.version = Some(text),
            _ => {} // parts of other clients' making are read past
        }
        Ok(())
    }

    /// No voice without its owner's consent to the present terms. Clients that know of one version only say
    /// `consentAccepted=true`; those that name a version have to name the present one.
    pub(super) fn check_consent(&self, required: &str) -> Result<(), ApiError> {
        let named = self.version.as_deref().filter(|version| !version.is_empty());
        let accepted = match self.accepted.as_deref() {
            Some(text) => text.eq_ignore_ascii_case("true"),
            None => named.is_some(),
        };
        if !accepted {
            return Err(ApiError::unprocessable(
                "voice_consent_required",
                "A voice profile needs its owner's consent: send consentAccepted=true. Nothing was kept.",
            )
            .with("requiredConsentVersion", required));
        }
        if named.is_some_and(|version| version != required) {
            return Err(ApiError::voice_consent_outdated(required));
        }
        Ok(())
    }

    /// What a repetition under the same key has to be equal in.
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        self.samples.iter().flat_map(|sample| Sha256::digest(sample).to_vec()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consent_is_given_or_there_is_no_profile() {
        for (accepted, version, expected) in [
            (Some("true"), None, None),
            (Some("TRUE"), Some("v2"), None),
            (None, Some("v2"), None),
            (None, None, Some("voice_consent_required")),
            (Some(""), None, Some("voice_consent_required")),
            (Some("false"), Some("v2"), Some("voice_consent_required")),
            (Some("true"), Some("v1"), Some("voice_consent_outdated")),
            (None, Some("v1"), Some("voice_consent_outdated")),
        ] {
            let form = Form {
                samples: Vec::new(),
                accepted: accepted.map(str::to_owned),
                version: version.map(str::to_owned),
            };
            let code = form.check_consent("v2").err().map(|error| error.to_string());
            assert_eq!(code.as_deref(), expected, "{accepted:?} {version:?}");
        }
    }
}
