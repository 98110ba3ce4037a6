//! A list is answered in pages, and how many items a page has is up to the service, which may give fewer than it was asked for.
//!
//! EC2 is left out, because it pages only whom it was asked to page for; so are CloudWatch's alarms, which are asked for by name.

use std::cell::Cell;

use async_trait::async_trait;

use super::tree::{Tree, is, parameter};
use super::{Outcome, Scenario};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::{self, Operation};

/// How many items a page has.
const PAGE: usize = 3;

/// What tokens of this scenario begin with; the number of the first item of the next page follows.
const TOKEN: &str = "small-pages-";

/// See the module. It remembers nothing: the token says where the next page begins.
pub(super) struct SmallPages;

/// A list that a service pages.
struct List {
    operation: &'static str,
    /// The path of its items.
    items: &'static str,
    /// The parameter by which the next page is asked for.
    asked: &'static str,
    /// The path of the token of the next page.
    told: &'static str,
    /// The path of what says whether there is a next page, where the service says so.
    truncated: Option<&'static str>,
}

const LISTS: [List; 31] = [
    list("acm:ListCertificates", "CertificateSummaryList", "NextToken", "NextToken"),
    list("apigateway:GetApis", "items", "nextToken", "nextToken"),
    list("apigateway:GetBasePathMappings", "item", "position", "position"),
    list("apigateway:GetDeployments", "item", "position", "position"),
    list("apigateway:GetDomainNames", "item", "position", "position"),
    list("apigateway:GetResources", "item", "position", "position"),
    list("apigateway:GetRestApis", "item", "position", "position"),
    list("backup:ListBackupPlans", "BackupPlansList", "nextToken", "NextToken"),
    list("backup:ListBackupSelections", "BackupSelectionsList", "nextToken", "NextToken"),
    list("backup:ListBackupVaults", "BackupVaultList", "nextToken", "NextToken"),
    list("backup:ListRecoveryPointsByBackupVault", "RecoveryPoints", "nextToken", "NextToken"),
    list("dynamodb:ListTagsOfResource", "Tags", "NextToken", "NextToken"),
    query("elasticloadbalancing:DescribeLoadBalancers", "LoadBalancers/member", "NextMarker"),
    query("elasticloadbalancing:DescribeRules", "Rules/member", "NextMarker"),
    query("elasticloadbalancing:DescribeTargetGroups", "TargetGroups/member", "NextMarker"),
    list("events:ListRules", "Rules", "NextToken", "NextToken"),
    list("events:ListTargetsByRule", "Targets", "NextToken", "NextToken"),
    list("globalaccelerator:ListAccelerators", "Accelerators", "NextToken", "NextToken"),
    List {
        truncated: Some("IsTruncated"),
        ..query("iam:GetAccountAuthorizationDetails", "RoleDetailList/member", "Marker")
    },
    List { truncated: Some("IsTruncated"), ..query("iam:ListRoles", "Roles/member", "Marker") },
    List { truncated: Some("Truncated"), ..list("kms:ListAliases", "Aliases", "Marker", "NextMarker") },
    List { truncated: Some("Truncated"), ..list("kms:ListKeys", "Keys", "Marker", "NextMarker") },
    list("logs:DescribeLogGroups", "logGroups", "nextToken", "nextToken"),
    query("rds:DescribeDBClusterParameters", "Parameters/Parameter", "Marker"),
    query("rds:DescribeDBClusters", "DBClusters/DBCluster", "Marker"),
    query("rds:DescribeDBEngineVersions", "DBEngineVersions/DBEngineVersion", "Marker"),
    query("rds:DescribeDBInstances", "DBInstances/DBInstance", "Marker"),
    query("rds:DescribeGlobalClusters", "GlobalClusters/GlobalClusterMember", "Marker"),
    List {
        truncated: Some("IsTruncated"),
        ..list("route53:ListHealthChecks", "HealthChecks/HealthCheck", "marker", "NextMarker")
    },
    List { asked: "NextToken", ..query("sns:ListSubscriptionsByTopic", "Subscriptions/member", "NextToken") },
    list("tagging:GetResources", "ResourceTagMappingList", "PaginationToken", "PaginationToken"),
];

const fn list(operation: &'static str, items: &'static str, asked: &'static str, told: &'static str) -> List {
    List { operation, items, asked, told, truncated: None }
}

/// A list of the query protocol, whose answers stand below an element of the operation's name.
const fn query(operation: &'static str, items: &'static str, told: &'static str) -> List {
    list(operation, items, "Marker", told)
}

/// An answer with the token of its own page as the token of the next one; none when the operation is no list.
pub(super) fn begins_anew(operation: &Operation, mut answer: Response) -> Option<Response> {
    let list = List::of(operation)?;
    let mut tree = Tree::of(&answer)?;
    list.go_on(&mut tree, &operation.name, 0);
    tree.write(&mut answer);
    Some(answer)
}

/// Takes a token of this scenario out of a request.
pub(super) fn forget_token(operation: &Operation, request: &mut Request) {
    if let Some(list) = List::of(operation).filter(|list| list.start(request).is_some()) {
        list.forget_token(request);
    }
}

impl List {
    fn of(operation: &Operation) -> Option<&'static Self> {
        LISTS.iter().find(|list| is(list.operation, operation))
    }

    /// The number of the first item that is asked for, if the request has a token of this scenario.
    fn start(&self, request: &Request) -> Option<usize> {
        let in_address = || operation::parameter(request, self.asked);
        let token = parameter(request, self.asked).or_else(in_address)?;
        token.strip_prefix(TOKEN)?.parse().ok()
    }

    /// Takes the token out of a request, so that the whole list is answered.
    fn forget_token(&self, request: &mut Request) {
        let mut document = request.json();
        if let Some(fields) = document.as_object_mut() {
            fields.remove(self.asked);
            return request.set_json(&document);
        }
        let mut form = request.form();
        if form.remove(|name, _| name == self.asked) {
            return request.set_form(&form);
        }
        let asked = form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes());
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(asked.filter(|(name, _)| name != self.asked));
        let path = format!("{}?{}", request.uri.path(), query.finish());
        request.uri = path.parse().expect("a path with other parameters is a path");
    }

    /// Leaves one page of an answer.
    fn cut(&self, tree: &mut Tree, operation: &str, start: usize) {
        let items = place(tree, operation, self.items);
        let number = Cell::new(0);
        tree.retain(&items, &|_| (start..start + PAGE).contains(&number.replace(number.get() + 1)));
        if number.get() > start + PAGE {
            self.go_on(tree, operation, start + PAGE);
        }
    }

    /// Says that the list goes on with this item.
    fn go_on(&self, tree: &mut Tree, operation: &str, start: usize) {
        let (told, truncated) = (self.told, self.truncated);
        let (told, truncated) = (place(tree, operation, told), truncated.map(|path| place(tree, operation, path)));
        tree.set(&told, &format!("{TOKEN}{start}"));
        match (tree, truncated) {
            (Tree::Json(document), Some(path)) => document[path] = true.into(),
            (tree, Some(path)) => tree.set(&path, "true"),
            (_, None) => {}
        }
    }
}

/// A path from the top of an answer: in the query protocol its fields stand below an element of the operation's name.
fn place(tree: &Tree, operation: &str, path: &str) -> String {
    let result = format!("{operation}Result");
    match tree.part(&result) {
        Some(_) => format!("{result}/{path}"),
        None => path.to_owned(),
    }
}

#[async_trait]
impl Scenario for SmallPages {
    fn name(&self) -> &'static str {
        "small-pages"
    }

    /// So many more calls than AWS takes would be too many for its quotas.
    fn is_one_of_all(&self) -> bool {
        false
    }

    fn concerns(&self, operation: &Operation) -> bool {
        List::of(operation).is_some()
    }

    async fn before(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Outcome>, Error> {
        forget_token(call.operation, request);
        Ok(None)
    }

    async fn after(&self, call: &Call<'_>, mut answer: Response) -> Result<Outcome, Error> {
        if let (Some(list), Some(mut tree), true) =
            (List::of(call.operation), Tree::of(&answer), answer.status.is_success())
        {
            list.cut(&mut tree, call.name(), list.start(call.original).unwrap_or_default());
            tree.write(&mut answer);
        }
        Ok(Outcome::Answer(answer))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::{Value, json};

    use super::*;
    use crate::scenarios::tests::Caller;

    /// Asks for a page and returns the answer; `whole` is the answer of the emulator.
    async fn page(caller: &Caller, whole: Response) -> Response {
        let mut request = caller.request();
        assert!(SmallPages.before(&caller.call(), &mut request).await.unwrap().is_none());
        assert!(!format!("{} {:?}", request.uri, request.body).contains(TOKEN), "the emulator knows no such token");
        match SmallPages.after(&caller.call(), whole).await.unwrap() {
            Outcome::Answer(answer) => answer,
            _ => panic!("the answer arrives"),
        }
    }

    #[tokio::test]
    async fn a_list_comes_in_pages_and_the_token_leads_to_the_next() {
        let whole = || Response::json_document(StatusCode::OK, &json!({ "Keys": [1, 2, 3, 4], "Truncated": false }));
        let target = [("x-amz-target", "TrentService.ListKeys")];
        let first = page(&Caller::new("kms", "POST", "/", &target, "{}"), whole()).await.json_body();
        assert_eq!(first, json!({ "Keys": [1, 2, 3], "Truncated": true, "NextMarker": "small-pages-3" }));
        let next = json!({ "Marker": first["NextMarker"] }).to_string();
        let second = page(&Caller::new("kms", "POST", "/", &target, &next), whole()).await.json_body();
        assert_eq!(second, json!({ "Keys": [4], "Truncated": false }));
    }

    #[tokio::test]
    async fn forms_and_paths_have_tokens_too() {
        let whole = |text: &str| Response {
            body: text.to_owned().into(),
            ..Response::json_document(StatusCode::OK, &Value::Null)
        };
        let members = "<member>a</member>".repeat(7);
        let answer = format!("<R><ListRolesResult><Roles>{members}</Roles></ListRolesResult></R>");
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let caller = Caller::new("iam", "POST", "/", &form, "Action=ListRoles&Marker=small-pages-3");
        let second = page(&caller, whole(&answer)).await;
        let tree = Tree::of(&second).unwrap();
        assert_eq!(tree.text("ListRolesResult/Marker").as_deref(), Some("small-pages-6"));
        assert_eq!(tree.text("ListRolesResult/IsTruncated").as_deref(), Some("true"));
        let path = "/restapis?limit=500&position=small-pages-3";
        let caller = Caller::new("apigateway", "GET", path, &[], "");
        let last = page(&caller, Response::json_document(StatusCode::OK, &json!({ "item": [1, 2, 3, 4] }))).await;
        assert_eq!(last.json_body(), json!({ "item": [4] }));
    }
}
