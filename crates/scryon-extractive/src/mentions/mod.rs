//! Things a call names: days, times, sums, addresses, people. Found once, read by every rule that needs them.

mod amounts;
mod calendar;
mod contacts;
mod dates;
mod numbers;
mod people;
mod times;

use chrono::{NaiveDate, NaiveTime};

pub(crate) use amounts::AmountMention;
pub(crate) use calendar::When;
pub(crate) use contacts::Contact;
pub(crate) use people::PersonFound;

use crate::AnalysisContext;
use crate::text::{Document, Span};

#[cfg(test)]
pub(crate) use calendar::{Tense, WeekdayChoice, resolve};
#[cfg(test)]
pub(crate) use numbers::number_at;

/// A day that was named.
#[derive(Debug, Clone)]
pub(crate) struct DateMention {
    pub(crate) span: Span,
    /// The same with `by`, `on`, `until` before it.
    pub(crate) phrase: Span,
    pub(crate) when: When,
    /// The day it means, where the words and the recording time make that certain.
    pub(crate) date: Option<NaiveDate>,
    /// The day it means as a day to come; a task is never due in the past.
    pub(crate) due: Option<NaiveDate>,
}

/// A time of day that was named.
#[derive(Debug, Clone)]
pub(crate) struct TimeMention {
    pub(crate) span: Span,
    /// Absent where nobody can tell morning from afternoon.
    pub(crate) time: Option<NaiveTime>,
}

/// A length of time that was named.
#[derive(Debug, Clone)]
pub(crate) struct DurationMention {
    pub(crate) span: Span,
    pub(crate) minutes: u32,
}

/// Everything named in a call, each list in order.
#[derive(Debug, Default)]
pub(crate) struct Mentions {
    pub(crate) dates: Vec<DateMention>,
    pub(crate) times: Vec<TimeMention>,
    pub(crate) durations: Vec<DurationMention>,
    pub(crate) emails: Vec<Contact>,
    pub(crate) phones: Vec<Contact>,
    pub(crate) amounts: Vec<AmountMention>,
    pub(crate) people: Vec<PersonFound>,
}

impl Mentions {
    pub(crate) fn find(document: &Document<'_>, context: &AnalysisContext) -> Self {
        let base = context.recorded_at.map(|instant| instant.date_naive());
        let mut taken = Taken(vec![false; document.tokens.len()]);
        let emails = contacts::emails(document, &mut taken);
        let dates = dates::find(document, base, &mut taken);
        let (times, durations) = times::find(document, &mut taken);
        let phones = contacts::phones(document, &mut taken);
        let amounts = amounts::find(document, &taken);
        let people = people::find(document, context, &taken);
        Self { dates, times, durations, emails, phones, amounts, people }
    }

    /// The dates that begin within a span.
    pub(crate) fn dates_in(&self, span: Span) -> &[DateMention] {
        within(&self.dates, span, |mention| mention.span.start)
    }

    pub(crate) fn times_in(&self, span: Span) -> &[TimeMention] {
        within(&self.times, span, |mention| mention.span.start)
    }

    pub(crate) fn durations_in(&self, span: Span) -> &[DurationMention] {
        within(&self.durations, span, |mention| mention.span.start)
    }

    pub(crate) fn emails_in(&self, span: Span) -> &[Contact] {
        within(&self.emails, span, |mention| mention.span.start)
    }

    pub(crate) fn phones_in(&self, span: Span) -> &[Contact] {
        within(&self.phones, span, |mention| mention.span.start)
    }

    pub(crate) fn amounts_in(&self, span: Span) -> &[AmountMention] {
        within(&self.amounts, span, |mention| mention.span.start)
    }

    pub(crate) fn people_in(&self, span: Span) -> &[PersonFound] {
        within(&self.people, span, |mention| mention.span.start)
    }
}

fn within<T>(mentions: &[T], span: Span, start: impl Fn(&T) -> usize) -> &[T] {
    let from = mentions.partition_point(|mention| start(mention) < span.start);
    let to = mentions.partition_point(|mention| start(mention) < span.end);
    mentions.get(from..to).unwrap_or_default()
}

/// Words that already belong to a mention, so that `three` in `in three days` is no amount.
#[derive(Debug)]
struct Taken(Vec<bool>);

impl Taken {
    fn is_free(&self, position: usize) -> bool {
        !self.0.get(position).copied().unwrap_or(true)
    }

    fn take(&mut self, span: Span) {
        if let Some(slots) = self.0.get_mut(span) {
            slots.fill(true);
        }
    }
}
