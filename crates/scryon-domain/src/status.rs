//! States of a call and of a stage, as SQL stores them and the API shows them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::stage::UnknownWord;

/// `call_records.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CallStatus {
    /// Accepted, waiting.
    Queued,
    /// Preprocessing to assembly in flight.
    Transcribing,
    /// Transcript readable, analysis in flight.
    Analyzing,
    Completed,
    /// Has an `error_reason`; no other status does.
    Failed,
    Cancelled,
}

impl CallStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Transcribing, Self::Analyzing, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Transcribing => "TRANSCRIBING",
            Self::Analyzing => "ANALYZING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Nothing more happens to the call by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for CallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CallStatus {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|s| s.as_str() == word).ok_or_else(|| UnknownWord {
            word: word.to_owned(),
            allowed: "QUEUED, TRANSCRIBING, ANALYZING, COMPLETED, FAILED, CANCELLED",
        })
    }
}

/// `call_stages.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StageState {
    Pending,
    Running,
    /// Submitted to a provider, holding no worker and no delivery.
    Waiting,
    Succeeded,
    Failed,
    Skipped,
    /// A newer run, a cancel or a failure took the call away from it.
    Superseded,
}

impl StageState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::Waiting,
        Self::Succeeded,
        Self::Failed,
        Self::Skipped,
        Self::Superseded,
    ];

    /// The word in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Waiting => "WAITING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
            Self::Superseded => "SUPERSEDED",
        }
    }
}

impl FromStr for StageState {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|s| s.as_str() == word).ok_or_else(|| UnknownWord {
            word: word.to_owned(),
            allowed: "PENDING, RUNNING, WAITING, SUCCEEDED, FAILED, SKIPPED, SUPERSEDED",
        })
    }
}

/// Why a stage was skipped (`call_stages.skip_reason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Switched off by configuration.
    Disabled,
    /// An earlier result with the same inputs and parameters serves.
    Reused,
    /// Its provider asked for a pause, and an operator said not to wait for it.
    ProviderThrottled,
}

impl SkipReason {
    /// The word in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Reused => "reused",
            Self::ProviderThrottled => "provider_throttled",
        }
    }
}
