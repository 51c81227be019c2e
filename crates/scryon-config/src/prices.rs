//! Prices of hosted engines, as an operator writes them.

use crate::value::{List, SettingValue};

/// What a model costs, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Per minute of audio.
    PerMinute(f64),
    /// Per million tokens: read, read again from the provider's cache, written.
    PerMillionTokens { input: f64, cached: f64, output: f64 },
}

/// One model's price.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    pub engine: String,
    pub model: String,
    pub rate: Rate,
}

/// A comma list of `engine/model=usd` (per minute of audio), `engine/model=input/output` or
/// `engine/model=input/cached/output` (per million tokens). Model names may hold slashes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prices(pub Vec<Price>);

impl Prices {
    /// US dollars per minute of audio, where one is set.
    pub fn per_minute(&self, engine: &str, model: &str) -> Option<f64> {
        self.rates(engine, model).find_map(|rate| match rate {
            Rate::PerMinute(usd) => Some(usd),
            Rate::PerMillionTokens { .. } => None,
        })
    }

    /// US dollars per million tokens (input, cached input, output), where they are set.
    pub fn per_million_tokens(&self, engine: &str, model: &str) -> Option<(f64, f64, f64)> {
        self.rates(engine, model).find_map(|rate| match rate {
            Rate::PerMillionTokens { input, cached, output } => Some((input, cached, output)),
            Rate::PerMinute(_) => None,
        })
    }

    fn rates<'a>(&'a self, engine: &'a str, model: &'a str) -> impl Iterator<Item = Rate> + 'a {
        self.0.iter().filter(move |p| p.engine == engine && p.model == model).map(|p| p.rate)
    }
}

impl SettingValue for Prices {
    fn allowed() -> String {
        "a comma list of engine/model=usd, engine/model=input/output or engine/model=input/cached/output; or empty".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        List::read(text)?.0.iter().map(|item| price(item)).collect::<Option<_>>().map(Self)
    }
}

fn price(item: &str) -> Option<Price> {
    let (name, rate) = item.rsplit_once('=')?;
    let (engine, model) = name.split_once('/')?;
    let (engine, model) = (engine.trim(), model.trim());
    if engine.is_empty() || model.is_empty() {
        return None;
    }
    let usd = |text: &str| text.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0);
    let numbers = rate.split('/').map(usd).collect::<Option<Vec<f64>>>()?;
    let rate = match numbers[..] {
        [minute] => Rate::PerMinute(minute),
        // Without a price of its own, what is read from the cache costs what is read.
        [input, output] => Rate::PerMillionTokens { input, cached: input, output },
        [input, cached, output] => Rate::PerMillionTokens { input, cached, output },
        _ => return None,
    };
    Some(Price { engine: engine.to_owned(), model: model.to_owned(), rate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        let prices =
            Prices::read("lemonfox/whisper-1=0.003, openai/org/big=1/4,openai/gpt-6-luna=0.1/0.01/0.5")
                .unwrap();
        assert_eq!(prices.per_minute("lemonfox", "whisper-1"), Some(0.003));
        assert_eq!(prices.per_million_tokens("openai", "org/big"), Some((1.0, 1.0, 4.0)));
        assert_eq!(prices.per_million_tokens("openai", "gpt-6-luna"), Some((0.1, 0.01, 0.5)));
        assert_eq!(prices.per_minute("openai", "gpt-6-luna"), None);
        assert_eq!(prices.per_million_tokens("lemonfox", "whisper-1"), None);
        assert_eq!(Prices::read(""), Some(Prices::default()));
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in
            ["lemonfox=1", "lemonfox/=1", "/m=1", "a/b", "a/b=", "a/b=-1", "a/b=x", "a/b=1/2/3/4", "a/b=inf"]
        {
            assert_eq!(Prices::read(text), None, "{text}");
        }
    }
}
