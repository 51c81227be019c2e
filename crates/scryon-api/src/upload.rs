//! POST /api/calls/analyze: the recording streams to storage while it is hashed, counted and looked at;
//! then one statement makes it a call. From there on the answer is 202: the row is the promise, and the
//! message only makes it prompt.

use std::time::{Duration, Instant};

use actix_multipart::{Field, Multipart};
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Data, Payload};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use futures_util::{Stream, StreamExt};
use scryon_blobs::{BlobKey, BlobWriter, CallKeys, Written};
use scryon_domain::hint::{Hint, HintReason};
use scryon_domain::ids::CallId;
use scryon_domain::media_type::{MediaType, SNIFF_BYTES, sniff};
use scryon_domain::stage::Lane;
use scryon_providers::media::wav_facts;
use scryon_runtime::audio::AudioDetails;
use scryon_store::{NewCall, Owner, StoreError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tracing::{Instrument, error, warn};

use crate::call_json::{Beside, call_json};
use crate::error::ApiError;
use crate::idempotency::{self, Hold, Key};
use crate::identity::Caller;
use crate::metadata::{Envelope, PlainParts, new_call, parse};
use crate::{App, request_id};

/// How long a finished upload waits for a connection to Postgres; each try waits for the pool by itself.
const COMMIT_PATIENCE: Duration = Duration::from_secs(5);
const ROUTE: &str = "POST /api/calls/analyze";
/// Most bytes of a part that is not the recording.
const TEXT_PART: usize = 64 << 10;
/// Most bytes of a body that wait for their part's reader, beside what the connection itself reads ahead. The library's
/// own 64 KiB, times a thousand slow uploads, is more than everything else that they hold.
pub(crate) const PIECE: usize = 16 << 10;
/// Most parts of a request.
const PARTS: usize = 32;
/// A slow start is forgiven for this long.
const GRACE: Duration = Duration::from_secs(10);
/// Longest silence of a client.
const SILENCE: Duration = Duration::from_secs(20);

/// Takes a recording in.
pub(crate) async fn analyze(
    request: HttpRequest,
    app: Data<App>,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let owner = caller.0;
    refuse_by_header(&request, app.limits.request)?;
    let call_id = CallId::new();
    let key = idempotency::key_of(&request)?;
    let hold = match key {
        None => None,
        Some(key) => match idempotency::begin(&app.store, &owner, ROUTE, key, call_id).await? {
            Key::Ours(hold) => Some(*hold),
            Key::Done { fingerprint, response } => {
                return repeat(&request, &app, payload, &fingerprint, response).await;
            }
        },
    };
    if let Err(wait) = app.throttle.take(&app.switches.now(), &owner.tenant_id.0, Instant::now()) {
        app.metrics.uploads_throttled.inc();
        return Err(ApiError::throttled(wait));
    }
    let progress = Progress(&app);
    app.metrics.uploads_in_progress.inc();
    let keys = CallKeys::new(&owner.tenant_id, owner.user_id, call_id);
    let mut form = Form::new(&app, Some(&keys));
    form.read(&request, payload).await?;
    let (call, writer, media) = form.finish()?;
    drop(progress);
    commit(app, owner, call_id, keys, Accepted { call, writer, media, hold }).await
}

/// Counts an upload as long as it goes on, however it ends.
struct Progress<'a>(&'a App);

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.0.metrics.uploads_in_progress.dec();
    }
}

fn refuse_by_header(request: &HttpRequest, limit: u64) -> Result<(), ApiError> {
    if content_length(request).is_some_and(|length| length > limit) {
        return Err(ApiError::too_large(limit));
    }
    Ok(())
}

fn content_length(request: &HttpRequest) -> Option<u64> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The request was carried out before: the same recording gets the stored answer, another is refused.
async fn repeat(
    request: &HttpRequest,
    app: &App,
    payload: Payload,
    fingerprint: &[u8],
    response: Value,
) -> Result<HttpResponse, ApiError> {
    let mut form = Form::new(app, None);
    form.read(request, payload).await?;
    let hash = form.only_hash.take().map(|hash| hash.finalize().to_vec());
    if hash.as_deref() == Some(fingerprint) {
        Ok(HttpResponse::Accepted().json(response))
    } else {
        Err(ApiError::idempotency_mismatch())
    }
}

/// What is read of a multipart body.
struct Form<'a> {
    app: &'a App,
    /// Absent when the recording is only compared.
    keys: Option<&'a CallKeys>,
    /// What the request says of its length.
    expected: Option<u64>,
    only_hash: Option<Sha256>,
    recording: Option<(BlobWriter, MediaType)>,
    /// What the header of the recording says.
    details: Option<Value>,
    seen_file: bool,
    envelope: Option<Envelope>,
    plain: PlainParts,
    sent_name: Option<String>,
    clock: Clock,
}

impl<'a> Form<'a> {
    fn new(app: &'a App, keys: Option<&'a CallKeys>) -> Self {
        Self {
            app,
            keys,
            expected: None,
            only_hash: None,
            recording: None,
            details: None,
            seen_file: false,
            envelope: None,
            plain: PlainParts::default(),
            sent_name: None,
            clock: Clock::new(app),
        }
    }

    async fn read(&mut self, request: &HttpRequest, payload: Payload) -> Result<(), ApiError> {
        if !is_multipart(request) {
            return Err(ApiError::unsupported_media(
                "Send the recording as multipart/form-data with a part named `file`.",
            ));
        }
        self.expected = content_length(request);
        let mut parts = parts_of(request, payload).await?;
        let mut count = 0;
        while let Some(part) = self.clock.next(&mut parts).await? {
            let field = part.map_err(|e| broken(&e))?;
            count += 1;
            if count > PARTS {
                return Err(ApiError::validation("body", format!("has more than {PARTS} parts")).closing());
            }
            self.part(field).await?;
        }
        Ok(())
    }

    async fn part(&mut self, field: Field) -> Result<(), ApiError> {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            return self.file(field).await;
        }
        let body = self.text(field).await?;
        let text = || {
            String::from_utf8(body.clone())
                .map_err(|_e| ApiError::validation(&name, "is not UTF-8").closing())
        };
        match name.as_str() {
            "metadata" => self.envelope = Some(parse(&body).map_err(ApiError::closing)?),
            "title" => self.plain.title = Some(text()?),
            "fileName" => self.plain.file_name = Some(text()?),
            "contactName" => self.plain.contact_name = Some(text()?),
            "phoneNumber" => self.plain.phone_number = Some(text()?),
            _ => {} // parts of other clients' making are read past
        }
        Ok(())
    }

    async fn text(&mut self, mut field: Field) -> Result<Vec<u8>, ApiError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.clock.next(&mut field).await? {
            let chunk = chunk.map_err(|e| broken(&e))?;
            self.clock.count(chunk.len())?;
            if body.len() + chunk.len() > TEXT_PART {
                return Err(ApiError::too_large(TEXT_PART as u64));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The recording: looked at as soon as there is enough of it, written as it comes.
    async fn file(&mut self, mut field: Field) -> Result<(), ApiError> {
        if std::mem::replace(&mut self.seen_file, true) {
            return Err(ApiError::validation("file", "must be sent once").closing());
        }
        self.sent_name = field.content_disposition().and_then(|d| d.get_filename()).map(str::to_owned);
        let mut head: Vec<u8> = Vec::new();
        let mut target: Option<Target> = None;
        let mut bytes = 0u64;
        while let Some(chunk) = self.clock.next(&mut field).await? {
            let chunk = chunk.map_err(|e| broken(&e))?;
            self.clock.count(chunk.len())?;
            bytes += chunk.len() as u64;
            if bytes > self.app.limits.file {
                return Err(ApiError::too_large(self.app.limits.file));
            }
            self.app.metrics.upload_bytes.inc_by(chunk.len() as u64);
            match &mut target {
                Some(target) => target.write(chunk).await?,
                None => {
                    head.extend_from_slice(&chunk);
                    if head.len() >= SNIFF_BYTES {
                        target = Some(self.open(&head).await?);
                        head.truncate(SNIFF_BYTES);
                        head.shrink_to_fit();
                    }
                }
            }
        }
        if bytes == 0 {
            return Err(ApiError::validation("file", "is empty").closing());
        }
        let target = match target {
            Some(target) => target,
            None => self.open(&head).await?,
        };
        match target {
            Target::Store(writer, media) => self.recording = Some((*writer, media)),
            Target::Hash(hash) => self.only_hash = Some(hash),
        }
        let details = wav_facts(&head, bytes).map(AudioDetails::from);
        self.details = details.and_then(|d| serde_json::to_value(d).ok());
        Ok(())
    }

    async fn open(&self, head: &[u8]) -> Result<Target, ApiError> {
        let mut target = match self.keys {
            None => Target::Hash(Sha256::new()),
            Some(keys) => {
                let media = sniff(head).ok_or_else(|| {
                    ApiError::unsupported_media(
                        "The file is no recording in a format we know: m4a mp3 mp4 m4v mov 3gp wav aac ogg opus flac webm wma amr.",
                    )
                })?;
                Target::Store(
                    Box::new(self.app.blobs.writer(&keys.audio(media.extension), self.expected)?),
                    media,
                )
            }
        };
        target.write(head).await?;
        self.app.crash_point("C1");
        Ok(target)
    }

    fn finish(self) -> Result<(NewCall, BlobWriter, MediaType), ApiError> {
        let Some((writer, media)) = self.recording else {
            return Err(ApiError::validation(
                "file",
                "is missing: send the recording in a part named `file`",
            ));
        };
        let mut call = new_call(self.envelope.unwrap_or_default(), self.plain, self.sent_name)?;
        call.audio_details = self.details;
        Ok((call, writer, media))
    }
}

enum Target {
    Store(Box<BlobWriter>, MediaType),
    Hash(Sha256),
}

impl Target {
    async fn write<C: AsRef<[u8]>>(&mut self, chunk: C) -> Result<(), ApiError> {
        match self {
            Self::Store(writer, _) => writer.write(chunk).await?,
            Self::Hash(hash) => hash.update(chunk),
        }
        Ok(())
    }
}

/// Time and size of a body: neither a silent client, nor a slow one, nor an endless one holds us.
pub(crate) struct Clock {
    started: Instant,
    bytes: u64,
    limit: u64,
    min_rate: u64,
    total: Duration,
}

impl Clock {
    /// With the limits of an upload.
    pub(crate) fn new(app: &App) -> Self {
        let limits = app.limits;
        Self {
            started: Instant::now(),
            bytes: 0,
            limit: limits.request,
            min_rate: limits.min_rate,
            total: limits.total,
        }
    }

    /// With another limit on the size.
    pub(crate) fn with_limit(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    pub(crate) async fn next<T>(
        &self,
        stream: &mut (impl Stream<Item = T> + Unpin),
    ) -> Result<Option<T>, ApiError> {
        let patience = SILENCE.min(self.total.saturating_sub(self.started.elapsed()));
        tokio::time::timeout(patience, stream.next()).await.map_err(|_elapsed| ApiError::too_slow())
    }

    pub(crate) fn count(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.bytes += bytes as u64;
        if self.bytes > self.limit {
            return Err(ApiError::too_large(self.limit));
        }
        let elapsed = self.started.elapsed();
        let expected = elapsed.saturating_sub(GRACE).as_secs_f64() * self.min_rate as f64;
        if elapsed > self.total || (self.bytes as f64) < expected {
            return Err(ApiError::too_slow());
        }
        Ok(())
    }
}

pub(crate) fn is_multipart(request: &HttpRequest) -> bool {
    use actix_web::HttpMessage;
    request.content_type().eq_ignore_ascii_case("multipart/form-data")
}

/// The parts of a body; `routes` says how much of it is held.
pub(crate) async fn parts_of(request: &HttpRequest, payload: Payload) -> Result<Multipart, ApiError> {
    Multipart::from_request(request, &mut payload.into_inner()).await.map_err(|e| broken(&e))
}

pub(crate) fn broken(error: &impl std::fmt::Display) -> ApiError {
    warn!(error = %error, "an upload ended early or was malformed");
    ApiError::validation("body", "is not complete multipart/form-data").closing()
}

struct Accepted {
    call: NewCall,
    writer: BlobWriter,
    media: MediaType,
    hold: Option<Hold>,
}

/// Runs in a task of its own: a client that vanishes drops the handler, and the commit must not be cut in
/// the middle. Either there is a call with its object, or neither.
async fn commit(
    app: Data<App>,
    owner: Owner,
    call_id: CallId,
    keys: CallKeys,
    accepted: Accepted,
) -> Result<HttpResponse, ApiError> {
    let trace = request_id::traceparent();
    let (answer, answered) = oneshot::channel();
    let task = async move {
        let announce = !app.switches.now().holds_starts(&owner.tenant_id.0, Lane::Live)
            && app.admission.take(&app.store, &owner.tenant_id).await;
        let result = store_call(&app, &owner, call_id, &keys, accepted, announce).await;
        let committed = result.is_ok();
        if committed {
            app.crash_point("C3");
        }
        // The client may be gone; the call stands.
        let _client_gone = answer.send(result);
        if committed && announce {
            let hint = Hint::start(call_id, owner.tenant_id, Lane::Live, HintReason::Upload);
            app.announcer.announce(&[hint], trace.as_deref()).await;
            app.crash_point("C4");
        }
    };
    tokio::spawn(task.instrument(tracing::Span::current()));
    let response = answered.await.map_err(|_e| ApiError::internal())??;
    Ok(HttpResponse::Accepted().json(response))
}

async fn store_call(
    app: &App,
    owner: &Owner,
    call_id: CallId,
    keys: &CallKeys,
    accepted: Accepted,
    announce: bool,
) -> Result<Value, ApiError> {
    let Accepted { mut call, writer, media, hold } = accepted;
    let description = keys.call_json();
    let body = call_json(call_id, owner, &call, media, &Beside { audio: &writer, hold: hold.as_ref() });
    let written: Written = match writer.finish_beside(&app.blobs, &description, body).await {
        Ok(written) => written,
        Err(error) => {
            discard(app, keys).await;
            return Err(error.into());
        }
    };
    app.crash_point("C2");
    call.audio_key = BlobKey::stored(&written.key).as_str().to_owned();
    call.audio_content_type = media.mime.to_owned();
    call.audio_bytes = written.bytes;
    call.audio_sha256 = written.sha256;
    let response = json!({"callId": call_id, "id": call_id, "status": "QUEUED"});
    let completed = hold.as_ref().map(|h| h.completed(response.clone()));
    let began = Instant::now();
    // A try whose answer was lost may still be carried out, so that its objects have to stay.
    let mut perhaps = false;
    loop {
        let refused = match app.store.call_insert(call_id, owner, &call, announce, completed.as_ref()).await {
            Ok(true) => break,
            Ok(false) => None,
            Err(error) => Some(error),
        };
        perhaps |= refused.as_ref().is_some_and(StoreError::outcome_is_unknown);
        // An earlier try's commit may be done by now: then it has completed the key itself.
        let known = app.store.call_exists(call_id).await;
        if let Ok(true) = known {
            break;
        }
        let unavailable = refused.as_ref().is_some_and(StoreError::is_unavailable) || known.is_err();
        // A recording that was received whole is worth more patience than a question.
        if unavailable && began.elapsed() < COMMIT_PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        if perhaps && unavailable {
            error!(callId = %call_id, error = ?refused, "a call was perhaps accepted; its key and object are kept");
            if let Some(hold) = hold {
                hold.keep();
            }
            return Err(ApiError::in_doubt());
        }
        discard(app, keys).await;
        return Err(refused.map_or_else(ApiError::in_flight, Into::into));
    }
    if let Some(hold) = hold {
        hold.keep();
    }
    Ok(response)
}

/// Nothing was promised: what was stored goes again.
async fn discard(app: &App, keys: &CallKeys) {
    if let Err(error) = app.blobs.delete_prefix(keys.prefix()).await {
        warn!(error = %error, "objects of an upload that failed were not deleted; the storage sweep finds them");
    }
}
