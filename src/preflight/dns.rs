//! Whether the world can find the names of a deployment.
//!
//! ACM issues a certificate only when it can look a record up in public DNS, and when no CAA record keeps it from issuing; in a zone
//! that nobody delegates it waits for ever (`acm.wait.dns`, `r53.zone.delegation`). So both are looked at before anything is made:
//! [`expect`] says what public DNS has to answer, [`Resolver`] asks, [`judge`] and [`judge_issuers`] compare.
//!
//! Invariants:
//! 1. Only a `Resolver` contacts anybody, and it gives up within seconds.
//! 2. No answer is not a wrong answer: the two are told apart, because only one of them is the user's to mend.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfigGroup, ResolverConfig, ResolverOpts};
use hickory_resolver::name_server::TokioConnectionProvider;
use hickory_resolver::proto::rr::{RData, RecordType};

/// The environment variable that names the DNS server to ask, as `address:port`, instead of the system's.
pub const SERVER_VARIABLE: &str = "DRCTL_DNS_SERVER";

/// How long one try may take; there are two.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The names by which CAA records let Amazon issue certificates; any one of them is enough.
const AMAZON: [&str; 4] = ["amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com"];

/// A hosted zone as Route 53 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosted {
    /// Its domain name.
    pub name: String,
    /// Its name servers.
    pub name_servers: Vec<String>,
}

/// What public DNS has to say about a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The name that is looked up.
    pub name: String,
    /// The name servers that must be named.
    pub name_servers: BTreeSet<String>,
}

/// What public DNS says about the delegation of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is delegated to these name servers.
    Servers(BTreeSet<String>),
    /// It is not delegated.
    Nobody,
    /// DNS did not answer; the text says why.
    Silence(String),
}

/// What public DNS says about who may issue certificates for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuers {
    /// Nothing, or nothing about issuing: everybody may.
    Anybody,
    /// Only these, says the name.
    Only {
        /// The name that has the records: the one looked up, or one above it.
        name: String,
        /// The authorities.
        issuers: BTreeSet<String>,
    },
    /// DNS did not answer; the text says why.
    Silence(String),
}

/// Why the certificates of a deployment would never be issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The zone does not exist yet, and nobody would delegate it.
    #[error(
        "the zone {zone} would be made, but nothing delegates it, so its certificates would never be issued; set `domain` to \
         one whose hosted zone is in this account, or name an existing public zone as routing.hosted_zone, or set \
         api.custom_domain.enabled = false"
    )]
    NoParent {
        /// The zone.
        zone: String,
    },
    /// Public DNS knows no name servers for the name.
    #[error(
        "{name} is not delegated: public DNS names no servers for it, so certificates below it would never be issued; put \
         NS records with {} into the zone above it, at your registrar or in its hosted zone", list(.expected)
    )]
    NotDelegated {
        /// The name that was looked up.
        name: String,
        /// The name servers of the hosted zone.
        expected: BTreeSet<String>,
    },
    /// Public DNS names other servers than the hosted zone has.
    #[error(
        "{name} is delegated elsewhere: public DNS names {}, but the hosted zone has {}, so certificates below it would never \
         be issued; put the hosted zone's servers into the zone above it, or name the zone that is delegated in the plan",
        list(.found), list(.expected)
    )]
    Elsewhere {
        /// The name that was looked up.
        name: String,
        /// What public DNS names.
        found: BTreeSet<String>,
        /// The name servers of the hosted zone.
        expected: BTreeSet<String>,
    },
    /// A CAA record lets only others issue certificates.
    #[error(
        "the CAA records of {name} let only {} issue certificates, so Amazon would refuse to; add one: {name} CAA 0 issue \
         \"amazon.com\"", list(.issuers)
    )]
    OtherIssuers {
        /// The name that has the records.
        name: String,
        /// Who may.
        issuers: BTreeSet<String>,
    },
    /// The zone that the plan names is not there.
    #[error("there is no public hosted zone {id} in this account; see those there are: aws route53 list-hosted-zones")]
    NoZone {
        /// Its id.
        id: String,
    },
    /// Several zones have the name of the domain.
    #[error("several public hosted zones of this account are named {name}: {}; name the right one as routing.parent_zone", list(.ids))]
    Ambiguous {
        /// Their name.
        name: String,
        /// Their ids.
        ids: BTreeSet<String>,
    },
    /// DNS did not answer.
    #[error(
        "public DNS could not be asked about {name}: {cause}; check the network, or name a DNS server as \
         {}=address:port",
        SERVER_VARIABLE
    )]
    Silent {
        /// The name that was looked up.
        name: String,
        /// What the resolver reported.
        cause: String,
    },
    /// The environment variable does not name a server.
    #[error(
        "{} is {value:?}, which is no DNS server; write its address and port, such as 192.0.2.53:53",
        SERVER_VARIABLE
    )]
    BadServer {
        /// Its value.
        value: String,
    },
}

/// What public DNS has to answer before a zone's names can be found. `existing` is the zone when Route 53 has it already, `parent`
/// the zone above it into which drctl writes the delegation.
///
/// The parent decides when there is one: whatever it says about the zone now, the run is about to write.
///
/// # Errors
/// [`DnsError::NoParent`] when neither exists: then nobody would delegate the new zone.
pub fn expect(zone: &str, existing: Option<&Hosted>, parent: Option<&Hosted>) -> Result<Expectation, DnsError> {
    let hosted = parent.or(existing).ok_or_else(|| DnsError::NoParent { zone: plain(zone) })?;
    Ok(Expectation {
        name: plain(&hosted.name),
        name_servers: hosted.name_servers.iter().map(|server| plain(server)).collect(),
    })
}

/// Compares what public DNS says with what it has to say.
///
/// # Errors
/// What is wrong, and what to do about it.
pub fn judge(expected: &Expectation, answer: Answer) -> Result<(), DnsError> {
    let name = expected.name.clone();
    match answer {
        // While servers are being exchanged both sets may be named; one right one is enough to be found.
        Answer::Servers(found) if !found.is_disjoint(&expected.name_servers) => Ok(()),
        Answer::Servers(found) => Err(DnsError::Elsewhere { name, found, expected: expected.name_servers.clone() }),
        Answer::Nobody => Err(DnsError::NotDelegated { name, expected: expected.name_servers.clone() }),
        Answer::Silence(cause) => Err(DnsError::Silent { name, cause }),
    }
}

/// Compares who may issue certificates with who has to.
///
/// # Errors
/// When it is only others, or DNS did not answer.
pub fn judge_issuers(name: &str, issuers: Issuers) -> Result<(), DnsError> {
    match issuers {
        Issuers::Anybody => Ok(()),
        Issuers::Only { issuers, .. } if AMAZON.iter().any(|amazon| issuers.contains(*amazon)) => Ok(()),
        Issuers::Only { name, issuers } => Err(DnsError::OtherIssuers { name, issuers }),
        Issuers::Silence(cause) => Err(DnsError::Silent { name: plain(name), cause }),
    }
}

/// Asks public DNS.
pub struct Resolver(Result<TokioResolver, String>);

impl Resolver {
    /// Asks the system's DNS servers, or the one that `server` (the value of [`SERVER_VARIABLE`]) names.
    ///
    /// # Errors
    /// [`DnsError::BadServer`] when `server` is no address with a port.
    pub fn new(server: Option<&str>) -> Result<Self, DnsError> {
        let builder = match server {
            Some(value) => {
                let address: SocketAddr = value.parse().map_err(|_| DnsError::BadServer { value: value.to_owned() })?;
                let group = NameServerConfigGroup::from_ips_clear(&[address.ip()], address.port(), true);
                let config = ResolverConfig::from_parts(None, Vec::new(), group);
                Ok(TokioResolver::builder_with_config(config, TokioConnectionProvider::default()))
            }
            None => TokioResolver::builder_tokio().map_err(|error| error.to_string()),
        };
        let mut options = ResolverOpts::default();
        options.timeout = TIMEOUT;
        options.attempts = 1;
        Ok(Self(builder.map(|builder| builder.with_options(options).build())))
    }

    /// The name servers of a name.
    pub async fn name_servers(&self, name: &str) -> Answer {
        match self.records(name, RecordType::NS).await {
            Ok(records) => {
                let servers = records.iter().filter_map(RData::as_ns).map(|server| plain(&server.0.to_string()));
                let servers: BTreeSet<String> = servers.collect();
                if servers.is_empty() { Answer::Nobody } else { Answer::Servers(servers) }
            }
            Err(cause) => Answer::Silence(cause),
        }
    }

    /// Who may issue certificates for names below this one: the CAA records of the name, or of the nearest one above it that has any.
    pub async fn issuers(&self, name: &str) -> Issuers {
        let name = plain(name);
        let above = std::iter::successors(Some(name.as_str()), |name| name.split_once('.').map(|(_, rest)| rest));
        let names: Vec<&str> = above.filter(|name| name.contains('.')).collect();
        let answers = join_all(names.iter().map(|name| self.records(name, RecordType::CAA))).await;
        for (name, answer) in names.into_iter().zip(answers) {
            let records = match answer {
                Ok(records) => records,
                Err(cause) => return Issuers::Silence(cause),
            };
            let caa: Vec<_> = records.iter().filter_map(RData::as_caa).collect();
            if caa.is_empty() {
                continue;
            }
            // An empty value forbids everybody; it counts as an authority without a name.
            let issuer = |name: Option<String>| name.as_deref().map(plain).unwrap_or_else(|| "nobody".to_owned());
            let issuing = caa.iter().filter(|caa| caa.tag().is_issue());
            let issuers: BTreeSet<String> = issuing
                .filter_map(|caa| caa.value_as_issue().ok())
                .map(|(authority, _)| issuer(authority.map(|authority| authority.to_string())))
                .collect();
            return if issuers.is_empty() {
                Issuers::Anybody
            } else {
                Issuers::Only { name: name.to_owned(), issuers }
            };
        }
        Issuers::Anybody
    }

    /// The records of one type that a name has; none when there is no such name. The error says why nobody answered.
    async fn records(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, String> {
        let resolver = self.0.as_ref().map_err(Clone::clone)?;
        // The final dot keeps the system's search domains out.
        match resolver.lookup(format!("{}.", plain(name)), kind).await {
            Ok(found) => Ok(found.iter().cloned().collect()),
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosted(name: &str, servers: &[&str]) -> Hosted {
        Hosted { name: name.to_owned(), name_servers: servers.iter().map(|server| (*server).to_owned()).collect() }
    }

    fn servers(names: &[&str]) -> Answer {
        Answer::Servers(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_zone_that_nobody_would_delegate_is_refused_before_it_is_made() {
        let error = expect("dr.example.com", None, None).unwrap_err();
        assert!(error.to_string().contains("routing.hosted_zone"), "{error}");
    }

    #[test]
    fn what_the_run_writes_into_the_parent_is_not_demanded_before() {
        let parent = hosted("Example.com.", &["NS-1.awsdns.com."]);
        let zone = hosted("dr.example.com", &["ns-9.awsdns.com"]);
        for existing in [None, Some(&zone)] {
            let expected = expect("dr.example.com", existing, Some(&parent)).unwrap();
            assert_eq!(expected.name, "example.com");
            assert_eq!(judge(&expected, servers(&["ns-1.awsdns.com"])), Ok(()));
        }
    }

    #[test]
    fn each_wrong_answer_is_named_for_what_it_is() {
        let expected = expect("dr.example.com", Some(&hosted("dr.example.com", &["ns-1.awsdns.com"])), None).unwrap();
        let elsewhere = judge(&expected, servers(&["ns.registrar.net"])).unwrap_err().to_string();
        assert!(elsewhere.contains("ns.registrar.net") && elsewhere.contains("ns-1.awsdns.com"), "{elsewhere}");
        let nobody = judge(&expected, Answer::Nobody).unwrap_err();
        assert!(matches!(nobody, DnsError::NotDelegated { .. }), "{nobody}");
        let silence = judge(&expected, Answer::Silence("timed out".into())).unwrap_err();
        assert!(matches!(silence, DnsError::Silent { .. }), "{silence}");
    }

    #[test]
    fn only_records_that_leave_amazon_out_are_refused() {
        let only = |issuers: &[&str]| {
            let issuers = issuers.iter().map(|issuer| (*issuer).to_owned()).collect();
            judge_issuers("dr.example.com", Issuers::Only { name: "example.com".into(), issuers })
        };
        assert_eq!(judge_issuers("dr.example.com", Issuers::Anybody), Ok(()));
        assert_eq!(only(&["letsencrypt.org", "amazontrust.com"]), Ok(()));
        let error = only(&["letsencrypt.org"]).unwrap_err().to_string();
        assert!(
            error.contains("letsencrypt.org") && error.contains("example.com CAA 0 issue \"amazon.com\""),
            "{error}"
        );
    }

    #[test]
    fn a_server_without_a_port_is_refused_before_anybody_is_asked() {
        let error = Resolver::new(Some("localhost")).err();
        assert_eq!(error, Some(DnsError::BadServer { value: "localhost".into() }));
    }
}
