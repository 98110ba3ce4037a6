//! S3 as the object store of a bucket, and the only file of the state that talks to AWS.
//!
//! The bucket is in whatever region S3 says, wherever it can be asked (`dr.state`), and is reached over a transport of its own:
//! what stops the changing requests of a run must not keep it from recording what it did.
//!
//! Invariants:
//! 1. A write is sent once: the SDK does not repeat one whose answer was lost, so that the one who asked finds out.
//! 2. The age of an object is S3's own: the `Date` of an answer less the `Last-Modified` in it.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::{ByteStream, DateTime, DateTimeFormat};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use futures::{StreamExt, TryStreamExt};
use tokio::runtime::Runtime;

use super::{Object, ObjectError, Objects, Only, StateError};
use crate::aws::regions::first_that_answers;
use crate::aws::transport::Transport;
use crate::aws::{Aws, Connection, Error, Pages};

type Result<T> = std::result::Result<T, ObjectError>;

/// How long one try of a request may take. State files are small; a lease must not end because one request hangs.
const ATTEMPT: Duration = Duration::from_secs(10);

/// How many objects are read at the same time.
const READS: usize = 16;

/// How many objects S3 removes with one request.
const REMOVALS: usize = 1000;

/// A place for state in S3, as the user writes it: `s3://bucket/prefix`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    bucket: String,
    /// What all keys begin with: nothing, or a text that ends with a slash.
    prefix: String,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("`{text}` is no place in S3: write it as s3://BUCKET or s3://BUCKET/PREFIX");
        let rest = text.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if bucket.len() < 3 || !bucket.chars().all(is_name) {
            return Err(wrong());
        }
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { bucket: bucket.to_owned(), prefix })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// A place in a bucket of S3.
pub struct S3 {
    place: Place,
    client: Client,
    start: (Instant, SystemTime),
    /// Requests run here, so that whoever waits for them may be any thread.
    runtime: Option<Runtime>,
}

impl S3 {
    /// Finds the bucket.
    ///
    /// # Errors
    /// [`StateError::NoBucket`] or [`StateError::Unreachable`].
    pub fn connect(place: Place, connection: Connection) -> std::result::Result<Self, StateError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| StateError::write(place.to_string(), error))?;
        let bucket = place.bucket.clone();
        let client = wait(&runtime, async move {
            let aws = Aws::connect(&connection, Transport::new()).await;
            let region = first_that_answers(|asked| region(&aws, asked, &bucket)).await?;
            Ok(region.map(|region| aws.region(&region).s3().clone()))
        });
        let found = match client {
            Ok(Some(client)) => Ok(client),
            Ok(None) => Err(StateError::NoBucket { bucket: place.bucket.clone() }),
            Err(error) => Err(StateError::Unreachable { place: place.to_string(), source: Arc::new(error) }),
        };
        match found {
            Ok(client) => {
                Ok(Self { place, client, start: (Instant::now(), SystemTime::now()), runtime: Some(runtime) })
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        wait(self.runtime.as_ref().expect("the runtime is there until this value is dropped"), work)
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.place.prefix)
    }
}

impl Drop for S3 {
    /// A runtime may not be waited for on the threads of another.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs something on a runtime and blocks this thread until it is done.
fn wait<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> T {
    let (done, result) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        // The one who waits is there: it is blocked until this has been sent.
        let _ = done.send(work.await);
    });
    result.recv().expect("requests do not panic")
}

/// The region of a bucket, or nothing if there is none of that name. Each region knows the buckets of all.
async fn region(aws: &Aws, asked: &str, bucket: &str) -> std::result::Result<Option<String>, Error> {
    let clients = aws.region(asked);
    let request = clients.s3().head_bucket().bucket(bucket);
    match request.customize().config_override(settings()).send().await {
        Ok(found) => Ok(Some(found.bucket_region().unwrap_or(asked).to_owned())),
        Err(error) => {
            let answer = error.raw_response();
            let told = answer.and_then(|answer| answer.headers().get("x-amz-bucket-region")).map(str::to_owned);
            judge(Error::from_sdk("s3:HeadBucket", error), asked, told)
        }
    }
}

/// What a refusal of HeadBucket in the region `asked` tells, by its status and a header alone: it has no body, and so no code
/// (`s3.bucket.read`).
fn judge(error: Error, asked: &str, told: Option<String>) -> std::result::Result<Option<String>, Error> {
    let Error::Refused(mut refusal) = error else { return Err(error) };
    match (refusal.status, told) {
        (404, _) => Ok(None),
        // The answer to a wrong region names the right one.
        (_, Some(region)) if region != asked => Ok(Some(region)),
        (403, _) => {
            refusal.code = "AccessDenied".to_owned();
            Err(refusal.into())
        }
        _ => Err(refusal.into()),
    }
}

/// How requests about state are sent.
fn settings() -> aws_sdk_s3::config::Builder {
    let timeouts = TimeoutConfig::builder().connect_timeout(ATTEMPT / 2).operation_attempt_timeout(ATTEMPT).build();
    let retries = RetryConfig::standard().with_max_attempts(3).with_max_backoff(Duration::from_secs(2));
    aws_sdk_s3::config::Config::builder().timeout_config(timeouts).retry_config(retries)
}

/// How writes are sent: once (invariant 1).
fn once() -> aws_sdk_s3::config::Builder {
    settings().retry_config(RetryConfig::disabled())
}

async fn get(client: &Client, bucket: &str, key: &str) -> Result<Option<Object>> {
    const OPERATION: &str = "s3:GetObject";
    let date = Date::default();
    let request = client.get_object().bucket(bucket).key(key);
    let sent = request.customize().config_override(settings()).interceptor(date.clone()).send().await;
    let answer = match sent.map_err(|error| Error::from_sdk(OPERATION, error)) {
        Err(error) if error.is(&["NoSuchKey"]) => return Ok(None),
        answer => answer?,
    };
    let missing = |field| Error::incomplete(OPERATION, field);
    let now = date.read().ok_or_else(|| missing("Date"))?;
    let written = answer.last_modified.ok_or_else(|| missing("LastModified"))?;
    let tag = answer.e_tag.ok_or_else(|| missing("ETag"))?;
    let age = Duration::try_from_secs_f64(now.as_secs_f64() - written.as_secs_f64()).unwrap_or_default();
    let bytes = answer.body.collect().await;
    let lost = |cause: String| Error::NoAnswer { operation: OPERATION.to_owned(), cause };
    let bytes = bytes.map_err(|error| lost(error.to_string()))?.to_vec();
    Ok(Some(Object { bytes, tag, age }))
}

/// A refusal because of a condition, or else whatever it was.
fn conditional(error: Error) -> ObjectError {
    // A write on condition of a content finds nothing: S3 says so with the code of a read.
    match error.is(&["PreconditionFailed", "NoSuchKey"]) {
        true => ObjectError::Unmet,
        false => error.into(),
    }
}

impl Objects for S3 {
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let (client, bucket, folder) = (self.client.clone(), self.place.bucket.clone(), self.place.prefix.clone());
        let prefix = self.key(prefix);
        self.run(async move {
            // What is below a further slash is somebody else's.
            let request = client.list_objects_v2().bucket(bucket).prefix(prefix).delimiter("/");
            let (mut names, mut pages) = (Vec::new(), Pages::of("s3:ListObjectsV2"));
            loop {
                let page = request.clone().set_continuation_token(pages.token()).send().await;
                let page = page.map_err(|error| Error::from_sdk("s3:ListObjectsV2", error))?;
                let keys = page.contents().iter().filter_map(|object| object.key()?.strip_prefix(&folder));
                names.extend(keys.filter(|name| !name.is_empty()).map(str::to_owned));
                if !pages.turn(page.next_continuation_token)? {
                    return Ok(names);
                }
            }
        })
    }

    fn get(&self, name: &str) -> Result<Option<Object>> {
        let (client, bucket, key) = (self.client.clone(), self.place.bucket.clone(), self.key(name));
        self.run(async move { get(&client, &bucket, &key).await })
    }

    fn get_all(&self, names: &[String]) -> Result<Vec<Option<Object>>> {
        let keys: Vec<_> = names.iter().map(|name| self.key(name)).collect();
        let (client, bucket) = (self.client.clone(), self.place.bucket.clone());
        self.run(async move {
            let reads = keys.into_iter().map(|key| {
                let (client, bucket) = (client.clone(), bucket.clone());
                async move { get(&client, &bucket, &key).await }
            });
            futures::stream::iter(reads).buffered(READS).try_collect().await
        })
    }

    fn put(&self, name: &str, bytes: &[u8], only: Only<'_>) -> Result<String> {
        let request = self.client.put_object().bucket(&self.place.bucket).key(self.key(name));
        let request = request.body(ByteStream::from(bytes.to_owned()));
        let request = match only {
            Only::Always => request,
            Only::IfAbsent => request.if_none_match("*"),
            Only::IfSame(tag) => request.if_match(tag),
        };
        self.run(async move {
            let sent = request.customize().config_override(once()).send().await;
            let answer = sent.map_err(|error| conditional(Error::from_sdk("s3:PutObject", error)))?;
            Ok(answer.e_tag.ok_or_else(|| Error::incomplete("s3:PutObject", "ETag"))?)
        })
    }

    fn delete(&self, name: &str, tag: &str) -> Result<()> {
        let request = self.client.delete_object().bucket(&self.place.bucket).key(self.key(name)).if_match(tag);
        self.run(async move {
            let sent = request.customize().config_override(once()).send().await;
            sent.map(drop).map_err(|error| conditional(Error::from_sdk("s3:DeleteObject", error)))
        })
    }

    fn delete_all(&self, names: &[String]) -> Result<()> {
        let keys: Vec<_> = names.iter().map(|name| self.key(name)).collect();
        let (client, bucket) = (self.client.clone(), self.place.bucket.clone());
        self.run(async move {
            for keys in keys.chunks(REMOVALS) {
                let keys = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build());
                let keys = keys.collect::<std::result::Result<Vec<_>, _>>().expect("each has its key");
                let delete = Delete::builder().set_objects(Some(keys)).quiet(true).build().expect("it has objects");
                let request = client.delete_objects().bucket(&bucket).delete(delete);
                let sent = request.customize().config_override(settings()).send().await;
                let answer = sent.map_err(|error| Error::from_sdk("s3:DeleteObjects", error))?;
                // The call succeeds though single objects were refused (`s3.delete.empty`).
                if let Some(error) = answer.errors().first() {
                    let refusal = crate::aws::Refusal {
                        operation: "s3:DeleteObjects".to_owned(),
                        code: error.code().unwrap_or_default().to_owned(),
                        message: format!(
                            "{}: {}",
                            error.key().unwrap_or_default(),
                            error.message().unwrap_or_default()
                        ),
                        ..Default::default()
                    };
                    return Err(Error::from(refusal).into());
                }
            }
            Ok(())
        })
    }

    fn locate(&self, name: &str) -> String {
        format!("{}{name}", self.place)
    }

    /// The longer of two times: the one clock stands still while the machine sleeps, the other can be set back.
    fn clock(&self) -> Duration {
        let (monotonic, wall) = self.start;
        monotonic.elapsed().max(wall.elapsed().unwrap_or_default())
    }

    fn pause(&self, length: Duration) {
        std::thread::sleep(length);
    }
}

/// Keeps the `Date` of an answer, which the SDK does not hand out.
#[derive(Clone, Debug, Default)]
struct Date(Arc<Mutex<Option<DateTime>>>);

impl Date {
    fn read(&self) -> Option<DateTime> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[dyn_dispatch_hint]
impl Intercept for Date {
    fn name(&self) -> &'static str {
        "Date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;

    #[test]
    fn a_place_is_a_bucket_and_perhaps_a_prefix() {
        for (text, expected) in [
            ("s3://acme-state", "s3://acme-state/"),
            ("s3://acme-state/", "s3://acme-state/"),
            ("s3://acme-state/payments", "s3://acme-state/payments/"),
            ("s3://acme-state/a/b/", "s3://acme-state/a/b/"),
        ] {
            assert_eq!(text.parse::<Place>().expect("a place").to_string(), expected);
        }
        for text in ["", "acme-state", "s3:/acme-state", "s3://", "s3://Acme/x", "https://acme.s3.amazonaws.com/x"] {
            assert!(text.parse::<Place>().expect_err("no place").contains("s3://BUCKET/PREFIX"), "{text}");
        }
    }
    /// `s3.bucket.read`
    #[test]
    fn the_answer_about_a_bucket_says_by_its_status_where_it_is() {
        let asked = "us-west-2";
        let judge = |status, told: Option<&str>| {
            let refusal = Refusal { code: "Unknown".into(), status, ..Refusal::default() };
            judge(refusal.into(), asked, told.map(str::to_owned))
        };
        assert_eq!(judge(404, None).unwrap(), None);
        for (status, told) in [(301, "eu-west-1"), (400, "eu-west-1"), (301, "us-east-1")] {
            assert_eq!(judge(status, Some(told)).unwrap(), Some(told.to_owned()), "{status}");
        }
        assert!(judge(403, None).unwrap_err().is_denied());
        assert!(judge(400, Some(asked)).is_err(), "it is not in another region");
    }
}
