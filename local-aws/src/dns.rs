//! Public DNS, as far as the local AWS has any: the zones that lead down from the one domain its account owns.
//!
//! drctl asks public DNS whether a domain is delegated before it makes anything. Here nothing on the internet may be asked, so a
//! name server on loopback answers from the hosted zones of the emulator. It answers as a recursive server does: from the zone of
//! [`DOMAIN`] it follows `NS` records down to other hosted zones. A hosted zone to which nothing leads is as unknown to it as it is to the world.
//!
//! Invariants:
//! 1. It listens on 127.0.0.1 alone, and asks nobody but the emulator.
//! 2. A hosted zone counts only when the zone above names it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::http::Method;
use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::txt::RDataParser;
use tokio::net::UdpSocket;
use xmltree::Element;

use crate::emulator::Emulator;
use crate::error::Error;
use crate::message::XmlExt;

/// The domain that the account owns: its hosted zone exists from the start, and all the world finds it.
pub(crate) const DOMAIN: &str = "example.com";

/// Longer questions than this are cut off; nobody asks them.
const LONGEST: usize = 1500;

/// A name server.
pub(crate) struct NameServer {
    socket: Arc<UdpSocket>,
    emulator: Emulator,
}

/// One record set of a hosted zone.
#[derive(Clone, Debug, PartialEq)]
struct RecordSet {
    name: String,
    kind: String,
    ttl: u32,
    values: Vec<String>,
}

impl NameServer {
    /// Makes the hosted zone of [`DOMAIN`] and listens on a free port.
    pub(crate) async fn start(emulator: Emulator) -> Result<Self, Error> {
        let reference = jiff::Timestamp::now();
        let body = format!(
            "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Name>{DOMAIN}</Name>\
             <CallerReference>{reference}</CallerReference></CreateHostedZoneRequest>"
        );
        let made = emulator.rest("route53", "us-east-1", Method::POST, "/2013-04-01/hostedzone", &body).await?;
        made.ok_or_else(|| Error::Call(format!("no hosted zone can be made for {DOMAIN}")))?;
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        Ok(Self { socket, emulator })
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> Result<u16, Error> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Answers questions until the socket fails.
    pub(crate) async fn serve(&self) -> Error {
        let mut buffer = [0; LONGEST];
        loop {
            let (length, from) = match self.socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => return error.into(),
            };
            // What is no question gets no answer.
            let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
            let (socket, emulator) = (self.socket.clone(), self.emulator.clone());
            tokio::spawn(async move {
                if let Ok(answer) = answer(&emulator, &question).await.to_vec() {
                    // Who asked and went away asks again.
                    let _ = socket.send_to(&answer, from).await;
                }
            });
        }
    }
}

async fn answer(emulator: &Emulator, question: &Message) -> Message {
    let mut answer = Message::new();
    answer.set_id(question.id()).set_op_code(question.op_code()).set_message_type(MessageType::Response);
    answer.set_recursion_desired(question.recursion_desired()).set_recursion_available(true);
    answer.add_queries(question.queries().iter().cloned());
    for query in question.queries() {
        match look_up(emulator, query).await {
            Ok(Some(records)) => drop(answer.add_answers(records)),
            Ok(None) => drop(answer.set_response_code(ResponseCode::NXDomain)),
            Err(_) => drop(answer.set_response_code(ResponseCode::ServFail)),
        }
    }
    answer
}

/// The records of a name; none when nothing leads to the name.
async fn look_up(emulator: &Emulator, query: &Query) -> Result<Option<Vec<Record>>, Error> {
    let name = plain(&query.name().to_utf8());
    let mut zone = DOMAIN.to_owned();
    loop {
        let Some(sets) = record_sets(emulator, &zone).await? else { return Ok(None) };
        match step(&zone, &sets, &name, query.query_type()) {
            Step::Down(below) => zone = below,
            Step::Found(sets) => return Ok(Some(sets.iter().flat_map(|set| records(query.name(), set)).collect())),
            Step::Unknown => return Ok(None),
        }
    }
}

/// Where a zone leads a question.
#[derive(Debug, PartialEq)]
enum Step {
    /// To the zone below of this name.
    Down(String),
    /// To these record sets; perhaps none of the type asked for.
    Found(Vec<RecordSet>),
    /// Nowhere.
    Unknown,
}

fn step(zone: &str, sets: &[RecordSet], name: &str, kind: RecordType) -> Step {
    if !is_within(name, zone) {
        return Step::Unknown;
    }
    let below = sets.iter().find(|set| set.kind == "NS" && set.name != zone && is_within(name, &set.name));
    if let Some(below) = below {
        return Step::Down(below.name.clone());
    }
    let of_name: Vec<&RecordSet> = sets.iter().filter(|set| set.name == name).collect();
    if of_name.is_empty() && !sets.iter().any(|set| is_within(&set.name, name)) {
        return Step::Unknown;
    }
    Step::Found(of_name.into_iter().filter(|set| set.kind == kind.to_string()).cloned().collect())
}

fn is_within(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn records(name: &Name, set: &RecordSet) -> Vec<Record> {
    let parse = |value: &String| {
        let kind = set.kind.parse().ok()?;
        Some(Record::from_rdata(name.clone(), set.ttl, RData::try_from_str(kind, value).ok()?))
    };
    set.values.iter().filter_map(parse).collect()
}

/// The record sets of the hosted zone with this name; nothing when there is none.
async fn record_sets(emulator: &Emulator, zone: &str) -> Result<Option<Vec<RecordSet>>, Error> {
    let path = format!("/2013-04-01/hostedzonesbyname?dnsname={zone}");
    let Some(mut zones) = get(emulator, &path).await? else { return Ok(None) };
    let mut id = None;
    zones.each("HostedZone", &mut |found| {
        if found.text_of("Name").is_some_and(|name| plain(&name) == zone) {
            id = id.take().or_else(|| found.text_of("Id"));
        }
    });
    let Some(id) = id else { return Ok(None) };
    let id = id.trim_start_matches("/hostedzone/");
    let Some(mut answer) = get(emulator, &format!("/2013-04-01/hostedzone/{id}/rrset")).await? else { return Ok(None) };
    let mut sets = Vec::new();
    answer.each("ResourceRecordSet", &mut |set| sets.push(record_set(set)));
    Ok(Some(sets))
}

fn record_set(element: &mut Element) -> RecordSet {
    let mut values = Vec::new();
    element.each("Value", &mut |value| values.extend(value.get_text().map(|text| text.trim().to_owned())));
    RecordSet {
        name: plain(&element.text_of("Name").unwrap_or_default()),
        kind: element.text_of("Type").unwrap_or_default(),
        ttl: element.text_of("TTL").and_then(|ttl| ttl.parse().ok()).unwrap_or(60),
        values,
    }
}

async fn get(emulator: &Emulator, path: &str) -> Result<Option<Element>, Error> {
    let answer = emulator.rest("route53", "us-east-1", Method::GET, path, "").await?;
    Ok(answer.and_then(|answer| answer.xml()))
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, kind: &str, values: &[&str]) -> RecordSet {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        RecordSet { name: name.to_owned(), kind: kind.to_owned(), ttl: 300, values }
    }

    /// Invariant 2.
    #[test]
    fn only_what_the_zone_above_names_is_found() {
        let apex = set("example.com", "NS", &["ns-1.awsdns.com."]);
        let alone = [apex.clone()];
        assert_eq!(step("example.com", &alone, "dr.example.com", RecordType::NS), Step::Unknown);
        let delegated = [apex.clone(), set("dr.example.com", "NS", &["ns-2.awsdns.com."])];
        let down = Step::Down("dr.example.com".to_owned());
        assert_eq!(step("example.com", &delegated, "api.dr.example.com", RecordType::A), down);
        assert_eq!(step("example.com", &alone, "example.com", RecordType::NS), Step::Found(vec![apex]));
        assert_eq!(step("example.com", &alone, "example.com", RecordType::CAA), Step::Found(Vec::new()));
        assert_eq!(step("example.com", &alone, "example.org", RecordType::NS), Step::Unknown);
    }

    #[test]
    fn values_of_route_53_become_records() {
        let name = Name::from_ascii("example.com.").unwrap();
        let caa = records(&name, &set("example.com", "CAA", &["0 issue \"letsencrypt.org\""]));
        assert!(matches!(caa[0].data(), RData::CAA(_)), "{caa:?}");
        let ns = records(&name, &set("example.com", "NS", &["ns-1.awsdns.com.", "ns-2.awsdns.net."]));
        assert_eq!(ns.len(), 2);
    }
}
