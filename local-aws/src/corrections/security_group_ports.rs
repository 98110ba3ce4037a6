//! Rules for all protocols that name ports are stored and compared with the ports, so that revoking such a rule answers
//! success and removes nothing. AWS ignores the ports of protocol -1.

use async_trait::async_trait;

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Form, Request, Response};

/// See the module.
pub(super) struct SecurityGroupPorts;

#[async_trait]
impl Correction for SecurityGroupPorts {
    fn id(&self) -> &'static str {
        "security-group-ports"
    }

    fn operations(&self) -> &'static [&'static str] {
        &[
            "ec2:AuthorizeSecurityGroupEgress",
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:RevokeSecurityGroupEgress",
            "ec2:RevokeSecurityGroupIngress",
        ]
    }

    async fn request(&self, _call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        let mut form = request.form();
        if drop_ports(&mut form) {
            request.set_form(&form);
        }
        Ok(None)
    }
}

fn drop_ports(form: &mut Form) -> bool {
    let all_protocols: Vec<String> = form
        .0
        .iter()
        .filter(|(_, value)| value == "-1")
        .filter_map(|(name, _)| name.strip_suffix("IpProtocol").map(str::to_owned))
        .collect();
    form.remove(|name, _| {
        all_protocols.iter().any(|rule| matches!(name.strip_prefix(rule.as_str()), Some("FromPort" | "ToPort")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rules_for_all_protocols_lose_their_ports() {
        let pairs = [
            ("IpPermissions.1.IpProtocol", "-1"),
            ("IpPermissions.1.FromPort", "0"),
            ("IpPermissions.1.ToPort", "0"),
            ("IpPermissions.2.IpProtocol", "tcp"),
            ("IpPermissions.2.FromPort", "443"),
        ];
        let mut form = Form(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        assert!(drop_ports(&mut form));
        let names: Vec<&str> = form.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["IpPermissions.1.IpProtocol", "IpPermissions.2.IpProtocol", "IpPermissions.2.FromPort"]);
        assert!(!drop_ports(&mut form));
    }
}
