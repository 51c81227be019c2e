//! How often hosted engines are asked, as an operator writes it.

use crate::value::{List, SettingValue};

/// A comma list of `engine=requests per minute`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestRates(Vec<(String, f64)>);

impl RequestRates {
    /// Requests per second of one engine, where they are limited.
    pub fn per_second(&self, engine: &str) -> Option<f64> {
        self.all().find(|(name, _)| *name == engine).map(|(_, rate)| rate)
    }

    /// Every engine with a limit, in requests per second.
    pub fn all(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(engine, rpm)| (engine.as_str(), rpm / 60.0))
    }

    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl SettingValue for RequestRates {
    fn allowed() -> String {
        format!(
            "a comma list of engine=requests per minute, with engines of {}; or empty",
            ENGINES.join(", ")
        )
    }

    fn read(text: &str) -> Option<Self> {
        List::read(text)?.0.iter().map(|item| rate(item)).collect::<Option<_>>().map(Self)
    }
}

/// A name that is none of these would limit nothing, and nobody would notice.
const ENGINES: [&str; 7] = ["lemonfox", "openai", "deepgram", "assemblyai", "pyannote", "llm", "fake"];

fn rate(item: &str) -> Option<(String, f64)> {
    let (engine, rpm) = item.split_once('=')?;
    let engine = engine.trim();
    let rpm = rpm.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0)?;
    ENGINES.contains(&engine).then(|| (engine.to_owned(), rpm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_by_the_minute_and_kept_by_the_second() {
        let rates = RequestRates::read("lemonfox=300, llm = 30").unwrap();
        assert_eq!((rates.per_second("lemonfox"), rates.per_second("llm")), (Some(5.0), Some(0.5)));
        assert_eq!(rates.per_second("openai"), None);
        assert!(RequestRates::read("").unwrap().is_empty());
    }

    #[test]
    fn what_limits_nothing_is_refused() {
        for text in ["lemonfox", "lemonfox=", "lemonfox=0", "lemonfox=-3", "lemonfox=inf", "=3", "lemon=3"] {
            assert_eq!(RequestRates::read(text), None, "{text}");
        }
    }
}
