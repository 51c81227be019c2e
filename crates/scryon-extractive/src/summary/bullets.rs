//! The detailed summary: the call in a few parts, each with its topic and its central statements.

use std::collections::BTreeSet;
use std::ops::Range;

use scryon_domain::analysis::SummaryBullet;

use super::{Material, enumeration};
use crate::text::{Document, WordId, capitalised, quoted};

const MAX_PARTS: usize = 6;
const MIN_PARTS: usize = 3;
/// Strong statements that make a part of their own.
const STATEMENTS_PER_PART: usize = 5;
/// With fewer strong statements a call is too small for three parts.
const STATEMENTS_FOR_PARTS: usize = 5;
const QUOTES_PER_PART: usize = 3;
/// Weaker statements, compared with the strongest of their part, are left out.
const MIN_SHARE: f64 = 0.35;
const MAX_QUOTE_CHARS: usize = 300;
/// How many units before and after a border are compared.
const COHESION_UNITS: usize = 5;
/// How far from its even place a border may move.
const MAX_SHIFT: usize = 12;

pub(super) fn bullets(material: &Material<'_, '_>, used: &mut BTreeSet<usize>) -> Vec<SummaryBullet> {
    let mut headers = BTreeSet::new();
    let parts = parts(material);
    let bullets = parts.into_iter().filter_map(|part| {
        let quotes = central_units(material, part.clone(), used);
        let paragraph = paragraph(material.document, &quotes)?;
        used.extend(quotes);
        Some(SummaryBullet {
            header: header(material, part.clone(), &mut headers),
            start_timestamp: Some(timestamp(material.document, part.start)),
            paragraphs: vec![paragraph],
        })
    });
    bullets.collect()
}

/// The call in stretches of units, cut where the words before and after have least in common.
fn parts(material: &Material<'_, '_>) -> Vec<Range<usize>> {
    let document = material.document;
    let total = document.units.len();
    let strong: Vec<usize> = (0..total).filter(|unit| material.ranking.score(*unit) > 0.0).collect();
    let count = match strong.len() {
        0 => return Vec::new(),
        few if few < STATEMENTS_FOR_PARTS => 1,
        many => (many / STATEMENTS_PER_PART).clamp(MIN_PARTS, MAX_PARTS),
    };
    let mut borders = vec![0];
    for part in 1..count {
        let even = strong.get(strong.len() * part / count).copied().unwrap_or(total);
        let last = borders.last().copied().unwrap_or_default();
        let shift = MAX_SHIFT.min(total / (count * 3));
        let window = even.saturating_sub(shift).max(last + 1)..(even + shift + 1).min(total);
        let border = window.min_by_key(|border| (cohesion(document, *border), border.abs_diff(even)));
        borders.extend(border);
    }
    borders.push(total);
    borders.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

/// Content words the units before and after a border share.
fn cohesion(document: &Document<'_>, border: usize) -> usize {
    let stems = |units: Range<usize>| -> BTreeSet<WordId> {
        let spans = document.units.get(units).unwrap_or_default().iter().map(|unit| unit.span.clone());
        let content = spans.flatten().filter(|position| document.is_content(*position));
        content.filter_map(|position| document.stem(position)).collect()
    };
    let before = stems(border.saturating_sub(COHESION_UNITS)..border);
    let after = stems(border..(border + COHESION_UNITS).min(document.units.len()));
    before.intersection(&after).count()
}

/// The best statements of a part in call order: unquoted ones, or else any, so that no part stays silent.
fn central_units(material: &Material<'_, '_>, part: Range<usize>, used: &BTreeSet<usize>) -> Vec<usize> {
    let mut units = material.ranking.best(part.clone(), |unit| !used.contains(&unit));
    if units.is_empty() {
        units = material.ranking.best(part, |_| true);
        units.truncate(1);
    }
    let floor = units.first().map_or(0.0, |unit| material.ranking.score(*unit)) * MIN_SHARE;
    units.retain(|unit| material.ranking.score(*unit) >= floor);
    units.truncate(QUOTES_PER_PART);
    units.sort_unstable();
    units
}

fn paragraph(document: &Document<'_>, units: &[usize]) -> Option<String> {
    let spans = units.iter().filter_map(|unit| document.units.get(*unit)).map(|unit| unit.span.clone());
    let quotes: Vec<String> = spans.map(|span| quoted(document, span, MAX_QUOTE_CHARS)).collect();
    (!quotes.is_empty()).then(|| quotes.join(" "))
}

fn header(material: &Material<'_, '_>, part: Range<usize>, taken: &mut BTreeSet<String>) -> String {
    let document = material.document;
    let units = document.units.get(part.clone()).unwrap_or_default();
    let span = units.first().map_or(0, |unit| unit.span.start)..units.last().map_or(0, |unit| unit.span.end);
    let kind = material.call_type.as_str();
    let mut topics = material.keywords.topics(document, material.mentions, span, 4);
    topics.retain(|topic| topic != kind);
    let candidates = [topics.get(..2), topics.get(1..3), topics.get(..1), topics.get(..3)];
    let from_topics = candidates.into_iter().flatten().map(|words| capitalised(&enumeration(words)));
    let place = match (part.start == 0, part.end == document.units.len()) {
        (true, _) => "Opening",
        (false, true) => "Closing",
        (false, false) => "Middle of the call",
    };
    let numbered = (2..=MAX_PARTS + 1).map(|number| format!("{place} {number}"));
    let mut candidates = from_topics.chain([place.to_owned()]).chain(numbered);
    let header = candidates.find(|header| !taken.contains(header)).unwrap_or_else(|| place.to_owned());
    taken.insert(header.clone());
    header
}

/// `MM:SS`, or `HH:MM:SS` in calls of an hour and more. Always inside the call, whatever the segment says.
fn timestamp(document: &Document<'_>, unit: usize) -> String {
    let transcript = document.transcript;
    let ends = transcript.segments.iter().map(|segment| segment.end_seconds);
    let call = ends.chain([transcript.duration_seconds]).filter(|end| end.is_finite()).fold(0.0, f64::max);
    let position = document.units.get(unit).map_or(0, |unit| unit.span.start);
    let start = document.segment(position).map_or(0.0, |segment| segment.start_seconds);
    let start = if start.is_finite() { start.clamp(0.0, call) } else { 0.0 };
    // Neither negative nor above the length of the call; the conversion saturates.
    let seconds = start.floor() as u64;
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if call >= 3600.0 {
        format!("{hours:02}:{minutes:02}:{rest:02}")
    } else {
        format!("{minutes:02}:{rest:02}")
    }
}
