//! What it takes to empty a bucket: every version, every delete marker, every upload in parts.
//!
//! Facts: `s3.delete.empty` (1,000 per call; failures stand inside a successful answer; some keys cannot be written in XML),
//! `s3.delete.lock`, `s3.bucket.limits` (3,500 deletions per second and prefix). What is gone is gone: after an interrupt the next run goes on
//! with what is left.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_s3::types::{Delete, EncodingType, Error as Failure, ObjectIdentifier};
use futures::{StreamExt, TryStreamExt};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{OnAws, Task};
use crate::aws::error::Result;
use crate::aws::{Error, Pages};

/// How many deletions of a page run at the same time.
const DELETIONS_AT_ONCE: usize = 8;
/// How many pages the listing may be ahead of the deletion: enough to say what is left, at a few megabytes.
const PAGES_AHEAD: usize = 32;

/// What is to be deleted: one version or delete marker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    key: String,
    id: String,
}

/// Deletes what is in a bucket and returns how much that was. More can have arrived meanwhile.
///
/// # Errors
/// [`Error::Blocked`] when an object cannot be deleted, for example because it is locked.
pub(super) async fn empty(task: &Task<'_>, bucket: &str) -> Result<u64> {
    let progress = Progress::start();
    let (pages, listed) = mpsc::channel(PAGES_AHEAD);
    let queue = futures::stream::unfold(listed, |mut listed| async move { Some((listed.recv().await?, listed)) });
    let delete = queue
        .map(|page: Vec<Version>| async {
            let deleted = delete_page(task, bucket, page).await?;
            progress.deleted(task, deleted);
            Ok(())
        })
        .buffer_unordered(DELETIONS_AT_ONCE)
        .try_for_each(|()| async { Ok(()) });
    tokio::try_join!(list_versions(task, bucket, pages, &progress), delete)?;
    Ok(progress.deleted.load(Ordering::Relaxed) + abort_uploads(task, bucket).await?)
}

/// How far the deletion is.
struct Progress {
    start: Instant,
    listed: AtomicU64,
    deleted: AtomicU64,
    complete: AtomicBool,
    reported: AtomicU64,
}

impl Progress {
    fn start() -> Self {
        Self {
            start: Instant::now(),
            listed: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
            complete: AtomicBool::new(false),
            reported: AtomicU64::new(0),
        }
    }

    fn deleted(&self, task: &Task<'_>, count: u64) {
        let deleted = self.deleted.fetch_add(count, Ordering::Relaxed) + count;
        let elapsed = self.start.elapsed();
        // At most one report per second, the first at once.
        let second = elapsed.as_secs() + 1;
        if self.reported.fetch_max(second, Ordering::Relaxed) < second {
            let left = self.listed.load(Ordering::Relaxed).saturating_sub(deleted);
            task.observer.waiting(task.address, &report(deleted, left, self.complete.load(Ordering::Relaxed), elapsed));
        }
    }
}

fn report(deleted: u64, left: u64, complete: bool, elapsed: Duration) -> String {
    let rate = deleted as f64 / elapsed.as_secs_f64().max(0.001);
    let at_least = if complete { "" } else { "at least " };
    format!("emptying: {deleted} objects deleted ({rate:.0}/s), {at_least}{left} left")
}

async fn list_versions(
    task: &Task<'_>,
    bucket: &str,
    pages: mpsc::Sender<Vec<Version>>,
    progress: &Progress,
) -> Result<()> {
    let clients = task.clients();
    let (mut key, mut version) = (None, None);
    let mut read = Pages::of("s3:ListObjectVersions");
    loop {
        let page = task
            .call("s3:ListObjectVersions", || {
                clients
                    .s3()
                    .list_object_versions()
                    .bucket(bucket)
                    .encoding_type(EncodingType::Url)
                    .set_key_marker(key.clone())
                    .set_version_id_marker(version.clone())
                    .send()
            })
            .await?;
        let versions = page.versions().iter().map(|found| (found.key(), found.version_id()));
        let markers = page.delete_markers().iter().map(|found| (found.key(), found.version_id()));
        let decode = |key: &str| decode(key, page.encoding_type());
        let found: Vec<Version> = versions
            .chain(markers)
            .filter_map(|(key, id)| Some(Version { key: decode(key?), id: id.unwrap_or("null").to_owned() }))
            .collect();
        progress.listed.fetch_add(found.len() as u64, Ordering::Relaxed);
        let last = !page.is_truncated().unwrap_or_default();
        progress.complete.store(last, Ordering::Relaxed);
        // The other end is closed only when a deletion failed, and that failure is the one that counts.
        if (!found.is_empty() && pages.send(found).await.is_err()) || last {
            return Ok(());
        }
        key = page.next_key_marker().map(decode);
        version = page.next_version_id_marker().map(str::to_owned);
        read.once(&(&key, &version))?;
    }
}

async fn delete_page(task: &Task<'_>, bucket: &str, page: Vec<Version>) -> Result<u64> {
    let clients = task.clients();
    let (together, alone): (Vec<Version>, Vec<Version>) = page.into_iter().partition(|version| fits_xml(&version.key));
    let deleted = alone.len() as u64;
    for version in alone {
        task.call("s3:DeleteObject", || {
            clients.s3().delete_object().bucket(bucket).key(&version.key).version_id(&version.id).send()
        })
        .await?;
    }
    if together.is_empty() {
        return Ok(deleted);
    }
    let objects = together.iter().map(|version| {
        ObjectIdentifier::builder().key(&version.key).version_id(&version.id).build().expect("the key is set")
    });
    let objects = Delete::builder().set_objects(Some(objects.collect())).quiet(true).build().expect("objects are set");
    let answer = task
        .call("s3:DeleteObjects", || clients.s3().delete_objects().bucket(bucket).delete(objects.clone()).send())
        .await?;
    Ok(deleted + count(bucket, together.len(), answer.errors())?)
}

/// What may be behind a denial (`s3.delete.lock`); AWS does not say which.
const LOCKED: &str = " (a legal hold or a retention on it, or a policy; lift that, and run `down` again)";

/// How many of the keys asked for were deleted. What fails for the moment is still there when the bucket is listed again.
fn count(bucket: &str, asked: usize, failures: &[Failure]) -> Result<u64> {
    let passing = ["InternalError", "SlowDown", "ServiceUnavailable", "NoSuchKey", "NoSuchVersion"];
    match failures.iter().find(|failure| !passing.contains(&failure.code().unwrap_or_default())) {
        Some(failure) => Err(Error::Blocked(format!(
            "the object {} of the bucket {bucket} cannot be deleted: {}: {}{}",
            failure.key().unwrap_or_default(),
            failure.code().unwrap_or_default(),
            failure.message().unwrap_or_default(),
            if failure.code() == Some("AccessDenied") { LOCKED } else { "" },
        ))),
        None => Ok(asked as u64 - failures.len() as u64),
    }
}

async fn abort_uploads(task: &Task<'_>, bucket: &str) -> Result<u64> {
    let clients = task.clients();
    let (mut aborted, mut key, mut upload) = (0, None, None);
    let mut read = Pages::of("s3:ListMultipartUploads");
    loop {
        let page = task
            .call("s3:ListMultipartUploads", || {
                clients
                    .s3()
                    .list_multipart_uploads()
                    .bucket(bucket)
                    .encoding_type(EncodingType::Url)
                    .set_key_marker(key.clone())
                    .set_upload_id_marker(upload.clone())
                    .send()
            })
            .await?;
        let decode = |key: &str| decode(key, page.encoding_type());
        let uploads: Vec<(String, &str)> = page
            .uploads()
            .iter()
            .map(|upload| (decode(upload.key().unwrap_or_default()), upload.upload_id().unwrap_or_default()))
            .collect();
        task.each(&uploads, |(key, id)| abort(task, bucket, key, id)).await?;
        aborted += page.uploads().len() as u64;
        if !page.is_truncated().unwrap_or_default() {
            return Ok(aborted);
        }
        key = page.next_key_marker().map(decode);
        upload = page.next_upload_id_marker().map(str::to_owned);
        read.once(&(&key, &upload))?;
    }
}

async fn abort(task: &Task<'_>, bucket: &str, key: &str, id: &str) -> Result<()> {
    let clients = task.clients();
    let aborted = task
        .call("s3:AbortMultipartUpload", || {
            clients.s3().abort_multipart_upload().bucket(bucket).key(key).upload_id(id).send()
        })
        .await;
    match aborted {
        Err(error) if !error.is_gone() => Err(error),
        _ => Ok(()),
    }
}

/// A key as it was given to S3. A listing that says so encodes keys as in a form, with `+` for a space.
fn decode(key: &str, encoding: Option<&EncodingType>) -> String {
    match encoding {
        Some(EncodingType::Url) => percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned(),
        _ => key.to_owned(),
    }
}

/// Tells whether XML 1.0 can hold a key unchanged: it turns a carriage return into a line feed.
fn fits_xml(key: &str) -> bool {
    key.chars().all(|c| matches!(c, '\t' | '\n' | '\u{20}'..='\u{FFFD}' | '\u{10000}'..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_keys_are_decoded_and_those_xml_cannot_hold_are_told_apart() {
        let url = Some(&EncodingType::Url);
        assert_eq!(decode("a+b%2Fc%2B%C3%A9", url), "a b/c+é");
        assert_eq!(decode("a+b%2F", None), "a+b%2F");
        assert!(fits_xml("receipts/2025/ü.json"));
        assert!(!fits_xml(&decode("a%01b", url)), "control characters");
        assert!(!fits_xml("a\rb"), "a carriage return becomes a line feed on the way");
    }

    /// `s3.delete.lock`
    #[test]
    fn an_object_that_is_locked_stops_the_emptying_and_is_named() {
        let failed = |code: &str| Failure::builder().key("receipts/1").code(code).message("it is locked").build();
        let error = count("b", 3, &[failed("SlowDown"), failed("AccessDenied")]).unwrap_err();
        assert!(matches!(error, Error::Blocked(_)), "{error}");
        assert!(error.to_string().contains("receipts/1") && error.to_string().contains("AccessDenied"), "{error}");
        assert_eq!(count("b", 3, &[failed("SlowDown"), failed("NoSuchVersion")]).unwrap(), 1);
        assert_eq!(count("b", 3, &[]).unwrap(), 3);
    }

    #[test]
    fn the_report_says_how_fast_and_how_much_is_left() {
        let seconds = Duration::from_secs;
        assert_eq!(report(3000, 500, false, seconds(2)), "emptying: 3000 objects deleted (1500/s), at least 500 left");
        assert_eq!(report(3000, 0, true, seconds(1)), "emptying: 3000 objects deleted (3000/s), 0 left");
    }
}
