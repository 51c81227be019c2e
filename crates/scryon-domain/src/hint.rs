//! The queue message: a wake-up that carries ids only. Postgres decides what it means.

use serde::{Deserialize, Serialize};

use crate::ids::{CallId, TenantId};
use crate::stage::{Lane, StageKind};

/// Version of the message body. A consumer parks what it does not know.
pub const HINT_VERSION: u32 = 1;

/// Why a hint was sent; for people who look into a queue, never for decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HintReason {
    /// A call was accepted.
    Upload,
    /// The stage before finished.
    Next,
    /// The dispatcher announced again what a row says is due.
    Redispatch,
    /// A retry whose delay has passed.
    Retry,
    /// A waiting stage should look at its provider.
    Poll,
}

/// "There may be work for this stage of this call."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hint {
    pub v: u32,
    pub call_id: CallId,
    pub tenant_id: TenantId,
    /// Absent on a start hint: the run begins when the call leaves QUEUED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_no: Option<i32>,
    pub stage: StageKind,
    pub lane: Lane,
    pub reason: HintReason,
    /// The life of the installation that sent it; absent in the first one.
    #[serde(default, skip_serializing_if = "is_first")]
    pub epoch: i32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks so
fn is_first(epoch: &i32) -> bool {
    *epoch == 0
}

impl Hint {
    /// The hint that starts a run.
    pub fn start(call_id: CallId, tenant_id: TenantId, lane: Lane, reason: HintReason) -> Self {
        Self {
            v: HINT_VERSION,
            call_id,
            tenant_id,
            run_no: None,
            stage: StageKind::Preprocessing,
            lane,
            reason,
            epoch: 0,
        }
    }

    /// The same hint, sent by this life.
    pub fn of_epoch(&self, epoch: i32) -> Self {
        Self { epoch, ..self.clone() }
    }

    /// Whether this hint asks to start a run rather than to go on with one.
    pub fn is_start(&self) -> bool {
        self.run_no.is_none()
    }

    /// Reads a message body. Garbage and unknown versions are for the dead-letter queue.
    pub fn parse(body: &[u8]) -> Result<Self, HintError> {
        let hint: Self = serde_json::from_slice(body).map_err(|_e| HintError::Malformed)?;
        if hint.v != HINT_VERSION {
            return Err(HintError::UnknownVersion { version: hint.v });
        }
        if hint.is_start() && hint.stage != StageKind::Preprocessing {
            return Err(HintError::Malformed);
        }
        Ok(hint)
    }

    /// The message body.
    pub fn to_body(&self) -> Vec<u8> {
        // A struct of plain fields always serialises; an empty body would be parked by the consumer.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Why a message body cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HintError {
    #[error("the message is no hint")]
    Malformed,
    #[error("the hint has version {version}, this program knows {HINT_VERSION}")]
    UnknownVersion { version: u32 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_round_trips_and_carries_ids_only() {
        let hint = Hint::start(CallId::new(), TenantId::default_tenant(), Lane::Live, HintReason::Upload);
        let body = hint.to_body();
        assert_eq!(Hint::parse(&body), Ok(hint));
        let keys: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let mut keys: Vec<_> = keys.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        assert_eq!(keys, ["call_id", "lane", "reason", "stage", "tenant_id", "v"]);
    }

    #[test]
    fn a_hint_says_its_epoch_from_the_second_life_on() {
        let hint = Hint::start(CallId::new(), TenantId::default_tenant(), Lane::Live, HintReason::Upload);
        let text = |hint: &Hint| String::from_utf8(hint.to_body()).unwrap();
        assert!(!text(&hint).contains("epoch"), "programs of before read it");
        let second = hint.of_epoch(1);
        assert!(text(&second).contains(r#""epoch":1"#));
        assert_eq!(Hint::parse(&second.to_body()), Ok(second));
    }

    #[test]
    fn garbage_is_refused() {
        let good = r#"{"v":1,"call_id":"0195d8a0-0000-7000-8000-000000000000","tenant_id":"default","run_no":3,"stage":"analysis","lane":"live","reason":"next"}"#;
        assert!(Hint::parse(good.as_bytes()).is_ok());
        for (from, to) in [
            ("\"v\":1", "\"v\":2"),
            ("analysis", "cooking"),
            ("\"lane\":\"live\"", "\"lane\":7"),
            ("\"run_no\":3,", ""), // a start hint for a later stage makes no sense
            ("\"v\":1", "\"v\":1,\"title\":\"x\""),
        ] {
            assert!(Hint::parse(good.replace(from, to).as_bytes()).is_err(), "{from} -> {to}");
        }
        assert_eq!(Hint::parse(b""), Err(HintError::Malformed));
        assert_eq!(Hint::parse(&[0xff, 0xfe]), Err(HintError::Malformed));
    }
}
