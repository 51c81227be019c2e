//! Statements that are decisions, risks, opportunities, because of what they contain.

use std::collections::BTreeMap;

use scryon_domain::analysis::{Finding, Importance};

use crate::lexicon::List;
use crate::text::{Document, quoted};

const MAX_FINDINGS: usize = 20;
const MAX_QUOTE_CHARS: usize = 280;
/// A statement with fewer content words says nothing by itself.
const MIN_CONTENT_WORDS: usize = 2;

/// Units of one kind with how many phrases spoke for it, in call order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    pub(crate) units: BTreeMap<usize, usize>,
}

/// All kinds of evidence in a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllEvidence {
    pub(crate) decisions: Evidence,
    pub(crate) risks: Evidence,
    pub(crate) opportunities: Evidence,
    pub(crate) resolutions: Evidence,
}

pub(crate) fn find(document: &Document<'_>) -> AllEvidence {
    AllEvidence {
        decisions: decisions(document),
        risks: stated(document, List::Risk),
        opportunities: stated(document, List::Opportunity),
        resolutions: stated(document, List::Resolution),
    }
}

/// Units in which a phrase of the list is said and not denied.
fn stated(document: &Document<'_>, list: List) -> Evidence {
    let mut evidence = Evidence::default();
    let mut last_end = 0;
    for hit in document.hits(list) {
        // `we agreed` and the `agreed to` within it are one phrase.
        if hit.start < last_end {
            continue;
        }
        // `not working` brings its own negation.
        let denies_itself = document.flags(hit.start).intersects(crate::lexicon::Flags::NEGATION);
        if !denies_itself && document.is_negated(hit.start) {
            continue;
        }
        let Some(index) = document.unit_index_at(hit.start) else { continue };
        let Some(unit) = document.units.get(index) else { continue };
        if document.content_words(unit.span.clone()) >= MIN_CONTENT_WORDS {
            *evidence.units.entry(index).or_default() += 1;
            last_end = hit.end;
        }
    }
    evidence
}

/// A decision is stated, not asked: `have we agreed on that?` decides nothing.
fn decisions(document: &Document<'_>) -> Evidence {
    let mut evidence = stated(document, List::Decision);
    evidence.units.retain(|index, _| {
        document
            .units
            .get(*index)
            .is_some_and(|unit| !unit.asks && !crate::questions::is_asked(document, unit))
    });
    evidence
}

/// The findings of one kind, as quotes.
pub(crate) fn findings(document: &Document<'_>, evidence: &Evidence) -> Vec<Finding> {
    let units = evidence.units.iter().take(MAX_FINDINGS);
    units
        .filter_map(|(index, phrases)| {
            let unit = document.units.get(*index)?;
            Some(Finding {
                text: quoted(document, unit.span.clone(), MAX_QUOTE_CHARS),
                speaker_id: document.speaker(unit).map(|speaker| speaker.speaker_id.clone()),
                importance: Some(if *phrases > 1 { Importance::High } else { Importance::Medium }),
                source_segment_ids: document.cite(unit.span.clone()),
                ..Finding::default()
            })
        })
        .collect()
}
