//! Addresses that we sign, for providers that sign nothing themselves.

use std::fmt;

use chrono::Utc;
use scryon_config::EngineSettings;
use scryon_domain::callback::CallbackAddress;

use super::Key;
use crate::engine::TranscriptionRequest;

/// How long an address holds, however late the callback: its transcript may serve a later run.
const HOLDS: i64 = 24 * 3600;

/// Where callbacks go to.
pub(super) struct Callbacks {
    engine: &'static str,
    base: String,
    secret: Key,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Callbacks {
    /// Absent where no public address or no secret is set.
    pub(super) fn new(engine: &'static str, settings: &EngineSettings) -> Option<Self> {
        let secret = Key(settings.webhook_secrets.0.first()?.clone());
        let base = settings.public_base_url.as_deref()?.trim_end_matches('/').to_owned();
        Some(Self { engine, base, secret })
    }

    /// The address for one job, where the request has one.
    pub(super) fn address(&self, request: &TranscriptionRequest<'_>) -> Option<String> {
        let address = CallbackAddress {
            call: request.call,
            run_no: request.run_no,
            job: request.job?,
            expires: Utc::now().timestamp() + HOLDS,
            epoch: request.epoch,
        };
        Some(format!("{}{}", self.base, address.signed(self.engine, &self.secret.0)))
    }
}
