//! IAM simulates a policy on every object it is asked about, with the context it is given, and says what it would have had to
//! know besides. The emulator looks at the first object alone and at no context.
//!
//! What is evaluated are the user's or role's own policies and those attached to it: allowing and denying statements with
//! wildcards in actions and objects, and conditions on texts and on what is there. Not evaluated are groups, permissions
//! boundaries, other conditions (which never hold), and `NotAction`, `NotResource` (whose statements are skipped).

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;
use xmltree::{Element, EmitterConfig, XMLNode};

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Form, Request, Response, XmlExt, branch, leaf};

/// See the module.
pub(super) struct PolicySimulation;

#[async_trait]
impl Correction for PolicySimulation {
    fn id(&self) -> &'static str {
        "policy-simulation"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["iam:SimulatePrincipalPolicy"]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        let form = request.form();
        let principal = form.get("PolicySourceArn").unwrap_or_default();
        let Some((kind, name)) = principal.rsplit(':').next().and_then(|object| object.split_once('/')) else {
            return Ok(None);
        };
        let name = name.rsplit('/').next().unwrap_or(name);
        let policies = match kind {
            "user" => policies(call, "User", name).await?,
            "role" => policies(call, "Role", name).await?,
            _ => return Ok(None),
        };
        let mut objects = form.list("ResourceArns.member");
        if objects.is_empty() {
            objects.push("*");
        }
        let context = context(&form);
        let mut results = Vec::new();
        for action in form.list("ActionNames.member") {
            for object in &objects {
                results.push(result(action, object, &evaluate(&policies, action, object, &context)));
            }
        }
        Ok(Some(answer(results)))
    }
}

/// The policies of a user or role, as documents.
async fn policies(call: &Call<'_>, kind: &str, name: &str) -> Result<Vec<Value>, Error> {
    let owner = (format!("{kind}Name"), name.to_owned());
    let ask = async |action: String, parameters: Vec<(String, String)>| {
        let own = [("Action".to_owned(), action), ("Version".to_owned(), "2010-05-08".to_owned())];
        let mut request = call.original.clone();
        request.set_form(&Form(own.into_iter().chain(parameters).collect()));
        Ok::<_, Error>(call.emulator.send(&request).await?.xml())
    };
    let mut documents = Vec::new();
    let names = ask(format!("List{kind}Policies"), vec![owner.clone()]).await?;
    for policy in names.map(|mut names| texts(&mut names, "member")).unwrap_or_default() {
        let one = vec![owner.clone(), ("PolicyName".to_owned(), policy)];
        let answer = ask(format!("Get{kind}Policy"), one).await?;
        documents.extend(answer.map(|mut answer| texts(&mut answer, "PolicyDocument")).unwrap_or_default());
    }
    let attached = ask(format!("ListAttached{kind}Policies"), vec![owner]).await?;
    for arn in attached.map(|mut attached| texts(&mut attached, "PolicyArn")).unwrap_or_default() {
        let policy = ask("GetPolicy".to_owned(), vec![("PolicyArn".to_owned(), arn.clone())]).await?;
        let version = policy.and_then(|mut policy| texts(&mut policy, "DefaultVersionId").pop());
        let one = vec![("PolicyArn".to_owned(), arn), ("VersionId".to_owned(), version.unwrap_or_default())];
        let answer = ask("GetPolicyVersion".to_owned(), one).await?;
        documents.extend(answer.map(|mut answer| texts(&mut answer, "Document")).unwrap_or_default());
    }
    Ok(documents.iter().filter_map(|text| serde_json::from_str(&decoded(text)).ok()).collect())
}

fn texts(document: &mut Element, name: &str) -> Vec<String> {
    let mut texts = Vec::new();
    document.each(name, &mut |element| texts.extend(element.get_text().map(|text| text.trim().to_owned())));
    texts.retain(|text| !text.is_empty());
    texts
}

/// IAM writes documents in its answers as parts of addresses are written.
fn decoded(text: &str) -> String {
    let pairs = form_urlencoded::parse(text.as_bytes());
    match text.starts_with('%') {
        true => pairs.map(|(key, _)| key.into_owned()).next().unwrap_or_default(),
        false => text.to_owned(),
    }
}

type Context = BTreeMap<String, Vec<String>>;

fn context(form: &Form) -> Context {
    let entry = |index: usize| {
        let name = form.get(&format!("ContextEntries.member.{index}.ContextKeyName"))?;
        let values = form.list(&format!("ContextEntries.member.{index}.ContextKeyValues.member"));
        Some((name.to_lowercase(), values.into_iter().map(str::to_owned).collect()))
    };
    (1..).map_while(entry).collect()
}

/// What a simulation finds for one action on one object.
#[derive(Debug, PartialEq)]
struct Decision {
    word: &'static str,
    missing: BTreeSet<String>,
}

fn evaluate(policies: &[Value], action: &str, object: &str, context: &Context) -> Decision {
    let (mut word, mut missing) = ("implicitDeny", BTreeSet::new());
    for statement in policies.iter().flat_map(|policy| list(&policy["Statement"])) {
        let names = |field: &str, text: &str| {
            list(&statement[field]).into_iter().filter_map(Value::as_str).any(|pattern| matches(pattern, text))
        };
        let action_named = list(&statement["Action"])
            .into_iter()
            .filter_map(Value::as_str)
            .any(|pattern| matches(&pattern.to_lowercase(), &action.to_lowercase()));
        if !action_named || !names("Resource", object) || !holds(&statement["Condition"], context, &mut missing) {
            continue;
        }
        match statement["Effect"].as_str() {
            Some("Deny") => word = "explicitDeny",
            Some("Allow") if word != "explicitDeny" => word = "allowed",
            _ => {}
        }
    }
    Decision { word, missing }
}

/// A field that may be one value or a list of them.
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(all) => all.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn holds(conditions: &Value, context: &Context, missing: &mut BTreeSet<String>) -> bool {
    let operators = conditions.as_object().into_iter().flatten();
    let mut all = operators.flat_map(|(operator, keys)| {
        keys.as_object().into_iter().flatten().map(move |(key, values)| (operator, key, values))
    });
    all.all(|(operator, key, values)| {
        let found = context.get(&key.to_lowercase()).filter(|found| !found.is_empty());
        let wanted: Vec<String> = list(values).into_iter().map(text).collect();
        let (every, operator) = match operator.strip_prefix("ForAllValues:") {
            Some(operator) => (true, operator),
            None => (false, operator.trim_start_matches("ForAnyValue:")),
        };
        if operator == "Null" {
            return wanted.iter().all(|wanted| (wanted == "true") == found.is_none());
        }
        let Some(found) = found else {
            if !every && !operator.ends_with("IfExists") {
                missing.insert(key.clone());
            }
            return every || operator.ends_with("IfExists");
        };
        let equal = |found: &String| match operator.trim_end_matches("IfExists") {
            "StringEquals" | "Bool" => wanted.contains(found),
            "StringLike" | "ArnLike" | "ArnEquals" => wanted.iter().any(|pattern| matches(pattern, found)),
            "StringNotEquals" => !wanted.contains(found),
            "StringNotLike" | "ArnNotLike" => !wanted.iter().any(|pattern| matches(pattern, found)),
            _ => false,
        };
        if every { found.iter().all(equal) } else { found.iter().any(equal) }
    })
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Matches as IAM does: `*` stands for any text, `?` for any character.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    match pattern_rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern_rest.as_str();
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]))
        }
        Some(wanted) => {
            let mut text_rest = text.chars();
            text_rest.next().is_some_and(|found| wanted == '?' || wanted == found)
                && matches(pattern_rest.as_str(), text_rest.as_str())
        }
    }
}

fn result(action: &str, object: &str, decision: &Decision) -> XMLNode {
    let node = |name: &str, text: &str| XMLNode::Element(leaf(name, text));
    let missing = decision.missing.iter().map(|key| node("member", key));
    XMLNode::Element(branch(
        "member",
        [
            node("EvalActionName", action),
            node("EvalResourceName", object),
            node("EvalDecision", decision.word),
            XMLNode::Element(branch("MissingContextValues", missing)),
        ],
    ))
}

fn answer(results: Vec<XMLNode>) -> Response {
    let node = XMLNode::Element;
    let id = uuid::Uuid::new_v4().to_string();
    let end = node(leaf("IsTruncated", "false"));
    let result = branch("SimulatePrincipalPolicyResult", [node(branch("EvaluationResults", results)), end]);
    let metadata = branch("ResponseMetadata", [node(leaf("RequestId", &id))]);
    let document = branch("SimulatePrincipalPolicyResponse", [node(result), node(metadata)]);
    let mut body = Vec::new();
    let config = EmitterConfig::new().perform_indent(false);
    document.write_with_config(&mut body, config).expect("writing to memory cannot fail");
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"))]);
    Response { status: StatusCode::OK, headers, body: body.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decide(statement: Value, action: &str, object: &str, keys: &[(&str, &str)]) -> Decision {
        let context = keys.iter().map(|(key, value)| (key.to_lowercase(), vec![(*value).to_owned()])).collect();
        evaluate(&[json!({ "Statement": statement })], action, object, &context)
    }

    #[test]
    fn what_denies_goes_before_what_allows() {
        let both = json!([
            { "Effect": "Deny", "Action": "s3:Delete*", "Resource": "*" },
            { "Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::a-*"] },
        ]);
        assert_eq!(decide(both.clone(), "s3:PutObject", "arn:aws:s3:::a-1", &[]).word, "allowed");
        assert_eq!(decide(both.clone(), "s3:DeleteBucket", "arn:aws:s3:::a-1", &[]).word, "explicitDeny");
        assert_eq!(decide(both, "s3:PutObject", "arn:aws:s3:::b-1", &[]).word, "implicitDeny");
    }

    #[test]
    fn a_condition_on_what_is_not_told_is_named() {
        let tagged = json!({
            "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": { "StringLike": { "aws:ResourceTag/a": "x*" } },
        });
        let told = decide(tagged.clone(), "ec2:DeleteVpc", "*", &[("aws:ResourceTag/a", "x1")]);
        assert_eq!(told.word, "allowed");
        assert_eq!(decide(tagged.clone(), "ec2:DeleteVpc", "*", &[("aws:ResourceTag/a", "y")]).word, "implicitDeny");
        let untold = decide(tagged, "ec2:DeleteVpc", "*", &[]);
        assert_eq!((untold.word, untold.missing.len()), ("implicitDeny", 1));
        let present = json!({
            "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": { "Null": { "ec2:CreateAction": "false" } },
        });
        assert_eq!(
            decide(present.clone(), "ec2:CreateTags", "*", &[("ec2:CreateAction", "CreateVpc")]).word,
            "allowed"
        );
        assert_eq!(decide(present, "ec2:CreateTags", "*", &[]).word, "implicitDeny");
    }
}
