//! An alarm on a percentile also reads back the statistic `Average`, and one without a description an empty one.
//! AWS answers with what was set only.

use async_trait::async_trait;
use ciborium::Value as Cbor;
use serde_json::Value;

use super::{Call, Correction};
use crate::error::Error;
use crate::message::Response;

/// See the module.
pub(super) struct AlarmStatistics;

#[async_trait]
impl Correction for AlarmStatistics {
    fn id(&self) -> &'static str {
        "alarm-statistics"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["monitoring:DescribeAlarms", "monitoring:DescribeAlarmsForMetric"]
    }

    async fn response(&self, _call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        response.change_cbor(correct_cbor);
        response.change_json(correct_json);
        Ok(())
    }
}

fn correct_cbor(document: &mut Cbor) {
    let Some((_, alarms)) = entries(document).iter_mut().find(|(key, _)| key.as_text() == Some("MetricAlarms")) else {
        return;
    };
    for alarm in alarms.as_array_mut().into_iter().flatten() {
        let alarm = entries(alarm);
        let has_percentile =
            alarm.iter().any(|(key, value)| key.as_text() == Some("ExtendedStatistic") && !value.is_null());
        alarm.retain(|(key, value)| match key.as_text() {
            Some("Statistic") => !has_percentile,
            Some("AlarmDescription") => value.as_text() != Some(""),
            _ => true,
        });
    }
}

fn entries(value: &mut Cbor) -> &mut Vec<(Cbor, Cbor)> {
    if !value.is_map() {
        *value = Cbor::Map(Vec::new());
    }
    value.as_map_mut().expect("it was made a map")
}

fn correct_json(document: &mut Value) {
    for alarm in document["MetricAlarms"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if alarm.get("ExtendedStatistic").is_some_and(|statistic| !statistic.is_null()) {
            alarm.remove("Statistic");
        }
        if alarm.get("AlarmDescription").is_some_and(|description| description == "") {
            alarm.remove("AlarmDescription");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        json!({ "MetricAlarms": [
            { "AlarmName": "p", "Statistic": "Average", "ExtendedStatistic": "p99", "AlarmDescription": "" },
            { "AlarmName": "s", "Statistic": "Sum", "AlarmDescription": "said" },
        ] })
    }

    fn corrected() -> Value {
        json!({ "MetricAlarms": [
            { "AlarmName": "p", "ExtendedStatistic": "p99" },
            { "AlarmName": "s", "Statistic": "Sum", "AlarmDescription": "said" },
        ] })
    }

    #[test]
    fn a_percentile_has_no_other_statistic_in_json() {
        let mut document = sample();
        correct_json(&mut document);
        assert_eq!(document, corrected());
    }

    #[test]
    fn a_percentile_has_no_other_statistic_in_cbor() {
        let mut document = Cbor::serialized(&sample()).unwrap();
        correct_cbor(&mut document);
        assert_eq!(document.deserialized::<Value>().unwrap(), corrected());
    }
}
