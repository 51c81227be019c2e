//! Times as whole milliseconds. Engines send floats, some of them broken; past this file every time is a
//! non-negative integer, so that comparing, sorting and rounding cannot surprise.

/// Milliseconds from the start of the recording.
pub(super) type Millis = i64;

/// The longest recording times are kept for (100 hours); anything later is taken for garbage.
pub(super) const LONGEST: Millis = 100 * 3600 * 1000;

/// Rounds to milliseconds; negative becomes 0. `None` when the engine sent no number at all.
pub(super) fn millis(seconds: f64) -> Option<Millis> {
    if seconds.is_nan() {
        return None;
    }
    let bounded = (seconds * 1000.0).clamp(0.0, LONGEST as f64);
    Some(bounded.round() as Millis)
}

/// Back to the seconds of the document; exact to the millisecond.
pub(super) fn seconds(ms: Millis) -> f64 {
    ms as f64 / 1000.0
}
