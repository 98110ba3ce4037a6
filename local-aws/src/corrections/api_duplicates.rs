//! A second domain name of the same name replaces the first and loses its mappings, and a second mapping of the same
//! base path replaces the first. AWS refuses both.

use async_trait::async_trait;
use axum::http::{Method, StatusCode};

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Request, Response};

/// See the module.
pub(super) struct ApiDuplicates;

#[async_trait]
impl Correction for ApiDuplicates {
    fn id(&self) -> &'static str {
        "api-duplicates"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["apigateway:CreateBasePathMapping", "apigateway:CreateDomainName"]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        let input = request.json();
        let collection = request.uri.path().trim_end_matches('/');
        let (name, status, code, message) = match call.name() {
            "CreateDomainName" => (
                input["domainName"].as_str().unwrap_or_default(),
                StatusCode::BAD_REQUEST,
                "BadRequestException",
                "The domain name you provided already exists.",
            ),
            _ => (
                input["basePath"].as_str().filter(|path| !path.is_empty()).unwrap_or("(none)"),
                StatusCode::CONFLICT,
                "ConflictException",
                "Base path already exists for this domain name",
            ),
        };
        let present = call.rest(Method::GET, &format!("{collection}/{name}"), None).await?;
        Ok(present.status.is_success().then(|| Response::rest_refusal(status, code, message)))
    }
}
