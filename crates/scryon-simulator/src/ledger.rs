//! What was bought: by route, input and engine parameters, however often it was asked for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Purchases of one input on one route with one set of parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Purchase {
    /// `transcribe`, `diarize` or `analyze`, or a hosted provider's route such as `lemonfox.transcribe`.
    pub route: String,
    /// SHA-256 of the body, as hex; of a hosted provider's, of the recording or of the messages.
    pub input: String,
    /// How often it was bought.
    pub count: usize,
    /// How often it was asked for; a repetition under the same key is no purchase.
    pub requests: usize,
    /// Engine parameters in a fixed order, as `name=value&…`; empty on the three routes without.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub params: String,
    /// SHA-256 of each API key it was bought with, as hex, the first 16 digits; empty on the three routes
    /// without.
    #[serde(rename = "apiKeys", skip_serializing_if = "Vec::is_empty")]
    pub api_keys: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lines: BTreeMap<(String, String, String), Line>,
}

#[derive(Debug, Default)]
struct Line {
    keys: BTreeSet<String>,
    without_key: usize,
    requests: usize,
    api_keys: BTreeSet<String>,
}

impl Ledger {
    pub(crate) fn buy(&mut self, route: &str, input: &str, key: Option<String>) {
        let line = self.lines.entry((route.to_owned(), input.to_owned(), String::new())).or_default();
        line.requests += 1;
        match key {
            Some(key) => {
                line.keys.insert(key);
            }
            None => line.without_key += 1,
        }
    }

    /// A purchase at a hosted provider, of which none knows idempotency keys.
    pub(crate) fn buy_hosted(&mut self, route: &str, input: &str, params: &str, api_key: &str) {
        let key = (route.to_owned(), input.to_owned(), params.to_owned());
        let line = self.lines.entry(key).or_default();
        line.requests += 1;
        line.without_key += 1;
        line.api_keys.insert(api_key.to_owned());
    }

    pub(crate) fn purchases(&self) -> Vec<Purchase> {
        self.lines
            .iter()
            .map(|((route, input, params), line)| Purchase {
                route: route.clone(),
                input: input.clone(),
                count: line.keys.len() + line.without_key,
                requests: line.requests,
                params: params.clone(),
                api_keys: line.api_keys.iter().cloned().collect(),
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

    #[test]
    fn a_hosted_purchase_is_told_apart_by_its_parameters() {
        let mut ledger = Ledger::default();
        ledger.buy_hosted("openai.transcribe", "a", "model=one", "k1");
        ledger.buy_hosted("openai.transcribe", "a", "model=one", "k2");
        ledger.buy_hosted("openai.transcribe", "a", "model=two", "k1");
        let counts: Vec<_> =
            ledger.purchases().into_iter().map(|p| (p.params, p.count, p.api_keys.len())).collect();
        assert_eq!(counts, [("model=one".to_owned(), 2, 2), ("model=two".to_owned(), 1, 1)]);
    }
}
