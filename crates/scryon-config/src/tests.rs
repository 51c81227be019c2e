use std::collections::BTreeMap;

use super::*;

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn error(pairs: &[(&str, &str)]) -> String {
    Config::from_env(&env(pairs)).unwrap_err().to_string()
}

#[test]
fn an_empty_environment_starts() {
    let config = Config::from_env(&env(&[])).unwrap();
    assert_eq!(config.api.server_port, 8080);
    assert_eq!(config.api.max_file_size.0, 50 * 1024 * 1024);
    assert_eq!(config.database_url(), "postgres://scryon:scryon@127.0.0.1:5432/scryon");
    assert!(config.notes.is_empty());
}

#[test]
fn every_default_is_allowed_and_every_name_is_single() {
    let mut names: Vec<_> = entries().map(|e| e.name).chain(LATER_NAMES.iter().copied()).collect();
    names.extend(OLD_NAMES.iter().map(|(name, _)| *name));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name is declared twice");
}

#[test]
fn a_value_that_is_not_allowed_stops_the_start_with_variable_value_and_allowed() {
    assert_eq!(error(&[("SERVER_PORT", "eighty")]), "SERVER_PORT=eighty is not allowed; allowed: 0 to 65535");
    assert_eq!(
        error(&[("SCRYON_LOG_FORMAT", "xml")]),
        "SCRYON_LOG_FORMAT=xml is not allowed; allowed: kv, json or pretty"
    );
    assert!(error(&[("MAX_FILE_SIZE", "60MB")]).contains("MAX_REQUEST_SIZE"));
    assert!(error(&[("SCRYON_STAGES", "cooking")]).contains("SCRYON_STAGES=cooking"));
}

#[test]
fn a_secret_does_not_show_even_when_it_is_refused() {
    let text = error(&[("SCRYON_API_KEY", "first,,third")]);
    assert!(text.starts_with("SCRYON_API_KEY=(secret)"), "{text}");
    let config = Config::from_env(&env(&[
        ("SCRYON_API_KEY", "planted-key"),
        ("DATABASE_URL", "postgres://u:planted-pw@h/d"),
    ]));
    assert!(!format!("{config:?}").contains("planted"));
}

#[test]
fn an_unknown_name_is_refused_with_a_guess() {
    assert!(error(&[("SCRYON_QUEU_PREFIX", "x")]).contains("did you mean SCRYON_QUEUE_PREFIX?"));
    assert!(Config::from_env(&env(&[("PATH", "/bin"), ("HOME", "/")])).is_ok());
}

#[test]
fn names_without_effect_say_what_to_use() {
    let config =
        Config::from_env(&env(&[("FLYWAY_ENABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "x")])).unwrap();
    assert_eq!(config.notes.len(), 2);
    assert!(config.notes[0].contains("scryon migrate"));
}

#[test]
fn hosted_engines_have_the_documented_defaults() {
    let engines = Config::from_env(&env(&[])).unwrap().engines;
    let addresses = [
        (&engines.lemonfox_base_url, "https://api.lemonfox.ai/v1"),
        (&engines.openai_base_url, "https://api.openai.com/v1"),
        (&engines.deepgram_base_url, "https://api.deepgram.com/v1"),
        (&engines.llm_base_url, "https://api.openai.com/v1"),
    ];
    for (url, expected) in addresses {
        assert_eq!(url.0, expected);
    }
    assert_eq!(engines.lemonfox_model, "whisper-1");
    assert_eq!(engines.lemonfox_language, "auto");
    assert_eq!(engines.lemonfox_timeout.0.as_secs(), 180);
    assert_eq!(engines.llm_model, "gpt-6-luna");
    assert_eq!(engines.llm_timeout.0.as_secs(), 120);
    assert_eq!(engines.llm_temperature.0, 0.2);
    assert!(engines.lemonfox_api_key.0.is_empty() && engines.llm_api_key.0.is_empty());
}

#[test]
fn a_base_address_is_trimmed_and_holds_no_secret() {
    let url =
        |text: &str| Config::from_env(&env(&[("LLM_BASE_URL", text)])).map(|c| c.engines.llm_base_url.0);
    assert_eq!(url("http://localhost:8000/v1/").unwrap(), "http://localhost:8000/v1");
    for text in ["", "api.openai.com/v1", "ftp://x", "https://", "https://u:p@h/v1", "https://h/v1?key=1"] {
        assert!(url(text).is_err(), "{text}");
    }
}

#[test]
fn keys_of_engines_are_secrets() {
    let names = ["LEMONFOX_API_KEY", "LLM_API_KEY", "SCRYON_OPENAI_API_KEY", "SCRYON_DEEPGRAM_API_KEY"];
    for name in names {
        assert!(entries().any(|e| e.name == name && e.secret), "{name}");
        let config = Config::from_env(&env(&[(name, "planted-key")])).unwrap();
        assert!(config.notes.is_empty(), "{name} is said to have no effect");
        assert!(!format!("{config:?}").contains("planted"));
    }
}

#[test]
fn api_keys_are_a_trimmed_list() {
    let config = Config::from_env(&env(&[("SCRYON_API_KEY", " new , old ")])).unwrap();
    assert_eq!(config.api.api_keys.0, ["new", "old"]);
}

#[test]
fn the_jdbc_form_is_understood() {
    let config = Config::from_env(&env(&[
        ("DB_URL", "jdbc:postgresql://db:5433/calls"),
        ("DB_USERNAME", "me"),
        ("DB_PASSWORD", "p@ss"),
    ]))
    .unwrap();
    assert_eq!(config.database_url(), "postgresql://me:p%40ss@db:5433/calls");
}

#[test]
fn sizes_and_times_have_units() {
    use value::{ByteSize, Hours, SettingValue};
    assert_eq!(ByteSize::read("64KB"), Some(ByteSize(65536)));
    assert_eq!(ByteSize::read("1gb"), Some(ByteSize(1 << 30)));
    assert_eq!(ByteSize::read("12"), Some(ByteSize(12)));
    assert_eq!(ByteSize::read("twelve"), None);
    assert_eq!(Hours::read("24").unwrap().0.as_secs(), 86_400);
    assert_eq!(Hours::read("99999999999999999999"), None);
}

#[test]
fn the_manual_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == manual(), "docs/configuration.md is stale: run `make docs`");
}

#[test]
fn what_is_set_can_be_shown_without_its_secrets() {
    let long = "k".repeat(32);
    let env = BTreeMap::from([
        ("SCRYON_API_KEY".to_owned(), format!("{long}, short")),
        ("DATABASE_URL".to_owned(), "postgres://u:planted-password@host/db".to_owned()),
        ("MAX_FILE_SIZE".to_owned(), "10MB".to_owned()),
    ]);
    let shown = Config::from_env(&env).unwrap().shown;
    assert_eq!(shown["SCRYON_API_KEY"], format!("{},(set)", hash_begin(&long)));
    assert_eq!(shown["DATABASE_URL"], "(set)");
    assert_eq!(shown["MAX_FILE_SIZE"], "10MB");
    assert!(!format!("{shown:?}").contains("planted"));
}
