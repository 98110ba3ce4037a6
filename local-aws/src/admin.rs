//! The proxy's own addresses, under `/_local-aws/`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{any, get};
use axum::{Json, Router};

use crate::calls::{Call, Filter, Summary};
use crate::corrections::Description;
use crate::freeze::{Order, State as Frozen};
use crate::instance::Instance;
use crate::proxy::Proxy;
use crate::scenarios::{Scenarios, Settings};
use serde::{Deserialize, Serialize};

/// Routes for the log of calls and for the health of the local AWS.
pub(crate) fn routes() -> Router<Arc<Proxy>> {
    Router::new()
        .route("/_local-aws/calls", get(list).delete(clear))
        .route("/_local-aws/summary", get(summary))
        .route("/_local-aws/corrections", get(corrections))
        .route("/_local-aws/scenarios", get(scenarios).put(switch))
        .route("/_local-aws/freeze", get(frozen).put(freeze).delete(lift))
        .route("/_local-aws/health", get(health))
        // What is misspelt here must not reach the emulator as a bucket's name.
        .route("/_local-aws/{*other}", any(StatusCode::NOT_FOUND))
}

async fn list(State(proxy): State<Arc<Proxy>>, Query(filter): Query<Filter>) -> Json<Vec<Call>> {
    Json(proxy.log.list(&filter))
}

async fn summary(State(proxy): State<Arc<Proxy>>, Query(filter): Query<Filter>) -> Json<Summary> {
    Json(proxy.log.summary(&filter))
}

async fn clear(State(proxy): State<Arc<Proxy>>) -> StatusCode {
    proxy.log.clear();
    StatusCode::NO_CONTENT
}

async fn corrections(State(proxy): State<Arc<Proxy>>) -> Json<Vec<Description>> {
    Json(proxy.corrections.list())
}

/// What is switched on, and what there is.
#[derive(Serialize)]
struct Switches {
    #[serde(flatten)]
    on: Settings,
    known: Vec<&'static str>,
}

async fn scenarios(State(proxy): State<Arc<Proxy>>) -> Json<Switches> {
    Json(Switches { on: proxy.scenarios.settings(), known: Scenarios::names() })
}

async fn switch(
    State(proxy): State<Arc<Proxy>>,
    Json(settings): Json<Settings>,
) -> Result<StatusCode, (StatusCode, String)> {
    let switched = proxy.scenarios.switch(settings);
    switched.map(|()| StatusCode::NO_CONTENT).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

/// How long to wait for the freeze, in seconds; without it, not at all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    #[serde(default)]
    wait: u64,
}

async fn frozen(State(proxy): State<Arc<Proxy>>, Query(Wait { wait }): Query<Wait>) -> Json<Frozen> {
    Json(proxy.freeze.state(Duration::from_secs(wait)).await)
}

async fn freeze(State(proxy): State<Arc<Proxy>>, Json(order): Json<Order>) -> Result<StatusCode, (StatusCode, String)> {
    if order.call == 0 {
        return Err((StatusCode::BAD_REQUEST, "the first changing call from now on is number 1".to_owned()));
    }
    proxy.freeze.order(order);
    Ok(StatusCode::NO_CONTENT)
}

async fn lift(State(proxy): State<Arc<Proxy>>) -> StatusCode {
    proxy.freeze.lift();
    StatusCode::NO_CONTENT
}

async fn health(State(proxy): State<Arc<Proxy>>) -> Json<Instance> {
    Json(proxy.instance.clone())
}
