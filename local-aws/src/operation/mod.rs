//! Which operation of which service in which region a request calls, told from the request alone.
//!
//! Service and region are those of the signature. The operation is named by the protocol: `X-Amz-Target` (JSON),
//! `Action` (query), the path (RPC v2), or method and path (REST).
//!
//! Invariant: an operation that cannot be named is logged under its method and path, never left out.

mod rest;
mod s3;

use serde::{Deserialize, Serialize};

use crate::message::Request;

/// Whether a call is one of an AWS API or one of a REST API deployed there.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A call of an AWS API.
    Api,
    /// A call of a deployed REST API.
    DataPlane,
}

/// What a request calls.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Operation {
    /// API or data plane.
    pub(crate) kind: Kind,
    /// The service as the signature names it; `unsigned` without one.
    pub(crate) service: String,
    /// The region of the signature; empty without one.
    pub(crate) region: String,
    /// The operation as AWS names it.
    pub(crate) name: String,
}

/// Beginnings of names of operations that change nothing.
const READING: [&str; 19] = [
    "BatchGet",
    "Check",
    "Decode",
    "Describe",
    "Estimate",
    "Filter",
    "Get",
    "Head",
    "List",
    "Lookup",
    "Preview",
    "Query",
    "Scan",
    "Search",
    "Select",
    "Simulate",
    "Test",
    "TransactGet",
    "Validate",
];

/// Operations with other names that change nothing: they compute with a key or hand out a session.
const COMPUTING: [&str; 12] = [
    "AssumeRole",
    "AssumeRoleWithWebIdentity",
    "BatchDescribe",
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GenerateRandom",
    "Sign",
    "Verify",
    "VerifyMac",
];

impl Operation {
    /// What `request` calls.
    pub(crate) fn of(request: &Request) -> Self {
        let (region, service) = scope(request).unwrap_or_default();
        let path = request.uri.path();
        let host = request.header("host").unwrap_or_default();
        if path.starts_with("/_aws/execute-api/") || host.contains(".execute-api.") || service == "execute-api" {
            return Self {
                kind: Kind::DataPlane,
                service: "execute-api".to_owned(),
                region,
                name: "Invoke".to_owned(),
            };
        }
        let name = target(request)
            .or_else(|| smithy_rpc(path))
            .or_else(|| match service.as_str() {
                "s3" => s3::name(request),
                _ => action(request).or_else(|| rest::name(&service, request)),
            })
            .unwrap_or_else(|| format!("{} {path}", request.method));
        let service = if service.is_empty() { "unsigned".to_owned() } else { service };
        Self { kind: Kind::Api, service, region, name }
    }

    /// Whether the operation can change anything, told by how AWS names operations.
    pub(crate) fn is_mutating(&self) -> bool {
        match self.name.split_once(' ') {
            Some((method, _)) => !matches!(method, "GET" | "HEAD" | "OPTIONS"),
            None => {
                !READING.iter().any(|start| self.name.starts_with(start)) && !COMPUTING.contains(&self.name.as_str())
            }
        }
    }
}

/// Region and service of the credential scope, in the `Authorization` header or in the query of a presigned address.
fn scope(request: &Request) -> Option<(String, String)> {
    let signed = request.header("authorization").and_then(|value| {
        let credential = value.split("Credential=").nth(1)?;
        Some(credential.split([',', ' ']).next()?.to_owned())
    });
    let credential = signed.or_else(|| parameter(request, "X-Amz-Credential"))?;
    let mut parts = credential.split('/').rev();
    let _terminator = parts.next()?;
    let service = parts.next()?;
    let region = parts.next()?;
    Some((region.to_owned(), service.to_owned()))
}

/// The value of a parameter in the address.
pub(crate) fn parameter(request: &Request, name: &str) -> Option<String> {
    let query = request.uri.query()?;
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn target(request: &Request) -> Option<String> {
    let target = request.header("x-amz-target")?;
    Some(target.rsplit('.').next().unwrap_or(target).to_owned())
}

fn smithy_rpc(path: &str) -> Option<String> {
    let (_, operation) = path.strip_prefix("/service/")?.split_once("/operation/")?;
    Some(operation.trim_end_matches('/').to_owned())
}

fn action(request: &Request) -> Option<String> {
    let is_form = request.header("content-type").is_some_and(|kind| kind.contains("x-www-form-urlencoded"));
    let in_body = || {
        let mut parameters = form_urlencoded::parse(&request.body);
        parameters.find(|(key, _)| key == "Action").map(|(_, value)| value.into_owned())
    };
    is_form.then(in_body).flatten().or_else(|| parameter(request, "Action"))
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::http::{HeaderMap, HeaderValue, Method};

    use super::*;

    /// A request signed for `service`, with more headers as `name: value`.
    pub(super) fn signed(
        service: &str,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Request {
        let mut map = HeaderMap::new();
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        map.insert("authorization", HeaderValue::from_str(&scope).unwrap());
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Request::new(method, path.parse().unwrap(), map, Bytes::from(body.to_owned()))
    }

    #[test]
    fn the_json_protocol_names_its_target() {
        let request = signed("dynamodb", "POST", "/", &[("x-amz-target", "DynamoDB_20120810.CreateTable")], "{}");
        let operation = Operation::of(&request);
        assert_eq!((operation.service.as_str(), operation.region.as_str()), ("dynamodb", "eu-west-1"));
        assert_eq!(operation.name, "CreateTable");
        assert!(operation.is_mutating());
    }

    #[test]
    fn the_query_protocol_names_its_action_in_the_body_or_the_address() {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = signed("ec2", "POST", "/", &form, "Version=2016-11-15&Action=DescribeVpcs");
        assert_eq!(Operation::of(&body).name, "DescribeVpcs");
        assert!(!Operation::of(&body).is_mutating());
        let address = signed("sts", "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", &[], "");
        assert_eq!(Operation::of(&address).name, "GetCallerIdentity");
    }

    #[test]
    fn rpc_v2_names_its_operation_in_the_path() {
        let path = "/service/GraniteServiceVersion20100801/operation/PutMetricAlarm";
        let operation = Operation::of(&signed("monitoring", "POST", path, &[("smithy-protocol", "rpc-v2-cbor")], ""));
        assert_eq!((operation.service.as_str(), operation.name.as_str()), ("monitoring", "PutMetricAlarm"));
    }

    #[test]
    fn a_presigned_address_carries_its_scope() {
        let path = "/bucket/key?X-Amz-Credential=test%2F20260101%2Fus-east-2%2Fs3%2Faws4_request&X-Amz-Signature=0";
        let request = Request::new(Method::GET, path.parse().unwrap(), HeaderMap::new(), Bytes::new());
        let operation = Operation::of(&request);
        assert_eq!((operation.service.as_str(), operation.region.as_str()), ("s3", "us-east-2"));
        assert_eq!(operation.name, "GetObject");
    }

    #[test]
    fn calls_of_a_deployed_api_are_data_plane_by_path_and_by_host() {
        let path = Request::new(
            Method::POST,
            "/_aws/execute-api/abc/prod/payment".parse().unwrap(),
            HeaderMap::new(),
            Bytes::new(),
        );
        assert_eq!(Operation::of(&path).kind, Kind::DataPlane);
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("abc.execute-api.localhost:4566"));
        let host = Request::new(Method::GET, "/prod/health".parse().unwrap(), headers, Bytes::new());
        assert_eq!(Operation::of(&host).kind, Kind::DataPlane);
    }

    /// The invariant of this module.
    #[test]
    fn what_cannot_be_named_is_logged_by_method_and_path() {
        let operation = Operation::of(&signed("novel", "PUT", "/things/1", &[], ""));
        assert_eq!(operation.name, "PUT /things/1");
        assert!(operation.is_mutating());
        assert!(!Operation::of(&signed("novel", "GET", "/things/1", &[], "")).is_mutating());
    }
}
