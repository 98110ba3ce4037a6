//! The proxy before the emulator: names every call, answers those of Global Accelerator, corrects the others on their
//! way in and out, and logs them all.
//!
//! Invariants:
//! 1. What is neither Global Accelerator's nor concerned by a correction or a scenario passes byte for byte.
//! 2. Every call is logged exactly once, with the status that the client saw, before the client sees it; a call whose
//!    connection was cut has the status 0.
//! 3. Who is not let in (see [`crate::access`]) learns nothing and changes nothing.
//! 4. A client that goes away does not take back its call, which takes effect and is logged all the same.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::accelerator::Accelerators;
use crate::access::Access;
use crate::admin;
use crate::calls::{Ending, Log};
use crate::corrections::{Call, Corrections};
use crate::emulator::Emulator;
use crate::error::Error;
use crate::freeze::{Freeze, Gate};
use crate::instance::Instance;
use crate::message::{Request, Response, XmlExt};
use crate::operation::Operation;
use crate::scenarios::{Outcome, Scenarios};

/// Marks an answer that the client must never get: its connection is closed instead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut;

/// Everything that serves calls.
pub(crate) struct Proxy {
    /// Who it is, as its health call answers.
    pub(crate) instance: Instance,
    /// Who may call.
    pub(crate) access: Access,
    /// The log of calls.
    pub(crate) log: Log,
    /// What is corrected.
    pub(crate) corrections: Corrections,
    /// What is switched on of the real AWS's behaviour.
    pub(crate) scenarios: Scenarios,
    /// Where everything stands still.
    pub(crate) freeze: Freeze,
    emulator: Emulator,
    accelerators: Accelerators,
}

impl Proxy {
    /// A proxy before `emulator`.
    pub(crate) fn new(
        instance: Instance,
        access: Access,
        emulator: Emulator,
        accelerators: Accelerators,
        scenarios: Scenarios,
    ) -> Self {
        let (log, corrections, freeze) = (Log::default(), Corrections::new(), Freeze::new());
        Self { instance, access, log, corrections, scenarios, freeze, emulator, accelerators }
    }

    /// The routes to serve.
    pub(crate) fn router(self) -> Router {
        let proxy = Arc::new(self);
        let door = middleware::from_fn_with_state(proxy.clone(), door);
        admin::routes().fallback(handle).layer(door).with_state(proxy)
    }

    /// The outcome of a call, and the scenario that decided it, if one did.
    async fn answer(&self, operation: &Operation, request: &Request) -> Result<(Outcome, Option<&'static str>), Error> {
        match self.freeze.gate(operation, request) {
            Gate::Open => self.pass(operation, request).await,
            Gate::Closed(held) => {
                self.freeze.lifted(held).await;
                Ok((Outcome::Cut, None))
            }
            Gate::ClosedAfter(held) => {
                self.pass(operation, request).await?;
                self.freeze.took_effect(held);
                self.freeze.lifted(held).await;
                Ok((Outcome::Cut, None))
            }
        }
    }

    async fn pass(&self, operation: &Operation, request: &Request) -> Result<(Outcome, Option<&'static str>), Error> {
        let call = Call { operation, original: request, emulator: &self.emulator, accelerators: &self.accelerators };
        self.scenarios.apply(&call, async |call| self.take_effect(call).await).await
    }

    async fn take_effect(&self, call: &Call<'_>) -> Result<Response, Error> {
        if call.operation.service == "globalaccelerator" {
            return self.accelerators.answer(call.operation, call.original, &self.emulator).await;
        }
        self.corrections.apply(call).await
    }
}

/// Refuses what a web page sends, and who asks the proxy itself without its key, before anything is read.
async fn door(
    State(proxy): State<Arc<Proxy>>,
    request: axum::http::Request<Body>,
    next: Next,
) -> axum::response::Response {
    let is_own = request.uri().path().starts_with("/_local-aws");
    let objection = proxy.access.objection(request.uri(), request.headers());
    let no_key = || {
        let has_key = !is_own || proxy.access.has_key(request.headers());
        (!has_key).then_some("this needs the header x-local-aws-key with the access key that `local-aws start` prints")
    };
    match objection.or_else(no_key) {
        Some(reason) => (StatusCode::FORBIDDEN, format!("{reason}\n")).into_response(),
        None => next.run(request).await,
    }
}

async fn handle(State(proxy): State<Arc<Proxy>>, request: axum::http::Request<Body>) -> axum::response::Response {
    // A task of its own goes on when the client goes away.
    let answered = tokio::spawn(answered(proxy, request)).await;
    answered.unwrap_or_else(|fault| (StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()).into_response())
}

async fn answered(proxy: Arc<Proxy>, request: axum::http::Request<Body>) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        // The client went away or broke the protocol; there is no call to speak of.
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let request = Request::new(parts.method, parts.uri, parts.headers, body);
    let is_emulators_own = request.uri.path().starts_with("/_ministack/");
    let operation = Operation::of(&request);

    let started = Instant::now();
    if let Some(response) = proxy.access.refusal(&operation, &request) {
        let ending = Ending { status: response.status.as_u16(), error: error_code(&response), scenario: None };
        proxy.log.add(&operation, ending, started.elapsed());
        return outgoing(response);
    }
    let answer = match is_emulators_own {
        true => proxy.emulator.send(&request).await.map(|answer| (Outcome::Answer(answer), None)),
        false => proxy.answer(&operation, &request).await,
    };
    let duration = started.elapsed();
    let (response, scenario) = match answer {
        Ok((Outcome::Answer(response) | Outcome::Instead(response), scenario)) => (response, scenario),
        Ok((Outcome::Cut, scenario)) => {
            let ending = Ending { status: 0, error: Some("Cut".to_owned()), scenario };
            proxy.log.add(&operation, ending, duration);
            let mut nothing = axum::response::Response::default();
            nothing.extensions_mut().insert(Cut);
            return nothing;
        }
        Err(error) => {
            let document = serde_json::json!({ "__type": "ServiceUnavailable", "message": error.to_string() });
            (Response::json_document(StatusCode::SERVICE_UNAVAILABLE, &document), None)
        }
    };

    if !is_emulators_own {
        let ending = Ending { status: response.status.as_u16(), error: error_code(&response), scenario };
        proxy.log.add(&operation, ending, duration);
    }
    proxy.access.learn(&operation, &response);
    outgoing(response)
}

fn outgoing(response: Response) -> axum::response::Response {
    let mut outgoing = axum::response::Response::new(Body::from(response.body));
    *outgoing.status_mut() = response.status;
    *outgoing.headers_mut() = response.headers;
    outgoing
}

/// The code by which AWS names a refusal, in whichever protocol it was sent.
fn error_code(response: &Response) -> Option<String> {
    if response.status.as_u16() < 400 {
        return None;
    }
    // JSON and CBOR name a shape, perhaps with a namespace before and an address behind it.
    let bare = |code: &str| {
        let code = code.split(':').next().unwrap_or(code);
        code.rsplit('#').next().unwrap_or(code).to_owned()
    };
    let header = || response.headers.get("x-amzn-errortype")?.to_str().ok().map(bare);
    let json = || {
        let document: Value = serde_json::from_slice(&response.body).ok()?;
        ["__type", "code", "Code"].iter().find_map(|key| document.get(key)?.as_str().map(bare))
    };
    let cbor = || {
        let kind = response.headers.get(header::CONTENT_TYPE)?;
        let is_cbor = kind.to_str().ok()?.contains("cbor");
        let document: ciborium::Value =
            is_cbor.then(|| ciborium::from_reader(response.body.as_ref()).ok()).flatten()?;
        let entries = document.into_map().ok()?;
        entries.into_iter().find(|(key, _)| key.as_text() == Some("__type"))?.1.as_text().map(bare)
    };
    let xml = || {
        let mut code = None;
        response.xml()?.each("Code", &mut |element| {
            code = code.take().or_else(|| element.get_text().map(|text| text.into_owned()));
        });
        code
    };
    header().or_else(json).or_else(cbor).or_else(xml)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    fn refusal(body: &[u8], headers: &[(&'static str, &'static str)]) -> Response {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Response { status: StatusCode::BAD_REQUEST, headers, body: body.to_vec().into() }
    }

    #[test]
    fn the_error_code_is_found_in_every_protocol() {
        let mut cbor = Vec::new();
        let document = ciborium::Value::Map(vec![("__type".into(), "com.amazonaws#ResourceNotFound".into())]);
        ciborium::into_writer(&document, &mut cbor).unwrap();
        for response in [
            refusal(br#"{"__type":"com.amazonaws.x#ResourceNotFound"}"#, &[]),
            refusal(b"", &[("x-amzn-errortype", "ResourceNotFound:http://internal.amazon.com/")]),
            refusal(b"<ErrorResponse><Error><Code>ResourceNotFound</Code></Error></ErrorResponse>", &[]),
            refusal(b"<Error><Code>ResourceNotFound</Code></Error>", &[]),
            refusal(&cbor, &[("content-type", "application/cbor")]),
        ] {
            assert_eq!(error_code(&response).as_deref(), Some("ResourceNotFound"));
        }
    }

    #[test]
    fn a_success_has_no_error_code() {
        let mut response = refusal(br#"{"code":"x"}"#, &[]);
        response.status = StatusCode::OK;
        assert_eq!(error_code(&response), None);
    }
}
