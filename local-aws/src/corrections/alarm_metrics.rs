//! An alarm on a calculation over several metrics reads back without its `Metrics`. AWS answers them, and none of the fields
//! of an alarm on a single metric.
//!
//! Only the CBOR protocol is corrected: it is the one the SDKs speak to CloudWatch.

use async_trait::async_trait;
use ciborium::Value as Cbor;

use super::{Call, Correction, Memory};
use crate::error::Error;
use crate::message::{Request, Response};

/// The fields of an alarm on a single metric, which the emulator fills in with defaults.
const SINGLE: [&str; 6] = ["MetricName", "Namespace", "Statistic", "Dimensions", "Period", "Unit"];

/// See the module.
#[derive(Default)]
pub(super) struct AlarmMetrics {
    metrics: Memory<Cbor>,
}

#[async_trait]
impl Correction for AlarmMetrics {
    fn id(&self) -> &'static str {
        "alarm-metrics"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["monitoring:DescribeAlarms", "monitoring:PutMetricAlarm"]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        if call.name() == "PutMetricAlarm"
            && let Ok(document) = ciborium::from_reader::<Cbor, _>(request.body.as_ref())
            && let Some(name) = field(&document, "AlarmName").and_then(Cbor::as_text)
        {
            let key = format!("{}/{name}", call.region());
            match field(&document, "Metrics") {
                Some(metrics) => self.metrics.set(key, metrics.clone()),
                None => self.metrics.forget(&key),
            }
        }
        Ok(None)
    }

    async fn response(&self, call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        if call.name() == "DescribeAlarms" {
            response.change_cbor(|document| self.put_back(call.region(), document));
        }
        Ok(())
    }
}

impl AlarmMetrics {
    fn put_back(&self, region: &str, document: &mut Cbor) {
        let alarms = document.as_map_mut().into_iter().flatten();
        let alarms = alarms.filter(|(key, _)| key.as_text() == Some("MetricAlarms"));
        for alarm in alarms.flat_map(|(_, alarms)| alarms.as_array_mut().into_iter().flatten()) {
            let name = field(alarm, "AlarmName").and_then(Cbor::as_text).unwrap_or_default();
            let Some(metrics) = self.metrics.get(&format!("{region}/{name}")) else { continue };
            if let Some(fields) = alarm.as_map_mut() {
                fields.retain(|(key, _)| !key.as_text().is_some_and(|key| SINGLE.contains(&key)));
                fields.push(("Metrics".into(), metrics));
            }
        }
    }
}

fn field<'a>(document: &'a Cbor, name: &str) -> Option<&'a Cbor> {
    document.as_map()?.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_calculation_is_put_back_into_its_own_alarm_only() {
        let correction = AlarmMetrics::default();
        let metrics = json!([{ "Id": "sum", "Expression": "a + b" }]);
        correction.metrics.set("us-east-1/sum", Cbor::serialized(&metrics).unwrap());
        let answer = json!({ "MetricAlarms": [
            { "AlarmName": "sum", "MetricName": "", "Statistic": "Average", "Threshold": 1 },
            { "AlarmName": "one", "MetricName": "Errors" },
        ] });
        let mut document = Cbor::serialized(&answer).unwrap();
        correction.put_back("us-east-1", &mut document);
        let corrected = json!({ "MetricAlarms": [
            { "AlarmName": "sum", "Threshold": 1, "Metrics": metrics },
            { "AlarmName": "one", "MetricName": "Errors" },
        ] });
        assert_eq!(document.deserialized::<Value>().unwrap(), corrected);
    }
}
