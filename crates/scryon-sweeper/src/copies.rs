//! Copies of erased calls at providers that can delete them. What cannot be deleted now is tried with every sweep.

use scryon_providers::{AssemblyAiEngine, HttpClient};
use scryon_store::StoreError;
use tracing::{info, warn};

use crate::Sweeper;

const BATCH: i32 = 200;

pub(crate) async fn forget(sweeper: &Sweeper) -> Result<(), StoreError> {
    let store = &sweeper.ctx.store;
    let due = store.provider_copies_due(BATCH).await?;
    if due.is_empty() {
        return Ok(());
    }
    let settings = &sweeper.ctx.config.engines;
    let engine = match HttpClient::new(None).and_then(|http| AssemblyAiEngine::new(settings, http)) {
        Ok(engine) => engine,
        Err(error) => {
            warn!(
                copies = due.len(),
                error, "copies of erased calls stay at assemblyai until its key is set"
            );
            return Ok(());
        }
    };
    let mut gone = 0;
    for copy in &due {
        match engine.forget(&copy.external_id).await {
            Ok(()) => {
                store.provider_copy_gone(copy).await?;
                gone += 1;
            }
            Err(error) => {
                warn!(
                    provider = copy.engine,
                    errorCode = error.code(),
                    "a copy of an erased call was not deleted; the next sweep tries again"
                );
                break;
            }
        }
    }
    info!(gone, "providers deleted copies of erased calls");
    Ok(())
}
