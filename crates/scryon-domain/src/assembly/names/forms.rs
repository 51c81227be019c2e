//! The forms under which a party's name counts as evidence, and text as tokens to look for them in.

use super::super::PartyFacts;
use super::super::tokens::normal;
use super::super::units::printable;
use crate::transcript::SpeakerRole;

/// Titles: they are no part of a name, in the facts or in the text.
const HONORIFICS_BEFORE: &[&str] = &[
    "dr",
    "doctor",
    "madam",
    "miss",
    "mister",
    "mr",
    "mrs",
    "ms",
    "mx",
    "prof",
    "professor",
    "shree",
    "shri",
    "sir",
    "smt",
    "sri",
];
/// Titles that follow the name: "Ravi ji", "Sharma sahib".
const HONORIFICS_BEHIND: &[&str] = &["ji", "maam", "ma'am", "madam", "saab", "saheb", "sahib", "sir"];

/// Names that are everyday words. In running text they prove nothing ("will you call", "I work from home"), so
/// only a form of address counts for them.
const EVERYDAY_WORDS: &[&str] = &[
    "amber",
    "angel",
    "april",
    "art",
    "august",
    "aunt",
    "aunty",
    "autumn",
    "bank",
    "bill",
    "bob",
    "boss",
    "brother",
    "buddy",
    "care",
    "chase",
    "christian",
    "chuck",
    "cliff",
    "customer",
    "dad",
    "daddy",
    "dale",
    "dawn",
    "dean",
    "dear",
    "delivery",
    "destiny",
    "driver",
    "drew",
    "faith",
    "father",
    "frank",
    "friend",
    "gene",
    "glen",
    "grace",
    "grant",
    "guy",
    "harmony",
    "help",
    "home",
    "hope",
    "house",
    "hunter",
    "ivy",
    "jack",
    "jewel",
    "joy",
    "june",
    "king",
    "lane",
    "local",
    "mark",
    "mason",
    "max",
    "may",
    "melody",
    "mercy",
    "miles",
    "mobile",
    "mom",
    "mother",
    "mum",
    "mummy",
    "new",
    "office",
    "olive",
    "page",
    "papa",
    "pat",
    "patience",
    "pearl",
    "penny",
    "pierce",
    "rain",
    "ray",
    "reed",
    "rich",
    "rob",
    "robin",
    "rose",
    "ruby",
    "sales",
    "sandy",
    "school",
    "shop",
    "sister",
    "sky",
    "stone",
    "sue",
    "summer",
    "sunny",
    "sunshine",
    "support",
    "taxi",
    "unknown",
    "user",
    "van",
    "victor",
    "wade",
    "will",
    "wife",
    "work",
];

/// Sounds of hesitation: "my name is, um, Ravi".
const HESITATIONS: &[&str] = &["ah", "er", "erm", "hmm", "mm", "uh", "uhm", "um"];

/// Words that begin a contact's entry in the phone book but name nobody: "The Tailor", "Good Morning Cafe".
const NO_NAMES: &[&str] = &[
    "all", "an", "and", "at", "best", "big", "for", "good", "he", "hello", "hey", "hi", "in", "is", "it",
    "little", "me", "my", "no", "of", "old", "on", "one", "our", "she", "that", "the", "they", "this", "to",
    "us", "we", "yes", "you", "your",
];

/// What stands behind a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    None,
    /// A comma or another mark inside a sentence.
    Comma,
    /// `.` or `!`
    Full,
    Question,
}

/// One word of a text, honorifics taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) word: String,
    pub(super) stop: Stop,
    /// An honorific stood beside it.
    pub(super) honoured: bool,
}

/// Splits a text at blanks and hyphens; hesitations and honorifics are left out.
pub(super) fn tokenize(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut honour_next = false;
    for raw in text.split_whitespace().flat_map(|word| word.split(['-', '–', '—'])) {
        let word = normal(raw);
        if word.is_empty() || HESITATIONS.contains(&&*word) {
            continue;
        }
        let stop = stop_of(raw);
        let follows = tokens.last().is_some_and(|before| before.stop == Stop::None);
        let (before, behind) = (HONORIFICS_BEFORE.contains(&&*word), HONORIFICS_BEHIND.contains(&&*word));
        if !before && !behind {
            tokens.push(Token { word: word.into_owned(), stop, honoured: honour_next });
        } else if let (true, true, Some(bearer)) = (behind, follows, tokens.last_mut()) {
            bearer.honoured = true;
            bearer.stop = stop;
        }
        honour_next = before;
    }
    tokens
}

fn stop_of(raw: &str) -> Stop {
    let tail = raw.trim_end_matches(['"', '\'', '”', '’', ')']);
    match tail.chars().last() {
        Some('?' | '？') => Stop::Question,
        Some('.' | '!' | '…' | '。' | '！' | '।') => Stop::Full,
        Some(',' | ';' | ':' | '，' | '、') => Stop::Comma,
        _ => Stop::None,
    }
}

/// Which party a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    User,
    Contact,
}

impl Named {
    /// The role of the one who bears the name.
    pub(super) fn role(self) -> SpeakerRole {
        match self {
            Self::User => SpeakerRole::User,
            Self::Contact => SpeakerRole::Contact,
        }
    }

    /// The role of the one who addresses him.
    pub(super) fn opposite(self) -> SpeakerRole {
        match self {
            Self::User => SpeakerRole::Contact,
            Self::Contact => SpeakerRole::User,
        }
    }
}

/// A name found in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) named: Named,
    /// Index of the first token.
    pub(super) at: usize,
    pub(super) length: usize,
    /// An everyday word: see [`EVERYDAY_WORDS`].
    pub(super) everyday: bool,
}

/// The names of both parties, reduced to what tells them apart.
#[derive(Debug, Default)]
pub(super) struct Names {
    forms: Vec<Form>,
}

#[derive(Debug)]
struct Form {
    named: Named,
    tokens: Vec<String>,
    /// A family name alone counts only with an honorific: "hello Mr Sharma".
    needs_honour: bool,
}

impl Names {
    pub(super) fn new(facts: &PartyFacts) -> Self {
        let user = name_tokens(user_name(facts).as_deref());
        let contact = name_tokens(contact_name(facts).as_deref());
        let mut forms = forms_of(Named::User, &user, &contact);
        forms.extend(forms_of(Named::Contact, &contact, &user));
        // Longest first: "Ravi Kumar Singh" is not a mention of "Ravi Kumar".
        forms.sort_by_key(|form| usize::MAX - form.tokens.len());
        Self { forms }
    }

    /// True when neither party's name proves anything.
    pub(super) fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// All names in a text, from left to right, without overlap.
    pub(super) fn find(&self, tokens: &[Token]) -> Vec<Hit> {
        let mut hits = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            match self.forms.iter().find(|form| form.stands_at(tokens, at)) {
                Some(form) => {
                    let length = form.tokens.len();
                    let everyday = length == 1 && EVERYDAY_WORDS.contains(&form.tokens[0].as_str());
                    hits.push(Hit { named: form.named, at, length, everyday });
                    at += length;
                }
                None => at += 1,
            }
        }
        hits
    }
}

impl Form {
    fn stands_at(&self, tokens: &[Token], at: usize) -> bool {
        let Some(part) = tokens.get(at..at + self.tokens.len()) else { return false };
        part.iter().zip(&self.tokens).all(|(token, word)| token.word == *word)
            && (!self.needs_honour || part[0].honoured)
            // A stop inside belongs to two different sentences, not to one name.
            && part[..part.len() - 1].iter().all(|token| token.stop == Stop::None)
    }
}

/// First name, full name, and family name with honorific; without what the other party's name contains too.
fn forms_of(named: Named, own: &[String], other: &[String]) -> Vec<Form> {
    let Some(first) = own.first() else { return Vec::new() };
    let mut forms = vec![Form { named, tokens: vec![first.clone()], needs_honour: false }];
    if let [_, .., last] = own {
        forms.push(Form { named, tokens: own.to_vec(), needs_honour: false });
        forms.push(Form { named, tokens: vec![last.clone()], needs_honour: true });
    }
    forms.retain(|form| form.tokens.len() > 1 || !NO_NAMES.contains(&form.tokens[0].as_str()));
    forms.retain(|form| !other.windows(form.tokens.len()).any(|part| part == form.tokens));
    forms
}

/// The words of a name without honorifics and initials. A name that is nothing but honorifics proves nothing.
fn name_tokens(name: Option<&str>) -> Vec<String> {
    let Some(name) = name else { return Vec::new() };
    tokenize(name).into_iter().map(|token| token.word).filter(|word| word.chars().count() > 1).collect()
}

/// The user's name where it is one: an e-mail address is not.
pub(super) fn user_name(facts: &PartyFacts) -> Option<String> {
    usable_name(facts.user_display_name.as_deref())
}

/// The contact's name where it is one: phones put the number there when they know no name.
pub(super) fn contact_name(facts: &PartyFacts) -> Option<String> {
    usable_name(facts.contact_name.as_deref())
}

fn usable_name(name: Option<&str>) -> Option<String> {
    let name =
        name?.split_whitespace().map(printable).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    (name.chars().any(char::is_alphabetic) && !name.contains('@')).then_some(name)
}

/// `Contact ending NNNN`: the last four digits, never more; nothing for short codes.
pub(super) fn phone_label(facts: &PartyFacts) -> Option<String> {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let number = [facts.phone_number.as_deref(), facts.contact_name.as_deref()]
        .into_iter()
        .flatten()
        .map(digits)
        .find(|digits| digits.len() > 4)?;
    Some(format!("Contact ending {}", &number[number.len() - 4..]))
}
