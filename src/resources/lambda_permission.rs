//! `lambda_permission`: one statement of the policy of a function or of its alias: who may call it, and for what.
//!
//! Each alias has a policy of its own, and the function's own policy does not count for calls by an alias (`lambda.perm.qualifier`).
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
    /// The alias by which it may be called; none: by the function's name alone.
    pub alias: Option<Ref<String>>,
    /// The id of the statement, unique in the policy.
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

const READ: &str = "lambda:GetPolicy";
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
        immutable: &["function", "alias", "statement_id", "principal", "source_arn"],
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
        let mut policies: Vec<Policy> = wanted.iter().filter_map(policy).collect();
        policies.sort_unstable();
        policies.dedup();
        let statements = context.each(&policies, |policy| statements(context, policy)).await?;
        let found: BTreeMap<&Policy, Vec<Value>> = policies.iter().zip(statements).collect();
        let object = |wanted: &Wanted<Self>| {
            let Some(policy) = policy(wanted) else { return Ok(None) };
            let id = wanted.spec.statement_id.as_str();
            let Some(statement) = found[&policy].iter().find(|statement| statement["Sid"] == id) else {
                return Ok(None);
            };
            let outputs = PermissionOutputs { function: policy.function.clone(), statement: id.into() };
            Ok(Some(Object { spec: from_statement(&policy, id, statement)?, outputs, tags: Tags::new() }))
        };
        wanted.iter().map(object).collect()
    }

    async fn ensure(task: &Task<'_>, spec: &PermissionSpec, object: Option<Object<Self>>) -> Result<PermissionOutputs> {
        if let Some(object) = object {
            return Ok(object.outputs);
        }
        let (policy, id) = (Policy::of(spec), spec.statement_id.as_str());
        let function = &policy.function;
        let clients = task.clients();
        let added = task
            .call("lambda:AddPermission", || {
                clients
                    .lambda()
                    .add_permission()
                    .function_name(function)
                    .set_qualifier(policy.alias.clone())
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
                let there = statements(task, &policy).await?;
                let there = there.iter().find(|statement| statement["Sid"] == id);
                if there.map(|statement| from_statement(&policy, id, statement)).transpose()?.as_ref() != Some(spec) {
                    return Err(Error::Taken(format!("the function {function} has another permission named {id}")));
                }
            }
            added => drop(added?),
        }
        let outputs = PermissionOutputs { function: function.clone(), statement: id.into() };
        task.identified(&outputs).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &PermissionSpec, outputs: &PermissionOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let id = outputs.statement.as_str();
        let policy = Policy {
            function: outputs.function.clone(),
            alias: spec.alias.as_ref().map(|alias| alias.known().clone()),
        };
        let removed = task
            .call("lambda:RemovePermission", || {
                let request = clients.lambda().remove_permission().function_name(&policy.function).statement_id(id);
                request.set_qualifier(policy.alias.clone()).send()
            })
            .await;
        match removed {
            Err(error) if error.is_gone() => return Ok(Deletion::Gone),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        // A statement of the same id can be added again only when this one is out of sight.
        task.wait("the permission to be gone", Patience::seconds(300, 5), || async {
            let left = statements(task, &policy).await?.iter().any(|statement| statement["Sid"] == id);
            Ok(if left { Look::Pending("still visible".to_owned()) } else { Look::Ready(()) })
        })
        .await?;
        Ok(Deletion::Gone)
    }
}

/// What a policy belongs to: a function, or one of its aliases.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Policy {
    function: FunctionName,
    alias: Option<String>,
}

impl Policy {
    /// The policy of a permission that is about to be made.
    fn of(spec: &PermissionSpec) -> Self {
        let alias = spec.alias.as_ref().map(|alias| alias.known().clone());
        Self { function: spec.function.known().clone(), alias }
    }
}

/// The policy that a permission is part of, when it is known.
fn policy(wanted: &Wanted<Permission>) -> Option<Policy> {
    let function = wanted.outputs.as_ref().map(|outputs| &outputs.function).or_else(|| wanted.spec.function.get())?;
    let alias = match &wanted.spec.alias {
        Some(alias) => Some(alias.get()?.clone()),
        None => None,
    };
    Some(Policy { function: function.clone(), alias })
}

/// The statements of a policy; none when there is no policy, no alias or no function.
async fn statements(context: &Context, policy: &Policy) -> Result<Vec<Value>> {
    let clients = context.clients();
    let answer = context
        .call(READ, || {
            let request = clients.lambda().get_policy().function_name(&policy.function);
            request.set_qualifier(policy.alias.clone()).send()
        })
        .await;
    statements_of(answer.map(|answer| answer.policy))
}

/// The statements of an answer: without any policy AWS answers as without the function (`lambda.perm.read`).
fn statements_of(policy: Result<Option<String>>) -> Result<Vec<Value>> {
    match policy {
        Ok(policy) => parse(&policy.ok_or_else(|| Error::incomplete(READ, "Policy"))?),
        Err(error) if error.is_gone() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The statements of a document. What cannot be read has statements all the same, so that it is no empty list but an error.
fn parse(policy: &str) -> Result<Vec<Value>> {
    match serde_json::from_str::<Value>(policy).map(|mut policy| policy["Statement"].take()) {
        Ok(Value::Array(statements)) => Ok(statements),
        Ok(statement @ Value::Object(_)) => Ok(vec![statement]),
        Ok(_) => Err(Error::incomplete(READ, "Policy.Statement")),
        Err(error) => Err(Error::Failed(format!("{READ} answers a policy that cannot be read: {error}"))),
    }
}

/// A statement as a spec. One that says something else than drctl's differs from every spec in the field concerned.
fn from_statement(policy: &Policy, id: &str, statement: &Value) -> Result<PermissionSpec> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut conditions = ["ArnLike", "ArnEquals", "StringEquals"].iter().filter_map(|kind| {
        let condition = statement["Condition"].get(kind)?.as_object()?;
        condition.iter().find(|(key, _)| key.eq_ignore_ascii_case("aws:SourceArn")).map(|(_, value)| text(value))
    });
    if statement["Principal"].is_null() {
        return Err(Error::incomplete(READ, "Policy.Statement.Principal"));
    }
    Ok(PermissionSpec {
        function: Ref::Known(policy.function.clone()),
        alias: policy.alias.clone().map(Ref::Known),
        statement_id: id.to_owned(),
        principal: text(&statement["Principal"]["Service"]),
        source_arn: Text::from(conditions.next_back().unwrap_or_default()),
    })
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
            "Resource":"arn:aws:lambda:us-east-1:1:function:f:live",
            "Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:execute-api:us-east-1:1:abc/*/POST/payment"}}}]}"#;
        let of = Policy { function: "f".into(), alias: Some("live".to_owned()) };
        let spec = PermissionSpec {
            function: Ref::Known("f".into()),
            alias: Some(Ref::Known("live".to_owned())),
            statement_id: "api".into(),
            principal: "apigateway.amazonaws.com".into(),
            source_arn: "arn:aws:execute-api:us-east-1:1:abc/*/POST/payment".into(),
        };
        let statements = parse(policy).expect("it is a policy");
        assert_eq!(from_statement(&of, "api", &statements[0]).ok(), Some(spec));
        for unreadable in ["", "{}", "<html>", r#"{"Statement":null}"#] {
            assert!(parse(unreadable).is_err(), "{unreadable}");
        }
    }

    /// `lambda.perm.read`.
    #[test]
    fn a_function_without_a_policy_has_no_statements_and_another_refusal_says_nothing_of_them() {
        let refused = |code: &str| statements_of(Err(Refusal { code: code.into(), ..Refusal::default() }.into()));
        assert!(refused("ResourceNotFoundException").is_ok_and(|statements| statements.is_empty()));
        assert!(refused("ServiceException").is_err());
    }
}
