//! Names of REST operations, from the table in `rest.txt`.
//!
//! Where several lines fit, the one that says most about the request wins: a query it demands, then more fixed segments.

use std::sync::LazyLock;

use crate::message::Request;

struct Line {
    service: &'static str,
    method: &'static str,
    segments: Vec<&'static str>,
    query: Option<&'static str>,
    operation: &'static str,
}

static TABLE: LazyLock<Vec<Line>> = LazyLock::new(|| {
    let lines = include_str!("rest.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(parse).collect()
});

fn parse(line: &'static str) -> Option<Line> {
    let mut words = line.split(' ');
    let (service, method, address, operation) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let (path, query) = address.split_once('?').map_or((address, None), |(path, query)| (path, Some(query)));
    Some(Line { service, method, segments: path.split('/').collect(), query, operation })
}

/// The operation of `service` that the request's method and path call, if the service is in the table.
pub(super) fn name(service: &str, request: &Request) -> Option<String> {
    let path: Vec<&str> = request.uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
    let asked = request.uri.query().unwrap_or_default();
    TABLE
        .iter()
        .filter(|line| line.service == service && line.method == request.method.as_str())
        .filter(|line| line.query.is_none_or(|query| asked.split('&').any(|part| part == query)))
        .filter(|line| fits(&line.segments, &path))
        .max_by_key(|line| (line.query.is_some(), line.segments.iter().filter(|segment| **segment != "*").count()))
        .map(|line| line.operation.to_owned())
}

fn fits(pattern: &[&str], path: &[&str]) -> bool {
    pattern.len() == path.len() && pattern.iter().zip(path).all(|(wanted, segment)| *wanted == "*" || wanted == segment)
}

#[cfg(test)]
mod tests {
    use super::super::Operation;
    use super::super::tests::signed;
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        let lines = include_str!("rest.txt").lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(TABLE.len(), lines);
    }

    #[test]
    fn rest_operations_have_their_names() {
        for (service, method, path, expected) in [
            ("lambda", "POST", "/2015-03-31/functions", "CreateFunction"),
            ("lambda", "GET", "/2015-03-31/functions/", "ListFunctions"),
            ("lambda", "GET", "/2015-03-31/functions/f", "GetFunction"),
            ("lambda", "POST", "/2015-03-31/functions/f/invocations", "Invoke"),
            ("lambda", "POST", "/2015-03-31/functions/f/policy", "AddPermission"),
            ("lambda", "POST", "/2017-03-31/tags/arn:aws:lambda:eu-west-1:0:function:f", "TagResource"),
            ("apigateway", "POST", "/restapis", "CreateRestApi"),
            ("apigateway", "POST", "/restapis?mode=import", "ImportRestApi"),
            ("apigateway", "PUT", "/restapis/a", "PutRestApi"),
            ("apigateway", "PUT", "/restapis/a/resources/r/methods/GET/integration", "PutIntegration"),
            ("apigateway", "PUT", "/tags/arn%3Aaws%3Aapigateway%3A%2Frestapis%2Fa", "TagResource"),
            ("apigateway", "POST", "/domainnames/d/basepathmappings", "CreateBasePathMapping"),
            ("route53", "POST", "/2013-04-01/hostedzone/Z/rrset/", "ChangeResourceRecordSets"),
            ("route53", "GET", "/2013-04-01/hostedzone/Z/rrset", "ListResourceRecordSets"),
            ("route53", "GET", "/2013-04-01/hostedzonesbyname?dnsname=a", "ListHostedZonesByName"),
            ("route53", "GET", "/2013-04-01/healthcheck/h", "GetHealthCheck"),
            ("backup", "PUT", "/backup/plans/", "CreateBackupPlan"),
            ("backup", "PUT", "/backup-vaults/v", "CreateBackupVault"),
        ] {
            assert_eq!(Operation::of(&signed(service, method, path, &[], "")).name, expected, "{method} {path}");
        }
    }
}
