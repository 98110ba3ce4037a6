//! An e-mail address has to confirm its subscription by a link; until then lists have a word in place of its ARN (`sns.sub.email`),
//! and it cannot be deleted (`sns.sub.delete`). The emulator confirms for everybody.
//!
//! Here nobody confirms.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use axum::http::StatusCode;

use super::tree::Tree;
use super::{Outcome, Scenario};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;
use crate::refusal::refusal;

/// What a list says in place of an ARN.
const PENDING: &str = "PendingConfirmation";

/// See the module. Remembers the ARNs of the subscriptions that wait.
#[derive(Debug, Default)]
pub(super) struct UnconfirmedEmails(Mutex<HashSet<String>>);

impl UnconfirmedEmails {
    fn learn(&self, arn: Option<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(arn);
    }

    fn waits(&self, arn: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(arn)
    }
}

#[async_trait]
impl Scenario for UnconfirmedEmails {
    fn name(&self) -> &'static str {
        "unconfirmed-emails"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        let concerned = ["Subscribe", "Unsubscribe", "ListSubscriptions", "ListSubscriptionsByTopic"];
        operation.service == "sns" && concerned.contains(&operation.name.as_str())
    }

    async fn before(&self, call: &Call<'_>, _: &mut Request) -> Result<Option<Outcome>, Error> {
        let form = call.original.form();
        let arn = form.get("SubscriptionArn").unwrap_or_default();
        if call.name() != "Unsubscribe" || !self.waits(arn) {
            return Ok(None);
        }
        let message =
            "Invalid parameter: SubscriptionArn Reason: Cannot unsubscribe a subscription that is pending confirmation";
        Ok(Some(Outcome::Answer(refusal(call, StatusCode::BAD_REQUEST, "InvalidParameter", message))))
    }

    async fn after(&self, call: &Call<'_>, mut answer: Response) -> Result<Outcome, Error> {
        if let Some(mut tree) = Tree::of(&answer).filter(|_| answer.status.is_success()) {
            match call.name() {
                "Subscribe" if is_email(call.original.form().get("Protocol")) => {
                    self.learn(tree.text("SubscribeResult/SubscriptionArn"));
                }
                name @ ("ListSubscriptions" | "ListSubscriptionsByTopic") => {
                    tree.each(&format!("{name}Result/Subscriptions/member"), &mut |member| {
                        if is_email(member.text("Protocol").as_deref()) {
                            self.learn(member.text("SubscriptionArn"));
                            member.set("SubscriptionArn", PENDING);
                        }
                    });
                    tree.write(&mut answer);
                }
                _ => {}
            }
        }
        Ok(Outcome::Answer(answer))
    }
}

fn is_email(protocol: Option<&str>) -> bool {
    protocol.is_some_and(|protocol| protocol.starts_with("email"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;
    use crate::scenarios::tests::Caller;

    const LIST: &str = "<ListSubscriptionsByTopicResponse><ListSubscriptionsByTopicResult><Subscriptions>\
        <member><SubscriptionArn>arn:mail</SubscriptionArn><Protocol>email</Protocol></member>\
        <member><SubscriptionArn>arn:queue</SubscriptionArn><Protocol>sqs</Protocol></member>\
        </Subscriptions></ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>";

    fn caller(body: &str) -> Caller {
        Caller::new("sns", "POST", "/", &[("content-type", "application/x-www-form-urlencoded")], body)
    }

    #[tokio::test]
    async fn only_an_email_waits_and_what_waits_cannot_be_deleted() {
        let scenario = UnconfirmedEmails::default();
        let list = caller("Action=ListSubscriptionsByTopic&TopicArn=t");
        let answer = Response { status: StatusCode::OK, headers: HeaderMap::new(), body: LIST.into() };
        let Ok(Outcome::Answer(shown)) = scenario.after(&list.call(), answer).await else { panic!("it arrives") };
        let shown = String::from_utf8_lossy(&shown.body).into_owned();
        assert!(shown.contains("<SubscriptionArn>PendingConfirmation</SubscriptionArn>"), "{shown}");
        assert!(shown.contains("<SubscriptionArn>arn:queue</SubscriptionArn>"), "{shown}");

        for (arn, is_refused) in [("arn%3Amail", true), ("arn%3Aqueue", false)] {
            let call = caller(&format!("Action=Unsubscribe&SubscriptionArn={arn}"));
            let outcome = scenario.before(&call.call(), &mut call.request()).await.unwrap();
            assert_eq!(outcome.is_some(), is_refused, "{arn}");
        }
    }
}
