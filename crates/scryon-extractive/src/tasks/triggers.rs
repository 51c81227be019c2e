//! Where a task begins and ends.

use std::collections::HashMap;
use std::sync::LazyLock;

use scryon_domain::analysis::ActionIntent;

use crate::lexicon::{Flags, Hit, List, Strength, VERBS, Verb};
use crate::mentions::Mentions;
use crate::text::{Document, Span, Unit};

/// How the task came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `I will send it`.
    Promise,
    /// `Can you send it`.
    Request,
    /// `Let's meet`.
    Proposal,
    /// `I have to think about it`.
    Plan,
}

/// One task as said.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) kind: Kind,
    /// Index of the unit.
    pub(super) unit: usize,
    /// Where `I will`, `can you`, … begins.
    pub(super) trigger: usize,
    /// From the verb to the end of the task.
    pub(super) span: Span,
    pub(super) verb: &'static Verb,
    /// Position after the words of the verb.
    pub(super) verb_end: usize,
    /// Intent of the verb; `None` where nothing can be launched.
    pub(super) intent: ActionIntent,
    /// Planned by the speaker alone (`I have to`), not by everybody (`we have to`).
    pub(super) is_own: bool,
}

/// Longer tasks are stories.
const MAX_TASK_WORDS: usize = 16;
/// `just`, `also`, `go ahead and`, … between the trigger and the verb.
const MAX_SKIPPED_WORDS: usize = 6;

static VERBS_BY_WORD: LazyLock<HashMap<&'static str, Vec<&'static Verb>>> = LazyLock::new(|| {
    let mut verbs: HashMap<&str, Vec<&Verb>> = HashMap::new();
    for verb in VERBS {
        verbs.entry(verb.words.split(' ').next().unwrap_or_default()).or_default().push(verb);
    }
    verbs
});

/// Every task of the call, in order. A verb makes one task, whatever leads to it.
pub(super) fn find(document: &Document<'_>, mentions: &Mentions) -> Vec<Task> {
    let lists = [
        (List::Promise, Kind::Promise),
        (List::Request, Kind::Request),
        (List::Imperative, Kind::Request),
        (List::Proposal, Kind::Proposal),
        (List::Plan, Kind::Plan),
    ];
    let mut tasks: Vec<Task> = Vec::new();
    for (index, unit) in document.units.iter().enumerate() {
        let before = tasks.len();
        for (list, kind) in lists {
            for hit in document.hits_in(list, unit.span.clone()) {
                let Some(task) = task_at(document, mentions, (index, unit), *hit, kind) else { continue };
                let is_new = tasks[before..].iter().all(|other| other.span.start != task.span.start);
                if is_new && !is_refused(document, index, kind) {
                    tasks.push(task);
                }
            }
        }
        tasks[before..].sort_by_key(|task| task.span.start);
    }
    tasks
}

fn task_at(
    document: &Document<'_>,
    mentions: &Mentions,
    (index, unit): (usize, &Unit),
    hit: Hit,
    kind: Kind,
) -> Option<Task> {
    if is_reported(document, hit.start, kind) || hit.end > unit.span.end {
        return None;
    }
    let from = if hit.list == List::Imperative { hit.start } else { hit.end };
    let start = verb_start(document, from, unit.span.end)?;
    let (verb, verb_end) = verb_at(document, start)?;
    let end = task_end(document, start, verb_end, &unit.span);
    let span = start..end;
    let is_dated = !mentions.dates_in(start..unit.span.end).is_empty()
        || !mentions.times_in(start..unit.span.end).is_empty();
    let is_in_call = document.has_hit(List::InCall, start..start + 1);
    if is_in_call && !is_dated {
        return None;
    }
    if hit.list == List::Imperative && !is_imperative(document, hit.start, unit.span.start) {
        return None;
    }
    let object = verb_end..end;
    let has_object = document.content_words(object.clone()) > 0;
    let intent = match (verb.strength, kind) {
        // `we should replace it` leaves nothing to remember.
        (_, Kind::Plan) if !has_object && !is_dated => return None,
        (Strength::Firm, _) => verb.intent,
        (Strength::Soft, _) if has_object => verb.intent,
        (Strength::Timed, _) if is_dated => verb.intent,
        (Strength::Timed, Kind::Promise) if has_object => ActionIntent::None,
        (Strength::Plan, Kind::Promise | Kind::Plan | Kind::Proposal) if has_object => ActionIntent::None,
        _ => return None,
    };
    let asks_weakly = kind == Kind::Request && WEAK_REQUESTS.contains(&phrase_text(document, hit).as_str());
    let is_for_speaker = object.clone().any(|position| matches!(document.word(position), "me" | "us"));
    if asks_weakly && !is_dated && !is_for_speaker {
        return None;
    }
    if is_let_me(document, hit) && !is_dated && verb.strength != Strength::Firm {
        return None;
    }
    // `ill` is a word of its own; only a verb after it makes it a promise.
    if document.word(hit.start) == "ill" && start != hit.end {
        return None;
    }
    let is_own = document.word(hit.start) == "i";
    Some(Task { kind, unit: index, trigger: hit.start, span, verb, verb_end, intent, is_own })
}

/// Said as advice or ability as often as asked: they need a recipient or a day.
const WEAK_REQUESTS: &[&str] =
    &["you need to", "you have to", "if you can", "if you could", "you could", "you can", "you should"];

fn phrase_text(document: &Document<'_>, hit: Hit) -> String {
    (hit.start..hit.end).map(|position| document.word(position)).collect::<Vec<_>>().join(" ")
}

fn is_let_me(document: &Document<'_>, hit: Hit) -> bool {
    document.has_words(hit.start, &["let", "me"])
}

/// `what I will do`, `if I will`, `he said I will`: told, not promised. Asking knows no such forms.
fn is_reported(document: &Document<'_>, start: usize, kind: Kind) -> bool {
    kind != Kind::Request
        && matches!(
            document.word_before(start, 1),
            "if" | "what" | "that" | "said" | "told" | "how" | "why" | "unless" | "whether" | "which" | "because"
                // A threat or a choice.
                | "or" | "otherwise"
        )
}

/// `send me the file`, but not `they send me files` or `to call me`.
fn is_imperative(document: &Document<'_>, start: usize, unit_start: usize) -> bool {
    if start == unit_start {
        return true;
    }
    let before = document.word_before(start, 1);
    matches!(before, "and" | "just" | "so" | "then" | "okay" | "or" | "please" | "yeah" | "well" | "alright" | "also")
        // `they called and email me` has a subject further back.
        && !(before == "and" && document.flags(start.saturating_sub(3)).intersects(Flags::PRONOUN))
}

/// Where the verb must be: behind the trigger and adverbs. A `not` there is no verb, and so there is no task.
fn verb_start(document: &Document<'_>, from: usize, limit: usize) -> Option<usize> {
    let mut positions = from..limit.min(from + MAX_SKIPPED_WORDS);
    positions.find(|position| {
        // `go ahead` leads to a verb, `go over` is one.
        let is_verb = document.word(*position) == "go" && verb_at(document, *position).is_some();
        is_verb || !SKIPPED.contains(&document.word(*position))
    })
}

const SKIPPED: &[&str] = &[
    "just",
    "also",
    "then",
    "definitely",
    "certainly",
    "probably",
    "maybe",
    "please",
    "kindly",
    "quickly",
    "now",
    "actually",
    "try",
    "to",
    "go",
    "ahead",
    "and",
    "be",
    "sure",
    "make",
    "personally",
    "still",
    "first",
    "um",
    "uh",
    "immediately",
    "happy",
    "glad",
    "simply",
    "possibly",
    "perhaps",
    "have",
    "able",
];

/// The verb here, in its plain form, as `-ing`, or as the `sent` that recognisers hear for `send`.
fn verb_at(document: &Document<'_>, position: usize) -> Option<(&'static Verb, usize)> {
    let word = document.word(position);
    let known = |lemma: &str| VERBS_BY_WORD.get(lemma).map(Vec::as_slice);
    let ing = word.strip_suffix("ing").filter(|stem| stem.len() > 2);
    let candidates = known(word)
        .or_else(|| known(ing?))
        .or_else(|| known(&format!("{}e", ing?)))
        .or_else(|| if word == "sent" { known("send") } else { None })?;
    let matching = candidates.iter().filter_map(|verb| {
        let rest: Vec<&str> = verb.words.split(' ').skip(1).collect();
        document.has_words(position + 1, &rest).then_some((*verb, position + 1 + rest.len()))
    });
    matching.max_by_key(|(_, end)| *end)
}

/// A task ends with its clause: at punctuation, at a word that begins another thought, or at its length.
fn task_end(document: &Document<'_>, start: usize, verb_end: usize, unit: &Span) -> usize {
    let limit = unit.end.min(start + MAX_TASK_WORDS);
    for position in start + 1..limit {
        let before_ends = document.tokens.get(position - 1).is_some_and(|token| token.marks.ends_clause);
        if before_ends {
            return position;
        }
        if position >= verb_end && begins_clause(document, position) {
            return position;
        }
    }
    limit
}

fn begins_clause(document: &Document<'_>, position: usize) -> bool {
    if document.flags(position).intersects(Flags::CLAUSE_BREAK) {
        return true;
    }
    let next = document.flags(position + 1);
    match document.word(position) {
        "and" | "or" => {
            next.intersects(Flags::PRONOUN | Flags::CLAUSE_BREAK | Flags::CONNECTIVE | Flags::AUXILIARY)
                || matches!(document.word(position + 1), "let" | "maybe" | "see")
        }
        // `what is`, `when can`: a question of its own. `call me when it is done` goes on.
        "what" | "where" | "who" | "why" | "how" => next.intersects(Flags::AUXILIARY),
        "is" | "can" | "could" | "do" | "does" | "will" => next.intersects(Flags::PRONOUN),
        "i" | "we" => next.intersects(Flags::AUXILIARY) && document.word(position + 1) != "have",
        "it" | "they" | "he" | "she" | "there" | "this" => next.intersects(Flags::AUXILIARY),
        "no" => true,
        _ => false,
    }
}

/// The other party's next words undo a request.
fn is_refused(document: &Document<'_>, index: usize, kind: Kind) -> bool {
    let (Some(unit), Some(next)) = (document.units.get(index), document.units.get(index + 1)) else {
        return false;
    };
    kind == Kind::Request
        && next.speaker != unit.speaker
        && document.has_hit(List::Refusal, next.span.start..(next.span.start + 4).min(next.span.end))
}
