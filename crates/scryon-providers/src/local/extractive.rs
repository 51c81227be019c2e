//! Analysis without a model, behind the same trait as the language models.

use async_trait::async_trait;
use scryon_domain::analysis::ANALYSIS_SCHEMA_VERSION;
use scryon_extractive::AnalysisContext;
use serde_json::Value;

use crate::engine::{AnalysisEngine, AnalysisRequest, Answer, EngineInfo, ProviderError};

const NAME: &str = "extractive";

/// The engine.
#[derive(Debug)]
pub struct ExtractiveEngine {
    info: EngineInfo,
}

impl Default for ExtractiveEngine {
    fn default() -> Self {
        Self {
            info: EngineInfo {
                name: NAME,
                model: format!("extractive-v{ANALYSIS_SCHEMA_VERSION}"),
                paid: false,
                idempotent: true,
                cpu_bound: true,
                variant: String::new(),
                price_per_minute: None,
                settled_within: None,
            },
        }
    }
}

#[async_trait]
impl AnalysisEngine for ExtractiveEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn analyse(&self, request: AnalysisRequest<'_>) -> Result<Answer<Value>, ProviderError> {
        let transcript = request.transcript.clone();
        let context = AnalysisContext {
            recorded_at: request.recorded_at,
            title: request.title.map(str::to_owned),
            contact_name: request.contact_name.map(str::to_owned),
        };
        let document = tokio::task::spawn_blocking(move || scryon_extractive::analyse(&transcript, &context))
            .await
            .map_err(std::io::Error::other)?;
        let content = serde_json::to_value(&document)
            .map_err(|e| ProviderError::Malformed { engine: NAME, message: e.to_string() })?;
        Ok(Answer::free(content))
    }
}
