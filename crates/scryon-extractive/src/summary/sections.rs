//! Evidence by theme, and the timeline of what no other part quotes.

use std::collections::BTreeSet;

use scryon_domain::analysis::{AmountKind, DiscussionPoint, Importance, Section, SectionItem};

use super::Material;
use crate::text::{Document, capitalised, quoted};

const MAX_ITEMS: usize = 5;
const MAX_POINTS: usize = 10;
/// A timeline of fewer points is no timeline.
const MIN_POINTS: usize = 3;
const MAX_QUOTE_CHARS: usize = 280;

pub(super) fn sections(material: &Material<'_, '_>, used: &mut BTreeSet<usize>) -> Vec<Section> {
    let evidence = material.evidence;
    let figures = figure_units(material);
    let keys = |units: &std::collections::BTreeMap<usize, usize>| units.keys().copied().collect::<Vec<_>>();
    let themes: [(&str, &str, Importance, Vec<usize>); 5] = [
        ("Decisions", "decision", Importance::High, keys(&evidence.decisions.units)),
        ("Concerns", "concern", Importance::High, keys(&evidence.risks.units)),
        ("Opportunities", "opportunity", Importance::Medium, keys(&evidence.opportunities.units)),
        ("Figures", "figures", Importance::Medium, figures),
        ("Questions", "question", Importance::Low, material.questions.to_vec()),
    ];
    let mut sections: Vec<Section> = Vec::new();
    for (title, kind, importance, units) in themes {
        let fresh: BTreeSet<usize> = units.into_iter().filter(|unit| !used.contains(unit)).collect();
        let mut chosen = material.ranking.best(0..material.document.units.len(), |unit| fresh.contains(&unit));
        chosen.truncate(MAX_ITEMS);
        chosen.sort_unstable();
        let items: Vec<SectionItem> =
            chosen.iter().filter_map(|unit| item(material.document, *unit, importance)).collect();
        if items.is_empty() {
            continue;
        }
        used.extend(chosen);
        sections.push(Section {
            id: Some(format!("sec_{:03}", sections.len() + 1)),
            title: title.to_owned(),
            kind: Some(kind.to_owned()),
            summary: None,
            items,
        });
    }
    sections
}

fn item(document: &Document<'_>, unit: usize, importance: Importance) -> Option<SectionItem> {
    let unit = document.units.get(unit)?;
    Some(SectionItem {
        text: quoted(document, unit.span.clone(), MAX_QUOTE_CHARS),
        importance: Some(importance),
        speaker: document.speaker(unit).map(|speaker| speaker.label.clone()),
        source_segment_ids: document.cite(unit.span.clone()),
    })
}

/// Units that name money or a share of something.
fn figure_units(material: &Material<'_, '_>) -> Vec<usize> {
    let amounts = material.mentions.amounts.iter().filter(|amount| amount.kind != AmountKind::Number);
    amounts.filter_map(|amount| material.document.unit_index_at(amount.span.start)).collect()
}

/// The strongest statements that are quoted nowhere else, in the order of the call. The narrative names no
/// speaker, so the speaker fields stay empty.
pub(super) fn points(material: &Material<'_, '_>, used: &BTreeSet<usize>) -> Vec<DiscussionPoint> {
    let document = material.document;
    let mut units = material.ranking.best(0..document.units.len(), |unit| !used.contains(&unit));
    units.truncate(MAX_POINTS);
    if units.len() < MIN_POINTS {
        return Vec::new();
    }
    let strongest: BTreeSet<usize> = units.iter().copied().take(units.len() / 3).collect();
    units.sort_unstable();
    let points = units.into_iter().filter_map(|index| {
        let unit = document.units.get(index)?;
        let topics = material.keywords.topics(document, material.mentions, unit.span.clone(), 1);
        Some(DiscussionPoint {
            text: quoted(document, unit.span.clone(), MAX_QUOTE_CHARS),
            topic: topics.first().map(|topic| capitalised(topic)),
            phase: Some(document.phase_of(index)),
            importance: Some(if strongest.contains(&index) { Importance::Medium } else { Importance::Low }),
            source_segment_ids: document.cite(unit.span.clone()),
            ..DiscussionPoint::default()
        })
    });
    points.collect()
}
