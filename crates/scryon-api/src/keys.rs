//! Keys in use: whom they stand for, remembered for a moment, and how often each is used, kept in Postgres.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::web::Data;
use scryon_config::hash_begin;
use scryon_store::{CALLBACK, KeyHolder};
use tracing::debug;

use crate::App;

/// How long a holder is believed.
const FRESH: Duration = Duration::from_secs(1);
/// Between two writes of the counts.
const FLUSH: Duration = Duration::from_secs(2);
/// Different clients that are told apart between two writes; more are counted as `other`.
const MOST: usize = 1000;
/// Longest name of a client.
const NAME: usize = 32;

/// Holders of keys that were used within the last second.
#[derive(Debug, Default)]
pub(crate) struct Holders(Mutex<HashMap<[u8; 32], (Instant, KeyHolder)>>);

impl Holders {
    pub(crate) fn get(&self, hash: &[u8; 32]) -> Option<KeyHolder> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|(at, _)| at.elapsed() < FRESH).map(|(_, holder)| holder.clone())
    }

    pub(crate) fn put(&self, hash: [u8; 32], holder: KeyHolder) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| at.elapsed() < FRESH);
        known.insert(hash, (Instant::now(), holder));
    }
}

/// Uses of keys since the last write.
#[derive(Debug, Default)]
pub(crate) struct KeyUses(Mutex<HashMap<(String, String), i32>>);

impl KeyUses {
    /// Counts a use of the key with this SHA-256 by this User-Agent.
    pub(crate) fn count(&self, sha256: &[u8], agent: &str) {
        let key: String = sha256.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = if uses.len() < MOST { client(agent) } else { "other".to_owned() };
        *uses.entry((key, name)).or_default() += 1;
    }

    /// Counts a callback that this secret verified.
    pub(crate) fn count_callback(&self, secret: &str, provider: &str) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *uses.entry((hash_begin(secret), format!("{CALLBACK}{provider}"))).or_default() += 1;
    }

    fn take(&self) -> Vec<(String, String, i32)> {
        let uses = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        uses.into_iter().map(|((key, client), n)| (key, client, n)).collect()
    }

    fn put_back(&self, uses: Vec<(String, String, i32)>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, client, n) in uses {
            *counts.entry((key, client)).or_default() += n;
        }
    }
}

/// The first product of a User-Agent, without its version.
fn client(agent: &str) -> String {
    let product = agent.split(['/', ' ']).next().unwrap_or_default();
    let name: String =
        product.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(NAME).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// Writes the counts again and again.
pub(crate) async fn keep(app: Data<App>) {
    loop {
        tokio::time::sleep(FLUSH).await;
        write(&app).await;
    }
}

/// Writes what was counted since the last time.
pub(crate) async fn write(app: &App) {
    let uses = app.key_uses.take();
    if !uses.is_empty()
        && let Err(error) = app.store.keys_used(&uses).await
    {
        debug!(error = %error, "uses of keys were not written; the next time they are");
        app.key_uses.put_back(uses);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_its_first_product() {
        let cases = [
            ("curl/8.1", "curl"),
            ("Scryon-iOS/3.2 (iPhone; iOS 18)", "Scryon-iOS"),
            ("", "unknown"),
            ("\u{7f}<script>", "script"),
        ];
        for (agent, expected) in cases {
            assert_eq!(client(agent), expected);
        }
        assert_eq!(client(&"x".repeat(500)).len(), NAME);
    }

    #[test]
    fn uses_that_could_not_be_written_are_not_lost() {
        let uses = KeyUses::default();
        uses.count(&[1; 32], "curl/8");
        let taken = uses.take();
        assert!(uses.take().is_empty());
        uses.count(&[1; 32], "curl/9");
        uses.put_back(taken);
        assert_eq!(uses.take(), [("010101010101".to_owned(), "curl".to_owned(), 2)]);
    }
}
