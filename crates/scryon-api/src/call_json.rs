//! `temp/call.json`: what storage knows of a call.

use scryon_blobs::BlobWriter;
use scryon_domain::ids::CallId;
use scryon_domain::media_type::MediaType;
use scryon_domain::stage::Lane;
use scryon_store::{NewCall, Owner};
use serde_json::json;

use crate::idempotency::Hold;

/// What belongs to an upload besides its call.
pub(crate) struct Beside<'a> {
    pub(crate) audio: &'a BlobWriter,
    pub(crate) hold: Option<&'a Hold>,
}

/// What is needed to rebuild the row from storage alone (`scryon restore`). It lies beside the recording and leaves with it.
pub(crate) fn call_json(
    call_id: CallId,
    owner: &Owner,
    call: &NewCall,
    media: MediaType,
    beside: &Beside<'_>,
) -> Vec<u8> {
    let Beside { audio, hold } = beside;
    let document = json!({
        "version": 2,
        "callId": call_id,
        "tenantId": owner.tenant_id,
        "userId": owner.user_id,
        "acceptedAt": chrono::Utc::now(),
        "contentType": media.mime,
        "audioKey": audio.key(),
        "byteSize": audio.bytes(),
        "sha256": hex::encode(audio.sha256()),
        "audioDetails": call.audio_details,
        "lane": Lane::Live,
        "idempotencyKey": hold.map(Hold::key),
        "title": call.title,
        "contactName": call.contact_name,
        "contactId": call.contact_id,
        "phoneNumber": call.phone_number,
        "organization": call.organization,
        "direction": call.direction,
        "recordedAt": call.recorded_at,
        "durationSeconds": call.duration_seconds,
        "originalFileName": call.original_file_name,
        "clientReference": call.client_reference,
        "metadata": call.metadata,
    });
    document.to_string().into_bytes()
}
