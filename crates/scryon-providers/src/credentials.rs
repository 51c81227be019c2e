//! Whether a provider takes our key: a request that buys nothing, so that a key which was revoked or an account without
//! credit is known before a call needs it.
//!
//! Lemonfox documents no such request; the list of models is asked for, which the API that it follows has. Where a
//! provider or a server of one's own does not have it, nothing is known, and nothing is claimed.

use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use reqwest::{RequestBuilder, StatusCode};
use scryon_config::EngineSettings;
use scryon_config::value::Secret;
use scryon_domain::stage::StageKind;
use serde_json::Value;

use crate::http::{HttpClient, is_out_of_credit};
use crate::set::{analysers, diarizers, transcribers};

const PATIENCE: Duration = Duration::from_secs(10);

/// What a look at a key said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    Ok,
    BadKey,
    NoCredit,
    /// It asked for a pause, which says nothing about the key.
    Throttled,
    Unreachable,
    /// There is no free request that could tell.
    NoCheck,
}

impl CheckResult {
    /// The word in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::BadKey => "bad_key",
            Self::NoCredit => "no_credit",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
            Self::NoCheck => "no_check",
        }
    }

    /// Whether requests that cost money would be refused.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::BadKey | Self::NoCredit)
    }
}

/// A look and what else it showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    pub result: CheckResult,
    /// US dollars, where the provider says it.
    pub quota_left: Option<f64>,
    /// The status, or what kept the request. No word of the answer itself.
    pub said: String,
}

/// The free look at one engine's key.
#[derive(Debug, Clone)]
pub struct CredentialCheck {
    /// As circuits name it: `llm` is the language model.
    pub engine: &'static str,
    /// The variable that holds the key.
    pub variable: &'static str,
    key: Secret,
    url: String,
}

impl CredentialCheck {
    /// The look at this engine's key. `None`: no engine that has one.
    pub fn of(settings: &EngineSettings, engine: &str) -> Option<Self> {
        let (engine, variable, key, base, path) = match engine {
            "lemonfox" => {
                let key = &settings.lemonfox_api_key;
                ("lemonfox", "LEMONFOX_API_KEY", key, &settings.lemonfox_base_url, "/models")
            }
            "openai" => {
                let key = &settings.openai_api_key;
                ("openai", "SCRYON_OPENAI_API_KEY", key, &settings.openai_base_url, "/models")
            }
            "llm" => ("llm", "LLM_API_KEY", &settings.llm_api_key, &settings.llm_base_url, "/models"),
            "deepgram" => {
                let key = &settings.deepgram_api_key;
                ("deepgram", "SCRYON_DEEPGRAM_API_KEY", key, &settings.deepgram_base_url, "/projects")
            }
            "assemblyai" => {
                let key = &settings.assemblyai_api_key;
                let path = "/v2/transcript?limit=1";
                ("assemblyai", "SCRYON_ASSEMBLYAI_API_KEY", key, &settings.assemblyai_base_url, path)
            }
            "pyannote" => {
                let key = &settings.pyannote_api_key;
                ("pyannote", "PYANNOTE_API_KEY", key, &settings.pyannote_base_url, "/v1/test")
            }
            _ => return None,
        };
        let url = format!("{}{path}", base.0.trim_end_matches('/'));
        Some(Self { engine, variable, key: key.clone(), url })
    }

    /// Those of the engines that a stage uses.
    pub fn of_stage(settings: &EngineSettings, stage: StageKind) -> Vec<Self> {
        let names = match stage {
            StageKind::Transcription => transcribers(settings),
            StageKind::Diarization => diarizers(settings),
            StageKind::Analysis if settings.analysis_enabled => analysers(settings),
            StageKind::Analysis | StageKind::Preprocessing | StageKind::Assembly => Vec::new(),
        };
        let circuit = |name| if stage == StageKind::Analysis && name == "openai" { "llm" } else { name };
        names.into_iter().filter_map(|name| Self::of(settings, circuit(name))).collect()
    }

    /// Whether there is a key to look at.
    pub fn has_key(&self) -> bool {
        !self.key.0.is_empty()
    }

    /// Looks.
    pub async fn look(&self, http: &HttpClient) -> Checked {
        let (checked, body) = self.ask(http, self.url.clone()).await;
        if self.engine != "deepgram" || checked.result != CheckResult::Ok {
            return checked;
        }
        self.with_balance(http, checked, &body).await
    }

    /// Deepgram says what is left, project by project; a key has one.
    async fn with_balance(&self, http: &HttpClient, checked: Checked, projects: &Value) -> Checked {
        let Some(project) = projects["projects"][0]["project_id"].as_str() else { return checked };
        let (answer, body) = self.ask(http, format!("{}/{project}/balances", self.url)).await;
        let amounts = body["balances"].as_array().filter(|_| answer.result == CheckResult::Ok);
        let Some(amounts) = amounts else {
            // A key may be good for transcription and not for the account's figures.
            return checked;
        };
        let dollars = amounts.iter().filter(|b| b["units"].as_str().is_none_or(|u| u == "usd"));
        let left: f64 = dollars.filter_map(|b| b["amount"].as_f64()).sum();
        let result = if left > 0.0 { CheckResult::Ok } else { CheckResult::NoCredit };
        Checked { result, quota_left: Some(left), ..checked }
    }

    async fn ask(&self, http: &HttpClient, url: String) -> (Checked, Value) {
        match http.look(self.with_key(http.get(url).timeout(PATIENCE))).await {
            Ok((status, body)) => {
                let said = format!("status {}", status.as_u16());
                let checked = Checked { result: judged(status, &body), quota_left: None, said };
                (checked, serde_json::from_slice(&body).unwrap_or_default())
            }
            Err(said) => (Checked { result: CheckResult::Unreachable, quota_left: None, said }, Value::Null),
        }
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        let key = &self.key.0;
        match self.engine {
            "deepgram" => request.header(AUTHORIZATION, format!("Token {key}")),
            "assemblyai" => request.header(AUTHORIZATION, key),
            _ => request.bearer_auth(key),
        }
    }
}

fn judged(status: StatusCode, body: &[u8]) -> CheckResult {
    match status {
        s if s.is_success() => CheckResult::Ok,
        StatusCode::PAYMENT_REQUIRED => CheckResult::NoCredit,
        _ if is_out_of_credit(body) => CheckResult::NoCredit,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => CheckResult::BadKey,
        StatusCode::TOO_MANY_REQUESTS => CheckResult::Throttled,
        s if s.is_server_error() => CheckResult::Unreachable,
        // Not there, or not like this.
        _ => CheckResult::NoCheck,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_status_is_judged_by_what_it_says_about_the_key() {
        let quota = br#"{"error":{"code":"insufficient_quota"}}"#;
        let cases: [(u16, &[u8], CheckResult); 9] = [
            (200, b"", CheckResult::Ok),
            (401, b"", CheckResult::BadKey),
            (403, b"", CheckResult::BadKey),
            (402, b"", CheckResult::NoCredit),
            (429, quota, CheckResult::NoCredit),
            (429, b"", CheckResult::Throttled),
            (503, b"", CheckResult::Unreachable),
            (404, b"", CheckResult::NoCheck),
            (307, b"", CheckResult::NoCheck),
        ];
        for (status, body, expected) in cases {
            assert_eq!(judged(StatusCode::from_u16(status).unwrap(), body), expected, "{status}");
        }
    }

    #[test]
    fn a_stage_looks_at_the_keys_of_its_own_engines() {
        let env: BTreeMap<String, String> = [
            ("SCRYON_TRANSCRIPTION_ENGINES", "lemonfox,deepgram,pocketsphinx"),
            ("SCRYON_ANALYSIS_ENGINES", "openai,extractive"),
            ("PYANNOTE_ENABLED", "true"),
            ("SCRYON_DEEPGRAM_BASE_URL", "http://d/v1/"),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
        let settings = EngineSettings::read(&env).unwrap();
        let of = |stage| {
            let checks = CredentialCheck::of_stage(&settings, stage);
            checks.iter().map(|c| c.engine).collect::<Vec<_>>()
        };
        assert_eq!(of(StageKind::Transcription), ["lemonfox", "deepgram"]);
        assert_eq!(of(StageKind::Diarization), ["pyannote"]);
        assert_eq!(of(StageKind::Analysis), ["llm"], "another server than the transcription's `openai`");
        assert!(of(StageKind::Assembly).is_empty());
        let deepgram = CredentialCheck::of(&settings, "deepgram").unwrap();
        assert_eq!((deepgram.url.as_str(), deepgram.has_key()), ("http://d/v1/projects", false));
        assert!(CredentialCheck::of(&settings, "extractive").is_none());
    }
}
