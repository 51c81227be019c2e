//! An object store that speaks as much of S3 as the programs use, keeps its objects as files, and does what object
//! stores do on a bad day. Signatures are not looked at.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

/// Bytes of a request: a recording, or a part of one.
const LIMIT: usize = 64 << 20;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageFault {
    /// This status, and nothing is done.
    Status(u16),
    /// It is done, and answered with this status all the same.
    DoneAndStatus(u16),
    /// The answer comes this much later.
    Slow(Duration),
    /// The body ends in its middle, with the connection.
    Truncated,
}

/// A running store with one bucket.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    shared: Arc<Shared>,
    pub endpoint: String,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By method and a part of the key.
    faults: HashMap<(&'static str, &'static str), VecDeque<StorageFault>>,
    faults_met: usize,
    down: bool,
    uploads: HashMap<String, BTreeMap<u32, Bytes>>,
    requests: u64,
}

impl ObjectStore {
    /// The bucket's name.
    pub const BUCKET: &str = "recordings";

    /// Serves objects that lie in `root`.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(root: PathBuf) -> Self {
        let shared = Arc::new(Shared { root, state: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound address"));
        let data = Data::from(shared.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .app_data(web::PayloadConfig::new(LIMIT))
                .default_service(web::to(serve))
        });
        let server =
            server.workers(2).disable_signals().listen(listener).expect("the listener is open").run();
        tokio::spawn(server);
        Self { shared, endpoint }
    }

    /// How programs find it.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let settings = [
            ("OBJECT_STORAGE_PROVIDER", "s3"),
            ("OBJECT_STORAGE_BUCKET", Self::BUCKET),
            ("OBJECT_STORAGE_ENDPOINT", &self.endpoint),
            ("OBJECT_STORAGE_ACCESS_KEY", "test"),
            ("OBJECT_STORAGE_SECRET_KEY", "test"),
        ];
        settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// The next so many requests of this method (`GET`, say) go wrong.
    pub fn fail_next(&self, method: &'static str, count: usize, fault: StorageFault) {
        self.fail_next_of(method, "", count, fault);
    }

    /// The same for objects with `part` in their keys.
    pub fn fail_next_of(&self, method: &'static str, part: &'static str, count: usize, fault: StorageFault) {
        let mut state = self.shared.state();
        state.faults.entry((method, part)).or_default().extend(std::iter::repeat_n(fault, count));
    }

    /// Every request is answered with 503, or none any more.
    pub fn set_down(&self, down: bool) {
        self.shared.state().down = down;
    }

    /// Ordered faults that met nobody yet.
    pub fn faults_left(&self) -> usize {
        self.shared.state().faults.values().map(VecDeque::len).sum()
    }

    /// Ordered faults that met a request.
    pub fn faults_met(&self) -> usize {
        self.shared.state().faults_met
    }

    /// Ordered faults that met nobody are forgotten; gives how many.
    pub fn recover(&self) -> usize {
        let faults = std::mem::take(&mut self.shared.state().faults);
        faults.values().map(VecDeque::len).sum()
    }

    /// Uploads in parts that are neither complete nor given up.
    pub fn open_uploads(&self) -> usize {
        self.shared.state().uploads.len()
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.shared.state().requests
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, request: &HttpRequest) -> Option<StorageFault> {
        let mut state = self.state();
        state.requests += 1;
        if state.down {
            return Some(StorageFault::Status(503));
        }
        let meant = |(method, part): &(&str, &str)| {
            *method == request.method().as_str() && request.path().contains(part)
        };
        let fault =
            state.faults.iter_mut().filter(|(of, _)| meant(of)).find_map(|(_, faults)| faults.pop_front());
        state.faults_met += usize::from(fault.is_some());
        fault
    }

    fn file(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// An object appears whole.
    fn store(&self, key: &str, body: &[u8]) -> std::io::Result<()> {
        let file = self.file(key);
        std::fs::create_dir_all(file.parent().unwrap_or(&self.root))?;
        let half = file.with_extension("half");
        std::fs::write(&half, body)?;
        std::fs::rename(half, file)
    }

    fn keys(&self, prefix: &str) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(key) = path.strip_prefix(&self.root).ok().and_then(Path::to_str)
                    && key.starts_with(prefix)
                {
                    found.push((key.to_owned(), entry.metadata().map_or(0, |m| m.len())));
                }
            }
        }
        found.sort();
        found
    }
}

fn query(request: &HttpRequest, name: &str) -> Option<String> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string()).ok()?.into_inner();
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Its length and its ends: enough to tell the objects of a test apart, and cheap without optimisation.
fn etag(body: &[u8]) -> String {
    let ends = body.iter().take(60).chain(body.iter().rev().take(4));
    let sum = ends.fold(body.len() as u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    format!("\"{sum:016x}\"")
}

fn xml(body: String) -> HttpResponse {
    HttpResponse::Ok().content_type("application/xml").body(body)
}

fn error(status: u16, code: &str) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status)
        .content_type("application/xml")
        .body(format!("<Error><Code>{code}</Code><Message>ordered</Message></Error>"))
}

async fn serve(request: HttpRequest, shared: Data<Shared>, body: Bytes) -> HttpResponse {
    let fault = shared.fault(&request);
    match fault {
        Some(StorageFault::Status(status)) => return error(status, "SlowDown"),
        Some(StorageFault::Slow(wait)) => tokio::time::sleep(wait).await,
        _ => {}
    }
    let answer = answer(&request, &shared, body);
    match fault {
        Some(StorageFault::DoneAndStatus(status)) => error(status, "InternalError"),
        Some(StorageFault::Truncated) => truncated(answer).await,
        _ => answer,
    }
}

fn answer(request: &HttpRequest, shared: &Shared, body: Bytes) -> HttpResponse {
    let path = request.match_info().unprocessed().trim_start_matches('/');
    let key = path.strip_prefix(ObjectStore::BUCKET).unwrap_or(path).trim_start_matches('/').to_owned();
    let upload = query(request, "uploadId");
    match (request.method().as_str(), upload) {
        ("GET", _) if key.is_empty() => list(shared, &query(request, "prefix").unwrap_or_default()),
        ("POST", None) if key.is_empty() => delete_many(shared, &String::from_utf8_lossy(&body)),
        ("GET" | "HEAD", _) => read(request, shared, &key),
        ("POST", None) => {
            let id = uuid::Uuid::new_v4().simple().to_string();
            shared.state().uploads.insert(id.clone(), BTreeMap::new());
            xml(format!(
                "<InitiateMultipartUploadResult><Bucket>{}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
                ObjectStore::BUCKET
            ))
        }
        ("PUT", Some(id)) => {
            let number = query(request, "partNumber").and_then(|n| n.parse().ok()).unwrap_or_default();
            let tag = etag(&body);
            match shared.state().uploads.get_mut(&id) {
                Some(parts) => parts.insert(number, body),
                None => return error(404, "NoSuchUpload"),
            };
            HttpResponse::Ok().insert_header((header::ETAG, tag)).finish()
        }
        ("POST", Some(id)) => {
            let Some(parts) = shared.state().uploads.remove(&id) else { return error(404, "NoSuchUpload") };
            let whole = parts.into_values().collect::<Vec<_>>().concat();
            stored(&shared.store(&key, &whole), || {
                xml(format!(
                    "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>",
                    etag(&whole)
                ))
            })
        }
        ("DELETE", Some(id)) => {
            shared.state().uploads.remove(&id);
            HttpResponse::NoContent().finish()
        }
        ("DELETE", None) => {
            let _gone = std::fs::remove_file(shared.file(&key));
            HttpResponse::NoContent().finish()
        }
        ("PUT", None) => put(request, shared, &key, &body),
        _ => error(405, "MethodNotAllowed"),
    }
}

fn stored(result: &std::io::Result<()>, answer: impl FnOnce() -> HttpResponse) -> HttpResponse {
    if result.is_ok() { answer() } else { error(500, "InternalError") }
}

fn put(request: &HttpRequest, shared: &Shared, key: &str, body: &Bytes) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(source) = header("x-amz-copy-source") {
        let source = source.trim_start_matches('/');
        let source = source.strip_prefix(ObjectStore::BUCKET).unwrap_or(source).trim_start_matches('/');
        let Ok(body) = std::fs::read(shared.file(source)) else { return error(404, "NoSuchKey") };
        return stored(&shared.store(key, &body), || {
            xml(format!("<CopyObjectResult><ETag>{}</ETag></CopyObjectResult>", etag(&body)))
        });
    }
    if header("if-none-match") == Some("*") && shared.file(key).exists() {
        return error(412, "PreconditionFailed");
    }
    stored(&shared.store(key, body), || HttpResponse::Ok().insert_header((header::ETAG, etag(body))).finish())
}

fn read(request: &HttpRequest, shared: &Shared, key: &str) -> HttpResponse {
    let Ok(body) = std::fs::read(shared.file(key)) else { return error(404, "NoSuchKey") };
    let (tag, size) = (etag(&body), body.len());
    let range = request.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
    let wanted = range.and_then(|r| r.strip_prefix("bytes=")?.split_once('-')).and_then(|(from, to)| {
        let from: usize = from.parse().ok()?;
        Some(from..to.parse().map_or(size, |to: usize| (to + 1).min(size)))
    });
    let mut answer = match &wanted {
        Some(range) => {
            let mut answer = HttpResponse::PartialContent();
            answer.insert_header((
                header::CONTENT_RANGE,
                format!("bytes {}-{}/{size}", range.start, range.end - 1),
            ));
            answer
        }
        None => HttpResponse::Ok(),
    };
    answer.insert_header((header::ETAG, tag));
    answer.insert_header((header::LAST_MODIFIED, "Wed, 21 Oct 2026 07:28:00 GMT"));
    let body = Bytes::from(body).slice(wanted.unwrap_or(0..size));
    if request.method() == Method::HEAD {
        let length = size as u64;
        return answer.no_chunking(length).body(SizedStream::new(
            length,
            futures_util::stream::empty::<Result<Bytes, actix_web::Error>>(),
        ));
    }
    answer.body(body)
}

/// Half of the body, then the end of the connection.
async fn truncated(answer: HttpResponse) -> HttpResponse {
    let (head, body) = answer.into_parts();
    let Ok(body) = actix_web::body::to_bytes(body).await else { return error(500, "InternalError") };
    let pieces = [Ok(body.slice(..body.len() / 2)), Err(actix_web::error::ErrorInternalServerError("cut"))];
    head.set_body(SizedStream::new(body.len() as u64, futures_util::stream::iter(pieces)))
        .map_into_boxed_body()
}

fn list(shared: &Shared, prefix: &str) -> HttpResponse {
    let contents: String = shared
        .keys(prefix)
        .iter()
        .map(|(key, size)| format!("<Contents><Key>{key}</Key><LastModified>2026-10-21T07:28:00.000Z</LastModified><ETag>\"0\"</ETag><Size>{size}</Size></Contents>"))
        .collect();
    xml(format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"))
}

fn delete_many(shared: &Shared, order: &str) -> HttpResponse {
    let keys: Vec<&str> =
        order.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()).collect();
    let mut done = String::new();
    for key in keys {
        let _gone = std::fs::remove_file(shared.file(key));
        done.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
    }
    xml(format!("<DeleteResult>{done}</DeleteResult>"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventually;

    #[tokio::test(flavor = "multi_thread")]
    async fn objects_are_put_read_listed_and_deleted_as_the_programs_do() {
        let folder = tempfile::tempdir().unwrap();
        let store = ObjectStore::start(folder.path().to_owned());
        let settings = scryon_config::Config::from_env(&store.settings()).unwrap().storage;
        let blobs = scryon_blobs::Blobs::open(&settings).unwrap();
        let key = scryon_blobs::BlobKey::stored("tenants/t/users/u/calls/c/temp/a.wav");
        let copied = scryon_blobs::BlobKey::stored("tenants/t/users/u/calls/c/temp/b.wav");
        assert_eq!(blobs.size(&key).await.unwrap(), None);
        blobs.put(&key, b"0123456789".to_vec()).await.unwrap();
        assert_eq!(blobs.size(&key).await.unwrap(), Some(10));
        assert_eq!(blobs.get(&key, 100).await.unwrap().as_ref(), b"0123456789");
        assert_eq!(blobs.head(&key, 4).await.unwrap().as_ref(), b"0123");
        blobs.copy(&key, &copied).await.unwrap();
        assert_eq!(blobs.list("tenants/t").await.unwrap().len(), 2);
        // Cut in the middle, the body is asked for again.
        store.fail_next("GET", 1, StorageFault::Truncated);
        assert_eq!(blobs.get(&key, 100).await.unwrap().as_ref(), b"0123456789");
        let mut writer = blobs.writer(&key, None).unwrap();
        writer.write(&vec![7; 11 << 20]).await.unwrap();
        assert_eq!(writer.finish().await.unwrap().bytes, 11 << 20);
        assert_eq!(blobs.size(&key).await.unwrap(), Some(11 << 20));
        assert_eq!(blobs.delete_prefix("tenants/t/").await.unwrap(), 2);
        assert_eq!((blobs.list("tenants/t").await.unwrap().len(), store.open_uploads()), (0, 0));
    }

    /// However an upload in parts ends, its parts do not stay in the bucket.
    #[tokio::test(flavor = "multi_thread")]
    async fn parts_of_an_upload_that_fails_or_that_nobody_waits_for_are_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let store = ObjectStore::start(folder.path().to_owned());
        let settings = scryon_config::Config::from_env(&store.settings()).unwrap().storage;
        let blobs = scryon_blobs::Blobs::open(&settings).unwrap();
        let key = scryon_blobs::BlobKey::stored("tenants/t/users/u/calls/c/temp/a.wav");
        let large = async || {
            let mut writer = blobs.writer(&key, None).unwrap();
            writer.write(&vec![7; 11 << 20]).await.unwrap();
            writer.finish().await
        };
        let begun = || async { (store.open_uploads() == 1).then_some(()) };
        let given_up = || async { (store.open_uploads() == 0).then_some(()) };
        // The first POST begins it; each one that would put the parts together is refused.
        store.fail_next("POST", 1, StorageFault::Slow(Duration::ZERO));
        store.fail_next("POST", 10, StorageFault::Status(500));
        large().await.unwrap_err();
        assert_eq!(store.open_uploads(), 0, "it was awaited");
        assert_ne!(store.recover(), 0, "some requests were spared");
        // A client that hangs up, or a deadline: the future is dropped in the middle.
        store.fail_next("PUT", 10, StorageFault::Slow(Duration::from_secs(3600)));
        tokio::select! {
            done = large() => panic!("it was to hang: {done:?}"),
            () = eventually("parts to be on their way", begun) => {}
        }
        eventually("the parts to be given up", given_up).await;
        assert_eq!(blobs.size(&key).await.unwrap(), None);
    }
}
