//! `lambda_alias`: the name by which everybody calls a function, and the published version behind it.
//!
//! A function itself changes in several steps, settings before code; nobody may call it in between. So callers name the alias. When the
//! function has changed, the kind publishes a version of it, which is fixed for ever, lets that version answer one request, and only
//! then moves the alias, in one step. A version that fails is never switched to: callers keep the one before.
//!
//! The alias of the primary region names that of the standby region in [`AliasSpec::after`], and so waits for it: a version that fails
//! in the standby region never reaches the primary region. This is an ordinary reference, so it holds at the first creation, too.
//!
//! Versions are not objects of their own here: they come and go with what the alias serves. The version before is kept, for calls that are
//! under way and for a person who wants to go back. Older ones are deleted, because all versions together count against the space for
//! code, and so is one that was never switched to, and one that holds a role, a key or a network which the function has left.
//!
//! Facts: `lambda.version.publish` (an unchanged function gets no new version), `lambda.version.delete`, `lambda.alias`,
//! `lambda.create.consistency`, `lambda.pending.blocks`, `lambda.delete` (aliases and versions go with the function).
//! Replacement: `function`, `name`. Slow: a version in a network that no version was in before.

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{FunctionConfiguration, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::lambda_function::{self, FunctionSpec};
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{FunctionArn, FunctionName, Ref};

/// The kind.
#[derive(Debug)]
pub struct Alias;

/// The desired properties of an alias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AliasSpec {
    /// The function.
    pub function: Ref<FunctionName>,
    /// The name, unique in the function.
    pub name: String,
    /// What the version behind the alias is: the function as it shall be.
    pub content: FunctionSpec,
    /// The path of the `GET` request that a new version has to answer before the alias moves to it, as a load balancer would send it;
    /// none: that the version is active has to do.
    pub probe: Option<String>,
    /// The alias of the same function in the standby region, which moves first.
    pub after: Option<Ref<FunctionArn>>,
}

outputs! {
    /// What is known of an alias once it exists.
    pub struct AliasOutputs of Alias {
        /// The ARN of the function with the alias at its end: what callers name.
        arn: FunctionArn,
        /// The name.
        name: String,
    }
}

/// The description of every version that drctl publishes; others are never deleted.
const MARK: &str = "published by drctl";
const CONFLICT: &str = "ResourceConflictException";
const NOT_FOUND: &str = "ResourceNotFoundException";
const BUSY: &str = "in progress";
const PENDING: &str = "in the following state: Pending";

impl Kind for Alias {
    type Spec = AliasSpec;
    type Outputs = AliasOutputs;

    const UNHELD: bool = true;

    const TRAITS: Traits = Traits {
        name: "lambda_alias",
        taggable: false,
        data_bearing: false,
        // Whatever is in our function is ours.
        adoption: Adoption::ByName,
        immutable: &["function", "name"],
        locked_by: Some("function"),
        expected: Expected::seconds(10, 15, 1),
        permissions: Permissions {
            read: &["lambda:GetFunction", "lambda:ListTags"],
            change: &[
                "lambda:PublishVersion",
                "lambda:InvokeFunction",
                "lambda:CreateAlias",
                "lambda:UpdateAlias",
                "lambda:ListVersionsByFunction",
                "lambda:DeleteFunction",
                "lambda:DeleteAlias",
            ],
        },
        retries: &[
            Retry::seconds("lambda:PublishVersion", NOT_FOUND, "", 300),
            Retry::seconds("lambda:PublishVersion", CONFLICT, BUSY, 300),
            Retry::seconds("lambda:PublishVersion", CONFLICT, PENDING, 300),
            Retry::seconds("lambda:Invoke", CONFLICT, PENDING, 300),
            Retry::seconds("lambda:CreateAlias", NOT_FOUND, "", 300),
            Retry::seconds("lambda:CreateAlias", CONFLICT, BUSY, 300),
            Retry::seconds("lambda:UpdateAlias", NOT_FOUND, "", 60),
            Retry::seconds("lambda:UpdateAlias", CONFLICT, BUSY, 300),
            Retry::seconds("lambda:UpdateAlias", "PreconditionFailedException", "", 60),
            Retry::seconds("lambda:DeleteAlias", CONFLICT, BUSY, 300),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context.each(wanted, |wanted| observe(context, wanted)).await
    }

    async fn ensure(task: &Task<'_>, spec: &AliasSpec, object: Option<Object<Self>>) -> Result<AliasOutputs> {
        if let Some(object) = object.as_ref().filter(|object| object.spec.content == spec.content) {
            return Ok(object.outputs.clone());
        }
        let version = publish(task, spec).await?;
        if let Some(path) = spec.probe.as_ref().filter(|_| object.is_some()) {
            probe(task, spec, &version, path).await?;
        }
        let served =
            served(task, spec.function.known(), &spec.name).await?.map(|found| version_of(&found)).transpose()?;
        let outputs = point(task, spec, served.is_some(), &version).await?;
        if let Some(before) = served.filter(|before| *before != version) {
            clear(task, spec, &version, &before).await?;
        }
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &AliasSpec, _: &AliasOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("lambda:DeleteAlias", || {
                clients.lambda().delete_alias().function_name(spec.function.known()).name(&spec.name).send()
            })
            .await;
        match deleted {
            Err(error) if !error.is_gone() => Err(error),
            // Its versions go with the function.
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn observe(context: &Context, wanted: &Wanted<Alias>) -> Result<Option<Object<Alias>>> {
    let spec = &wanted.spec;
    let Some(function) = spec.function.get() else { return Ok(None) };
    let Some(found) = served(context, function, &spec.name).await? else { return Ok(None) };
    Ok(Some(Object {
        spec: AliasSpec { content: lambda_function::from_sdk(&found, &spec.content)?, ..spec.clone() },
        outputs: AliasOutputs { arn: arn(&found, &spec.name)?, name: spec.name.clone() },
        tags: Tags::new(),
    }))
}

/// The configuration of what an alias, or the version of this number, serves; `None` when there is no such thing.
async fn served(context: &Context, function: &FunctionName, qualifier: &str) -> Result<Option<FunctionConfiguration>> {
    Ok(lambda_function::read(context, function.as_str(), Some(qualifier))
        .await?
        .map(|(configuration, _)| configuration))
}

/// Publishes the function as it is and waits until the version can be called; returns its number.
async fn publish(task: &Task<'_>, spec: &AliasSpec) -> Result<String> {
    let clients = task.clients();
    let function = spec.function.known();
    let published = task
        .call("lambda:PublishVersion", || {
            // Lambda refuses when the code is another by now.
            let request = clients.lambda().publish_version().function_name(function).description(MARK);
            request.code_sha256(&spec.content.code_sha256).send()
        })
        .await?;
    let version = published.version().filter(|version| !version.is_empty());
    let version = version.ok_or_else(|| Error::incomplete("lambda:PublishVersion", "Version"))?.to_owned();
    if published.state() != Some(&State::Active) {
        task.wait("the version to be ready", Patience::minutes(15), || async {
            match served(task, function, &version).await? {
                Some(configuration) => lambda_function::state(&configuration),
                None => Ok(Look::Pending("not visible yet".to_owned())),
            }
        })
        .await?;
    }
    Ok(version)
}

/// Lets a version answer one request.
async fn probe(task: &Task<'_>, spec: &AliasSpec, version: &str, path: &str) -> Result<()> {
    let clients = task.clients();
    let payload = Blob::new(request(path).to_string());
    let answer = task
        .call("lambda:Invoke", || {
            let request = clients.lambda().invoke().function_name(spec.function.known()).qualifier(version);
            request.payload(payload.clone()).send()
        })
        .await?;
    let body = answer.payload().map(|payload| String::from_utf8_lossy(payload.as_ref())).unwrap_or_default();
    judge(answer.function_error(), &body).map_err(|what| {
        Error::Failed(format!(
            "version {version} of the function {} does not answer `GET {path}` well: {what}; the alias `{}` was not moved to it, so that \
             callers keep the version before; put the function's code or settings right and run `up` again",
            spec.function.known(),
            spec.name,
        ))
    })
}

/// A request as a load balancer's health check sends it: functions answer these anyway, and do nothing else.
fn request(path: &str) -> Value {
    json!({
        "requestContext": { "elb": {} },
        "httpMethod": "GET",
        "path": path,
        "queryStringParameters": {},
        "headers": { "user-agent": "drctl" },
        "body": "",
        "isBase64Encoded": false,
    })
}

/// Why an answer is not a good one. Any status but a server's error shows that the function runs.
fn judge(error: Option<&str>, body: &str) -> std::result::Result<(), String> {
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    if let Some(error) = error {
        let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
        let (class, message) = (text("errorType"), text("errorMessage"));
        return Err(match (class.is_empty(), message.is_empty()) {
            (true, true) => format!("it failed ({error})"),
            (true, false) => message,
            (false, _) => format!("{class}: {message}"),
        });
    }
    match answer["statusCode"].as_u64() {
        Some(status) if status < 500 => Ok(()),
        Some(status) => {
            let body: String = answer["body"].as_str().unwrap_or_default().chars().take(200).collect();
            Err(format!("it answers {status} {body}").trim_end().to_owned())
        }
        None => Err("its answer has no status".to_owned()),
    }
}

/// Makes the alias, or moves it.
async fn point(task: &Task<'_>, spec: &AliasSpec, exists: bool, version: &str) -> Result<AliasOutputs> {
    let clients = task.clients();
    let function = spec.function.known();
    let mut arn = None;
    if !exists {
        let created = task
            .call("lambda:CreateAlias", || {
                let request = clients.lambda().create_alias().function_name(function).name(&spec.name);
                request.function_version(version).send()
            })
            .await;
        match created {
            Ok(created) => arn = created.alias_arn().map(FunctionArn::from),
            // The answer of an earlier try was lost.
            Err(error) if error.already_exists() => {}
            Err(error) => return Err(error),
        }
    }
    if arn.is_none() {
        let moved = task
            .call("lambda:UpdateAlias", || {
                let request = clients.lambda().update_alias().function_name(function).name(&spec.name);
                request.function_version(version).send()
            })
            .await?;
        arn = moved.alias_arn().map(FunctionArn::from);
    }
    let arn = arn.ok_or_else(|| Error::incomplete("lambda:CreateAlias", "AliasArn"))?;
    let outputs = AliasOutputs { arn, name: spec.name.clone() };
    task.identified(&outputs).await?;
    Ok(outputs)
}

/// Deletes the versions of drctl that nobody needs any more.
async fn clear(task: &Task<'_>, spec: &AliasSpec, current: &str, before: &str) -> Result<()> {
    let clients = task.clients();
    let function = spec.function.known();
    let versions = list::all(
        task,
        "lambda:ListVersionsByFunction",
        |token| clients.lambda().list_versions_by_function().function_name(function).set_marker(token).send(),
        |page| (page.versions.unwrap_or_default(), page.next_marker),
    )
    .await?;
    for version in versions.iter().filter(|version| version.description() == Some(MARK)) {
        let number = version_of(version)?;
        if number == current || (number == before && !holds_what_was_left(version, &spec.content)?) {
            continue;
        }
        let deleted = task
            .call("lambda:DeleteFunction", || {
                clients.lambda().delete_function().function_name(function).qualifier(&number).send()
            })
            .await;
        match deleted {
            // Somebody's own alias serves it.
            Err(error) if !error.is_gone() && !error.says(CONFLICT, "alias") => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a version keeps something from being deleted that the function no longer uses.
fn holds_what_was_left(version: &FunctionConfiguration, content: &FunctionSpec) -> Result<bool> {
    let held = |spec: &FunctionSpec| {
        (spec.role.clone(), spec.kms_key.clone(), spec.subnets.clone(), spec.security_groups.clone())
    };
    Ok(held(&lambda_function::from_sdk(version, content)?) != held(content))
}

fn version_of(configuration: &FunctionConfiguration) -> Result<String> {
    let version = configuration.version().filter(|version| !version.is_empty());
    version.map(str::to_owned).ok_or_else(|| Error::incomplete("lambda:GetFunction", "Version"))
}

/// The ARN of the alias, whichever form of the function's ARN the answer has: a version's, an alias's, or the plain one.
fn arn(configuration: &FunctionConfiguration, alias: &str) -> Result<FunctionArn> {
    let found = configuration.function_arn().filter(|arn| !arn.is_empty());
    let found = found.ok_or_else(|| Error::incomplete("lambda:GetFunction", "FunctionArn"))?;
    let function: Vec<&str> = found.splitn(8, ':').take(7).collect();
    Ok(format!("{}:{alias}", function.join(":")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_fails_says_why_and_any_status_but_a_servers_error_is_well() {
        let failed = r#"{"errorMessage": "Unable to import module 'index': No module named 'requests'",
                         "errorType": "Runtime.ImportModuleError"}"#;
        let why = judge(Some("Unhandled"), failed).expect_err("it failed");
        assert_eq!(why, "Runtime.ImportModuleError: Unable to import module 'index': No module named 'requests'");
        assert_eq!(judge(Some("Unhandled"), ""), Err("it failed (Unhandled)".to_owned()));
        assert_eq!(judge(None, r#"{"statusCode": 503, "body": "down"}"#), Err("it answers 503 down".to_owned()));
        assert_eq!(judge(None, "null"), Err("its answer has no status".to_owned()));
        for status in [200, 404, 405] {
            assert_eq!(judge(None, &format!(r#"{{"statusCode": {status}}}"#)), Ok(()));
        }
    }

    #[test]
    fn the_alias_is_at_the_end_of_the_functions_arn_whatever_was_there() {
        let function = "arn:aws:lambda:us-east-1:1:function:f";
        for found in [function.to_owned(), format!("{function}:7"), format!("{function}:live")] {
            let found = FunctionConfiguration::builder().function_arn(found).build();
            assert_eq!(arn(&found, "live").map(String::from).ok(), Some(format!("{function}:live")));
        }
        assert!(arn(&FunctionConfiguration::builder().build(), "live").is_err());
    }
}
