//! What a table and its replica share: each has its own tags, point-in-time recovery and deletion protection, set through its
//! own region (`ddb.replica.not-propagated`). What is not there is told by two codes (`ddb.table.read`).

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::types::{
    ContinuousBackupsDescription, PointInTimeRecoverySpecification, PointInTimeRecoveryStatus, TableDescription,
    TableStatus, Tag,
};
use jiff::{SignedDuration, Timestamp};

use super::{Context, Deletion, OnAws, Retry, Task};
use crate::aws::error::Result;
pub(super) use crate::aws::error::told;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Clients, Error, Pages, Tags};

/// How long AWS keeps a table that was the source of a new replica (`ddb.delete.24h`).
const SOURCE_HOLD: SignedDuration = SignedDuration::from_hours(24);

/// How long tables and replicas may take, from the wait table of the facts.
pub(super) const PATIENCE: Patience = Patience::seconds(30 * 60, 5);

/// Changes to one table wait for each other (`ddb.table.one-change`, `ddb.replica.retry`).
pub(super) const UPDATE_BUSY: [Retry; 3] = [
    Retry::seconds("dynamodb:UpdateTable", "ResourceInUseException", "", 30 * 60),
    Retry::seconds("dynamodb:UpdateTable", "LimitExceededException", "simultaneously", 30 * 60),
    Retry::seconds("dynamodb:UpdateContinuousBackups", "ContinuousBackupsUnavailableException", "", 20 * 60),
];

/// One table in the region of the clients.
pub(super) async fn describe(context: &Context, clients: &Clients, name: &str) -> Result<Option<TableDescription>> {
    let answer =
        context.call("dynamodb:DescribeTable", || clients.dynamodb().describe_table().table_name(name).send()).await;
    match answer {
        Ok(answer) => told(answer.table, "dynamodb:DescribeTable", "Table").map(Some),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a table's status says to one who waits for it to be usable.
pub(super) fn usable(table: Option<&TableDescription>) -> Result<Look<()>> {
    match table.and_then(|table| table.table_status()) {
        Some(TableStatus::Active) => Ok(Look::Ready(())),
        Some(
            status @ (TableStatus::InaccessibleEncryptionCredentials | TableStatus::Archiving | TableStatus::Archived),
        ) => Err(Error::Failed(format!(
            "the table is {status} and does not become active by itself; see whether its key is enabled, then run this again"
        ))),
        status => Ok(Look::Pending(status.map_or("not visible yet", TableStatus::as_str).to_owned())),
    }
}

/// What has to be seen twice in a row, because AWS may say so once and take it back.
#[derive(Debug, Default)]
pub(super) struct Twice(AtomicBool);

impl Twice {
    /// The look, which is ready only when the one before it was ready too.
    pub(super) fn confirm(&self, look: Look<()>) -> Look<()> {
        let is_ready = matches!(look, Look::Ready(()));
        let was_ready = self.0.swap(is_ready, Ordering::Relaxed);
        if is_ready && !was_ready { Look::Pending("ready, seen once".to_owned()) } else { look }
    }
}

/// Waits until the table is active (`ddb.table.wait`).
pub(super) async fn active(task: &Task<'_>, clients: &Clients, name: &str) -> Result<()> {
    let active = Twice::default();
    task.wait("the table to be active", PATIENCE, || async {
        Ok(active.confirm(usable(describe(task, clients, name).await?.as_ref())?))
    })
    .await
}

/// The days a table can be restored to, in this region; `None` when it cannot.
pub(super) async fn recovery_days(context: &Context, name: &str) -> Result<Option<i32>> {
    let clients = context.clients();
    let answer = context
        .call("dynamodb:DescribeContinuousBackups", || {
            clients.dynamodb().describe_continuous_backups().table_name(name).send()
        })
        .await;
    let answer = match answer {
        Err(error) if error.is_gone() => return Ok(None),
        answer => answer?,
    };
    told_days(answer.continuous_backups_description())
}

/// The days AWS keeps when nobody says how many.
const DEFAULT_RECOVERY_DAYS: i32 = 35;

/// Sets the days a table can be restored to, in this region, and waits until AWS has done so: right after a change it can tell
/// the old state once more (`ddb.pitr.enable`).
pub(super) async fn set_recovery_days(task: &Task<'_>, name: &str, days: Option<i32>) -> Result<()> {
    let clients = task.clients();
    let specification = PointInTimeRecoverySpecification::builder()
        .point_in_time_recovery_enabled(days.is_some())
        .set_recovery_period_in_days(days)
        .build()
        .map_err(|error| Error::Failed(error.to_string()))?;
    task.call("dynamodb:UpdateContinuousBackups", || {
        let request = clients.dynamodb().update_continuous_backups().table_name(name);
        request.point_in_time_recovery_specification(specification.clone()).send()
    })
    .await?;
    let set = Twice::default();
    task.wait("point-in-time recovery to be set", Patience::seconds(20 * 60, 15), || async {
        let is_set = recovery_days(task, name).await? == days;
        Ok(set.confirm(if is_set { Look::Ready(()) } else { Look::Pending("being set".to_owned()) }))
    })
    .await
}

/// The days a description of backups tells; `None` while the table cannot be restored.
fn told_days(backups: Option<&ContinuousBackupsDescription>) -> Result<Option<i32>> {
    let operation = "dynamodb:DescribeContinuousBackups";
    let backups = told(backups, operation, "ContinuousBackupsDescription")?;
    let recovery = backups.point_in_time_recovery_description();
    let recovery = told(recovery, operation, "PointInTimeRecoveryDescription")?;
    let is_on = recovery.point_in_time_recovery_status() == Some(&PointInTimeRecoveryStatus::Enabled);
    Ok(is_on.then(|| recovery.recovery_period_in_days().unwrap_or(DEFAULT_RECOVERY_DAYS)))
}

/// The tags of a table or replica, told by its own region.
pub(super) async fn list_tags(context: &Context, arn: &str) -> Result<Tags> {
    if let Some(tags) = context.confirmed_tags(arn).await? {
        return Ok(tags);
    }
    let clients = context.clients();
    let (mut tags, mut pages) = (Tags::new(), Pages::of("dynamodb:ListTagsOfResource"));
    loop {
        let answer = context
            .call("dynamodb:ListTagsOfResource", || {
                clients.dynamodb().list_tags_of_resource().resource_arn(arn).set_next_token(pages.token()).send()
            })
            .await?;
        tags.extend(answer.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)));
        if !pages.turn(answer.next_token)? {
            return Ok(tags);
        }
    }
}

/// Tags as DynamoDB takes them.
pub(super) fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).collect::<std::result::Result<_, _>>().expect("both fields are set")
}

/// Brings the tags of a table or replica up to date, through its own region.
pub(super) async fn sync_tags(task: &Task<'_>, arn: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set = sdk_tags(&changes.set);
        task.call("dynamodb:TagResource", || {
            clients.dynamodb().tag_resource().resource_arn(arn).set_tags(Some(set.clone())).send()
        })
        .await?;
    }
    if !changes.remove.is_empty() {
        let remove = changes.remove;
        task.call("dynamodb:UntagResource", || {
            clients.dynamodb().untag_resource().resource_arn(arn).set_tag_keys(Some(remove.clone())).send()
        })
        .await?;
    }
    Ok(())
}

/// What the refusal to delete a recent source of a replica becomes: a later `down` finishes it (R6).
///
/// AWS does not tell when the replica was made. It was made after the table, so a young table's age bounds the wait; for an
/// older one the bound is a day from now.
pub(super) fn deferred(error: &Error, created: Option<Timestamp>, now: Timestamp) -> Option<Deletion> {
    if !error.says("ValidationException", "acted as a source region") {
        return None;
    }
    let until = created.map(|created| created + SOURCE_HOLD).filter(|until| *until > now).unwrap_or(now + SOURCE_HOLD);
    let reason = "DynamoDB keeps a table for 24 hours after it was the source of a new replica".to_owned();
    Some(Deletion::Deferred { until, reason })
}

/// What the refusal to delete a protected table or replica becomes: drctl protects none, so it is a person's decision, and theirs to
/// take back (`ddb.delete.order`).
pub(super) fn explain_protection(error: Error, name: &str, region: &str) -> Error {
    if !error.says("ValidationException", "protected against deletion") {
        return error;
    }
    Error::Blocked(format!(
        "the table {name} in {region} is protected against deletion, which somebody switched on; switch it off, then run `down` \
         again: aws dynamodb update-table --region {region} --table-name {name} --no-deletion-protection-enabled"
    ))
}

/// When a table was made.
pub(super) fn created(table: &TableDescription) -> Option<Timestamp> {
    Timestamp::from_second(table.creation_date_time()?.secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;

    #[test]
    fn the_24_hour_refusal_becomes_a_time_and_nothing_else_does() {
        let refused = |message: &str| -> Error {
            let (code, message) = ("ValidationException".to_owned(), message.to_owned());
            Refusal { code, message, status: 400, ..Refusal::default() }.into()
        };
        let hold = refused(
            "Replica cannot be deleted because it has acted as a source region for new replica(s) being added to the table \
             in the last 24 hours.",
        );
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        let until = |created: Option<&str>| match deferred(&hold, created.map(|text| text.parse().unwrap()), now) {
            Some(Deletion::Deferred { until, .. }) => until.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(until(Some("2026-01-02T10:00:00Z")), "2026-01-03T10:00:00Z");
        assert_eq!(until(Some("2025-06-01T00:00:00Z")), "2026-01-03T12:00:00Z");
        assert_eq!(until(None), "2026-01-03T12:00:00Z");
        assert_eq!(deferred(&refused("One or more parameter values were invalid"), None, now), None);
    }

    /// What AWS always sends and does not send this time says nothing of the table.
    #[test]
    fn an_answer_that_lacks_a_field_is_an_error() {
        for backups in [
            None,
            Some(&ContinuousBackupsDescription::builder().continuous_backups_status("ENABLED".into()).build().unwrap()),
        ] {
            let told = told_days(backups).unwrap_err().to_string();
            assert!(told.contains("dynamodb:DescribeContinuousBackups"), "{told}");
        }
    }

    /// `ddb.table.wait`.
    #[test]
    fn a_table_is_waited_for_until_it_is_active_and_one_that_never_will_be_says_so() {
        let table = |status: &str| TableDescription::builder().table_status(TableStatus::from(status)).build();
        assert!(matches!(usable(None), Ok(Look::Pending(_))));
        assert!(matches!(usable(Some(&table("CREATING"))), Ok(Look::Pending(state)) if state == "CREATING"));
        assert!(matches!(usable(Some(&table("ACTIVE"))), Ok(Look::Ready(()))));
        for status in ["INACCESSIBLE_ENCRYPTION_CREDENTIALS", "ARCHIVING", "ARCHIVED"] {
            let told = usable(Some(&table(status))).unwrap_err().to_string();
            assert!(told.contains(status), "{told}");
        }
    }

    /// `ddb.table.wait`, `ddb.table.sse-wait`, `ddb.pitr.enable`.
    #[test]
    fn what_aws_says_once_does_not_count() {
        let (active, seen) = (Twice::default(), [true, false, true, true, true]);
        let ready = seen.map(|is_ready| {
            let look = if is_ready { Look::Ready(()) } else { Look::Pending("UPDATING".to_owned()) };
            matches!(active.confirm(look), Look::Ready(()))
        });
        assert_eq!(ready, [false, false, false, true, true]);
    }

    /// `ddb.delete.order`: drctl switches no protection off that somebody switched on, and says how.
    #[test]
    fn a_protected_table_is_named_with_what_to_do() {
        let refused = |message: &str| -> Error {
            let (code, message) = ("ValidationException".to_owned(), message.to_owned());
            Refusal { code, message, status: 400, ..Refusal::default() }.into()
        };
        let aws = "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.";
        let told = explain_protection(refused(aws), "dr-payments-dev", "us-east-1").to_string();
        for part in ["the table dr-payments-dev in us-east-1", "--no-deletion-protection-enabled", "`down`"] {
            assert!(told.contains(part), "{told}");
        }
        let other = explain_protection(refused("One or more parameter values were invalid"), "t", "us-east-1");
        assert!(other.is(&["ValidationException"]));
    }
}
