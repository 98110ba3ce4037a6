//! Whether the credentials may do what a run is about to do: every missing right is named before the first change
//! (`preflight.iam`).
//!
//! IAM evaluates the policies of a user or role without anything being called (`iam:SimulatePrincipalPolicy`). What is asked
//! are the statements of `permissions`: [`questions`] makes few questions of them, [`Answers`] judges. The simulation knows no
//! policies of sessions and of resources, and a policy that depends on something the question does not hold says so; hence it
//! can only refuse, never promise.
//!
//! Invariants:
//! 1. Only [`missing`] contacts AWS, with a handful of reading calls.
//! 2. Only a clear no counts: an action is missing when it is denied on every object that one of its statements names, and none
//!    of these answers depended on something unknown.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType};
use futures::{StreamExt, TryStreamExt};

use crate::aws::{Aws, Error, Pages};
use crate::permissions::{OPTIONAL, Statement};

/// How many actions are asked about at once.
const MOST_ACTIONS: usize = 100;

/// How many answers IAM puts on one page at most.
const MOST_ANSWERS: usize = 1000;

/// How many questions are asked at the same time.
const QUESTIONS_AT_ONCE: usize = 4;

/// Whose policies are evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The user with this ARN.
    User(String),
    /// A role, of which the session's ARN tells the name but not the path.
    Role {
        /// The partition and the account, as ARNs write them.
        home: (String, String),
        /// The name.
        name: String,
    },
}

impl Principal {
    /// The principal behind the ARN that STS gives; `None` for the root user and federated users, whom IAM does not evaluate.
    pub fn of(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let &[_, partition, service, _, account, object] = parts.as_slice() else { return None };
        match (service, object.split_once('/')?) {
            ("iam", ("user", _)) => Some(Self::User(arn.to_owned())),
            ("sts", ("assumed-role", role)) => {
                let name = role.split('/').next()?.to_owned();
                Some(Self::Role { home: (partition.to_owned(), account.to_owned()), name })
            }
            _ => None,
        }
    }

    async fn arn(&self, aws: &Aws) -> String {
        match self {
            Self::User(arn) => arn.clone(),
            Self::Role { home: (partition, account), name } => {
                let clients = aws.region("us-east-1");
                let answer = clients.iam().get_role().role_name(name).send().await;
                let found = answer.ok().and_then(|answer| Some(answer.role?.arn));
                // Most roles have no path; of one that has, IAM then knows nothing, and nothing is held against it.
                found.unwrap_or_else(|| format!("arn:{partition}:iam::{account}:role/{name}"))
            }
        }
    }
}

/// The place and the names that stand for the wildcards of statements.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// Names of the objects of a run, each with the service it belongs to, as actions name it.
    pub names: BTreeSet<(String, String)>,
}

impl Examples {
    /// An ARN that the pattern matches, as concrete as can be: policies may name objects more narrowly than drctl's own.
    fn of(&self, service: &str, pattern: &str) -> String {
        let mut parts: Vec<String> = pattern.splitn(6, ':').map(str::to_owned).collect();
        if let [_, _, _, region, account, object] = parts.as_mut_slice() {
            for (part, example) in [(region, &self.region), (account, &self.account)] {
                if part == "*" {
                    part.clone_from(example);
                }
            }
            let cut = object.rfind([':', '/']).map_or(0, |cut| cut + 1);
            let own = |(of, name): &&(String, String)| of == service && matches(&object[cut..], name);
            if let Some((_, name)) = self.names.iter().find(own).filter(|_| &object[cut..] != "*") {
                object.replace_range(cut.., name);
            }
        }
        parts.join(":")
    }
}

/// Matches as IAM does: `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]))
        }),
    }
}

/// What IAM is asked in one call: each action on each object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    actions: BTreeSet<&'static str>,
    objects: BTreeSet<String>,
    context: BTreeMap<&'static str, String>,
}

impl Question {
    fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.actions.extend(&other.actions);
        both.objects.extend(other.objects.iter().cloned());
        both.context.extend(other.context.iter().map(|(key, value)| (*key, value.clone())));
        both
    }

    fn is_small(&self) -> bool {
        self.actions.len() <= MOST_ACTIONS && self.actions.len() * self.objects.len() <= MOST_ANSWERS
    }
}

/// An action, and the objects on one of which at least it has to be allowed.
type Need = (&'static str, BTreeSet<String>);

/// The questions that settle whether the statements are allowed, and what the answers have to allow.
fn questions(statements: &[Statement], examples: &Examples) -> (Vec<Question>, Vec<Need>) {
    let (mut questions, mut needs) = (Vec::<Question>::new(), Vec::new());
    for statement in statements {
        let service = statement.actions.first().and_then(|action| action.split(':').next()).unwrap_or_default();
        let objects: BTreeSet<String> = statement.objects.iter().map(|one| examples.of(service, one)).collect();
        let context: BTreeMap<&str, String> =
            statement.conditions.iter().filter_map(|one| example(one, examples)).collect();
        needs.extend(statement.actions.iter().map(|action| (*action, objects.clone())));
        let actions: Vec<&'static str> = statement.actions.iter().copied().collect();
        for actions in actions.chunks(MOST_ACTIONS) {
            let actions = actions.iter().copied().collect();
            let question = Question { actions, objects: objects.clone(), context: context.clone() };
            let joined = questions.iter_mut().find_map(|other| {
                let both = other.with(&question);
                both.is_small().then_some((other, both))
            });
            match joined {
                Some((other, both)) => *other = both,
                None => questions.push(question),
            }
        }
    }
    (questions, needs)
}

/// A value with which a condition holds.
fn example(
    (operator, key, values): &(&'static str, &'static str, Vec<String>),
    examples: &Examples,
) -> Option<(&'static str, String)> {
    let value = values.first()?;
    // That a key must be there is what `Null` asks; any value will do.
    let value = if *operator == "Null" { "any" } else { value };
    Some((*key, value.replace('*', &examples.region)))
}

/// What IAM said about each action and object.
#[derive(Clone, Debug, Default)]
struct Answers(BTreeMap<(String, String), bool>);

impl Answers {
    fn take(&mut self, result: &EvaluationResult) {
        let action = result.eval_action_name();
        let mut note = |object: &str, decision: &PolicyEvaluationDecisionType, unknown: &[String]| {
            // What depends on a key that the question does not hold is no answer.
            let allowed = *decision == PolicyEvaluationDecisionType::Allowed || !unknown.is_empty();
            *self.0.entry((action.to_owned(), object.to_owned())).or_default() |= allowed;
        };
        note(result.eval_resource_name().unwrap_or("*"), result.eval_decision(), result.missing_context_values());
        for one in result.resource_specific_results() {
            note(one.eval_resource_name(), one.eval_resource_decision(), one.missing_context_values());
        }
    }

    /// The actions that are denied wherever they are needed.
    fn missing(&self, needs: &[Need]) -> BTreeSet<&'static str> {
        let is_denied =
            |action: &str, object: &String| self.0.get(&(action.to_owned(), object.clone())) == Some(&false);
        let missing = needs.iter().filter(|(action, objects)| objects.iter().all(|object| is_denied(action, object)));
        missing.map(|(action, _)| *action).collect()
    }
}

/// The actions of these statements that the principal lacks.
///
/// # Errors
/// When IAM does not say; then nothing is known.
pub async fn missing(
    aws: &Aws,
    principal: &Principal,
    statements: &[Statement],
    examples: &Examples,
) -> Result<BTreeSet<&'static str>, Error> {
    let (questions, needs) = questions(statements, examples);
    let arn = principal.arn(aws).await;
    let asked = questions.iter().map(|question| ask(aws, &arn, question));
    let results: Vec<Vec<EvaluationResult>> =
        futures::stream::iter(asked).buffer_unordered(QUESTIONS_AT_ONCE).try_collect().await?;
    let mut answers = Answers::default();
    results.iter().flatten().for_each(|result| answers.take(result));
    let missing = answers.missing(&needs).into_iter();
    Ok(missing.filter(|action| !OPTIONAL.contains(action)).collect())
}

async fn ask(aws: &Aws, principal: &str, question: &Question) -> Result<Vec<EvaluationResult>, Error> {
    let clients = aws.region("us-east-1");
    let context = question.context.iter().map(|(key, value)| {
        let entry = ContextEntry::builder().context_key_name(*key).context_key_values(value);
        entry.context_key_type(ContextKeyTypeEnum::String).build()
    });
    let call = clients.iam().simulate_principal_policy().policy_source_arn(principal);
    let call = call.set_action_names(Some(question.actions.iter().map(|action| (*action).to_owned()).collect()));
    let call = call.set_resource_arns(Some(question.objects.iter().cloned().collect()));
    let call =
        call.set_context_entries(Some(context.collect())).max_items(i32::try_from(MOST_ANSWERS).unwrap_or(i32::MAX));
    let operation = "iam:SimulatePrincipalPolicy";
    let (mut answers, mut pages) = (Vec::new(), Pages::of(operation));
    loop {
        let page = call.clone().set_marker(pages.token()).send().await;
        let page = page.map_err(|error| Error::from_sdk(operation, error))?;
        answers.extend(page.evaluation_results.unwrap_or_default());
        if !pages.turn(page.marker)? {
            return Ok(answers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permissions::statements;
    use aws_sdk_iam::types::builders::EvaluationResultBuilder;

    fn examples() -> Examples {
        let name = |service: &str, name: &str| (service.to_owned(), name.to_owned());
        Examples {
            account: "123456789012".into(),
            region: "us-east-1".into(),
            names: [name("iam", "dr-backup-dev"), name("lambda", "dr-health_check-us-east-1-dev")].into(),
        }
    }

    fn answer(action: &str, object: &str, decision: &str) -> EvaluationResultBuilder {
        let result = EvaluationResult::builder().eval_action_name(action).eval_resource_name(object);
        result.eval_decision(decision.into())
    }

    fn missing(actions: &[&'static str], answers: &[EvaluationResultBuilder]) -> Vec<&'static str> {
        let (_, needs) = questions(&statements(actions.iter().copied(), "dev"), &examples());
        let mut taken = Answers::default();
        answers.iter().for_each(|answer| taken.take(&answer.clone().build().unwrap()));
        taken.missing(&needs).into_iter().collect()
    }

    #[test]
    fn who_is_asked_about() {
        let user = "arn:aws:iam::123456789012:user/team/ann";
        assert_eq!(Principal::of(user), Some(Principal::User(user.to_owned())));
        let session = Principal::of("arn:aws:sts::123456789012:assumed-role/deployer/session");
        let home = ("aws".to_owned(), "123456789012".to_owned());
        assert_eq!(session, Some(Principal::Role { home, name: "deployer".to_owned() }));
        assert_eq!(Principal::of("arn:aws:iam::123456789012:root"), None);
        assert_eq!(Principal::of("arn:aws:sts::123456789012:federated-user/bob"), None);
    }

    #[test]
    fn examples_are_objects_of_the_run() {
        let examples = examples();
        assert_eq!(examples.of("iam", "arn:aws:iam::*:role/dr-*-dev"), "arn:aws:iam::123456789012:role/dr-backup-dev");
        let function = "arn:aws:lambda:us-east-1:123456789012:function:dr-health_check-us-east-1-dev";
        assert_eq!(examples.of("lambda", "arn:aws:lambda:*:*:function:dr-*-dev"), function);
        assert_eq!(examples.of("kms", "arn:aws:kms:*:*:key/mrk-*"), "arn:aws:kms:us-east-1:123456789012:key/mrk-*");
        assert_eq!(examples.of("ec2", "*"), "*");
    }

    /// Invariant 2.
    #[test]
    fn only_a_clear_no_counts() {
        let bucket = "arn:aws:s3:::dr-payment-data-*-dev";
        let objects = "arn:aws:s3:::dr-payment-data-*-dev/*";
        let asked = ["s3:DeleteObject"];
        let denied = |object| answer("s3:DeleteObject", object, "implicitDeny");
        assert_eq!(missing(&asked, &[denied(bucket), denied(objects)]), ["s3:DeleteObject"]);
        let allowed = answer("s3:DeleteObject", objects, "allowed");
        assert!(missing(&asked, &[denied(bucket), allowed]).is_empty());
        assert!(missing(&asked, &[denied(bucket)]).is_empty(), "an object without an answer");
        let depends = denied(objects).missing_context_values("aws:MultiFactorAuthPresent");
        assert!(missing(&asked, &[denied(bucket), depends]).is_empty());
    }

    /// Invariant 1.
    #[test]
    fn the_whole_deployment_takes_a_handful_of_questions() {
        let kinds = crate::resources::KINDS.iter().map(|kind| kind.traits().permissions);
        let actions = kinds.flat_map(|permissions| permissions.read.iter().chain(permissions.change).copied());
        let (questions, needs) = questions(&statements(actions, "dev"), &examples());
        assert!(questions.len() <= 8, "{} questions", questions.len());
        for (action, objects) in needs {
            let is_asked =
                |object| questions.iter().any(|one| one.actions.contains(action) && one.objects.contains(object));
            assert!(objects.iter().all(is_asked), "{action}");
        }
    }
}
