//! Transcripts for tests.

use chrono::{DateTime, Utc};
use scryon_domain::ids::CallId;
use scryon_domain::transcript::{
    Confidence, LabelSource, PipelineInfo, Segment, Speaker, SpeakerResolution, SpeakerRole, Transcript,
};

use crate::AnalysisContext;

/// Who speaks: the owner of the recording, the other party, a third one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    User,
    Contact,
    Third,
}
pub(super) use Who::{Contact, Third, User};

/// Ordinary speech: 150 words per minute.
const SECONDS_PER_WORD: f64 = 0.4;

/// A call with one segment per line and a second between them.
pub(super) fn call(lines: &[(Who, &str)]) -> Transcript {
    let mut seen: Vec<Who> = Vec::new();
    for (who, _) in lines {
        if !seen.contains(who) {
            seen.push(*who);
        }
    }
    let speakers: Vec<Speaker> =
        seen.iter().enumerate().map(|(index, who)| speaker(index + 1, *who)).collect();
    let mut clock = 0.0;
    let segments = lines.iter().enumerate().map(|(index, (who, text))| {
        let speaker = &speakers[seen.iter().position(|other| other == who).expect("a known speaker")];
        let start = clock;
        let end = start + text.split_whitespace().count() as f64 * SECONDS_PER_WORD;
        clock = end + 1.0;
        segment(index, speaker, text, (start, end))
    });
    let segments: Vec<Segment> = segments.collect();
    transcript(speakers, segments)
}

pub(super) fn transcript(speakers: Vec<Speaker>, segments: Vec<Segment>) -> Transcript {
    Transcript {
        schema_version: 2,
        call_id: CallId(uuid::Uuid::nil()),
        language: Some("en".to_owned()),
        duration_seconds: segments.last().map_or(0.0, |segment| segment.end_seconds),
        clean_text: String::new(),
        speaker_resolution: SpeakerResolution {
            strategy_version: 1,
            used_user_display_name: false,
            used_contact_name: false,
            used_direction: false,
            used_phone_fallback: false,
            voice_embedding_enabled: false,
            voice_profile_used: false,
            voice_match_status: "DISABLED".to_owned(),
            total_speaker_count: speakers.len(),
            resolved_speaker_count: 0,
            warnings: Vec::new(),
        },
        speakers,
        segments,
        pipeline: PipelineInfo {
            transcription_provider: "test".to_owned(),
            transcription_model: "test".to_owned(),
            diarization_provider: "channels".to_owned(),
            diarization_model: "channels".to_owned(),
            alignment_version: "1.0".to_owned(),
            normalization_version: 1,
            status: "COMPLETED".to_owned(),
            quality_warnings: Vec::new(),
        },
        created_at: DateTime::UNIX_EPOCH,
    }
}

pub(super) fn speaker(number: usize, who: Who) -> Speaker {
    let role = match who {
        User => SpeakerRole::User,
        Contact => SpeakerRole::Contact,
        Third => SpeakerRole::Unknown,
    };
    Speaker {
        speaker_id: format!("spk_{number}"),
        source_speaker_id: format!("CHANNEL_{number}"),
        label: format!("Speaker {number}"),
        display_name: None,
        role,
        confidence: Confidence::High,
        label_source: LabelSource::Channel,
        voice_match_score: None,
    }
}

pub(super) fn segment(index: usize, speaker: &Speaker, text: &str, (start, end): (f64, f64)) -> Segment {
    Segment {
        id: format!("seg_{:04}", index + 1),
        speaker_id: speaker.speaker_id.clone(),
        speaker: speaker.label.clone(),
        speaker_label: speaker.label.clone(),
        speaker_display_name: speaker.display_name.clone(),
        source_speaker_id: speaker.source_speaker_id.clone(),
        role: speaker.role,
        start_seconds: start,
        end_seconds: end,
        text: text.to_owned(),
        alignment_confidence: Confidence::High,
    }
}

/// Wednesday, 20 May 2026.
pub(super) fn recorded() -> AnalysisContext {
    let recorded_at =
        DateTime::parse_from_rfc3339("2026-05-20T14:30:00Z").expect("a time").with_timezone(&Utc);
    AnalysisContext { recorded_at: Some(recorded_at), title: None, contact_name: None }
}

/// A small support call, as a good engine writes it.
pub(super) fn support_call() -> Transcript {
    call(&[
        (User, "Good morning, this is Maria from Northwind support. How can I help you today?"),
        (
            Contact,
            "Hi Maria, my router keeps dropping the connection every evening, and it's really frustrating.",
        ),
        (User, "I'm sorry to hear that. How long has this been going on?"),
        (
            Contact,
            "It started about two weeks ago. I already restarted the router three times and nothing helped.",
        ),
        (User, "I understand. Your router still has the old firmware, so we should replace it."),
        (Contact, "Is the replacement covered by the warranty?"),
        (User, "Yes, it is. The new router normally costs $89, but for you it's free."),
        (User, "I'll send you the replacement router by Friday. We agreed to skip the setup fee as well."),
        (
            Contact,
            "Great, thank you so much. Could you please email me the confirmation at tom.baker@example.com?",
        ),
        (User, "Of course, I'll email you the confirmation today."),
        (
            Contact,
            "One more thing, can you call me back next Tuesday at 3 pm to check whether it works? It's urgent because I work from home.",
        ),
        (User, "Sure, I will call you next Tuesday at 3 pm. Thank you for your patience, Tom. Goodbye."),
    ])
}

/// The same call as a small keyless engine hears it: words only, about one in eight wrong.
pub(super) fn draft_support_call() -> Transcript {
    let mut transcript = call(&[
        (User, "good morning this is maria from north wind support how can i help new today"),
        (
            Contact,
            "high maria my router keeps dropping the collection every evening and it's really frustrating",
        ),
        (User, "i'm sorry to here that how long as this bin going on"),
        (
            Contact,
            "it start it about two weeks a go i already restarted the rotor three times and nothing helped",
        ),
        (User, "i understand you're router still has the old firm where so we sure replace it"),
        (Contact, "is the replacement cover it by the warranty"),
        (User, "yes it is the knew router normal lee costs eighty nine dollars but for you it's three"),
        (User, "i'll send you the replacement router by friday we agreed to skip the set of fee has well"),
        (
            Contact,
            "great thank you so much could you please email me the confirmation at tom dot baker at example dot com",
        ),
        (User, "of coarse i'll email you the conversation today"),
        (
            Contact,
            "one more think can you call me back next tuesday at three p m to check weather it works it's urgent because i walk from home",
        ),
        (User, "sure i will call you next tuesday at three p m thank you for your patients tom good buy"),
    ]);
    transcript.pipeline.quality_warnings.push("draft_quality_engine".to_owned());
    transcript
}
