//! What all kinds of EC2 share: finding objects by id or tags, tags in and out, and who is in the way of a deletion. The interfaces
//! of AWS's own services are waited for and never touched: AWS refuses to have them detached or deleted (`eni.forbidden`). Those of
//! somebody else's interface endpoints are not waited for: they stay for as long as their endpoint does (`vpc.delete.guardduty`).

use std::future::Future;
use std::sync::Arc;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    Filter, NetworkInterface, NetworkInterfaceType, ResourceType, RouteTable, Tag, TagSpecification, UnsuccessfulItem,
    VpcEndpoint,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{Context, Deletion, Kind, OnAws, Task, Wanted, list};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Refusal, Tags, tags};
use crate::{from_sdk_tags, sdk_tags};

/// How long AWS's own interfaces may linger after what they served is gone: usually 45 minutes at most, at times beyond an hour
/// (`eni.lambda.duration`). Asked at the rate R1 allows.
pub(super) const LINGERING: Patience = Patience::seconds(90 * 60, 20);

/// Describes the wanted objects in one call, or in two when only some of them have a record: by their ids and by the
/// deployment's tag. The answer may have others too; [`is`] tells them apart.
///
/// Filters never refuse an unknown id, while id parameters fail the whole call for one object that is gone.
pub(super) async fn describe<K, P, T, E, Fut>(
    context: &Context,
    operation: &'static str,
    id_filter: &str,
    wanted: &[Wanted<K>],
    id: impl Fn(&K::Outputs) -> &str,
    ask: impl Fn(Filter, Option<String>) -> Fut,
    open: impl Fn(P) -> (Option<Vec<T>>, Option<String>),
) -> Result<Vec<T>>
where
    K: Kind,
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    Fut: Future<Output = std::result::Result<P, SdkError<E, HttpResponse>>>,
{
    let mut found = Vec::new();
    for filter in filters(context, id_filter, wanted, id) {
        let items = list::all(
            context,
            operation,
            |token| ask(filter.clone(), token),
            |page| {
                let (items, next) = open(page);
                (items.unwrap_or_default(), next)
            },
        );
        found.extend(items.await?);
    }
    Ok(found)
}

/// The filters that find the wanted objects: by their ids, and, when some have no record, by the deployment's tag.
pub(super) fn filters<K: Kind>(
    context: &Context,
    id_filter: &str,
    wanted: &[Wanted<K>],
    id: impl Fn(&K::Outputs) -> &str,
) -> Vec<Filter> {
    let ids: Vec<String> =
        wanted.iter().filter_map(|wanted| wanted.outputs.as_ref()).map(|o| id(o).to_owned()).collect();
    let mut filters = Vec::new();
    if ids.len() < wanted.len() {
        filters.push(filter(&format!("tag:{}", tags::DEPLOYMENT), context.suffix()));
    }
    if !ids.is_empty() {
        filters.push(one_of(id_filter, ids));
    }
    filters
}

/// The route tables that a filter admits, read once per observation: tables and their routes are asked for by the same ids.
pub(super) async fn route_tables(context: &Context, filter: Filter) -> Result<Arc<Vec<RouteTable>>> {
    let clients = context.clients();
    let read = || {
        list::all(
            context,
            "ec2:DescribeRouteTables",
            |token| clients.ec2().describe_route_tables().filters(filter.clone()).set_next_token(token).send(),
            |page| (page.route_tables.unwrap_or_default(), page.next_token),
        )
    };
    context.shared(&format!("ec2:DescribeRouteTables {filter:?}"), read).await
}

/// A filter for some values, in one order, so that equal filters are equal texts.
pub(super) fn one_of(name: &str, mut values: Vec<String>) -> Filter {
    values.sort_unstable();
    values.dedup();
    Filter::builder().name(name).set_values(Some(values)).build()
}

/// A filter for one value.
pub(super) fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// Tells whether an object is the wanted one: the recorded one, or by its address tag when there is no record.
pub(super) fn is<K: Kind>(
    context: &Context,
    wanted: &Wanted<K>,
    recorded: impl Fn(&K::Outputs) -> bool,
    actual: &[Tag],
) -> bool {
    match &wanted.outputs {
        Some(outputs) => recorded(outputs),
        // Another deployment has objects of the same address.
        None => {
            let actual = tags(actual);
            context.owns(&actual) && actual.get(tags::ADDRESS) == Some(&wanted.address.to_string())
        }
    }
}

/// An object's tags.
pub(super) fn tags(actual: &[Tag]) -> Tags {
    from_sdk_tags!(actual)
}

/// The tags of a create call.
pub(super) fn tag_specification(task: &Task<'_>, resource: ResourceType) -> TagSpecification {
    TagSpecification::builder().resource_type(resource).set_tags(Some(sdk_tags!(task.tags, Tag))).build()
}

/// Brings an object's tags up to date.
pub(super) async fn sync_tags(task: &Task<'_>, id: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set = sdk_tags!(changes.set, Tag);
        task.call("ec2:CreateTags", || clients.ec2().create_tags().resources(id).set_tags(Some(set.clone())).send())
            .await?;
    }
    if !changes.remove.is_empty() {
        let remove: Vec<Tag> = changes.remove.iter().map(|key| Tag::builder().key(key).build()).collect();
        task.call("ec2:DeleteTags", || clients.ec2().delete_tags().resources(id).set_tags(Some(remove.clone())).send())
            .await?;
    }
    Ok(())
}

/// Turns a failure inside of an answer that says success into a refusal (`x.partial-200`).
pub(super) fn accepted(operation: &str, unsuccessful: &[UnsuccessfulItem]) -> Result<()> {
    let Some(error) = unsuccessful.first().and_then(|item| item.error()) else { return Ok(()) };
    Err(Error::Refused(Refusal {
        operation: operation.to_owned(),
        code: error.code().unwrap_or("Unknown").to_owned(),
        message: error.message().unwrap_or("no message").to_owned(),
        status: 200,
        ..Refusal::default()
    }))
}

/// Deletes what network interfaces may still use, telling which ones are in the way while it waits for them.
///
/// AWS takes away its own interfaces some time after their function, load balancer or database is gone. Interfaces that
/// belong to nothing of AWS, and those of endpoints that are not ours, stay for good: they end the wait at once.
pub(super) async fn delete_when_free<F, Fut>(
    task: &Task<'_>,
    what: &str,
    filter_name: &str,
    id: &str,
    patience: Patience,
    delete: F,
) -> Result<Deletion>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let delete = &delete;
    task.wait(&format!("{what} to be free"), patience, || async move {
        match delete().await {
            Ok(()) => Ok(Look::Ready(Deletion::Gone)),
            Err(error) if error.is_gone() => Ok(Look::Ready(Deletion::Gone)),
            Err(error) if error.is(&["DependencyViolation", "InvalidGroup.InUse"]) => {
                let users = interfaces(task, &[filter(filter_name, id)]).await?;
                let endpoints = endpoints(task, &users).await?;
                let lasting = lasting(&users, &endpoints, |tags| task.owns(tags));
                if lasting.is_empty() {
                    return Ok(Look::Pending(match users.is_empty() {
                        true => format!("in use, although no interface is left in it: {error}"),
                        false => format!("used by {}", names(&users)),
                    }));
                }
                Err(Error::Blocked(format!(
                    "{what} {id} is used by {}, which drctl did not make; delete it, then run this again",
                    lasting.join(", ")
                )))
            }
            Err(error) => Err(error),
        }
    })
    .await
}

/// Adds to a refusal what AWS does not say.
pub(super) fn explain(error: Error, why: &str) -> Error {
    match error {
        Error::Refused(refusal) => {
            Error::Refused(Refusal { message: format!("{} ({why})", refusal.message), ..refusal })
        }
        other => other,
    }
}

/// Adds to a `DependencyViolation` the network interfaces that are in the way, by id and description.
pub(super) async fn name_dependents(task: &Task<'_>, filters: &[Filter], error: Error) -> Error {
    if !error.is(&["DependencyViolation"]) {
        return error;
    }
    match interfaces(task, filters).await {
        Ok(users) if !users.is_empty() => Error::Blocked(format!("{error}; in the way: {}", names(&users))),
        _ => error,
    }
}

async fn interfaces(task: &Task<'_>, filters: &[Filter]) -> Result<Vec<NetworkInterface>> {
    interfaces_in(task, task.clients().ec2(), filters).await
}

/// The network interfaces of a region that the filters let through. All pages are read, because a page of a filtered list may be empty
/// while more follow (`x.pages.empty`).
pub(super) async fn interfaces_in(
    context: &Context,
    ec2: &Client,
    filters: &[Filter],
) -> Result<Vec<NetworkInterface>> {
    list::all(
        context,
        "ec2:DescribeNetworkInterfaces",
        |token| {
            let request = ec2.describe_network_interfaces().set_filters(Some(filters.to_vec()));
            request.set_next_token(token).send()
        },
        |page| (page.network_interfaces.unwrap_or_default(), page.next_token),
    )
    .await
}

/// Whether no interfaces are left; else which are.
pub(super) fn none_left(interfaces: &[NetworkInterface]) -> Look<()> {
    let left: Vec<&str> =
        interfaces.iter().map(|one| one.network_interface_id().unwrap_or("one without an id")).collect();
    if left.is_empty() { Look::Ready(()) } else { Look::Pending(left.join(", ")) }
}

/// The endpoints of the networks in which some of the interfaces are those of endpoints.
async fn endpoints(task: &Task<'_>, users: &[NetworkInterface]) -> Result<Vec<VpcEndpoint>> {
    let of_endpoints = users.iter().filter(|user| {
        let of = user.interface_type();
        matches!(of, Some(NetworkInterfaceType::VpcEndpoint | NetworkInterfaceType::GatewayLoadBalancerEndpoint))
    });
    let vpcs: Vec<String> = of_endpoints.filter_map(|user| user.vpc_id()).map(str::to_owned).collect();
    if vpcs.is_empty() {
        return Ok(Vec::new());
    }
    let clients = task.clients();
    let filter = one_of("vpc-id", vpcs);
    list::all(
        task,
        "ec2:DescribeVpcEndpoints",
        |token| clients.ec2().describe_vpc_endpoints().filters(filter.clone()).set_next_token(token).send(),
        |page| (page.vpc_endpoints.unwrap_or_default(), page.next_token),
    )
    .await
}

/// Who does not go by itself: interfaces that are somebody's own, and the endpoints of others, such as the one that GuardDuty puts
/// into networks (`vpc.delete.guardduty`). An interface whose endpoint is ours, going or gone goes too.
fn lasting(users: &[NetworkInterface], endpoints: &[VpcEndpoint], owns: impl Fn(&Tags) -> bool) -> Vec<String> {
    let interfaces = users.iter().filter(|user| is_foreign(user)).map(name);
    let endpoints = endpoints
        .iter()
        .filter(|endpoint| users.iter().any(|user| is_of(user, endpoint)))
        .filter(|endpoint| !matches!(endpoint_state(endpoint).as_str(), "deleting" | "deleted"))
        .filter(|endpoint| !owns(&tags(endpoint.tags())))
        .map(|endpoint| {
            let service = endpoint.service_name().unwrap_or("of an unknown service");
            format!("the endpoint {} ({service})", endpoint.vpc_endpoint_id().unwrap_or_default())
        });
    interfaces.chain(endpoints).collect()
}

/// Tells whether an interface is one of an endpoint's: the endpoint lists it, or the interface's description ends with its id.
fn is_of(interface: &NetworkInterface, endpoint: &VpcEndpoint) -> bool {
    let (id, description) = (interface.network_interface_id(), interface.description().unwrap_or_default());
    endpoint.network_interface_ids().iter().any(|listed| id == Some(listed.as_str()))
        || endpoint.vpc_endpoint_id().is_some_and(|id| description.ends_with(id))
}

/// The state of an endpoint in lower case: AWS writes it in either (`vpce.wait.state-case`).
pub(super) fn endpoint_state(endpoint: &VpcEndpoint) -> String {
    endpoint.state().map_or(String::new(), |state| state.as_str().to_lowercase())
}

/// Tells whether an interface is somebody's own: AWS services mark theirs, or begin their descriptions with `AWS`.
fn is_foreign(interface: &NetworkInterface) -> bool {
    !interface.requester_managed().unwrap_or_default()
        && matches!(interface.interface_type(), None | Some(NetworkInterfaceType::Interface))
        && !interface.description().unwrap_or_default().starts_with("AWS ")
}

fn names(interfaces: &[NetworkInterface]) -> String {
    interfaces.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn name(interface: &NetworkInterface) -> String {
    let what = interface.description().filter(|text| !text.is_empty()).unwrap_or("no description");
    format!("{} ({what})", interface.network_interface_id().unwrap_or_default())
}

/// What a state says to one who waits for a network or a subnet (`vpc.wait`, `subnet.wait`).
pub(super) fn availability(state: Option<&str>) -> Look<()> {
    match state {
        Some("available") => Look::Ready(()),
        state => Look::Pending(state.unwrap_or("not visible yet").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{SubnetState, VpcState};

    /// `vpc.wait`, `subnet.wait`
    #[test]
    fn what_is_made_is_used_once_it_is_available() {
        for available in [VpcState::Available.as_str(), SubnetState::Available.as_str()] {
            assert!(matches!(availability(Some(available)), Look::Ready(())));
        }
        for state in [Some(VpcState::Pending.as_str()), Some(SubnetState::Pending.as_str()), None] {
            assert!(matches!(availability(state), Look::Pending(_)), "{state:?}");
        }
    }

    /// What drctl waits for goes away by itself; what does not is told at once.
    #[test]
    fn only_interfaces_of_nobody_at_aws_are_foreign() {
        let plain = || NetworkInterface::builder().network_interface_id("eni-1");
        assert!(is_foreign(&plain().description("web server").interface_type(NetworkInterfaceType::Interface).build()));
        assert!(!is_foreign(&plain().interface_type(NetworkInterfaceType::Lambda).build()));
        assert!(!is_foreign(&plain().description("RDSNetworkInterface").requester_managed(true).build()));
        assert!(!is_foreign(&plain().description("AWS Lambda VPC ENI-pay").build()));
    }

    /// `vpc.delete.guardduty`: an interface of an endpoint goes only with its endpoint, and nobody is going to delete somebody else's.
    #[test]
    fn an_endpoint_of_somebody_else_does_not_go_by_itself() {
        let user = NetworkInterface::builder().network_interface_id("eni-1").requester_managed(true);
        let user = user.interface_type(NetworkInterfaceType::VpcEndpoint);
        let users = [user.clone().build()];
        let endpoint = |id: &str, state: &str| {
            let endpoint = VpcEndpoint::builder().vpc_endpoint_id(id).state(state.into());
            endpoint.service_name("com.amazonaws.us-east-1.guardduty-data")
        };
        let seen = |state: &str, ours: bool| {
            lasting(&users, &[endpoint("vpce-1", state).network_interface_ids("eni-1").build()], |_| ours)
        };
        for staying in ["available", "Pending", "failed"] {
            let expected = ["the endpoint vpce-1 (com.amazonaws.us-east-1.guardduty-data)"];
            assert_eq!(seen(staying, false), expected, "{staying}");
            assert!(seen(staying, true).is_empty(), "{staying}");
        }
        for going in ["Deleting", "deleting", "deleted"] {
            assert!(seen(going, false).is_empty(), "{going}");
        }
        // One that is not in the way is not blamed, and what is left of an endpoint that is gone goes as well.
        let others = [endpoint("vpce-2", "available").network_interface_ids("eni-2").build()];
        assert!(lasting(&users, &others, |_| false).is_empty());
        assert!(lasting(&users, &[], |_| false).is_empty());
        let described = [user.description("VPC Endpoint Interface vpce-2").build()];
        assert_eq!(lasting(&described, &others, |_| false).len(), 1);
    }

    /// `eni.lambda.duration`: giving up at 45 minutes would leave a VPC that the next `down` deletes without trouble.
    #[test]
    fn interfaces_that_linger_beyond_an_hour_are_waited_for() {
        assert!(LINGERING.deadline > std::time::Duration::from_secs(75 * 60));
    }

    #[test]
    fn a_failure_inside_of_a_success_is_a_refusal() {
        let error = aws_sdk_ec2::types::UnsuccessfulItemError::builder().code("InvalidFlowLogId.NotFound").build();
        let failed = accepted("ec2:DeleteFlowLogs", &[UnsuccessfulItem::builder().error(error).build()]);
        assert!(failed.expect_err("it failed").is_gone());
        assert!(accepted("ec2:DeleteFlowLogs", &[]).is_ok());
    }
    /// Answers each request on a connection of its own: the first with a page without items, the next with the last page.
    fn two_pages(listener: &std::net::TcpListener) {
        use std::io::{Read, Write};
        let pages = ["<nextToken>more</nextToken>", "<item><networkInterfaceId>eni-1</networkInterfaceId></item>"];
        for page in pages {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut asked = [0; 16384];
            _ = stream.read(&mut asked).expect("a request comes");
            let (items, token) = if page.starts_with("<item>") { (page, "") } else { ("", page) };
            let set = format!("<networkInterfaceSet>{items}</networkInterfaceSet>{token}");
            let body = format!("<DescribeNetworkInterfacesResponse>{set}</DescribeNetworkInterfacesResponse>");
            let length = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
                .expect("the answer is taken");
        }
    }

    /// `x.pages.empty`: taken for the end, it lets a network be deleted while interfaces are still in it.
    #[tokio::test]
    async fn a_page_without_items_is_not_the_end_of_a_list() {
        use crate::address::Scope;
        use crate::aws::transport::Transport;
        use crate::aws::{Aws, Connection};
        use crate::resources::Surroundings;
        use crate::resources::ec2_vpc::Vpc;
        use aws_sdk_ec2::config::{BehaviorVersion, Config, Credentials, Region};

        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let server = std::thread::spawn(move || two_pages(&listener));
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(format!("http://{address}"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(Transport::new())
            .build();
        let surroundings = Surroundings {
            provider: Arc::new(Aws::connect(&Connection::default(), Transport::new()).await),
            suffix: "dev".to_owned(),
            account: "123456789012".to_owned(),
            stop: tokio_util::sync::CancellationToken::new(),
            assets: Arc::default(),
        };
        let context = Context::new(surroundings, Scope::region("us-east-1"), &Vpc::TRAITS);
        let found = interfaces_in(&context, &Client::from_conf(config), &[]).await.expect("both pages are read");
        server.join().expect("both pages were asked for");
        assert_eq!(found.first().and_then(NetworkInterface::network_interface_id), Some("eni-1"));
        assert!(matches!(none_left(&found), Look::Pending(left) if left == "eni-1"));
    }
}
