//! `logs_log_group`: a log group of CloudWatch Logs.
//!
//! Facts: `logs.create` (retention is a call of its own), `logs.create.exists` (Lambda makes its own group when it writes first: taken
//! over), `logs.create.kms`, `logs.read` (a prefix search; ARNs may end in `:*`), `logs.update`, `logs.delete`,
//! `logs.delete.resurrection` and `order.logs-last` (late writers make it again, so they go first, and its key after it),
//! `logs.limits.tps`. Replacement: `name`. Slow: nothing.

use std::collections::BTreeMap;

use aws_sdk_cloudwatchlogs::types::LogGroup as Group;
use serde::{Deserialize, Serialize};

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{KeyArn, LogGroupArn, LogGroupName, Ref, Text};

/// The kind.
#[derive(Debug)]
pub struct LogGroup;

/// The desired properties of a log group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogGroupSpec {
    /// Its name.
    pub name: Text,
    /// How many days it keeps what is written to it; for ever when there is no number.
    pub retention_days: Option<u32>,
    /// The key that encrypts it; its policy must let `logs.<region>.amazonaws.com` use it.
    pub key: Option<Ref<KeyArn>>,
}

outputs! {
    /// What is known of a log group once it exists.
    pub struct LogGroupOutputs of LogGroup {
        /// The name.
        name: LogGroupName,
        /// The ARN, without `:*`.
        arn: LogGroupArn,
    }
}

const BUSY: &str = "OperationAbortedException";
const KEY_LAG: &str = "KMS key does not exist or is not allowed to be used";

impl Kind for LogGroup {
    type Spec = LogGroupSpec;
    type Outputs = LogGroupOutputs;

    const RETURNS: bool = true;

    const TRAITS: Traits = Traits {
        name: "logs_log_group",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(3, 2, 2),
        permissions: Permissions {
            read: &["logs:DescribeLogGroups", "logs:ListTagsForResource", "tag:GetResources"],
            change: &[
                "logs:CreateLogGroup",
                "logs:PutRetentionPolicy",
                "logs:DeleteRetentionPolicy",
                "logs:AssociateKmsKey",
                "logs:DisassociateKmsKey",
                "logs:TagResource",
                "logs:UntagResource",
                "logs:DeleteLogGroup",
            ],
        },
        retries: &[
            Retry::seconds("logs:CreateLogGroup", BUSY, "", 60),
            Retry::seconds("logs:CreateLogGroup", "AccessDeniedException", KEY_LAG, 120),
            Retry::seconds("logs:CreateLogGroup", "InvalidParameterException", KEY_LAG, 120),
            Retry::seconds("logs:PutRetentionPolicy", BUSY, "", 60),
            Retry::seconds("logs:PutRetentionPolicy", "ResourceNotFoundException", "", 60),
            Retry::seconds("logs:DeleteRetentionPolicy", BUSY, "", 60),
            Retry::seconds("logs:AssociateKmsKey", BUSY, "", 60),
            Retry::seconds("logs:AssociateKmsKey", "AccessDeniedException", KEY_LAG, 120),
            Retry::seconds("logs:AssociateKmsKey", "InvalidParameterException", KEY_LAG, 120),
            Retry::seconds("logs:DisassociateKmsKey", BUSY, "", 60),
            Retry::seconds("logs:DeleteLogGroup", BUSY, "", 60),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let names: Vec<Option<String>> = wanted.iter().map(name).collect();
        let mut found = BTreeMap::new();
        for prefix in prefixes(names.iter().flatten()) {
            let groups = describe(context, &prefix).await?;
            found.extend(groups.into_iter().map(|group| (group.log_group_name.clone().unwrap_or_default(), group)));
        }
        context
            .each(&names, |name| {
                let group = name.as_ref().and_then(|name| found.get(name));
                async move {
                    let Some(group) = group else { return Ok(None) };
                    let mut object = object(group)?;
                    object.tags = list_tags(context, &object.outputs.arn).await?;
                    Ok(Some(object))
                }
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &LogGroupSpec, object: Option<Object<Self>>) -> Result<LogGroupOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        if object.spec.retention_days != spec.retention_days {
            retain(task, &object.outputs.name, spec.retention_days).await?;
        }
        if object.spec.key != spec.key {
            encrypt(task, &object.outputs.name, spec.key.as_ref()).await?;
        }
        sync_tags(task, &object.outputs.arn, &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &LogGroupSpec, outputs: &LogGroupOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let name = outputs.name.as_str();
        // Functions and flow logs write what they still have after they are deleted, and that makes the group again.
        task.wait("the log group to stay away", Patience::minutes(5), || async {
            match task
                .call("logs:DeleteLogGroup", || clients.logs().delete_log_group().log_group_name(name).send())
                .await
            {
                Err(error) if error.is_gone() => return Ok(Look::Ready(Deletion::Gone)),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
            Ok(match exact(task, name).await? {
                None => Look::Ready(Deletion::Gone),
                Some(_) => Look::Pending("made again by a late writer".to_owned()),
            })
        })
        .await
    }
}

fn name(wanted: &Wanted<LogGroup>) -> Option<String> {
    match &wanted.outputs {
        Some(outputs) => Some((&outputs.name).into()),
        None => wanted.spec.name.get(),
    }
}

/// The fewest searches that find all names without finding much else: one per folder, by what its names begin with.
fn prefixes<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut folders: BTreeMap<&str, &str> = BTreeMap::new();
    for name in names {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        folders.entry(folder).and_modify(|prefix| *prefix = common(prefix, name)).or_insert(name);
    }
    folders.into_values().map(str::to_owned).collect()
}

fn common<'a>(a: &'a str, b: &str) -> &'a str {
    let end =
        a.char_indices().zip(b.chars()).find(|((_, a), b)| a != b).map_or(a.len().min(b.len()), |((at, _), _)| at);
    &a[..end]
}

fn object(group: &Group) -> Result<Object<LogGroup>> {
    let missing = |field: &str| Error::incomplete("logs:DescribeLogGroups", field);
    let arn = group.log_group_arn().or(group.arn()).ok_or_else(|| missing("logGroupArn"))?;
    let name = group.log_group_name().ok_or_else(|| missing("logGroupName"))?;
    Ok(Object {
        spec: LogGroupSpec {
            name: name.into(),
            retention_days: group.retention_in_days().and_then(|days| days.try_into().ok()),
            key: group.kms_key_id().map(|key| Ref::Known(key.into())),
        },
        outputs: LogGroupOutputs { name: name.into(), arn: arn.strip_suffix(":*").unwrap_or(arn).into() },
        tags: Tags::new(),
    })
}

async fn describe(context: &Context, prefix: &str) -> Result<Vec<Group>> {
    let clients = context.clients();
    // A search refuses an empty prefix.
    let prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
    list::all(
        context,
        "logs:DescribeLogGroups",
        |token| {
            let request = clients.logs().describe_log_groups().set_log_group_name_prefix(prefix.clone());
            request.set_next_token(token).send()
        },
        |page| (page.log_groups.unwrap_or_default(), page.next_token),
    )
    .await
}

async fn exact(context: &Context, name: &str) -> Result<Option<Group>> {
    Ok(describe(context, name).await?.into_iter().find(|group| group.log_group_name() == Some(name)))
}

async fn list_tags(context: &Context, arn: &LogGroupArn) -> Result<Tags> {
    if let Some(tags) = context.confirmed_tags(arn.as_str()).await? {
        return Ok(tags);
    }
    let clients = context.clients();
    let answer = context
        .call("logs:ListTagsForResource", || clients.logs().list_tags_for_resource().resource_arn(arn).send())
        .await?;
    Ok(answer.tags.unwrap_or_default().into_iter().collect())
}

async fn create(task: &Task<'_>, spec: &LogGroupSpec) -> Result<Object<LogGroup>> {
    let clients = task.clients();
    let name = spec.name.known();
    let key: Option<String> = spec.key.as_ref().map(|key| key.known().into());
    let created = task
        .call("logs:CreateLogGroup", || {
            let request = clients.logs().create_log_group().log_group_name(&name).set_kms_key_id(key.clone());
            request.set_tags(Some(task.tags.clone().into_iter().collect())).send()
        })
        .await;
    match created {
        // Its writer was faster. Nobody else has a reason to use this name, so it is taken over and put right.
        Err(error) if error.already_exists() => {
            let Some(group) = exact(task, &name).await? else { return Err(error) };
            let mut object = object(&group)?;
            task.identified(&object.outputs).await?;
            object.tags = list_tags(task, &object.outputs.arn).await?;
            Ok(object)
        }
        Err(error) => Err(error),
        Ok(_) => {
            // The answer is empty; the ARN follows from the name.
            let arn = format!("arn:aws:logs:{}:{}:log-group:{name}", task.scope(), task.account());
            let outputs = LogGroupOutputs { name: name.into(), arn: arn.into() };
            task.identified(&outputs).await?;
            Ok(Object { spec: LogGroupSpec { retention_days: None, ..spec.clone() }, outputs, tags: task.tags.clone() })
        }
    }
}

async fn retain(task: &Task<'_>, name: &LogGroupName, days: Option<u32>) -> Result<()> {
    let clients = task.clients();
    match days {
        Some(days) => {
            let days = i32::try_from(days).map_err(|_| Error::Failed(format!("{days} days are too many")))?;
            let put = || clients.logs().put_retention_policy().log_group_name(name).retention_in_days(days).send();
            task.call("logs:PutRetentionPolicy", put).await.map(drop)
        }
        None => {
            let delete = || clients.logs().delete_retention_policy().log_group_name(name).send();
            task.call("logs:DeleteRetentionPolicy", delete).await.map(drop)
        }
    }
}

async fn encrypt(task: &Task<'_>, name: &LogGroupName, key: Option<&Ref<KeyArn>>) -> Result<()> {
    let clients = task.clients();
    match key {
        Some(key) => {
            let associate = || clients.logs().associate_kms_key().log_group_name(name).kms_key_id(key.known()).send();
            task.call("logs:AssociateKmsKey", associate).await.map(drop)
        }
        None => {
            let disassociate = || clients.logs().disassociate_kms_key().log_group_name(name).send();
            task.call("logs:DisassociateKmsKey", disassociate).await.map(drop)
        }
    }
}

async fn sync_tags(task: &Task<'_>, arn: &LogGroupArn, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set = || {
            clients.logs().tag_resource().resource_arn(arn).set_tags(Some(changes.set.clone().into_iter().collect()))
        };
        task.call("logs:TagResource", || set().send()).await?;
    }
    if !changes.remove.is_empty() {
        let remove = || clients.logs().untag_resource().resource_arn(arn).set_tag_keys(Some(changes.remove.clone()));
        task.call("logs:UntagResource", || remove().send()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;

    /// One search per folder, and every name begins with one of the prefixes.
    #[test]
    fn names_are_searched_by_what_they_have_in_common() {
        let names =
            ["/aws/lambda/dr-pay-dev", "dr-flow-dev", "/aws/lambda/dr-health-dev", "dr-api-dev"].map(str::to_owned);
        assert_eq!(prefixes(names.iter()), ["dr-", "/aws/lambda/dr-"]);
        assert_eq!(prefixes(names[..1].iter()), ["/aws/lambda/dr-pay-dev"]);
    }

    /// `logs.create.kms`: a policy that is not known everywhere yet is refused in the words of a missing one, with either code.
    #[test]
    fn a_key_that_is_not_allowed_yet_passes_by_itself() {
        let message = "The specified KMS key does not exist or is not allowed to be used with Arn 'arn:x'";
        for operation in ["logs:CreateLogGroup", "logs:AssociateKmsKey"] {
            for code in ["AccessDeniedException", "InvalidParameterException"] {
                let passes = |message: &str| {
                    let (code, message) = (code.to_owned(), message.to_owned());
                    let error: Error = Refusal { code, message, ..Refusal::default() }.into();
                    LogGroup::TRAITS.retries.iter().any(|retry| retry.matches(operation, &error))
                };
                assert!(passes(message), "{operation}: {code}");
                assert!(!passes("User is not authorized to perform it"), "{operation}: {code}");
            }
        }
    }

    /// `logs.create.exists`: nobody else has a reason to use the name, so it is taken over, and what it lacks is a difference.
    #[test]
    fn a_group_that_its_writer_made_is_taken_over_and_put_right() {
        assert_eq!(LogGroup::TRAITS.adoption, Adoption::ByName);
        let made =
            Group::builder().log_group_name("/aws/lambda/f").arn("arn:aws:logs:us-east-1:1:log-group:/aws/lambda/f:*");
        let actual = object(&made.build()).unwrap().spec;
        assert_eq!((actual.name.known().as_str(), actual.retention_days, actual.key), ("/aws/lambda/f", None, None));
    }

    #[test]
    fn an_arn_has_no_star() {
        let group = Group::builder().log_group_name("a").arn("arn:aws:logs:us-east-1:1:log-group:a:*").build();
        assert_eq!(object(&group).unwrap().outputs.arn.as_str(), "arn:aws:logs:us-east-1:1:log-group:a");
        let told = object(&Group::builder().log_group_name("a").build()).unwrap_err().to_string();
        assert!(told.contains("logs:DescribeLogGroups") && told.contains("logGroupArn"), "{told}");
    }
}
