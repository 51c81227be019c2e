//! Kind of call by its vocabulary.

use std::collections::BTreeSet;

use scryon_domain::analysis::CallType;

use crate::lexicon::List;
use crate::text::Document;

/// Different words of one kind that make a call of that kind …
const MIN_WORDS: usize = 2;
/// … and how many more than any other kind.
const MIN_LEAD: usize = 1;

/// The kind most different words speak for. Every trade also talks business, so that one wins only where no
/// other kind has enough.
pub(crate) fn of(document: &Document<'_>) -> CallType {
    let mut found: Vec<(CallType, BTreeSet<String>)> = Vec::new();
    for hit in document.hits(List::CallType) {
        let Some(kind) = CallType::parse(hit.label) else { continue };
        let words: Vec<&str> = (hit.start..hit.end).map(|position| document.word(position)).collect();
        let index = match found.iter().position(|(other, _)| *other == kind) {
            Some(index) => index,
            None => {
                found.push((kind, BTreeSet::new()));
                found.len() - 1
            }
        };
        if let Some((_, set)) = found.get_mut(index) {
            set.insert(words.join(" "));
        }
    }
    let mut counts: Vec<(usize, CallType)> = found
        .into_iter()
        .map(|(kind, words)| (words.len(), kind))
        .filter(|(count, _)| *count >= MIN_WORDS)
        .collect();
    counts.sort_by_key(|(count, kind)| (std::cmp::Reverse(*count), *kind));
    let special: Vec<_> = counts.iter().filter(|(_, kind)| *kind != CallType::Business).collect();
    match special.as_slice() {
        [(first, kind), (second, _), ..] if *first >= second + MIN_LEAD => *kind,
        [(_, kind)] => *kind,
        _ => counts
            .iter()
            .find(|(_, kind)| *kind == CallType::Business)
            .map_or(CallType::Unknown, |(_, kind)| *kind),
    }
}
