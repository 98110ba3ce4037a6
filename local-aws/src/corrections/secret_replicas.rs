//! `CreateSecret` ignores `AddReplicaRegions`, there is no `RemoveRegionsFromReplication`, and a secret with replicas
//! can be deleted. AWS replicates at once, takes regions back, and refuses that deletion.
//!
//! The emulator does replicate when told so by `ReplicateSecretToRegions`, which is called after the creation. A replica
//! is taken back by making it, with that call's overwriting, the replica of a stand-in in a region of no use, which is
//! then deleted with its replicas.

use async_trait::async_trait;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Request, Response};

/// Where stand-ins live; no region of AWS is called so.
const NOWHERE: &str = "local-aws-1";

/// See the module.
pub(super) struct SecretReplicas;

#[async_trait]
impl Correction for SecretReplicas {
    fn id(&self) -> &'static str {
        "secret-replicas"
    }

    fn operations(&self) -> &'static [&'static str] {
        &[
            "secretsmanager:CreateSecret",
            "secretsmanager:DeleteSecret",
            "secretsmanager:DescribeSecret",
            "secretsmanager:RemoveRegionsFromReplication",
            "secretsmanager:ReplicateSecretToRegions",
        ]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        let input = request.json();
        match call.name() {
            "DeleteSecret" => Ok(objection(&regions(&describe(call, &input).await?.json_body()))),
            "RemoveRegionsFromReplication" => remove(call, &input).await.map(Some),
            _ => Ok(None),
        }
    }

    async fn response(&self, call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        let input = call.original.json();
        if call.name() == "CreateSecret"
            && let Some(added) = input["AddReplicaRegions"].as_array().filter(|added| !added.is_empty())
        {
            let arn = response.json_body()["ARN"].clone();
            let overwrite = input["ForceOverwriteReplicaSecret"].as_bool().unwrap_or_default();
            let replicate =
                json!({ "SecretId": arn, "AddReplicaRegions": added, "ForceOverwriteReplicaSecret": overwrite });
            let answer = call.also(call.region(), "ReplicateSecretToRegions", &replicate).await?;
            let status = if answer.status.is_success() {
                answer.json_body()["ReplicationStatus"].clone()
            } else {
                failed(added, &answer.json_body())
            };
            response.change_json(|document| document["ReplicationStatus"] = status);
        }
        response.change_json(name_default_key);
        Ok(())
    }
}

/// What AWS says to the deletion of a secret with these replicas.
fn objection(replicas: &[String]) -> Option<Response> {
    let message = format!("You can't delete a secret that still has replica regions [{}].", replicas.join(", "));
    (!replicas.is_empty()).then(|| Response::json_refusal("InvalidParameterException", &message))
}

/// Replicas without a key of their own have the default key of Secrets Manager.
fn name_default_key(document: &mut Value) {
    let replicas = document.get_mut("ReplicationStatus").and_then(Value::as_array_mut);
    for replica in replicas.into_iter().flatten().filter_map(Value::as_object_mut) {
        replica.entry("KmsKeyId").or_insert_with(|| "alias/aws/secretsmanager".into());
    }
}

/// The status of replicas that could not be made; the secret itself exists.
fn failed(added: &[Value], refusal: &Value) -> Value {
    let message = ["message", "Message"].iter().find_map(|key| refusal[*key].as_str()).unwrap_or("Replication failed");
    let status = |replica: &Value| json!({ "Region": replica["Region"], "Status": "Failed", "StatusMessage": message });
    added.iter().map(status).collect()
}

async fn describe(call: &Call<'_>, input: &Value) -> Result<Response, Error> {
    call.also(call.region(), "DescribeSecret", &json!({ "SecretId": input["SecretId"] })).await
}

fn regions(secret: &Value) -> Vec<String> {
    let replicas = secret["ReplicationStatus"].as_array().map(Vec::as_slice).unwrap_or_default();
    replicas.iter().filter_map(|replica| replica["Region"].as_str().map(str::to_owned)).collect()
}

async fn remove(call: &Call<'_>, input: &Value) -> Result<Response, Error> {
    let secret = describe(call, input).await?;
    if !secret.status.is_success() {
        return Ok(secret);
    }
    let secret = secret.json_body();
    let present = regions(&secret);
    let gone: Vec<&str> =
        input["RemoveReplicaRegions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if let Some(unknown) = gone.iter().find(|region| !present.iter().any(|replica| replica == *region)) {
        let message = format!("The secret has no replica in the region {unknown}.");
        return Ok(Response::json_refusal("InvalidParameterException", &message));
    }
    let stand_in = json!({ "Name": secret["Name"], "SecretString": "replaced" });
    call.also(NOWHERE, "CreateSecret", &stand_in).await?;
    let overwritten: Vec<Value> = gone.iter().map(|region| json!({ "Region": region })).collect();
    let overwrite = json!({
        "SecretId": secret["Name"], "AddReplicaRegions": overwritten, "ForceOverwriteReplicaSecret": true,
    });
    call.also(NOWHERE, "ReplicateSecretToRegions", &overwrite).await?;
    let delete = json!({ "SecretId": secret["Name"], "ForceDeleteWithoutRecovery": true });
    call.also(NOWHERE, "DeleteSecret", &delete).await?;

    let mut left = describe(call, input).await?.json_body();
    name_default_key(&mut left);
    let replicas = left.get("ReplicationStatus").cloned().unwrap_or_else(|| json!([]));
    Ok(Response::json_document(StatusCode::OK, &json!({ "ARN": secret["ARN"], "ReplicationStatus": replicas })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_without_a_key_has_the_default_one() {
        let mut document = json!({ "ReplicationStatus": [{ "Region": "a" }, { "Region": "b", "KmsKeyId": "mine" }] });
        name_default_key(&mut document);
        assert_eq!(document["ReplicationStatus"][0]["KmsKeyId"], "alias/aws/secretsmanager");
        assert_eq!(document["ReplicationStatus"][1]["KmsKeyId"], "mine");
        assert_eq!(regions(&document), ["a", "b"]);
    }

    #[test]
    fn a_secret_with_replicas_cannot_be_deleted() {
        assert!(objection(&[]).is_none());
        let refusal = objection(&["us-east-2".to_owned()]).unwrap();
        assert!(refusal.json_body().to_string().contains("InvalidParameterException"), "{}", refusal.json_body());
    }

    #[test]
    fn a_secret_that_was_never_replicated_stays_as_it_is() {
        let mut document = json!({ "Name": "s" });
        name_default_key(&mut document);
        assert_eq!(document, json!({ "Name": "s" }));
    }
}
