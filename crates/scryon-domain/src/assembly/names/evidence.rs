//! Evidence for roles, rule by rule. Nothing is weighed here.

use super::super::Direction;
use super::forms::{Named, Names, tokenize};
use super::phrases::{self, Use};
use super::voice::Voice;
use super::{Line, Question};
use crate::transcript::{Confidence, SpeakerRole};

/// Where a greeting counts fully: the opening of the call.
const OPENING_SEGMENTS: usize = 2;
const OPENING_MILLIS: i64 = 30_000;
/// Where an answering phrase counts: the moment somebody picks up.
const ANSWER_SEGMENTS: usize = 4;
const ANSWER_MILLIS: i64 = 20_000;

/// The rules that find roles, in order of precedence. Elimination is no evidence but a conclusion from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    Channel,
    Voice,
    Greeting,
    Mention,
    Answering,
}

/// One reason to give a speaker a role.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Evidence {
    pub(super) rule: Rule,
    pub(super) speaker: usize,
    pub(super) role: SpeakerRole,
    pub(super) confidence: Confidence,
    /// Whose name was said, where one was.
    pub(super) named: Option<Named>,
}

/// All there is to weigh.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Findings {
    pub(super) evidence: Vec<Evidence>,
    /// Speakers whose voices could not be told apart.
    pub(super) alike: Vec<usize>,
    /// Somebody mentions both names: mentions lead nowhere.
    pub(super) mentions_cross: bool,
}

/// Looks for evidence. In a call of more than two parties only what speakers say of themselves counts, and what
/// the recording itself says (channels, voices): there "hi Ravi" may come from anybody.
pub(super) fn gather(question: &Question<'_>, names: &Names, voice: &Voice) -> Findings {
    let mut found = Findings::default();
    found.evidence.extend(channel_roles(question));
    match voice {
        Voice::Matched { speaker, confidence, .. } => found.evidence.push(Evidence {
            rule: Rule::Voice,
            speaker: *speaker,
            role: SpeakerRole::User,
            confidence: *confidence,
            named: None,
        }),
        Voice::Ambiguous { speakers } => found.alike.clone_from(speakers),
        Voice::Disabled | Voice::NoProfile | Voice::Unavailable | Voice::NoMatch => {}
    }
    let mut mentions = vec![[Mention::None; 2]; question.parties.len()];
    // Without a name to look for there is nothing to find.
    let lines = if names.is_empty() { &[] } else { question.lines };
    for (index, line) in lines.iter().enumerate() {
        let tokens = tokenize(line.text);
        let hits = names.find(&tokens);
        for hit in &hits {
            let use_ = phrases::classify(&tokens, hit, &hits);
            let known = &mut mentions[line.speaker][hit.named as usize];
            *known = (*known).max(Mention::of(use_));
            found.evidence.extend(by_name(index, line, hit.named, use_, question.parties.len()));
        }
    }
    if let [first, second] = mentions[..] {
        match asymmetry(first, second) {
            Asymmetry::Found(evidence) => found.evidence.extend(evidence),
            Asymmetry::Crossed => found.mentions_cross = true,
            Asymmetry::None => {}
        }
        // Whoever is called answers. On an incoming call that is the user, and the phrase would point at the
        // wrong side.
        if question.facts.direction != Some(Direction::Incoming) {
            found.evidence.extend(answers(question.lines));
        }
    }
    found
}

fn channel_roles(question: &Question<'_>) -> Vec<Evidence> {
    let role_of = |channel: u16| question.channel_roles.get(usize::from(channel)).copied();
    question
        .parties
        .iter()
        .enumerate()
        .filter_map(|(speaker, party)| {
            let role = party.channel.and_then(role_of).filter(|&role| role != SpeakerRole::Unknown)?;
            Some(Evidence { rule: Rule::Channel, speaker, role, confidence: Confidence::High, named: None })
        })
        .collect()
}

/// A greeting points at the other party, an introduction at the speaker himself.
fn by_name(index: usize, line: &Line<'_>, named: Named, use_: Use, parties: usize) -> Option<Evidence> {
    let role = match use_ {
        Use::Introduction => named.role(),
        Use::Greeting if parties <= 2 => named.opposite(),
        Use::Greeting | Use::Own | Use::Mention | Use::Nothing => return None,
    };
    let opening = index < OPENING_SEGMENTS && line.start <= OPENING_MILLIS;
    let confidence = if opening { Confidence::High } else { Confidence::Medium };
    Some(Evidence { rule: Rule::Greeting, speaker: line.speaker, role, confidence, named: Some(named) })
}

/// What one speaker did with one name over the whole call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mention {
    None,
    Other,
    /// Perhaps his own name at least once: then it proves nothing about him.
    PerhapsOwn,
}

impl Mention {
    fn of(use_: Use) -> Self {
        match use_ {
            Use::Greeting | Use::Mention => Self::Other,
            Use::Introduction | Use::Own => Self::PerhapsOwn,
            Use::Nothing => Self::None,
        }
    }
}

enum Asymmetry {
    None,
    Found(Vec<Evidence>),
    Crossed,
}

/// Who mentions a name the other one never says is speaking of, or to, the other one. Who mentions both names may
/// be speaking of himself in one of them: then mentions lead nowhere. Indices into the arrays are [`Named`].
fn asymmetry(first: [Mention; 2], second: [Mention; 2]) -> Asymmetry {
    if [first, second].contains(&[Mention::Other; 2]) {
        return Asymmetry::Crossed;
    }
    let only = |own: Mention, other: Mention| own == Mention::Other && other == Mention::None;
    let mut found: Vec<Evidence> = Vec::new();
    for named in [Named::User, Named::Contact] {
        let (a, b) = (first[named as usize], second[named as usize]);
        let speaker = match (only(a, b), only(b, a)) {
            (true, _) => 0,
            (_, true) => 1,
            _ => continue,
        };
        found.push(Evidence {
            rule: Rule::Mention,
            speaker,
            role: named.opposite(),
            confidence: Confidence::Medium,
            named: Some(named),
        });
    }
    if found.is_empty() { Asymmetry::None } else { Asymmetry::Found(found) }
}

fn answers(lines: &[Line<'_>]) -> Vec<Evidence> {
    lines
        .iter()
        .take(ANSWER_SEGMENTS)
        .filter(|line| line.start <= ANSWER_MILLIS && phrases::answers_the_phone(&tokenize(line.text)))
        .map(|line| Evidence {
            rule: Rule::Answering,
            speaker: line.speaker,
            role: SpeakerRole::Contact,
            confidence: Confidence::Medium,
            named: None,
        })
        .collect()
}
