//! What voice profiles need before they may be switched on.

use crate::registry::ConfigError;
use crate::settings::{EngineSettings, VoiceSettings};

impl VoiceSettings {
    /// Refuses a set-up that would keep voices in the clear, or that nobody could serve.
    pub(crate) fn check(&self, engines: &EngineSettings) -> Result<(), ConfigError> {
        let conflict = |text: &str| Err(ConfigError::Conflict(text.to_owned()));
        if self.provider != "pyannote" {
            return conflict("SCRYON_VOICE_EMBEDDING_PROVIDER must be pyannote");
        }
        let (high, medium) = (self.high_threshold.0, self.medium_threshold.0);
        if !(0.0 < medium && medium <= high && high <= 1.0) {
            return conflict(
                "SCRYON_VOICE_EMBEDDING_MEDIUM_THRESHOLD must be above 0 and at most SCRYON_VOICE_EMBEDDING_HIGH_THRESHOLD, which must be at most 1",
            );
        }
        if self.sample_min.0.is_zero() || self.sample_min.0 > self.sample_max.0 {
            return conflict(
                "SCRYON_VOICE_SAMPLE_MIN_SECONDS must be above 0 and at most SCRYON_VOICE_SAMPLE_MAX_SECONDS",
            );
        }
        if self.consent_version.is_empty() {
            return conflict("SCRYON_VOICE_CONSENT_VERSION must not be empty");
        }
        if self.enabled && self.data_keys.0.is_empty() {
            return conflict(
                "SCRYON_VOICE_EMBEDDING_ENABLED=true needs SCRYON_DATA_KEY: voice profiles are stored encrypted only",
            );
        }
        if self.enabled && engines.pyannote_api_key.0.is_empty() {
            return conflict("SCRYON_VOICE_EMBEDDING_ENABLED=true needs PYANNOTE_API_KEY");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::Config;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    fn read(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let env: BTreeMap<String, String> =
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::from_env(&env).map_err(|e| e.to_string())
    }

    #[test]
    fn voice_profiles_are_not_switched_on_without_a_key_to_encrypt_them() {
        let on = ("SCRYON_VOICE_EMBEDDING_ENABLED", "true");
        assert!(read(&[on, ("PYANNOTE_API_KEY", "k")]).unwrap_err().contains("SCRYON_DATA_KEY"));
        assert!(read(&[on, ("SCRYON_DATA_KEY", KEY)]).unwrap_err().contains("PYANNOTE_API_KEY"));
        let config = read(&[on, ("SCRYON_DATA_KEY", KEY), ("PYANNOTE_API_KEY", "k")]).unwrap();
        assert_eq!(config.voice.data_keys.0, [*b"0123456789abcdef0123456789abcdef"]);
    }

    #[test]
    fn a_key_has_32_bytes_and_never_shows() {
        let hex = "00".repeat(32);
        let two = format!("{KEY}, {hex}");
        let config = read(&[("SCRYON_DATA_KEY", &two)]).unwrap();
        assert_eq!(config.voice.data_keys.0.len(), 2);
        assert_eq!(format!("{:?}", config.voice.data_keys), "(2 keys)");
        for bad in ["c2hvcnQ=", "not base64", "zz", &format!("{KEY},"), &"0".repeat(63)] {
            let error = read(&[("SCRYON_DATA_KEY", bad)]).unwrap_err();
            assert!(error.contains("SCRYON_DATA_KEY=(secret)") && !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn thresholds_and_lengths_are_in_order() {
        for (pairs, named) in [
            ([("SCRYON_VOICE_EMBEDDING_MEDIUM_THRESHOLD", "0.9")], "MEDIUM_THRESHOLD"),
            ([("SCRYON_VOICE_EMBEDDING_HIGH_THRESHOLD", "85")], "HIGH_THRESHOLD"),
            ([("SCRYON_VOICE_EMBEDDING_MEDIUM_THRESHOLD", "0")], "MEDIUM_THRESHOLD"),
            ([("SCRYON_VOICE_SAMPLE_MIN_SECONDS", "46")], "SAMPLE_MIN"),
            ([("SCRYON_VOICE_EMBEDDING_PROVIDER", "other")], "PROVIDER"),
            ([("SCRYON_VOICE_CONSENT_VERSION", "")], "CONSENT_VERSION"),
        ] {
            assert!(read(&pairs).unwrap_err().contains(named), "{pairs:?}");
        }
    }
}
