//! Named crash points: `SCRYON_CRASH_AT=C7` makes a test build end itself there, as hard as `kill -9`;
//! `SCRYON_CRASH_AT=diarization@<call id>` makes it end whenever it works on that stage of that call.

use scryon_domain::ids::CallId;
use scryon_domain::stage::StageKind;

/// Ends the process if this point is the one named in the settings of a test build.
pub fn crash_point(configured: Option<&str>, name: &str) {
    if cfg!(debug_assertions) && configured == Some(name) {
        tracing::warn!(point = name, "ending this process at a crash point");
        std::process::abort();
    }
}

/// Ends the process if it is to die of this stage of this call.
pub(crate) fn crash_over(configured: Option<&str>, stage: StageKind, call_id: CallId) {
    let is_it = |(of, call): (&str, &str)| of == stage.as_str() && call == call_id.to_string();
    if cfg!(debug_assertions) && configured.and_then(|c| c.split_once('@')).is_some_and(is_it) {
        tracing::warn!("ending this process over a call");
        std::process::abort();
    }
}
