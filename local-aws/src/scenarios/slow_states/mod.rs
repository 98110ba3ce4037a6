//! Things take time: what is created, changed or deleted goes through AWS's own states, and meanwhile AWS refuses what it refuses on
//! an object in that state.
//!
//! The emulator does everything at once. This scenario remembers for how long an operation would still be under way, shows the
//! state in every answer that tells of the object, and keeps showing what is already deleted. [`table`] says which operations
//! begin what, where it shows and what is refused; the other files hold what no table can say.
//!
//! Invariants:
//! 1. An object is shown in the emulator's own words, but for its state.
//! 2. Nothing is ready before its time is over, and nothing stays unready after it.

mod certificates;
mod databases;
mod replicas;
mod table;
mod underway;

use async_trait::async_trait;
use axum::http::StatusCode;

use super::tree::{Tree, is, parameter};
use super::{Given, Outcome, Scenario, durations};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;
use crate::refusal::refusal;
use table::{Object, View};
use underway::Underway;

/// A refusal: status, code and message.
type Refused = (StatusCode, &'static str, String);

/// See the module.
pub(super) struct SlowStates {
    given: Given,
    underway: Underway,
    certificates: certificates::Certificates,
    databases: databases::Databases,
}

impl SlowStates {
    pub(super) fn new(given: &Given) -> Self {
        Self {
            given: given.clone(),
            underway: Underway::new(given),
            certificates: certificates::Certificates::default(),
            databases: databases::Databases::default(),
        }
    }

    /// What AWS refuses because of an operation that is under way.
    fn objection(&self, operation: &Operation, request: &Request) -> Option<Refused> {
        for object in table::OBJECTS {
            for refused in object.refused.iter().filter(|refused| is(refused.operation, operation)) {
                let id = refused.id.find(request, None);
                let state = id.as_ref().and_then(|id| self.underway.state(object, &operation.region, id));
                if let (Some(id), Some(state)) = (id, state)
                    && refused.during.is_none_or(|during| during == state)
                {
                    let message = refused.message.replace("{id}", &id).replace("{state}", state);
                    return Some((
                        StatusCode::from_u16(refused.status).expect("the table holds statuses"),
                        refused.code,
                        message,
                    ));
                }
            }
        }
        self.databases.objection(&self.underway, operation, request)
    }

    /// Takes note of an operation that takes time.
    fn learn(&self, operation: &Operation, request: &Request, answer: &Tree) {
        for object in table::OBJECTS {
            let starts = object.starts.iter().filter(|start| is(start.operation, operation));
            if let Some(start) = starts.filter(|start| (start.when)(request)).last()
                && let Some(id) = start.id.find(request, Some(answer))
            {
                let region = region_of(object, operation, request);
                let ghost = start.ghost.and_then(|path| answer.part(path));
                self.underway.begin(object, &region, &id, start, ghost);
            }
        }
        self.databases.learn(&self.underway, operation, request, answer);
        replicas::learn(&self.underway, operation, request);
    }

    /// Shows what is under way in an answer that tells of it.
    fn show(&self, operation: &Operation, request: &Request, answer: Response) -> Response {
        let mut answer = answer;
        for object in table::OBJECTS {
            for view in object.views.iter().filter(|view| is(view.operation, operation)) {
                answer = self.show_object(object, view, operation, request, answer);
            }
        }
        answer
    }

    fn show_object(
        &self,
        object: &Object,
        view: &View,
        operation: &Operation,
        request: &Request,
        mut answer: Response,
    ) -> Response {
        let region = &region_of(object, operation, request);
        let asked = view.asked.and_then(|name| parameter(request, name));
        let ghosts = self.underway.ghosts(object, region, asked.as_deref());
        if !answer.status.is_success() {
            // What is asked for by name and gone at the emulator is still on its way out.
            return match (asked, ghosts.first()) {
                (Some(_), Some(ghost)) => ghost.answer(&operation.name, view.path),
                _ => answer,
            };
        }
        let Some(mut tree) = Tree::of(&answer) else { return answer };
        let mut changed = false;
        tree.each(view.path, &mut |part| {
            let id = view.id.find(request, Some(part));
            if let Some((field, state)) = id.and_then(|id| self.underway.shown(object, region, &id)) {
                part.set(field, state);
                changed = true;
            }
        });
        // An answer to a change tells of one object only.
        for ghost in ghosts.iter().filter(|_| !operation.is_mutating()) {
            tree.add(view.path, ghost);
            changed = true;
        }
        if changed {
            tree.write(&mut answer);
        }
        answer
    }
}

/// The region of the object that a call is about: the one called, or the one that a parameter names.
fn region_of(object: &Object, operation: &Operation, request: &Request) -> String {
    let start = object.starts.iter().find(|start| is(start.operation, operation));
    let named = start.and_then(|start| start.region).and_then(|name| parameter(request, name));
    named.unwrap_or_else(|| operation.region.clone())
}

#[async_trait]
impl Scenario for SlowStates {
    fn name(&self) -> &'static str {
        "slow-states"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        operation.service == "globalaccelerator"
            || table::OBJECTS.iter().any(|object| object.concerns(operation))
            || databases::concerns(operation)
            || replicas::concerns(operation)
            || certificates::concerns(operation)
    }

    async fn before(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Outcome>, Error> {
        if call.operation.service == "globalaccelerator" && call.operation.is_mutating() {
            // The rules of accelerators are kept where they are made; only the time a change takes is said from here.
            let span = durations::ACCELERATOR_DEPLOYED.draw(&self.given, call.region());
            call.accelerators.settle_next(self.given.clock.ours(span));
            return Ok(None);
        }
        let objection = self.objection(call.operation, request);
        let objection = objection.or_else(|| self.certificates.objection(call.operation, request));
        if let Some((status, code, message)) = objection {
            return Ok(Some(Outcome::Answer(refusal(call, status, code, &message))));
        }
        // The answer to this deletion says nothing of what is deleted.
        if is("ec2:DeleteVpcEndpoints", call.operation) {
            for id in request.form().list("VpcEndpointId") {
                let described = call.described("DescribeVpcEndpoints", "VpcEndpointId.1", id).await?;
                let ghost = described.map(Tree::Xml).and_then(|document| document.part("vpcEndpointSet/item"));
                self.underway.begin(&table::VPC_ENDPOINT, call.region(), id, &table::VPC_ENDPOINT_DELETION, ghost);
            }
        }
        Ok(None)
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        let (operation, request) = (call.operation, call.original);
        if answer.status.is_success()
            && let Some(tree) = Tree::of(&answer)
        {
            self.learn(operation, request, &tree);
        }
        let answer = self.show(operation, request, answer);
        let answer = self.databases.show(&self.underway, operation, answer);
        let answer = replicas::show(&self.underway, operation, answer);
        Ok(Outcome::Answer(self.certificates.show(&self.given, call, answer).await?))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::{HeaderMap, Method};
    use serde_json::{Value, json};

    use super::*;
    use crate::scenarios::tests::{given, operation};

    fn scenario() -> SlowStates {
        SlowStates::new(&given(1))
    }

    fn message(status: u16, body: &str) -> Response {
        Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
        }
    }

    /// What the client sees of an answer of the emulator.
    fn pass(slow: &SlowStates, name: &str, body: &str, status: u16, answer: &str) -> Response {
        let operation = operation(name);
        let request = Request::new(Method::POST, "/".parse().unwrap(), HeaderMap::new(), body.to_owned().into());
        let answer = message(status, answer);
        if answer.status.is_success() {
            slow.learn(&operation, &request, &Tree::of(&answer).unwrap());
        }
        let answer = slow.show(&operation, &request, answer);
        replicas::show(&slow.underway, &operation, slow.databases.show(&slow.underway, &operation, answer))
    }

    fn refused(slow: &SlowStates, name: &str, body: &str) -> Option<&'static str> {
        let request = Request::new(Method::POST, "/".parse().unwrap(), HeaderMap::new(), body.to_owned().into());
        slow.objection(&operation(name), &request).map(|(_, code, _)| code)
    }

    fn text(answer: &Response, path: &str) -> Option<String> {
        Tree::of(answer).and_then(|tree| tree.text(path))
    }

    /// `kms.mrk.wait`: the replica is in another region than the call that makes it, and not usable at first.
    #[tokio::test(start_paused = true)]
    async fn a_replica_key_is_being_made_in_its_own_region() {
        let slow = scenario();
        let body = r#"{"KeyId":"mrk-1","ReplicaRegion":"us-east-2"}"#;
        let made = r#"{"ReplicaKeyMetadata":{"KeyId":"mrk-1","KeyState":"Enabled"}}"#;
        let answer = pass(&slow, "kms:ReplicateKey", body, 200, made);
        assert_eq!(text(&answer, "ReplicaKeyMetadata/KeyState").as_deref(), Some("Creating"));
        // The primary has the same id.
        let read = r#"{"KeyMetadata":{"KeyId":"mrk-1","KeyState":"Enabled"}}"#;
        let answer = pass(&slow, "kms:DescribeKey", r#"{"KeyId":"mrk-1"}"#, 200, read);
        assert_eq!(text(&answer, "KeyMetadata/KeyState").as_deref(), Some("Enabled"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_is_pending_then_available_then_deleting_then_deleted() {
        let slow = scenario();
        let list = |state: &str| {
            format!(
                "<R><natGatewaySet><item><natGatewayId>nat-1</natGatewayId><state>{state}</state></item></natGatewaySet></R>"
            )
        };
        let look = |state: &str| {
            let answer = pass(&slow, "ec2:DescribeNatGateways", "Action=DescribeNatGateways", 200, &list(state));
            text(&answer, "natGatewaySet/item/state").unwrap()
        };
        let created = "<R><natGateway><natGatewayId>nat-1</natGatewayId><state>available</state></natGateway></R>";
        let answer = pass(&slow, "ec2:CreateNatGateway", "Action=CreateNatGateway", 200, created);
        assert_eq!(text(&answer, "natGateway/state").as_deref(), Some("pending"));
        assert_eq!(look("available"), "pending");
        tokio::time::sleep(Duration::from_secs(180)).await;
        assert_eq!(look("available"), "available");
        pass(&slow, "ec2:DeleteNatGateway", "Action=DeleteNatGateway&NatGatewayId=nat-1", 200, "<R/>");
        assert_eq!(look("deleted"), "deleting");
        tokio::time::sleep(Duration::from_secs(180)).await;
        assert_eq!(look("deleted"), "deleted");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_deleted_at_the_emulator_is_seen_until_aws_is_done_with_it() {
        let slow = scenario();
        let deleted = "<R><DeleteDBInstanceResult><DBInstance><DBInstanceIdentifier>i</DBInstanceIdentifier>\
                       <DBInstanceStatus>available</DBInstanceStatus></DBInstance></DeleteDBInstanceResult></R>";
        let answer = pass(&slow, "rds:DeleteDBInstance", "DBInstanceIdentifier=i", 200, deleted);
        assert_eq!(text(&answer, "DeleteDBInstanceResult/DBInstance/DBInstanceStatus").as_deref(), Some("deleting"));
        let by_name = || pass(&slow, "rds:DescribeDBInstances", "DBInstanceIdentifier=i", 404, "<ErrorResponse/>");
        let path = "DescribeDBInstancesResult/DBInstances/DBInstance/DBInstanceStatus";
        assert_eq!(text(&by_name(), path).as_deref(), Some("deleting"));
        let none = "<R><DescribeDBInstancesResult><DBInstances/></DescribeDBInstancesResult></R>";
        let all = || pass(&slow, "rds:DescribeDBInstances", "Action=DescribeDBInstances", 200, none);
        assert_eq!(text(&all(), path).as_deref(), Some("deleting"));
        let other = pass(&slow, "rds:DescribeDBInstances", "DBInstanceIdentifier=j", 404, "<ErrorResponse/>");
        assert_eq!(other.status, StatusCode::NOT_FOUND);
        assert_eq!(refused(&slow, "rds:DeleteDBInstance", "DBInstanceIdentifier=i"), Some("InvalidDBInstanceState"));
        tokio::time::sleep(Duration::from_secs(480)).await;
        assert_eq!(by_name().status, StatusCode::NOT_FOUND);
        assert_eq!(text(&all(), path), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_refuses_changes_until_it_is_active() {
        let slow = scenario();
        let created = json!({ "TableDescription": { "TableName": "t", "TableStatus": "ACTIVE" } }).to_string();
        let name = json!({ "TableName": "t" }).to_string();
        let answer = pass(&slow, "dynamodb:CreateTable", &name, 200, &created);
        assert_eq!(answer.json_body()["TableDescription"]["TableStatus"], "CREATING");
        assert_eq!(refused(&slow, "dynamodb:UpdateTable", &name), Some("ResourceInUseException"));
        let backups = refused(&slow, "dynamodb:UpdateContinuousBackups", &name);
        assert_eq!(backups, Some("ContinuousBackupsUnavailableException"));
        assert_eq!(refused(&slow, "dynamodb:UpdateTable", &json!({ "TableName": "u" }).to_string()), None);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(refused(&slow, "dynamodb:UpdateTable", &name), None);
    }

    /// `ddb.delete.wait`.
    #[tokio::test(start_paused = true)]
    async fn a_table_on_its_way_out_takes_another_deletion_and_one_that_is_busy_takes_none() {
        let slow = scenario();
        let name = json!({ "TableName": "t" }).to_string();
        let answer = json!({ "TableDescription": { "TableName": "t", "TableStatus": "ACTIVE" } }).to_string();
        for change in ["dynamodb:CreateTable", "dynamodb:UpdateTable"] {
            pass(&slow, change, &name, 200, &answer);
            assert_eq!(refused(&slow, "dynamodb:DeleteTable", &name), Some("ResourceInUseException"), "{change}");
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        pass(&slow, "dynamodb:DeleteTable", &name, 200, &answer);
        assert_eq!(refused(&slow, "dynamodb:DeleteTable", &name), None);
        let missing = json!({ "__type": "ResourceNotFoundException" }).to_string();
        let call = |operation: &str| pass(&slow, operation, &name, 400, &missing);
        let (again, look) = (call("dynamodb:DeleteTable"), call("dynamodb:DescribeTable"));
        assert_eq!(again.status, StatusCode::OK);
        assert_eq!(again.json_body()["TableDescription"]["TableStatus"], "DELETING");
        assert_eq!(look.json_body()["Table"]["TableStatus"], "DELETING");
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(call("dynamodb:DeleteTable").status, StatusCode::BAD_REQUEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_comes_and_goes_slowly_and_keeps_its_table_busy() {
        let slow = scenario();
        let table =
            |replicas: Value| json!({ "Table": { "TableName": "t", "TableStatus": "ACTIVE", "Replicas": replicas } });
        let look = |replicas: Value| {
            let request = json!({ "TableName": "t" }).to_string();
            let answer = pass(&slow, "dynamodb:DescribeTable", &request, 200, &table(replicas).to_string());
            let table = answer.json_body()["Table"].clone();
            (table["TableStatus"].clone(), table["Replicas"][0]["ReplicaStatus"].clone())
        };
        let there = json!([{ "RegionName": "us-east-2", "ReplicaStatus": "ACTIVE" }]);
        let change = |action: &str| {
            let request = json!({ "TableName": "t", "ReplicaUpdates": [{ action: { "RegionName": "us-east-2" } }] });
            let answer = json!({ "TableDescription": { "TableName": "t", "TableStatus": "ACTIVE" } });
            pass(&slow, "dynamodb:UpdateTable", &request.to_string(), 200, &answer.to_string())
        };
        change("Create");
        assert_eq!(look(there.clone()), (json!("UPDATING"), json!("CREATING")));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(look(there), (json!("ACTIVE"), json!("ACTIVE")));
        change("Delete");
        assert_eq!(look(json!([])), (json!("UPDATING"), json!("DELETING")));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(look(json!([])), (json!("ACTIVE"), Value::Null));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_cluster_waits_for_the_first_and_its_instance() {
        let slow = scenario();
        let cluster = |id: &str| {
            format!(
                "<R><CreateDBClusterResult><DBCluster><DBClusterIdentifier>{id}</DBClusterIdentifier></DBCluster></CreateDBClusterResult></R>"
            )
        };
        let first = "GlobalClusterIdentifier=g&DBClusterIdentifier=c1&MasterUsername=m";
        let second = "GlobalClusterIdentifier=g&DBClusterIdentifier=c2";
        pass(&slow, "rds:CreateDBCluster", first, 200, &cluster("c1"));
        assert_eq!(refused(&slow, "rds:CreateDBCluster", second), Some("InvalidDBClusterStateFault"));
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(refused(&slow, "rds:CreateDBCluster", second), None);
        let instance = "<R><CreateDBInstanceResult><DBInstance><DBInstanceIdentifier>i</DBInstanceIdentifier></DBInstance></CreateDBInstanceResult></R>";
        pass(&slow, "rds:CreateDBInstance", "DBClusterIdentifier=c1&DBInstanceIdentifier=i", 200, instance);
        assert_eq!(refused(&slow, "rds:CreateDBCluster", second), Some("InvalidDBClusterStateFault"));
        tokio::time::sleep(Duration::from_secs(900)).await;
        assert_eq!(refused(&slow, "rds:CreateDBCluster", second), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_leaves_its_global_cluster_through_promotion() {
        let slow = scenario();
        let body = "GlobalClusterIdentifier=g&DbClusterIdentifier=arn:aws:rds:us-east-2:0:cluster:c2";
        let rest = |members: &str| {
            format!(
                "<R><RemoveFromGlobalClusterResult><GlobalCluster><GlobalClusterMembers>{members}</GlobalClusterMembers>\
                 </GlobalCluster></RemoveFromGlobalClusterResult></R>"
            )
        };
        pass(&slow, "rds:RemoveFromGlobalCluster", body, 200, &rest("<GlobalClusterMember/>"));
        let empty = "<R><DescribeGlobalClustersResult><GlobalClusters><GlobalClusterMember>\
                     <GlobalClusterIdentifier>g</GlobalClusterIdentifier><GlobalClusterMembers/>\
                     </GlobalClusterMember></GlobalClusters></DescribeGlobalClustersResult></R>";
        let look = || pass(&slow, "rds:DescribeGlobalClusters", "Action=DescribeGlobalClusters", 200, empty);
        let path = "DescribeGlobalClustersResult/GlobalClusters/GlobalClusterMember/GlobalClusterMembers/GlobalClusterMember/DBClusterArn";
        assert_eq!(text(&look(), path).as_deref(), Some("arn:aws:rds:us-east-2:0:cluster:c2"));
        assert_eq!(
            refused(&slow, "rds:DeleteGlobalCluster", "GlobalClusterIdentifier=g"),
            Some("InvalidGlobalClusterStateFault")
        );
        let east = Operation { region: "us-east-2".to_owned(), ..operation("rds:DeleteDBCluster") };
        let deletion =
            Request::new(Method::POST, "/".parse().unwrap(), HeaderMap::new(), "DBClusterIdentifier=c2".into());
        assert_eq!(slow.objection(&east, &deletion).map(|(_, code, _)| code), Some("InvalidDBClusterStateFault"));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(text(&look(), path), None);
        assert!(slow.objection(&east, &deletion).is_none());

        let last = "GlobalClusterIdentifier=g&DbClusterIdentifier=arn:aws:rds:us-east-1:0:cluster:c1";
        pass(&slow, "rds:RemoveFromGlobalCluster", last, 200, &rest(""));
        assert_eq!(refused(&slow, "rds:DeleteDBCluster", "DBClusterIdentifier=c1"), None);
    }

    #[test]
    fn every_operation_of_the_table_is_named_as_calls_are_named() {
        for object in table::OBJECTS {
            let starts = object.starts.iter().map(|start| start.operation);
            let views = object.views.iter().map(|view| view.operation);
            for operation in starts.chain(views).chain(object.refused.iter().map(|refused| refused.operation)) {
                let (service, name) = operation.split_once(':').expect("service:Operation");
                assert_eq!(service, service.to_lowercase());
                assert!(name.starts_with(char::is_uppercase), "{operation}");
            }
        }
    }
}
