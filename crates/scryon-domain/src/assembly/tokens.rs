//! Words as the rules compare them: lower case, without punctuation.

use std::borrow::Cow;

/// The comparable form of one word; empty for a word without letters or digits.
pub(super) fn normal(word: &str) -> Cow<'_, str> {
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    // Most words are that already: a transcript has thousands, and each is compared several times.
    if !bare.is_ascii() {
        Cow::Owned(bare.to_lowercase().replace('’', "'"))
    } else if bare.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(bare.to_ascii_lowercase())
    } else {
        Cow::Borrowed(bare)
    }
}

/// True when the word closes a sentence. `Mr.` and its kind do not.
pub(super) fn ends_sentence(word: &str) -> bool {
    let bare = word.trim_end_matches(['"', '\'', '”', '’', ')', '»']);
    bare.ends_with(['.', '!', '?', '…', '。', '？', '！', '।', '؟']) && !is_abbreviation(&normal(word))
}

fn is_abbreviation(word: &str) -> bool {
    matches!(
        word,
        "mr" | "mrs" | "ms" | "dr" | "prof" | "smt" | "shri" | "st" | "vs" | "a.m" | "p.m" | "e.g" | "i.e"
    )
}

/// Digits, words for digits and spelled letters: repeating them carries meaning (phone numbers, codes).
/// `a` and `i` are letters too, but mostly words, and are not counted here.
pub(super) fn is_countable(word: &str) -> bool {
    word.chars().any(char::is_numeric) || is_number_word(word) || is_spelled_letter(word)
}

/// One letter that is no English word.
pub(super) fn is_spelled_letter(word: &str) -> bool {
    let mut chars = word.chars();
    matches!((chars.next(), chars.next()), (Some(only), None) if only.is_alphabetic() && !matches!(only, 'a' | 'i'))
}

/// English, and the Hindi digits that Indian callers read numbers with (`do`, two, is left out: it is an
/// English word that people stumble over).
fn is_number_word(word: &str) -> bool {
    matches!(
        word,
        "zero"
            | "oh"
            | "one"
            | "two"
            | "three"
            | "four"
            | "five"
            | "six"
            | "seven"
            | "eight"
            | "nine"
            | "ten"
            | "eleven"
            | "twelve"
            | "thirteen"
            | "fourteen"
            | "fifteen"
            | "sixteen"
            | "seventeen"
            | "eighteen"
            | "nineteen"
            | "twenty"
            | "thirty"
            | "forty"
            | "fifty"
            | "sixty"
            | "seventy"
            | "eighty"
            | "ninety"
            | "hundred"
            | "thousand"
            | "million"
            | "lakh"
            | "crore"
            | "point"
            | "double"
            | "triple"
            | "shunya"
            | "ek"
            | "teen"
            | "char"
            | "paanch"
            | "chhe"
            | "saat"
            | "aath"
            | "nau"
    )
}
