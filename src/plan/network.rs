//! `[network]`: address ranges, zones, NAT and flow logs of both regions.
//!
//! Subnet ranges that the plan leaves out are derived from the range of the VPC by [`derive_subnets`]. The layout
//! leaves gaps, so that another zone never moves the subnets that exist: AWS cannot change the range of a subnet
//! (`subnet.update.one-attr`).

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::Side;
use super::values::{RetentionDays, ValueError, Zone};

/// The networks of both regions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// How private subnets reach the internet: `per-az` (a NAT gateway in every zone, survives the loss of a zone, each
    /// about 37 USD a month plus traffic), `single` (one per region) or `none` (nothing in the private subnets reaches
    /// anything but S3 and DynamoDB: functions cannot publish events).
    pub nat: Nat,
    /// Records of all network traffic, kept in CloudWatch Logs.
    pub flow_logs: FlowLogs,
    /// The VPC of the primary region.
    #[serde(deserialize_with = "primary")]
    #[schemars(with = "RegionNetworkFile")]
    pub primary: RegionNetwork,
    /// The VPC of the secondary region.
    #[serde(deserialize_with = "secondary")]
    #[schemars(with = "RegionNetworkFile")]
    pub secondary: RegionNetwork,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            nat: Nat::PerAz,
            flow_logs: FlowLogs::default(),
            primary: RegionNetworkFile::default().with_defaults(Side::Primary),
            secondary: RegionNetworkFile::default().with_defaults(Side::Secondary),
        }
    }
}

impl Network {
    /// The VPC of one side.
    pub fn side(&self, side: Side) -> &RegionNetwork {
        match side {
            Side::Primary => &self.primary,
            Side::Secondary => &self.secondary,
        }
    }
}

/// How private subnets reach the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Nat {
    /// A NAT gateway in every zone.
    PerAz,
    /// One NAT gateway per region, in its first zone.
    Single,
    /// No NAT gateway.
    None,
}

/// Flow logs of the VPCs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FlowLogs {
    /// Whether flow logs are written.
    pub enabled: bool,
    /// Days CloudWatch Logs keeps them.
    pub retention_days: RetentionDays,
    /// Seconds that one record sums up: 60 or 600; 60 shows more and costs more.
    #[schemars(extend("enum" = [60, 600]))]
    pub aggregation_seconds: u32,
}

impl Default for FlowLogs {
    fn default() -> Self {
        Self { enabled: true, retention_days: RetentionDays::MONTH, aggregation_seconds: 600 }
    }
}

/// The network of one region, all defaults filled in. The n-th subnet of each list lies in the n-th zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegionNetwork {
    /// The range of the VPC.
    pub cidr: Cidr,
    /// The availability zones in use.
    pub zones: Vec<Zone>,
    /// The ranges of the public subnets: NAT gateways live here.
    pub public_subnets: Vec<Cidr>,
    /// The ranges of the private subnets: functions, databases and load balancers live here.
    pub private_subnets: Vec<Cidr>,
}

/// The network of one region as the plan file has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "RegionNetwork")]
pub(super) struct RegionNetworkFile {
    /// The range of the VPC, /16 to /28; by default 10.0.0.0/16 in the primary and 10.1.0.0/16 in the secondary region.
    /// The two must not overlap, so that they can be peered. Changing it replaces the whole network.
    cidr: Option<Cidr>,
    /// The letters of the availability zones, at least two for Aurora and load balancers; by default a, b and c.
    #[schemars(length(min = 1, max = 6))]
    zones: Option<Vec<Zone>>,
    /// The ranges of the public subnets, one per zone; left out, they are derived from `cidr`.
    public_subnets: Option<Vec<Cidr>>,
    /// The ranges of the private subnets, one per zone; left out, they are derived from `cidr`.
    private_subnets: Option<Vec<Cidr>>,
}

impl RegionNetworkFile {
    fn with_defaults(self, side: Side) -> RegionNetwork {
        let cidr = self.cidr.unwrap_or_else(|| {
            let second = match side {
                Side::Primary => 0,
                Side::Secondary => 1,
            };
            Cidr(Ipv4Net::new_assert(Ipv4Addr::new(10, second, 0, 0), 16))
        });
        let zones = self.zones.unwrap_or_else(|| {
            ["a", "b", "c"].iter().map(|letter| letter.parse().expect("a letter is a zone")).collect()
        });
        let (public, private) = derive_subnets(cidr, zones.len()).unwrap_or_default();
        RegionNetwork {
            cidr,
            public_subnets: self.public_subnets.unwrap_or(public),
            private_subnets: self.private_subnets.unwrap_or(private),
            zones,
        }
    }
}

fn primary<'de, D: Deserializer<'de>>(from: D) -> Result<RegionNetwork, D::Error> {
    Ok(RegionNetworkFile::deserialize(from)?.with_defaults(Side::Primary))
}

fn secondary<'de, D: Deserializer<'de>>(from: D) -> Result<RegionNetwork, D::Error> {
    Ok(RegionNetworkFile::deserialize(from)?.with_defaults(Side::Secondary))
}

/// Divides the range of a VPC into public and private subnets, one of each per zone; none when the range is too small
/// (smaller than /20) or there are more than six zones.
///
/// The range is cut into sixteen equal parts. The private subnet of the n-th zone is the n-th part; the public ones are
/// the first sixteenths of the last part: `10.0.0.0/20`, `10.0.16.0/20` ... and `10.0.240.0/24`, `10.0.241.0/24` ... of
/// `10.0.0.0/16`.
pub fn derive_subnets(vpc: Cidr, zones: usize) -> Option<(Vec<Cidr>, Vec<Cidr>)> {
    let (private, public) = (vpc.0.prefix_len() + 4, vpc.0.prefix_len() + 8);
    if zones > 6 || public > 28 {
        return None;
    }
    let parts: Vec<Ipv4Net> = vpc.0.subnets(private).ok()?.collect();
    let last = parts.last()?;
    Some((
        last.subnets(public).ok()?.take(zones).map(Cidr).collect(),
        parts.iter().take(zones).copied().map(Cidr).collect(),
    ))
}

/// A range of IPv4 addresses such as `10.0.0.0/16`, of a size that a VPC or subnet may have (/16 to /28), without host
/// bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr(Ipv4Net);

impl Cidr {
    /// The range as a network.
    pub fn net(self) -> Ipv4Net {
        self.0
    }

    /// The length of the prefix: 16 of `10.0.0.0/16`.
    pub fn prefix_len(self) -> u8 {
        self.0.prefix_len()
    }

    /// Tells whether another range lies within this one.
    pub fn contains(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Tells whether the two ranges have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }
}

impl FromStr for Cidr {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let net: Ipv4Net = text
            .parse()
            .map_err(|_| ValueError(format!("{text:?} is not a range of addresses; write \"10.0.0.0/16\"")))?;
        if net.trunc() != net {
            return Err(ValueError(format!(
                "{text:?} does not begin on its boundary; {:?} does",
                net.trunc().to_string()
            )));
        }
        if !(16..=28).contains(&net.prefix_len()) {
            return Err(ValueError(format!("/{} is out of range; VPCs and subnets have /16 to /28", net.prefix_len())));
        }
        Ok(Self(net))
    }
}

impl TryFrom<String> for Cidr {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl JsonSchema for Cidr {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cidr".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["10.0.0.0/16"] })
    }
}
