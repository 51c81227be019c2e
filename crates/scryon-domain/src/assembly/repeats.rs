//! Step 2b: stutters and repeated phrases. Engines loop on hard audio, and people stumble; both make a text
//! nobody wants to read. What people repeat on purpose stays.

use std::borrow::Cow;
use std::collections::HashMap;

use super::align::Word;
use super::floor::Floor;
use super::time::Millis;
use super::tokens::{ends_sentence, is_countable, is_spelled_letter, normal};

/// A repetition after a longer pause is a new utterance, not a stutter.
const STUTTER_PAUSE: Millis = 1000;
/// The same for phrases: engines that loop leave gaps.
const PHRASE_PAUSE: Millis = 2000;
/// Longest phrase looked for.
const PHRASE_WORDS: usize = 40;
/// Two words are repeated on purpose too often ("no problem, no problem"): only a loop of this many goes.
const PAIR_COPIES: usize = 4;

/// Doubled by grammar: "I know that that works", "he had had enough". A third copy is a stutter.
const GRAMMATICAL: &[&str] = &["had", "that"];
/// Doubled for emphasis, politeness or in haste, in English and in the Hindi of mixed calls.
const EMPHATIC: &[&str] = &[
    "accha", "again", "alright", "bye", "chalo", "come", "dheere", "exactly", "fine", "go", "good", "ha",
    "haan", "haha", "hello", "hey", "hi", "hmm", "jaldi", "ji", "knock", "long", "many", "more", "much",
    "nahi", "never", "no", "nope", "now", "ok", "okay", "please", "really", "right", "same", "sir", "so",
    "sorry", "stop", "sure", "thanks", "theek", "there", "thoda", "too", "very", "wait", "well", "yeah",
    "yep", "yes",
];
/// "no no no no" is said; a longer run of the same is a loop of the engine.
const EMPHATIC_RUN: usize = 4;

/// What the rules need to know besides the words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    /// The stream these words belong to.
    pub(super) speaker: usize,
    pub(super) floor: &'a Floor,
    /// False in languages where a doubled word is grammar ("nous nous voyons", "jaldi jaldi"): there only three
    /// or more in a row count as a stutter.
    pub(super) doubles_are_stutters: bool,
}

/// Collapses stutters, then repeated phrases.
pub(super) fn collapse(words: &mut Vec<Word<'_>>, context: Context<'_>) {
    collapse_stutters(words, context);
    collapse_phrases(words, context);
}

/// True when somebody else spoke between this word and the next.
fn answered(words: &[Word<'_>], index: usize, context: Context<'_>) -> bool {
    context.floor.taken(context.speaker, words[index].end, words[index + 1].start)
}

fn pause_after(words: &[Word<'_>], index: usize) -> Millis {
    words[index + 1].start - words[index].end
}

fn collapse_stutters(words: &mut Vec<Word<'_>>, context: Context<'_>) {
    let normals: Vec<Cow<'_, str>> = words.iter().map(|word| normal(&word.text)).collect();
    // Length of each run of equal words, and how many of them stay.
    let mut runs: Vec<(usize, usize)> = Vec::with_capacity(words.len());
    let mut from = 0;
    while from < words.len() {
        let mut to = from + 1;
        while to < words.len()
            && !normals[from].is_empty()
            && normals[to] == normals[from]
            && pause_after(words, to - 1) <= STUTTER_PAUSE
            && !answered(words, to - 1, context)
        {
            to += 1;
        }
        runs.push((to - from, copies_allowed(words, &normals, from..to, context)));
        from = to;
    }
    if runs.iter().all(|(length, allowed)| length == allowed) {
        return;
    }
    let mut kept: Vec<Word<'_>> = Vec::with_capacity(words.len());
    let mut rest = std::mem::take(words).into_iter();
    for (length, allowed) in runs {
        keep_copies(rest.by_ref().take(length), length, allowed, &mut kept);
    }
    *words = kept;
}

/// How many of a run of equal words stay.
fn copies_allowed(
    words: &[Word<'_>],
    normals: &[Cow<'_, str>],
    run: std::ops::Range<usize>,
    context: Context<'_>,
) -> usize {
    let (word, length) = (&*normals[run.start], run.len());
    if length == 1 || is_countable(word) || spells(normals, &run) {
        return length;
    }
    if EMPHATIC.contains(&word) {
        return length.min(EMPHATIC_RUN);
    }
    if GRAMMATICAL.contains(&word) {
        return length.min(2);
    }
    // A full stop between two copies means that they were said as two sentences.
    let deliberate = ends_sentence(&words[run.start].text) || !context.doubles_are_stutters;
    if length == 2 && deliberate { 2 } else { 1 }
}

/// `a` and `i` beside another single letter or a digit are being spelled.
fn spells(normals: &[Cow<'_, str>], run: &std::ops::Range<usize>) -> bool {
    let spelled = |word: &Cow<'_, str>| is_spelled_letter(word) || word.chars().any(char::is_numeric);
    let before = run.start.checked_sub(1).and_then(|index| normals.get(index));
    let single = normals[run.start].chars().count() == 1;
    single && (before.is_some_and(spelled) || normals.get(run.end).is_some_and(spelled))
}

fn keep_copies<'a>(
    mut run: impl Iterator<Item = Word<'a>>,
    length: usize,
    allowed: usize,
    kept: &mut Vec<Word<'a>>,
) {
    if allowed == 1 && length > 1 {
        // The last copy carries on into the sentence, the first one marks where the speaker began.
        if let (Some(first), Some(last)) = (run.next(), run.last()) {
            let text = with_case_of(&last.text, &first.text).into();
            kept.push(Word { text, start: first.start, looped: length > 2, ..last });
        }
        return;
    }
    kept.extend(run.by_ref().take(allowed));
    let dropped = run.count();
    if let (true, Some(word)) = (dropped > 0, kept.last_mut()) {
        word.looped = true;
    }
}

fn with_case_of(text: &str, model: &str) -> String {
    let capital = model.chars().find(|c| c.is_alphabetic()).is_some_and(char::is_uppercase);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if capital => first.to_uppercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

/// Shortest period first, so that a loop is cut down to its smallest unit.
fn collapse_phrases(words: &mut Vec<Word<'_>>, context: Context<'_>) {
    let mut spoken = Spoken::number(words);
    let mut repetition = Repetition::new(words, &spoken, context);
    for length in 2..=PHRASE_WORDS {
        if words.len() < 2 * length {
            return;
        }
        if repetition.matches[length] < length {
            continue;
        }
        let fates = repetition.copies_of(length);
        if !fates.contains(&Fate::Drop) {
            continue;
        }
        for (word, fate) in words.iter_mut().zip(&fates) {
            word.looped |= *fate == Fate::Original;
        }
        retain(words, &fates);
        retain(&mut spoken, &fates);
        repetition = Repetition::new(words, &spoken, context);
    }
}

fn retain<T>(list: &mut Vec<T>, fates: &[Fate]) {
    let mut fates = fates.iter();
    list.retain(|_| fates.next() != Some(&Fate::Drop));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Keep,
    /// First copy of a repeated phrase.
    Original,
    Drop,
}

/// A word reduced to what repetition is about.
#[derive(Debug, Clone, Copy)]
struct Spoken {
    /// Equal numbers mean equal words; `None` never equals anything.
    number: Option<u32>,
    /// A digit or letter, which repeats on purpose.
    countable: bool,
}

impl Spoken {
    fn number(words: &[Word<'_>]) -> Vec<Self> {
        let mut known: HashMap<Cow<'_, str>, u32> = HashMap::with_capacity(words.len());
        let mut spoken = Vec::with_capacity(words.len());
        for word in words {
            let text = normal(&word.text);
            let countable = is_countable(&text);
            let next = known.len() as u32;
            let number = (!text.is_empty()).then(|| *known.entry(text).or_insert(next));
            spoken.push(Self { number, countable });
        }
        spoken
    }
}

/// A stream prepared for finding repeated phrases.
struct Repetition<'a> {
    spoken: &'a [Spoken],
    /// `matches[n]`: how many words come again `n` words later; a phrase of `n` words that does has `n` of them.
    matches: [usize; PHRASE_WORDS + 1],
    /// `breaks[i]`: how many pauses too long for a phrase lie before word `i`.
    breaks: Vec<u32>,
    /// `answered[i]`: somebody else spoke between word `i` and the next.
    answered: Vec<bool>,
    /// `countable[i]`: how many countable words come before word `i`.
    countable: Vec<u32>,
}

impl<'a> Repetition<'a> {
    fn new(words: &[Word<'_>], spoken: &'a [Spoken], context: Context<'_>) -> Self {
        let mut breaks = vec![0];
        let mut answers = Vec::with_capacity(words.len());
        let mut countable = vec![0];
        for (index, word) in spoken.iter().enumerate() {
            countable.push(countable[index] + u32::from(word.countable));
            let last = index + 1 == words.len();
            breaks.push(breaks[index] + u32::from(!last && pause_after(words, index) > PHRASE_PAUSE));
            answers.push(!last && answered(words, index, context));
        }
        Self { spoken, matches: matches(spoken), breaks, answered: answers, countable }
    }

    /// True when word `at` comes again `length` words later, with nothing in between that breaks a phrase.
    fn again(&self, at: usize, length: usize) -> bool {
        self.spoken[at].number.is_some()
            && self.spoken[at].number == self.spoken[at + length].number
            && self.breaks[at] == self.breaks[at + length]
    }

    fn copies_of(&self, length: usize) -> Vec<Fate> {
        let mut fates = vec![Fate::Keep; self.spoken.len()];
        let mut from = 0;
        while from + length < self.spoken.len() {
            let mut to = from;
            while to + length < self.spoken.len() && self.again(to, length) {
                to += 1;
            }
            let copies = 1 + (to - from) / length;
            let enough = if length == 2 { PAIR_COPIES } else { 2 };
            let counting = self.countable[from + length] > self.countable[from];
            // Said twice because somebody asked; an engine that loops does not stop at two.
            let asked = copies == 2 && self.answered[from + length - 1];
            if copies >= enough && !counting && !asked {
                fates[from..from + length].fill(Fate::Original);
                fates[from + length..from + copies * length].fill(Fate::Drop);
                from += copies * length;
            } else {
                from = to + 1;
            }
        }
        fates
    }
}

/// How many words come again after each number of words: speech has few such pairs, so that nearly all lengths
/// need no further look.
fn matches(spoken: &[Spoken]) -> [usize; PHRASE_WORDS + 1] {
    let mut matches = [0; PHRASE_WORDS + 1];
    // The place of each number's last word, and for each word the place of the same word before it.
    let mut last: Vec<Option<usize>> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(spoken.len());
    for (at, word) in spoken.iter().enumerate() {
        let Some(number) = word.number.map(|n| n as usize) else {
            before.push(None);
            continue;
        };
        if number >= last.len() {
            last.resize(number + 1, None);
        }
        before.push(last[number].replace(at));
        let mut other = before[at];
        while let Some(earlier) = other.filter(|earlier| at - earlier <= PHRASE_WORDS) {
            matches[at - earlier] += 1;
            other = before[earlier];
        }
    }
    matches
}
