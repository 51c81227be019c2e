//! An answer on its way out, and what faults do to it there.

use std::io;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use actix_web::{Error, HttpResponse, HttpResponseBuilder, error};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::Shared;
use crate::faults::{Fault, hold};

pub(crate) const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";
/// Between the half of a body and the end of its connection.
const BEFORE_CUT: Duration = Duration::from_millis(20);
/// Pieces of a slow body.
const PIECES: usize = 8;

/// Status, headers and body of an answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn text(content_type: &'static str, body: String) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), content_type, body }
    }

    pub(crate) fn json(body: &Value) -> Self {
        Self::text(JSON, body.to_string())
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The answer as it is.
    pub(crate) fn plain(mut self) -> HttpResponse {
        let body = std::mem::take(&mut self.body);
        self.head().body(body)
    }

    /// Status and headers; they are as they should be, also before a body that breaks.
    fn head(self) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(self.status);
        for header in self.headers {
            response.insert_header(header);
        }
        response.content_type(self.content_type);
        response
    }

    /// The answer as an error, for handlers to return by `?`.
    pub(crate) fn refusal(self) -> Error {
        error::InternalError::from_response("refused", self.plain()).into()
    }

    /// The answer after this time and with this fault.
    pub(crate) async fn send(
        self,
        shared: &Shared,
        latency: Duration,
        fault: Option<Fault>,
    ) -> Result<HttpResponse, Error> {
        tokio::time::sleep(latency).await;
        let garbage = |content_type, body: &str| Ok(Self::text(content_type, body.to_owned()).plain());
        match fault {
            Some(Fault::CutAfterPurchase) => return Err(cut()),
            Some(Fault::Hold) => hold(&shared.faults).await,
            Some(Fault::Garbage) => return garbage(PLAIN, "this is no answer"),
            Some(Fault::Prose) => return garbage(PLAIN, "I am sorry, but I would rather talk about it."),
            Some(Fault::WrongSchema) => {
                return garbage(JSON, &json!({"unexpected": [true, {"shape": 1}]}).to_string());
            }
            Some(Fault::Latency(more)) => tokio::time::sleep(more).await,
            Some(Fault::CutInBody) => return Ok(self.cut_in_body()),
            Some(Fault::SlowBody(pause)) => return Ok(self.slowly(pause)),
            // The others change what is said, not how it is sent.
            _ => {}
        }
        Ok(self.plain())
    }

    /// Half of the body after its whole length was promised.
    fn cut_in_body(mut self) -> HttpResponse {
        let body = std::mem::take(&mut self.body).into_bytes();
        let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
        // Without a pause the server would drop what it has not sent yet, head and all.
        let end = async {
            tokio::time::sleep(BEFORE_CUT).await;
            Err(io::Error::other("cut as ordered"))
        };
        let pieces = stream::iter([Ok(half)]).chain(stream::once(end));
        self.head().no_chunking(body.len() as u64).streaming(pieces)
    }

    fn slowly(mut self, pause: Duration) -> HttpResponse {
        let body = Bytes::from(std::mem::take(&mut self.body).into_bytes());
        let piece = body.len().div_ceil(PIECES).max(1);
        let length = body.len() as u64;
        let pieces = stream::unfold(body, move |mut rest| async move {
            if rest.is_empty() {
                return None;
            }
            let next = rest.split_to(piece.min(rest.len()));
            tokio::time::sleep(pause).await;
            Some((Ok::<_, io::Error>(next), rest))
        });
        self.head().no_chunking(length).streaming(pieces)
    }
}

/// An error of the body stream closes the connection without an answer.
fn cut() -> Error {
    error::InternalError::from_response("cut", cut_response()).into()
}

fn cut_response() -> HttpResponse {
    // A body that fails after its length was promised: the client sees the connection break.
    let broken = stream::once(async { Err::<Bytes, io::Error>(io::Error::other("cut as ordered")) });
    HttpResponse::Ok().no_chunking(1 << 20).streaming(broken)
}
