//! pocketsphinx.

use async_trait::async_trait;
use scryon_config::EngineSettings;

use crate::engine::{
    EngineInfo, ProviderError, TranscriptionAnswer, TranscriptionEngine, TranscriptionRequest,
};
use crate::local::pieces::transcribe_in_pieces;

/// The engine.
#[derive(Debug)]
pub struct PocketsphinxEngine {
    info: EngineInfo,
}

impl PocketsphinxEngine {
    /// x
    pub fn new(_settings: &EngineSettings) -> Self {
        Self {
            info: EngineInfo {
                name: "pocketsphinx",
                model: "en-us".to_owned(),
                paid: false,
                idempotent: true,
                cpu_bound: true,
                variant: String::new(),
                price_per_minute: None,
            },
        }
    }
}

#[async_trait]
impl TranscriptionEngine for PocketsphinxEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn transcribe(&self, request: TranscriptionRequest<'_>) -> Result<TranscriptionAnswer, ProviderError> {
        transcribe_in_pieces(&self.info, &request, Some("en"), &["draft_quality_engine"], |_wav| async { Ok(vec![]) }).await
    }
}
