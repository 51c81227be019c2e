//! The summary. Each statement is quoted in one place only: the headline takes the strongest, sections take
//! the evidence, bullets cover what is left of each part of the call, the timeline takes the rest.

mod bullets;
mod headline;
mod sections;

use std::collections::BTreeSet;

use scryon_domain::analysis::{CallType, DiscussionPoint, Section, SummaryBullet};

use crate::AnalysisContext;
use crate::evidence::AllEvidence;
use crate::keywords::Keywords;
use crate::mentions::Mentions;
use crate::ranking::Ranking;
use crate::text::Document;

pub(crate) use headline::NO_SPEECH_SUMMARY;

/// Everything the summary is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Material<'a, 't> {
    pub(crate) document: &'a Document<'t>,
    pub(crate) context: &'a AnalysisContext,
    pub(crate) mentions: &'a Mentions,
    pub(crate) evidence: &'a AllEvidence,
    pub(crate) questions: &'a [usize],
    pub(crate) keywords: &'a Keywords,
    pub(crate) ranking: &'a Ranking,
    pub(crate) call_type: CallType,
    pub(crate) counts: Counts,
}

/// What a call left behind, for the headline.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) action_items: usize,
    pub(crate) next_steps: usize,
    pub(crate) decisions: usize,
    pub(crate) open_questions: usize,
}

/// The parts of the document that tell the call.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) suggested_title: Option<String>,
    pub(crate) one_line: String,
    pub(crate) executive: String,
    pub(crate) bullets: Vec<SummaryBullet>,
    pub(crate) outcome: Option<String>,
    pub(crate) sections: Vec<Section>,
    pub(crate) points: Vec<DiscussionPoint>,
}

pub(crate) fn of(material: &Material<'_, '_>) -> Summary {
    let mut used = BTreeSet::new();
    let one_line = headline::one_line(material);
    let executive = headline::executive(material, &mut used);
    let outcome = headline::outcome(material, &mut used);
    let sections = sections::sections(material, &mut used);
    let bullets = bullets::bullets(material, &mut used);
    let points = sections::points(material, &used);
    let suggested_title = headline::suggested_title(material);
    Summary { suggested_title, one_line, executive, bullets, outcome, sections, points }
}

/// `a`, `a and b`, `a, b and c`.
fn enumeration(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}
