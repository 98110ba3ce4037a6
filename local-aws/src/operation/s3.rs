//! Names of S3 operations: method, whether the path names a bucket or an object, and the subresource in the query.

use axum::http::Method;

use crate::message::Request;

/// Subresources of a bucket, and the noun of their operations (`Get`, `Put`, `Delete`).
const OF_BUCKETS: [(&str, &str); 22] = [
    ("accelerate", "BucketAccelerateConfiguration"),
    ("acl", "BucketAcl"),
    ("analytics", "BucketAnalyticsConfiguration"),
    ("cors", "BucketCors"),
    ("encryption", "BucketEncryption"),
    ("intelligent-tiering", "BucketIntelligentTieringConfiguration"),
    ("inventory", "BucketInventoryConfiguration"),
    ("lifecycle", "BucketLifecycleConfiguration"),
    ("location", "BucketLocation"),
    ("logging", "BucketLogging"),
    ("metrics", "BucketMetricsConfiguration"),
    ("notification", "BucketNotificationConfiguration"),
    ("object-lock", "ObjectLockConfiguration"),
    ("ownershipControls", "BucketOwnershipControls"),
    ("policy", "BucketPolicy"),
    ("policyStatus", "BucketPolicyStatus"),
    ("publicAccessBlock", "PublicAccessBlock"),
    ("replication", "BucketReplication"),
    ("requestPayment", "BucketRequestPayment"),
    ("tagging", "BucketTagging"),
    ("versioning", "BucketVersioning"),
    ("website", "BucketWebsite"),
];

/// Subresources of an object.
const OF_OBJECTS: [(&str, &str); 6] = [
    ("acl", "ObjectAcl"),
    ("attributes", "ObjectAttributes"),
    ("legal-hold", "ObjectLegalHold"),
    ("retention", "ObjectRetention"),
    ("tagging", "ObjectTagging"),
    ("torrent", "ObjectTorrent"),
];

/// The operation that a request in path style calls.
pub(super) fn name(request: &Request) -> Option<String> {
    let path = request.uri.path().trim_start_matches('/');
    let keys: Vec<String> = request
        .uri
        .query()
        .map(|query| form_urlencoded::parse(query.as_bytes()).map(|(key, _)| key.into_owned()).collect())
        .unwrap_or_default();
    let has = |key: &str| keys.iter().any(|present| present == key);
    match path.split_once('/') {
        None if path.is_empty() => (request.method == Method::GET).then(|| "ListBuckets".to_owned()),
        None | Some((_, "")) => bucket(&request.method, has),
        Some(_) => object(request, has),
    }
}

fn bucket(method: &Method, has: impl Fn(&str) -> bool) -> Option<String> {
    if let Some((_, noun)) = OF_BUCKETS.iter().find(|(key, _)| has(key)) {
        // The only noun that differs between its operations.
        let noun = if *method == Method::DELETE && has("lifecycle") { "BucketLifecycle" } else { noun };
        return Some(format!("{}{noun}", verb(method)?));
    }
    let name = match *method {
        Method::GET if has("versions") => "ListObjectVersions",
        Method::GET if has("uploads") => "ListMultipartUploads",
        Method::GET if has("list-type") => "ListObjectsV2",
        Method::GET => "ListObjects",
        Method::HEAD => "HeadBucket",
        Method::PUT => "CreateBucket",
        Method::DELETE => "DeleteBucket",
        Method::POST if has("delete") => "DeleteObjects",
        _ => return None,
    };
    Some(name.to_owned())
}

fn object(request: &Request, has: impl Fn(&str) -> bool) -> Option<String> {
    if let Some((_, noun)) = OF_OBJECTS.iter().find(|(key, _)| has(key)) {
        return Some(format!("{}{noun}", verb(&request.method)?));
    }
    let copies = request.headers.contains_key("x-amz-copy-source");
    let name = match request.method {
        Method::POST if has("uploads") => "CreateMultipartUpload",
        Method::POST if has("uploadId") => "CompleteMultipartUpload",
        Method::POST if has("restore") => "RestoreObject",
        Method::POST if has("select") => "SelectObjectContent",
        Method::PUT if has("uploadId") && copies => "UploadPartCopy",
        Method::PUT if has("uploadId") => "UploadPart",
        Method::PUT if copies => "CopyObject",
        Method::PUT => "PutObject",
        Method::GET if has("uploadId") => "ListParts",
        Method::GET => "GetObject",
        Method::HEAD => "HeadObject",
        Method::DELETE if has("uploadId") => "AbortMultipartUpload",
        Method::DELETE => "DeleteObject",
        _ => return None,
    };
    Some(name.to_owned())
}

fn verb(method: &Method) -> Option<&'static str> {
    match *method {
        Method::GET => Some("Get"),
        Method::PUT => Some("Put"),
        Method::DELETE => Some("Delete"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Operation;
    use super::super::tests::signed;

    #[test]
    fn operations_of_buckets_and_objects_have_their_names() {
        for (method, path, expected) in [
            ("GET", "/?x-id=ListBuckets", "ListBuckets"),
            ("PUT", "/bucket", "CreateBucket"),
            ("PUT", "/bucket/", "CreateBucket"),
            ("HEAD", "/bucket", "HeadBucket"),
            ("DELETE", "/bucket", "DeleteBucket"),
            ("PUT", "/bucket?versioning", "PutBucketVersioning"),
            ("GET", "/bucket?lifecycle=", "GetBucketLifecycleConfiguration"),
            ("DELETE", "/bucket?lifecycle", "DeleteBucketLifecycle"),
            ("GET", "/bucket?publicAccessBlock", "GetPublicAccessBlock"),
            ("GET", "/bucket?list-type=2&prefix=a", "ListObjectsV2"),
            ("GET", "/bucket?versions", "ListObjectVersions"),
            ("POST", "/bucket?delete", "DeleteObjects"),
            ("PUT", "/bucket/a/b?x-id=PutObject", "PutObject"),
            ("GET", "/bucket/a/b", "GetObject"),
            ("HEAD", "/bucket/a", "HeadObject"),
            ("PUT", "/bucket/a?tagging", "PutObjectTagging"),
            ("POST", "/bucket/a?uploads", "CreateMultipartUpload"),
            ("PUT", "/bucket/a?partNumber=1&uploadId=x", "UploadPart"),
        ] {
            assert_eq!(Operation::of(&signed("s3", method, path, &[], "")).name, expected, "{method} {path}");
        }
        let copy = signed("s3", "PUT", "/bucket/a", &[("x-amz-copy-source", "/other/a")], "");
        assert_eq!(Operation::of(&copy).name, "CopyObject");
    }
}
