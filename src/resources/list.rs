//! Lists that AWS answers in pages, read to their end.
//!
//! The SDK's own paginators are not used: one whose token repeats ends there without a word, and the rest of the list is taken for not
//! being there ([`Pages`] says more). What is asked for again after a refusal is one page, not the list.

use std::future::Future;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::Context;
use crate::aws::Pages;
use crate::aws::error::{Result, told};

/// Reads all items of a list. `ask` sends the request for the page that a token names, and `open` takes an answer apart: its items, and
/// the token of the next page.
///
/// # Errors
/// AWS's refusal, a lost answer, or [`Endless`](crate::aws::Error::Endless) where the pages lead back to one that was read.
pub(super) async fn all<P, I, E, F, Fut>(
    context: &Context,
    operation: &'static str,
    ask: F,
    open: impl Fn(P) -> (I, Option<String>),
) -> Result<Vec<I::Item>>
where
    F: Fn(Option<String>) -> Fut,
    Fut: Future<Output = std::result::Result<P, SdkError<E, HttpResponse>>>,
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    I: IntoIterator,
{
    let (mut items, mut pages) = (Vec::new(), Pages::of(operation));
    loop {
        let (page, next) = open(context.call(operation, || ask(pages.token())).await?);
        items.extend(page);
        if !pages.turn(next)? {
            return Ok(items);
        }
    }
}

/// Makes sure that each item of a list tells what it is known by: one that does not would count as something else, or as gone.
///
/// # Errors
/// [`Incomplete`](crate::aws::Error::Incomplete) when one does not.
pub(super) fn each_tells<T>(items: &[T], key: fn(&T) -> Option<&str>, operation: &str, field: &str) -> Result<()> {
    items.iter().try_for_each(|item| told(key(item), operation, field).map(drop))
}

#[cfg(test)]
mod tests {
    use aws_sdk_apigateway::types::Stage;

    use super::*;

    #[test]
    fn an_item_that_does_not_tell_what_it_is_makes_the_list_an_error() {
        let check = |stages: &[Stage]| each_tells(stages, Stage::stage_name, "apigateway:GetStages", "stageName");
        let told = Stage::builder().stage_name("prod").build();
        assert!(check(std::slice::from_ref(&told)).is_ok());
        let error = check(&[told, Stage::builder().deployment_id("d1").build()]).unwrap_err().to_string();
        assert!(error.contains("apigateway:GetStages") && error.contains("stageName"), "{error}");
    }
}
