//! A running fake provider, a client, and a receiver of callbacks.

use std::collections::VecDeque;
use std::future::Future;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response};
use scryon_simulator::{HostedOptions, Options, Simulator, serve};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) simulator: Simulator,
    pub(crate) base: String,
    pub(crate) http: Client,
}

pub(crate) async fn start() -> Running {
    start_with(|_| {}).await
}

/// Starts with options that differ from the defaults. Callbacks and jobs take no time unless told so.
pub(crate) async fn start_with(change: impl FnOnce(&mut HostedOptions)) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (simulator, server) = serve(listener, Options::default()).unwrap();
    drop(tokio::spawn(server));
    let mut options = HostedOptions {
        segments: 4,
        callback_delay_ms: 0,
        pyannote_step_ms: 0,
        assemblyai_step_ms: 0,
        plain_http_webhooks: true,
        ..simulator.hosted()
    };
    change(&mut options);
    simulator.set_hosted(options);
    // An order to cut a connection must not meet the request after it.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let http = Client::builder().pool_max_idle_per_host(0).build().unwrap();
    Running { simulator, base, http }
}

impl Running {
    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    pub(crate) fn count(&self, route: &str) -> usize {
        self.simulator.purchases().iter().filter(|p| p.route == route).map(|p| p.count).sum()
    }

    /// Sends a form with a recording and a key that is accepted.
    pub(crate) async fn form(&self, path: &str, audio: &'static [u8], fields: &[(&str, &str)]) -> Response {
        self.post(path).bearer_auth("k").multipart(form(audio, fields)).send().await.unwrap()
    }
}

pub(crate) fn form(audio: &'static [u8], fields: &[(&str, &str)]) -> Form {
    let file = Part::bytes(audio).file_name("call.wav").mime_str("audio/wav").unwrap();
    with_fields(Form::new().part("file", file), fields)
}

pub(crate) fn with_fields(form: Form, fields: &[(&str, &str)]) -> Form {
    fields.iter().fold(form, |form, (name, value)| form.text((*name).to_owned(), (*value).to_owned()))
}

pub(crate) async fn json(response: Response) -> Value {
    assert!(response.status().is_success(), "{} {}", response.status(), response.text().await.unwrap());
    response.json().await.unwrap()
}

/// Status and body of an answer, whatever it is.
pub(crate) async fn told(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).and_then(|v| v.to_str().ok())
}

/// The word that is said in a recording with these bytes.
pub(crate) fn word(audio: &[u8]) -> String {
    Sha256::digest(audio).iter().take(8).map(|b| char::from(b'a' + b % 26)).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Asks again until there is an answer.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let asked = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            ticks.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// A callback that came in.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

struct Hook {
    sender: mpsc::UnboundedSender<Received>,
    statuses: Mutex<VecDeque<u16>>,
}

/// A server that takes callbacks in.
pub(crate) struct Receiver {
    pub(crate) base: String,
    received: mpsc::UnboundedReceiver<Received>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::answering(&[]).await
    }

    /// Answers with these statuses, then with 200.
    pub(crate) async fn answering(statuses: &[u16]) -> Self {
        let (sender, received) = mpsc::unbounded_channel();
        let hook = Arc::new(Hook { sender, statuses: Mutex::new(statuses.iter().copied().collect()) });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let data = Data::from(hook);
        let server =
            HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(receive)))
                .workers(1)
                .disable_signals()
                .shutdown_timeout(0)
                .listen(listener)
                .unwrap()
                .run();
        drop(tokio::spawn(server));
        Self { base, received }
    }

    pub(crate) async fn next(&mut self) -> Received {
        tokio::time::timeout(PATIENCE, self.received.recv()).await.expect("no callback came").unwrap()
    }

    /// A callback that is already there.
    pub(crate) fn ready(&mut self) -> Option<Received> {
        self.received.try_recv().ok()
    }
}

async fn receive(request: HttpRequest, hook: Data<Hook>, body: Bytes) -> HttpResponse {
    let headers = request.headers().iter();
    let received = Received {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers: headers.map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let status = hook.statuses.lock().unwrap().pop_front().unwrap_or(200);
    hook.sender.send(received).unwrap();
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap()).finish()
}
