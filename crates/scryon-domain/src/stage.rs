//! The five stages, their order and the bit each sets in `call_records.stages_done`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::status::CallStatus;

/// One step of the pipeline with queues of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageKind {
    Preprocessing,
    Transcription,
    Diarization,
    Assembly,
    Analysis,
}

impl StageKind {
    /// Every stage in pipeline order.
    pub const ALL: [Self; 5] =
        [Self::Preprocessing, Self::Transcription, Self::Diarization, Self::Assembly, Self::Analysis];

    /// All bits: a call whose mask reaches this is complete.
    pub const ALL_BITS: i32 = 31;
    /// Bits of the three stages whose outputs assembly reads.
    pub const ASSEMBLY_INPUT_BITS: i32 = 7;

    /// Bit of this stage in `stages_done`; SUCCEEDED and SKIPPED set it.
    pub const fn bit(self) -> i32 {
        match self {
            Self::Preprocessing => 1,
            Self::Transcription => 2,
            Self::Diarization => 4,
            Self::Assembly => 8,
            Self::Analysis => 16,
        }
    }

    /// Bits that must be set before this stage may start.
    pub const fn needs(self) -> i32 {
        match self {
            Self::Preprocessing => 0,
            Self::Transcription | Self::Diarization => Self::Preprocessing.bit(),
            Self::Assembly => Self::ASSEMBLY_INPUT_BITS,
            Self::Analysis => Self::ASSEMBLY_INPUT_BITS | Self::Assembly.bit(),
        }
    }

    /// Status a call has while this stage is live; every write of the stage is fenced by it.
    pub const fn call_status(self) -> CallStatus {
        match self {
            Self::Preprocessing | Self::Transcription | Self::Diarization | Self::Assembly => {
                CallStatus::Transcribing
            }
            Self::Analysis => CallStatus::Analyzing,
        }
    }

    /// The stages a bitmask allows to start and that are not done yet.
    pub fn ready(stages_done: i32) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |s| stages_done & s.needs() == s.needs() && stages_done & s.bit() == 0)
    }

    /// The name in SQL, queues, metrics and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preprocessing => "preprocessing",
            Self::Transcription => "transcription",
            Self::Diarization => "diarization",
            Self::Assembly => "assembly",
            Self::Analysis => "analysis",
        }
    }
}

impl fmt::Display for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is none of a closed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not one of: {allowed}")]
pub struct UnknownWord {
    pub word: String,
    pub allowed: &'static str,
}

impl FromStr for StageKind {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|s| s.as_str() == word).ok_or_else(|| UnknownWord {
            word: word.to_owned(),
            allowed: "preprocessing, transcription, diarization, assembly, analysis",
        })
    }
}

/// Fresh uploads or resets and reprocessing; backfill never delays live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    Live,
    Backfill,
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Self; 2] = [Self::Live, Self::Backfill];

    /// The name in SQL, queues and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Backfill => "backfill",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Lane {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|l| l.as_str() == word)
            .ok_or_else(|| UnknownWord { word: word.to_owned(), allowed: "live, backfill" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_distinct_and_fill_the_mask() {
        assert_eq!(StageKind::ALL.iter().map(|s| s.bit()).sum::<i32>(), StageKind::ALL_BITS);
    }

    #[test]
    fn the_mask_decides_what_may_start() {
        let ready = |mask| StageKind::ready(mask).collect::<Vec<_>>();
        assert_eq!(ready(0), [StageKind::Preprocessing]);
        assert_eq!(ready(1), [StageKind::Transcription, StageKind::Diarization]);
        assert_eq!(ready(1 | 2), [StageKind::Diarization]);
        assert_eq!(ready(7), [StageKind::Assembly]);
        assert_eq!(ready(15), [StageKind::Analysis]);
        assert_eq!(ready(31), []);
    }

    #[test]
    fn words_round_trip() {
        for stage in StageKind::ALL {
            assert_eq!(stage.as_str().parse::<StageKind>(), Ok(stage));
        }
        assert!("preparation".parse::<StageKind>().is_err());
    }
}
