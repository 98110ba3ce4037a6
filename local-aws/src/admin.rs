//! The proxy's own addresses, under `/_local-aws/`.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{any, get};
use axum::{Json, Router};

use crate::calls::{Call, Filter, Summary};
use crate::corrections::Description;
use crate::instance::Instance;
use crate::proxy::Proxy;

/// Routes for the log of calls and for the health of the local AWS.
pub(crate) fn routes() -> Router<Arc<Proxy>> {
    Router::new()
        .route("/_local-aws/calls", get(list).delete(clear))
        .route("/_local-aws/summary", get(summary))
        .route("/_local-aws/corrections", get(corrections))
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

async fn health(State(proxy): State<Arc<Proxy>>) -> Json<Instance> {
    Json(proxy.instance.clone())
}
