//! One request to a hosted provider, from its key to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{Error, HttpRequest, HttpResponse};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::audio::FormProblem;
use super::provider::{Problem, Provider};
use crate::faults::{CallbackFault, Fault, JobFault};
use crate::options::{Dialect, HostedOptions};
use crate::reply::Reply;
use crate::{Shared, lock};

/// A request whose key was accepted, with the fault that a test ordered for it.
pub(crate) struct Visit {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: Arc<HostedOptions>,
    pub(crate) fault: Option<Fault>,
    /// A hash of the key.
    pub(crate) key: String,
    provider: Provider,
    route: &'static str,
}

impl Visit {
    /// Looks at the key, then takes the next fault of the route. A status that was ordered is an error here.
    pub(crate) fn begin(
        shared: &Data<Shared>,
        request: &HttpRequest,
        provider: Provider,
        route: &'static str,
    ) -> Result<Self, Error> {
        let header = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        Self::begin_with(shared, provider, route, header)
    }

    /// The same where there is no `Authorization`, because the address itself is secret.
    pub(crate) fn begin_open(
        shared: &Data<Shared>,
        provider: Provider,
        route: &'static str,
    ) -> Result<Self, Error> {
        let mut visit = Self::new(shared, provider, route);
        visit.meet_fault()?;
        Ok(visit)
    }

    fn begin_with(
        shared: &Data<Shared>,
        provider: Provider,
        route: &'static str,
        header: &str,
    ) -> Result<Self, Error> {
        let mut visit = Self::new(shared, provider, route);
        let key = provider.key(header);
        if let Some(key) = key {
            visit.key = hex::encode(&Sha256::digest(key.as_bytes())[..8]);
        }
        // Two of the compatible servers let everybody in.
        let open = provider == Provider::OpenAi
            && matches!(visit.options.openai_dialect, Dialect::WhisperCpp | Dialect::Ollama);
        match key {
            _ if open => {}
            None => return Err(visit.bad_key()),
            Some(key) if key.starts_with("bad") => return Err(visit.bad_key()),
            Some(key) if key.starts_with("unpaid") => return Err(visit.refuse(&Problem::quota(provider))),
            Some(_) => {}
        }
        visit.meet_fault()?;
        Ok(visit)
    }

    fn new(shared: &Data<Shared>, provider: Provider, route: &'static str) -> Self {
        let options = shared.hosted.options();
        Self {
            shared: shared.clone().into_inner(),
            options,
            fault: None,
            key: String::new(),
            provider,
            route,
        }
    }

    fn meet_fault(&mut self) -> Result<(), Error> {
        if let Err(retry_after) = lock(&self.shared.quotas).take(self.route, Instant::now()) {
            return Err(self.ordered(429, retry_after));
        }
        self.fault = lock(&self.shared.faults).take(self.route);
        match self.fault {
            Some(Fault::Status(status, retry_after)) => Err(self.ordered(status, retry_after)),
            Some(Fault::Quota) => Err(self.refuse(&Problem::quota(self.provider))),
            Some(Fault::RefusedWithOk) => Err(self.problem(&Problem::ordered(400)).status(200).refusal()),
            _ => Ok(()),
        }
    }

    fn ordered(&self, status: u16, retry_after: Option<u64>) -> Error {
        let mut reply = self.problem(&Problem::ordered(status));
        if let Some(seconds) = retry_after {
            reply = reply.header("Retry-After", seconds.to_string());
        }
        reply.refusal()
    }

    fn bad_key(&self) -> Error {
        let speaches = self.provider == Provider::OpenAi && self.dialect() == Dialect::Speaches;
        self.refuse(&Problem::key(if speaches { 403 } else { 401 }))
    }

    /// Whose manner the OpenAI API has in this answer.
    pub(crate) fn dialect(&self) -> Dialect {
        match self.fault {
            Some(Fault::Dialect(dialect)) => dialect,
            _ => self.options.openai_dialect,
        }
    }

    /// Voices in the recording.
    pub(crate) fn speakers(&self) -> usize {
        match self.fault {
            Some(Fault::Speakers(speakers)) => speakers,
            _ => self.options.speakers,
        }
    }

    /// The same visit once its fault has been dealt with.
    pub(crate) fn without_fault(self) -> Self {
        Self { fault: None, ..self }
    }

    pub(crate) fn callback_fault(&self) -> Option<CallbackFault> {
        match self.fault {
            Some(Fault::Callback(fault)) => Some(fault),
            _ => None,
        }
    }

    pub(crate) fn job_fault(&self) -> Option<JobFault> {
        match self.fault {
            Some(Fault::Job(fault)) => Some(fault),
            _ => None,
        }
    }

    /// The answer to a problem, with the headers that this provider's answers have.
    pub(crate) fn problem(&self, problem: &Problem) -> Reply {
        let reply = self.provider.refusal(&self.options, self.dialect(), problem);
        match self.provider {
            Provider::OpenAi => super::openai::with_headers(reply, self),
            _ => reply,
        }
    }

    pub(crate) fn refuse(&self, problem: &Problem) -> Error {
        self.problem(problem).refusal()
    }

    /// A body that is a JSON object, or the refusal.
    pub(crate) fn object(&self, body: &[u8]) -> Result<Value, Error> {
        match serde_json::from_slice::<Value>(body) {
            Ok(body) if body.is_object() => Ok(body),
            _ => Err(self.refuse(&Problem::new(400, "The body is no JSON object."))),
        }
    }

    /// The refusal of a form that could not be read.
    pub(crate) fn refuse_form(&self, problem: FormProblem, limit: u64) -> Error {
        let too_large = match self.provider {
            Provider::OpenAi => self.options.openai_too_large_status,
            _ => 413,
        };
        self.refuse(&match problem {
            FormProblem::TooLarge => {
                Problem::new(too_large, format!("The recording has more than {limit} bytes."))
            }
            FormProblem::NotMultipart => Problem::new(415, "The body is no multipart/form-data."),
            FormProblem::Broken => Problem::new(400, "The body cannot be read."),
        })
    }

    /// Writes a purchase down. What is refused must not come here.
    pub(crate) fn buy(&self, input: &[u8], params: &str) {
        if self.shared.options.ledger {
            lock(&self.shared.ledger).buy_hosted(self.route, &hex::encode(input), params, &self.key);
        }
    }

    /// Sends the answer, late or broken where that was ordered.
    pub(crate) async fn answer(&self, reply: Reply) -> Result<HttpResponse, Error> {
        reply.send(&self.shared, Duration::from_millis(self.options.latency_ms), self.fault).await
    }
}
