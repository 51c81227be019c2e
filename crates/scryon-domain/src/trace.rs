//! W3C trace context (https://www.w3.org/TR/trace-context/), as far as it is carried along: a request's
//! `traceparent` travels with its call through the queues.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A `traceparent` of version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// Not a trace parent: start a new trace, never fail the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid traceparent")]
pub struct InvalidTraceParent;

impl TraceParent {
    /// A new trace, not sampled.
    pub fn start() -> Self {
        Self { trace_id: Uuid::new_v4().as_u128(), parent_id: random_id(), flags: 0 }
    }

    /// The same trace with a new parent, for a hop.
    pub fn hop(self) -> Self {
        Self { parent_id: random_id(), ..self }
    }

    /// The header's trace where it is valid, else a new one.
    pub fn continue_or_start(header: Option<&str>) -> Self {
        header.and_then(|h| h.parse().ok()).unwrap_or_else(Self::start)
    }
}

fn random_id() -> u64 {
    // Never zero: the version bits of a UUID are in the upper half.
    (Uuid::new_v4().as_u128() >> 64) as u64
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes();
        let hex = |range: std::ops::Range<usize>| {
            let part = text.get(range)?;
            part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)).then_some(part)
        };
        let field = |range: std::ops::Range<usize>| hex(range).ok_or(InvalidTraceParent);
        if bytes.len() < 55 || [2, 35, 52].iter().any(|i| bytes[*i] != b'-') {
            return Err(InvalidTraceParent);
        }
        let version = field(0..2)?;
        // A later version may say more after a dash; version 00 may not.
        let longer_is_fine = version != "00" && bytes.get(55) == Some(&b'-');
        if version == "ff" || (bytes.len() > 55 && !longer_is_fine) {
            return Err(InvalidTraceParent);
        }
        let parsed = Self {
            trace_id: u128::from_str_radix(field(3..35)?, 16).map_err(|_e| InvalidTraceParent)?,
            parent_id: u64::from_str_radix(field(36..52)?, 16).map_err(|_e| InvalidTraceParent)?,
            flags: u8::from_str_radix(field(53..55)?, 16).map_err(|_e| InvalidTraceParent)?,
        };
        if parsed.trace_id == 0 || parsed.parent_id == 0 { Err(InvalidTraceParent) } else { Ok(parsed) }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-3d1f0c9e7a5b4c2d8e6f1a2b3c4d5e6f-1a2b3c4d5e6f7081-01";

    #[test]
    fn a_valid_one_goes_on_with_another_parent() {
        let parent: TraceParent = VALID.parse().unwrap();
        assert_eq!(parent.to_string(), VALID);
        let hop = parent.hop().to_string();
        assert_eq!(hop[..36], VALID[..36]);
        assert_ne!(hop, VALID);
        assert_eq!(hop[53..], VALID[53..]);
    }

    #[test]
    fn an_invalid_one_starts_a_new_trace() {
        let zero_trace =
            VALID.replace("3d1f0c9e7a5b4c2d8e6f1a2b3c4d5e6f", "00000000000000000000000000000000");
        let zero_parent = VALID.replace("1a2b3c4d5e6f7081", "0000000000000000");
        let upper = VALID.to_uppercase();
        let version = VALID.replacen("00", "ff", 1);
        let longer = format!("{VALID}-x");
        for bad in ["", "00", &zero_trace, &zero_parent, &upper, &version, &longer, "é".repeat(40).as_str()]
        {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad}");
            assert_ne!(TraceParent::continue_or_start(Some(bad)).to_string(), bad);
        }
    }

    #[test]
    fn a_later_version_is_answered_as_00() {
        let later = VALID.replacen("00", "01", 1) + "-more";
        assert_eq!(later.parse::<TraceParent>().unwrap().to_string(), VALID);
    }
}
