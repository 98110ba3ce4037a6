//! There is neither `UpdateDomainName` nor `UpdateBasePathMapping`. AWS changes both in place.
//!
//! The emulator replaces what is created a second time, so that an update is read, patched and created anew. A domain
//! name loses its mappings on the way, which are created anew too.

use async_trait::async_trait;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Request, Response};

/// See the module.
pub(super) struct ApiUpdates;

#[async_trait]
impl Correction for ApiUpdates {
    fn id(&self) -> &'static str {
        "api-updates"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["apigateway:UpdateBasePathMapping", "apigateway:UpdateDomainName"]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        let path = request.uri.path().trim_end_matches('/').to_owned();
        let read = call.rest(Method::GET, &path, None).await?;
        if !read.status.is_success() {
            return Ok(Some(read));
        }
        let mut resource = read.json_body();
        if let Err(message) = patch(&mut resource, &request.json()) {
            return Ok(Some(Response::rest_refusal(StatusCode::BAD_REQUEST, "BadRequestException", &message)));
        }
        let Some((collection, _)) = path.rsplit_once('/') else { return Ok(None) };
        if call.name() == "UpdateBasePathMapping" {
            call.rest(Method::DELETE, &path, None).await?;
            call.rest(Method::POST, collection, Some(&resource)).await?;
        } else {
            let mappings = format!("{path}/basepathmappings");
            let kept = call.rest(Method::GET, &mappings, None).await?.json_body();
            call.rest(Method::POST, collection, Some(&resource)).await?;
            for mapping in kept["item"].as_array().into_iter().flatten() {
                call.rest(Method::POST, &mappings, Some(mapping)).await?;
            }
        }
        Ok(Some(Response::json_document(StatusCode::OK, &resource)))
    }
}

/// Performs the patch operations of a call on a resource.
fn patch(resource: &mut Value, input: &Value) -> Result<(), String> {
    for operation in input["patchOperations"].as_array().into_iter().flatten() {
        let (Some(action), Some(path)) = (operation["op"].as_str(), operation["path"].as_str()) else {
            return Err("A patch operation needs op and path.".to_owned());
        };
        let names: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let value = operation["value"].as_str().unwrap_or_default();
        match (action, &names[..]) {
            // The only list: `/endpointConfiguration/types/EDGE` replaced by REGIONAL.
            ("replace", ["endpointConfiguration", "types", ..]) => {
                resource["endpointConfiguration"]["types"] = json!([value]);
            }
            // The names of a mapping's fields on the wire differ from those in its patches.
            ("replace", ["restapiId"]) => resource["restApiId"] = value.into(),
            ("replace", ["basePath"]) if value.is_empty() => resource["basePath"] = "(none)".into(),
            ("replace" | "add", [field]) => resource[*field] = value.into(),
            ("replace" | "add", [outer, field]) => resource[*outer][*field] = value.into(),
            ("remove", [field]) => resource[*field] = "".into(),
            ("remove", [outer, field]) => {
                resource[*outer].as_object_mut().map(|fields| fields.remove(*field));
            }
            _ => return Err(format!("Invalid patch path {path} for {action}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_change_the_fields_that_they_name() {
        let mut mapping = json!({ "basePath": "v1", "restApiId": "a", "stage": "blue" });
        let operations = json!({ "patchOperations": [
            { "op": "replace", "path": "/stage", "value": "green" },
            { "op": "replace", "path": "/restapiId", "value": "b" },
            { "op": "replace", "path": "/basePath", "value": "" },
        ] });
        patch(&mut mapping, &operations).unwrap();
        assert_eq!(mapping, json!({ "basePath": "(none)", "restApiId": "b", "stage": "green" }));

        let mut domain = json!({ "endpointConfiguration": { "types": ["EDGE"] } });
        let operations = json!({ "patchOperations": [
            { "op": "replace", "path": "/endpointConfiguration/types/EDGE", "value": "REGIONAL" },
            { "op": "replace", "path": "/mutualTlsAuthentication/truststoreUri", "value": "s3://x" },
        ] });
        patch(&mut domain, &operations).unwrap();
        assert_eq!(domain["endpointConfiguration"]["types"], json!(["REGIONAL"]));
        assert_eq!(domain["mutualTlsAuthentication"]["truststoreUri"], "s3://x");
    }

    #[test]
    fn a_patch_that_is_not_understood_is_refused() {
        let operations = json!({ "patchOperations": [{ "op": "move", "path": "/stage" }] });
        assert!(patch(&mut json!({}), &operations).is_err());
    }
}
