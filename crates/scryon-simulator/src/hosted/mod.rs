//! APIs of hosted providers, each under a prefix of its own, so that a client changes only its base address.
//!
//! Answers are made from the hash of the recording (or of the messages), so that a test sees the right call's
//! words. Any key is accepted but one that starts with `bad` (refused) or `unpaid` (credit used up).

pub(crate) mod assemblyai;
pub(crate) mod audio;
pub(crate) mod callback;
pub(crate) mod deepgram;
mod lemonfox;
mod openai;
pub(crate) mod provider;
pub(crate) mod pyannote;
mod script;
mod visit;

use std::sync::{Arc, Mutex, OnceLock};

use actix_web::web::{PayloadConfig, ServiceConfig, scope};

use crate::lock;
use crate::options::HostedOptions;
use callback::Delivery;

/// Most bytes of a JSON body.
const JSON_LIMIT: usize = 32 << 20;

/// What the hosted providers remember.
#[derive(Debug, Default)]
pub(crate) struct Hosted {
    options: Mutex<Arc<HostedOptions>>,
    client: OnceLock<Option<reqwest::Client>>,
    pub(crate) deliveries: Mutex<Vec<Delivery>>,
    /// Messages of every chat.
    pub(crate) chats: Mutex<Vec<serde_json::Value>>,
    pub(crate) pyannote: Mutex<pyannote::State>,
    pub(crate) deepgram: Mutex<deepgram::Running>,
    pub(crate) assemblyai: Mutex<assemblyai::State>,
}

impl Hosted {
    pub(crate) fn new(options: HostedOptions) -> Self {
        Self { options: Mutex::new(Arc::new(options)), ..Self::default() }
    }

    pub(crate) fn options(&self) -> Arc<HostedOptions> {
        lock(&self.options).clone()
    }

    pub(crate) fn set_options(&self, options: HostedOptions) {
        *lock(&self.options) = Arc::new(options);
    }
}

/// Every provider's routes.
pub(crate) fn routes(config: &mut ServiceConfig) {
    let bodies = || PayloadConfig::new(JSON_LIMIT);
    config
        .service(scope("/lemonfox").app_data(bodies()).configure(lemonfox::routes))
        .service(scope("/openai").app_data(bodies()).configure(openai::routes))
        .service(scope("/pyannote").app_data(bodies()).configure(pyannote::routes))
        .service(scope("/deepgram").app_data(bodies()).configure(deepgram::routes))
        .service(scope("/assemblyai").app_data(bodies()).configure(assemblyai::routes));
}
