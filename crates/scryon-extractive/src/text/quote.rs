//! Words back to text. Without a model nothing is rephrased: what is not counted is quoted.

use super::{Document, Span};

/// The words of a span as they stand in the transcript, with single spaces.
pub(super) fn raw(document: &Document<'_>, span: Span) -> String {
    let mut text = String::new();
    let mut open: Option<(u32, u32, u32)> = None;
    for token in document.tokens.get(span).unwrap_or_default() {
        match &mut open {
            Some((segment, _start, end)) if *segment == token.segment => *end = token.chunk.1.max(*end),
            _ => {
                push(document, open.take(), &mut text);
                open = Some((token.segment, token.chunk.0, token.chunk.1));
            }
        }
    }
    push(document, open, &mut text);
    text
}

fn push(document: &Document<'_>, range: Option<(u32, u32, u32)>, text: &mut String) {
    let Some((segment, start, end)) = range else { return };
    let Some(segment) = document.transcript.segments.get(segment as usize) else { return };
    let piece = segment.text.get(start as usize..end as usize).unwrap_or_default();
    for word in piece.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
}

/// A span between quotation marks, cut at a word where it is long.
pub(crate) fn quoted(document: &Document<'_>, span: Span, limit: usize) -> String {
    let text = raw(document, span);
    let text = text.trim_matches(|c: char| c == '"' || c == '“' || c == '”');
    format!("“{}”", capped(text, limit))
}

/// At most `limit` characters, cut between words where there is a space to cut at.
pub(crate) fn capped(text: &str, limit: usize) -> String {
    if text.chars().nth(limit).is_none() {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
    let kept = match kept.rsplit_once(' ') {
        // A cut that would lose half of the text is made within the word.
        Some((head, _)) if head.len() * 2 > kept.len() => head,
        _ => &kept,
    };
    format!("{}…", kept.trim_end_matches(|c: char| c.is_whitespace() || c.is_ascii_punctuation()))
}

/// With a capital letter at the beginning.
pub(crate) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}
