//! Languages by ISO code and by the English name that Whisper gives them. Some providers take and give codes,
//! some names.

/// Codes (ISO 639-1 where there is one) and names of the languages that Whisper knows.
const LANGUAGES: &[(&str, &str)] = &[
    ("en", "english"),
    ("zh", "chinese"),
    ("de", "german"),
    ("es", "spanish"),
    ("ru", "russian"),
    ("ko", "korean"),
    ("fr", "french"),
    ("ja", "japanese"),
    ("pt", "portuguese"),
    ("tr", "turkish"),
    ("pl", "polish"),
    ("ca", "catalan"),
    ("nl", "dutch"),
    ("ar", "arabic"),
    ("sv", "swedish"),
    ("it", "italian"),
    ("id", "indonesian"),
    ("hi", "hindi"),
    ("fi", "finnish"),
    ("vi", "vietnamese"),
    ("he", "hebrew"),
    ("uk", "ukrainian"),
    ("el", "greek"),
    ("ms", "malay"),
    ("cs", "czech"),
    ("ro", "romanian"),
    ("da", "danish"),
    ("hu", "hungarian"),
    ("ta", "tamil"),
    ("no", "norwegian"),
    ("th", "thai"),
    ("ur", "urdu"),
    ("hr", "croatian"),
    ("bg", "bulgarian"),
    ("lt", "lithuanian"),
    ("la", "latin"),
    ("mi", "maori"),
    ("ml", "malayalam"),
    ("cy", "welsh"),
    ("sk", "slovak"),
    ("te", "telugu"),
    ("fa", "persian"),
    ("lv", "latvian"),
    ("bn", "bengali"),
    ("sr", "serbian"),
    ("az", "azerbaijani"),
    ("sl", "slovenian"),
    ("kn", "kannada"),
    ("et", "estonian"),
    ("mk", "macedonian"),
    ("br", "breton"),
    ("eu", "basque"),
    ("is", "icelandic"),
    ("hy", "armenian"),
    ("ne", "nepali"),
    ("mn", "mongolian"),
    ("bs", "bosnian"),
    ("kk", "kazakh"),
    ("sq", "albanian"),
    ("sw", "swahili"),
    ("gl", "galician"),
    ("mr", "marathi"),
    ("pa", "punjabi"),
    ("si", "sinhala"),
    ("km", "khmer"),
    ("sn", "shona"),
    ("yo", "yoruba"),
    ("so", "somali"),
    ("af", "afrikaans"),
    ("oc", "occitan"),
    ("ka", "georgian"),
    ("be", "belarusian"),
    ("tg", "tajik"),
    ("sd", "sindhi"),
    ("gu", "gujarati"),
    ("am", "amharic"),
    ("yi", "yiddish"),
    ("lo", "lao"),
    ("uz", "uzbek"),
    ("fo", "faroese"),
    ("ht", "haitian creole"),
    ("ps", "pashto"),
    ("tk", "turkmen"),
    ("nn", "nynorsk"),
    ("mt", "maltese"),
    ("sa", "sanskrit"),
    ("lb", "luxembourgish"),
    ("my", "myanmar"),
    ("bo", "tibetan"),
    ("tl", "tagalog"),
    ("mg", "malagasy"),
    ("as", "assamese"),
    ("tt", "tatar"),
    ("haw", "hawaiian"),
    ("ln", "lingala"),
    ("ha", "hausa"),
    ("ba", "bashkir"),
    ("jv", "javanese"),
    ("su", "sundanese"),
    ("yue", "cantonese"),
];

/// Other words for some of them.
const ALIASES: &[(&str, &str)] = &[
    ("burmese", "my"),
    ("castilian", "es"),
    ("farsi", "fa"),
    ("flemish", "nl"),
    ("iw", "he"),
    ("jw", "jv"),
    ("mandarin", "zh"),
    ("moldavian", "ro"),
    ("panjabi", "pa"),
    ("valencian", "ca"),
];

/// The code of a language given by code (`en`, `en-US`, `en_us`) or by name (`English`). A code that is not
/// known passes through; a name that is not known has none.
pub(super) fn code_of(language: &str) -> Option<String> {
    let language = language.trim().to_lowercase();
    let base = language.split(['-', '_']).next().unwrap_or_default();
    let alias = |word: &str| ALIASES.iter().find(|(name, _)| *name == word).map(|(_, code)| *code);
    if let Some((code, _)) = LANGUAGES.iter().find(|(code, name)| *code == base || *name == language) {
        return Some((*code).to_owned());
    }
    if let Some(code) = alias(&language).or_else(|| alias(base)) {
        return Some(code.to_owned());
    }
    let is_code = (2..=3).contains(&base.len()) && base.bytes().all(|b| b.is_ascii_lowercase());
    (is_code && base != "und").then(|| base.to_owned())
}

/// The English name of a language given by code or name, where it is known.
pub(super) fn name_of(language: &str) -> Option<&'static str> {
    let code = code_of(language)?;
    LANGUAGES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

/// The language that was set: `None` for `auto`. An unknown one stops the start.
pub(super) fn configured(variable: &str, language: &str) -> Result<Option<String>, String> {
    let language = language.trim();
    if language.is_empty() || language.eq_ignore_ascii_case("auto") {
        return Ok(None);
    }
    let unknown = || {
        format!(
            "{variable}={language} is not allowed; allowed: auto, an English name such as hindi, or an ISO code"
        )
    };
    name_of(language).ok_or_else(unknown)?;
    Ok(code_of(language))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_mean_the_same() {
        let cases = [
            ("en", Some("en"), Some("english")),
            ("English", Some("en"), Some("english")),
            (" en-US ", Some("en"), Some("english")),
            ("pt_br", Some("pt"), Some("portuguese")),
            ("haitian creole", Some("ht"), Some("haitian creole")),
            ("Mandarin", Some("zh"), Some("chinese")),
            ("yue", Some("yue"), Some("cantonese")),
            ("xx", Some("xx"), None),
            ("klingon", None, None),
            ("und", None, None),
            ("", None, None),
        ];
        for (language, code, name) in cases {
            assert_eq!(code_of(language).as_deref(), code, "{language}");
            assert_eq!(name_of(language), name, "{language}");
        }
    }

    #[test]
    fn every_language_is_listed_once() {
        for (index, (code, name)) in LANGUAGES.iter().enumerate() {
            assert!(!LANGUAGES[..index].iter().any(|(c, n)| c == code || n == name), "{code} {name}");
        }
    }

    #[test]
    fn a_language_nobody_knows_stops_the_start() {
        assert_eq!(configured("V", "auto"), Ok(None));
        assert_eq!(configured("V", ""), Ok(None));
        assert_eq!(configured("V", "german"), Ok(Some("de".to_owned())));
        assert!(configured("V", "klingon").unwrap_err().starts_with("V=klingon"));
        assert!(configured("V", "xx").is_err());
    }
}
