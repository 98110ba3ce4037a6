//! A deployment cannot go while a stage uses it, nor a stage or an API while a base path of a domain name leads to it
//! (`apigw.stage.delete`).

use serde_json::Value;

use super::super::ask::list;
use super::Refused;
use crate::corrections::Call;
use crate::error::Error;

pub(super) async fn in_the_way(call: &Call<'_>) -> Result<Option<Refused>, Error> {
    let parts: Vec<&str> = call.original.uri.path().split('/').skip(2).collect();
    let api = parts.first().copied().unwrap_or_default();
    if call.name() == "DeleteDeployment" {
        let stages = list(call, "apigateway", &format!("/restapis/{api}/stages"), "item").await?;
        let is_active = stages.iter().any(|stage| stage["deploymentId"].as_str() == parts.get(2).copied());
        let message = "Active stages pointing to this deployment must be moved or deleted";
        return Ok(is_active.then(|| Refused::new("BadRequestException", message)));
    }
    let mut mappings = Vec::new();
    for domain in list(call, "apigateway", "/domainnames", "item").await? {
        let name = domain["domainName"].as_str().unwrap_or_default();
        mappings.extend(list(call, "apigateway", &format!("/domainnames/{name}/basepathmappings"), "item").await?);
    }
    Ok(mapped(&mappings, api, parts.get(2).copied()))
}

/// What AWS says when a base path leads to an API, or to one of its stages.
fn mapped(mappings: &[Value], api: &str, stage: Option<&str>) -> Option<Refused> {
    let leads_there = |mapping: &&Value| {
        mapping["restApiId"].as_str() == Some(api) && stage.is_none_or(|stage| mapping["stage"].as_str() == Some(stage))
    };
    mappings.iter().find(leads_there)?;
    let message = match stage {
        Some(stage) => format!("Stage {stage} is used by a base path mapping. Delete the mapping before the stage."),
        None => {
            "Please remove all base path mappings related to the API in your domains before deleting the API.".into()
        }
    };
    Some(Refused::new("BadRequestException", message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_base_path_holds_its_api_and_its_stage() {
        let mappings = [json!({ "basePath": "(none)", "restApiId": "abc", "stage": "prod" })];
        assert!(mapped(&mappings, "abc", Some("prod")).is_some());
        assert!(mapped(&mappings, "abc", None).is_some());
        assert_eq!(mapped(&mappings, "abc", Some("test")), None);
        assert_eq!(mapped(&mappings, "other", None), None);
    }
}
