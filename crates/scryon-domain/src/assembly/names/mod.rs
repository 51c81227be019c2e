//! Step 6: who is who. Names come only from evidence; where it is thin or contradicts itself a speaker stays
//! `Speaker N`, because a wrong name is worse than none.
//!
//! Rules, strongest first: the operator's channel roles, voice match, greeting or introduction by name, mention
//! asymmetry, elimination, answering phrases. `evidence` finds, `verdict` weighs, `labels` writes.

mod evidence;
mod forms;
mod labels;
mod phrases;
mod verdict;
mod voice;

#[cfg(test)]
mod evidence_tests;
#[cfg(test)]
mod forms_tests;
#[cfg(test)]
mod phrases_tests;
#[cfg(test)]
mod verdict_tests;
#[cfg(test)]
mod voice_tests;

use super::time::Millis;
use super::{PartyFacts, VoiceMatch};
use crate::transcript::{Speaker, SpeakerResolution, SpeakerRole};

/// One party of the call as the naming rules see it, in order of first appearance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Party<'a> {
    pub(super) source: &'a str,
    /// Channel the speaker was separated by, if it was a channel.
    pub(super) channel: Option<u16>,
}

/// One segment as the naming rules see it, in order of the document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line<'a> {
    /// Index into the parties.
    pub(super) speaker: usize,
    pub(super) start: Millis,
    pub(super) text: &'a str,
}

/// Everything the naming rules read.
#[derive(Debug, Clone)]
pub(super) struct Question<'a> {
    pub(super) parties: &'a [Party<'a>],
    pub(super) lines: &'a [Line<'a>],
    pub(super) facts: &'a PartyFacts,
    pub(super) channel_roles: &'a [SpeakerRole],
    pub(super) voice_match: &'a VoiceMatch,
    /// False when one "speaker" may well be two people: then nobody is named.
    pub(super) separated: bool,
}

/// Names the speakers as far as the evidence goes.
pub(super) fn resolve(question: &Question<'_>) -> (Vec<Speaker>, SpeakerResolution) {
    let names = forms::Names::new(question.facts);
    let candidates = if question.separated { question.parties } else { &[] };
    let voice = voice::judge(question.voice_match, candidates);
    let found = if question.separated {
        evidence::gather(question, &names, &voice)
    } else {
        evidence::Findings::default()
    };
    let verdicts = verdict::decide(&found, question.parties.len(), question.facts.direction);
    labels::write(question, &voice, &verdicts)
}
