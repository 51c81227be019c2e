//! What a reader should know about the analysis itself, as codes.

use scryon_domain::transcript::Transcript;

use crate::text::Document;

/// Set by assembly where a draft engine made the transcript.
pub(crate) const DRAFT_ENGINE: &str = "draft_quality_engine";
/// Set by assembly where speakers could not be told apart; such a label owns nothing.
pub(crate) const SINGLE_SPEAKER: &str = "single_speaker_fallback";

/// No model was involved: texts are quotes and counts.
const EXTRACTIVE_ENGINE: &str = "extractive_engine";
const NO_SPEECH: &str = "no_speech";
const DRAFT_TRANSCRIPT: &str = "draft_quality_transcript";
const VERY_SHORT: &str = "very_short_call";
/// The rules and the sentiment lexicon are English.
const LANGUAGE: &str = "language_not_supported";
/// `tomorrow` was said, but nobody knows when the call was.
const RELATIVE_DATES: &str = "relative_dates_unresolved";

/// Fewer words than these make no conversation.
const SHORT_CALL_WORDS: usize = 25;

/// True unless the transcript says that it is in another language.
pub(crate) fn is_english(transcript: &Transcript) -> bool {
    let language = transcript.language.as_deref().map(str::to_ascii_lowercase);
    language.is_none_or(|language| {
        matches!(language.split(['-', '_']).next(), Some("en" | "eng" | "english" | "" | "auto" | "und"))
    })
}

pub(crate) fn warnings(document: &Document<'_>, has_unresolved_dates: bool) -> Vec<String> {
    let words = spoken_words(document);
    let transcript = document.transcript;
    let from_assembly = |code: &str| transcript.pipeline.quality_warnings.iter().any(|other| other == code);
    let codes = [
        (EXTRACTIVE_ENGINE, true),
        (NO_SPEECH, words == 0),
        (DRAFT_TRANSCRIPT, words > 0 && document.is_draft),
        (VERY_SHORT, words > 0 && words < SHORT_CALL_WORDS),
        (SINGLE_SPEAKER, from_assembly(SINGLE_SPEAKER)),
        (LANGUAGE, words > 0 && !is_english(transcript)),
        (RELATIVE_DATES, has_unresolved_dates),
    ];
    codes.into_iter().filter(|(_, applies)| *applies).map(|(code, _)| code.to_owned()).collect()
}

/// Words somebody spoke; the halves of a contraction are one.
pub(crate) fn spoken_words(document: &Document<'_>) -> usize {
    document.tokens.iter().filter(|token| !token.marks.is_continuation).count()
}
