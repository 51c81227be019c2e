//! What the call is about, by frequency of the words that carry topics.

use std::collections::BTreeSet;

use crate::lexicon::{Flags, List};
use crate::mentions::Mentions;
use crate::text::{Document, Span, WordId};

const MAX_TAGS: usize = 6;
/// A word said once is no topic, unless the vocabulary of a trade knows it.
const MIN_COUNT: usize = 2;
/// Longer words are chemistry or noise.
const MAX_TAG_CHARS: usize = 24;
/// Words of a trade weigh more than words of everyday speech.
const TRADE_WEIGHT: usize = 2;

/// Topic words of the call, most frequent first.
#[derive(Debug, Default)]
pub(crate) struct Keywords {
    ranked: Vec<Keyword>,
}

#[derive(Debug)]
struct Keyword {
    stem: WordId,
    text: String,
    weight: usize,
}

impl Keywords {
    pub(crate) fn of(document: &Document<'_>, mentions: &Mentions) -> Self {
        let whole = 0..document.tokens.len();
        Self { ranked: rank(document, mentions, whole, MIN_COUNT) }
    }

    /// Short lower-case tags.
    pub(crate) fn tags(&self) -> Vec<String> {
        self.ranked.iter().take(MAX_TAGS).map(|keyword| keyword.text.clone()).collect()
    }

    /// The topics of a part of the call: those of the whole first, then its own.
    pub(crate) fn topics(
        &self,
        document: &Document<'_>,
        mentions: &Mentions,
        span: Span,
        count: usize,
    ) -> Vec<String> {
        let local = rank(document, mentions, span, 1);
        let known = |keyword: &Keyword| self.ranked.iter().find(|other| other.stem == keyword.stem);
        let mut weighted: Vec<(usize, usize, &Keyword)> = local
            .iter()
            .enumerate()
            .filter_map(|(order, keyword)| {
                let global = known(keyword)?;
                // Half of all its mentions here make a word the topic of this part and not of the call.
                let share = if keyword.weight * 2 >= global.weight { 2 } else { 1 };
                Some((keyword.weight * share, order, keyword))
            })
            .collect();
        weighted.sort_by_key(|(weight, order, _)| (std::cmp::Reverse(*weight), *order));
        let texts = weighted.into_iter().take(count).map(|(_, _, keyword)| keyword.text.clone());
        texts.collect()
    }
}

fn rank(document: &Document<'_>, mentions: &Mentions, span: Span, min_count: usize) -> Vec<Keyword> {
    let mut counts: Vec<usize> = vec![0; document.vocabulary_size()];
    let mut order: Vec<WordId> = Vec::new();
    let people = mentions.people_in(span.clone()).iter().flat_map(|person| person.span.clone());
    let names: BTreeSet<WordId> = people.filter_map(|position| document.stem(position)).collect();
    for position in span.clone().filter(|position| is_topical(document, *position)) {
        let Some(token) = document.tokens.get(position) else { continue };
        let stem = document.stem_of(token.word);
        counts[stem.index()] += 1;
        if counts[stem.index()] == 1 {
            order.push(token.word);
        }
    }
    let trade = trade_words(document, &span);
    let mut keywords: Vec<Keyword> = Vec::new();
    for first in order {
        let stem = document.stem_of(first);
        if names.contains(&stem) {
            continue;
        }
        let is_trade = trade.contains(&stem);
        let count = counts[stem.index()];
        if count >= min_count || is_trade {
            let text = document.word_text(first).to_owned();
            let weight = count * if is_trade { TRADE_WEIGHT } else { 1 };
            keywords.push(Keyword { stem, text, weight });
        }
    }
    // Stable: words of equal weight stay in order of first mention.
    keywords.sort_by_key(|keyword| std::cmp::Reverse(keyword.weight));
    keywords
}

fn is_topical(document: &Document<'_>, position: usize) -> bool {
    let word = document.word(position);
    document.is_content(position)
        && word.chars().count() > 3
        && word.chars().count() <= MAX_TAG_CHARS
        && !document.flags(position).intersects(Flags::GENERIC | Flags::DATE | Flags::NAME)
}

/// Stems of single words that tell the kind of a call.
fn trade_words(document: &Document<'_>, span: &Span) -> BTreeSet<WordId> {
    let hits = document.hits_in(List::CallType, span.clone());
    hits.iter().filter(|hit| hit.end == hit.start + 1).filter_map(|hit| document.stem(hit.start)).collect()
}
