//! Orders: each changes something and says what was before.

use std::time::Duration;

use scryon_domain::ids::TenantId;
use scryon_domain::stage::{Lane, StageKind};
use scryon_runtime::switches::FLAGS;
use scryon_store::{ChosenCall, Store, SwitchOrder};
use serde_json::{Value, json};

use crate::keys::{SCOPES, fresh_key, key_hash};
use crate::reading::not_empty;
use crate::{Actor, Done, Operation, OperationError, ProviderWord, period};

/// Engines that ask a provider; `llm` is the language model of the analysis.
const ENGINES: [&str; 7] = ["lemonfox", "openai", "deepgram", "assemblyai", "pyannote", "llm", "fake"];
/// Those that a call can do without.
const SPARED: [&str; 3] = ["llm", "pyannote", "fake"];
/// Most calls of one batch.
const MOST: i64 = 1000;

fn invalid<T>(words: impl Into<String>) -> Result<T, OperationError> {
    Err(OperationError::Invalid(words.into()))
}

fn missing<T>(words: impl Into<String>) -> Result<T, OperationError> {
    Err(OperationError::NotFound(words.into()))
}

pub(crate) async fn carry_out(
    operation: Operation,
    store: &Store,
    actor: &Actor,
) -> Result<Done, OperationError> {
    let switch = Switching { store, actor: &actor.name };
    match operation {
        Operation::Pause { target, seconds, reason } => {
            check_pause(&target)?;
            switch.set("pause", &target, None, seconds, &reason).await
        }
        Operation::Resume { target } => switch.clear("pause", &target).await,
        Operation::Throttle { tenant, per_minute, seconds, reason } => {
            check_tenant(&tenant)?;
            switch.set("throttle", &tenant, Some(&per_minute.to_string()), seconds, &reason).await
        }
        Operation::Unthrottle { tenant } => switch.clear("throttle", &tenant).await,
        Operation::Flag { name, enabled, seconds, reason } => {
            if !FLAGS.contains(&name.as_str()) {
                return invalid(format!("{name} is no flag; flags are {}", FLAGS.join(", ")));
            }
            switch.set("flag", &name, Some(&enabled.to_string()), seconds, &reason).await
        }
        Operation::ClearFlag { name } => switch.clear("flag", &name).await,
        Operation::LogLevel { directive, seconds, reason } => {
            check_directive(&directive)?;
            switch.set("log_level", "all", Some(&directive), Some(seconds), &reason).await
        }
        Operation::ResetLogLevel {} => switch.clear("log_level", "all").await,
        Operation::CreateKey { tenant, label, scopes } => create_key(store, &tenant, &label, &scopes).await,
        Operation::RevokeKey { id, reason } => {
            if !store.key_revoke(id).await? {
                return missing("there is no key with this id that still holds");
            }
            let target = Some(id.to_string());
            Ok(Done { target, reason: Some(reason), answer: json!({"revoked": id}), ..Done::default() })
        }
        Operation::Sweep {} => {
            store.sweep_want().await?;
            Ok(Done { answer: json!(store.sweep_state().await?), ..Done::default() })
        }
        Operation::Redrive { ids } => {
            let announced = store.dead_letters_redrive(&ids).await?;
            let answer = json!({"letters": ids.len(), "announced": announced});
            Ok(Done { after: Some(json!({ "ids": ids })), answer, ..Done::default() })
        }
        Operation::Reprocess { .. } => reprocess(store, operation).await,
        Operation::Provider { engine, word, seconds, reason } => {
            provider(store, Word { engine, period: period(seconds), reason }, word).await
        }
        Operation::FailFast { engine, on, seconds, reason } => {
            fail_fast(store, Word { engine, period: period(seconds), reason }, on).await
        }
        Operation::DeleteCall { id, reason } => {
            let Some(tenant) = store.call_delete_any(id).await? else {
                return missing("there is no such call");
            };
            let before = Some(json!({ "tenantId": tenant }));
            let target = Some(id.to_string());
            Ok(Done { target, before, reason: Some(reason), answer: json!({"deleted": id}), after: None })
        }
        // Questions were answered before.
        _ => Ok(Done::default()),
    }
}

struct Switching<'a> {
    store: &'a Store,
    actor: &'a str,
}

impl Switching<'_> {
    async fn current(&self, kind: &str, target: &str) -> Result<Option<Value>, OperationError> {
        let all = self.store.switches().await?;
        Ok(all.into_iter().find(|s| s.kind == kind && s.target == target).map(|s| json!(s)))
    }

    async fn set(
        &self,
        kind: &str,
        target: &str,
        value: Option<&str>,
        seconds: Option<u64>,
        reason: &str,
    ) -> Result<Done, OperationError> {
        if reason.trim().is_empty() {
            return invalid("say why, for those who read it later (reason)");
        }
        let before = self.current(kind, target).await?;
        let order = SwitchOrder { kind, target, value, period: period(seconds), reason, actor: self.actor };
        self.store.switch_set(order).await?;
        let after = self.current(kind, target).await?;
        let answer = json!({"switches": self.store.switches().await?});
        Ok(Done { target: Some(target.to_owned()), before, after, reason: Some(reason.to_owned()), answer })
    }

    async fn clear(&self, kind: &str, target: &str) -> Result<Done, OperationError> {
        let before = self.current(kind, target).await?;
        if !self.store.switch_clear(kind, target).await? {
            return missing(format!("there is no {} of {target} to take back", kind.replace('_', " ")));
        }
        let answer = json!({"switches": self.store.switches().await?});
        Ok(Done { target: Some(target.to_owned()), before, answer, ..Done::default() })
    }
}

fn check_pause(target: &str) -> Result<(), OperationError> {
    let known = match target.split_once(':') {
        Some(("stage", name)) => name.parse::<StageKind>().is_ok(),
        Some(("lane", name)) => name.parse::<Lane>().is_ok(),
        Some(("tenant", name)) => return check_tenant(name),
        _ => false,
    };
    if known {
        return Ok(());
    }
    let stages = StageKind::ALL.map(StageKind::as_str).join(", ");
    invalid(format!(
        "{target} cannot be paused; what can is stage:<name> ({stages}), lane:<name> (live, backfill) and tenant:<id>"
    ))
}

fn check_tenant(name: &str) -> Result<(), OperationError> {
    let letters = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
    if name == "*" || (!name.is_empty() && name.len() <= 63 && letters) {
        return Ok(());
    }
    invalid(format!("{name} is no tenant's id"))
}

fn check_directive(directive: &str) -> Result<(), OperationError> {
    let level = directive.rsplit('=').next().unwrap_or_default();
    let known = ["trace", "debug", "info", "warn", "error", "off"].contains(&level);
    // Without a name it would be the level of everything, libraries too: request bodies among it.
    if known && directive.starts_with("scryon_") && !directive.contains(',') {
        return Ok(());
    }
    invalid(format!("{directive} is no directive; an example is scryon_providers=debug"))
}

async fn create_key(
    store: &Store,
    tenant: &str,
    label: &str,
    scopes: &[String],
) -> Result<Done, OperationError> {
    check_tenant(tenant)?;
    if tenant == "*" {
        return invalid("a key belongs to one tenant, not to all");
    }
    if label.trim().is_empty() {
        return invalid("the label is empty; it says who uses the key");
    }
    if let Some(unknown) = scopes.iter().find(|s| !SCOPES.contains(&s.as_str())) {
        return invalid(format!("{unknown} is no scope; scopes are {}", SCOPES.join(", ")));
    }
    let secret = fresh_key();
    let key = store.key_create(&TenantId(tenant.to_owned()), label, scopes, &key_hash(&secret)).await?;
    let after = json!(key);
    let mut answer = after.clone();
    // The only time that it is seen.
    answer["secret"] = secret.into();
    Ok(Done { target: Some(key.id.to_string()), after: Some(after), answer, ..Done::default() })
}

async fn reprocess(store: &Store, operation: Operation) -> Result<Done, OperationError> {
    let Operation::Reprocess { filter, after, limit, force_paid, analysis_only } = operation else {
        return Ok(Done::default());
    };
    not_empty(&filter)?;
    let last = after.map(|a| ChosenCall { id: a.id, created_at: a.created_at });
    let calls = store.reprocess_next(&filter, last.as_ref(), limit.clamp(1, MOST)).await?;
    let begun = if analysis_only {
        store.reanalyze_begin(&calls).await?
    } else {
        store.reprocess_begin(&calls, force_paid).await?
    };
    let next = calls.last().map(|c| json!({"id": c.id, "createdAt": c.created_at}));
    let what =
        json!({"filter": filter, "begun": begun, "forcePaid": force_paid, "analysisOnly": analysis_only});
    Ok(Done { after: Some(what), answer: json!({"begun": begun, "next": next}), ..Done::default() })
}

/// What an operator says of a provider.
struct Word {
    engine: String,
    period: Option<Duration>,
    reason: Option<String>,
}

impl Word {
    fn check(&self, needs_reason: bool) -> Result<(), OperationError> {
        let engine = self.engine.as_str();
        if !ENGINES.contains(&engine) {
            let known = ENGINES[..6].join(", ");
            return invalid(format!("{engine} is no engine that asks a provider: {known}"));
        }
        if needs_reason && self.reason.as_deref().is_none_or(|r| r.trim().is_empty()) {
            return invalid("say why, for those who read it later (reason)");
        }
        Ok(())
    }

    async fn state(&self, store: &Store) -> Result<Option<Value>, OperationError> {
        Ok(store.circuits().await?.into_iter().find(|c| c.engine == self.engine).map(|c| json!(c)))
    }

    async fn done(self, store: &Store, before: Option<Value>) -> Result<Done, OperationError> {
        let after = self.state(store).await?;
        let answer = json!({"circuits": store.circuits().await?});
        Ok(Done { target: Some(self.engine), before, after, reason: self.reason, answer })
    }
}

async fn provider(store: &Store, word: Word, what: ProviderWord) -> Result<Done, OperationError> {
    let forced = match what {
        ProviderWord::Disable => Some("open"),
        ProviderWord::Always => Some("closed"),
        ProviderWord::Enable => None,
    };
    word.check(forced.is_some())?;
    let before = word.state(store).await?;
    let reason = word.reason.as_deref().filter(|_| forced.is_some());
    store.circuit_force(&word.engine, forced, word.period, reason).await?;
    if forced.is_none() {
        store.circuit_close(&word.engine).await?;
    }
    word.done(store, before).await
}

async fn fail_fast(store: &Store, word: Word, on: bool) -> Result<Done, OperationError> {
    word.check(on)?;
    let engine = word.engine.as_str();
    if !SPARED.contains(&engine) {
        return invalid(format!(
            "no call can do without {engine}: list a second engine behind it, or wait; llm and pyannote can be spared"
        ));
    }
    let before = word.state(store).await?;
    let period = word.period.filter(|_| on);
    let reason = word.reason.as_deref().unwrap_or("taken back");
    store.circuit_fail_fast(engine, on, period, reason).await?;
    word.done(store, before).await
}
