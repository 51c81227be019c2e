//! Sentiment by lexicon. Words are counted, feelings are not understood; where there is little to count the
//! answer is `unclear`.

use scryon_domain::analysis::{Phase, Polarity, Sentiment, SentimentMoment, SpeakerSentiment};
use scryon_domain::transcript::SpeakerRole;
use vader_sentimental::SentimentIntensityAnalyzer;

use crate::lexicon::{Flags, List};
use crate::quality;
use crate::text::{Document, Unit, quoted};

/// Fewer words than these have no polarity worth a number: the call, one party, one phase.
const MIN_CALL_WORDS: usize = 25;
const MIN_PARTY_WORDS: usize = 20;
const MIN_PHASE_WORDS: usize = 10;
/// Calls this short have no progression.
const MIN_PROGRESSION_WORDS: usize = 60;
/// Weaker statements are neutral.
const MIN_STRENGTH: f64 = 0.1;
/// Weaker statements are not quoted as the mark of a phase.
const MIN_QUOTED_STRENGTH: f64 = 0.3;
/// From here on a score has a direction.
const DIRECTION: f64 = 0.15;
/// Both sides at least this strong, and the weaker one this much of the stronger: mixed.
const MIXED_STRENGTH: f64 = 0.5;
const MIXED_SHARE: f64 = 0.45;
/// Evidence that is not there: keeps one warm word in a long call from being enthusiasm.
const BASE_DAMPING: f64 = 1.0;
const NEUTRAL_DAMPING: f64 = 0.1;
/// `Great, …` and `Thanks, …` at the beginning take a turn; they praise nothing.
const LEAD_WORDS: usize = 2;
const LEAD_MANNERS: &[&str] =
    &["great", "good", "perfect", "excellent", "absolutely", "nice", "thanks", "thank", "cool"];
const MAX_SIGNALS: usize = 6;
const MAX_NOTE_CHARS: usize = 160;

/// Polarity of each unit, from -1 to 1.
#[derive(Debug)]
pub(crate) struct Polarities {
    units: Vec<f64>,
}

/// What a set of units says together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    pub(crate) polarity: Polarity,
    pub(crate) score: Option<f64>,
    positive: usize,
    negative: usize,
}

impl Polarities {
    pub(crate) fn of(document: &Document<'_>) -> Self {
        if !quality::is_english(document.transcript) {
            return Self { units: vec![0.0; document.units.len()] };
        }
        let analyzer = SentimentIntensityAnalyzer::new();
        let mut valenced = vec![None; document.vocabulary_size()];
        let is_manners = manners(document);
        let mut text = String::new();
        let units = document.units.iter().map(|unit| {
            text.clear();
            let mut has_feeling = false;
            for position in unit.span.clone() {
                let word = document.word(position);
                let Some(token) = document.tokens.get(position) else { continue };
                let is_polite = is_manners.get(position).copied().unwrap_or_default()
                    || document.flags(position).intersects(Flags::MANNERS)
                    || (position < unit.span.start + LEAD_WORDS && LEAD_MANNERS.contains(&word));
                if is_polite {
                    continue;
                }
                // Scoring a sentence is dear, scoring each different word once is not: most sentences hold
                // no word of feeling at all.
                let is_valenced = valenced.get_mut(token.word.index()).map(|known| {
                    *known.get_or_insert_with(|| analyzer.polarity_scores(word).compound != 0.0)
                });
                has_feeling |= is_valenced == Some(true);
                text.push_str(word);
                text.push(' ');
            }
            // The lexicon sums in the order of a randomly seeded map; three decimals are the same every time.
            if has_feeling { (analyzer.polarity_scores(&text).compound * 1e3).round() / 1e3 } else { 0.0 }
        });
        Self { units: units.collect() }
    }

    pub(crate) fn of_unit(&self, unit: usize) -> f64 {
        self.units.get(unit).copied().unwrap_or_default()
    }

    /// The polarity of some units, `unclear` below `min_words`.
    pub(crate) fn read(
        &self,
        document: &Document<'_>,
        min_words: usize,
        mut is_included: impl FnMut(usize, &Unit) -> bool,
    ) -> Reading {
        let mut words = 0;
        let (mut for_it, mut against, mut neutral) = (0.0, 0.0, 0);
        let (mut positive, mut negative) = (0, 0);
        for (index, unit) in document.units.iter().enumerate() {
            if !is_included(index, unit) {
                continue;
            }
            words += unit.span.len();
            let strength = self.of_unit(index);
            if strength >= MIN_STRENGTH {
                for_it += strength;
                positive += 1;
            } else if strength <= -MIN_STRENGTH {
                against -= strength;
                negative += 1;
            } else {
                neutral += 1;
            }
        }
        if words < min_words || !quality::is_english(document.transcript) {
            return Reading { polarity: Polarity::Unclear, score: None, positive, negative };
        }
        let damping = BASE_DAMPING + NEUTRAL_DAMPING * f64::from(neutral);
        let score = ((for_it - against) / (for_it + against + damping) * 100.0).round() / 100.0;
        let weaker = f64::min(for_it, against);
        let is_mixed = weaker >= MIXED_STRENGTH && weaker >= MIXED_SHARE * f64::max(for_it, against);
        let polarity = match score {
            _ if is_mixed => Polarity::Mixed,
            score if score >= DIRECTION => Polarity::Positive,
            score if score <= -DIRECTION => Polarity::Negative,
            _ => Polarity::Neutral,
        };
        // Adding zero turns -0.0 into 0.0, which reads better in JSON.
        Reading { polarity, score: Some(score.clamp(-1.0, 1.0) + 0.0), positive, negative }
    }
}

impl Reading {
    fn in_words(self) -> String {
        let count = |number: usize, word: &str| match number {
            0 => format!("no {word} statement"),
            1 => format!("1 {word} statement"),
            number => format!("{number} {word} statements"),
        };
        match self.polarity {
            Polarity::Unclear => "Too few words to tell.".to_owned(),
            _ => format!(
                "Counted by word lexicon: {} and {}.",
                count(self.positive, "positive"),
                count(self.negative, "negative")
            ),
        }
    }
}

/// Positions of phrases that sound like feeling and are manners.
fn manners(document: &Document<'_>) -> Vec<bool> {
    let mut positions = vec![false; document.tokens.len()];
    for hit in document.hits(List::Manners) {
        if let Some(slots) = positions.get_mut(hit.start..hit.end) {
            slots.fill(true);
        }
    }
    positions
}

pub(crate) fn sentiment(document: &Document<'_>, polarities: &Polarities) -> Sentiment {
    let overall = polarities.read(document, MIN_CALL_WORDS, |_, _| true);
    Sentiment {
        overall: Some(overall.polarity),
        score: overall.score,
        reason: Some(reason(document, overall)),
        user_sentiment: party(document, polarities, SpeakerRole::User),
        contact_sentiment: party(document, polarities, SpeakerRole::Contact),
        progression: progression(document, polarities),
        emotional_signals: signals(document),
    }
}

fn reason(document: &Document<'_>, overall: Reading) -> String {
    if document.tokens.is_empty() {
        return "No speech to judge.".to_owned();
    }
    if !quality::is_english(document.transcript) {
        return "The word lexicon knows English only.".to_owned();
    }
    overall.in_words()
}

/// The polarity of one side, where the transcript knows who is on it.
fn party(document: &Document<'_>, polarities: &Polarities, role: SpeakerRole) -> Option<SpeakerSentiment> {
    let is_side = |unit: &Unit| document.speaker(unit).is_some_and(|speaker| speaker.role == role);
    if !document.units.iter().any(is_side) {
        return None;
    }
    let reading = polarities.read(document, MIN_PARTY_WORDS, |_, unit| is_side(unit));
    Some(SpeakerSentiment {
        overall: Some(reading.polarity),
        score: reading.score,
        notes: Some(reading.in_words()),
    })
}

fn progression(document: &Document<'_>, polarities: &Polarities) -> Vec<SentimentMoment> {
    if document.tokens.len() < MIN_PROGRESSION_WORDS || !quality::is_english(document.transcript) {
        return Vec::new();
    }
    let phases = [Phase::Opening, Phase::Middle, Phase::Closing];
    let moments = phases.into_iter().filter_map(|phase| {
        let units: Vec<usize> =
            (0..document.units.len()).filter(|unit| document.phase_of(*unit) == phase).collect();
        let is_phase = |index: usize, _: &Unit| units.binary_search(&index).is_ok();
        let reading = polarities.read(document, MIN_PHASE_WORDS, is_phase);
        reading.score?;
        let strength = |unit: &usize| polarities.of_unit(*unit).abs();
        let strongest = units.iter().copied().rev().max_by(|a, b| strength(a).total_cmp(&strength(b)))?;
        let unit = document.units.get(strongest)?;
        let note = if strength(&strongest) >= MIN_QUOTED_STRENGTH {
            format!("Strongest words: {}", quoted(document, unit.span.clone(), MAX_NOTE_CHARS))
        } else {
            "No words of strong feeling.".to_owned()
        };
        Some(SentimentMoment {
            phase: Some(phase),
            overall: Some(reading.polarity),
            note: Some(note),
            source_segment_ids: document.cite(unit.span.clone()),
        })
    });
    moments.collect()
}

/// Feelings that were put into words, most frequent first.
fn signals(document: &Document<'_>) -> Vec<String> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for hit in document.hits(List::Feeling).iter().filter(|hit| !document.is_negated(hit.start)) {
        match counts.iter_mut().find(|(label, _)| *label == hit.label) {
            Some((_, count)) => *count += 1,
            None => counts.push((hit.label, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().take(MAX_SIGNALS).map(|(label, _)| label.to_owned()).collect()
}
