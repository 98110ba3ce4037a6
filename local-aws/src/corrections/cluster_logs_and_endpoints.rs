//! Database clusters forget which logs they export, and rename their endpoints to `localhost` once they have an instance.
//! AWS answers with the exported logs, and an endpoint keeps its name for the cluster's life.

use async_trait::async_trait;
use xmltree::{Element, XMLNode};

use super::{Call, Correction, Memory};
use crate::error::Error;
use crate::message::{Form, Response, XmlExt, branch, leaf};

/// See the module. Clusters are remembered by ARN.
#[derive(Default)]
pub(super) struct ClusterLogsAndEndpoints {
    clusters: Memory<Cluster>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Cluster {
    logs: Vec<String>,
    endpoint: Option<String>,
    reader_endpoint: Option<String>,
}

#[async_trait]
impl Correction for ClusterLogsAndEndpoints {
    fn id(&self) -> &'static str {
        "cluster-logs-and-endpoints"
    }

    fn operations(&self) -> &'static [&'static str] {
        &[
            "rds:CreateDBCluster",
            "rds:RestoreDBClusterFromSnapshot",
            "rds:RestoreDBClusterToPointInTime",
            "rds:ModifyDBCluster",
            "rds:DescribeDBClusters",
            "rds:DeleteDBCluster",
        ]
    }

    async fn response(&self, call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        let form = call.original.form();
        response.change_xml(|document| {
            document.each("DBCluster", &mut |cluster| self.correct(call.name(), &form, cluster));
        });
        Ok(())
    }
}

impl ClusterLogsAndEndpoints {
    fn correct(&self, operation: &str, form: &Form, element: &mut Element) {
        let Some(arn) = element.text_of("DBClusterArn") else { return };
        let mut cluster = self.clusters.get(&arn).unwrap_or_default();
        let strings = |name: &str| form.list(name).into_iter().map(str::to_owned).collect::<Vec<_>>();
        match operation {
            "DescribeDBClusters" => {}
            "ModifyDBCluster" => {
                let disabled = strings("CloudwatchLogsExportConfiguration.DisableLogTypes.member");
                let enabled = strings("CloudwatchLogsExportConfiguration.EnableLogTypes.member");
                cluster.logs.retain(|log| !disabled.contains(log) && !enabled.contains(log));
                cluster.logs.extend(enabled);
            }
            "DeleteDBCluster" => self.clusters.forget(&arn),
            _ => {
                cluster = Cluster {
                    logs: strings("EnableCloudwatchLogsExports.member"),
                    endpoint: element.text_of("Endpoint"),
                    reader_endpoint: element.text_of("ReaderEndpoint"),
                };
            }
        }
        if operation != "DeleteDBCluster" {
            self.clusters.set(arn, cluster.clone());
        }
        if !cluster.logs.is_empty() {
            let logs = cluster.logs.iter().map(|log| XMLNode::Element(leaf("member", log)));
            element.put(branch("EnabledCloudwatchLogsExports", logs));
        }
        for (name, value) in [("Endpoint", &cluster.endpoint), ("ReaderEndpoint", &cluster.reader_endpoint)] {
            if let Some(value) = value {
                element.set_text(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(endpoint: &str) -> Element {
        let text = format!("<DBCluster><DBClusterArn>arn:c</DBClusterArn><Endpoint>{endpoint}</Endpoint></DBCluster>");
        Element::parse(text.as_bytes()).unwrap()
    }

    fn form(pairs: &[(&str, &str)]) -> Form {
        Form(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn logs(element: &mut Element) -> Vec<String> {
        let mut logs = Vec::new();
        element.each("member", &mut |member| logs.push(member.get_text().unwrap().into_owned()));
        logs
    }

    #[test]
    fn exported_logs_and_the_first_endpoint_are_read_back() {
        let correction = ClusterLogsAndEndpoints::default();
        let create = form(&[("EnableCloudwatchLogsExports.member.1", "postgresql")]);
        correction.correct("CreateDBCluster", &create, &mut cluster("c.cluster-1.rds"));
        let mut read = cluster("localhost");
        correction.correct("DescribeDBClusters", &Form::default(), &mut read);
        assert_eq!(logs(&mut read), ["postgresql"]);
        assert_eq!(read.text_of("Endpoint").as_deref(), Some("c.cluster-1.rds"));
    }

    #[test]
    fn changing_the_exported_logs_is_read_back() {
        let correction = ClusterLogsAndEndpoints::default();
        let create = form(&[("EnableCloudwatchLogsExports.member.1", "postgresql")]);
        correction.correct("CreateDBCluster", &create, &mut cluster("c"));
        let modify = form(&[
            ("CloudwatchLogsExportConfiguration.DisableLogTypes.member.1", "postgresql"),
            ("CloudwatchLogsExportConfiguration.EnableLogTypes.member.1", "upgrade"),
        ]);
        let mut answer = cluster("c");
        correction.correct("ModifyDBCluster", &modify, &mut answer);
        assert_eq!(logs(&mut answer), ["upgrade"]);
    }
}
