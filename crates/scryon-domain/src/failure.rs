//! Why a call failed: the closed set behind `call_records.error_reason`, and what a reader is told.

use std::fmt;

/// Short machine reasons of FAILED. Operators add their own by hand (`manual_sweep`), so readers of the
/// column must not assume the set is closed; writers of this project use only these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCode {
    AudioUnreadable,
    Poison,
    TempAudioExpired,
    TranscriptionFailed,
    TranscriptionRejected,
    ProviderSubmitUnconfirmed,
    AssemblyFailed,
    AnalysisFailed,
    AnalysisInvalid,
    ArtifactMissing,
    InternalError,
}

impl FailureCode {
    /// Every code this project writes.
    pub const ALL: [Self; 11] = [
        Self::AudioUnreadable,
        Self::Poison,
        Self::TempAudioExpired,
        Self::TranscriptionFailed,
        Self::TranscriptionRejected,
        Self::ProviderSubmitUnconfirmed,
        Self::AssemblyFailed,
        Self::AnalysisFailed,
        Self::AnalysisInvalid,
        Self::ArtifactMissing,
        Self::InternalError,
    ];

    /// The word in SQL, metrics and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AudioUnreadable => "audio_unreadable",
            Self::Poison => "poison",
            Self::TempAudioExpired => "temp_audio_expired",
            Self::TranscriptionFailed => "transcription_failed",
            Self::TranscriptionRejected => "transcription_rejected",
            Self::ProviderSubmitUnconfirmed => "provider_submit_unconfirmed",
            Self::AssemblyFailed => "assembly_failed",
            Self::AnalysisFailed => "analysis_failed",
            Self::AnalysisInvalid => "analysis_invalid",
            Self::ArtifactMissing => "artifact_missing",
            Self::InternalError => "internal_error",
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the API says about a reason: what happened and what to do next. No personal data.
pub fn reader_message(error_reason: &str) -> &'static str {
    match error_reason {
        "audio_unreadable" => "The recording could not be decoded. Upload it again in another format.",
        "poison" => "The recording makes its decoder crash. Upload it again in another format.",
        "temp_audio_expired" => "The audio was deleted before it could be processed. Upload it again.",
        "transcription_failed" => {
            "The recording could not be transcribed after several attempts. It can be reprocessed while its audio is kept."
        }
        "transcription_rejected" => {
            "The transcription engine refused the recording. Upload it again in another format."
        }
        "provider_submit_unconfirmed" => {
            "A provider did not confirm the work it was given; it was not bought a second time. Reprocess the call to try again."
        }
        "assembly_failed" => "The transcript could not be put together. The call can be reprocessed.",
        "analysis_failed" => {
            "The transcript is ready, but its analysis failed. The call can be analysed again without its audio."
        }
        "analysis_invalid" => {
            "The transcript is ready, but no valid analysis was produced. The call can be analysed again without its audio."
        }
        "artifact_missing" => {
            "A stored result of this call is missing. The call can be reprocessed while its audio is kept."
        }
        "manual_sweep" => "An operator stopped this call. It can be reprocessed.",
        "stale_job" => {
            "The call made no progress for too long. It can be reprocessed while its audio is kept."
        }
        _ => "The call failed. It can be reprocessed while its audio is kept.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_message_of_its_own() {
        let fallback = reader_message("?");
        for code in FailureCode::ALL {
            if code != FailureCode::InternalError {
                assert_ne!(reader_message(code.as_str()), fallback, "{code}");
            }
        }
    }
}
