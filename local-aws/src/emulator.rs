//! The emulator: its process, and calls to it.
//!
//! It listens on a free port of its own, but is told that its port is the proxy's: every address it makes up, and the
//! endpoint it gives to the functions it runs, leads through the proxy, so that those calls are corrected and logged too.
//!
//! Invariants:
//! 1. Its environment is built from nothing: no credential, profile or endpoint of the caller reaches it or a function.
//! 2. It answers nobody but the proxy, whose answers let no web page read them.
//! 3. It never reaches Docker, and stores nothing outside its own data folder.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::access;
use crate::error::Error;
use crate::message::{Request, Response};

const WRAPPER: &str = include_str!("emulator.py");

/// The header by which the emulator knows the proxy.
const SECRET_HEADER: HeaderName = HeaderName::from_static("x-local-aws-secret");

/// How long the emulator may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// Headers that belong to one connection, or whose promise the proxy does not keep. Compression would hide bodies from
/// the corrections; `expect` was already answered by the proxy.
const PER_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    HeaderName::from_static("keep-alive"),
];

/// The emulator's process. Dropping it closes the pipe to its standard input, which ends it.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    /// The port the emulator listens on.
    pub(crate) port: u16,
    /// What it knows the proxy by.
    secret: String,
}

/// What the emulator and the functions it runs sign their calls with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credentials<'a> {
    /// The access key that the emulator takes for the account's root.
    pub(crate) key: &'a str,
    /// The session token of functions.
    pub(crate) token: &'a str,
}

impl Process {
    /// Starts the emulator with its data and log in `folder`, behind a proxy that listens on `proxy_port`, and waits
    /// until it answers.
    pub(crate) async fn start(
        python: &Path,
        folder: &Path,
        proxy_port: u16,
        credentials: Credentials<'_>,
    ) -> Result<Self, Error> {
        let secret = access::random();
        let data = folder.join("data");
        if data.exists() {
            fs::remove_dir_all(&data).map_err(Error::file("remove", &data))?;
        }
        for name in ["state", "s3", "tmp"] {
            let path = data.join(name);
            fs::create_dir_all(&path).map_err(Error::file("create", &path))?;
        }
        let log = folder.join("emulator.log");
        let log_file = File::create(&log).map_err(Error::file("create", &log))?;
        let failed = |what: String| Error::Emulator { what, log: log.clone() };

        let mut child = Command::new(python)
            .args(["-c", WRAPPER])
            .current_dir(&data)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", &data)
            .env("TMPDIR", data.join("tmp"))
            .env("STATE_DIR", data.join("state"))
            .env("S3_DATA_DIR", data.join("s3"))
            .env("LANG", "C.UTF-8")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("BIND_HOST", Ipv4Addr::LOCALHOST.to_string())
            .env("GATEWAY_PORT", proxy_port.to_string())
            .env("EDGE_PORT", proxy_port.to_string())
            .env("MINISTACK_HOST", "localhost")
            .env("LOCAL_AWS_SECRET", &secret)
            .env("AWS_ACCESS_KEY_ID", credentials.key)
            .env("AWS_SECRET_ACCESS_KEY", credentials.key)
            .env("AWS_SESSION_TOKEN", credentials.token)
            .env("PERSIST_STATE", "0")
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .env("LOG_LEVEL", "WARNING")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            // Functions inherit it, as they have it on AWS, and their SDKs name it in every call.
            .env("AWS_EXECUTION_ENV", "AWS_Lambda_python")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .process_group(0)
            .spawn()
            .map_err(|error| failed(format!("cannot be started ({error})")))?;

        let stdout = child.stdout.take().expect("standard output was asked for as a pipe");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line).await;
        let port = read
            .ok()
            .and_then(|_| line.trim().parse().ok())
            .ok_or_else(|| failed("ended before it listened".to_owned()))?;
        let mut process = Self { child, log, port, secret };
        process.wait_until_ready().await?;
        Ok(process)
    }

    async fn wait_until_ready(&mut self) -> Result<(), Error> {
        let emulator = self.client();
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let health =
                Request::new(Method::GET, Uri::from_static("/_ministack/health"), HeaderMap::new(), Bytes::new());
            if emulator.send(&health).await.is_ok_and(|response| response.status.is_success()) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Error::Emulator { what: format!("ended at start ({status})"), log: self.log.clone() });
            }
            if Instant::now() > deadline {
                let what = format!("did not answer within {} s", START_TIMEOUT.as_secs());
                return Err(Error::Emulator { what, log: self.log.clone() });
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Emulator {
        Emulator::new(self.port, &self.secret)
    }

    /// The emulator's process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the emulator ends by itself, which it never should.
    pub(crate) async fn ended(&mut self) -> Error {
        // `Child::wait` would close the pipe to standard input, and thereby end the emulator.
        loop {
            let what = match self.child.try_wait() {
                Ok(None) => {
                    sleep(Duration::from_millis(200)).await;
                    continue;
                }
                Ok(Some(status)) => format!("ended by itself ({status})"),
                Err(error) => format!("cannot be watched ({error})"),
            };
            return Error::Emulator { what, log: self.log.clone() };
        }
    }

    /// Ends the emulator and everything it started, and waits until it is gone.
    pub(crate) async fn stop(mut self) {
        drop(self.child.stdin.take());
        // The wrapper kills its own process group; an emulator that is already gone is as good.
        let _ = self.child.wait().await;
    }
}

/// A client of the emulator that keeps its connections open.
#[derive(Clone)]
pub(crate) struct Emulator {
    client: Client<HttpConnector, Full<Bytes>>,
    port: u16,
    secret: HeaderValue,
}

impl Emulator {
    /// A client of the emulator that listens on `port` and answers only who knows the secret.
    pub(crate) fn new(port: u16, secret: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let secret = HeaderValue::from_str(secret).expect("a secret is made of letters and digits");
        Self { client: Client::builder(TokioExecutor::new()).build(connector), port, secret }
    }

    /// Sends a request as it is and returns the answer, whatever its status.
    pub(crate) async fn send(&self, request: &Request) -> Result<Response, Error> {
        let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = format!("http://127.0.0.1:{}{path}", self.port);
        let mut outgoing = axum::http::Request::builder().method(request.method.clone()).uri(uri);
        if let Some(headers) = outgoing.headers_mut() {
            *headers = request.headers.clone();
            strip(headers);
            headers.remove(access::KEY_HEADER);
            headers.insert(SECRET_HEADER, self.secret.clone());
            // hyper computes the length from the body, which a correction may have changed.
            headers.remove(header::CONTENT_LENGTH);
        }
        let outgoing =
            outgoing.body(Full::new(request.body.clone())).map_err(|error| Error::Call(error.to_string()))?;
        let answer = self.client.request(outgoing).await.map_err(|error| Error::Call(chain(&error)))?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| Error::Call(chain(&error)))?.to_bytes();
        let mut headers = parts.headers;
        strip(&mut headers);
        forbid_pages(&mut headers);
        Ok(Response { status: parts.status, headers, body })
    }

    /// Calls an operation of a service that speaks the query protocol, in `region`, on the proxy's own behalf; returns
    /// the body of a successful answer, and `None` when the emulator refused. Such calls are not logged.
    pub(crate) async fn query(
        &self,
        service: &str,
        region: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Option<Bytes>, Error> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let mut headers = own_headers(service, region)?;
        headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"));
        let request = Request::new(Method::POST, Uri::from_static("/"), headers, body.into());
        let response = self.send(&request).await?;
        Ok((response.status == StatusCode::OK).then_some(response.body))
    }

    /// The same for a service that speaks REST; the whole answer.
    pub(crate) async fn rest(
        &self,
        service: &str,
        region: &str,
        method: Method,
        path: &str,
        body: &str,
    ) -> Result<Option<Response>, Error> {
        let uri: Uri = path.parse().map_err(|_| Error::Call(format!("{path} is no path")))?;
        let headers = own_headers(service, region)?;
        let response = self.send(&Request::new(method, uri, headers, body.to_owned().into())).await?;
        Ok(response.status.is_success().then_some(response))
    }

    /// The same for a service that speaks JSON; `target` is the version and the operation, as `Logs_20140328.ListTagsForResource`.
    pub(crate) async fn json(
        &self,
        service: &str,
        region: &str,
        target: &'static str,
        input: &Value,
    ) -> Result<Option<Value>, Error> {
        let mut headers = own_headers(service, region)?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        headers.insert("x-amz-target", HeaderValue::from_static(target));
        let request = Request::new(Method::POST, Uri::from_static("/"), headers, input.to_string().into());
        let response = self.send(&request).await?;
        Ok((response.status == StatusCode::OK).then(|| response.json_body()))
    }

    /// The same for reading from a service with addresses of its own (REST) that answers JSON.
    pub(crate) async fn get(&self, service: &str, region: &str, path: &str) -> Result<Option<Value>, Error> {
        let uri = path.parse().map_err(|_| Error::Call(format!("{path} is no path")))?;
        let request = Request::new(Method::GET, uri, own_headers(service, region)?, Bytes::new());
        let response = self.send(&request).await?;
        Ok((response.status == StatusCode::OK).then(|| response.json_body()))
    }
}

/// The headers of a call on the proxy's own behalf, which say where it goes.
fn own_headers(service: &str, region: &str) -> Result<HeaderMap, Error> {
    let scope = format!(
        "AWS4-HMAC-SHA256 Credential=test/20200101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let scope = HeaderValue::from_str(&scope).map_err(|error| Error::Call(error.to_string()))?;
    Ok(HeaderMap::from_iter([(header::AUTHORIZATION, scope)]))
}

/// Takes out what would let a web page read the answer: the emulator allows it to every page.
fn forbid_pages(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in &PER_CONNECTION {
        headers.remove(name);
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
