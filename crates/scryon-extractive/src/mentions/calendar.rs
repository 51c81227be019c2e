//! From words like `next Friday` to a day, seen from the day of the recording.

use chrono::{Datelike, Days, Months, NaiveDate, Weekday};

/// What was said about a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Days from the recording; negative is past.
    Days(i64),
    /// Days without weekends.
    BusinessDays(u32),
    /// Months from the recording.
    Months(u32),
    Weekday(Weekday, WeekdayChoice),
    /// The end of a week: its Friday. Weeks from this one.
    Week(i64),
    /// Saturday; weeks from this one.
    Weekend(i64),
    /// Last day of a month; months from this one.
    MonthEnd(u32),
    QuarterEnd,
    YearEnd,
    /// Day and month, perhaps with a year.
    Calendar {
        year: Option<i32>,
        month: u32,
        day: u32,
    },
    DayOfMonth(u32),
    /// A period or an ambiguous form: worth listing, never resolved.
    Vague,
}

/// Which of the Fridays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WeekdayChoice {
    /// `Friday`: the coming one, never today.
    Bare,
    /// `this Friday`: may be today.
    This,
    /// `next Friday`: the one of next week.
    Next,
    /// `last Friday`.
    Last,
}

/// Whether the statement looks forward or back. Only forms without a year care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tense {
    Future,
    Past,
}

/// The day that is meant. Without a recording time only complete dates are certain.
pub(crate) fn resolve(when: When, base: Option<NaiveDate>, tense: Tense) -> Option<NaiveDate> {
    if let When::Calendar { year: Some(year), month, day } = when {
        return writable(NaiveDate::from_ymd_opt(year, month, day)?);
    }
    let base = base?;
    let date = match when {
        When::Days(days) => shifted(base, days)?,
        When::BusinessDays(days) => after_business_days(base, days)?,
        When::Months(months) => base.checked_add_months(Months::new(months))?,
        When::Weekday(weekday, choice) => weekday_date(base, weekday, choice, tense)?,
        When::Week(weeks) => shifted(monday_of(base)?, weeks.checked_mul(7)?.checked_add(4)?)?
            .max(if weeks == 0 { base } else { NaiveDate::MIN }),
        When::Weekend(weeks) => shifted(monday_of(base)?, weeks.checked_mul(7)?.checked_add(5)?)?,
        When::MonthEnd(months) => month_end(base.with_day(1)?.checked_add_months(Months::new(months))?)?,
        When::QuarterEnd => {
            month_end(base.with_day(1)?.checked_add_months(Months::new((12 - base.month()) % 3))?)?
        }
        When::YearEnd => NaiveDate::from_ymd_opt(base.year(), 12, 31)?,
        When::Calendar { year: _, month, day } => nearest_year(base, month, day, tense)?,
        When::DayOfMonth(day) => day_of_month(base, day, tense)?,
        When::Vague => return None,
    };
    writable(date)
}

/// Documents write years with four digits.
fn writable(date: NaiveDate) -> Option<NaiveDate> {
    (1..=9999).contains(&date.year()).then_some(date)
}

fn shifted(date: NaiveDate, days: i64) -> Option<NaiveDate> {
    let distance = Days::new(days.unsigned_abs());
    if days < 0 { date.checked_sub_days(distance) } else { date.checked_add_days(distance) }
}

fn monday_of(date: NaiveDate) -> Option<NaiveDate> {
    shifted(date, -i64::from(date.weekday().num_days_from_monday()))
}

fn weekday_date(base: NaiveDate, weekday: Weekday, choice: WeekdayChoice, tense: Tense) -> Option<NaiveDate> {
    let ahead = i64::from(weekday.days_since(base.weekday()));
    let days = match (choice, tense) {
        (WeekdayChoice::This, _) => ahead,
        (WeekdayChoice::Next, _) => {
            let monday = monday_of(base)?;
            return shifted(monday, 7 + i64::from(weekday.num_days_from_monday()));
        }
        (WeekdayChoice::Last, _) | (WeekdayChoice::Bare, Tense::Past) => ahead - 7,
        (WeekdayChoice::Bare, Tense::Future) if ahead == 0 => 7,
        (WeekdayChoice::Bare, Tense::Future) => ahead,
    };
    shifted(base, days)
}

fn after_business_days(base: NaiveDate, days: u32) -> Option<NaiveDate> {
    let mut date = base;
    // More working days than these nobody counts in a call, and the loop must end.
    for _day in 0..days.min(365) {
        date = shifted(date, 1)?;
        while matches!(date.weekday(), Weekday::Sat | Weekday::Sun) {
            date = shifted(date, 1)?;
        }
    }
    Some(date)
}

fn month_end(date: NaiveDate) -> Option<NaiveDate> {
    date.with_day(1)?.checked_add_months(Months::new(1))?.pred_opt()
}

fn nearest_year(base: NaiveDate, month: u32, day: u32, tense: Tense) -> Option<NaiveDate> {
    // Eight years hold a 29th of February even around a century without one.
    (0..=8).find_map(|distance| {
        let year = match tense {
            Tense::Future => base.year().checked_add(distance)?,
            Tense::Past => base.year().checked_sub(distance)?,
        };
        let date = NaiveDate::from_ymd_opt(year, month, day)?;
        let fits = match tense {
            Tense::Future => date >= base,
            Tense::Past => date <= base,
        };
        fits.then_some(date)
    })
}

fn day_of_month(base: NaiveDate, day: u32, tense: Tense) -> Option<NaiveDate> {
    let first = base.with_day(1)?;
    (0..=2).find_map(|distance| {
        let month = match tense {
            Tense::Future => first.checked_add_months(Months::new(distance))?,
            Tense::Past => first.checked_sub_months(Months::new(distance))?,
        };
        let date = month.with_day(day)?;
        let fits = match tense {
            Tense::Future => date >= base,
            Tense::Past => date <= base,
        };
        fits.then_some(date)
    })
}
