//! Route 53 health checks answer booleans as `True` and `False`, which SDKs refuse or read as false. AWS writes them in
//! lower case.

use async_trait::async_trait;
use xmltree::Element;

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Response, XmlExt};

/// See the module.
pub(super) struct HealthCheckBooleans;

#[async_trait]
impl Correction for HealthCheckBooleans {
    fn id(&self) -> &'static str {
        "health-check-booleans"
    }

    fn operations(&self) -> &'static [&'static str] {
        &[
            "route53:CreateHealthCheck",
            "route53:GetHealthCheck",
            "route53:ListHealthChecks",
            "route53:UpdateHealthCheck",
        ]
    }

    async fn response(&self, _call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        response.change_xml(correct);
        Ok(())
    }
}

fn correct(document: &mut Element) {
    document.each("HealthCheckConfig", &mut |config| {
        for name in ["MeasureLatency", "EnableSNI", "Inverted", "Disabled"] {
            if let Some(value) = config.text_of(name) {
                config.set_text(name, &value.to_ascii_lowercase());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_lower_case_and_texts_stay() {
        let source = "<R><HealthCheckConfig><EnableSNI>True</EnableSNI><Inverted>False</Inverted>\
                      <SearchString>True</SearchString></HealthCheckConfig></R>";
        let mut document = Element::parse(source.as_bytes()).unwrap();
        correct(&mut document);
        let config = document.get_child("HealthCheckConfig").unwrap();
        assert_eq!(config.text_of("EnableSNI").as_deref(), Some("true"));
        assert_eq!(config.text_of("Inverted").as_deref(), Some("false"));
        assert_eq!(config.text_of("SearchString").as_deref(), Some("True"));
    }
}
