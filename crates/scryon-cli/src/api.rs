//! The API as the command line uses it.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use scryon_operations::Operation;
use serde_json::Value;

use crate::output::Failure;

/// A client with the caller's key.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    base: String,
    key: Option<String>,
    bearer: Option<String>,
}

impl Api {
    pub(crate) fn new(base: &str, key: Option<&str>) -> Result<Self, Failure> {
        let _already = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("scryon-cli/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Failure::new(Failure::STOPPED, e.to_string()))?;
        let key =
            key.and_then(|k| k.split(',').next()).map(str::trim).filter(|k| !k.is_empty()).map(str::to_owned);
        Ok(Self { client, base: base.trim_end_matches('/').to_owned(), key, bearer: None })
    }

    /// With a tenant's key, perhaps an admin's.
    pub(crate) fn with_bearer(mut self, key: &str) -> Self {
        self.bearer = Some(key.to_owned());
        self
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        let request = match &self.key {
            Some(key) => request.header("X-Scryon-Api-Key", key),
            None => request,
        };
        match &self.bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        }
    }

    /// An operator's order.
    pub(crate) async fn operate(&self, operation: &Operation) -> Result<Value, Failure> {
        let mut fields =
            serde_json::to_value(operation).map_err(|e| Failure::new(Failure::STOPPED, e.to_string()))?;
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("operation");
        }
        let request = self.post(&format!("/api/admin/operations/{}", operation.name()));
        self.json(request.timeout(Duration::from_secs(120)).json(&fields)).await
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.authorized(self.client.post(format!("{}{path}", self.base)))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.authorized(self.client.get(format!("{}{path}", self.base))).timeout(Duration::from_secs(60))
    }

    /// Sends and sorts out refusals.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|e| {
            Failure::new(
                Failure::UNAVAILABLE,
                format!("the API at {} did not answer: {}", self.base, innermost(&e)),
            )
        })?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    async fn json(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let response = self.send(request).await?;
        response.json().await.map_err(|e| Failure::new(Failure::UNAVAILABLE, innermost(&e)))
    }

    /// Up to `limit` calls, over as many pages as it takes.
    pub(crate) async fn calls(&self, status: Option<&str>, limit: usize) -> Result<Vec<Value>, Failure> {
        let mut calls = Vec::new();
        let mut cursor: Option<String> = None;
        while calls.len() < limit {
            let mut path = format!("/api/calls?limit={}", (limit - calls.len()).min(100));
            if let Some(status) = status {
                path.push_str(&format!("&status={status}"));
            }
            if let Some(cursor) = &cursor {
                path.push_str(&format!("&cursor={cursor}"));
            }
            let page = self.json(self.get(&path)).await?;
            calls.extend(page["items"].as_array().cloned().unwrap_or_default());
            cursor = page["nextCursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(calls)
    }

    pub(crate) async fn call(&self, id: &str) -> Result<Value, Failure> {
        self.json(self.get(&format!("/api/calls/{id}"))).await
    }

    pub(crate) async fn transcript(&self, id: &str, accept: &str) -> Result<String, Failure> {
        let response =
            self.send(self.get(&format!("/api/calls/{id}/transcript")).header("Accept", accept)).await?;
        response.text().await.map_err(|e| Failure::new(Failure::UNAVAILABLE, innermost(&e)))
    }

    /// An order to one call.
    pub(crate) async fn order(&self, id: &str, order: &str, body: Option<Value>) -> Result<Value, Failure> {
        let request = self.post(&format!("/api/calls/{id}/{order}")).timeout(Duration::from_secs(60));
        self.json(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    pub(crate) async fn delete(&self, id: &str) -> Result<(), Failure> {
        let request = self.authorized(self.client.delete(format!("{}/api/calls/{id}", self.base)));
        self.send(request.timeout(Duration::from_secs(60))).await.map(|_| ())
    }

    pub(crate) async fn events(&self, id: &str) -> Result<Vec<Value>, Failure> {
        let events = self.json(self.get(&format!("/api/calls/{id}/events"))).await?;
        Ok(events.as_array().cloned().unwrap_or_default())
    }

    pub(crate) async fn costs(&self, id: &str) -> Result<Value, Failure> {
        self.json(self.get(&format!("/api/calls/{id}/costs"))).await
    }

    pub(crate) async fn analysis(&self, id: &str) -> Result<Value, Failure> {
        self.json(self.get(&format!("/api/calls/{id}/analysis"))).await
    }
}

async fn refusal(response: Response) -> Failure {
    let status = response.status();
    let body: Value = response.json().await.unwrap_or(Value::Null);
    let error = &body["error"];
    let code = if status == StatusCode::SERVICE_UNAVAILABLE || status.is_server_error() {
        Failure::UNAVAILABLE
    } else {
        Failure::REFUSED
    };
    let message = match (error["code"].as_str(), error["message"].as_str()) {
        (Some(code), Some(message)) => format!("{message} ({code}, HTTP {})", status.as_u16()),
        _ => format!("the API answered HTTP {}", status.as_u16()),
    };
    Failure::new(code, message)
}

/// The cause that says most.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
