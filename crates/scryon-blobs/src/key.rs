//! Keys: ids only, never a file name, a phone number or a person's name.

use std::fmt;

use scryon_domain::ids::{CallId, LeaseToken, TenantId, UserId};

/// Where one object lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobKey(String);

impl BlobKey {
    /// A key that a row holds.
    pub fn stored(key: &str) -> Self {
        Self(key.to_owned())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The prefix of everything that belongs to one call; maker of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallKeys(String);

impl CallKeys {
    /// `tenants/{tenantId}/users/{userId}/calls/{callId}/`
    pub fn new(tenant_id: &TenantId, user_id: UserId, call_id: CallId) -> Self {
        Self(format!("tenants/{tenant_id}/users/{user_id}/calls/{call_id}/"))
    }

    /// The call whose object this is, and the call's prefix; nothing for a key of another form.
    pub fn call_of(key: &str) -> Option<(CallId, &str)> {
        let mut parts = key.splitn(7, '/');
        let mut next = |word: Option<&str>| parts.next().filter(|part| word.is_none_or(|w| w == *part));
        next(Some("tenants"))?;
        next(None).filter(|tenant| !tenant.is_empty())?;
        next(Some("users"))?;
        next(None)?.parse::<uuid::Uuid>().ok()?;
        next(Some("calls"))?;
        let call = next(None)?;
        let rest = next(None)?;
        let id = call.parse().ok()?;
        // Ids are written in one form only; another one is not ours.
        (call.len() == 36).then(|| (id, &key[..key.len() - rest.len()]))
    }

    /// The prefix, ending in `/`.
    pub fn prefix(&self) -> &str {
        &self.0
    }

    /// The recording as it was uploaded.
    pub fn audio(&self, extension: &str) -> BlobKey {
        BlobKey(format!("{}temp/audio.{extension}", self.0))
    }

    /// What is needed to rebuild the row, beside the audio.
    pub fn call_json(&self) -> BlobKey {
        BlobKey(format!("{}temp/call.json", self.0))
    }

    /// The recording as the engines hear it. The same for every run: it depends on the recording alone.
    pub fn prepared(&self) -> BlobKey {
        BlobKey(format!("{}temp/prepared.wav", self.0))
    }

    /// A document of one run. The token is part of the name: a slow worker that lost its lease must not
    /// overwrite what its successor wrote.
    pub fn document(&self, run_no: i32, name: DocumentName, token: LeaseToken) -> BlobKey {
        BlobKey(format!("{}r{run_no}/{}.{}.json", self.0, name.as_str(), token.0.simple()))
    }

    /// A piece of a transcription that is done in several deliveries. Any worker of the run may read it.
    pub fn piece(&self, run_no: i32, channel: u16, index: u32) -> BlobKey {
        BlobKey(format!("{}r{run_no}/pieces/c{channel}-{index:04}.json", self.0))
    }
}

/// Documents of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentName {
    Raw,
    Diarization,
    Normalized,
    Analysis,
}

impl DocumentName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Diarization => "diarization",
            Self::Normalized => "normalized",
            Self::Analysis => "analysis",
        }
    }

    /// The artifact type readers know it by.
    pub const fn artifact_type(self) -> &'static str {
        match self {
            Self::Raw => "RAW_TRANSCRIPT_JSON",
            Self::Diarization => "DIARIZATION_JSON",
            Self::Normalized => "NORMALIZED_TRANSCRIPT_JSON",
            Self::Analysis => "ANALYSIS_JSON",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_of_a_key_is_found_and_of_nothing_else() {
        let prefix = "tenants/default/users/0195d8a0-0000-7000-8000-000000000001/calls/0195d8a0-0000-7000-8000-000000000000/";
        for rest in ["", "temp/audio.wav", "r1/pieces/c0-0000.json"] {
            let key = format!("{prefix}{rest}");
            let (call, found) = CallKeys::call_of(&key).unwrap();
            assert_eq!((call.to_string().as_str(), found), ("0195d8a0-0000-7000-8000-000000000000", prefix));
        }
        for other in [
            "",
            "ping",
            "tenants/default/tiny.wav",
            "tenants/a/users/b/calls/c/temp/audio.wav",
            &prefix[..prefix.len() - 1],
        ] {
            assert!(CallKeys::call_of(other).is_none(), "{other}");
        }
    }

    #[test]
    fn keys_follow_the_layout() {
        let call: CallId = "0195d8a0-0000-7000-8000-000000000000".parse().unwrap();
        let user: UserId = "0195d8a0-0000-7000-8000-000000000001".parse().unwrap();
        let keys = CallKeys::new(&TenantId::default_tenant(), user, call);
        let prefix = "tenants/default/users/0195d8a0-0000-7000-8000-000000000001/calls/0195d8a0-0000-7000-8000-000000000000/";
        assert_eq!(keys.prefix(), prefix);
        assert_eq!(keys.audio("m4a").as_str(), format!("{prefix}temp/audio.m4a"));
        assert_eq!(keys.prepared().as_str(), format!("{prefix}temp/prepared.wav"));
        let token = LeaseToken("0195d8a0000070008000000000000002".parse().unwrap());
        assert_eq!(
            keys.document(2, DocumentName::Raw, token).as_str(),
            format!("{prefix}r2/raw.0195d8a0000070008000000000000002.json")
        );
    }
}
