//! A store that speaks as much of the XML interface of Google Cloud Storage as the crate `object_store` uses, kept in
//! memory. No emulator does: those that can be had speak the JSON interface, without uploads in parts or conditions.

use std::{
    collections::BTreeMap,
    io::BufReader,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    sign::Verifier,
};

use super::{
    http::{Answer, Request},
    remote::Setting,
    site::write_file,
};

/// The bucket that every server has.
pub(crate) const BUCKET: &str = "pg-backups";
/// The token that every server takes.
pub(crate) const TOKEN: &str = "ya29.a-token-that-nobody-may-see";
const SERVICE_ACCOUNT: &str = "backup@example.iam.gserviceaccount.com";

/// A server on 127.0.0.1. It ends with the process; what it holds is small.
pub(crate) struct GcsServer {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    /// The key of the service account.
    key: PKey<Private>,
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    /// Counts generations and uploads.
    next: u64,
    /// Answers to the next requests, in place of what would be answered.
    faults: Vec<Answer>,
    /// Of every request: method, path, and the headers that tests ask for.
    seen: Vec<String>,
}

struct Object {
    data: Vec<u8>,
    generation: u64,
    modified: jiff::Timestamp,
}

struct Upload {
    key: String,
    parts: BTreeMap<u32, Vec<u8>>,
}

impl GcsServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let key = PKey::from_rsa(Rsa::generate(2048).expect("OpenSSL")).expect("OpenSSL");
        let state = State {
            key,
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            next: 1,
            faults: Vec::new(),
            seen: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || serve(connection, &state));
            }
        });
        Self { port, state }
    }

    /// The address for `repo1-gcs-endpoint`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What a repository in its bucket is configured with.
    pub(crate) fn options(&self) -> Vec<Setting> {
        vec![
            ("repo1-type", "gcs".into()),
            ("repo1-gcs-bucket", BUCKET.into()),
            ("repo1-gcs-endpoint", self.endpoint()),
            ("repo1-gcs-key-type", "token".into()),
            ("repo1-gcs-key", TOKEN.into()),
        ]
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the file of a service account that may do everything.
    pub(crate) fn service_account(&self, directory: &Path) -> PathBuf {
        let pem = self.state().key.private_key_to_pem_pkcs8().expect("OpenSSL");
        service_account(directory, &pem)
    }

    /// Writes the file of an account that has the right name and the wrong key.
    pub(crate) fn wrong_service_account(&self, directory: &Path) -> PathBuf {
        let key = PKey::from_rsa(Rsa::generate(2048).expect("OpenSSL")).expect("OpenSSL");
        service_account(directory, &key.private_key_to_pem_pkcs8().expect("OpenSSL"))
    }

    /// What the next requests are answered, first to last.
    pub(crate) fn answer_next(&self, mut answers: Vec<Answer>) {
        answers.reverse();
        self.state().faults = answers;
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.state().seen.clone()
    }

    /// The keys of the objects.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// Uploads neither completed nor given up.
    pub(crate) fn uploads(&self) -> usize {
        self.state().uploads.len()
    }
}

fn service_account(directory: &Path, pem: &[u8]) -> PathBuf {
    let file = directory.join("service-account.json");
    let account = serde_json::json!({
        "type": "service_account",
        "client_email": SERVICE_ACCOUNT,
        "private_key_id": "1",
        "private_key": String::from_utf8_lossy(pem),
    });
    write_file(&file, &account.to_string());
    file
}

fn serve(connection: TcpStream, state: &Mutex<State>) {
    let _ = connection.set_nodelay(true);
    let Ok(mut write) = connection.try_clone() else { return };
    let mut read = BufReader::new(connection);
    while let Some(request) = Request::read(&mut read) {
        let answer = state.lock().unwrap_or_else(PoisonError::into_inner).answer(&request);
        if answer.send(&mut write, &request.method).is_err() {
            return;
        }
    }
}

fn refusal(status: u16, code: &str, details: &str) -> Answer {
    let body = format!(
        "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{code} of the test.</Message>\
         <Details>{details}</Details></Error>"
    );
    Answer::new(status, body)
}

fn no_such_key() -> Answer {
    refusal(404, "NoSuchKey", "")
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        self.seen.push(format!(
            "{} {} host={} project={} tag={}",
            request.method,
            request.path,
            request.header("host"),
            request.header("x-goog-user-project"),
            request.header("x-goog-meta-team"),
        ));
        if let Some(fault) = self.faults.pop() {
            return fault;
        }
        let bearer = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        if bearer != TOKEN && !self.is_signed(bearer) {
            return refusal(401, "AuthenticationRequired", "the caller is unknown");
        }
        let path = request.path.trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        if bucket != BUCKET {
            return refusal(404, "NoSuchBucket", "");
        }
        let has = |name: &str| request.query.contains_key(name);
        match request.method.as_str() {
            "GET" if has("list-type") => self.list(request),
            "GET" | "HEAD" => self.read(key, request),
            "PUT" if has("uploadId") => self.put_part(request),
            "PUT" => self.put(key, request),
            "POST" if has("uploads") => self.begin(key),
            "POST" => self.complete(request),
            "DELETE" if has("uploadId") => match self.uploads.remove(&request.query["uploadId"]) {
                Some(_) => Answer::new(204, ""),
                None => refusal(404, "NoSuchUpload", ""),
            },
            "DELETE" => self.objects.remove(key).map_or_else(no_such_key, |_| Answer::new(204, "")),
            other => panic!("what is {other}?"),
        }
    }

    /// Whether a token was signed by the service account.
    fn is_signed(&self, token: &str) -> bool {
        let Some((signed, signature)) = token.rsplit_once('.') else { return false };
        let decoded = |text: &str| {
            let padding = "=".repeat(text.len().wrapping_neg() % 4);
            let text = text.replace('-', "+").replace('_', "/") + &padding;
            openssl::base64::decode_block(&text).unwrap_or_default()
        };
        let claims = signed.split_once('.').map(|(_, claims)| decoded(claims)).unwrap_or_default();
        let mut verifier = Verifier::new(MessageDigest::sha256(), &self.key).expect("OpenSSL");
        String::from_utf8_lossy(&claims).contains(SERVICE_ACCOUNT)
            && verifier.verify_oneshot(&decoded(signature), signed.as_bytes()).unwrap_or(false)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn store(&mut self, key: &str, data: Vec<u8>) -> u64 {
        let generation = self.number();
        let object = Object { data, generation, modified: jiff::Timestamp::now() };
        self.objects.insert(key.to_owned(), object);
        generation
    }

    fn put(&mut self, key: &str, request: &Request) -> Answer {
        if request.header("x-goog-if-generation-match") == "0" && self.objects.contains_key(key) {
            return refusal(412, "PreconditionFailed", "");
        }
        let generation = self.store(key, request.body.clone());
        Answer::new(200, "").with("ETag", format!("\"{generation}\""))
    }

    fn read(&self, key: &str, request: &Request) -> Answer {
        let Some(object) = self.objects.get(key) else { return no_such_key() };
        let size = object.data.len();
        let answer = match request.range() {
            None => Answer::new(200, object.data.clone()),
            Some((start, _)) if start >= size => return refusal(416, "InvalidRange", ""),
            Some((start, last)) => {
                let end = last.saturating_add(1).min(size);
                Answer::new(206, &object.data[start..end])
                    .with("Content-Range", format!("bytes {start}-{}/{size}", end - 1))
            }
        };
        let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
        let modified = printer.timestamp_to_rfc9110_string(&object.modified).expect("a date");
        answer.with("ETag", format!("\"{}\"", object.generation)).with("Last-Modified", modified)
    }

    fn begin(&mut self, key: &str) -> Answer {
        let name = format!("upload-{}", self.number());
        self.uploads.insert(name.clone(), Upload { key: key.to_owned(), parts: BTreeMap::new() });
        Answer::new(
            200,
            format!(
                "<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
            ),
        )
    }

    fn put_part(&mut self, request: &Request) -> Answer {
        let number = request.query["partNumber"].parse().expect("a number");
        let Some(upload) = self.uploads.get_mut(&request.query["uploadId"]) else {
            return refusal(404, "NoSuchUpload", "");
        };
        upload.parts.insert(number, request.body.clone());
        Answer::new(200, "").with("ETag", format!("\"part-{number}\""))
    }

    fn complete(&mut self, request: &Request) -> Answer {
        let Some(upload) = self.uploads.remove(&request.query["uploadId"]) else {
            return refusal(404, "NoSuchUpload", "");
        };
        let list = String::from_utf8_lossy(&request.body).into_owned();
        let named = list.matches("<Part>").count();
        assert_eq!(named, upload.parts.len(), "every part is named once: {list}");
        let small = upload.parts.values().rev().skip(1).any(|part| part.len() < 5 << 20);
        if small {
            return refusal(400, "EntityTooSmall", "");
        }
        let data = upload.parts.into_values().flatten().collect();
        let generation = self.store(&upload.key, data);
        Answer::new(
            200,
            format!(
                "<CompleteMultipartUploadResult><ETag>\"{generation}\"</ETag></CompleteMultipartUploadResult>"
            ),
        )
    }

    /// A page: objects and common prefixes in one order, as many as are asked for together.
    fn list(&self, request: &Request) -> Answer {
        let asked = |name: &str| request.query.get(name).map(String::as_str).unwrap_or_default();
        let (prefix, delimiter) = (asked("prefix"), asked("delimiter"));
        let most = asked("max-keys").parse().unwrap_or(1000);
        let mut shown = BTreeMap::new();
        for (key, object) in self.objects.range(prefix.to_owned()..) {
            let Some(rest) = key.strip_prefix(prefix) else { break };
            let common = rest.find('/').filter(|_| delimiter == "/");
            let (name, line) = match common {
                Some(slash) => {
                    let name = format!("{prefix}{}", &rest[..=slash]);
                    let line = format!(
                        "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>",
                        escaped(&name)
                    );
                    (name, line)
                }
                None => (key.clone(), object.entry(key)),
            };
            if name.as_str() > asked("continuation-token") {
                shown.insert(name, line);
            }
        }
        let page: Vec<(&String, &String)> = shown.iter().take(most).collect();
        let mut body: String = page.iter().map(|(_, line)| line.as_str()).collect();
        if let Some((last, _)) = page.last().filter(|_| shown.len() > most) {
            body += &format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(last));
        }
        Answer::new(200, format!("<ListBucketResult>{body}</ListBucketResult>"))
    }
}

impl Object {
    fn entry(&self, key: &str) -> String {
        format!(
            "<Contents><Key>{}</Key><Size>{}</Size><LastModified>{}</LastModified><ETag>\"{}\"</ETag></Contents>",
            escaped(key),
            self.data.len(),
            self.modified,
            self.generation
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
