//! `[[functions]]`: the Lambda functions, the same in both regions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{FunctionName, Handler, RetentionDays, Route, SourceFolder, VariableName};

/// One Lambda function, in both regions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// The name, unique in the plan.
    pub name: FunctionName,
    /// The folder with its sources; drctl zips it, byte-identical for identical sources.
    pub source: SourceFolder,
    /// The entry point, `module.function`; `index.handler` by default.
    #[serde(default = "default_handler")]
    pub handler: Handler,
    /// The Python runtime; `python3.13` by default.
    #[serde(default)]
    pub runtime: Runtime,
    /// The processor; `arm64` (the cheaper one) by default.
    #[serde(default)]
    pub architecture: Architecture,
    /// The method and path of the API that call it; left out, the API does not offer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
    /// Megabytes of memory, 128 to 10240; the processor share grows with it. 256 by default.
    #[serde(default = "default_memory")]
    #[schemars(range(min = 128, max = 10240))]
    pub memory_mb: u32,
    /// Seconds a call may take: 1 to 29 with a route (API Gateway waits no longer), 1 to 900 without. 10 by default.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 900))]
    pub timeout_seconds: u32,
    /// Days CloudWatch Logs keeps its log. 30 by default.
    #[serde(default = "default_retention")]
    pub log_retention_days: RetentionDays,
    /// Whether X-Ray traces its calls; on by default.
    #[serde(default = "default_tracing")]
    pub tracing: bool,
    /// Further environment variables, never for secrets; drctl itself sets `TABLE_NAME`, `TTL_ATTRIBUTE`,
    /// `BUCKET_NAME`, `BUCKET_OWNER` and `EVENT_BUS_NAME`.
    #[serde(default)]
    pub environment: BTreeMap<VariableName, String>,
}

fn default_handler() -> Handler {
    "index.handler".parse().expect("the default is a handler")
}

fn default_memory() -> u32 {
    256
}

fn default_timeout() -> u32 {
    10
}

fn default_retention() -> RetentionDays {
    RetentionDays::MONTH
}

fn default_tracing() -> bool {
    true
}

/// The two functions of the payment service.
pub(super) fn default_functions() -> Vec<Function> {
    let function = |name: &str, route: &str, memory_mb| Function {
        name: name.parse().expect("the default is a function name"),
        source: format!("lambda/{name}").parse().expect("the default is a folder"),
        handler: default_handler(),
        runtime: Runtime::default(),
        architecture: Architecture::default(),
        route: Some(route.parse().expect("the default is a route")),
        memory_mb,
        timeout_seconds: default_timeout(),
        log_retention_days: default_retention(),
        tracing: default_tracing(),
        environment: BTreeMap::new(),
    };
    vec![function("payment_processor", "POST /payment", 512), function("health_check", "GET /health", 256)]
}

/// The runtimes of Python that Lambda keeps up to date.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Runtime {
    /// Python 3.11.
    #[serde(rename = "python3.11")]
    Python311,
    /// Python 3.12.
    #[serde(rename = "python3.12")]
    Python312,
    /// Python 3.13.
    #[default]
    #[serde(rename = "python3.13")]
    Python313,
}

impl Runtime {
    /// The name that Lambda has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python311 => "python3.11",
            Self::Python312 => "python3.12",
            Self::Python313 => "python3.13",
        }
    }
}

/// The processors that Lambda offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Architecture {
    /// AWS Graviton.
    #[default]
    #[serde(rename = "arm64")]
    Arm64,
    /// Intel and AMD.
    #[serde(rename = "x86_64")]
    X86,
}

impl Architecture {
    /// The name that Lambda has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86 => "x86_64",
        }
    }
}
