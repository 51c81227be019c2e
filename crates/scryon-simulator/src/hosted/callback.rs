//! Callbacks and webhooks on their way out: signed, repeated, or wrong as ordered.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::rt;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::visit::Visit;
use crate::faults::{self, CallbackFault};
use crate::options::SignatureForm;
use crate::{Shared, lock};

/// Redirects that are followed.
const REDIRECTS: usize = 2;

/// One try to deliver a callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// `lemonfox`, `pyannote`, `deepgram` or `assemblyai`.
    pub provider: &'static str,
    /// 0 for the first try.
    pub attempt: usize,
    /// What the receiver said, if it said anything.
    pub status: Option<u16>,
}

/// What a webhook is signed with.
#[derive(Debug, Clone)]
pub(crate) struct Signing {
    pub(crate) secret: String,
    pub(crate) form: SignatureForm,
}

/// A callback to send.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) provider: &'static str,
    pub(crate) put: bool,
    pub(crate) url: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
    /// The body for a job that nobody knows; without one the address is changed instead.
    pub(crate) stranger: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    /// A signed webhook also numbers its retries.
    pub(crate) signing: Option<Signing>,
    /// Pauses before the second and later tries.
    pub(crate) retries: Vec<Duration>,
    /// Whether a refusal by 4xx is final.
    pub(crate) stops_at_4xx: bool,
}

impl Outgoing {
    /// A POST of JSON, tried once.
    pub(crate) fn new(provider: &'static str, url: &str, body: String) -> Self {
        Self {
            provider,
            put: false,
            url: url.to_owned(),
            content_type: crate::reply::JSON,
            body,
            stranger: None,
            headers: Vec::new(),
            signing: None,
            retries: Vec::new(),
            stops_at_4xx: false,
        }
    }

    fn spoil(&mut self, fault: Option<CallbackFault>) {
        match fault {
            Some(CallbackFault::Garbage) => self.body = "<html>this is no transcript".to_owned(),
            Some(CallbackFault::Stranger) => match self.stranger.take() {
                Some(body) => self.body = body,
                None => self.url = elsewhere(&self.url),
            },
            Some(CallbackFault::WrongSecret) => {
                if let Some(signing) = &mut self.signing {
                    signing.secret.push_str(" of somebody else");
                }
            }
            _ => {}
        }
    }
}

/// The address with another last letter in its path.
fn elsewhere(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (path, query) = url.split_at(end);
    let mut path = path.to_owned();
    let last = if path.ends_with('0') { '1' } else { '0' };
    path.pop();
    path.push(last);
    path + query
}

/// Sends a callback once it is `due`, as the submit's fault wants it, and tells what the receiver said last.
pub(crate) async fn start(
    visit: &Visit,
    mut outgoing: Outgoing,
    due: impl Future<Output = ()> + 'static,
    done: impl FnOnce(&Shared, Option<u16>) + 'static,
) {
    let fault = visit.callback_fault();
    if fault == Some(CallbackFault::Never) {
        return;
    }
    outgoing.spoil(fault);
    let shared = visit.shared.clone();
    let timeout = Duration::from_millis(visit.options.callback_timeout_ms);
    let sender = Sender { shared, outgoing, timeout };
    if fault == Some(CallbackFault::BeforeAnswer) {
        let first = sender.attempt(0, None).await;
        drop(rt::spawn(async move {
            let status = sender.go_on(first).await;
            done(&sender.shared, status);
        }));
        return;
    }
    drop(rt::spawn(async move {
        due.await;
        match fault {
            Some(CallbackFault::Delayed(more)) => tokio::time::sleep(more).await,
            Some(CallbackFault::Held) => faults::hold(&sender.shared.faults).await,
            _ => {}
        }
        let mut status = sender.deliver().await;
        if fault == Some(CallbackFault::Doubled) {
            status = sender.deliver().await;
        }
        done(&sender.shared, status);
    }));
}

struct Sender {
    shared: Arc<Shared>,
    outgoing: Outgoing,
    timeout: Duration,
}

/// How a try ended: what the receiver said, or why it said nothing.
type Tried = Result<u16, &'static str>;

impl Sender {
    async fn deliver(&self) -> Option<u16> {
        let first = self.attempt(0, None).await;
        self.go_on(first).await
    }

    /// The tries after the first.
    async fn go_on(&self, first: Tried) -> Option<u16> {
        let mut last = first;
        for (n, pause) in self.outgoing.retries.iter().enumerate() {
            let reason = match last {
                Ok(200..=299) => break,
                Ok(400..=499) if self.outgoing.stops_at_4xx => break,
                Ok(_) => "http_error",
                Err(reason) => reason,
            };
            tokio::time::sleep(*pause).await;
            last = self.attempt(n + 1, Some(reason)).await;
        }
        last.ok()
    }

    async fn attempt(&self, attempt: usize, reason: Option<&str>) -> Tried {
        let tried = self.send(attempt, reason).await;
        let delivery = Delivery { provider: self.outgoing.provider, attempt, status: tried.ok() };
        lock(&self.shared.hosted.deliveries).push(delivery);
        tried
    }

    async fn send(&self, attempt: usize, reason: Option<&str>) -> Tried {
        let out = &self.outgoing;
        let Some(client) = self.shared.hosted.client() else { return Err("unknown_error") };
        let request = if out.put { client.put(&out.url) } else { client.post(&out.url) };
        let mut request = request.header("Content-Type", out.content_type).timeout(self.timeout);
        for (name, value) in &out.headers {
            request = request.header(name, value);
        }
        if let Some(signing) = &out.signing {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            request = request
                .header("X-Request-Timestamp", now)
                .header("X-Signature", signature(signing, now, out.body.as_bytes()));
            if let Some(reason) = reason {
                request = request.header("x-retry-num", attempt).header("x-retry-reason", reason);
            }
        }
        match request.body(out.body.clone()).send().await {
            Ok(response) => Ok(response.status().as_u16()),
            Err(error) if error.is_timeout() => Err("http_timeout"),
            Err(error) if error.is_redirect() => Err("too_many_redirects"),
            Err(error) if error.is_connect() => Err("connection_failed"),
            Err(_) => Err("unknown_error"),
        }
    }
}

/// HMAC-SHA256 over `v0:`, the time, `:` and the raw body, as pyannoteAI documents it.
fn signature(signing: &Signing, timestamp: u64, body: &[u8]) -> String {
    // A key of any length is accepted, so the other arm is never taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(signing.secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("v0:{timestamp}:").as_bytes());
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    match signing.form {
        SignatureForm::Hex => hex::encode(digest),
        SignatureForm::Base64 => BASE64.encode(digest),
    }
}

impl super::Hosted {
    /// The client for callbacks, made when the first one is sent. None where it cannot be made.
    fn client(&self) -> Option<&reqwest::Client> {
        let make = || {
            // Another part of the process may have installed it already.
            let _already = rustls::crypto::ring::default_provider().install_default();
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::limited(REDIRECTS)).build().ok()
        };
        self.client.get_or_init(make).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_documented_one() {
        let body = br#"{"jobId":"3b0f6f0e-52c7-4d0c-9a53-0c1de9b1a001","status":"succeeded"}"#;
        let sign =
            |form| signature(&Signing { secret: "pya-demo-secret".to_owned(), form }, 1_789_000_000, body);
        assert_eq!(
            sign(SignatureForm::Hex),
            "c560abf337770f4660ec6b2c1c2367cb45f5641bb7df37591f558e302879795f"
        );
        assert_eq!(sign(SignatureForm::Base64), "xWCr8zd3D0Zg7GssHCNny0X1ZBu33zdZH1WOMCh5eV8=");
    }

    #[test]
    fn a_stranger_is_called_at_another_address() {
        assert_eq!(elsewhere("http://a/hook/7?sig=1"), "http://a/hook/0?sig=1");
        assert_eq!(elsewhere("http://a/hook/0"), "http://a/hook/1");
    }
}
