//! Faults that a test orders for the next requests of a route.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use actix_web::{Error, HttpResponse, error};
use tokio::sync::watch;

use crate::lock;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status, before anything is bought, with Retry-After seconds where given.
    Status(u16, Option<u64>),
    /// The work is bought, then the connection is cut.
    CutAfterPurchase,
    /// The work is bought, then the answer waits for [`crate::Simulator::release`].
    Hold,
    /// The work is bought, and the answer is no JSON.
    Garbage,
}

#[derive(Debug)]
pub(crate) struct Faults {
    next: HashMap<String, VecDeque<Fault>>,
    released: watch::Sender<u64>,
    held: usize,
}

impl Default for Faults {
    fn default() -> Self {
        Self { next: HashMap::new(), released: watch::channel(0).0, held: 0 }
    }
}

impl Faults {
    pub(crate) fn add(&mut self, route: &str, count: usize, fault: Fault) {
        self.next.entry(route.to_owned()).or_default().extend(std::iter::repeat_n(fault, count));
    }

    pub(crate) fn take(&mut self, route: &str) -> Option<Fault> {
        self.next.get_mut(route)?.pop_front()
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }

    pub(crate) fn release(&mut self) {
        self.held = 0;
        self.released.send_modify(|n| *n += 1);
    }
}

/// Waits for the next release.
pub(crate) async fn hold(faults: &Mutex<Faults>) {
    let mut released = {
        let mut faults = lock(faults);
        faults.held += 1;
        faults.released.subscribe()
    };
    // The provider is gone when the sender is: then there is nobody to answer.
    let _gone = released.changed().await;
}

pub(crate) fn refusal(status: u16, retry_after: Option<u64>) -> HttpResponse {
    let status =
        actix_web::http::StatusCode::from_u16(status).unwrap_or(actix_web::http::StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    if let Some(seconds) = retry_after {
        response.insert_header(("Retry-After", seconds.to_string()));
    }
    response.json(serde_json::json!({"error": "as ordered"}))
}

/// An error of the body stream closes the connection without an answer.
pub(crate) fn cut() -> Error {
    error::InternalError::from_response("cut", cut_response()).into()
}

fn cut_response() -> HttpResponse {
    // A body that fails after its length was promised: the client sees the connection break.
    let broken = futures_util::stream::once(async {
        Err::<actix_web::web::Bytes, std::io::Error>(std::io::Error::other("cut as ordered"))
    });
    HttpResponse::Ok().no_chunking(1 << 20).streaming(broken)
}
