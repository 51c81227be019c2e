//! What tests of hosted engines share: a server that keeps what it was sent, recordings, transcripts.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use scryon_domain::ids::CallId;
use scryon_domain::transcript::{
    Confidence, LabelSource, PipelineInfo, Segment, Speaker, SpeakerResolution, SpeakerRole, Transcript,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::engine::{Audio, AudioFile, Pieces};

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub(super) struct Received {
    /// Method, path and query.
    pub(super) line: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Parts of a form: the head of each and its content.
    pub(super) fn parts(&self) -> Vec<(String, Vec<u8>)> {
        let boundary = self.header("content-type").unwrap().split_once("boundary=").unwrap().1;
        let mark = format!("--{boundary}");
        let mut rest = self.body.as_slice();
        let mut parts = Vec::new();
        while let Some(at) = find(rest, mark.as_bytes()) {
            let part = &rest[..at];
            if let Some(end) = find(part, b"\r\n\r\n") {
                let head = String::from_utf8(part[..end].to_vec()).unwrap();
                parts.push((head.trim().to_owned(), part[end + 4..part.len() - 2].to_vec()));
            }
            rest = &rest[at + mark.len()..];
        }
        parts
    }

    /// Fields of a form without its file, as `name=value`.
    pub(super) fn fields(&self) -> Vec<String> {
        self.parts()
            .into_iter()
            .filter(|(head, _)| !head.contains("filename="))
            .map(|(head, value)| {
                let name = head.split_once("name=\"").unwrap().1.split('"').next().unwrap().to_owned();
                format!("{name}={}", String::from_utf8(value).unwrap())
            })
            .collect()
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Answers requests from a list, one after the other.
pub(super) struct Server {
    pub(super) url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// Answers with these statuses and bodies; a request beyond them gets 500.
    pub(super) async fn answering(answers: Vec<(u16, String)>) -> Self {
        Self::answering_with(|_url| answers).await
    }

    /// As `answering`, with answers that name the server's own address.
    pub(super) async fn answering_with(answers: impl FnOnce(&str) -> Vec<(u16, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        let answers = Arc::new(Mutex::new(VecDeque::from(answers(&url))));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, &kept, &answers).await;
            }
        });
        Self { url, received }
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

/// One request per connection.
async fn serve(mut stream: TcpStream, kept: &Mutex<Vec<Received>>, answers: &Mutex<VecDeque<(u16, String)>>) {
    let Some(request) = receive(&mut stream).await else { return };
    kept.lock().unwrap().push(request);
    let (status, body) = answers.lock().unwrap().pop_front().unwrap_or((500, String::new()));
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // The client may have gone.
    let _gone = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

/// A whole request with a Content-Length. `None` where the client broke off.
async fn receive(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut body = bytes.split_off(head + 4);
    let request = Received { line, headers, body: Vec::new() };
    // A body without a length would be sent in chunks, which not every provider takes.
    let length = match request.header("content-length") {
        Some(length) => length.parse().unwrap(),
        None if request.line.starts_with("GET ") => 0,
        None => panic!("a body without a length"),
    };
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Received { body, ..request })
}

/// A recording of a few bytes that comes in pieces.
pub(super) struct Recording {
    pub(super) content: Vec<u8>,
    pub(super) content_type: &'static str,
    pub(super) channels: Option<u16>,
    pub(super) seconds: Option<f64>,
    /// Where the provider may fetch it.
    pub(super) address: Option<&'static str>,
    /// The stream breaks off after its first piece.
    pub(super) breaks: bool,
}

impl Recording {
    pub(super) fn new(content: &str) -> Self {
        Self {
            content: content.as_bytes().to_vec(),
            content_type: "audio/wav",
            channels: Some(1),
            seconds: Some(60.0),
            address: None,
            breaks: false,
        }
    }
}

#[async_trait]
impl Audio for Recording {
    async fn address(&self) -> std::io::Result<Option<String>> {
        Ok(self.address.map(str::to_owned))
    }
    fn bytes(&self) -> u64 {
        self.content.len() as u64
    }
    fn content_type(&self) -> &str {
        self.content_type
    }
    fn duration_seconds(&self) -> Option<f64> {
        self.seconds
    }
    fn channels(&self) -> Option<u16> {
        self.channels
    }
    async fn stream(&self) -> std::io::Result<BoxStream<'static, std::io::Result<Bytes>>> {
        let mut pieces: Vec<std::io::Result<Bytes>> =
            self.content.chunks(4).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        if self.breaks {
            pieces.truncate(1);
            pieces.push(Err(std::io::Error::from(std::io::ErrorKind::NotFound)));
        }
        Ok(futures_util::stream::iter(pieces).boxed())
    }
    async fn file(&self) -> std::io::Result<Box<dyn AudioFile>> {
        Err(std::io::Error::other("hosted engines stream"))
    }
}

/// Hosted engines keep no pieces.
pub(super) struct NoPieces;

#[async_trait]
impl Pieces for NoPieces {
    async fn load(&self, _channel: u16, _index: u32) -> std::io::Result<Option<Vec<u8>>> {
        Ok(None)
    }
    async fn store(&self, _channel: u16, _index: u32, _content: Vec<u8>) -> std::io::Result<()> {
        Ok(())
    }
}

impl AudioFile for NoPieces {
    fn path(&self) -> &Path {
        Path::new("")
    }
}

/// A call of two parties who take turns, a segment each 20 seconds: `spk_1` USER, `spk_2` CONTACT.
pub(super) fn transcript(texts: &[&str]) -> Transcript {
    let speakers = vec![speaker(1, SpeakerRole::User), speaker(2, SpeakerRole::Contact)];
    let segments =
        texts.iter().enumerate().map(|(index, text)| segment(index, &speakers[index % 2], text)).collect();
    Transcript {
        schema_version: 2,
        call_id: CallId::new(),
        language: Some("en".to_owned()),
        duration_seconds: 20.0 * texts.len() as f64,
        clean_text: String::new(),
        speakers,
        segments,
        speaker_resolution: SpeakerResolution {
            strategy_version: 1,
            used_user_display_name: false,
            used_contact_name: false,
            used_direction: false,
            used_phone_fallback: false,
            voice_embedding_enabled: false,
            voice_profile_used: false,
            voice_match_status: "DISABLED".to_owned(),
            total_speaker_count: 2,
            resolved_speaker_count: 2,
            warnings: Vec::new(),
        },
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
        created_at: chrono::DateTime::UNIX_EPOCH,
    }
}

fn speaker(number: usize, role: SpeakerRole) -> Speaker {
    Speaker {
        speaker_id: format!("spk_{number}"),
        source_speaker_id: format!("CHANNEL_{}", number - 1),
        label: format!("Label {number}"),
        display_name: None,
        role,
        confidence: Confidence::High,
        label_source: LabelSource::Channel,
        voice_match_score: None,
    }
}

fn segment(index: usize, speaker: &Speaker, text: &str) -> Segment {
    let start_seconds = index as f64 * 20.0;
    Segment {
        id: format!("seg_{:04}", index + 1),
        speaker_id: speaker.speaker_id.clone(),
        speaker: speaker.label.clone(),
        speaker_label: speaker.label.clone(),
        speaker_display_name: None,
        source_speaker_id: speaker.source_speaker_id.clone(),
        role: speaker.role,
        start_seconds,
        end_seconds: start_seconds + 15.0,
        text: text.to_owned(),
        alignment_confidence: Confidence::High,
    }
}

/// What a model answers under the strict schema: everything is there, and null where there is nothing.
pub(super) fn model_document() -> Value {
    json!({
        "callType": "support", "suggestedTitle": null, "oneLineSummary": "A package is sent.",
        "executiveSummary": "A package was asked for. It is sent on Friday.",
        "executiveSummaryBullets": [{"header": "Package", "startTimestamp": null, "paragraphs": ["It is sent."]}],
        "conversationOutcome": null,
        "sections": [{"title": "Package", "type": null, "summary": null,
            "items": [{"text": "It is sent.", "importance": "high", "sourceSegmentIds": ["seg_0002"]}]}],
        "keyDiscussionPoints": [{"text": "The package.", "topic": null, "phase": "middle", "importance": null,
            "sourceSegmentIds": ["seg_0001"]}],
        "actionItems": [{"title": "Send the package", "description": null, "ownerSpeakerId": "spk_2",
            "dueDate": null, "priority": null, "sourceSegmentIds": ["seg_0002"], "intent": null,
            "intentMetadata": null}],
        "nextSteps": [{"text": "Wait for it.", "ownerSpeaker": "spk_1", "when": null, "sourceSegmentIds": []}],
        "importantDates": [], "decisions": [{"text": "It is sent.", "speakerId": null, "importance": null,
            "sourceSegmentIds": []}],
        "commitments": [], "openQuestions": [], "risks": [], "opportunities": [],
        "peopleMentioned": [], "numbersAndAmounts": [],
        "sentiment": {"overall": "neutral", "score": 0, "reason": null, "userSentiment": null,
            "contactSentiment": null, "progression": [], "emotionalSignals": []},
        "tone": null, "tags": ["support"]
    })
}
