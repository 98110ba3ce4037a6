//! A request that carries a signed copy of itself for another region.
//!
//! Some operations of RDS reach from the region they are sent to into a source region. There RDS acts for the caller by a URL that the
//! caller signed for that region: the same request as a GET, with the destination beside its parameters. Other SDKs and the AWS CLI make
//! it when they are told the source (`SourceRegion`); the SDK for Rust does not (`rds.secondary.presigned-url`).
//!
//! Invariants:
//! 1. The copy is made of the very bytes that are sent, so that no parameter differs from the request's own.
//! 2. It is signed anew for each attempt, so that it does not end before AWS reads it.
//! 3. Whoever has the URL can act by it: it is in the request and nowhere else, neither in logs nor in errors.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::Result;
use super::{Aws, Error};

/// How long RDS may take to use the URL, as other SDKs have it.
const VALID: Duration = Duration::from_secs(3600);

/// What stands in a URL as it is; signatures count on everything else being escaped.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl Aws {
    /// A client of RDS in `destination` whose requests carry a signed copy of themselves for `source`.
    ///
    /// # Errors
    /// [`Error::Credentials`] when there is nothing to sign `operation` with.
    pub async fn rds_reaching_into(
        &self,
        source: &str,
        destination: &str,
        operation: &str,
    ) -> Result<aws_sdk_rds::Client> {
        let missing = |cause: String| Error::Credentials { operation: operation.to_owned(), cause };
        let provider = self.credentials().ok_or_else(|| missing("there are no credentials".to_owned()))?;
        let credentials = provider.provide_credentials().await.map_err(|error| missing(error.to_string()))?;
        let signs = SignedCopy { credentials, source: source.to_owned(), destination: destination.to_owned() };
        let config = self.region(destination).rds().config().to_builder().interceptor(signs).build();
        Ok(aws_sdk_rds::Client::from_conf(config))
    }
}

/// Puts the signed copy into the requests of a client.
struct SignedCopy {
    credentials: Credentials,
    source: String,
    destination: String,
}

impl fmt::Debug for SignedCopy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SignedCopy").field("source", &self.source).finish_non_exhaustive()
    }
}

#[dyn_dispatch_hint]
impl Intercept for SignedCopy {
    fn name(&self) -> &'static str {
        "SignedCopy"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        components: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let request = context.request_mut();
        let form = request.body().bytes().ok_or("a request of RDS is a form in memory")?;
        let form = std::str::from_utf8(form)?.to_owned();
        let now = components.time_source().ok_or("a client has a clock")?.now();
        let url = self.url(request.uri(), &form, now)?;
        let body = format!("{form}&PreSignedUrl={}", utf8_percent_encode(&url, RESERVED));
        request.headers_mut().insert("content-length", body.len().to_string());
        *request.body_mut() = SdkBody::from(body);
        Ok(())
    }
}

impl SignedCopy {
    /// The URL: `form`, which is sent to `uri`, as a request to the source region.
    fn url(&self, uri: &str, form: &str, now: SystemTime) -> std::result::Result<String, BoxError> {
        let endpoint = uri.replacen(&self.destination, &self.source, 1);
        let endpoint = endpoint.trim_end_matches('/');
        let mut url = format!("{endpoint}/?{form}&DestinationRegion={}", self.destination);
        let identity = self.credentials.clone().into();
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(VALID);
        let parameters = v4::SigningParams::builder().identity(&identity).region(&self.source).name("rds").time(now);
        let parameters = parameters.settings(settings).build()?.into();
        let copy = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[]))?;
        let (signature, _) = sign(copy, &parameters)?.into_parts();
        for (name, value) in signature.params() {
            url += &format!("&{name}={}", utf8_percent_encode(value, RESERVED));
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs() -> SignedCopy {
        let (id, secret) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let credentials = Credentials::new(id, secret, Some("the/token+=".to_owned()), None, "test");
        SignedCopy { credentials, source: "us-east-1".to_owned(), destination: "us-east-2".to_owned() }
    }

    /// `rds.secondary.presigned-url`: the signature is the one that botocore 1.43 made of the same request, keys and time, by
    /// `create_db_cluster(..., SourceRegion="us-east-1")`.
    #[test]
    fn the_url_is_the_one_that_another_sdk_makes() {
        let form = "Action=CreateDBCluster&Version=2014-10-31&DBClusterIdentifier=dr-aurora-us-east-2-dev&Engine=aurora-postgresql&\
                    KmsKeyId=arn%3Aaws%3Akms%3Aus-east-2%3A123456789012%3Akey%2Fk&GlobalClusterIdentifier=dr-payments-dev&\
                    StorageEncrypted=true&Tags.Tag.1.Key=a%20b&Tags.Tag.1.Value=x%2By%2Fz";
        // 2026-12-01T02:03:04Z
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_090_584);
        let url = signs().url("https://rds.us-east-2.amazonaws.com/", form, now).unwrap();
        let expected = format!(
            "https://rds.us-east-1.amazonaws.com/?{form}&DestinationRegion=us-east-2&X-Amz-Algorithm=AWS4-HMAC-SHA256&\
             X-Amz-Credential=AKIDEXAMPLE%2F20261201%2Fus-east-1%2Frds%2Faws4_request&X-Amz-Date=20261201T020304Z&\
             X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Security-Token=the%2Ftoken%2B%3D&\
             X-Amz-Signature=4fb77a9dfc9293750d0f140e29d4729c85c39e7882d23dd0ac53197b7be6967d"
        );
        let sorted = |url: &str| {
            let (endpoint, query) = url.split_once('?').expect("a query");
            let mut parameters: Vec<String> = query.split('&').map(str::to_owned).collect();
            parameters.sort();
            (endpoint.to_owned(), parameters)
        };
        assert_eq!(sorted(&url), sorted(&expected));
    }

    /// A local endpoint has no region in it.
    #[test]
    fn an_endpoint_of_ones_own_stays_as_it_is() {
        let url = signs().url("http://127.0.0.1:4566/", "Action=CreateDBCluster", SystemTime::UNIX_EPOCH).unwrap();
        assert!(url.starts_with("http://127.0.0.1:4566/?Action=CreateDBCluster&DestinationRegion=us-east-2&"), "{url}");
    }

    /// R24
    #[test]
    fn the_keys_show_nowhere() {
        let shown = format!("{:?}", signs());
        assert!(shown.contains("us-east-1") && !shown.contains("AKID") && !shown.contains("wJalr"), "{shown}");
    }
}
