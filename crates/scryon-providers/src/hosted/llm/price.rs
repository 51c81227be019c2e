//! What tokens cost.

use scryon_config::Prices;

use super::NAME;
use super::answer::Usage;

/// US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TokenPrice {
    input: f64,
    /// Read from the provider's cache.
    cached: f64,
    /// Written to it, in place of `input`.
    written: f64,
    output: f64,
}

const fn price(input: f64, cached: f64, written: f64, output: f64) -> TokenPrice {
    TokenPrice { input, cached, written, output }
}

/// Prices of autumn 2026; SCRYON_PRICES wins over them.
const PRICES: &[(&str, TokenPrice)] = &[
    ("gpt-6-luna", price(0.10, 0.01, 0.125, 0.50)),
    ("gpt-6-sol", price(2.0, 0.20, 2.50, 10.0)),
    ("gpt-6.1-terra", price(1.0, 0.05, 1.0, 5.0)),
    ("gpt-5.6-luna", price(0.20, 0.02, 0.20, 1.20)),
    ("gpt-5.6-terra", price(2.0, 0.20, 2.0, 12.0)),
    ("gpt-5.4-mini", price(0.75, 0.075, 0.75, 4.50)),
];

/// Tokens that a minute of a call of ten minutes takes: its words with ids and times, and its share of the
/// instructions and of the answer.
const TYPICAL: Usage = Usage { prompt: 700, cached: 0, written: 0, completion: 400 };

/// The price of a model, where it is known.
pub(super) fn of(prices: &Prices, model: &str) -> Option<TokenPrice> {
    let set = prices
        .per_million_tokens(NAME, model)
        .map(|(input, cached, output)| price(input, cached, input, output));
    set.or_else(|| PRICES.iter().find(|(name, _)| *name == model).map(|(_, price)| *price))
}

impl TokenPrice {
    /// US dollars. What was cached or written to the cache is part of the prompt and not paid as such.
    pub(super) fn cost(&self, usage: Usage) -> f64 {
        let plain = usage.prompt.saturating_sub(usage.cached).saturating_sub(usage.written);
        let millionths = plain as f64 * self.input
            + usage.cached as f64 * self.cached
            + usage.written as f64 * self.written
            + usage.completion as f64 * self.output;
        millionths / 1e6
    }

    /// An estimate in US dollars per minute of a call.
    pub(super) fn per_minute(&self) -> f64 {
        self.cost(TYPICAL)
    }
}

#[cfg(test)]
mod tests {
    use scryon_config::value::SettingValue;

    use super::*;

    #[test]
    fn cached_tokens_are_not_paid_twice() {
        let usage = Usage { prompt: 1820, cached: 1536, written: 100, completion: 140 };
        let luna = of(&Prices::default(), "gpt-6-luna").unwrap();
        let expected = (184.0 * 0.10 + 1536.0 * 0.01 + 100.0 * 0.125 + 140.0 * 0.50) / 1e6;
        assert!((luna.cost(usage) - expected).abs() < 1e-12);
        // More cached than read cannot be; it costs no less than nothing.
        assert!(luna.cost(Usage { prompt: 1, cached: 5, ..Usage::default() }) > 0.0);
    }

    #[test]
    fn what_is_set_wins_and_what_is_unknown_has_no_price() {
        let prices = Prices::read("openai/gpt-6-luna=1/2,openai/own=0/0").unwrap();
        assert_eq!(of(&prices, "gpt-6-luna"), Some(price(1.0, 1.0, 1.0, 2.0)));
        assert_eq!(of(&prices, "own").map(|p| p.per_minute()), Some(0.0));
        assert_eq!(of(&prices, "other"), None);
    }
}
