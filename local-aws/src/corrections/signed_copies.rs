//! The emulator makes an encrypted copy of a cluster in another region without a pre-signed URL. Reports of refusals
//! say that AWS wants one: a request to the source region with the same parameters, signed there, by which RDS may act
//! for the caller.
//!
//! The proxy refuses a secondary cluster of a global one whose URL is missing or wrong. It looks at every part but the
//! signature itself, since it does not know the secret key.

use async_trait::async_trait;
use axum::http::StatusCode;
use xmltree::Element;

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Form, Request, Response, XmlExt};
use crate::refusal::refusal;

/// See the module.
pub(super) struct SignedCopies;

/// The parameters of a signature in a query, beside those that are looked at more closely.
const SIGNATURE: [&str; 3] = ["X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"];

#[async_trait]
impl Correction for SignedCopies {
    fn id(&self) -> &'static str {
        "signed-copies"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["rds:CreateDBCluster"]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        let form = request.form();
        let Some(global) = form.get("GlobalClusterIdentifier") else { return Ok(None) };
        let parameters =
            [("Action", "DescribeGlobalClusters"), ("Version", "2014-10-31"), ("GlobalClusterIdentifier", global)];
        let answer = call.emulator.query("rds", call.region(), &parameters).await?;
        let document = answer.and_then(|body| Element::parse(body.as_ref()).ok());
        let source = document.and_then(|mut document| writer_region(&mut document));
        let Some(source) = source.filter(|source| source != call.region()) else { return Ok(None) };
        let host = request.header("host").unwrap_or_default();
        Ok(objection(&form, host, &source, call.region())
            .map(|message| refusal(call, StatusCode::BAD_REQUEST, "InvalidParameterCombination", &message)))
    }
}

/// The region of the cluster that writes, if the global cluster has one.
fn writer_region(document: &mut Element) -> Option<String> {
    let mut region = None;
    document.each("GlobalClusterMember", &mut |member| {
        if member.text_of("IsWriter").as_deref() == Some("true") {
            let arn = member.text_of("DBClusterArn").unwrap_or_default();
            region = arn.split(':').nth(3).map(str::to_owned);
        }
    });
    region
}

/// What is wrong with the URL of an encrypted copy from `source` to `destination`. Endpoints of one's own have no
/// region in their names.
fn objection(form: &Form, host: &str, source: &str, destination: &str) -> Option<String> {
    if form.get("StorageEncrypted") != Some("true") && form.get("KmsKeyId").is_none() {
        return None;
    }
    let Some(url) = form.get("PreSignedUrl") else {
        return Some("PreSignedUrl is required for encrypted cross-region copies.".to_owned());
    };
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let query = Form(form_urlencoded::parse(query.as_bytes()).into_owned().collect());
    let wrong = |part: &str| Some(format!("PreSignedUrl is not valid: {part}."));
    let its_host = address.split_once("://").map_or("", |(_, rest)| rest.trim_end_matches('/'));
    if its_host != host && its_host != format!("rds.{source}.amazonaws.com") {
        return wrong("its host is not that of the source region");
    }
    if query.get("DestinationRegion") != Some(destination) {
        return wrong("DestinationRegion is not the region of the request");
    }
    if let Some((name, _)) =
        form.0.iter().find(|(name, value)| name != "PreSignedUrl" && query.get(name) != Some(value))
    {
        return wrong(&format!("{name} differs from that of the request"));
    }
    let scope: Vec<&str> = query.get("X-Amz-Credential").unwrap_or_default().split('/').collect();
    if !matches!(scope.as_slice(), [_, _, region, "rds", "aws4_request"] if *region == source) {
        return wrong("it is not signed for the source region");
    }
    let is_signed = query.get("X-Amz-Algorithm") == Some("AWS4-HMAC-SHA256")
        && SIGNATURE.iter().all(|name| query.get(name).is_some_and(|value| !value.is_empty()))
        && query
            .get("X-Amz-Signature")
            .is_some_and(|text| text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit()));
    if is_signed { None } else { wrong("its signature is not whole") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COPY: &str = "Action=CreateDBCluster&DBClusterIdentifier=b&KmsKeyId=k%2F1&StorageEncrypted=true";

    fn form(url: Option<&str>) -> Form {
        let mut pairs: Vec<(String, String)> = form_urlencoded::parse(COPY.as_bytes()).into_owned().collect();
        pairs.extend(url.map(|url| ("PreSignedUrl".to_owned(), url.to_owned())));
        Form(pairs)
    }

    fn said(url: Option<&str>) -> Option<String> {
        objection(&form(url), "127.0.0.1:4566", "us-east-1", "us-east-2")
    }

    #[test]
    fn a_copy_needs_a_url_that_asks_the_same_of_the_source_region() {
        let signature = "a".repeat(64);
        let good = format!(
            "https://rds.us-east-1.amazonaws.com/?{COPY}&DestinationRegion=us-east-2&X-Amz-Algorithm=AWS4-HMAC-SHA256&\
             X-Amz-Credential=AK%2F20261201%2Fus-east-1%2Frds%2Faws4_request&X-Amz-Date=20261201T020304Z&X-Amz-Expires=3600&\
             X-Amz-SignedHeaders=host&X-Amz-Signature={signature}"
        );
        assert_eq!(said(Some(&good)), None);
        assert_eq!(said(Some(&good.replace("https://rds.us-east-1.amazonaws.com", "http://127.0.0.1:4566"))), None);
        assert!(said(None).is_some_and(|message| message.contains("is required")));
        for (from, to, part) in [
            ("rds.us-east-1.", "rds.us-east-2.", "its host"),
            ("Action=CreateDBCluster", "Action=CopyDBClusterSnapshot", "Action"),
            ("DestinationRegion=us-east-2", "DestinationRegion=us-east-1", "DestinationRegion"),
            ("KmsKeyId=k%2F1", "KmsKeyId=k", "KmsKeyId"),
            ("%2Fus-east-1%2Frds", "%2Fus-east-2%2Frds", "not signed for"),
            ("X-Amz-Expires=3600&", "", "signature"),
            (signature.as_str(), "abc", "signature"),
        ] {
            let message = said(Some(&good.replace(from, to))).unwrap_or_default();
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn what_is_not_encrypted_needs_none() {
        let plain = Form(vec![("GlobalClusterIdentifier".to_owned(), "g".to_owned())]);
        assert_eq!(objection(&plain, "h", "us-east-1", "us-east-2"), None);
    }

    #[test]
    fn the_source_is_where_the_global_cluster_is_written() {
        let members = "<R><GlobalClusterMembers>\
            <GlobalClusterMember><DBClusterArn>arn:aws:rds:us-east-2:1:cluster:b</DBClusterArn><IsWriter>false</IsWriter></GlobalClusterMember>\
            <GlobalClusterMember><DBClusterArn>arn:aws:rds:us-east-1:1:cluster:a</DBClusterArn><IsWriter>true</IsWriter></GlobalClusterMember>\
            </GlobalClusterMembers></R>";
        let mut members = Element::parse(members.as_bytes()).unwrap();
        assert_eq!(writer_region(&mut members).as_deref(), Some("us-east-1"));
        assert_eq!(writer_region(&mut Element::new("R")), None);
    }
}
