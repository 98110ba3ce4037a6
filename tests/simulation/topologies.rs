//! Topologies to simulate: a small one by hand, and random ones.

use std::collections::{BTreeMap, BTreeSet};

use drctl_core::address::{Address, Scope};
use drctl_core::aws::tags;
use drctl_core::reference::references;
use drctl_core::topology::{Resource, Stack, Topology};
use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use serde_json::{Value, json};

use super::world::SUFFIX;

/// A resource as tests describe it.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Where it is.
    pub(crate) address: Address,
    /// What it is in.
    pub(crate) parent: Option<Address>,
    /// What it uses: outputs of others.
    pub(crate) uses: BTreeSet<(Address, &'static str)>,
    /// A property that changes in place.
    pub(crate) size: u32,
    /// A property that forces replacement.
    pub(crate) shape: u32,
    /// The value of a tag, if it has one.
    pub(crate) team: Option<u32>,
    /// What has to be gone before it is deleted.
    pub(crate) delete_after: BTreeSet<Address>,
    /// Whether `down` keeps it.
    pub(crate) protected: bool,
}

/// Parts in an order in which they can be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Design(pub(crate) Vec<Part>);

/// The address of a resource in the first region.
pub(crate) fn at(kind: &str, name: &str) -> Address {
    Address::new(Scope::region("us-east-1"), kind, name)
}

fn output(address: &Address, field: &str) -> Value {
    json!({ "$ref": format!("{address}#{field}") })
}

impl Part {
    /// A resource that refers to nothing.
    pub(crate) fn new(address: Address) -> Self {
        let (uses, delete_after) = (BTreeSet::new(), BTreeSet::new());
        Self { address, parent: None, uses, size: 1, shape: 1, team: None, delete_after, protected: false }
    }

    /// The same, in another one.
    pub(crate) fn within(mut self, parent: &Address) -> Self {
        self.parent = Some(parent.clone());
        self
    }

    /// The same, with one more output that it uses.
    pub(crate) fn using(mut self, address: &Address, field: &'static str) -> Self {
        self.uses.insert((address.clone(), field));
        self
    }

    fn resource(&self) -> Resource {
        let is_part = self.address.kind() == "sim_part";
        let mut spec = json!({
            "parent": self.parent.as_ref().map(|parent| output(parent, "id")),
            "uses": self.uses.iter().map(|(address, field)| output(address, field)).collect::<Vec<_>>(),
            "size": self.size,
            "shape": self.shape,
        });
        if !is_part {
            let mut all = BTreeMap::from([
                (tags::DEPLOYMENT.to_owned(), SUFFIX.to_owned()),
                (tags::ADDRESS.to_owned(), self.address.to_string()),
            ]);
            all.extend(self.team.map(|team| ("team".to_owned(), team.to_string())));
            spec["tags"] = json!(all);
        }
        Resource {
            address: self.address.clone(),
            stack: Stack::Network,
            references: references(&spec),
            spec,
            delete_after: self.delete_after.iter().map(|first| (first.clone(), "AWS wants it".to_owned())).collect(),
            supersedes: BTreeSet::new(),
            lock_group: self.parent.clone().filter(|_| is_part),
            data_bearing: self.address.kind() == "sim_data",
            protected: self.protected,
        }
    }
}

impl Design {
    /// The topology of all parts.
    pub(crate) fn topology(&self) -> Topology {
        let resources = self.0.iter().map(|part| (part.address.clone(), part.resource())).collect();
        let outputs = self.0.iter().map(|part| (part.address.to_string(), output(&part.address, "version")));
        Topology { resources, outputs: outputs.collect() }
    }

    /// One part.
    pub(crate) fn part(&mut self, name: &str) -> &mut Part {
        self.0.iter_mut().find(|part| part.address.name() == name).expect("the design has this part")
    }

    /// Takes a part out, and every mention of it.
    pub(crate) fn remove(&mut self, address: &Address) {
        let gone = |parts: &[Part]| -> BTreeSet<Address> {
            // What is in it goes with it.
            let mut gone = BTreeSet::from([address.clone()]);
            for part in parts {
                if part.parent.as_ref().is_some_and(|parent| gone.contains(parent)) {
                    gone.insert(part.address.clone());
                }
            }
            gone
        };
        let gone = gone(&self.0);
        self.0.retain(|part| !gone.contains(&part.address));
        for part in &mut self.0 {
            part.uses.retain(|(address, _)| !gone.contains(address));
            part.delete_after.retain(|address| !gone.contains(address));
        }
    }
}

/// Twelve resources of all kinds, tied in all ways.
pub(crate) fn small() -> Design {
    let (key, network) = (at("sim_token", "key"), at("sim_tagged", "network"));
    let (room_a, room_b) = (at("sim_tagged", "room-a"), at("sim_token", "room-b"));
    let (gateway, door) = (at("sim_slow", "gateway"), at("sim_tagged", "door"));
    let (bucket, zone) = (at("sim_data", "bucket"), at("sim_named", "zone"));
    let (function, alarm) = (at("sim_named", "function"), at("sim_named", "alarm"));
    let mut door_part = Part::new(door).within(&network);
    door_part.delete_after.insert(gateway.clone());
    let mut function_part = Part::new(function.clone()).using(&room_a, "id").using(&bucket, "endpoint");
    function_part.team = Some(1);
    Design(vec![
        Part::new(key.clone()),
        Part::new(network.clone()),
        Part::new(room_a.clone()).within(&network),
        Part::new(room_b).within(&network),
        Part::new(gateway.clone()).within(&room_a).using(&key, "id"),
        door_part,
        Part::new(bucket.clone()).using(&key, "version"),
        Part::new(zone.clone()),
        Part::new(at("sim_part", "record-1")).within(&zone).using(&gateway, "endpoint"),
        Part::new(at("sim_part", "record-2")).within(&zone),
        function_part.using(&gateway, "version"),
        Part::new(alarm).using(&function, "version"),
    ])
}

const KINDS: [&str; 6] = ["sim_token", "sim_slow", "sim_named", "sim_data", "sim_tagged", "sim_part"];

/// So many random resources; each may be in, use, or have to outlive those before it.
pub(crate) fn random(count: usize, random: &mut SmallRng) -> Design {
    let mut design = Design::default();
    for number in 0..count {
        add(&mut design, number, random);
    }
    design
}

/// Adds a random resource.
pub(crate) fn add(design: &mut Design, number: usize, random: &mut SmallRng) {
    let mut kind = *KINDS.choose(random).expect("there are kinds");
    let parents: Vec<Address> =
        design.0.iter().map(|part| part.address.clone()).filter(|address| address.kind() != "sim_part").collect();
    if kind == "sim_part" && parents.is_empty() {
        kind = "sim_named";
    }
    let scope = ["us-east-1", "us-east-2", "global"].choose(random).expect("there are scopes");
    let mut part = Part::new(Address::new(Scope::region(scope), kind, &format!("r{number}")));
    if kind == "sim_part" || random.random_bool(0.4) {
        part.parent = parents.choose(random).cloned();
    }
    part.uses = some_uses(&design.0, random);
    part.size = random.random_range(1..4);
    part.team = random.random_bool(0.3).then_some(1);
    part.protected = random.random_bool(0.04);
    if let Some(before) = design.0.choose_mut(random)
        && random.random_bool(0.2)
    {
        before.delete_after.insert(part.address.clone());
    }
    design.0.push(part);
}

fn some_uses(before: &[Part], random: &mut SmallRng) -> BTreeSet<(Address, &'static str)> {
    let mut uses = BTreeSet::new();
    for _ in 0..random.random_range(0..4) {
        let field = ["id", "version", "endpoint"].choose(random).expect("there are fields");
        uses.extend(before.choose(random).map(|part| (part.address.clone(), *field)));
    }
    uses
}

/// Changes a design in a few random ways, as a user changes a plan.
pub(crate) fn change(design: &mut Design, fresh: &mut usize, random: &mut SmallRng) {
    for _ in 0..random.random_range(1..4) {
        if design.0.is_empty() || random.random_bool(0.2) {
            *fresh += 1;
            add(design, *fresh, random);
            continue;
        }
        let at = random.random_range(0..design.0.len());
        if random.random_bool(0.1) {
            turn_round(design, at, random);
            continue;
        }
        let (before, rest) = design.0.split_at_mut(at);
        let part = &mut rest[0];
        match random.random_range(0..7) {
            0 => part.size += 1,
            1 => part.shape += 1,
            2 => part.team = if part.team.is_none() { Some(1) } else { None },
            3 => part.uses = some_uses(before, random),
            4 => {
                let parents = before.iter().filter(|parent| parent.address.kind() != "sim_part");
                let parents: Vec<_> = parents.map(|parent| parent.address.clone()).collect();
                if let Some(parent) = parents.choose(random) {
                    part.parent = Some(parent.clone());
                }
            }
            5 => part.protected = random.random_bool(0.3),
            _ => {
                let address = part.address.clone();
                design.remove(&address);
            }
        }
    }
}

/// Turns the order of two parts round: the first uses the second from now on, which lets go of whatever is not before both.
fn turn_round(design: &mut Design, second: usize, random: &mut SmallRng) {
    let first = random.random_range(0..=second);
    let (before, rest) = design.0.split_at(first);
    let is_before = |address: &Address| before.iter().any(|part| part.address == *address);
    let part = &rest[second - first];
    let keeps_parent = part.parent.as_ref().is_none_or(is_before);
    if first == second || (part.address.kind() == "sim_part" && !keeps_parent) {
        return;
    }
    let mut part = part.clone();
    part.uses.retain(|(address, _)| is_before(address));
    part.parent = part.parent.filter(|_| keeps_parent);
    design.0[first].uses.insert((part.address.clone(), "id"));
    for later in &mut design.0[first..] {
        later.delete_after.remove(&part.address);
    }
    design.0.remove(second);
    design.0.insert(first, part);
}
