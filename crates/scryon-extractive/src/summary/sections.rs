//! Evidence by theme, and the timeline of what no other part quotes.

use std::collections::BTreeSet;

use scryon_domain::analysis::{AmountKind, DiscussionPoint, Importance, Section, SectionItem};

use super::Material;
use crate::evidence::Evidence;
use crate::text::{Document, capitalised, quoted};

const MAX_ITEMS: usize = 5;
const MAX_POINTS: usize = 10;
/// A timeline of fewer points is no timeline.
const MIN_POINTS: usize = 3;
/// Weaker statements, compared with the strongest one, are small talk.
const MIN_POINT_SCORE: f64 = 0.3;
const MAX_QUOTE_CHARS: usize = 280;

pub(super) fn sections(material: &Material<'_, '_>, used: &mut BTreeSet<usize>) -> Vec<Section> {
    let evidence = material.evidence;
    let keys = |evidence: &Evidence| evidence.units.keys().copied().collect::<Vec<_>>();
    let themes: [(&str, &str, Importance, Vec<usize>); 5] = [
        ("Decisions", "decision", Importance::High, keys(&evidence.decisions)),
        ("Concerns", "concern", Importance::High, keys(&evidence.risks)),
        ("Opportunities", "opportunity", Importance::Medium, keys(&evidence.opportunities)),
        ("Figures", "figures", Importance::Medium, figure_units(material)),
        ("Questions", "question", Importance::Low, material.questions.to_vec()),
    ];
    let mut sections: Vec<Section> = Vec::new();
    // Score and place of each item, to find the strongest.
    let mut places: Vec<(f64, usize, usize)> = Vec::new();
    for (title, kind, importance, units) in themes {
        let fresh: BTreeSet<usize> = units.into_iter().filter(|unit| !used.contains(unit)).collect();
        let mut chosen = material.ranking.best_of(fresh);
        chosen.truncate(MAX_ITEMS);
        chosen.sort_unstable();
        let items: Vec<SectionItem> =
            chosen.iter().filter_map(|unit| item(material.document, *unit, importance)).collect();
        if items.is_empty() {
            continue;
        }
        let ranked = chosen.iter().enumerate();
        places.extend(ranked.map(|(index, unit)| (material.ranking.score(*unit), sections.len(), index)));
        used.extend(chosen);
        sections.push(Section {
            id: Some(format!("sec_{:03}", sections.len() + 1)),
            title: title.to_owned(),
            kind: Some(kind.to_owned()),
            summary: None,
            items,
        });
    }
    promote_strongest(&mut sections, &places);
    sections
}

/// Older clients show only items of high importance: where there is none, the strongest becomes one.
fn promote_strongest(sections: &mut [Section], places: &[(f64, usize, usize)]) {
    let mut items = sections.iter().flat_map(|section| &section.items);
    if items.any(|item| item.importance == Some(Importance::High)) {
        return;
    }
    // The first of equals: later ones must be truly stronger.
    let strongest = places.iter().rev().max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, section, item)) = strongest
        && let Some(item) = sections.get_mut(*section).and_then(|section| section.items.get_mut(*item))
    {
        item.importance = Some(Importance::High);
    }
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
    let best = material.ranking.best(0..document.units.len(), |_| true);
    let floor = best.first().map_or(0.0, |unit| material.ranking.score(*unit)) * MIN_POINT_SCORE;
    units.retain(|unit| material.ranking.score(*unit) >= floor);
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
