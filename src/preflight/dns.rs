//! Whether the world can find the names of a deployment.
//!
//! ACM issues a certificate only when it can look a record up in public DNS; in a zone that nobody delegates it waits for ever
//! (`acm.wait.dns`, `r53.zone.delegation`). So the delegation is looked at before anything is made: [`expect`] says what public
//! DNS has to answer, [`look_up`] asks, [`judge`] compares.
//!
//! Invariants:
//! 1. Only `look_up` contacts anybody, and it gives up within seconds.
//! 2. No answer is not a wrong answer: the two are told apart, because only one of them is the user's to mend.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfigGroup, ResolverConfig, ResolverOpts};
use hickory_resolver::name_server::TokioConnectionProvider;

/// The environment variable that names the DNS server to ask, as `address:port`, instead of the system's.
pub const SERVER_VARIABLE: &str = "DRCTL_DNS_SERVER";

/// How long one try may take; there are two.
const TIMEOUT: Duration = Duration::from_secs(4);

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

/// Why the certificates of a deployment would never be issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The zone does not exist yet, and nobody would delegate it.
    #[error(
        "the zone {zone} would be made, but nothing delegates it, so its certificates would never be issued; name the hosted \
         zone of the domain above it as routing.parent_zone, or an existing public zone as routing.hosted_zone, or set \
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

/// Asks for the name servers of a name: the system's DNS servers, or the one that `server` (the value of
/// [`SERVER_VARIABLE`]) names.
///
/// # Errors
/// [`DnsError::BadServer`] when `server` is no address with a port. That nobody answers is an [`Answer`].
pub async fn look_up(name: &str, server: Option<&str>) -> Result<Answer, DnsError> {
    let builder = match server {
        Some(value) => {
            let address: SocketAddr = value.parse().map_err(|_| DnsError::BadServer { value: value.to_owned() })?;
            let group = NameServerConfigGroup::from_ips_clear(&[address.ip()], address.port(), true);
            let config = ResolverConfig::from_parts(None, Vec::new(), group);
            TokioResolver::builder_with_config(config, TokioConnectionProvider::default())
        }
        None => match TokioResolver::builder_tokio() {
            Ok(builder) => builder,
            Err(error) => return Ok(Answer::Silence(error.to_string())),
        },
    };
    let mut options = ResolverOpts::default();
    options.timeout = TIMEOUT;
    options.attempts = 1;
    let resolver = builder.with_options(options).build();
    // The final dot keeps the system's search domains out.
    Ok(match resolver.ns_lookup(format!("{}.", plain(name))).await {
        Ok(found) => Answer::Servers(found.iter().map(|server| plain(&server.0.to_string())).collect()),
        Err(error) if error.is_no_records_found() || error.is_nx_domain() => Answer::Nobody,
        Err(error) => Answer::Silence(error.to_string()),
    })
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
        assert!(error.to_string().contains("routing.parent_zone"), "{error}");
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

    #[tokio::test]
    async fn a_server_without_a_port_is_refused_before_anybody_is_asked() {
        let error = look_up("example.com", Some("localhost")).await.unwrap_err();
        assert_eq!(error, DnsError::BadServer { value: "localhost".into() });
    }
}
