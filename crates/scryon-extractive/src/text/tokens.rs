//! From text to words. Punctuated text and draft text must come out alike, so contractions are spelled
//! out, hyphens split and case dropped; where a word stood is kept for quoting.

use scryon_domain::transcript::Transcript;

use super::words::{WordId, Words};

/// Longer words are no words; only their beginning takes part in matching.
const MAX_WORD_CHARS: usize = 48;

/// One word of the call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) word: WordId,
    /// Index of the segment.
    pub(crate) segment: u32,
    /// Bytes of the word itself within the segment's text.
    pub(crate) core: (u32, u32),
    /// The same with the punctuation around it.
    pub(crate) chunk: (u32, u32),
    pub(crate) marks: Marks,
}

/// What the writing around a word says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks {
    /// `.`, `!` or `?` follows.
    pub(crate) ends_sentence: bool,
    /// `?` follows.
    pub(crate) asks: bool,
    /// A comma or dash follows.
    pub(crate) ends_clause: bool,
    /// Begins with a capital letter.
    pub(crate) is_capital: bool,
    /// Second half of a contraction; it has no writing of its own.
    pub(crate) is_continuation: bool,
}

pub(super) fn tokenise(transcript: &Transcript, words: &mut Words) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, segment) in transcript.segments.iter().enumerate() {
        // Offsets are 32 bits wide; a segment of 4 GiB is not one somebody spoke.
        if u32::try_from(segment.text.len()).is_ok() && u32::try_from(index).is_ok() {
            tokenise_text(&segment.text, index as u32, words, &mut tokens);
        }
    }
    tokens
}

fn tokenise_text(text: &str, segment: u32, words: &mut Words, tokens: &mut Vec<Token>) {
    let mut chunks = chunks(text).peekable();
    while let Some((start, end)) = chunks.next() {
        let next_is_capital =
            chunks.peek().is_none_or(|(start, end)| text[*start..*end].chars().any(char::is_uppercase));
        push_chunk(text, (start, end), segment, next_is_capital, words, tokens);
    }
}

/// Pieces between white space. Full stops of scripts without spaces and long dashes end a piece as well.
fn chunks(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let is_break = |c: char| matches!(c, '。' | '！' | '？' | '—' | '–');
    text.split_inclusive(move |c: char| c.is_whitespace() || is_break(c))
        .scan(0, |offset, piece| {
            let start = *offset;
            *offset += piece.len();
            let trimmed = piece.trim();
            let lead = piece.len() - piece.trim_start().len();
            Some((start + lead, start + lead + trimmed.len()))
        })
        .filter(|(start, end)| start < end)
}

fn push_chunk(
    text: &str,
    chunk: (usize, usize),
    segment: u32,
    next_is_capital: bool,
    words: &mut Words,
    tokens: &mut Vec<Token>,
) {
    let piece = &text[chunk.0..chunk.1];
    let Some((start, end)) = core_of(piece) else {
        // Punctuation alone closes the word before it.
        if let Some(last) = tokens.last_mut().filter(|last| last.segment == segment) {
            mark_tail(&mut last.marks, piece, false);
            last.chunk.1 = chunk.1 as u32;
        }
        return;
    };
    let first = tokens.len();
    for (part_start, part_end) in parts(&piece[start..end]) {
        let part = &piece[start..end][part_start..part_end];
        let core = ((chunk.0 + start + part_start) as u32, (chunk.0 + start + part_end) as u32);
        let begins_large = part.chars().next().is_some_and(char::is_uppercase);
        let normal = normalised(part);
        for (index, word) in spelled_out(&normal).enumerate() {
            let is_continuation = index > 0;
            let is_capital = begins_large && !is_continuation;
            let marks = Marks { is_capital, is_continuation, ..Marks::default() };
            tokens.push(Token { word: words.intern(word), segment, core, chunk: core, marks });
        }
    }
    if tokens.len() == first {
        return;
    }
    tokens[first].chunk.0 = chunk.0 as u32;
    let last = tokens.len() - 1;
    tokens[last].chunk.1 = chunk.1 as u32;
    let is_abbreviation = is_abbreviation(&piece[start..end].to_lowercase(), next_is_capital);
    mark_tail(&mut tokens[last].marks, &piece[end..], is_abbreviation);
}

fn mark_tail(marks: &mut Marks, tail: &str, is_abbreviation: bool) {
    let pause = tail.contains("..") || tail.contains('…');
    marks.asks |= tail.contains(['?', '？']);
    marks.ends_sentence |= tail.contains(['!', '?', '。', '！', '？']);
    marks.ends_sentence |= tail.contains('.') && !pause && !is_abbreviation;
    marks.ends_clause |= marks.ends_sentence || pause || tail.contains([',', ';', ':', '—', '–']);
}

/// A full stop after these does not end a sentence. After `a.m.` it does if a capital letter follows.
fn is_abbreviation(word: &str, next_is_capital: bool) -> bool {
    match word {
        "mr" | "mrs" | "ms" | "dr" | "prof" | "st" | "vs" | "e.g" | "i.e" => true,
        "a.m" | "p.m" | "inc" | "ltd" | "approx" | "etc" => !next_is_capital,
        _ => false,
    }
}

/// The word without the punctuation around it. Signs that change the meaning of a number stay.
fn core_of(piece: &str) -> Option<(usize, usize)> {
    let belongs = |c: char| c.is_alphanumeric() || matches!(c, '$' | '€' | '£' | '₹' | '¥' | '%');
    let start = piece.find(|c: char| belongs(c) || c == '+')?;
    let (last, c) = piece.char_indices().rev().find(|(_, c)| belongs(*c))?;
    (start <= last).then_some((start, last + c.len_utf8()))
}

/// Hyphens separate words unless the word holds a digit or an `@`: those are numbers, dates, addresses.
fn parts(core: &str) -> Vec<(usize, usize)> {
    if !core.contains('-') || core.contains(|c: char| c.is_ascii_digit() || c == '@') {
        return vec![(0, core.len())];
    }
    if core.eq_ignore_ascii_case("e-mail") || core.eq_ignore_ascii_case("e-mails") {
        return vec![(0, core.len())];
    }
    let mut offset = 0;
    let mut parts = Vec::new();
    for part in core.split('-') {
        if !part.is_empty() {
            parts.push((offset, offset + part.len()));
        }
        offset += part.len() + 1;
    }
    parts
}

fn normalised(part: &str) -> String {
    let mut word: String = part.chars().take(MAX_WORD_CHARS).flat_map(char::to_lowercase).collect();
    if word.contains('’') {
        word = word.replace('’', "'");
    }
    match word.as_str() {
        "a.m" => "am".to_owned(),
        "p.m" => "pm".to_owned(),
        "e-mail" => "email".to_owned(),
        "e-mails" => "emails".to_owned(),
        "ok" | "o.k" => "okay".to_owned(),
        "pls" => "please".to_owned(),
        "oclock" => "o'clock".to_owned(),
        _ => word,
    }
}

/// Contractions as the words they stand for. Where the apostrophe is missing, only those are spelled out
/// that are no words of their own: `ill` and `well` stay.
fn spelled_out(word: &str) -> impl Iterator<Item = &str> {
    let (first, second) = split_contraction(word);
    std::iter::once(first).chain(second)
}

fn split_contraction(word: &str) -> (&str, Option<&'static str>) {
    match word {
        "gonna" => return ("going", Some("to")),
        "wanna" => return ("want", Some("to")),
        "gotta" => return ("have", Some("to")),
        "gimme" => return ("give", Some("me")),
        "lemme" => return ("let", Some("me")),
        "let's" | "lets" => return ("let", Some("us")),
        "cannot" | "can't" | "cant" => return ("can", Some("not")),
        "won't" => return ("will", Some("not")),
        "dont" => return ("do", Some("not")),
        "doesnt" => return ("does", Some("not")),
        "didnt" => return ("did", Some("not")),
        "isnt" => return ("is", Some("not")),
        "wasnt" => return ("was", Some("not")),
        "im" => return ("i", Some("am")),
        "thats" => return ("that", Some("is")),
        "whats" => return ("what", Some("is")),
        "youll" => return ("you", Some("will")),
        _ => {}
    }
    let Some((base, ending)) = word.rsplit_once('\'') else { return (word, None) };
    if base.is_empty() {
        return (word, None);
    }
    match ending {
        "ll" => (base, Some("will")),
        "re" => (base, Some("are")),
        "ve" => (base, Some("have")),
        "m" => (base, Some("am")),
        "d" => (base, Some("would")),
        "t" => base
            .strip_suffix('n')
            .filter(|base| !base.is_empty())
            .map_or((word, None), |base| (base, Some("not"))),
        "s" if IS_AFTER.contains(&base) => (base, Some("is")),
        "s" | "" => (base, None),
        _ => (word, None),
    }
}

/// After these an `'s` is a verb; after nouns it is an owner.
const IS_AFTER: &[&str] =
    &["it", "that", "what", "who", "where", "when", "how", "why", "there", "here", "he", "she"];
