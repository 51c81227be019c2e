//! The API as a client of it sees it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::wait::eventually_within;

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    /// Null where the body is no JSON.
    pub body: Value,
}

impl Answer {
    async fn read(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap_or_default();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, text, body }
    }

    /// The stable code of an error answer.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("none")
    }
}

/// A client of one installation.
#[derive(Debug, Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub base: String,
    /// Calls that were accepted here.
    promised: Arc<Mutex<Vec<Uuid>>>,
}

impl Client {
    /// A client of the API at `base`.
    pub fn new(base: String) -> Self {
        let _already = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .build()
            .expect("a client can be built");
        Self { http, base, promised: Arc::default() }
    }

    /// A request to fill.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::read(request.send().await.expect("the API answers")).await
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// A form with one recording.
    pub fn form(audio: Vec<u8>) -> Form {
        Form::new().part("file", Part::bytes(audio).file_name("call.wav"))
    }

    /// Uploads a form.
    pub async fn upload_form(&self, form: Form) -> Answer {
        let answer = self.send(self.request(Method::POST, "/api/calls/analyze").multipart(form)).await;
        if answer.status == 202
            && let Some(id) = answer.body["callId"].as_str().and_then(|id| id.parse().ok())
        {
            self.promised.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        }
        answer
    }

    /// Calls that uploads of forms were promised.
    pub fn promised(&self) -> Vec<Uuid> {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uploads a recording that is accepted; gives the call's id.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn upload(&self, audio: Vec<u8>) -> Uuid {
        self.upload_with(audio, &json!({})).await
    }

    /// The same with metadata.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn upload_with(&self, audio: Vec<u8>, metadata: &Value) -> Uuid {
        let answer = self.upload_form(Self::form(audio).text("metadata", metadata.to_string())).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.body["callId"].as_str().and_then(|id| id.parse().ok()).expect("a call id")
    }

    /// The call's detail.
    pub async fn call(&self, id: Uuid) -> Value {
        self.get(&format!("/api/calls/{id}")).await.body
    }

    /// Waits until the call has a final status and gives its detail.
    pub async fn finished(&self, id: Uuid) -> Value {
        self.finished_within(Duration::from_secs(120), id).await
    }

    /// The same with another patience.
    pub async fn finished_within(&self, patience: Duration, id: Uuid) -> Value {
        eventually_within(patience, "the call's end", || async {
            let call = self.call(id).await;
            matches!(call["status"].as_str(), Some("COMPLETED" | "FAILED" | "CANCELLED")).then_some(call)
        })
        .await
    }
}
