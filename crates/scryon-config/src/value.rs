//! Types of settings: how a text is read and what is allowed.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use scryon_domain::stage::StageKind;
use scryon_domain::transcript::SpeakerRole;

/// A type that can be read from the text of an environment variable.
pub trait SettingValue: Sized {
    /// What is allowed, for the manual and for the message when it is not.
    fn allowed() -> String;
    /// Reads the trimmed text; the empty text is a value like any other.
    fn read(text: &str) -> Option<Self>;
}

impl SettingValue for String {
    fn allowed() -> String {
        "any text".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl SettingValue for Option<String> {
    fn allowed() -> String {
        "any text, or empty".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        Some((!text.is_empty()).then(|| text.to_owned()))
    }
}

impl SettingValue for bool {
    fn allowed() -> String {
        "true or false".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }
}

impl SettingValue for u16 {
    fn allowed() -> String {
        "0 to 65535".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl SettingValue for Option<u16> {
    fn allowed() -> String {
        "0 to 65535, or empty".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
    }
}

/// A whole number within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count<const MIN: u32, const MAX: u32>(pub u32);

impl<const MIN: u32, const MAX: u32> SettingValue for Count<MIN, MAX> {
    fn allowed() -> String {
        format!("{MIN} to {MAX}")
    }
    fn read(text: &str) -> Option<Self> {
        text.parse().ok().filter(|n| (MIN..=MAX).contains(n)).map(Self)
    }
}

/// A number with a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decimal(pub f64);

impl SettingValue for Decimal {
    fn allowed() -> String {
        "a finite number".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        text.parse().ok().filter(|n: &f64| n.is_finite()).map(Self)
    }
}

macro_rules! duration_setting {
    ($(#[$doc:meta])* $name:ident, $millis:expr, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub Duration);

        impl SettingValue for $name {
            fn allowed() -> String {
        $allowed.to_owned()
    }
            fn read(text: &str) -> Option<Self> {
                let n: u64 = text.parse().ok()?;
                // A year is longer than anything here is meant to last.
                let millis = n.checked_mul($millis).filter(|m| *m <= 366 * 86_400_000)?;
                Some(Self(Duration::from_millis(millis)))
            }
        }
    };
}
duration_setting!(
    /// Whole milliseconds.
    Millis, 1, "whole milliseconds"
);
duration_setting!(
    /// Whole seconds.
    Seconds, 1000, "whole seconds"
);
duration_setting!(
    /// Whole minutes.
    Minutes, 60_000, "whole minutes"
);
duration_setting!(
    /// Whole hours.
    Hours, 3_600_000, "whole hours"
);

/// Whole days, up to ten years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(pub Duration);

impl SettingValue for Days {
    fn allowed() -> String {
        "whole days, 1 to 3660".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        let days: u64 = text.parse().ok().filter(|n| (1..=3660).contains(n))?;
        Some(Self(Duration::from_secs(days * 86_400)))
    }
}

/// A size in bytes, written as `50MB`, `64KB`, `1GB` or plain bytes; units are powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl SettingValue for ByteSize {
    fn allowed() -> String {
        "bytes, or a number with KB, MB or GB".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        let (digits, factor) = if let Some(n) = upper.strip_suffix("GB") {
            (n, 1 << 30)
        } else if let Some(n) = upper.strip_suffix("MB") {
            (n, 1 << 20)
        } else if let Some(n) = upper.strip_suffix("KB") {
            (n, 1 << 10)
        } else {
            (upper.strip_suffix('B').unwrap_or(&upper), 1)
        };
        digits.trim().parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}

/// A comma list; elements are trimmed, an empty list is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List(pub Vec<String>);

impl SettingValue for List {
    fn allowed() -> String {
        "a comma list without empty elements, or empty".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let items: Vec<String> = text.split(',').map(|s| s.trim().to_owned()).collect();
        (!items.iter().any(String::is_empty)).then_some(Self(items))
    }
}

/// A text that never shows in logs or debug output.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(empty)" } else { "(secret)" })
    }
}

impl SettingValue for Secret {
    fn allowed() -> String {
        "any text".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }
}

/// A comma list of secrets: any of them is valid, an empty element is refused.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretList(pub Vec<String>);

impl fmt::Debug for SecretList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} secrets)", self.0.len())
    }
}

impl SettingValue for SecretList {
    fn allowed() -> String {
        "a comma list without empty elements, or empty".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        List::read(text).map(|list| Self(list.0))
    }
}

/// A comma list of keys of 32 bytes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct DataKeys(pub Vec<[u8; 32]>);

impl fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} keys)", self.0.len())
    }
}

impl SettingValue for DataKeys {
    fn allowed() -> String {
        "a comma list of keys of 32 bytes, each as base64 (`openssl rand -base64 32`) or 64 hex digits, or empty"
            .to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        let key = |text: &String| -> Option<[u8; 32]> {
            let bytes = if text.len() == 64 { hex::decode(text).ok() } else { BASE64.decode(text).ok() };
            bytes?.try_into().ok()
        };
        List::read(text)?.0.iter().map(key).collect::<Option<_>>().map(Self)
    }
}

/// The address of a web service up to the part that paths are added to; no slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(pub String);

impl SettingValue for BaseUrl {
    fn allowed() -> String {
        "an http or https address without user, query or fragment".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let host = rest.split('/').next().unwrap_or_default();
        // A key inside an address would show wherever the address does.
        let plain = !rest.contains(|c: char| c.is_whitespace() || c.is_control() || "@?#".contains(c));
        (plain && !host.is_empty()).then(|| Self(text.trim_end_matches('/').to_owned()))
    }
}

/// A closed set of words.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident, $allowed:literal, { $($variant:ident = $word:literal),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($variant),+ }

        impl SettingValue for $name {
            fn allowed() -> String {
        $allowed.to_owned()
    }
            fn read(text: &str) -> Option<Self> {
                match text.to_ascii_lowercase().as_str() {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}
choice!(
    /// Form of a log line.
    LogFormat, "kv, json or pretty", { Kv = "kv", Json = "json", Pretty = "pretty" }
);
choice!(
    /// The dialect of the language model's server.
    LlmProvider, "openai", { OpenAi = "openai" }
);
choice!(
    /// Where objects are stored.
    StorageProvider, "local or s3", { Local = "local", S3 = "s3" }
);

/// Stages a worker works on; empty means all that its program knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stages(pub Vec<StageKind>);

impl SettingValue for Stages {
    fn allowed() -> String {
        "a comma list of preprocessing, transcription, diarization, assembly, analysis; or empty".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        List::read(text)?.0.iter().map(|s| s.parse().ok()).collect::<Option<_>>().map(Self)
    }
}

/// Roles of the channels of a recording, by position.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelRoles(pub Vec<SpeakerRole>);

impl SettingValue for ChannelRoles {
    fn allowed() -> String {
        "a comma list of USER, CONTACT, UNKNOWN by channel; or empty".to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        let role = |word: &String| match word.to_ascii_uppercase().as_str() {
            "USER" => Some(SpeakerRole::User),
            "CONTACT" => Some(SpeakerRole::Contact),
            "UNKNOWN" => Some(SpeakerRole::Unknown),
            _ => None,
        };
        List::read(text)?.0.iter().map(role).collect::<Option<_>>().map(Self)
    }
}
