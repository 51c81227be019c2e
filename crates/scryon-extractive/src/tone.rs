//! How things were said, measured: words per minute, manners, emphasis.

use scryon_domain::analysis::{CallType, Energy, Formality, Pace, PartyTone, PartyTones, Polarity, Tone};
use scryon_domain::transcript::SpeakerRole;

use crate::lexicon::List;
use crate::mood::Polarities;
use crate::text::{Document, Unit};

/// Less is no sample.
const MIN_WORDS: usize = 20;
const MIN_SECONDS: f64 = 10.0;
/// Conversation runs at 120 to 170 words per minute of speech.
const SLOW_WORDS_PER_MINUTE: f64 = 105.0;
const FAST_WORDS_PER_MINUTE: f64 = 175.0;
/// Marks per hundred words.
const FORMAL_RATE: f64 = 0.8;
const INFORMAL_RATE: f64 = 1.2;
const LIVELY_RATE: f64 = 4.0;
const QUIET_RATE: f64 = 0.8;
/// Statements shorter than this on average are terse.
const TERSE_WORDS: usize = 4;
const MAX_DESCRIPTORS: usize = 4;

/// Counts over some of the units.
#[derive(Debug, Default)]
struct Sample {
    words: usize,
    units: usize,
    seconds: f64,
    formal: usize,
    informal: usize,
    emphasis: usize,
    anger: usize,
    care: usize,
    urgent: usize,
    questions: usize,
}

/// The tone of the call; nothing where nobody spoke enough to have one.
pub(crate) fn of(document: &Document<'_>, polarities: &Polarities, call_type: CallType) -> Option<Tone> {
    let sample = Sample::of(document, |_| true);
    if sample.words < MIN_WORDS {
        return None;
    }
    let polarity = polarities.read(document, MIN_WORDS, |_, _| true).polarity;
    Some(Tone {
        overall: Some(headline(&sample, polarity, call_type).to_owned()),
        descriptors: descriptors(&sample, polarity),
        formality: Some(sample.formality()),
        energy: Some(sample.energy()),
        pace: sample.pace(),
        notes: Some(notes(&sample)),
        by_party: by_party(document, polarities, call_type),
    })
}

impl Sample {
    fn of(document: &Document<'_>, is_included: impl Fn(&Unit) -> bool) -> Self {
        let included: Vec<bool> = document.units.iter().map(&is_included).collect();
        let count = |list: List| {
            let hits = document.hits(list).iter().filter(|hit| {
                let index = document.unit_index_at(hit.start);
                index.and_then(|index| included.get(index)).copied().unwrap_or_default()
            });
            hits.filter(|hit| !document.is_negated(hit.start)).count()
        };
        let mut sample = Self {
            formal: count(List::Formal),
            informal: count(List::Informal),
            emphasis: count(List::Intensifier),
            anger: count(List::Anger),
            care: count(List::Care),
            urgent: count(List::Urgent),
            ..Self::default()
        };
        let mut last_segment = None;
        for unit in document.units.iter().filter(|unit| is_included(unit)) {
            sample.units += 1;
            sample.questions += usize::from(crate::questions::is_asked(document, unit));
            for token in document.tokens.get(unit.span.clone()).unwrap_or_default() {
                sample.words += usize::from(!token.marks.is_continuation);
                if last_segment.replace(token.segment) != Some(token.segment)
                    && let Some(segment) = document.transcript.segments.get(token.segment as usize)
                {
                    let seconds = segment.end_seconds - segment.start_seconds;
                    sample.seconds += if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
                }
            }
        }
        sample
    }

    fn per_hundred(&self, count: usize) -> f64 {
        count as f64 * 100.0 / self.words.max(1) as f64
    }

    fn words_per_minute(&self) -> Option<f64> {
        let is_sample = self.words >= MIN_WORDS && self.seconds >= MIN_SECONDS;
        is_sample.then(|| self.words as f64 * 60.0 / self.seconds)
    }

    fn pace(&self) -> Option<Pace> {
        self.words_per_minute().map(|rate| match rate {
            rate if rate < SLOW_WORDS_PER_MINUTE => Pace::Slow,
            rate if rate > FAST_WORDS_PER_MINUTE => Pace::Fast,
            _ => Pace::Normal,
        })
    }

    fn formality(&self) -> Formality {
        let (formal, informal) = (self.per_hundred(self.formal), self.per_hundred(self.informal));
        if informal >= INFORMAL_RATE && informal > formal {
            Formality::Informal
        } else if formal >= FORMAL_RATE && formal > 2.0 * informal {
            Formality::Formal
        } else {
            Formality::SemiFormal
        }
    }

    fn energy(&self) -> Energy {
        let rate = self.per_hundred(self.emphasis);
        let pace = self.pace();
        if rate >= LIVELY_RATE || (rate > QUIET_RATE && pace == Some(Pace::Fast)) {
            Energy::High
        } else if rate <= QUIET_RATE && pace != Some(Pace::Fast) {
            Energy::Low
        } else {
            Energy::Medium
        }
    }
}

/// The first that fits, from the most to the least pronounced.
fn headline(sample: &Sample, polarity: Polarity, call_type: CallType) -> &'static str {
    let is_against = matches!(polarity, Polarity::Negative | Polarity::Mixed);
    let is_trade = !matches!(call_type, CallType::Personal | CallType::Unknown | CallType::Other);
    match sample.formality() {
        _ if sample.anger >= 2 && is_against => "escalated",
        _ if sample.anger >= 1 && is_against => "tense",
        _ if sample.urgent >= 2 => "urgent",
        _ if sample.care >= 2 => "supportive",
        _ if sample.words < sample.units * TERSE_WORDS => "terse",
        Formality::Informal if polarity == Polarity::Positive => "friendly",
        Formality::Informal => "casual",
        Formality::Formal if is_trade => "formal-business",
        _ if sample.questions * 3 >= sample.units && is_trade => "transactional",
        _ if is_trade => "professional",
        _ => "conversational",
    }
}

fn descriptors(sample: &Sample, polarity: Polarity) -> Vec<String> {
    let pace = sample.pace();
    let words = [
        ("angry", sample.anger >= 2),
        ("helpful", sample.care >= 2),
        ("pressing", sample.urgent >= 1),
        ("critical", polarity == Polarity::Negative),
        ("warm", polarity == Polarity::Positive),
        ("polite", sample.formality() == Formality::Formal),
        ("relaxed", sample.formality() == Formality::Informal),
        ("brisk", pace == Some(Pace::Fast)),
        ("unhurried", pace == Some(Pace::Slow)),
        ("inquiring", sample.questions * 3 >= sample.units),
    ];
    let mut fitting: Vec<String> = words
        .into_iter()
        .filter(|(_, fits)| *fits)
        .map(|(word, _)| word.to_owned())
        .take(MAX_DESCRIPTORS)
        .collect();
    if fitting.is_empty() {
        fitting.push("matter-of-fact".to_owned());
    }
    fitting
}

fn notes(sample: &Sample) -> String {
    let rate = match sample.words_per_minute() {
        Some(rate) => format!("{rate:.0} words per minute of speech"),
        None => format!("{} words", sample.words),
    };
    format!(
        "Measured: {rate}; per hundred words {:.1} formal, {:.1} informal and {:.1} emphatic expressions.",
        sample.per_hundred(sample.formal),
        sample.per_hundred(sample.informal),
        sample.per_hundred(sample.emphasis)
    )
}

fn by_party(document: &Document<'_>, polarities: &Polarities, call_type: CallType) -> Option<PartyTones> {
    let tones = PartyTones {
        user_tone: party(document, polarities, call_type, SpeakerRole::User),
        contact_tone: party(document, polarities, call_type, SpeakerRole::Contact),
    };
    (tones != PartyTones::default()).then_some(tones)
}

fn party(
    document: &Document<'_>,
    polarities: &Polarities,
    call_type: CallType,
    role: SpeakerRole,
) -> Option<PartyTone> {
    let is_side = |unit: &Unit| document.speaker(unit).is_some_and(|speaker| speaker.role == role);
    let sample = Sample::of(document, is_side);
    if sample.words < MIN_WORDS {
        return None;
    }
    let polarity = polarities.read(document, MIN_WORDS, |_, unit| is_side(unit)).polarity;
    Some(PartyTone {
        overall: Some(headline(&sample, polarity, call_type).to_owned()),
        descriptors: descriptors(&sample, polarity),
        notes: Some(notes(&sample)),
    })
}
