//! Addresses for callbacks whose provider signs nothing: the address itself is signed, and says which job of
//! which call it is for and until when it holds.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::ids::{CallId, JobId};

/// What a signed address says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallbackAddress {
    pub call: CallId,
    pub run_no: i32,
    /// The attempt: a row of the ledger.
    pub job: JobId,
    /// Unix seconds after which it is refused.
    pub expires: i64,
    /// The life of the installation that signed it; not said in the first one.
    pub epoch: i32,
}

/// Why an address was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No secret of ours made this signature.
    Signature,
    /// It held until some time ago.
    Expired,
}

impl CallbackAddress {
    /// Path and query below the API's address.
    pub fn signed(&self, engine: &str, secret: &str) -> String {
        let epoch = if self.epoch > 0 { format!("&ep={}", self.epoch) } else { String::new() };
        format!(
            "/api/webhooks/{engine}/{}?run={}&job={}&exp={}{epoch}&sig={}",
            self.call.0,
            self.run_no,
            self.job.0,
            self.expires,
            hex::encode(self.mac(engine, secret).finalize().into_bytes())
        )
    }

    /// Which of the secrets made this signature, where it still holds. Every secret is tried, each in constant time.
    pub fn verify(
        &self,
        engine: &str,
        secrets: &[String],
        signature: &str,
        now: i64,
    ) -> Result<usize, Refused> {
        let Ok(signature) = hex::decode(signature) else { return Err(Refused::Signature) };
        let mut signer = None;
        for (place, secret) in secrets.iter().enumerate() {
            if self.mac(engine, secret).verify_slice(&signature).is_ok() {
                signer = Some(place);
            }
        }
        signer.ok_or(Refused::Signature).and_then(|place| within(now <= self.expires, place))
    }

    fn mac(&self, engine: &str, secret: &str) -> Hmac<Sha256> {
        let mut mac = keyed(secret);
        for part in [engine.as_bytes(), self.call.0.as_bytes(), self.job.0.as_bytes()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.update(&self.run_no.to_be_bytes());
        mac.update(&self.expires.to_be_bytes());
        if self.epoch > 0 {
            mac.update(&self.epoch.to_be_bytes());
        }
        mac
    }
}

fn within(time: bool, place: usize) -> Result<usize, Refused> {
    if time { Ok(place) } else { Err(Refused::Expired) }
}

/// Seconds by which the time of a signed message may differ from ours.
pub const SIGNATURE_AGE: i64 = 300;

/// pyannoteAI's signature: HMAC-SHA256 over `v0:`, the timestamp, `:` and the raw body, as hex or base64 (its
/// documentation says the one and shows the other). Gives which of the secrets it was made with.
pub fn verify_pyannote(
    secrets: &[String],
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now: i64,
) -> Result<usize, Refused> {
    let Ok(sent) = timestamp.trim().parse::<i64>() else { return Err(Refused::Signature) };
    let signature = signature.trim();
    let forms: Vec<Vec<u8>> =
        [hex::decode(signature).ok(), unbase64(signature)].into_iter().flatten().collect();
    let mut signer = None;
    for (place, secret) in secrets.iter().enumerate() {
        for form in &forms {
            let mut mac = keyed(secret);
            mac.update(b"v0:");
            mac.update(timestamp.trim().as_bytes());
            mac.update(b":");
            mac.update(body);
            if mac.verify_slice(form).is_ok() {
                signer = Some(place);
            }
        }
    }
    let in_time = sent.abs_diff(now) <= SIGNATURE_AGE.unsigned_abs();
    signer.ok_or(Refused::Signature).and_then(|place| within(in_time, place))
}

/// A key of any length is a key (RFC 2104).
#[allow(clippy::expect_used)] // HMAC refuses no length of a key
fn keyed(secret: &str) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length")
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// Reads the parts of an address as they come over the wire.
pub fn address_of(call: &str, run: &str, job: &str, expires: &str, epoch: &str) -> Option<CallbackAddress> {
    Some(CallbackAddress {
        call: CallId(Uuid::try_parse(call).ok()?),
        run_no: run.parse().ok()?,
        job: JobId(Uuid::try_parse(job).ok()?),
        expires: expires.parse().ok()?,
        epoch: if epoch.is_empty() { 0 } else { epoch.parse().ok()? },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    fn address() -> CallbackAddress {
        CallbackAddress {
            call: CallId(Uuid::from_u128(7)),
            run_no: 2,
            job: JobId(Uuid::from_u128(9)),
            expires: 1_789_000_000,
            epoch: 0,
        }
    }

    fn signature(address: &CallbackAddress, secret: &str) -> String {
        address.signed("lemonfox", secret).rsplit_once("sig=").unwrap().1.to_owned()
    }

    #[test]
    fn an_address_holds_for_its_job_and_time_under_any_of_the_secrets() {
        let (address, now) = (address(), 1_789_000_000);
        let sig = signature(&address, "old");
        assert_eq!(address.verify("lemonfox", &secrets(&["new", "old"]), &sig, now), Ok(1));
        assert_eq!(
            address.verify("lemonfox", &secrets(&["new"]), &sig, now),
            Err(Refused::Signature),
            "a secret that was taken out"
        );
        assert_eq!(
            address.verify("lemonfox", &secrets(&["old"]), &sig, now + 1),
            Err(Refused::Expired),
            "late"
        );
        assert_eq!(
            address.verify("deepgram", &secrets(&["old"]), &sig, now),
            Err(Refused::Signature),
            "another engine"
        );
        let others = [
            CallbackAddress { run_no: 3, ..address },
            CallbackAddress { expires: now + 5, ..address },
            CallbackAddress { epoch: 1, ..address },
            CallbackAddress { job: JobId(Uuid::from_u128(10)), ..address },
            CallbackAddress { call: CallId(Uuid::from_u128(8)), ..address },
        ];
        for other in others {
            assert_eq!(other.verify("lemonfox", &secrets(&["old"]), &sig, now), Err(Refused::Signature));
        }
        for wrong in ["", "zz", "äö", &sig[2..]] {
            assert_eq!(
                address.verify("lemonfox", &secrets(&["old"]), wrong, now),
                Err(Refused::Signature),
                "{wrong}"
            );
        }
        assert_eq!(address.verify("lemonfox", &[], &sig, now), Err(Refused::Signature), "no secret at all");
    }

    #[test]
    fn what_an_address_says_is_read_back() {
        let address = address();
        let text = address.signed("lemonfox", "s");
        assert!(text.starts_with("/api/webhooks/lemonfox/00000000-0000-0000-0000-000000000007?run=2&job="));
        let read = address_of(&address.call.0.to_string(), "2", &address.job.0.to_string(), "1789000000", "");
        assert_eq!(read, Some(address));
        assert_eq!(address_of("x", "2", "y", "z", ""), None);
        let second = CallbackAddress { epoch: 2, ..address };
        let text = second.signed("lemonfox", "s");
        assert!(text.contains("&exp=1789000000&ep=2&sig="), "{text}");
        let sig = signature(&second, "s");
        assert_eq!(second.verify("lemonfox", &secrets(&["s"]), &sig, 0), Ok(0));
        assert_eq!(address.verify("lemonfox", &secrets(&["s"]), &sig, 0), Err(Refused::Signature));
    }

    /// Made with openssl, not with this code.
    #[test]
    fn a_signature_of_pyannote_holds_in_both_encodings_for_five_minutes() {
        let body = br#"{"jobId":"3b0f6f0e-52c7-4d0c-9a53-0c1de9b1a001","status":"succeeded"}"#;
        let (secret, at) = ("pya-demo-secret", 1_789_000_000);
        let hex = "c560abf337770f4660ec6b2c1c2367cb45f5641bb7df37591f558e302879795f";
        let base64 = "xWCr8zd3D0Zg7GssHCNny0X1ZBu33zdZH1WOMCh5eV8=";
        let verify = |secret: &str, sig: &str, body: &[u8], now: i64| {
            verify_pyannote(&secrets(&["before", secret]), "1789000000", sig, body, now)
        };
        for sig in [hex, base64] {
            assert_eq!(verify(secret, sig, body, at), Ok(1));
            assert_eq!(verify(secret, sig, body, at + 300), Ok(1));
            assert_eq!(verify(secret, sig, body, at + 301), Err(Refused::Expired));
            assert_eq!(verify(secret, sig, body, at - 301), Err(Refused::Expired));
            assert_eq!(verify("another", sig, body, at), Err(Refused::Signature));
            assert_eq!(verify(secret, sig, &body[1..], at), Err(Refused::Signature));
        }
        assert_eq!(verify_pyannote(&secrets(&[secret]), "soon", hex, body, at), Err(Refused::Signature));
    }
}
