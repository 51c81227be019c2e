//! A transcript as a reader of words sees it: tokens with their place, grouped into units of meaning.

mod quote;
mod tokens;
mod units;
mod words;

use std::collections::BTreeMap;

use scryon_domain::analysis::Phase;
use scryon_domain::transcript::{Segment, Speaker, Transcript};

pub(crate) use quote::{capitalised, capped, quoted};
pub(crate) use tokens::Token;
pub(crate) use units::Unit;
pub(crate) use words::WordId;

use crate::lexicon::{Flags, Hit, List};

/// Half-open range of token positions.
pub(crate) type Span = std::ops::Range<usize>;

/// The whole call, tokenised once; every rule reads from here.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    pub(crate) transcript: &'a Transcript,
    pub(crate) tokens: Vec<Token>,
    pub(crate) units: Vec<Unit>,
    /// True when the text has no usable punctuation: draft speech recognition, segments per pause.
    pub(crate) is_draft: bool,
    words: words::Words,
    /// For each list its hits, in order.
    hits: BTreeMap<List, Vec<Hit>>,
}

impl<'a> Document<'a> {
    pub(crate) fn read(transcript: &'a Transcript) -> Self {
        let mut words = words::Words::default();
        let tokens = tokens::tokenise(transcript, &mut words);
        let is_draft = units::is_draft(transcript, &tokens);
        let mut document =
            Self { transcript, tokens, units: Vec::new(), is_draft, words, hits: BTreeMap::new() };
        document.hits = document.find_hits();
        document.units = units::split(&document);
        document
    }

    /// The normalised word at a position; empty beyond either end, so that rules may look around freely.
    pub(crate) fn word(&self, position: usize) -> &str {
        self.tokens.get(position).map_or("", |token| self.words.text(token.word))
    }

    /// The word `back` positions before, or nothing before the first.
    pub(crate) fn word_before(&self, position: usize, back: usize) -> &str {
        position.checked_sub(back).map_or("", |position| self.word(position))
    }

    pub(crate) fn flags(&self, position: usize) -> Flags {
        self.tokens.get(position).map_or(Flags::NONE, |token| self.words.flags(token.word))
    }

    /// Identity of a word without its plural ending, for counting.
    pub(crate) fn stem(&self, position: usize) -> Option<WordId> {
        self.tokens.get(position).map(|token| self.words.stem(token.word))
    }

    pub(crate) fn stem_of(&self, word: WordId) -> WordId {
        self.words.stem(word)
    }

    pub(crate) fn word_text(&self, id: WordId) -> &str {
        self.words.text(id)
    }

    /// How many different words and stems there are; ids are below it.
    pub(crate) fn vocabulary_size(&self) -> usize {
        self.words.len()
    }

    /// True when the words from `position` on are these.
    pub(crate) fn has_words(&self, position: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(offset, word)| self.word(position + offset) == *word)
    }

    /// Content words carry a topic: letters only, no function word, no filler.
    pub(crate) fn is_content(&self, position: usize) -> bool {
        self.flags(position).intersects(Flags::CONTENT)
    }

    pub(crate) fn content_words(&self, span: Span) -> usize {
        span.filter(|position| self.is_content(*position)).count()
    }

    /// Lexicon phrases of one list, in order.
    pub(crate) fn hits(&self, list: List) -> &[Hit] {
        self.hits.get(&list).map_or(&[], Vec::as_slice)
    }

    /// Lexicon phrases of one list that begin within a span.
    pub(crate) fn hits_in(&self, list: List, span: Span) -> &[Hit] {
        let hits = self.hits(list);
        let from = hits.partition_point(|hit| hit.start < span.start);
        let to = hits.partition_point(|hit| hit.start < span.end);
        hits.get(from..to).unwrap_or_default()
    }

    /// True when a phrase of the list begins within a span.
    pub(crate) fn has_hit(&self, list: List, span: Span) -> bool {
        !self.hits_in(list, span).is_empty()
    }

    /// True when one of the three words before says that the next thing is not so.
    pub(crate) fn is_negated(&self, position: usize) -> bool {
        let unit_start = self.unit_at(position).map_or(0, |unit| unit.span.start);
        let from = position.saturating_sub(3).max(unit_start);
        (from..position).any(|position| self.flags(position).intersects(Flags::NEGATION))
    }

    pub(crate) fn segment(&self, position: usize) -> Option<&'a Segment> {
        self.transcript.segments.get(self.tokens.get(position)?.segment as usize)
    }

    /// The speaker of a unit, if the transcript lists one with that id.
    pub(crate) fn speaker(&self, unit: &Unit) -> Option<&'a Speaker> {
        self.transcript.speakers.get(unit.speaker?)
    }

    /// The unit that holds a position.
    pub(crate) fn unit_at(&self, position: usize) -> Option<&Unit> {
        self.units.get(self.unit_index_at(position)?)
    }

    pub(crate) fn unit_index_at(&self, position: usize) -> Option<usize> {
        let index = self.units.partition_point(|unit| unit.span.end <= position);
        (index < self.units.len()).then_some(index)
    }

    /// Where in the call a unit lies: the first and last fifth of its words open and close it.
    pub(crate) fn phase_of(&self, unit: usize) -> Phase {
        let position = self.units.get(unit).map_or(0, |unit| unit.span.start);
        match position * 5 / self.tokens.len().max(1) {
            0 => Phase::Opening,
            4.. => Phase::Closing,
            _ => Phase::Middle,
        }
    }

    /// Ids of the segments a span touches, in order, each once.
    pub(crate) fn cite(&self, span: Span) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        let mut last = None;
        for token in self.tokens.get(span).unwrap_or_default() {
            if last.replace(token.segment) == Some(token.segment) {
                continue;
            }
            if let Some(segment) = self.transcript.segments.get(token.segment as usize)
                && !ids.contains(&segment.id)
            {
                ids.push(segment.id.clone());
            }
        }
        ids
    }

    /// The words of a span as they stand in the transcript.
    pub(crate) fn raw(&self, span: Span) -> String {
        quote::raw(self, span)
    }

    /// True when no sentence ends and no other speaker begins within a span.
    fn is_said_together(&self, span: Span) -> bool {
        self.tokens.get(span).unwrap_or_default().windows(2).all(|pair| {
            let speaker = |token: &Token| {
                self.transcript
                    .segments
                    .get(token.segment as usize)
                    .map(|segment| segment.speaker_id.as_str())
            };
            !pair[0].marks.ends_sentence
                && (pair[0].segment == pair[1].segment || speaker(&pair[0]) == speaker(&pair[1]))
        })
    }

    fn find_hits(&self) -> BTreeMap<List, Vec<Hit>> {
        let mut hits: BTreeMap<List, Vec<Hit>> = BTreeMap::new();
        for (start, token) in self.tokens.iter().enumerate() {
            for phrase in self.words.phrases(token.word) {
                let end = start + 1 + phrase.rest.len();
                if self.has_words(start + 1, &phrase.rest) && self.is_said_together(start..end) {
                    let hit = Hit { list: phrase.list, label: phrase.label, start, end };
                    hits.entry(phrase.list).or_default().push(hit);
                }
            }
        }
        hits
    }
}
