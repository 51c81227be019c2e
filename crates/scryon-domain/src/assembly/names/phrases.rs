//! How a name is used in a sentence, and the phrases people answer the telephone with.
//!
//! The patterns are narrow on purpose. What looks like an introduction but may be something else ("I think this
//! is Ravi", "is that Ravi speaking?") proves nothing, and takes the name out of the mention rule as well.

use super::forms::{Hit, Stop, Token};

/// What the speaker does with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// An everyday word that happens to be a name.
    Nothing,
    /// Speaks of or to somebody of that name.
    Mention,
    /// May be speaking of himself ("calling from Acme", a bare "Ravi.").
    Own,
    /// Addresses the other party: "hi Ravi".
    Greeting,
    /// Says who he is: "this is Ravi".
    Introduction,
}

const GREETINGS: &[&str] = &[
    "hello",
    "hey",
    "hi",
    "hii",
    "hiya",
    "howdy",
    "namaskar",
    "namaskaram",
    "namaste",
    "salaam",
    "vanakkam",
];
const DAYTIMES: &[&str] = &["afternoon", "day", "evening", "morning"];
/// May stand between a greeting and the name.
const FILLERS: &[&str] = &["again", "dear", "hello", "hey", "hi", "my", "oh", "there", "yeah", "yes"];
/// How far a name may be from its greeting.
const FILLER_WORDS: usize = 2;
/// After these a greeting or introduction is reported speech.
const REPORTING: &[&str] =
    &["say", "saying", "says", "said", "tell", "telling", "tells", "told", "goes", "went", "like", "was"];
/// Words an introduction may follow within a sentence; anything else makes it part of something longer.
const OPENERS: &[&str] = &[
    "again",
    "afternoon",
    "all",
    "day",
    "evening",
    "everybody",
    "everyone",
    "folks",
    "good",
    "guys",
    "haan",
    "hello",
    "hey",
    "hi",
    "hiya",
    "morning",
    "namaskar",
    "namaste",
    "no",
    "ok",
    "okay",
    "right",
    "speaking",
    "sure",
    "team",
    "there",
    "well",
    "ya",
    "yeah",
    "yep",
    "yes",
];
/// After these an introduction is none, comma or not: "oh, this is Ravi!", "I think, this is Ravi".
const CLOSED: &[&str] = &["believe", "guess", "know", "oh", "so", "suppose", "think", "thought"];
/// Between "hi Ravi" and these, Ravi is somebody a story is about.
const STORY_VERBS: &[&str] = &[
    "and", "asked", "called", "calls", "came", "did", "didn't", "does", "doesn't", "gave", "had", "has",
    "hasn't", "is", "isn't", "left", "said", "says", "sent", "told", "wanted", "wants", "was", "wasn't",
    "went", "will", "would",
];
/// A name right behind these is the speaker's.
const NAME_GIVEN: &[&[&str]] = &[
    &["my", "name", "is"],
    &["my", "name's"],
    &["my", "full", "name", "is"],
    &["my", "good", "name", "is"],
    &["mera", "naam"],
];
/// The same where a sentence or the call begins.
const SELF_GIVEN: &[&[&str]] =
    &[&["this", "is"], &["this", "side"], &["i", "am"], &["i'm"], &["im"], &["myself"]];
const IT_IS: &[&[&str]] = &[&["it", "is"], &["it's"]];
/// What may follow "it's Ravi".
const CLOSERS: &[&str] = &["again", "calling", "from", "here", "speaking"];
/// Behind these a name may be the speaker's own, or that of the firm he calls from; in the languages the product
/// is used in, for a mention that is really an introduction names both sides wrongly.
const PERHAPS_OWN_AFTER: &[&[&str]] = &[
    &["this", "is"],
    &["that", "is"],
    &["it", "is"],
    &["it's"],
    &["that's"],
    &["i", "am"],
    &["i'm"],
    &["im"],
    &["myself"],
    &["name"],
    &["name", "is"],
    &["name's"],
    &["call", "me"],
    &["calls", "me"],
    &["from"],
    &["at"],
    &["for", "calling"],
    &["welcome", "to"],
    &["reached"],
    &["represent"],
    &["representing"],
    &["behalf", "of"],
    &["work", "for"],
    &["working", "for"],
    &["main"],
    &["mai"],
    &["naam"],
    &["मैं"],
    &["नाम"],
    &["soy"],
    &["llamo"],
    &["habla"],
    &["nombre", "es"],
    &["suis"],
    &["m'appelle"],
    &["c'est"],
    &["nom", "est"],
    &["bin"],
    &["heiße"],
    &["ist"],
    &["hier"],
    &["sou"],
    &["chamo"],
    &["fala"],
    &["sono"],
    &["chiamo"],
];
const PERHAPS_OWN_BEFORE: &[&[&str]] = &[
    &["here"],
    &["speaking"],
    &["called"],
    &["calling"],
    &["from"],
    &["this", "side"],
    &["bol"],
    &["बोल"],
    &["hier"],
];
/// May stand between those and the name.
const ARTICLES: &[&str] = &["the", "a", "an", "actually", "also", "just", "our", "your"];
/// "speak with Ravi" is about Ravi; "I'm with Acme" is about the speaker.
const MEETING: &[&str] = &[
    "discuss",
    "discussed",
    "meet",
    "meeting",
    "met",
    "speak",
    "speaking",
    "spoke",
    "spoken",
    "talk",
    "talked",
    "talking",
];
/// Contractions that follow a name without owning anything: "this is Ravi what's up".
const CONTRACTIONS: &[&str] =
    &["here's", "how's", "it's", "let's", "that's", "there's", "what's", "where's", "who's"];

/// Decides how the name at `hit` is used; `hits` are all names of the same text.
pub(super) fn classify(tokens: &[Token], hit: &Hit, hits: &[Hit]) -> Use {
    let place = Place { tokens, hit, hits };
    if place.introduces() {
        Use::Introduction
    } else if place.may_be_own() {
        Use::Own
    } else if place.greets() {
        Use::Greeting
    } else if hit.everyday {
        Use::Nothing
    } else {
        Use::Mention
    }
}

/// A name in its sentence.
struct Place<'a> {
    tokens: &'a [Token],
    hit: &'a Hit,
    hits: &'a [Hit],
}

impl<'a> Place<'a> {
    fn before(&self) -> &'a [Token] {
        &self.tokens[..self.hit.at]
    }

    fn after(&self) -> &'a [Token] {
        &self.tokens[self.hit.at + self.hit.length..]
    }

    /// What stands behind the last word of the name.
    fn stop(&self) -> Stop {
        self.tokens[self.hit.at + self.hit.length - 1].stop
    }

    /// True when the words before the name end like this, within one sentence.
    fn follows(&self, words: &[&str]) -> bool {
        ends_with(self.before(), words)
    }

    /// True when the name runs on into these words without any stop.
    fn runs_into(&self, words: &[&str]) -> bool {
        self.stop() == Stop::None && starts_with(self.after(), words)
    }

    fn introduces(&self) -> bool {
        if self.stop() == Stop::Question || self.asks_back() || self.belongs_to_more() {
            return false;
        }
        if let Some(form) = NAME_GIVEN.iter().find(|form| self.follows(form)) {
            return !reported(self.opening(form.len()));
        }
        let signed = self.signs_off();
        if signed && self.opens(0) {
            return true;
        }
        // "this is grace" may be a prayer; "this is Grace from the bank" is not.
        if self.hit.everyday && !signed && !self.runs_into(&["from"]) {
            return false;
        }
        let closes = self.stop() != Stop::None
            || self.after().first().is_none_or(|next| CLOSERS.contains(&next.word.as_str()));
        SELF_GIVEN.iter().any(|form| self.follows(form) && self.opens(form.len()))
            // "it's Ravi who called" is about somebody else.
            || closes && IT_IS.iter().any(|form| self.follows(form) && self.opens(form.len()))
    }

    /// "Ravi speaking", "Ravi here", "Ravi calling", "Ravi this side": said by Ravi.
    fn signs_off(&self) -> bool {
        if self.stop() != Stop::None {
            return false;
        }
        let after = self.after();
        let ends_after = |count: usize, allowed: &[&str]| {
            after.get(count - 1).is_some_and(|token| token.stop != Stop::None && token.stop != Stop::Question)
                || after.get(count).is_none_or(|token| allowed.contains(&token.word.as_str()))
                    && after.get(count - 1).is_some_and(|token| token.stop != Stop::Question)
        };
        starts_with(after, &["speaking"]) && ends_after(1, &["from", "how", "here", "who", "may", "good"])
            || starts_with(after, &["here"]) && ends_after(1, &["from", "calling", "speaking", "how"])
            // Without a comma "hi Ravi calling from the bank" may as well greet Ravi.
            || starts_with(after, &["calling"]) && ends_after(1, &["from"]) && !self.greeted_closely()
            || starts_with(after, &["bol", "raha"])
            || starts_with(after, &["bol", "rahi"])
            || starts_with(after, &["this", "side"])
            || starts_with(after, &["on", "the", "line"]) && ends_after(3, &[])
    }

    /// "this is Ravi, right?"
    fn asks_back(&self) -> bool {
        self.after().first().is_some_and(|token| {
            token.stop == Stop::Question
                && matches!(token.word.as_str(), "right" | "correct" | "yes" | "no" | "isn't")
        })
    }

    fn greeted_closely(&self) -> bool {
        self.before().last().is_some_and(|token| {
            token.stop == Stop::None
                && (GREETINGS.contains(&token.word.as_str()) || DAYTIMES.contains(&token.word.as_str()))
        })
    }

    /// "this is Ravi Sharma's office", "this is Ravi who I told you about"
    fn belongs_to_more(&self) -> bool {
        self.stop() == Stop::None
            && self.after().first().is_some_and(|token| {
                let owner = token.word.ends_with("'s") || token.word.ends_with("s'");
                owner && !CONTRACTIONS.contains(&token.word.as_str())
                    || matches!(token.word.as_str(), "who" | "whom" | "whose")
            })
    }

    /// What stands before the last `skipped` tokens before the name.
    fn opening(&self, skipped: usize) -> &'a [Token] {
        let before = self.before();
        &before[..before.len().saturating_sub(skipped)]
    }

    /// True when the pattern that ends `skipped` tokens before the name begins a sentence, or follows nothing but
    /// a greeting.
    fn opens(&self, skipped: usize) -> bool {
        let opening = self.opening(skipped);
        let Some(last) = opening.last() else { return true };
        let after_a_name = self.hits.iter().any(|hit| hit.at + hit.length == opening.len());
        if CLOSED.contains(&last.word.as_str()) || reported(opening) {
            return false;
        }
        last.stop != Stop::None
            || after_a_name
            || OPENERS.contains(&last.word.as_str())
            || ends_with(opening, &["are", "you"])
            || ends_with(opening, &["thank", "you"])
    }

    /// Introductions that are not certain, origins and bare names.
    fn may_be_own(&self) -> bool {
        let bare_end = self.before().iter().rposition(|token| !ARTICLES.contains(&token.word.as_str()));
        let before = &self.before()[..bare_end.map_or(0, |at| at + 1)];
        let meets = ends_with(before, &["with"])
            && !before[..before.len() - 1].last().is_some_and(|token| MEETING.contains(&token.word.as_str()));
        PERHAPS_OWN_AFTER.iter().any(|words| ends_with(before, words))
            || PERHAPS_OWN_BEFORE.iter().any(|words| self.runs_into(words))
            || meets
            // "he said hi Ravi" is how Ravi tells it.
            || self.before_greeting().is_some_and(reported)
            || self.belongs_to_more() && !self.greeted()
            || self.bare()
    }

    /// Nothing but the name, perhaps with a "yes": the answer to "who is this", unless it is a question.
    fn bare(&self) -> bool {
        let sentence_start =
            self.before().iter().rposition(|token| matches!(token.stop, Stop::Full | Stop::Question));
        let sentence = &self.before()[sentence_start.map_or(0, |at| at + 1)..];
        let ends = self.after().is_empty() || self.stop() == Stop::Full;
        let alone = sentence
            .iter()
            .all(|token| matches!(token.word.as_str(), "yes" | "yeah" | "ya" | "haan" | "ok" | "okay"));
        ends && alone && self.stop() != Stop::Question
    }

    fn greets(&self) -> bool {
        let told = self.stop() == Stop::None
            && self.after().first().is_some_and(|token| STORY_VERBS.contains(&token.word.as_str()));
        let loose = self.hit.everyday && self.stop() == Stop::None && !self.after().is_empty();
        self.greeted() && !told && !loose
    }

    /// A greeting stands before the name, and it is the speaker's own.
    fn greeted(&self) -> bool {
        self.before_greeting().is_some_and(|before| !reported(before))
    }

    /// What stands before the greeting that stands before the name, at most [`FILLER_WORDS`] away.
    fn before_greeting(&self) -> Option<&'a [Token]> {
        let before = self.before();
        for gap in 0..=FILLER_WORDS {
            let place = before.len().checked_sub(gap + 1)?;
            let between: Vec<&str> = before[place + 1..].iter().map(|token| token.word.as_str()).collect();
            let fits = between.iter().all(|word| FILLERS.contains(word))
                || matches!(between[..], ["is", "this" | "that" | "it"]);
            if !fits {
                continue;
            }
            let daytime = DAYTIMES.contains(&before[place].word.as_str())
                && place > 0
                && before[place - 1].word == "good";
            if daytime {
                return Some(&before[..place - 1]);
            }
            if GREETINGS.contains(&before[place].word.as_str()) {
                return Some(&before[..place]);
            }
        }
        None
    }
}

fn reported(before: &[Token]) -> bool {
    before.last().is_some_and(|token| REPORTING.contains(&token.word.as_str()))
}

/// True when `tokens` begin with `words`, no sentence ending in between.
fn starts_with(tokens: &[Token], words: &[&str]) -> bool {
    tokens.get(..words.len()).is_some_and(|part| matches_words(part, words))
}

fn ends_with(tokens: &[Token], words: &[&str]) -> bool {
    tokens.len().checked_sub(words.len()).is_some_and(|from| {
        let part = &tokens[from..];
        matches_words(part, words)
            && part.last().is_none_or(|token| !matches!(token.stop, Stop::Full | Stop::Question))
    })
}

fn matches_words(part: &[Token], words: &[&str]) -> bool {
    let last = part.len().saturating_sub(1);
    part.iter().zip(words).enumerate().all(|(index, (token, word))| {
        token.word == **word && (index == last || !matches!(token.stop, Stop::Full | Stop::Question))
    })
}

/// Said by whoever picks up.
const ANSWERS: &[&[&str]] = &[
    &["thank", "you", "for", "calling"],
    &["thanks", "for", "calling"],
    &["how", "can", "i", "help"],
    &["how", "may", "i", "help"],
    &["how", "can", "we", "help"],
    &["how", "may", "we", "help"],
    &["how", "can", "i", "assist"],
    &["how", "may", "i", "assist"],
    &["what", "can", "i", "do", "for", "you"],
    &["you", "have", "reached"],
    &["you've", "reached"],
];
/// The same, but only as a whole question: "who is this guy" is something else.
const ANSWER_QUESTIONS: &[&[&str]] = &[
    &["who", "is", "this"],
    &["who's", "this"],
    &["who", "is", "calling"],
    &["who's", "calling"],
    &["who", "is", "speaking"],
    &["who's", "speaking"],
    &["who", "is", "on", "the", "line"],
];

/// True when the text holds a phrase that people answer the telephone with.
pub(super) fn answers_the_phone(tokens: &[Token]) -> bool {
    (0..tokens.len()).any(|at| {
        let rest = &tokens[at..];
        let whole = |words: &&&[&str]| {
            starts_with(rest, words)
                && (rest[words.len() - 1].stop != Stop::None
                    || rest
                        .get(words.len())
                        .is_none_or(|next| matches!(next.word.as_str(), "please" | "calling" | "speaking")))
        };
        ANSWERS.iter().any(|words| starts_with(rest, words))
            || ANSWER_QUESTIONS.iter().any(|words| whole(&words))
    })
}
