//! What the kinds of AWS find in their context: the clients of its scope, and the index of tags of its region.

use std::future::Future;
use std::sync::Arc;

use aws_sdk_resourcegroupstagging::types::TagFilter;

use futures::future::BoxFuture;

use super::{Context, Index, Provider};
use crate::address::Scope;
use crate::aws::clients::RecordChanges;
use crate::aws::error::Result;
use crate::aws::{Aws, Clients, Error, Pages, Tags, tags};

/// How many objects one page of the index holds.
const PAGE: i32 = 100;

/// A context whose objects AWS has.
pub(super) trait OnAws {
    /// The clients of the scope.
    fn clients(&self) -> Arc<Clients>;

    /// The clients of another region, for the few objects that span regions.
    fn clients_in(&self, region: &str) -> Arc<Clients>;

    /// A client of RDS in this region for the one request that reaches into another region, which it is signed for as well.
    ///
    /// # Errors
    /// [`Error::Credentials`] when there is nothing to sign `operation` with.
    fn rds_reaching_into(
        &self,
        source: &str,
        operation: &str,
    ) -> impl Future<Output = Result<aws_sdk_rds::Client>> + Send;

    /// The changes to records of hosted zones that wait to be sent.
    fn record_changes(&self) -> &RecordChanges;

    /// The tags of an object, when the index of the tagging service confirms the recorded ones. `None` means that its own service has
    /// to be asked.
    ///
    /// # Errors
    /// AWS's refusal, or a lost answer; see [`Error`].
    fn confirmed_tags(&self, arn: &str) -> impl Future<Output = Result<Option<Tags>>> + Send;
}

impl OnAws for Context {
    fn clients(&self) -> Arc<Clients> {
        self.clients_in(self.region())
    }

    fn clients_in(&self, region: &str) -> Arc<Clients> {
        self.provider::<Aws>().region(region)
    }

    async fn rds_reaching_into(&self, source: &str, operation: &str) -> Result<aws_sdk_rds::Client> {
        self.provider::<Aws>().rds_reaching_into(source, self.region(), operation).await
    }

    fn record_changes(&self) -> &RecordChanges {
        self.provider::<Aws>().record_changes()
    }

    async fn confirmed_tags(&self, arn: &str) -> Result<Option<Tags>> {
        self.tags_by_index(arn).await
    }
}

/// The regions in whose indexes of tags AWS keeps objects that have no region.
const GLOBAL_INDEXES: [&str; 2] = ["us-east-1", "us-west-2"];

impl Provider for Aws {
    fn index_regions(&self, scope: &Scope) -> Vec<String> {
        match scope.is_global() {
            true => GLOBAL_INDEXES.map(str::to_owned).into(),
            false => vec![scope.to_string()],
        }
    }

    fn index<'a>(&'a self, region: &'a str, suffix: &'a str) -> BoxFuture<'a, Result<Index>> {
        Box::pin(async move { tagged(&self.region(region), suffix).await })
    }
}

/// Reads the index of a region: every object that says it belongs to the deployment. AWS keeps it up to minutes late, and without
/// IAM's roles.
///
/// # Errors
/// AWS's refusal, or a lost answer; see [`Error`].
async fn tagged(clients: &Clients, suffix: &str) -> Result<Index> {
    let ours = TagFilter::builder().key(tags::DEPLOYMENT).values(suffix).build();
    let mut found = Index::new();
    let mut pages = Pages::of("tag:GetResources");
    loop {
        let request = clients.tagging().get_resources().resources_per_page(PAGE).tag_filters(ours.clone());
        let page = request.set_pagination_token(pages.token()).send().await;
        let page = page.map_err(|error| Error::from_sdk("tag:GetResources", error))?;
        for resource in page.resource_tag_mapping_list() {
            let tags = resource.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
            let arn = resource.resource_arn().ok_or_else(|| Error::incomplete("tag:GetResources", "ResourceARN"))?;
            found.insert(arn.to_owned(), tags);
        }
        if !pages.turn(page.pagination_token)? {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::client::result::SdkError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::aws::Connection;
    use crate::aws::transport::Transport;
    use crate::aws::wait::Pace;
    use crate::resources::{KINDS, Retry, Surroundings};

    fn refused(code: &str, message: &str) -> SdkError<ErrorMetadata, HttpResponse> {
        let answer = HttpResponse::new(StatusCode::try_from(400).expect("a status"), SdkBody::empty());
        SdkError::service_error(ErrorMetadata::builder().code(code).message(message).build(), answer)
    }

    /// Calls an operation that is refused until some time has passed; how that ends, after how many tries.
    async fn insist(context: &Context, retry: &Retry, code: &str, until: Duration) -> (Result<()>, u32) {
        let (start, tries) = (Instant::now(), AtomicU32::new(0));
        let ended = context
            .call(retry.operation, || {
                tries.fetch_add(1, Ordering::Relaxed);
                let accepts = start.elapsed() >= until;
                async move { if accepts { Ok(()) } else { Err(refused(code, &format!("It says: {}.", retry.message))) } }
            })
            .await;
        (ended, tries.into_inner())
    }

    async fn surroundings() -> Surroundings {
        Surroundings {
            provider: Arc::new(Aws::connect(&Connection::default(), Transport::new()).await),
            suffix: "dev".to_owned(),
            account: "123456789012".to_owned(),
            stop: CancellationToken::new(),
            assets: Arc::default(),
        }
    }

    /// R17: each refusal in the table of any kind is met again until just before its deadline and not beyond, and then the error says
    /// for how long; a refusal that is not in the table is final.
    #[tokio::test]
    async fn every_passing_refusal_is_tried_again_until_its_deadline() {
        let surroundings = surroundings().await;
        tokio::time::pause();
        for kind in KINDS {
            let context = Context::new(surroundings.clone(), Scope::region("us-east-1"), kind.traits());
            for retry in kind.traits().retries {
                let deadline = retry.deadline;
                let just_before = deadline - Pace::TRIES.pause(deadline);
                let (ended, tries) = insist(&context, retry, retry.code, just_before).await;
                assert!(ended.is_ok() && tries > 1, "{retry:?}: {ended:?} after {tries} tries");

                let start = Instant::now();
                let (ended, _) = insist(&context, retry, retry.code, deadline + Duration::from_secs(1)).await;
                let told = ended.expect_err("it is refused until after the deadline").to_string();
                assert!(told.contains(retry.code) && told.contains("tried again for"), "{told}");
                assert!(start.elapsed() <= deadline, "{retry:?}");

                let (ended, tries) = insist(&context, retry, "SomethingElse", deadline).await;
                assert!(ended.is_err() && tries == 1, "{retry:?}: {ended:?} after {tries} tries");
            }
        }
    }
}
