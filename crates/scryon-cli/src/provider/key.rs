//! `scryon provider test`: whether a provider takes our key, found out now.

use scryon_config::Config;
use scryon_providers::{CheckResult, CredentialCheck, HttpClient};
use scryon_store::Store;
use serde_json::json;

use super::known;
use super::line::said_of_key;
use crate::output::{Failure, Output};

pub(super) async fn test(
    output: &Output,
    config: &Config,
    store: &Store,
    engine: &str,
) -> Result<u8, Failure> {
    known(engine)?;
    let usage = |message| Failure::new(Failure::USAGE, message);
    let check = CredentialCheck::of(&config.engines, engine)
        .ok_or_else(|| usage(format!("{engine} has no key that could be looked at")))?;
    if !check.has_key() {
        return Err(usage(format!("the engine {engine} needs {}, and it is not set here", check.variable)));
    }
    let http = HttpClient::new(None).map_err(|e| Failure::new(Failure::STOPPED, e))?;
    let checked = check.look(&http).await;
    let result = checked.result.as_str();
    if output.is_json() {
        let line = json!({"engine": engine, "result": result, "quotaLeft": checked.quota_left, "said": checked.said});
        output.line(&line.to_string())?;
    } else {
        let left = checked.quota_left.map(|usd| format!(", ${usd:.2} left")).unwrap_or_default();
        output.line(&format!("{engine:<12} {}{left} ({})", said_of_key(result), checked.said))?;
    }
    // The answer is worth having without a database, too.
    if store.credential_checked(engine, result, checked.quota_left).await.is_err() {
        output.note("the database did not take it down: other programs do not know");
    }
    Ok(match checked.result {
        CheckResult::Ok | CheckResult::NoCheck => 0,
        CheckResult::BadKey | CheckResult::NoCredit => Failure::REFUSED,
        CheckResult::Throttled | CheckResult::Unreachable => Failure::UNAVAILABLE,
    })
}
