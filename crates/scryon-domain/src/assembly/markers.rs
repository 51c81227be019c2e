//! Step 2a: what engines write that nobody said: noise markers and loose punctuation.

use super::align::Word;

/// Words that name a sound. A bracket is a marker only when one of these is inside and nothing but these and
/// [`SOUND_DETAILS`]: `[PERSON_NAME]` and `(555)` are content, and `[inaudible]` tells the reader something.
const SOUNDS: &[&str] = &[
    "applause",
    "audio",
    "beep",
    "beeping",
    "beeps",
    "breath",
    "breathing",
    "chatter",
    "clapping",
    "click",
    "clicks",
    "cough",
    "coughing",
    "coughs",
    "crosstalk",
    "dtmf",
    "exhale",
    "hum",
    "humming",
    "inhale",
    "laugh",
    "laughing",
    "laughs",
    "laughter",
    "music",
    "noise",
    "pause",
    "ringing",
    "ringtone",
    "sigh",
    "sighs",
    "sil",
    "silence",
    "smack",
    "sneeze",
    "sniff",
    "static",
    "throat",
    "tone",
    "typing",
    "uh",
    "um",
];

/// Words that only describe a sound.
const SOUND_DETAILS: &[&str] = &[
    "background",
    "bell",
    "blank",
    "clears",
    "clearing",
    "continues",
    "dial",
    "dramatic",
    "ends",
    "gentle",
    "keyboard",
    "lip",
    "light",
    "loud",
    "no",
    "phone",
    "playing",
    "plays",
    "soft",
    "starts",
    "stops",
    "upbeat",
    "white",
];

/// Longest marker written over several words, such as `[soft music continues playing]`.
const MARKER_WORDS: usize = 5;

/// Drops noise markers and words without content; punctuation that came as a word of its own joins the word
/// before it.
pub(super) fn drop_markers(words: &mut Vec<Word<'_>>) {
    let mut marked = vec![false; words.len()];
    let mut at = 0;
    while at < words.len() {
        let length = marker_length(&words[at..]);
        marked[at..at + length].fill(true);
        at += length.max(1);
    }
    let mut kept: Vec<Word<'_>> = Vec::with_capacity(words.len());
    for (word, marked) in std::mem::take(words).into_iter().zip(marked) {
        if marked {
            continue;
        }
        if is_punctuation(&word.text) {
            attach(&mut kept, &word.text);
        } else {
            kept.push(word);
        }
    }
    *words = kept;
}

/// How many words at the front are one marker; 0 for none.
fn marker_length(words: &[Word<'_>]) -> usize {
    let Some(first) = words.first() else { return 0 };
    if is_markup(&first.text) {
        return 1;
    }
    let Some(close) = closing(&first.text) else { return 0 };
    let mut inside = String::new();
    for (index, word) in words.iter().take(MARKER_WORDS).enumerate() {
        inside.push_str(&word.text);
        inside.push(' ');
        let bare = word.text.trim_end_matches(['.', ',', '!', '?']);
        // A lone `*` opens; it closes only from the next word on.
        let opens_only = index == 0 && bare.chars().count() == 1;
        if bare.ends_with(close) && !opens_only {
            return if names_a_sound(&inside) { index + 1 } else { 0 };
        }
    }
    0
}

fn closing(text: &str) -> Option<char> {
    match text.chars().next()? {
        '[' => Some(']'),
        '(' => Some(')'),
        '*' => Some('*'),
        _ => None,
    }
}

/// `<sil>`, `</s>`, `<|endoftext|>`, `++BREATH++`, `♪`: markup whatever is inside.
fn is_markup(text: &str) -> bool {
    let bare = text.trim_end_matches(['.', ',']);
    let wrapped = |open: &str, close: &str| {
        bare.len() > open.len() + close.len() && bare.starts_with(open) && bare.ends_with(close)
    };
    wrapped("<", ">")
        || wrapped("++", "++")
        || bare.chars().all(|c| matches!(c, '♪' | '♫' | '♬' | '♩')) && !bare.is_empty()
}

fn names_a_sound(inside: &str) -> bool {
    let lower = inside.to_lowercase();
    let mut named = false;
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let sound = SOUNDS.contains(&word);
        if !sound && !SOUND_DETAILS.contains(&word) {
            return false;
        }
        named |= sound;
    }
    named
}

/// Signs such as `%`, `&` or `€` are read aloud and count as words.
fn is_punctuation(text: &str) -> bool {
    text.chars().all(|c| {
        matches!(
            c,
            '.' | ','
                | '!'
                | '?'
                | ';'
                | ':'
                | '…'
                | '-'
                | '–'
                | '—'
                | '_'
                | '*'
                | '~'
                | '"'
                | '\''
                | '“'
                | '”'
                | '‘'
                | '’'
                | '('
                | ')'
                | '['
                | ']'
                | '<'
                | '>'
                | '|'
                | '。'
                | '、'
                | '，'
                | '？'
                | '！'
                | '।'
        )
    })
}

/// Only marks that end a word or sentence are kept, and only behind a word that has none yet.
fn attach(kept: &mut [Word<'_>], mark: &str) {
    let ending = mark.chars().next().is_some_and(|c| {
        matches!(c, '.' | ',' | '!' | '?' | ';' | ':' | '…' | '。' | '、' | '，' | '？' | '！' | '।')
    });
    if let Some(word) = kept.last_mut()
        && ending
        && word.text.chars().last().is_some_and(char::is_alphanumeric)
    {
        word.text.to_mut().push_str(mark);
    }
}
