//! `lambda_function`: a Lambda function from a zip file, in a VPC or not.
//!
//! Facts: `lambda.create.call`, `lambda.create.exists` and `lambda.update.busy` (one code for "taken" and "busy": the message tells),
//! `lambda.create.role-propagation`, `lambda.create.ec2-throttle`, `lambda.create.consistency` (missed at first), `lambda.wait.create`,
//! `lambda.pending.blocks`, `lambda.update.in-place` (configuration and code are two calls with a wait each), `lambda.read` (the list
//! has no tags, so each is read alone), `lambda.delete`, `lambda.delete.leftovers`, `x.throttle.others`.
//! Replacement: `name`. Slow: the first function on a subnet and group, and what comes after the deletion: the network interfaces
//! stay in the subnets for up to 45 minutes (`eni.lambda.duration`). Nothing waits for that here, because only subnets, groups and the role need
//! it, and the deletion waits for nobody who calls the function, so that it is the first of a `down`. Moving the function to other groups or out of the VPC first (`eni.lambda.shortcut`) is not done: it frees a group, but the subnets, which go
//! too, stay blocked just as long, and the release starts a minute later.

use std::collections::BTreeMap;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    Architecture, Environment, FunctionCode, FunctionConfiguration, LastUpdateStatus, LoggingConfig, Runtime, State,
    TracingConfig, TracingMode, VpcConfig,
};
use serde::{Deserialize, Serialize};

use super::existing;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Refusal, Tags};
use crate::outputs;
use crate::reference::{
    FunctionArn, FunctionName, KeyArn, LogGroupName, Ref, RoleArn, SecurityGroupId, SubnetId, Text,
};

/// The kind.
#[derive(Debug)]
pub struct Function;

/// The desired properties of a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionSpec {
    /// The name, unique in the region; at most 64 characters.
    pub name: String,
    /// The role it works as.
    pub role: Ref<RoleArn>,
    /// The runtime, `python3.13`.
    pub runtime: String,
    /// The entry point, `module.function`.
    pub handler: String,
    /// The processor, `arm64` or `x86_64`.
    pub architecture: String,
    /// The SHA-256 of the zip file in base64, as Lambda tells it.
    pub code_sha256: String,
    /// Megabytes of memory.
    pub memory_mb: i32,
    /// Seconds a call may take.
    pub timeout_seconds: i32,
    /// The environment variables.
    pub environment: BTreeMap<String, Text>,
    /// The key that encrypts the environment; none: Lambda's own.
    pub kms_key: Option<Ref<KeyArn>>,
    /// The subnets it has network interfaces in; none: it is in no VPC.
    pub subnets: Vec<Ref<SubnetId>>,
    /// The groups of these interfaces.
    pub security_groups: Vec<Ref<SecurityGroupId>>,
    /// Whether X-Ray traces its calls.
    pub tracing: bool,
    /// Where its log goes.
    pub log_group: Ref<LogGroupName>,
}

outputs! {
    /// What is known of a function once it exists.
    pub struct FunctionOutputs of Function {
        /// The name.
        name: FunctionName,
        /// The ARN, without a version.
        arn: FunctionArn,
    }
}

const READ: &str = "lambda:GetFunction";
const INVALID: &str = "InvalidParameterValueException";
const CONFLICT: &str = "ResourceConflictException";
const BUSY: &str = "in progress";
const PENDING: &str = "in the following state: Pending";
const CANNOT_ASSUME: &str = "cannot be assumed by Lambda";
const LACKS_PERMISSIONS: &str = "execution role does not have permissions";
const NO_GRANT: &str = "KMS key is invalid for CreateGrant";
const EC2_THROTTLED: &str = "throttled by EC2";

impl Kind for Function {
    type Spec = FunctionSpec;
    type Outputs = FunctionOutputs;

    const HOLDS: &'static [&'static str] = &["security_groups", "subnets"];

    const UNHELD: bool = true;

    const TRAITS: Traits = Traits {
        name: "lambda_function",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(90, 20, 5),
        permissions: Permissions {
            read: &["lambda:GetFunction", "lambda:ListTags"],
            change: &[
                "lambda:CreateFunction",
                "lambda:UpdateFunctionCode",
                "lambda:UpdateFunctionConfiguration",
                "lambda:TagResource",
                "lambda:UntagResource",
                "lambda:DeleteFunction",
                "iam:PassRole",
                "ec2:DescribeSubnets",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeVpcs",
                "kms:CreateGrant",
                "kms:Encrypt",
                "kms:Decrypt",
            ],
        },
        retries: &[
            Retry::seconds("lambda:CreateFunction", INVALID, CANNOT_ASSUME, 300),
            Retry::seconds("lambda:CreateFunction", INVALID, LACKS_PERMISSIONS, 300),
            Retry::seconds("lambda:CreateFunction", INVALID, NO_GRANT, 300),
            Retry::seconds("lambda:CreateFunction", INVALID, EC2_THROTTLED, 840),
            Retry::seconds("lambda:UpdateFunctionConfiguration", INVALID, CANNOT_ASSUME, 300),
            Retry::seconds("lambda:UpdateFunctionConfiguration", INVALID, LACKS_PERMISSIONS, 300),
            Retry::seconds("lambda:UpdateFunctionConfiguration", INVALID, NO_GRANT, 300),
            Retry::seconds("lambda:UpdateFunctionConfiguration", INVALID, EC2_THROTTLED, 840),
            Retry::seconds("lambda:UpdateFunctionConfiguration", CONFLICT, BUSY, 300),
            Retry::seconds("lambda:UpdateFunctionConfiguration", CONFLICT, PENDING, 300),
            Retry::seconds("lambda:UpdateFunctionCode", CONFLICT, BUSY, 300),
            Retry::seconds("lambda:UpdateFunctionCode", CONFLICT, PENDING, 300),
            Retry::seconds("lambda:DeleteFunction", CONFLICT, BUSY, 300),
            Retry::seconds("lambda:DeleteFunction", CONFLICT, PENDING, 300),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context.each(wanted, |wanted| observe(context, wanted)).await
    }

    async fn ensure(task: &Task<'_>, spec: &FunctionSpec, object: Option<Object<Self>>) -> Result<FunctionOutputs> {
        let object = match object {
            Some(object) => object,
            None => match create(task, spec).await? {
                Created::New(outputs) => return Ok(outputs),
                Created::Before(object) => *object,
            },
        };
        // A creation or an update that failed is mended by sending the configuration again.
        let broken = match settle(task, &spec.name).await {
            Err(Error::Failed(_)) => true,
            settled => settled.map(|()| false)?,
        };
        let actual = &object.spec;
        if broken || !same_configuration(actual, spec) {
            update_configuration(task, actual, spec).await?;
            settle(task, &spec.name).await?;
        }
        if (&actual.code_sha256, &actual.architecture) != (&spec.code_sha256, &spec.architecture) {
            update_code(task, spec).await?;
            settle(task, &spec.name).await?;
        }
        sync_tags(task, &object.outputs.arn, &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &FunctionSpec, _: &FunctionOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let name = &spec.name;
        match task.call("lambda:DeleteFunction", || clients.lambda().delete_function().function_name(name).send()).await
        {
            Err(error) if error.is_gone() => return Ok(Deletion::Gone),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        task.wait("the function to be gone", Patience::minutes(10), || async {
            Ok(match read(task, name, None).await? {
                Some(_) => Look::Pending("deleting".to_owned()),
                None => Look::Ready(()),
            })
        })
        .await?;
        Ok(Deletion::Gone)
    }
}

async fn observe(context: &Context, wanted: &Wanted<Function>) -> Result<Option<Object<Function>>> {
    let Some((configuration, tags)) = read(context, &wanted.spec.name, None).await? else { return Ok(None) };
    let arn = told(READ, "FunctionArn", configuration.function_arn())?;
    let outputs = FunctionOutputs { name: wanted.spec.name.as_str().into(), arn: arn.into() };
    Ok(Some(Object { spec: from_sdk(&configuration, &wanted.spec)?, outputs, tags }))
}

/// The configuration and the tags of a function, or of what one of its versions or aliases is; `None` when there is no such thing.
pub(super) async fn read(
    context: &Context,
    name: &str,
    qualifier: Option<&str>,
) -> Result<Option<(FunctionConfiguration, Tags)>> {
    let clients = context.clients();
    let read = context
        .call(READ, || {
            clients.lambda().get_function().function_name(name).set_qualifier(qualifier.map(str::to_owned)).send()
        })
        .await;
    match read {
        Ok(answer) => {
            // Lambda answers without the tags when the caller has no right to list them: they are not empty but unknown.
            if let Some(error) = answer.tags_error() {
                return Err(Refusal {
                    operation: "lambda:ListTags".to_owned(),
                    code: error.error_code().to_owned(),
                    message: error.message().to_owned(),
                    ..Refusal::default()
                }
                .into());
            }
            let configuration = answer.configuration.ok_or_else(|| Error::incomplete(READ, "Configuration"))?;
            Ok(Some((configuration, answer.tags.unwrap_or_default().into_iter().collect())))
        }
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A field that Lambda always sends.
fn told<'a>(operation: &str, field: &str, value: Option<&'a str>) -> Result<&'a str> {
    value.filter(|value| !value.is_empty()).ok_or_else(|| Error::incomplete(operation, field))
}

/// What became of a creation.
enum Created {
    /// The function is as desired.
    New(FunctionOutputs),
    /// An earlier try had made it.
    Before(Box<Object<Function>>),
}

async fn create(task: &Task<'_>, spec: &FunctionSpec) -> Result<Created> {
    let clients = task.clients();
    let zip = Blob::new(task.asset(&spec.code_sha256)?);
    let created = task
        .call("lambda:CreateFunction", || {
            clients
                .lambda()
                .create_function()
                .function_name(&spec.name)
                .role(spec.role.known())
                .runtime(Runtime::from(spec.runtime.as_str()))
                .handler(&spec.handler)
                .architectures(Architecture::from(spec.architecture.as_str()))
                .code(FunctionCode::builder().zip_file(zip.clone()).build())
                .memory_size(spec.memory_mb)
                .timeout(spec.timeout_seconds)
                .environment(environment(spec))
                .set_kms_key_arn(spec.kms_key.as_ref().map(|key| key.known().into()))
                .set_vpc_config((!spec.subnets.is_empty()).then(|| vpc(spec)))
                .tracing_config(tracing(spec))
                .logging_config(logging(spec))
                .set_tags(Some(task.tags.clone().into_iter().collect()))
                .send()
        })
        .await;
    let created = match created {
        Err(error) if error.already_exists() => {
            let found = existing::own(task, spec, &format!("the function {}", spec.name), error).await?;
            return Ok(Created::Before(Box::new(found)));
        }
        created => created?,
    };
    let arn = told("lambda:CreateFunction", "FunctionArn", created.function_arn())?.into();
    let outputs = FunctionOutputs { name: spec.name.as_str().into(), arn };
    task.identified(&outputs).await?;
    if created.state() != Some(&State::Active) {
        settle(task, &spec.name).await?;
    }
    Ok(Created::New(outputs))
}

/// Waits until a function is at rest and usable.
async fn settle(task: &Task<'_>, name: &str) -> Result<()> {
    task.wait("the function to be ready", Patience::minutes(15), || async {
        match read(task, name, None).await? {
            Some((configuration, _)) => state(&configuration),
            None => Ok(Look::Pending("not visible yet".to_owned())),
        }
    })
    .await
}

/// Whether a function, or a version of it, can be used.
pub(super) fn state(configuration: &FunctionConfiguration) -> Result<Look<()>> {
    let name = configuration.function_name().unwrap_or_default();
    let state = configuration.state().ok_or_else(|| Error::incomplete(READ, "State"))?;
    match (state, configuration.last_update_status()) {
        (State::Failed, _) => Err(Error::Failed(format!(
            "the function {name} failed: {} ({})",
            configuration.state_reason().unwrap_or("no reason given"),
            configuration.state_reason_code().map_or("no code", |code| code.as_str()),
        ))),
        (_, Some(LastUpdateStatus::Failed)) => Err(Error::Failed(format!(
            "the last update of the function {name} failed: {} ({})",
            configuration.last_update_status_reason().unwrap_or("no reason given"),
            configuration.last_update_status_reason_code().map_or("no code", |code| code.as_str()),
        ))),
        (_, Some(LastUpdateStatus::InProgress)) => Ok(Look::Pending("update in progress".to_owned())),
        // Lambda takes up calls and changes of a function that it put to rest.
        (State::Active | State::Inactive, _) => Ok(Look::Ready(())),
        (state, _) => {
            Ok(Look::Pending(configuration.state_reason_code().map_or(state.as_str(), |code| code.as_str()).to_owned()))
        }
    }
}

fn same_configuration(actual: &FunctionSpec, spec: &FunctionSpec) -> bool {
    let code =
        |spec: &FunctionSpec| FunctionSpec { code_sha256: String::new(), architecture: String::new(), ..spec.clone() };
    code(actual) == code(spec)
}

async fn update_configuration(task: &Task<'_>, actual: &FunctionSpec, spec: &FunctionSpec) -> Result<()> {
    let clients = task.clients();
    // An empty text goes back to Lambda's own key, and empty lists leave the VPC; both are sent only when that is meant.
    let key = match (&actual.kms_key, &spec.kms_key) {
        (_, Some(key)) => Some(key.known().into()),
        (Some(_), None) => Some(String::new()),
        (None, None) => None,
    };
    let vpc = (!spec.subnets.is_empty() || !actual.subnets.is_empty()).then(|| vpc(spec));
    task.call("lambda:UpdateFunctionConfiguration", || {
        clients
            .lambda()
            .update_function_configuration()
            .function_name(&spec.name)
            .role(spec.role.known())
            .runtime(Runtime::from(spec.runtime.as_str()))
            .handler(&spec.handler)
            .memory_size(spec.memory_mb)
            .timeout(spec.timeout_seconds)
            .environment(environment(spec))
            .set_kms_key_arn(key.clone())
            .set_vpc_config(vpc.clone())
            .tracing_config(tracing(spec))
            .logging_config(logging(spec))
            .send()
    })
    .await?;
    Ok(())
}

async fn update_code(task: &Task<'_>, spec: &FunctionSpec) -> Result<()> {
    let clients = task.clients();
    let zip = Blob::new(task.asset(&spec.code_sha256)?);
    task.call("lambda:UpdateFunctionCode", || {
        let request = clients.lambda().update_function_code().function_name(&spec.name).zip_file(zip.clone());
        request.architectures(Architecture::from(spec.architecture.as_str())).send()
    })
    .await?;
    Ok(())
}

async fn sync_tags(task: &Task<'_>, arn: &FunctionArn, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        task.call("lambda:TagResource", || {
            clients
                .lambda()
                .tag_resource()
                .resource(arn)
                .set_tags(Some(changes.set.clone().into_iter().collect()))
                .send()
        })
        .await?;
    }
    if !changes.remove.is_empty() {
        let keys = &changes.remove;
        task.call("lambda:UntagResource", || {
            clients.lambda().untag_resource().resource(arn).set_tag_keys(Some(keys.clone())).send()
        })
        .await?;
    }
    Ok(())
}

fn environment(spec: &FunctionSpec) -> Environment {
    let variables = spec.environment.iter().map(|(name, value)| (name.clone(), value.known())).collect();
    Environment::builder().set_variables(Some(variables)).build()
}

fn vpc(spec: &FunctionSpec) -> VpcConfig {
    VpcConfig::builder()
        .set_subnet_ids(Some(spec.subnets.iter().map(|subnet| subnet.known().into()).collect()))
        .set_security_group_ids(Some(spec.security_groups.iter().map(|group| group.known().into()).collect()))
        .build()
}

fn tracing(spec: &FunctionSpec) -> TracingConfig {
    TracingConfig::builder().mode(if spec.tracing { TracingMode::Active } else { TracingMode::PassThrough }).build()
}

fn logging(spec: &FunctionSpec) -> LoggingConfig {
    LoggingConfig::builder().log_group(spec.log_group.known()).build()
}

/// A function, or a version of it, as a spec.
///
/// # Errors
/// [`Error::Incomplete`] when the answer lacks a field that Lambda always sends.
pub(super) fn from_sdk(configuration: &FunctionConfiguration, wanted: &FunctionSpec) -> Result<FunctionSpec> {
    let text = |field: &str, value: Option<&str>| told(READ, field, value).map(str::to_owned);
    let number = |field: &str, value: Option<i32>| value.ok_or_else(|| Error::incomplete(READ, field));
    let environment = configuration.environment();
    let vpc = configuration.vpc_config();
    let log_group = configuration.logging_config().and_then(|logging| logging.log_group());
    Ok(FunctionSpec {
        name: text("FunctionName", configuration.function_name())?,
        role: Ref::Known(told(READ, "Role", configuration.role())?.into()),
        runtime: text("Runtime", configuration.runtime().map(Runtime::as_str))?,
        handler: text("Handler", configuration.handler())?,
        architecture: text("Architectures", configuration.architectures().first().map(Architecture::as_str))?,
        code_sha256: text("CodeSha256", configuration.code_sha256())?,
        memory_mb: number("MemorySize", configuration.memory_size())?,
        timeout_seconds: number("Timeout", configuration.timeout())?,
        environment: match environment {
            // Who may not decrypt with the function's key is told an error instead of the variables: they are unknown
            // (`lambda.read.unknown`).
            Some(environment) if environment.error().is_some() => wanted.environment.clone(),
            environment => environment
                .and_then(|environment| environment.variables())
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), Text::from(value.as_str())))
                .collect(),
        },
        kms_key: configuration.kms_key_arn().filter(|key| !key.is_empty()).map(|key| Ref::Known(key.into())),
        subnets: in_order_of(&wanted.subnets, vpc.map(|vpc| vpc.subnet_ids()).unwrap_or_default()),
        security_groups: in_order_of(
            &wanted.security_groups,
            vpc.map(|vpc| vpc.security_group_ids()).unwrap_or_default(),
        ),
        tracing: configuration.tracing_config().and_then(|tracing| tracing.mode()) == Some(&TracingMode::Active),
        log_group: Ref::Known(told(READ, "LoggingConfig.LogGroup", log_group)?.into()),
    })
}

/// Ids of a set that AWS answers in an order of its own, in the order of the wanted ones; others come last.
fn in_order_of<T: PartialEq + Clone + for<'a> From<&'a str>>(wanted: &[Ref<T>], found: &[String]) -> Vec<Ref<T>> {
    let mut found: Vec<Ref<T>> = found.iter().map(|id| Ref::Known(T::from(id))).collect();
    found.sort_by_key(|id| wanted.iter().position(|wanted| wanted == id).unwrap_or(usize::MAX));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_lambda::types::{EnvironmentError, EnvironmentResponse, StateReasonCode};

    /// Invariant 6 of kinds: the order of subnets means nothing.
    #[test]
    fn the_order_of_a_set_is_no_difference() {
        let wanted: Vec<Ref<SubnetId>> = vec![Ref::Known("subnet-c".into()), Ref::Known("subnet-a".into())];
        assert_eq!(in_order_of(&wanted, &["subnet-a".into(), "subnet-c".into()]), wanted);
        let more = in_order_of(&wanted, &["subnet-a".into(), "subnet-b".into(), "subnet-c".into()]);
        assert_eq!(more[2], Ref::Known("subnet-b".into()));
    }

    #[test]
    fn a_failed_function_says_why() {
        let failed = FunctionConfiguration::builder()
            .function_name("f")
            .state(State::Failed)
            .state_reason("no address left")
            .state_reason_code(StateReasonCode::SubnetOutOfIpAddresses)
            .build();
        let error = state(&failed).unwrap_err().to_string();
        assert_eq!(error, "the function f failed: no address left (SubnetOutOfIPAddresses)");
        let updating = FunctionConfiguration::builder()
            .state(State::Active)
            .last_update_status(LastUpdateStatus::InProgress)
            .build();
        assert!(matches!(state(&updating), Ok(Look::Pending(_))));
    }

    fn configuration() -> aws_sdk_lambda::types::builders::FunctionConfigurationBuilder {
        FunctionConfiguration::builder()
            .function_name("f")
            .role("arn:role")
            .runtime(Runtime::from("python3.13"))
            .handler("index.handler")
            .architectures(Architecture::Arm64)
            .code_sha256("digest")
            .memory_size(512)
            .timeout(30)
            .logging_config(LoggingConfig::builder().log_group("/aws/lambda/f").build())
    }

    fn spec() -> FunctionSpec {
        FunctionSpec {
            name: "f".into(),
            role: Ref::Known("arn:role".into()),
            runtime: "python3.13".into(),
            handler: "index.handler".into(),
            architecture: "arm64".into(),
            code_sha256: "digest".into(),
            memory_mb: 512,
            timeout_seconds: 30,
            environment: BTreeMap::from([("TABLE_NAME".to_owned(), Text::from("payments"))]),
            kms_key: None,
            subnets: Vec::new(),
            security_groups: Vec::new(),
            tracing: false,
            log_group: Ref::Known("/aws/lambda/f".into()),
        }
    }

    /// `lambda.read.unknown`.
    #[test]
    fn variables_that_may_not_be_read_are_no_difference() {
        let error = EnvironmentError::builder().error_code("AccessDeniedException").message("no kms:Decrypt").build();
        let unreadable = EnvironmentResponse::builder().error(error).build();
        let found = from_sdk(&configuration().environment(unreadable).build(), &spec());
        assert_eq!(found.ok(), Some(spec()));
        // None at all is another matter.
        let found = from_sdk(&configuration().environment(EnvironmentResponse::builder().build()).build(), &spec());
        assert!(found.is_ok_and(|found| found.environment.is_empty()));
    }

    #[test]
    fn an_answer_without_what_lambda_always_sends_is_an_error_that_names_it() {
        for (field, configuration) in [
            ("Role", configuration().set_role(None)),
            ("CodeSha256", configuration().code_sha256("")),
            ("Timeout", configuration().set_timeout(None)),
            ("Architectures", configuration().set_architectures(None)),
            ("LoggingConfig.LogGroup", configuration().set_logging_config(None)),
        ] {
            let error = from_sdk(&configuration.build(), &spec()).expect_err(field).to_string();
            assert!(error.contains("lambda:GetFunction") && error.contains(field), "{error}");
        }
        assert!(state(&configuration().build()).is_err_and(|error| error.to_string().contains("State")));
        let unknown = configuration().state(State::from("Mending")).build();
        assert!(matches!(state(&unknown), Ok(Look::Pending(why)) if why == "Mending"));
    }

    /// `lambda.wait.create`.
    #[test]
    fn a_new_function_is_waited_for_until_it_is_active() {
        let creating =
            FunctionConfiguration::builder().state(State::Pending).state_reason_code(StateReasonCode::Creating).build();
        assert!(matches!(state(&creating), Ok(Look::Pending(why)) if why == "Creating"));
        let active = FunctionConfiguration::builder()
            .state(State::Active)
            .last_update_status(LastUpdateStatus::Successful)
            .build();
        assert!(matches!(state(&active), Ok(Look::Ready(()))));
    }

    /// `lambda.create.exists`: the message alone tells "taken" from "busy".
    #[test]
    fn a_taken_name_is_final_and_a_busy_function_is_met_again() {
        let refused = |message: &str| -> Error {
            Refusal { code: CONFLICT.into(), message: message.into(), ..Refusal::default() }.into()
        };
        let passes = |operation: &str, message: &str| {
            Function::TRAITS.retries.iter().any(|retry| retry.matches(operation, &refused(message)))
        };
        let taken = "Function already exist: f";
        assert!(refused(taken).already_exists());
        assert!(!passes("lambda:CreateFunction", taken));
        for busy in [
            "The operation cannot be performed at this time. An update is in progress for resource: f",
            "The operation cannot be performed at this time. The function is currently in the following state: Pending",
        ] {
            assert!(!refused(busy).already_exists(), "{busy}");
            for operation in ["lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration"] {
                assert!(passes(operation, busy), "{operation}: {busy}");
            }
        }
    }
}
