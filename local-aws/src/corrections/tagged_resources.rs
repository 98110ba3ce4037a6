//! `GetResources` of the tagging API does not list alarms, certificates, databases, load balancers, log groups and what EC2 has. AWS does.
//!
//! Nothing is remembered: each time the emulator is asked for the objects and their tags, by the calls of their services.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};
use xmltree::Element;

use super::tagged_accelerators::{admits, mapping};
use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Response, XmlExt};

/// See the module.
pub(super) struct TaggedResources;

/// The keys and values of an object's tags.
type Tags = Vec<(String, String)>;

/// A list of a service that speaks the query protocol.
struct List {
    service: &'static str,
    version: &'static str,
    operation: &'static str,
    /// The element that holds an ARN.
    element: &'static str,
    page: Page,
}

/// How the mark of the next page is called in answers and in requests.
type Page = (&'static str, &'static str);

const ALARMS: Page = ("NextToken", "NextToken");
const DATABASES: Page = ("Marker", "Marker");
const BALANCERS: Page = ("NextMarker", "Marker");

/// The one account of the emulator.
const ACCOUNT: &str = "000000000000";

const BALANCING: &str = "elasticloadbalancing";

const LISTS: [List; 7] = [
    List::new("monitoring", "2010-08-01", "DescribeAlarms", "AlarmArn", ALARMS),
    List::new("rds", "2014-10-31", "DescribeDBClusters", "DBClusterArn", DATABASES),
    List::new("rds", "2014-10-31", "DescribeDBInstances", "DBInstanceArn", DATABASES),
    List::new("rds", "2014-10-31", "DescribeDBSubnetGroups", "DBSubnetGroupArn", DATABASES),
    List::new("rds", "2014-10-31", "DescribeDBClusterParameterGroups", "DBClusterParameterGroupArn", DATABASES),
    List::new(BALANCING, "2015-12-01", "DescribeLoadBalancers", "LoadBalancerArn", BALANCERS),
    List::new(BALANCING, "2015-12-01", "DescribeTargetGroups", "TargetGroupArn", BALANCERS),
];

impl List {
    const fn new(
        service: &'static str,
        version: &'static str,
        operation: &'static str,
        element: &'static str,
        page: Page,
    ) -> Self {
        Self { service, version, operation, element, page }
    }
}

#[async_trait]
impl Correction for TaggedResources {
    fn id(&self) -> &'static str {
        "tagged-resources"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["tagging:GetResources"]
    }

    async fn response(&self, call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        let input = call.original.json();
        let mut found: Vec<Value> = Vec::new();
        for (arn, tags) in tagged(call).await? {
            if admits(&input, &arn, &tags) {
                found.push(mapping(&arn, &tags));
            }
        }
        response.change_json(|document| {
            document["ResourceTagMappingList"].as_array_mut().into_iter().for_each(|list| list.append(&mut found));
        });
        Ok(())
    }
}

/// Every object of these services in the call's region.
async fn tagged(call: &Call<'_>) -> Result<Vec<(String, Tags)>, Error> {
    let mut all = Vec::new();
    for List { service, version, operation, element, page } in LISTS {
        let mut arns = list(call, service, &[("Action", operation), ("Version", version)], element, page).await?;
        if operation == "DescribeLoadBalancers" {
            for balancer in arns.clone() {
                arns.extend(parts(call, version, &balancer).await?);
            }
        }
        for arn in arns {
            let tags = query_tags(call, service, version, &arn).await?;
            all.push((arn, tags));
        }
    }
    all.extend(certificates(call).await?);
    all.extend(log_groups(call).await?);
    all.extend(networks(call).await?);
    Ok(all)
}

/// What EC2 has. Its list of tags still has those of what was deleted, as the index of AWS has for a while.
async fn networks(call: &Call<'_>) -> Result<Vec<(String, Tags)>, Error> {
    let ask = [("Action", "DescribeTags"), ("Version", "2016-11-15")];
    let answer = call.emulator.query("ec2", call.region(), &ask).await?;
    let Some(mut document) = answer.and_then(|body| Element::parse(body.as_ref()).ok()) else { return Ok(Vec::new()) };
    let mut found: BTreeMap<String, Tags> = BTreeMap::new();
    document.each("item", &mut |item| {
        if let (Some(kind), Some(id), Some(key)) =
            (item.text_of("resourceType"), item.text_of("resourceId"), item.text_of("key"))
        {
            let arn = format!("arn:aws:ec2:{}:{ACCOUNT}:{kind}/{id}", call.region());
            found.entry(arn).or_default().push((key, item.text_of("value").unwrap_or_default()));
        }
    });
    Ok(found.into_iter().collect())
}

/// The listeners of a load balancer and their rules.
async fn parts(call: &Call<'_>, version: &str, balancer: &str) -> Result<Vec<String>, Error> {
    let ask = [("Action", "DescribeListeners"), ("Version", version), ("LoadBalancerArn", balancer)];
    let mut all = list(call, BALANCING, &ask, "ListenerArn", BALANCERS).await?;
    for listener in all.clone() {
        let ask = [("Action", "DescribeRules"), ("Version", version), ("ListenerArn", &listener)];
        all.extend(list(call, BALANCING, &ask, "RuleArn", BALANCERS).await?);
    }
    Ok(all)
}

/// The texts of all elements of this name in all pages of a list.
async fn list(
    call: &Call<'_>,
    service: &str,
    parameters: &[(&str, &str)],
    element: &str,
    (answered, asked): Page,
) -> Result<Vec<String>, Error> {
    let (mut found, mut next) = (Vec::new(), None::<String>);
    loop {
        let mut parameters = parameters.to_vec();
        parameters.extend(next.as_deref().map(|next| (asked, next)));
        let answer = call.emulator.query(service, call.region(), &parameters).await?;
        let Some(mut document) = answer.and_then(|body| Element::parse(body.as_ref()).ok()) else { return Ok(found) };
        found.extend(texts(&mut document, element));
        next = texts(&mut document, answered).pop().filter(|next| !next.is_empty());
        if next.is_none() {
            return Ok(found);
        }
    }
}

fn texts(document: &mut Element, name: &str) -> Vec<String> {
    let mut texts = Vec::new();
    document.each(name, &mut |element| texts.push(element.get_text().unwrap_or_default().trim().to_owned()));
    texts
}

async fn query_tags(call: &Call<'_>, service: &str, version: &str, arn: &str) -> Result<Tags, Error> {
    let (operation, parameter) = match service {
        BALANCING => ("DescribeTags", "ResourceArns.member.1"),
        "rds" => ("ListTagsForResource", "ResourceName"),
        _ => ("ListTagsForResource", "ResourceARN"),
    };
    let parameters = [("Action", operation), ("Version", version), (parameter, arn)];
    let answer = call.emulator.query(service, call.region(), &parameters).await?;
    let document = answer.and_then(|body| Element::parse(body.as_ref()).ok());
    Ok(document.map(|mut document| xml_tags(&mut document)).unwrap_or_default())
}

fn xml_tags(document: &mut Element) -> Tags {
    let mut tags = Tags::new();
    for name in ["Tag", "member"] {
        document.each(name, &mut |tag| {
            tags.extend(tag.text_of("Key").map(|key| (key, tag.text_of("Value").unwrap_or_default())));
        });
    }
    tags
}

async fn certificates(call: &Call<'_>) -> Result<Vec<(String, Tags)>, Error> {
    let ask = async |target, input: Value| call.emulator.json("acm", call.region(), target, &input).await;
    let mut found = Vec::new();
    let answer = ask("CertificateManager.ListCertificates", json!({})).await?.unwrap_or_default();
    for arn in answer["CertificateSummaryList"].as_array().into_iter().flatten() {
        let arn = arn["CertificateArn"].as_str().unwrap_or_default();
        let input = json!({ "CertificateArn": arn });
        let answer = ask("CertificateManager.ListTagsForCertificate", input).await?.unwrap_or_default();
        let tag =
            |tag: &Value| Some((tag["Key"].as_str()?.to_owned(), tag["Value"].as_str().unwrap_or_default().into()));
        found.push((arn.to_owned(), answer["Tags"].as_array().into_iter().flatten().filter_map(tag).collect()));
    }
    Ok(found)
}

async fn log_groups(call: &Call<'_>) -> Result<Vec<(String, Tags)>, Error> {
    let ask = async |target, input: Value| call.emulator.json("logs", call.region(), target, &input).await;
    let (mut found, mut input) = (Vec::new(), json!({}));
    loop {
        let page = ask("Logs_20140328.DescribeLogGroups", input).await?.unwrap_or_default();
        for group in page["logGroups"].as_array().into_iter().flatten() {
            let arn = group["arn"].as_str().unwrap_or_default().trim_end_matches(":*");
            let answer = ask("Logs_20140328.ListTagsForResource", json!({ "resourceArn": arn })).await?;
            let tags = answer.as_ref().and_then(|answer| answer["tags"].as_object());
            let tag = |(key, value): (&String, &Value)| (key.clone(), value.as_str().unwrap_or_default().to_owned());
            found.push((arn.to_owned(), tags.into_iter().flatten().map(tag).collect()));
        }
        match page["nextToken"].as_str() {
            Some(next) => input = json!({ "nextToken": next }),
            None => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RDS names the elements `Tag`, the others `member`.
    #[test]
    fn tags_are_read_as_each_service_writes_them() {
        let expected = vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())];
        for name in ["Tag", "member"] {
            let source = format!(
                "<R><ResourceArn>x</ResourceArn><Tags><{name}><Key>a</Key><Value>1</Value></{name}>\
                 <{name}><Key>b</Key><Value/></{name}></Tags></R>"
            );
            assert_eq!(xml_tags(&mut Element::parse(source.as_bytes()).unwrap()), expected);
        }
    }
}
