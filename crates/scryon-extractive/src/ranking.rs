//! Which statements stand for the call: those closest to what all of it is about. Centroid ranking over
//! tf-idf; linear in the length of the call.

use crate::text::{Document, WordId};

/// Statements outside of this length are fragments or monologues.
const MIN_WORDS: usize = 4;
const MIN_CONTENT_WORDS: usize = 2;
/// Words from which on a statement needs no bonus for being short.
const FULL_WORDS: f64 = 8.0;

/// A score for each unit; zero for those that cannot stand for anything.
#[derive(Debug)]
pub(crate) struct Ranking {
    scores: Vec<f64>,
}

impl Ranking {
    /// `bonus` holds a factor for units that carry more than words: figures, decisions, dates.
    pub(crate) fn of(document: &Document<'_>, bonus: &[f64]) -> Self {
        let terms = terms_per_unit(document);
        let weights = inverse_frequencies(document, &terms);
        let mut centroid = vec![0.0; document.vocabulary_size()];
        for unit in &terms {
            for term in unit {
                centroid[*term] += weights[*term];
            }
        }
        let centroid_norm = norm(centroid.iter().copied());
        let scores = document.units.iter().zip(&terms).enumerate().map(|(index, (unit, terms))| {
            if unit.span.len() < MIN_WORDS || terms.len() < MIN_CONTENT_WORDS || centroid_norm == 0.0 {
                return 0.0;
            }
            let dot: f64 = terms.iter().map(|term| weights[*term] * centroid[*term]).sum();
            let unit_norm = norm(terms.iter().map(|term| weights[*term]));
            let fullness = (unit.span.len() as f64 / FULL_WORDS).min(1.0);
            dot / (unit_norm * centroid_norm) * fullness * bonus.get(index).copied().unwrap_or(1.0)
        });
        Self { scores: scores.collect() }
    }

    pub(crate) fn score(&self, unit: usize) -> f64 {
        self.scores.get(unit).copied().unwrap_or_default()
    }

    /// The units of a range that can stand for something, best first; equal ones in call order.
    pub(crate) fn best(
        &self,
        range: std::ops::Range<usize>,
        is_wanted: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        self.best_of(range.filter(|unit| is_wanted(*unit)))
    }

    /// The same for any units.
    pub(crate) fn best_of(&self, units: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut units: Vec<usize> = units.into_iter().filter(|unit| self.score(*unit) > 0.0).collect();
        units.sort_by(|a, b| self.score(*b).total_cmp(&self.score(*a)).then(a.cmp(b)));
        units
    }
}

/// The different content stems of each unit, as indices.
fn terms_per_unit(document: &Document<'_>) -> Vec<Vec<usize>> {
    let units = document.units.iter();
    units
        .map(|unit| {
            let content = unit.span.clone().filter(|position| document.is_content(*position));
            let mut terms: Vec<usize> =
                content.filter_map(|position| document.stem(position)).map(WordId::index).collect();
            terms.sort_unstable();
            terms.dedup();
            terms
        })
        .collect()
}

/// Rare words weigh more, but not without bound: misheard words are the rarest.
fn inverse_frequencies(document: &Document<'_>, terms: &[Vec<usize>]) -> Vec<f64> {
    let mut frequencies = vec![0.0_f64; document.vocabulary_size()];
    for term in terms.iter().flatten() {
        frequencies[*term] += 1.0;
    }
    let units = terms.len().max(1) as f64;
    frequencies
        .iter()
        .map(|count| if *count == 0.0 { 0.0 } else { (1.0 + units / (1.0 + count)).ln() })
        .collect()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}
