//! Weighs the evidence: one verdict per speaker.
//!
//! With two parties a claim about one is a claim about the other, so each piece of evidence says which of the two
//! is the user. The first rule with evidence decides, unless something contradicts it: evidence of the same rule,
//! or evidence of another rule that is at least as confident. Then nobody is named.

use super::super::Direction;
use super::evidence::{Evidence, Findings, Rule};
use crate::transcript::{Confidence, LabelSource, SpeakerRole};

/// What is known of one speaker in the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// No evidence.
    Unknown,
    /// Evidence that contradicts itself.
    Ambiguous,
    Known {
        role: SpeakerRole,
        source: LabelSource,
        confidence: Confidence,
    },
}

/// The verdicts and what they rest on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdicts {
    /// One per speaker.
    pub(super) speakers: Vec<Verdict>,
    /// Evidence that decided something.
    pub(super) used: Vec<Evidence>,
    /// The direction of the call raised a confidence.
    pub(super) used_direction: bool,
}

/// Decides for all speakers of the call.
pub(super) fn decide(found: &Findings, speakers: usize, direction: Option<Direction>) -> Verdicts {
    let (mut verdicts, used) = match speakers {
        0..=2 => decide_pair(found, speakers),
        _ => decide_each(found, speakers),
    };
    let used_direction = speakers == 2 && raise_by_direction(&mut verdicts, direction);
    for &speaker in &found.alike {
        if let Some(verdict @ Verdict::Unknown) = verdicts.get_mut(speaker) {
            *verdict = Verdict::Ambiguous;
        }
    }
    Verdicts { speakers: verdicts, used, used_direction }
}

/// One verdict per speaker, and the evidence that decided.
type Decided = (Vec<Verdict>, Vec<Evidence>);

/// The role evidence gives to speaker 0 of a call with at most two.
fn claim(evidence: &Evidence) -> SpeakerRole {
    if evidence.speaker == 0 { evidence.role } else { opposite(evidence.role) }
}

fn opposite(role: SpeakerRole) -> SpeakerRole {
    match role {
        SpeakerRole::User => SpeakerRole::Contact,
        SpeakerRole::Contact => SpeakerRole::User,
        SpeakerRole::Unknown => SpeakerRole::Unknown,
    }
}

enum Weighing {
    Nothing,
    Contradiction,
    /// This is the role claimed for speaker 0.
    Settled(SpeakerRole),
}

/// `claim` makes pieces of evidence comparable.
fn weigh(evidence: &[Evidence], claim: impl Fn(&Evidence) -> SpeakerRole) -> Weighing {
    let Some(rule) = evidence.iter().map(|piece| piece.rule).min() else { return Weighing::Nothing };
    let mut leading = evidence.iter().filter(|piece| piece.rule == rule);
    let Some(role) = leading.next().map(&claim) else { return Weighing::Nothing };
    if leading.any(|piece| claim(piece) != role) {
        return Weighing::Contradiction;
    }
    let confidence = evidence.iter().filter(|piece| piece.rule == rule).map(|piece| piece.confidence).max();
    let contradicted = evidence.iter().any(|piece| {
        claim(piece) != role && Some(piece.confidence) >= confidence && may_contradict(piece.rule, rule)
    });
    if contradicted { Weighing::Contradiction } else { Weighing::Settled(role) }
}

/// Channel roles are the operator's word, and answering phrases only stand in where there is nothing else.
fn may_contradict(rule: Rule, leading: Rule) -> bool {
    leading != Rule::Channel && rule != Rule::Answering
}

fn decide_pair(found: &Findings, speakers: usize) -> Decided {
    let nothing = |verdict| (vec![verdict; speakers], Vec::new());
    let only_answers = found.evidence.iter().all(|piece| piece.rule == Rule::Answering);
    if found.mentions_cross && only_answers {
        return nothing(Verdict::Ambiguous);
    }
    let first = match weigh(&found.evidence, claim) {
        Weighing::Nothing => return nothing(Verdict::Unknown),
        Weighing::Contradiction => return nothing(Verdict::Ambiguous),
        Weighing::Settled(role) => role,
    };
    let mut used = Vec::new();
    let verdicts = (0..speakers)
        .map(|speaker| {
            let role = if speaker == 0 { first } else { opposite(first) };
            let own = strongest(&found.evidence, speaker, role);
            used.extend(own);
            match own {
                Some(evidence) => known(&evidence),
                None => Verdict::Known {
                    role,
                    source: LabelSource::ByElimination,
                    confidence: Confidence::Medium,
                },
            }
        })
        .collect();
    (verdicts, used)
}

/// More than two parties: each stands for himself, nothing follows for the others, and a role two of them claim
/// is given to neither.
fn decide_each(found: &Findings, speakers: usize) -> Decided {
    let mut verdicts = Vec::with_capacity(speakers);
    let mut deciding: Vec<Option<Evidence>> = Vec::with_capacity(speakers);
    for speaker in 0..speakers {
        let own: Vec<Evidence> =
            found.evidence.iter().filter(|piece| piece.speaker == speaker).copied().collect();
        let (verdict, evidence) = match weigh(&own, |piece| piece.role) {
            Weighing::Nothing => (Verdict::Unknown, None),
            Weighing::Contradiction => (Verdict::Ambiguous, None),
            Weighing::Settled(role) => {
                let evidence = strongest(&own, speaker, role);
                (evidence.as_ref().map_or(Verdict::Unknown, known), evidence)
            }
        };
        verdicts.push(verdict);
        deciding.push(evidence);
    }
    for role in [SpeakerRole::User, SpeakerRole::Contact] {
        let holders = deciding.iter().flatten().filter(|evidence| evidence.role == role).count();
        if holders < 2 {
            continue;
        }
        for (verdict, evidence) in verdicts.iter_mut().zip(&mut deciding) {
            if evidence.is_some_and(|found| found.role == role && found.rule != Rule::Channel) {
                *verdict = Verdict::Ambiguous;
                *evidence = None;
            }
        }
    }
    (verdicts, deciding.into_iter().flatten().collect())
}

/// The evidence that names this speaker: the first rule that applies, at its most confident.
fn strongest(evidence: &[Evidence], speaker: usize, role: SpeakerRole) -> Option<Evidence> {
    evidence
        .iter()
        .filter(|piece| piece.speaker == speaker && piece.role == role)
        .min_by_key(|piece| (piece.rule, std::cmp::Reverse(piece.confidence)))
        .copied()
}

fn known(evidence: &Evidence) -> Verdict {
    let source = match evidence.rule {
        Rule::Channel => LabelSource::Channel,
        Rule::Voice => LabelSource::VoiceEmbedding,
        Rule::Greeting => LabelSource::GreetingMatch,
        Rule::Mention => LabelSource::NameMention,
        Rule::Answering => LabelSource::AnsweringPattern,
    };
    Verdict::Known { role: evidence.role, source, confidence: evidence.confidence }
}

/// Whoever is called speaks first. Where that agrees with a late greeting it raises its confidence; alone it
/// gives nobody a role.
fn raise_by_direction(verdicts: &mut [Verdict], direction: Option<Direction>) -> bool {
    let expected = match direction {
        Some(Direction::Incoming) => SpeakerRole::User,
        Some(Direction::Outgoing) => SpeakerRole::Contact,
        Some(Direction::Unknown) | None => return false,
    };
    let agrees = matches!(verdicts.first(), Some(Verdict::Known { role, .. }) if *role == expected);
    let mut raised = false;
    for verdict in verdicts.iter_mut().filter(|_| agrees) {
        if let Verdict::Known { source: LabelSource::GreetingMatch, confidence, .. } = verdict {
            raised |= *confidence == Confidence::Medium;
            *confidence = Confidence::High;
        }
    }
    raised
}
