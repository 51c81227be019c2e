//! What was bought: by route and input, however often it was asked for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Purchases of one input on one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Purchase {
    /// `transcribe`, `diarize` or `analyze`.
    pub route: String,
    /// SHA-256 of the body, as hex.
    pub input: String,
    /// How often it was bought.
    pub count: usize,
    /// How often it was asked for; a repetition under the same key is no purchase.
    pub requests: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lines: BTreeMap<(String, String), Line>,
}

#[derive(Debug, Default)]
struct Line {
    keys: BTreeSet<String>,
    without_key: usize,
    requests: usize,
}

impl Ledger {
    pub(crate) fn buy(&mut self, route: &str, input: &str, key: Option<String>) {
        let line = self.lines.entry((route.to_owned(), input.to_owned())).or_default();
        line.requests += 1;
        match key {
            Some(key) => {
                line.keys.insert(key);
            }
            None => line.without_key += 1,
        }
    }

    pub(crate) fn purchases(&self) -> Vec<Purchase> {
        self.lines
            .iter()
            .map(|((route, input), line)| Purchase {
                route: route.clone(),
                input: input.clone(),
                count: line.keys.len() + line.without_key,
                requests: line.requests,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_repeated_buys_once() {
        let mut ledger = Ledger::default();
        ledger.buy("transcribe", "a", Some("k1".into()));
        ledger.buy("transcribe", "a", Some("k1".into()));
        ledger.buy("transcribe", "a", Some("k2".into()));
        ledger.buy("diarize", "a", None);
        ledger.buy("diarize", "a", None);
        let counts: Vec<_> = ledger.purchases().into_iter().map(|p| (p.route, p.count, p.requests)).collect();
        assert_eq!(counts, [("diarize".to_owned(), 2, 2), ("transcribe".to_owned(), 2, 3)]);
    }
}
