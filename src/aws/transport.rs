//! The one place through which every request to AWS leaves drctl.
//!
//! It names each request by its operation, keeps AWS's published rate limits, counts, traces, and closes the door to changing
//! requests once the run is stopping. It never looks into bodies.
//!
//! Invariants:
//! 1. While a guard says no, no changing request leaves; reads still do.
//! 2. A changing request whose answer was lost, in whatever way, is not sent again from here: only its kind knows how to find
//!    out what happened (`x.idem.token-absent`).
//! 3. Every answer carries the [`Operation`] that it answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, Metadata};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use super::error::{STOPPED, never_connected};
use super::throttle::Throttle;

/// Names an operation for the transport; attached to each request by [`NameOperation`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operation {
    /// The service, as the SDK names it.
    pub service: String,
    /// The operation, as AWS names it.
    pub name: String,
    /// The region the client signs for.
    pub region: String,
}

impl Operation {
    /// Tells whether the operation only reads.
    pub fn reads(&self) -> bool {
        ["Describe", "Get", "List", "Head", "Simulate", "BatchGet", "Lookup", "Query", "Scan"]
            .iter()
            .any(|verb| self.name.starts_with(verb))
    }

    /// Tells whether a successful answer always has a body that is read as a whole.
    pub(super) fn returns_something(&self) -> bool {
        self.reads() && !self.name.starts_with("Head") && self.name != "GetObject"
    }
}

/// Puts the operation's name onto the request, where the transport finds it.
#[derive(Debug)]
pub(super) struct NameOperation;

#[dyn_dispatch_hint]
impl Intercept for NameOperation {
    fn name(&self) -> &'static str {
        "NameOperation"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(metadata) = config.load::<Metadata>() {
            let region = config.load::<aws_types::region::SigningRegion>().map(|region| region.as_ref().to_owned());
            let operation = Operation {
                service: metadata.service().to_owned(),
                name: metadata.name().to_owned(),
                region: region.unwrap_or_default(),
            };
            context.request_mut().add_extension(operation);
        }
        Ok(())
    }
}

/// The HTTP client of all SDK clients. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Transport {
    inner: SharedHttpClient,
    shared: Arc<Shared>,
}

/// Says whether changing requests may leave.
type Guard = Box<dyn Fn() -> bool + Send + Sync>;

#[derive(Default)]
struct Shared {
    guards: RwLock<Vec<Guard>>,
    throttle: Throttle,
    counts: Mutex<BTreeMap<Operation, Count>>,
}

/// How often an operation was sent, and how long its answers took together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests sent, retries included.
    pub requests: u64,
    /// Time between sending and the head of the answer, summed up.
    pub waited: Duration,
}

impl Default for Transport {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport {
    /// A transport over TLS with the operating system's certificates.
    pub fn new() -> Self {
        let inner = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
            .build_https();
        Self { inner, shared: Arc::default() }
    }

    /// Lets changing requests leave only while this guard, too, says so; it is asked at each of them (invariant 1).
    pub fn guard_changes(&self, guard: impl Fn() -> bool + Send + Sync + 'static) {
        self.shared.guards.write().expect("no guard panics").push(Box::new(guard));
    }

    /// What was sent so far, by operation.
    pub fn counts(&self) -> BTreeMap<Operation, Count> {
        self.shared.counts.lock().expect("no code panics while it holds this lock").clone()
    }
}

impl HttpClient for Transport {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector { inner, shared: self.shared.clone() })
    }
}

#[derive(Debug)]
struct Connector {
    inner: SharedHttpConnector,
    shared: Arc<Shared>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, shared) = (self.inner.clone(), self.shared.clone());
        HttpConnectorFuture::new(async move {
            // Requests without a name are the credential providers' own.
            let Some(operation) = request.extension::<Operation>().cloned() else {
                return inner.call(request).await;
            };
            shared.throttle.admit(&operation).await;
            if !operation.reads() && !shared.may_change() {
                return Err(ConnectorError::other(STOPPED.into(), None));
            }
            let start = Instant::now();
            let result = inner.call(request).await;
            let waited = start.elapsed();
            shared.count(&operation, waited);
            tracing::debug!(
                service = operation.service,
                operation = operation.name,
                region = operation.region,
                status = result.as_ref().map(|answer| answer.status().as_u16()).ok(),
                milliseconds = waited.as_millis(),
                "request"
            );
            match result {
                Ok(mut answer) => {
                    answer.add_extension(operation);
                    Ok(answer)
                }
                // What never left may be sent again. The SDK repeats what failed in any of its own words; those of a lost answer it
                // does not know.
                Err(error) if !operation.reads() && !never_connected(&error) => {
                    Err(ConnectorError::other(format!("the answer was lost: {}", error.into_source()).into(), None))
                }
                Err(error) => Err(error),
            }
        })
    }
}

impl Shared {
    fn may_change(&self) -> bool {
        self.guards.read().expect("no guard panics").iter().all(|guard| guard())
    }

    fn count(&self, operation: &Operation, waited: Duration) {
        let mut counts = self.counts.lock().expect("no code panics while it holds this lock");
        let count = counts.entry(operation.clone()).or_default();
        count.requests += 1;
        count.waited += waited;
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("may_change", &self.may_change()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_told_from_changes_by_their_verb() {
        let named = |name: &str| Operation { service: "ec2".into(), name: name.into(), region: "us-east-1".into() };
        for name in ["DescribeVpcs", "GetFunction", "ListTags", "HeadBucket", "SimulatePrincipalPolicy"] {
            assert!(named(name).reads(), "{name}");
        }
        for name in ["CreateVpc", "PutRule", "DeleteVpc", "AssociateRouteTable", "TagResource"] {
            assert!(!named(name).reads(), "{name}");
        }
    }
}
