//! One read is answered falsely, as the settings order it (`false_answer`): AWS leaves out what is there, tells it twice, or does not
//! find it; or somebody else answers in its place. Whoever believes a single answer loses something. Without an order the scenario does
//! nothing.
//!
//! The true answer is taken first and then changed, so that its shape is right in every protocol. A read that is refused anyway has
//! nothing to leave out: it counts, and passes unchanged.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xmltree::{Element, XMLNode};

use super::tree::is;
use super::{Outcome, Scenario, small_pages};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::{Request, Response, XmlExt};
use crate::operation::{Kind, Operation};
use crate::refusal::refusal;

/// Which reads are answered falsely, and how.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// How the answer is changed.
    answer: Falsehood,
    /// Only calls of this operation count, `service:Operation` with the service's name in the signature; all reads if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    /// The first read that is answered falsely, counted from the moment of the order, beginning with 1.
    #[serde(default = "one")]
    read: u64,
    /// How many reads from that one on are answered falsely.
    #[serde(default = "one")]
    times: u64,
}

fn one() -> u64 {
    1
}

/// How an answer is changed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Falsehood {
    /// Every list has no items.
    Empty,
    /// The document has no fields.
    Nothing,
    /// Every item of every list is there twice.
    Doubled,
    /// Every list has the first half of its items, rounded down, and no token leads to the others.
    Partial,
    /// The service refuses: what was asked for does not exist.
    Gone,
    /// The service refuses: the caller may not do this.
    Denied,
    /// A page for people, with the status of success.
    Page,
    /// A proxy wants to know who asks: status 407.
    Proxy,
    /// Nothing, with the status of success.
    Blank,
    /// The first half of the document.
    Cut,
    /// A refusal, with the status of success.
    ErrorInside,
    /// The whole list, and a token that leads to it once more. Only lists that `small-pages` knows.
    Endless,
}

/// What captive portals answer.
const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Sign in to the guest network</title></head>\
                    <body><form action=\"/login?session=0123456789abcdef0123456789abcdef\"></form></body></html>\n";

/// See the module.
pub(super) struct FalseAnswers {
    order: Option<Order>,
    reads: AtomicU64,
}

impl FalseAnswers {
    pub(super) fn new(order: Option<Order>) -> Self {
        Self { order, reads: AtomicU64::new(0) }
    }
}

#[async_trait]
impl Scenario for FalseAnswers {
    fn name(&self) -> &'static str {
        "false-answers"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        let Some(order) = self.order.as_ref().filter(|_| operation.kind == Kind::Api) else { return false };
        match &order.operation {
            Some(name) => is(name, operation),
            None => !operation.is_mutating(),
        }
    }

    async fn before(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Outcome>, Error> {
        // The emulator does not know the token of an endless list.
        small_pages::forget_token(call.operation, request);
        Ok(None)
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        let Some(order) = self.order.as_ref().filter(|_| !call.original.is_of_a_function()) else {
            return Ok(Outcome::Answer(answer));
        };
        let read = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
        let is_meant = read >= order.read && read - order.read < order.times;
        let falsified = match order.answer {
            _ if !is_meant => None,
            Falsehood::Gone => not_found(call),
            Falsehood::Denied => Some(denied(call)),
            Falsehood::Page => Some(page(StatusCode::OK)),
            Falsehood::Proxy => Some(page(StatusCode::PROXY_AUTHENTICATION_REQUIRED)),
            Falsehood::ErrorInside => {
                let message = "The request processing has failed because of an unknown error.";
                let refused = refusal(call, StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", message);
                Some(Response { status: StatusCode::OK, ..refused })
            }
            _ if !answer.status.is_success() => None,
            // An answer without a list is as true as before.
            Falsehood::Endless => small_pages::begins_anew(call.operation, answer.clone()),
            kind => Some(kind.of(answer.clone())).filter(|changed| changed.body != answer.body),
        };
        Ok(falsified.map_or(Outcome::Answer(answer), Outcome::Instead))
    }
}

/// The refusal of a caller who has no right to the operation.
fn denied(call: &Call<'_>) -> Response {
    let name = call.name();
    let message =
        format!("User: arn:aws:iam::123456789012:user/somebody is not authorized to perform: {name} on resource: *");
    refusal(call, StatusCode::FORBIDDEN, "AccessDenied", &message)
}

/// The refusals of services and operations that look for something; the first fitting line counts. Codes are those on the wire, which
/// for some services are not the names of their shapes.
const NOT_FOUND: [(&str, u16, &str); 47] = [
    ("acm", 400, "ResourceNotFoundException"),
    ("apigateway", 404, "NotFoundException"),
    ("backup", 400, "ResourceNotFoundException"),
    ("dynamodb:DescribeContinuousBackups", 400, "TableNotFoundException"),
    ("dynamodb", 400, "ResourceNotFoundException"),
    ("ec2:DescribeAddresses", 400, "InvalidAllocationID.NotFound"),
    ("ec2:DescribeFlowLogs", 400, "InvalidFlowLogId.NotFound"),
    ("ec2:DescribeInternetGateways", 400, "InvalidInternetGatewayID.NotFound"),
    ("ec2:DescribeNatGateways", 400, "NatGatewayNotFound"),
    ("ec2:DescribeNetworkInterfaces", 400, "InvalidNetworkInterfaceID.NotFound"),
    ("ec2:DescribePrefixLists", 400, "InvalidPrefixListId.NotFound"),
    ("ec2:DescribeRouteTables", 400, "InvalidRouteTableID.NotFound"),
    ("ec2:DescribeSecurityGroupRules", 400, "InvalidSecurityGroupRuleId.NotFound"),
    ("ec2:DescribeSecurityGroups", 400, "InvalidGroup.NotFound"),
    ("ec2:DescribeSubnets", 400, "InvalidSubnetID.NotFound"),
    ("ec2:DescribeVpcAttribute", 400, "InvalidVpcID.NotFound"),
    ("ec2:DescribeVpcEndpoints", 400, "InvalidVpcEndpointId.NotFound"),
    ("ec2:DescribeVpcs", 400, "InvalidVpcID.NotFound"),
    ("elasticloadbalancing:DescribeListeners", 400, "ListenerNotFound"),
    ("elasticloadbalancing:DescribeRules", 400, "RuleNotFound"),
    ("elasticloadbalancing:DescribeTargetGroups", 400, "TargetGroupNotFound"),
    ("elasticloadbalancing:DescribeTargetHealth", 400, "TargetGroupNotFound"),
    ("elasticloadbalancing", 400, "LoadBalancerNotFound"),
    ("events", 400, "ResourceNotFoundException"),
    ("globalaccelerator:ListEndpointGroups", 400, "ListenerNotFoundException"),
    ("globalaccelerator", 400, "AcceleratorNotFoundException"),
    ("iam", 404, "NoSuchEntity"),
    ("kms", 400, "NotFoundException"),
    ("lambda", 404, "ResourceNotFoundException"),
    ("logs", 400, "ResourceNotFoundException"),
    ("monitoring:GetDashboard", 404, "ResourceNotFound"),
    ("monitoring", 404, "ResourceNotFoundException"),
    ("rds:DescribeDBClusterParameterGroups", 404, "DBParameterGroupNotFound"),
    ("rds:DescribeDBClusterParameters", 404, "DBParameterGroupNotFound"),
    ("rds:DescribeDBClusterSnapshots", 404, "DBClusterSnapshotNotFoundFault"),
    ("rds:DescribeDBClusters", 404, "DBClusterNotFoundFault"),
    ("rds:DescribeDBInstances", 404, "DBInstanceNotFound"),
    ("rds:DescribeDBSubnetGroups", 404, "DBSubnetGroupNotFoundFault"),
    ("rds:DescribeGlobalClusters", 404, "GlobalClusterNotFoundFault"),
    ("rds:ListTagsForResource", 404, "DBClusterNotFoundFault"),
    ("route53:GetHealthCheck", 404, "NoSuchHealthCheck"),
    ("route53", 404, "NoSuchHostedZone"),
    ("s3:GetObject", 404, "NoSuchKey"),
    ("s3", 404, "NoSuchBucket"),
    ("secretsmanager", 400, "ResourceNotFoundException"),
    ("sns", 404, "NotFound"),
    ("sqs", 400, "AWS.SimpleQueueService.NonExistentQueue"),
];

/// The service's refusal of a call whose object does not exist; none where the operation looks for no object.
fn not_found(call: &Call<'_>) -> Option<Response> {
    let fits = |name: &str| name == call.operation.service || is(name, call.operation);
    let (_, status, code) = NOT_FOUND.iter().find(|(name, ..)| fits(name))?;
    let status = StatusCode::from_u16(*status).expect("the table holds statuses");
    Some(refusal(call, status, code, "What was asked for does not exist."))
}

/// A page for people.
fn page(status: StatusCode) -> Response {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))]);
    Response { status, headers, body: PAGE.into() }
}

impl Falsehood {
    fn of(self, mut answer: Response) -> Response {
        match self {
            Self::Blank => return answer.with_body(""),
            Self::Cut => {
                let half = answer.body.slice(..answer.body.len() / 2);
                return answer.with_body(half);
            }
            _ => {}
        }
        let kind = answer.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.contains("cbor") {
            answer.change_cbor(|document| self.cbor(document));
        } else if serde_json::from_slice::<Value>(&answer.body).is_ok() {
            answer.change_json(|document| self.json(document));
        } else {
            answer.change_xml(|document| self.xml(document));
        }
        answer
    }

    fn json(self, part: &mut Value) {
        match part {
            Value::Array(items) => {
                self.list(items);
                items.iter_mut().for_each(|item| self.json(item));
            }
            Value::Object(fields) if self == Self::Nothing => fields.clear(),
            Value::Object(fields) => {
                if self == Self::Partial {
                    fields.retain(|name, _| !is_token(name));
                }
                for (name, field) in fields {
                    match field {
                        // Some services write the list of an object's tags as a map.
                        Value::Object(tags) if name.eq_ignore_ascii_case("tags") => {
                            let mut left: Vec<_> = std::mem::take(tags).into_iter().collect();
                            self.list(&mut left);
                            tags.extend(left);
                        }
                        Value::Bool(more) if self == Self::Partial && says_there_is_more(name) => *more = false,
                        field => self.json(field),
                    }
                }
            }
            _ => {}
        }
    }

    fn cbor(self, part: &mut ciborium::Value) {
        match part {
            ciborium::Value::Array(items) => {
                self.list(items);
                items.iter_mut().for_each(|item| self.cbor(item));
            }
            ciborium::Value::Map(fields) if self == Self::Nothing => fields.clear(),
            ciborium::Value::Map(fields) => {
                if self == Self::Partial {
                    fields.retain(|(name, _)| !name.as_text().is_some_and(is_token));
                }
                fields.iter_mut().for_each(|(_, field)| self.cbor(field));
            }
            _ => {}
        }
    }

    fn xml(self, part: &mut Element) {
        if self == Self::Nothing {
            // In the query protocol the fields stand in an element of their own, without which no client reads the answer.
            part.children.retain(|node| node.as_element().is_some_and(|child| child.name.ends_with("Result")));
            return part.elements().for_each(|result| result.children.clear());
        }
        if self == Self::Partial {
            part.children.retain(|node| !node.as_element().is_some_and(|child| is_token(&child.name)));
            for child in part.elements().filter(|child| says_there_is_more(&child.name)) {
                child.children = vec![XMLNode::Text("false".to_owned())];
            }
        }
        let names: Vec<String> = part.elements().map(|child| child.name.clone()).collect();
        let is_list = is_list(&part.name, &names);
        for name in BARE_ITEMS.iter().copied().filter(|_| !is_list) {
            self.items(part, |child| child.named(name));
        }
        if is_list {
            self.items(part, |_| true);
        }
        part.elements().for_each(|child| self.xml(child));
    }

    /// Changes the list of those children that are its items.
    fn items(self, part: &mut Element, is_item: impl Fn(&Element) -> bool) {
        let (mut items, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut part.children).into_iter().partition(|node| node.as_element().is_some_and(&is_item));
        self.list(&mut items);
        part.children = others.into_iter().chain(items).collect();
    }

    fn list<T: Clone>(self, items: &mut Vec<T>) {
        match self {
            Self::Empty | Self::Nothing => items.clear(),
            Self::Doubled => *items = items.iter().flat_map(|item| [item.clone(), item.clone()]).collect(),
            Self::Partial => items.truncate(items.len() / 2),
            _ => {}
        }
    }
}

/// Items that stand among other fields, without a list around them, as S3 writes them.
const BARE_ITEMS: [&str; 6] = ["CommonPrefixes", "Contents", "DeleteMarker", "Rule", "Upload", "Version"];

/// Whether an element of XML is a list: all its children have one name, and either that name or its own says so. Elements with one
/// child that is a field, and maps (`entry`), are none.
fn is_list(name: &str, children: &[String]) -> bool {
    let Some(first) = children.first().filter(|first| children.iter().all(|child| child == *first)) else {
        return false;
    };
    let has_plural = ["s", "Set", "List", "Info"].iter().any(|end| name.ends_with(end));
    match first.as_str() {
        "member" | "item" => true,
        "entry" | "NameServers" => false,
        _ => has_plural,
    }
}

/// What services call the way to the next page.
const TOKENS: [&str; 14] = [
    "LastEvaluatedTableName",
    "Marker",
    "NextContinuationToken",
    "NextDNSName",
    "NextHostedZoneId",
    "NextKeyMarker",
    "NextMarker",
    "NextRecordIdentifier",
    "NextRecordName",
    "NextRecordType",
    "NextToken",
    "NextUploadIdMarker",
    "NextVersionIdMarker",
    "PaginationToken",
];

fn is_token(name: &str) -> bool {
    // API Gateway calls it so, which elsewhere may mean something else in capitals.
    name == "position" || TOKENS.iter().any(|token| token.eq_ignore_ascii_case(name))
}

fn says_there_is_more(name: &str) -> bool {
    ["IsTruncated", "Truncated"].contains(&name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::Caller;
    use super::*;

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    fn order(document: Value) -> FalseAnswers {
        FalseAnswers::new(Some(serde_json::from_value(document).expect("an order")))
    }

    fn xml(body: &str) -> Response {
        Response { status: StatusCode::OK, headers: HeaderMap::new(), body: body.to_owned().into() }
    }

    fn text(answer: &Response) -> String {
        let text = String::from_utf8(answer.body.to_vec()).expect("text");
        text.split_once("?>").map_or(text.clone(), |(_, document)| document.to_owned())
    }

    /// Lets a read pass; what the scenario answered instead, if it did.
    async fn instead(scenario: &FalseAnswers, caller: &Caller, answer: Response) -> Option<Response> {
        match scenario.after(&caller.call(), answer).await.expect("no emulator is asked") {
            Outcome::Instead(answer) => Some(answer),
            _ => None,
        }
    }

    fn describe_table() -> Caller {
        Caller::new("dynamodb", "POST", "/", &[("x-amz-target", "DynamoDB_20120810.DescribeTable")], "{}")
    }

    #[tokio::test]
    async fn the_read_that_was_ordered_is_answered_falsely_and_no_other() {
        let scenario = order(json!({ "answer": "empty", "read": 2, "times": 2 }));
        let mut struck = Vec::new();
        for read in 1..=5 {
            let answer = Response::json_document(StatusCode::OK, &json!({ "Items": [1] }));
            if instead(&scenario, &describe_table(), answer).await.is_some() {
                struck.push(read);
            }
        }
        assert_eq!(struck, [2, 3]);
    }

    #[test]
    fn changes_and_other_operations_are_not_counted() {
        let target = |name: &str| {
            let target = format!("DynamoDB_20120810.{name}");
            Caller::new("dynamodb", "POST", "/", &[("x-amz-target", &target)], "{}").operation
        };
        let any = order(json!({ "answer": "gone" }));
        assert!(any.concerns(&target("DescribeTable")) && !any.concerns(&target("DeleteTable")));
        let one = order(json!({ "answer": "gone", "operation": "dynamodb:DescribeTable" }));
        assert!(one.concerns(&target("DescribeTable")) && !one.concerns(&target("DescribeTimeToLive")));
        let change = order(json!({ "answer": "page", "operation": "dynamodb:DeleteTable" }));
        assert!(change.concerns(&target("DeleteTable")), "a change that is named counts");
        assert!(!FalseAnswers::new(None).concerns(&target("DescribeTable")));
    }

    #[test]
    fn json_is_changed_at_every_depth() {
        let whole = json!({ "Items": [{ "Tags": ["a", "b"] }, {}, {}], "tags": { "k": "v" }, "NextToken": "t",
            "Truncated": true, "Name": "n" });
        let of = |kind: Falsehood| kind.of(Response::json_document(StatusCode::OK, &whole)).json_body();
        let rest = json!({ "Items": [], "tags": {}, "NextToken": "t", "Truncated": true, "Name": "n" });
        assert_eq!(of(Falsehood::Empty), rest);
        assert_eq!(of(Falsehood::Nothing), json!({}));
        let half = json!({ "Items": [{ "Tags": ["a"] }], "tags": {}, "Truncated": false, "Name": "n" });
        assert_eq!(of(Falsehood::Partial), half);
        let twice = of(Falsehood::Doubled);
        assert_eq!(twice["Items"].as_array().expect("a list").len(), 6);
        assert_eq!(twice["Items"][1]["Tags"], json!(["a", "a", "b", "b"]));
    }

    #[test]
    fn the_lists_of_every_form_of_xml_are_known() {
        let emptied = |body: &str| text(&Falsehood::Empty.of(xml(body)));
        for (whole, expected) in [
            ("<R><vpcSet><item><vpcId>v</vpcId><tagSet><item/></tagSet></item></vpcSet></R>", "<R><vpcSet /></R>"),
            (
                "<R><XResult><DBClusters><DBCluster><Id>c</Id></DBCluster></DBClusters><Marker>m</Marker></XResult></R>",
                "<R><XResult><DBClusters /><Marker>m</Marker></XResult></R>",
            ),
            (
                "<R><XResult><LoadBalancers><member><State><Code>active</Code></State></member></LoadBalancers></XResult></R>",
                "<R><XResult><LoadBalancers /></XResult></R>",
            ),
            (
                "<R><ResourceTagSet><ResourceId>z</ResourceId><Tags><Tag><Key>k</Key></Tag></Tags></ResourceTagSet></R>",
                "<R><ResourceTagSet><ResourceId>z</ResourceId><Tags /></ResourceTagSet></R>",
            ),
            (
                "<R><HostedZone><Id>z</Id></HostedZone><DelegationSet><NameServers><NameServer>n</NameServer></NameServers></DelegationSet></R>",
                "<R><HostedZone><Id>z</Id></HostedZone><DelegationSet><NameServers /></DelegationSet></R>",
            ),
            (
                "<L><Name>b</Name><Contents><Key>1</Key></Contents><Contents><Key>2</Key></Contents></L>",
                "<L><Name>b</Name></L>",
            ),
            (
                "<R><XResult><Attributes><entry><key>k</key></entry></Attributes></XResult></R>",
                "<R><XResult><Attributes><entry><key>k</key></entry></Attributes></XResult></R>",
            ),
        ] {
            assert_eq!(emptied(whole), expected);
        }
    }

    #[test]
    fn half_a_list_leads_nowhere() {
        let whole = "<R><LResult><Roles><member>1</member><member>2</member><member>3</member></Roles>\
                     <IsTruncated>true</IsTruncated><Marker>m</Marker></LResult></R>";
        let half = "<R><LResult><Roles><member>1</member></Roles><IsTruncated>false</IsTruncated></LResult></R>";
        assert_eq!(text(&Falsehood::Partial.of(xml(whole))), half);
        let nothing = text(&Falsehood::Nothing.of(xml(whole)));
        assert_eq!(nothing, "<R><LResult /></R>");
    }

    #[test]
    fn cbor_is_changed_as_well() {
        let document = json!({ "MetricAlarms": [{ "AlarmName": "a" }], "NextToken": "t" });
        let of = |kind: Falsehood| -> Value {
            let changed = kind.of(Response::cbor_document(StatusCode::OK, &document));
            ciborium::from_reader(changed.body.as_ref()).expect("CBOR")
        };
        assert_eq!(of(Falsehood::Empty), json!({ "MetricAlarms": [], "NextToken": "t" }));
        assert_eq!(of(Falsehood::Nothing), json!({}));
        assert_eq!(of(Falsehood::Partial), json!({ "MetricAlarms": [] }));
        assert_eq!(of(Falsehood::Doubled)["MetricAlarms"], json!([{ "AlarmName": "a" }, { "AlarmName": "a" }]));
    }

    #[tokio::test]
    async fn each_service_says_in_its_own_words_that_nothing_is_there() {
        let gone = async |caller: Caller| {
            let scenario = order(json!({ "answer": "gone" }));
            instead(&scenario, &caller, xml("<R/>")).await
        };
        let table = gone(describe_table()).await.expect("a refusal");
        assert_eq!(
            (table.status.as_u16(), table.json_body()["__type"].as_str()),
            (400, Some("ResourceNotFoundException"))
        );
        for (service, action, code) in [
            ("ec2", "DescribeVpcs", "InvalidVpcID.NotFound"),
            ("ec2", "DescribeNatGateways", "NatGatewayNotFound"),
            ("rds", "DescribeDBClusters", "DBClusterNotFoundFault"),
            ("iam", "GetRole", "NoSuchEntity"),
        ] {
            let caller = Caller::new(service, "POST", "/", &[FORM], &format!("Action={action}"));
            let refused = text(&gone(caller).await.expect("a refusal"));
            assert!(refused.contains(&format!("<Code>{code}</Code>")), "{refused}");
        }
        let bucket = gone(Caller::new("s3", "GET", "/bucket?tagging", &[], "")).await.expect("a refusal");
        assert!(text(&bucket).contains("<Code>NoSuchBucket</Code>"));
        let identity = Caller::new("sts", "POST", "/", &[FORM], "Action=GetCallerIdentity");
        assert!(gone(identity).await.is_none(), "who asks does exist");
    }

    #[tokio::test]
    async fn somebody_else_answers_in_the_place_of_aws() {
        let said = async |kind: &str| {
            let answer = Response::json_document(StatusCode::OK, &json!({ "Table": {} }));
            let falsified = instead(&order(json!({ "answer": kind })), &describe_table(), answer).await;
            let falsified = falsified.expect("it is falsified");
            (falsified.status.as_u16(), text(&falsified))
        };
        assert_eq!(said("blank").await, (200, String::new()));
        assert_eq!(said("cut").await, (200, r#"{"Tabl"#.to_owned()));
        let (page, proxy, inside) = (said("page").await, said("proxy").await, said("error-inside").await);
        assert!(page.0 == 200 && page.1.contains("Sign in") && proxy.0 == 407, "{page:?} {proxy:?}");
        assert!(inside.0 == 200 && inside.1.contains("InternalFailure"), "{inside:?}");
    }

    #[tokio::test]
    async fn a_list_without_end_leads_to_itself() {
        let scenario = order(json!({ "answer": "endless", "times": 100 }));
        let target = [("x-amz-target", "TrentService.ListKeys")];
        let list = json!({ "Keys": [1], "Truncated": false });
        let first = Caller::new("kms", "POST", "/", &target, "{}");
        let answer = instead(&scenario, &first, Response::json_document(StatusCode::OK, &list)).await.expect("a page");
        let document = answer.json_body();
        assert_eq!((&document["Keys"], &document["Truncated"]), (&json!([1]), &json!(true)));
        let next = json!({ "Marker": document["NextMarker"] }).to_string();
        let second = Caller::new("kms", "POST", "/", &target, &next);
        let mut request = second.request();
        scenario.before(&second.call(), &mut request).await.expect("no emulator is asked");
        assert_eq!(request.json(), json!({}));
        let answer = instead(&scenario, &second, Response::json_document(StatusCode::OK, &list)).await.expect("a page");
        assert_eq!(answer.json_body(), document);
    }

    /// A refusal has no lists, and stays what it is.
    #[tokio::test]
    async fn a_read_that_is_refused_anyway_stays_refused() {
        let scenario = order(json!({ "answer": "empty" }));
        let refused = Response::json_refusal("ResourceNotFoundException", "no");
        assert!(instead(&scenario, &describe_table(), refused).await.is_none());
    }
}
