//! Secrets as they may be shown: by the beginnings of their hashes, who runs with which, and what each still verifies.

use std::collections::BTreeMap;

use scryon_config::entries;
use scryon_store::{CALLBACK, LastStart, Store, StoreError};
use serde_json::{Value, json};

pub(crate) async fn secrets(store: &Store) -> Result<Value, StoreError> {
    let callbacks: Vec<Value> = store
        .key_uses()
        .await?
        .into_iter()
        .filter_map(|used| {
            let provider = used.client.strip_prefix(CALLBACK)?;
            Some(json!({
                "secret": used.key, "provider": provider, "uses": used.uses, "lastSeen": used.last_seen,
            }))
        })
        .collect();
    Ok(json!({
        "secrets": settings(&store.starts_latest().await?),
        "callbacks": callbacks,
        "awaited": store.callbacks_awaited().await?,
    }))
}

/// One line per setting and value: programs that were last started with different ones are seen to differ.
fn settings(starts: &[LastStart]) -> Vec<Value> {
    let mut found: BTreeMap<(&str, &str), Vec<&LastStart>> = BTreeMap::new();
    for start in starts {
        for entry in entries().filter(|entry| entry.secret) {
            if let Some(value) = start.settings[entry.name].as_str() {
                found.entry((entry.name, value)).or_default().push(start);
            }
        }
    }
    let lines = found.into_iter().map(|((name, value), starts)| {
        let hashes: Vec<&str> = value.split(',').collect();
        let programs: Vec<&str> = starts.iter().map(|s| s.program.as_str()).collect();
        let since = starts.iter().map(|s| s.at).min();
        json!({"name": name, "hashes": hashes, "programs": programs, "since": since})
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_with_different_secrets_are_told_apart() {
        let start = |program: &str, minute: u32, value: &str| LastStart {
            program: program.to_owned(),
            at: format!("2026-11-25T10:{minute:02}:00Z").parse().unwrap(),
            settings: json!({"SCRYON_WEBHOOK_SECRET": value, "SERVER_PORT": "8080"}),
        };
        let starts = [start("api", 3, "new,old"), start("dev", 1, "old"), start("worker", 2, "new,old")];
        assert_eq!(
            settings(&starts),
            [
                json!({"name": "SCRYON_WEBHOOK_SECRET", "hashes": ["new", "old"], "programs": ["api", "worker"],
                       "since": "2026-11-25T10:02:00Z"}),
                json!({"name": "SCRYON_WEBHOOK_SECRET", "hashes": ["old"], "programs": ["dev"], "since": "2026-11-25T10:01:00Z"}),
            ]
        );
    }
}
