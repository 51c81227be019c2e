//! What the rules know about English, as tables. Words carry flags, phrases carry the list they belong to;
//! both are looked up once per different word of a call.

mod call_types;
mod dates;
mod evidence;
mod mood;
mod names;
mod questions;
mod stopwords;
mod tasks;
mod words;

use std::collections::HashMap;
use std::ops::BitOr;
use std::sync::LazyLock;

pub(crate) use dates::{MONTHS, NUMBER_WORDS, ORDINAL_WORDS, SCALE_WORDS, WEEKDAYS};
pub(crate) use names::{GIVEN_NAMES, NAMES_THAT_ARE_WORDS};
pub(crate) use tasks::{Strength, VERBS, Verb};
pub(crate) use words::{COUNTED_THINGS, CURRENCIES, TOP_LEVEL_DOMAINS};

/// Properties of a single word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags(u32);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    /// Function word: carries no topic.
    pub(crate) const STOP: Self = Self(1);
    /// `um`, `uh`.
    pub(crate) const FILLER: Self = Self(1 << 1);
    /// `not`, `never`, `no`.
    pub(crate) const NEGATION: Self = Self(1 << 2);
    /// Part of a number.
    pub(crate) const NUMBER: Self = Self(1 << 3);
    /// A date may begin here.
    pub(crate) const DATE: Self = Self(1 << 4);
    /// A clause goes on after it: `that`, `if`, `what`.
    pub(crate) const SUBORDINATOR: Self = Self(1 << 5);
    /// Speech often begins anew with it: `so`, `okay`.
    pub(crate) const CONNECTIVE: Self = Self(1 << 6);
    /// A task ends before it: `because`, `if`, `thanks`.
    pub(crate) const CLAUSE_BREAK: Self = Self(1 << 7);
    /// `what`, `when`, `how`.
    pub(crate) const INTERROGATIVE: Self = Self(1 << 8);
    /// `is`, `do`, `can`.
    pub(crate) const AUXILIARY: Self = Self(1 << 9);
    /// `i`, `you`, `it`.
    pub(crate) const PRONOUN: Self = Self(1 << 10);
    /// A given name, and nothing else.
    pub(crate) const NAME: Self = Self(1 << 11);
    /// Too general for a tag: `thing`, `call`.
    pub(crate) const GENERIC: Self = Self(1 << 12);
    /// Says that something is over: `yesterday`, `was`, `ago`.
    pub(crate) const PAST: Self = Self(1 << 13);
    /// Says that something is to come: `will`, `please`.
    pub(crate) const FUTURE: Self = Self(1 << 18);
    /// Manners on the phone; no feeling, whatever the sentiment lexicon says.
    pub(crate) const MANNERS: Self = Self(1 << 14);
    /// Letters only, at least three, and neither function word, filler nor number: carries a topic.
    pub(crate) const CONTENT: Self = Self(1 << 15);
    /// A number may begin here.
    pub(crate) const NUMERIC: Self = Self(1 << 16);
    /// Letters only, at least three.
    pub(crate) const WORD: Self = Self(1 << 17);

    pub(crate) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A list of phrases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum List {
    /// `i will`: the speaker promises.
    Promise,
    /// `i have to`: the speaker plans.
    Plan,
    /// `let us`: both plan.
    Proposal,
    /// `can you`: the other party is asked.
    Request,
    /// `send me`: asked without a question.
    Imperative,
    /// Said of things done during the call itself.
    InCall,
    /// `as soon as possible`.
    Urgent,
    /// `no rush`.
    Relaxed,
    /// `no i can not`: the answer that undoes a request.
    Refusal,
    Decision,
    Risk,
    Opportunity,
    /// `it works now`.
    Resolution,
    /// `we still need to decide`.
    OpenMatter,
    /// `let me find out`: no answer yet.
    NoAnswer,
    /// `how are you`: asked, but not to know.
    Courtesy,
    /// Begins a question without a question mark.
    QuestionOpening,
    /// Speech begins anew here.
    Opener,
    /// Label: kind of call.
    CallType,
    /// Label: the feeling.
    Feeling,
    Formal,
    Informal,
    Intensifier,
    /// Sounds like feeling and is manners: `no problem`.
    Manners,
    Anger,
    Care,
    /// Label: provider.
    Provider,
    /// A name the speaker gives as his or her own follows.
    OwnNameFollows,
    /// Label: place.
    Place,
}

/// A phrase without its first word, which is the key it is found by.
#[derive(Debug)]
pub(crate) struct Phrase {
    pub(crate) list: List,
    pub(crate) label: &'static str,
    pub(crate) rest: Vec<&'static str>,
}

/// A phrase found in a call: token positions, end exclusive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) list: List,
    pub(crate) label: &'static str,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// One table of phrases. Contractions are written out, as the tokeniser does.
pub(crate) type Table = (List, &'static str, &'static [&'static str]);

static PHRASES: LazyLock<HashMap<&'static str, Vec<Phrase>>> = LazyLock::new(|| {
    let tables = [tasks::PHRASES, evidence::PHRASES, questions::PHRASES, call_types::PHRASES, mood::PHRASES];
    let mut phrases: HashMap<&str, Vec<Phrase>> = HashMap::new();
    for (list, label, texts) in tables.into_iter().flatten() {
        for text in *texts {
            let mut words = text.split(' ');
            let first = words.next().unwrap_or_default();
            let phrase = Phrase { list: *list, label, rest: words.collect() };
            phrases.entry(first).or_default().push(phrase);
        }
    }
    phrases
});

static FLAGS: LazyLock<HashMap<&'static str, Flags>> = LazyLock::new(|| {
    let mut flags: HashMap<&str, Flags> = HashMap::new();
    let mut add = |words: &mut dyn Iterator<Item = &'static str>, flag: Flags| {
        for word in words {
            let entry = flags.entry(word).or_default();
            *entry = *entry | flag;
        }
    };
    for (words, flag) in words::FLAGGED {
        add(&mut words.iter().copied(), *flag);
    }
    add(&mut NUMBER_WORDS.iter().map(|(word, _)| *word), Flags::NUMBER);
    add(&mut ORDINAL_WORDS.iter().map(|(word, _)| *word), Flags::NUMBER);
    add(&mut SCALE_WORDS.iter().map(|(word, _)| *word), Flags::NUMBER);
    add(&mut MONTHS.iter().map(|(word, _)| *word), Flags::DATE);
    add(&mut WEEKDAYS.iter().map(|(word, _)| *word), Flags::DATE);
    add(&mut dates::DATE_WORDS.iter().copied(), Flags::DATE);
    add(&mut GIVEN_NAMES.iter().copied(), Flags::NAME);
    add(&mut mood::NEUTRAL_WORDS.iter().copied(), Flags::MANNERS);
    flags
});

/// What the tables and the letters of a word say about it.
pub(crate) fn flags(word: &str) -> Flags {
    let mut flags = FLAGS.get(word).copied().unwrap_or_default();
    if word.chars().all(char::is_alphabetic) && word.chars().nth(2).is_some() {
        flags = flags | Flags::WORD;
        if !flags.intersects(Flags::STOP | Flags::FILLER | Flags::NUMBER) {
            flags = flags | Flags::CONTENT;
        }
    }
    let begins_number = |c: char| c.is_ascii_digit() || matches!(c, '$' | '€' | '£' | '₹' | '¥');
    if flags.intersects(Flags::NUMBER) || word == "a" || word.starts_with(begins_number) {
        flags = flags | Flags::NUMERIC;
    }
    flags
}

/// The phrases that begin with a word.
pub(crate) fn phrases(word: &str) -> &'static [Phrase] {
    PHRASES.get(word).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
pub(crate) fn all_tables() -> impl Iterator<Item = &'static Table> {
    [tasks::PHRASES, evidence::PHRASES, questions::PHRASES, call_types::PHRASES, mood::PHRASES]
        .into_iter()
        .flatten()
}
