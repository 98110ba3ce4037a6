//! `lambda_permission`: one statement of a function's policy: who may call it, and for what.
//!
//! Facts: `lambda.perm.serialize` (two changes to one function at once lose statements), `lambda.perm.create`,
//! `lambda.create.consistency` (a new function is not found for minutes), `lambda.perm.read` (the policy of a function is one document;
//! it is read once for all its statements), `lambda.perm.update` (there is none), `lambda.perm.sources`, `lambda.perm.limit`.
//! Replacement: every field. Slow: nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted,
};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{FunctionName, Ref, StatementId, Text};

/// The kind.
#[derive(Debug)]
pub struct Permission;

/// The desired properties of a permission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PermissionSpec {
    /// The function that may be called.
    pub function: Ref<FunctionName>,
    /// The id of the statement, unique in the function's policy.
    pub statement_id: String,
    /// The service that may call, `apigateway.amazonaws.com`.
    pub principal: String,
    /// The ARN for which it may call; `*` stands for any text.
    pub source_arn: Text,
}

outputs! {
    /// What is known of a permission once it exists.
    pub struct PermissionOutputs of Permission {
        /// The function it is part of.
        function: FunctionName,
        /// The id of the statement.
        statement: StatementId,
    }
}

const ACTION: &str = "lambda:InvokeFunction";
const CONFLICT: &str = "ResourceConflictException";

impl Kind for Permission {
    type Spec = PermissionSpec;
    type Outputs = PermissionOutputs;

    const TRAITS: Traits = Traits {
        name: "lambda_permission",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["function", "statement_id", "principal", "source_arn"],
        locked_by: Some("function"),
        expected: Expected::seconds(1, 1, 1),
        permissions: Permissions {
            read: &["lambda:GetPolicy"],
            change: &["lambda:AddPermission", "lambda:RemovePermission"],
        },
        retries: &[
            Retry::seconds("lambda:AddPermission", "ResourceNotFoundException", "", 300),
            Retry::seconds("lambda:AddPermission", CONFLICT, "in progress", 300),
            Retry::seconds("lambda:AddPermission", "PreconditionFailedException", "", 60),
            Retry::seconds("lambda:RemovePermission", CONFLICT, "in progress", 300),
            Retry::seconds("lambda:RemovePermission", "PreconditionFailedException", "", 60),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::named("function"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let mut functions: Vec<FunctionName> = wanted.iter().filter_map(function).cloned().collect();
        functions.sort_unstable();
        functions.dedup();
        let policies = context.each(&functions, |function| statements(context, function)).await?;
        let policies: BTreeMap<FunctionName, Vec<Value>> = functions.into_iter().zip(policies).collect();
        let object = |wanted: &Wanted<Self>| {
            let function = function(wanted)?;
            let id = wanted.spec.statement_id.as_str();
            let statement = policies.get(function)?.iter().find(|statement| statement["Sid"] == id)?;
            let outputs = PermissionOutputs { function: function.clone(), statement: id.into() };
            Some(Object { spec: from_statement(function, id, statement), outputs, tags: Tags::new() })
        };
        Ok(wanted.iter().map(object).collect())
    }

    async fn ensure(task: &Task<'_>, spec: &PermissionSpec, object: Option<Object<Self>>) -> Result<PermissionOutputs> {
        if let Some(object) = object {
            return Ok(object.outputs);
        }
        let (function, id) = (spec.function.known(), spec.statement_id.as_str());
        let clients = task.clients();
        let added = task
            .call("lambda:AddPermission", || {
                clients
                    .lambda()
                    .add_permission()
                    .function_name(function)
                    .statement_id(id)
                    .action(ACTION)
                    .principal(&spec.principal)
                    .source_arn(spec.source_arn.known())
                    .send()
            })
            .await;
        match added {
            // The answer of an earlier try was lost, or the id is somebody else's.
            Err(error) if error.says(CONFLICT, "already exists") => {
                let there = statements(task, function).await?;
                let there = there.iter().find(|statement| statement["Sid"] == id);
                if there.map(|statement| from_statement(function, id, statement)).as_ref() != Some(spec) {
                    return Err(Error::Taken(format!("the function {function} has another permission named {id}")));
                }
            }
            added => drop(added?),
        }
        let outputs = PermissionOutputs { function: function.clone(), statement: id.into() };
        task.identified(&outputs).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, _: &PermissionSpec, outputs: &PermissionOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let (function, id) = (&outputs.function, outputs.statement.as_str());
        let removed = task
            .call("lambda:RemovePermission", || {
                clients.lambda().remove_permission().function_name(function).statement_id(id).send()
            })
            .await;
        match removed {
            Err(error) if error.is_gone() => return Ok(Deletion::Gone),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        // A statement of the same id can be added again only when this one is out of sight.
        task.wait("the permission to be gone", Patience::seconds(300, 5), || async {
            let left = statements(task, function).await?.iter().any(|statement| statement["Sid"] == id);
            Ok(if left { Look::Pending("still visible".to_owned()) } else { Look::Ready(()) })
        })
        .await?;
        Ok(Deletion::Gone)
    }
}

/// The function of a permission, when it is known.
fn function(wanted: &Wanted<Permission>) -> Option<&FunctionName> {
    wanted.outputs.as_ref().map(|outputs| &outputs.function).or_else(|| wanted.spec.function.get())
}

/// The statements of a function's policy; none when there is no policy or no function.
async fn statements(context: &Context, function: &FunctionName) -> Result<Vec<Value>> {
    let clients = context.clients();
    let answer =
        context.call("lambda:GetPolicy", || clients.lambda().get_policy().function_name(function).send()).await;
    statements_of(answer.map(|answer| answer.policy.unwrap_or_default()))
}

/// The statements of an answer: without any policy AWS answers as without the function (`lambda.perm.read`).
fn statements_of(policy: Result<String>) -> Result<Vec<Value>> {
    match policy {
        Ok(policy) => Ok(parse(&policy)),
        Err(error) if error.is_gone() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn parse(policy: &str) -> Vec<Value> {
    match serde_json::from_str::<Value>(policy).map(|mut policy| policy["Statement"].take()) {
        Ok(Value::Array(statements)) => statements,
        Ok(Value::Null) | Err(_) => Vec::new(),
        Ok(statement) => vec![statement],
    }
}

fn from_statement(function: &FunctionName, id: &str, statement: &Value) -> PermissionSpec {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut conditions = ["ArnLike", "ArnEquals", "StringEquals"].iter().filter_map(|kind| {
        let condition = statement["Condition"].get(kind)?.as_object()?;
        condition.iter().find(|(key, _)| key.eq_ignore_ascii_case("aws:SourceArn")).map(|(_, value)| text(value))
    });
    PermissionSpec {
        function: Ref::Known(function.clone()),
        statement_id: id.to_owned(),
        principal: text(&statement["Principal"]["Service"]),
        source_arn: Text::from(conditions.next_back().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;

    /// Invariant 6 of kinds, with a policy as Lambda writes it.
    #[test]
    fn a_statement_becomes_the_spec_that_made_it() {
        let policy = r#"{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"api","Effect":"Allow",
            "Principal":{"Service":"apigateway.amazonaws.com"},"Action":"lambda:InvokeFunction",
            "Resource":"arn:aws:lambda:us-east-1:1:function:f",
            "Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:execute-api:us-east-1:1:abc/*/POST/payment"}}}]}"#;
        let function = FunctionName::from("f");
        let spec = PermissionSpec {
            function: Ref::Known(function.clone()),
            statement_id: "api".into(),
            principal: "apigateway.amazonaws.com".into(),
            source_arn: "arn:aws:execute-api:us-east-1:1:abc/*/POST/payment".into(),
        };
        assert_eq!(from_statement(&function, "api", &parse(policy)[0]), spec);
        assert!(parse("").is_empty());
    }

    /// `lambda.perm.read`.
    #[test]
    fn a_function_without_a_policy_has_no_statements_and_another_refusal_says_nothing_of_them() {
        let refused = |code: &str| statements_of(Err(Refusal { code: code.into(), ..Refusal::default() }.into()));
        assert!(refused("ResourceNotFoundException").is_ok_and(|statements| statements.is_empty()));
        assert!(refused("ServiceException").is_err());
    }
}
