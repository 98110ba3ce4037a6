//! Questions that any region can answer, asked where somebody answers.
//!
//! Who we are and where a bucket is can be asked in every region. While one is lost, the state and the credentials have to be of use
//! from another, so none of these questions may depend on a single region (`dr.state`).

use super::Error;

/// Where such questions are asked, in this order. Every account has both.
const REGIONS: [&str; 2] = ["us-east-1", "us-west-2"];

/// The answer of the first region that gives one. A refusal is an answer, and would be the same elsewhere; that a server failed is none.
///
/// # Errors
/// What the region that answered said, or that the last one did not answer either.
pub async fn first_that_answers<T, F>(ask: impl Fn(&'static str) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let [first, second] = REGIONS;
    match ask(first).await {
        Err(error) if error.is_unanswered() => ask(second).await,
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::aws::Refusal;

    /// Asks; the first region answers this, the second one its own name. Gives the answer and the regions that were asked.
    async fn asked(first: Result<&'static str, Error>) -> (Result<&'static str, Error>, Vec<&'static str>) {
        let asked = Mutex::new(Vec::new());
        let answer = first_that_answers(|region| {
            asked.lock().unwrap().push(region);
            let answer = if region == REGIONS[0] { first.clone() } else { Ok(region) };
            async move { answer }
        })
        .await;
        (answer, asked.into_inner().unwrap())
    }

    #[tokio::test]
    async fn only_silence_leads_on_to_the_next_region() {
        let (answer, regions) = asked(Ok("here")).await;
        assert_eq!((answer.unwrap(), regions), ("here", vec!["us-east-1"]));

        let silence = Error::NoAnswer { operation: "s3:HeadBucket".into(), cause: "connection refused".into() };
        let (answer, regions) = asked(Err(silence)).await;
        assert_eq!((answer.unwrap(), regions), ("us-west-2", vec!["us-east-1", "us-west-2"]));

        let refusal = Refusal { code: "AccessDenied".into(), status: 403, ..Refusal::default() };
        let (answer, regions) = asked(Err(refusal.into())).await;
        assert!(answer.unwrap_err().is_denied());
        assert_eq!(regions, ["us-east-1"]);
    }

    #[tokio::test]
    async fn a_region_whose_servers_fail_does_not_answer() {
        let failure = Refusal { code: "ServiceUnavailable".into(), status: 503, ..Refusal::default() };
        assert_eq!(asked(Err(failure.into())).await.0.unwrap(), "us-west-2");
    }

    #[tokio::test]
    async fn nobody_answers_where_all_are_silent() {
        let silence = |region| Error::NoAnswer { operation: "sts:GetCallerIdentity".into(), cause: region };
        let answer = first_that_answers(|region| {
            let silence = silence(region.to_owned());
            async move { Err::<(), _>(silence) }
        });
        assert!(matches!(answer.await, Err(Error::NoAnswer { cause, .. }) if cause == REGIONS[1]));
    }
}
