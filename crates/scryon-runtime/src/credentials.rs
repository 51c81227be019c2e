//! Keys of providers are looked at every five minutes, by a worker that holds them: it has the key, and its way to the
//! provider is the one that calls take. The row of the circuit says whose turn it is, so that one program looks.

use std::time::Duration;

use scryon_config::EngineSettings;
use scryon_domain::stage::StageKind;
use scryon_providers::{CredentialCheck, HttpClient};
use scryon_store::Store;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How often a key is looked at.
const EVERY: Duration = Duration::from_secs(300);
/// How often a program asks whether it is its turn.
const TURN: Duration = Duration::from_secs(30);

/// Looks at the keys of these stages' engines until told to stop.
pub async fn keep(
    settings: EngineSettings,
    stages: Vec<StageKind>,
    http: HttpClient,
    store: Store,
    stop: CancellationToken,
) {
    let checks: Vec<CredentialCheck> = stages
        .into_iter()
        .flat_map(|stage| CredentialCheck::of_stage(&settings, stage))
        .filter(CredentialCheck::has_key)
        .collect();
    if checks.is_empty() {
        return;
    }
    loop {
        for check in &checks {
            // Without Postgres the next turn comes.
            if let Ok(true) = store.credential_check_begin(check.engine, EVERY).await {
                look(check, &http, &store).await;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(TURN) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn look(check: &CredentialCheck, http: &HttpClient, store: &Store) {
    let checked = check.look(http).await;
    let result = checked.result.as_str();
    if checked.result.is_refusal() {
        warn!(
            provider = check.engine,
            errorCode = result,
            "a provider would refuse our requests: look at {} and the account; calls wait or go to the next engine",
            check.variable
        );
    } else {
        debug!(provider = check.engine, result, "looked at a provider's key");
    }
    if let Err(error) = store.credential_checked(check.engine, result, checked.quota_left).await {
        debug!(error = %error, "what a provider's key is worth was not written; the next look does it");
    }
}
