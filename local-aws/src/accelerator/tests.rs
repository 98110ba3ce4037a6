//! The rules of Global Accelerator, told by whole calls at chosen times.

use std::time::Duration;

use serde_json::{Value, json};

use super::model::{Fault, Model};
use super::wire::{Input, perform};

const BALANCER: &str = "arn:aws:elasticloadbalancing:eu-west-1:000000000000:loadbalancer/app/api/0123456789abcdef";

/// The model with a clock that stands until it is moved.
struct World {
    model: Model,
    now: Duration,
}

impl World {
    fn new() -> Self {
        Self { model: Model::new(Duration::from_secs(60)), now: Duration::from_secs(1_000_000) }
    }

    fn call(&mut self, operation: &str, input: Value) -> Result<Value, Fault> {
        perform(&mut self.model, self.now, Input::parse(operation, input.to_string().as_bytes())?)
    }

    fn code(&mut self, operation: &str, input: Value) -> &'static str {
        self.call(operation, input).expect_err("the call should be refused").code
    }

    /// Lets everything be deployed.
    fn deploy(&mut self) {
        self.now += Duration::from_secs(60);
    }

    fn accelerator(&mut self, token: &str) -> String {
        let input = json!({ "Name": "payments", "IdempotencyToken": token, "Tags": [{ "Key": "a", "Value": "1" }] });
        text(&self.call("CreateAccelerator", input).unwrap()["Accelerator"]["AcceleratorArn"])
    }

    fn listener(&mut self, accelerator: &str, from: u32, to: u32) -> Result<Value, Fault> {
        let input = json!({ "AcceleratorArn": accelerator, "Protocol": "TCP", "IdempotencyToken": format!("l{from}"),
            "PortRanges": [{ "FromPort": from, "ToPort": to }] });
        self.call("CreateListener", input)
    }

    fn group(&mut self, listener: &str, region: &str, endpoints: Value) -> Result<Value, Fault> {
        let input = json!({ "ListenerArn": listener, "EndpointGroupRegion": region,
            "IdempotencyToken": format!("g{region}{endpoints}"), "EndpointConfigurations": endpoints });
        self.call("CreateEndpointGroup", input)
    }

    /// A deployed accelerator with a listener and an endpoint group; their ARNs.
    fn stack(&mut self) -> [String; 3] {
        let accelerator = self.accelerator("1");
        let listener = text(&self.listener(&accelerator, 443, 443).unwrap()["Listener"]["ListenerArn"]);
        let group = self.group(&listener, "eu-west-1", json!([{ "EndpointId": BALANCER }])).unwrap();
        self.deploy();
        [accelerator, listener, text(&group["EndpointGroup"]["EndpointGroupArn"])]
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn the_same_token_gives_the_same_accelerator_listener_and_group() {
    let mut world = World::new();
    let accelerator = world.accelerator("1");
    assert_eq!(world.accelerator("1"), accelerator);
    assert_ne!(world.accelerator("2"), accelerator);
    let listener = world.listener(&accelerator, 443, 443).unwrap();
    assert_eq!(world.listener(&accelerator, 443, 443).unwrap(), listener);
    let listener = text(&listener["Listener"]["ListenerArn"]);
    let group = world.group(&listener, "eu-west-1", json!([])).unwrap();
    assert_eq!(world.group(&listener, "eu-west-1", json!([])).unwrap(), group);
}

#[test]
fn an_accelerator_has_the_fields_of_the_real_one() {
    let mut world = World::new();
    let arn = world.accelerator("1");
    let view = world.call("DescribeAccelerator", json!({ "AcceleratorArn": arn })).unwrap()["Accelerator"].clone();
    assert!(arn.starts_with("arn:aws:globalaccelerator::000000000000:accelerator/"));
    assert_eq!(view["IpSets"][0]["IpAddresses"].as_array().unwrap().len(), 2);
    assert!(text(&view["DnsName"]).ends_with(".awsglobalaccelerator.com"));
    assert!(view.get("DualStackDnsName").is_none());
    assert_eq!(view["CreatedTime"], json!(1_000_000.0));
    assert_eq!((&view["Enabled"], &view["IpAddressType"]), (&json!(true), &json!("IPV4")));
}

/// `ga.status-shared`
#[test]
fn every_change_puts_the_accelerator_back_in_progress() {
    let mut world = World::new();
    let [accelerator, listener, group] = world.stack();
    let changes = [
        ("UpdateAccelerator", json!({ "AcceleratorArn": accelerator, "Name": "other" })),
        ("UpdateListener", json!({ "ListenerArn": listener, "ClientAffinity": "SOURCE_IP" })),
        ("UpdateEndpointGroup", json!({ "EndpointGroupArn": group, "TrafficDialPercentage": 0.0 })),
        ("AddEndpoints", json!({ "EndpointGroupArn": group, "EndpointConfigurations": [{ "EndpointId": "i-0a" }] })),
        ("RemoveEndpoints", json!({ "EndpointGroupArn": group, "EndpointIdentifiers": [{ "EndpointId": "i-0a" }] })),
        ("DeleteEndpointGroup", json!({ "EndpointGroupArn": group })),
        ("DeleteListener", json!({ "ListenerArn": listener })),
    ];
    for (operation, input) in changes {
        let status = |world: &mut World| {
            let view = world.call("DescribeAccelerator", json!({ "AcceleratorArn": accelerator })).unwrap();
            text(&view["Accelerator"]["Status"])
        };
        assert_eq!(status(&mut world), "DEPLOYED", "before {operation}");
        world.call(operation, input).unwrap();
        assert_eq!(status(&mut world), "IN_PROGRESS", "after {operation}");
        world.deploy();
    }
}

#[test]
fn a_transaction_in_progress_refuses_the_next_one() {
    let mut world = World::new();
    let [accelerator, _, group] = world.stack();
    world.call("UpdateAccelerator", json!({ "AcceleratorArn": accelerator, "Name": "other" })).unwrap();
    let endpoints = json!({ "EndpointGroupArn": group, "EndpointConfigurations": [{ "EndpointId": "i-0a" }] });
    assert_eq!(world.code("AddEndpoints", endpoints.clone()), "TransactionInProgressException");
    let update = json!({ "AcceleratorArn": accelerator, "Enabled": false });
    assert_eq!(world.code("UpdateAccelerator", update), "TransactionInProgressException");
    let logs = json!({ "AcceleratorArn": accelerator, "FlowLogsEnabled": false });
    assert_eq!(world.code("UpdateAcceleratorAttributes", logs), "TransactionInProgressException");
    world.deploy();
    world.call("AddEndpoints", endpoints).unwrap();
}

/// `ga.delete`
#[test]
fn deletion_goes_bottom_up_and_needs_the_accelerator_disabled() {
    let mut world = World::new();
    let [accelerator, listener, group] = world.stack();
    let delete = json!({ "AcceleratorArn": accelerator });
    assert_eq!(world.code("DeleteAccelerator", delete.clone()), "AcceleratorNotDisabledException");
    world.call("UpdateAccelerator", json!({ "AcceleratorArn": accelerator, "Enabled": false })).unwrap();
    world.deploy();
    assert_eq!(world.code("DeleteAccelerator", delete.clone()), "AssociatedListenerFoundException");
    let delete_listener = json!({ "ListenerArn": listener });
    assert_eq!(world.code("DeleteListener", delete_listener.clone()), "AssociatedEndpointGroupFoundException");
    world.call("DeleteEndpointGroup", json!({ "EndpointGroupArn": group })).unwrap();
    world.call("DeleteListener", delete_listener).unwrap();
    // The deleted listener is still seen until its deletion is deployed.
    assert_eq!(world.code("DeleteAccelerator", delete.clone()), "AssociatedListenerFoundException");
    world.deploy();
    world.call("DeleteAccelerator", delete.clone()).unwrap();
    assert_eq!(world.code("DescribeAccelerator", delete), "AcceleratorNotFoundException");
}

#[test]
fn deletion_waits_for_the_disabling_to_be_deployed() {
    let mut world = World::new();
    let accelerator = world.accelerator("1");
    world.deploy();
    world.call("UpdateAccelerator", json!({ "AcceleratorArn": accelerator, "Enabled": false })).unwrap();
    let delete = json!({ "AcceleratorArn": accelerator });
    assert_eq!(world.code("DeleteAccelerator", delete.clone()), "TransactionInProgressException");
    world.deploy();
    world.call("DeleteAccelerator", delete).unwrap();
}

#[test]
fn what_does_not_exist_is_named_by_its_kind() {
    let mut world = World::new();
    assert_eq!(world.code("DescribeAccelerator", json!({ "AcceleratorArn": "a" })), "AcceleratorNotFoundException");
    assert_eq!(world.code("DescribeListener", json!({ "ListenerArn": "a" })), "ListenerNotFoundException");
    assert_eq!(
        world.code("DescribeEndpointGroup", json!({ "EndpointGroupArn": "a" })),
        "EndpointGroupNotFoundException"
    );
    assert_eq!(world.code("ListTagsForResource", json!({ "ResourceArn": "a" })), "AcceleratorNotFoundException");
}

/// `ga.listener.create`
#[test]
fn ports_overlap_neither_within_a_listener_nor_across_the_accelerator() {
    let mut world = World::new();
    let accelerator = world.accelerator("1");
    let first = world.listener(&accelerator, 80, 90).unwrap();
    assert_eq!(world.listener(&accelerator, 90, 100).unwrap_err().code, "InvalidPortRangeException");
    assert_eq!(world.listener(&accelerator, 0, 1).unwrap_err().code, "InvalidPortRangeException");
    assert_eq!(world.listener(&accelerator, 65000, 65536).unwrap_err().code, "InvalidPortRangeException");
    assert_eq!(world.listener(&accelerator, 200, 100).unwrap_err().code, "InvalidPortRangeException");
    world.listener(&accelerator, 443, 443).unwrap();
    // A listener does not overlap with what it had before.
    let wider = json!({ "ListenerArn": first["Listener"]["ListenerArn"],
        "PortRanges": [{ "FromPort": 80, "ToPort": 99 }] });
    world.call("UpdateListener", wider).unwrap();
}

/// `ga.epg.create`
#[test]
fn a_listener_has_one_group_per_region_with_the_documented_defaults() {
    let mut world = World::new();
    let accelerator = world.accelerator("1");
    let listener = text(&world.listener(&accelerator, 443, 443).unwrap()["Listener"]["ListenerArn"]);
    let group =
        world.group(&listener, "eu-west-1", json!([{ "EndpointId": BALANCER }])).unwrap()["EndpointGroup"].clone();
    assert_eq!(group["TrafficDialPercentage"], json!(100.0));
    assert_eq!((&group["HealthCheckIntervalSeconds"], &group["ThresholdCount"]), (&json!(30), &json!(3)));
    assert_eq!((&group["HealthCheckPort"], &group["HealthCheckProtocol"]), (&json!(443), &json!("TCP")));
    let endpoint = &group["EndpointDescriptions"][0];
    assert_eq!((&endpoint["Weight"], &endpoint["ClientIPPreservationEnabled"]), (&json!(128), &json!(true)));
    assert_eq!(endpoint["HealthState"], "INITIAL");
    let again = world.group(&listener, "eu-west-1", json!([])).unwrap_err();
    assert_eq!(again.code, "EndpointGroupAlreadyExistsException");
    world.group(&listener, "eu-central-1", json!([])).unwrap();
}

/// `ga.endpoint-types`
#[test]
fn only_load_balancers_addresses_and_instances_of_the_region_are_endpoints() {
    let mut world = World::new();
    let accelerator = world.accelerator("1");
    let listener = text(&world.listener(&accelerator, 443, 443).unwrap()["Listener"]["ListenerArn"]);
    for refused in [
        "arn:aws:execute-api:eu-west-1:000000000000:abc/prod",
        "arn:aws:apigateway:eu-west-1::/restapis/abc",
        "abc.execute-api.eu-west-1.amazonaws.com",
        "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/api/0123456789abcdef",
        "arn:aws:elasticloadbalancing:eu-west-1:000000000000:loadbalancer/gwy/api/0123456789abcdef",
        "arn:aws:elasticloadbalancing:eu-west-1:000000000000:targetgroup/api/0123456789abcdef",
        "i-",
    ] {
        let fault = world.group(&listener, "eu-west-1", json!([{ "EndpointId": refused }])).unwrap_err();
        assert_eq!(fault.code, "InvalidArgumentException", "{refused}");
    }
    let all = json!([{ "EndpointId": BALANCER }, { "EndpointId": "eipalloc-0a1" }, { "EndpointId": "i-0a1" }]);
    world.group(&listener, "eu-west-1", all).unwrap();
}

/// `ga.epg.update-replaces`
#[test]
fn an_update_replaces_all_endpoints_and_adding_keeps_them() {
    let mut world = World::new();
    let [_, _, group] = world.stack();
    let add = json!({ "EndpointGroupArn": group, "EndpointConfigurations": [{ "EndpointId": "i-0a", "Weight": 1 }] });
    let added = world.call("AddEndpoints", add).unwrap();
    assert_eq!(added["EndpointDescriptions"].as_array().unwrap().len(), 2);
    let update = json!({ "EndpointGroupArn": group, "EndpointConfigurations": [{ "EndpointId": "i-0b" }] });
    let updated = world.call("UpdateEndpointGroup", update).unwrap();
    let endpoints = updated["EndpointGroup"]["EndpointDescriptions"].as_array().unwrap();
    assert_eq!(endpoints.iter().map(|endpoint| text(&endpoint["EndpointId"])).collect::<Vec<_>>(), ["i-0b"]);
}

/// Invariant 2 of the parent module.
#[test]
fn a_refused_update_changes_nothing() {
    let mut world = World::new();
    let [_, _, group] = world.stack();
    let before = world.call("DescribeEndpointGroup", json!({ "EndpointGroupArn": group })).unwrap();
    for wrong in [
        json!({ "TrafficDialPercentage": 10.0, "HealthCheckIntervalSeconds": 20 }),
        json!({ "TrafficDialPercentage": 10.0, "ThresholdCount": 11 }),
        json!({ "EndpointConfigurations": [{ "EndpointId": "i-0a" }, { "EndpointId": "nothing" }] }),
        json!({ "EndpointConfigurations": [{ "EndpointId": "i-0a", "Weight": 256 }] }),
    ] {
        let mut input = wrong.clone();
        input["EndpointGroupArn"] = json!(group);
        assert_eq!(world.code("UpdateEndpointGroup", input), "InvalidArgumentException", "{wrong}");
    }
    assert_eq!(world.call("DescribeEndpointGroup", json!({ "EndpointGroupArn": group })).unwrap(), before);
}

/// `ga.limits`
#[test]
fn quotas_are_those_of_a_new_account() {
    let mut world = World::new();
    let [_, listener, group] = world.stack();
    let eleven: Vec<Value> = (0..11).map(|n| json!({ "EndpointId": format!("i-{n:02}") })).collect();
    let update = json!({ "EndpointGroupArn": group, "EndpointConfigurations": eleven });
    assert_eq!(world.code("UpdateEndpointGroup", update), "LimitExceededException");
    for n in 1..42 {
        world.group(&listener, &format!("eu-test-{n}"), json!([])).unwrap();
    }
    assert_eq!(world.group(&listener, "eu-test-42", json!([])).unwrap_err().code, "LimitExceededException");
    for n in 2..=20 {
        world.accelerator(&n.to_string());
    }
    let one_more = json!({ "Name": "x", "IdempotencyToken": "21" });
    assert_eq!(world.code("CreateAccelerator", one_more), "LimitExceededException");
}

/// `ga.read`
#[test]
fn lists_come_in_pages_of_ten() {
    let mut world = World::new();
    let arns: Vec<String> = (0..12).map(|n| world.accelerator(&n.to_string())).collect();
    let first = world.call("ListAccelerators", json!({})).unwrap();
    assert_eq!(first["Accelerators"].as_array().unwrap().len(), 10);
    let second = world.call("ListAccelerators", json!({ "NextToken": first["NextToken"] })).unwrap();
    let listed: Vec<String> =
        second["Accelerators"].as_array().unwrap().iter().map(|a| text(&a["AcceleratorArn"])).collect();
    assert_eq!(listed, arns[10..]);
    assert!(second.get("NextToken").is_none());
    assert_eq!(world.code("ListAccelerators", json!({ "NextToken": "x" })), "InvalidNextTokenException");
    let all = world.call("ListAccelerators", json!({ "MaxResults": 100 })).unwrap();
    assert_eq!(all["Accelerators"].as_array().unwrap().len(), 12);
}

#[test]
fn tags_are_those_of_the_create_call_as_changed_since() {
    let mut world = World::new();
    let arn = world.accelerator("1");
    let tags = json!([{ "Key": "a", "Value": "2" }, { "Key": "b", "Value": "1" }]);
    world.call("TagResource", json!({ "ResourceArn": arn, "Tags": tags })).unwrap();
    assert_eq!(world.call("ListTagsForResource", json!({ "ResourceArn": arn })).unwrap(), json!({ "Tags": tags }));
    world.call("UntagResource", json!({ "ResourceArn": arn, "TagKeys": ["a"] })).unwrap();
    let left = world.call("ListTagsForResource", json!({ "ResourceArn": arn })).unwrap();
    assert_eq!(left, json!({ "Tags": [{ "Key": "b", "Value": "1" }] }));
}

#[test]
fn flow_logs_need_a_bucket_and_a_prefix() {
    let mut world = World::new();
    let arn = world.accelerator("1");
    world.deploy();
    let mut input = json!({ "AcceleratorArn": arn, "FlowLogsEnabled": true, "FlowLogsS3Bucket": "b" });
    assert_eq!(world.code("UpdateAcceleratorAttributes", input.clone()), "InvalidArgumentException");
    input["FlowLogsS3Prefix"] = json!("p");
    world.call("UpdateAcceleratorAttributes", input).unwrap();
    let read = world.call("DescribeAcceleratorAttributes", json!({ "AcceleratorArn": arn })).unwrap();
    let expected = json!({ "FlowLogsEnabled": true, "FlowLogsS3Bucket": "b", "FlowLogsS3Prefix": "p" });
    assert_eq!(read["AcceleratorAttributes"], expected);
}

#[test]
fn names_are_checked_as_by_the_real_one() {
    let mut world = World::new();
    for name in ["", "-a", "a.", "a b", &"a".repeat(65)] {
        let input = json!({ "Name": name, "IdempotencyToken": "1" });
        assert_eq!(world.code("CreateAccelerator", input), "InvalidArgumentException", "{name:?}");
    }
    assert_eq!(world.code("CreateAccelerator", json!({ "Name": "a" })), "InvalidArgumentException");
}
