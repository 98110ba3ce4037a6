//! A second route for the same destination stands beside the first, and the replacement of a route that is not there changes
//! nothing and answers success. AWS refuses both, and takes a repeated creation for done.

use async_trait::async_trait;
use axum::http::StatusCode;
use xmltree::{Element, XMLNode};

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Form, Request, Response, XmlExt, branch, leaf};
use crate::refusal::{refusal, xml};

/// See the module.
pub(super) struct Routes;

/// The parameters by which a route's target is given, and the fields by which it is answered.
const TARGETS: [(&str, &str); 5] = [
    ("GatewayId", "gatewayId"),
    ("NatGatewayId", "natGatewayId"),
    ("InstanceId", "instanceId"),
    ("VpcPeeringConnectionId", "vpcPeeringConnectionId"),
    ("TransitGatewayId", "transitGatewayId"),
];

#[async_trait]
impl Correction for Routes {
    fn id(&self) -> &'static str {
        "routes"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["ec2:CreateRoute", "ec2:ReplaceRoute"]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        let form = request.form();
        let destination = form.get("DestinationCidrBlock").unwrap_or_default();
        let table = form.get("RouteTableId").unwrap_or_default();
        let described = call.described("DescribeRouteTables", "RouteTableId.1", table).await?;
        let Some(table) = described else { return Ok(None) };
        let refused = |code, message: String| refusal(call, StatusCode::BAD_REQUEST, code, &message);
        Ok(match (call.name(), route(&table, destination)) {
            ("CreateRoute", Some(route)) if is_as_asked(route, &form) => {
                Some(xml(StatusCode::OK, branch("CreateRouteResponse", [XMLNode::Element(leaf("return", "true"))])))
            }
            ("CreateRoute", Some(_)) => {
                Some(refused("RouteAlreadyExists", format!("The route identified by {destination} already exists.")))
            }
            ("ReplaceRoute", None) => Some(refused(
                "InvalidParameterValue",
                format!("There is no route defined for '{destination}' in the route table. Use CreateRoute instead."),
            )),
            _ => None,
        })
    }
}

fn route<'a>(answer: &'a Element, destination: &str) -> Option<&'a Element> {
    let table = answer.get_child("routeTableSet")?.get_child("item")?;
    let mut routes = table.get_child("routeSet")?.children.iter().filter_map(|node| node.as_element());
    routes.find(|route| route.text_of("destinationCidrBlock").as_deref() == Some(destination))
}

fn is_as_asked(route: &Element, form: &Form) -> bool {
    TARGETS.iter().all(|(parameter, field)| form.get(parameter) == route.text_of(field).as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_as_asked_when_it_leads_to_the_same_target() {
        let answer = "<a><routeTableSet><item><routeSet>\
            <item><destinationCidrBlock>10.0.0.0/16</destinationCidrBlock><gatewayId>local</gatewayId></item>\
            <item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock><natGatewayId>nat-1</natGatewayId></item>\
            </routeSet></item></routeTableSet></a>";
        let answer = Element::parse(answer.as_bytes()).unwrap();
        let form = |name: &str, value: &str| Form(vec![(name.to_owned(), value.to_owned())]);
        let found = route(&answer, "0.0.0.0/0").unwrap();
        assert!(is_as_asked(found, &form("NatGatewayId", "nat-1")));
        assert!(!is_as_asked(found, &form("NatGatewayId", "nat-2")));
        assert!(!is_as_asked(found, &form("GatewayId", "nat-1")));
        assert_eq!(route(&answer, "10.1.0.0/16"), None);
    }
}
