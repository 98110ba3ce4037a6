//! The small grammars of the plan file: one type for each kind of text that has one.
//!
//! A value that exists is well formed; what two values mean together is the business of `rules`. The types say what is
//! wrong with a text in words that need no regular expression to be understood.

use std::fmt;
use std::str::FromStr;

/// Why a text or number is not the value it should be; the message stands after the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub(super) String);

impl From<String> for ValueError {
    fn from(message: String) -> Self {
        Self(message)
    }
}

/// Makes a type around a text that `check` accepts: parsing, printing, serde and JSON Schema.
macro_rules! text_value {
    ($(#[$doc:meta])* $name:ident, example = $example:literal, check = $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text as the plan file has it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::plan::ValueError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let check: fn(&str) -> Result<(), String> = $check;
                check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::plan::ValueError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "examples": [$example] })
            }
        }
    };
}
pub(super) use text_value;

/// Tells whether all characters of a text are of the given kind and their number is within the range.
pub(super) fn consists(text: &str, length: std::ops::RangeInclusive<usize>, allowed: impl Fn(char) -> bool) -> bool {
    length.contains(&text.chars().count()) && text.chars().all(allowed)
}

/// Turns a condition into the error that explains it.
pub(super) fn require(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

text_value! {
    /// The letter of an availability zone within its region: `a` in `us-east-1` is `us-east-1a`.
    Zone, example = "a", check = |text| {
        require(consists(text, 1..=1, |c| c.is_ascii_lowercase()), || {
            format!("{text:?} is not a zone; write its letter alone, such as \"a\": the region comes from [regions]")
        })
    }
}

text_value! {
    /// A domain name without a trailing dot, for example `example.com`; lower case, as API Gateway demands.
    DomainName, example = "example.com", check = check_domain
}

/// The host-name rules that Route 53, ACM and API Gateway have in common.
fn check_domain(text: &str) -> Result<(), String> {
    require(!text.ends_with('.'), || format!("{text:?} ends with a dot; write it without"))?;
    require(text == text.to_lowercase(), || {
        format!("{text:?} has capital letters; API Gateway takes lower case only")
    })?;
    require(text.len() <= 253, || format!("a domain name has at most 253 characters, this one {}", text.len()))?;
    require(text.contains('.'), || {
        format!("{text:?} is not a domain name; it needs at least two labels, such as \"example.com\"")
    })?;
    for label in text.split('.') {
        let well_formed = consists(label, 1..=63, |c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-');
        require(well_formed, || {
            format!(
                "{text:?} is not a domain name; a label has 1 to 63 letters, digits and inner hyphens, not {label:?}"
            )
        })?;
    }
    Ok(())
}

text_value! {
    /// An e-mail address that alarms are sent to.
    EmailAddress, example = "payments-oncall@example.com", check = |text| {
        let Some((local, domain)) = text.rsplit_once('@') else {
            return Err(format!("{text:?} is not an e-mail address; it has no @"));
        };
        let local_ok = consists(local, 1..=64, |c| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c))
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..");
        require(local_ok, || format!("{text:?} is not an e-mail address; {local:?} cannot stand before the @"))?;
        check_domain(&domain.to_lowercase())
            .map_err(|_| format!("{text:?} is not an e-mail address; {domain:?} is not a domain"))
    }
}

text_value! {
    /// The id of a Route 53 hosted zone, for example `Z0123456789ABCDEFGHIJ`.
    HostedZoneId, example = "Z0123456789ABCDEFGHIJ", check = |text| {
        let well_formed = text.starts_with('Z') && consists(text, 2..=32, |c| c.is_ascii_uppercase() || c.is_ascii_digit());
        require(well_formed, || {
            format!("{text:?} is not the id of a hosted zone; it starts with Z, as `aws route53 list-hosted-zones` prints it after /hostedzone/")
        })
    }
}

text_value! {
    /// An Aurora instance class that Global Database supports: memory optimised, `db.r5` or later, no burstable one.
    InstanceClass, example = "db.r6g.large", check = |text| {
        let parts: Vec<&str> = text.split('.').collect();
        let [db, family, size] = parts[..] else {
            return Err(format!("{text:?} is not an instance class; they look like \"db.r6g.large\""));
        };
        require(db == "db" && !family.is_empty() && !size.is_empty(), || {
            format!("{text:?} is not an instance class; they look like \"db.r6g.large\"")
        })?;
        require(!family.starts_with('t'), || {
            format!("{text:?} is burstable, and Aurora Global Database refuses burstable classes; the smallest is \"db.r6g.large\"")
        })?;
        let generation = |letter| family.strip_prefix(letter).map(|rest| {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            (rest[..digits].parse::<u32>().unwrap_or(0), &rest[digits..])
        });
        let (number, variant) = generation('r').or_else(|| generation('x')).unwrap_or((0, ""));
        let supported = (if family.starts_with('r') { number >= 5 } else { number >= 2 })
            && consists(variant, 0..=4, |c| c.is_ascii_lowercase());
        require(supported, || {
            format!("{text:?} is not memory optimised; Aurora Global Database takes db.r5 and later (r6g, r6i, r7g, r7i, r8g, x2g)")
        })?;
        let size_ok = size == "large" || size.strip_suffix("xlarge").is_some_and(|n| n.is_empty() || n.parse::<u8>().is_ok_and(|n| n >= 2));
        require(size_ok, || format!("{size:?} in {text:?} is not a size; sizes are \"large\", \"xlarge\", \"2xlarge\" and so on"))
    }
}

text_value! {
    /// A PostgreSQL version: the major one (`14`: the newest minor that both regions offer for global databases) or an
    /// exact one (`14.15`).
    EngineVersion, example = "14", check = |text| {
        let (major, minor) = text.split_once('.').map_or((text, None), |(major, minor)| (major, Some(minor)));
        let number = |part: &str| consists(part, 1..=2, |c| c.is_ascii_digit());
        require(number(major) && minor.is_none_or(number), || {
            format!("{text:?} is not a PostgreSQL version; write the major one, \"14\", or an exact one, \"14.15\"")
        })
    }
}

text_value! {
    /// A name within PostgreSQL: small letters, digits and underscores, beginning with a letter, at most 63 characters.
    DatabaseName, example = "payments", check = |text| {
        let well_formed = consists(text, 1..=63, |c| c.is_ascii_alphanumeric() || c == '_')
            && text.starts_with(|c: char| c.is_ascii_alphabetic());
        require(well_formed, || {
            format!("{text:?} is not a database name; letters, digits and underscores, beginning with a letter, at most 63")
        })?;
        // RDS tells names in lower case, so a capital would be a difference for ever, and one that replaces the database.
        let lower = text.to_lowercase();
        require(!is_reserved_by_postgresql(&lower), || {
            format!("{text:?} is reserved by Aurora PostgreSQL; choose another name")
        })?;
        require(text == lower, || format!("{text:?} has capital letters, which RDS makes small; write {lower:?}"))
    }
}

/// Tells whether a name in lower case is one that RDS refuses: names of its own, names that begin as PostgreSQL's own roles do, and
/// PostgreSQL's reserved words, appendix C of its manual, of all versions that Aurora offers.
fn is_reserved_by_postgresql(name: &str) -> bool {
    const OWN: [&str; 7] = ["admin", "none", "postgres", "public", "rdsadmin", "template0", "template1"];
    const WORDS: &str = "all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate \
        collation column concurrently constraint create cross current_catalog current_date current_role current_schema current_time \
        current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze from full \
        grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit localtime \
        localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references returning right \
        select session_user similar some symmetric system_user table tablesample then to trailing true union unique user using \
        variadic verbose when where window with";
    OWN.contains(&name)
        || ["pg_", "rds_"].iter().any(|prefix| name.starts_with(prefix))
        || WORDS.split_whitespace().any(|word| word == name)
}

text_value! {
    /// The name of a DynamoDB attribute.
    AttributeName, example = "expiresAt", check = |text| {
        require(consists(text, 1..=255, |c| c.is_ascii_alphanumeric() || "_-.".contains(c)), || {
            format!("{text:?} is not an attribute name; 1 to 255 letters, digits, _ - and .")
        })
    }
}

text_value! {
    /// The name of a function: it becomes part of resource names, and of the address
    /// `us-east-1/lambda_function/payment_processor`.
    FunctionName, example = "payment_processor", check = |text| {
        let well_formed = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-');
        require(well_formed, || {
            format!("{text:?} is not a function name; lower-case letters, digits, _ and -, beginning with a letter")
        })
    }
}

text_value! {
    /// A folder with the sources of a function, relative to the folder drctl runs in, with `/` between its parts.
    SourceFolder, example = "lambda/payment_processor", check = |text| {
        require(!text.is_empty() && !text.contains('\0'), || "the folder of a function's sources must be named".to_owned())?;
        require(!text.contains('\\'), || format!("{text:?} has a backslash; write / between folders on every system"))
    }
}

text_value! {
    /// The entry point of a Python function: `module.function`.
    Handler, example = "index.handler", check = |text| {
        let word = |part: &str| {
            consists(part, 1..=64, |c| c.is_ascii_alphanumeric() || c == '_') && !part.starts_with(|c: char| c.is_ascii_digit())
        };
        let well_formed = text.len() <= 128
            && text.rsplit_once('.').is_some_and(|(module, function)| word(function) && module.split(['.', '/']).all(word));
        require(well_formed, || format!("{text:?} is not a handler; write module.function, such as \"index.handler\""))
    }
}

/// The environment variables that drctl sets on every function; a plan cannot set them.
pub const RESERVED_VARIABLES: [&str; 5] =
    ["TABLE_NAME", "TTL_ATTRIBUTE", "BUCKET_NAME", "BUCKET_OWNER", "EVENT_BUS_NAME"];

/// The environment variables that Lambda sets itself and refuses from anybody else (`lambda.env.reserved`). Others that
/// begin with `AWS_` can be set, such as `AWS_LAMBDA_EXEC_WRAPPER`. Those that begin with an underscore are no variable
/// names anyway.
const VARIABLES_OF_LAMBDA: [&str; 17] = [
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

text_value! {
    /// The name of an environment variable of a function, none of those that Lambda or drctl sets.
    VariableName, example = "LOG_LEVEL", check = |text| {
        let well_formed = text.chars().count() >= 2
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        require(well_formed, || {
            format!("{text:?} is not a variable name; Lambda takes two or more letters, digits and underscores, beginning with a letter")
        })?;
        let lambda = VARIABLES_OF_LAMBDA.contains(&text) || ["LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"].contains(&text);
        require(!lambda, || format!("{text:?} belongs to Lambda; choose another name"))?;
        require(!RESERVED_VARIABLES.contains(&text), || format!("{text:?} is set by drctl; choose another name"))
    }
}

text_value! {
    /// The name of an API Gateway stage, the first part of every path below the regional endpoint.
    StageName, example = "prod", check = |text| {
        require(consists(text, 1..=128, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-'), || {
            format!("{text:?} is not a stage name; letters, digits, _ and -")
        })
    }
}

text_value! {
    /// The policy of a load balancer's HTTPS listener that says which TLS versions and ciphers it takes.
    SslPolicy, example = "ELBSecurityPolicy-TLS13-1-2-2021-06", check = |text| {
        let well_formed = text.starts_with("ELBSecurityPolicy-") && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        require(well_formed, || {
            format!("{text:?} is not a TLS policy of load balancers; they look like \"ELBSecurityPolicy-TLS13-1-2-2021-06\"")
        })?;
        require(["TLS13-1-2", "TLS13-1-3", "TLS-1-2", "FS-1-2"].iter().any(|part| text.contains(part)), || {
            format!("{text:?} allows TLS before 1.2; take \"ELBSecurityPolicy-TLS13-1-2-2021-06\"")
        })
    }
}

text_value! {
    /// A pattern of addresses, `scope/kind/name`, where `*` stands for any text within one part: `*/s3_bucket/*`.
    AddressPattern, example = "*/s3_bucket/*", check = |text| {
        let parts: Vec<&str> = text.split('/').collect();
        require(parts.len() == 3 && parts.iter().all(|part| !part.is_empty()), || {
            format!("{text:?} is not a pattern of addresses; write scope/kind/name, with * for any text, such as \"*/s3_bucket/*\"")
        })?;
        require(text.chars().all(|c| c.is_ascii_alphanumeric() || "/*-_.@+=:".contains(c)), || {
            format!("{text:?} is not a pattern of addresses; letters, digits, * and -_.@+=: only")
        })
    }
}

impl AddressPattern {
    /// Tells whether an address (`scope/kind/name`) is one of those meant.
    pub fn matches(&self, address: &str) -> bool {
        let mut parts = address.splitn(3, '/');
        self.0.split('/').all(|pattern| parts.next().is_some_and(|part| matches_part(pattern, part)))
    }

    /// Tells whether one part of an address, counted from 0, is one of those meant.
    pub(super) fn matches_at(&self, n: usize, part: &str) -> bool {
        self.0.split('/').nth(n).is_some_and(|pattern| matches_part(pattern, part))
    }
}

/// Matches one part of an address: the pieces between the stars must appear in order.
fn matches_part(pattern: &str, part: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == part;
    };
    let Some(mut rest) = part.strip_prefix(head) else {
        return false;
    };
    let mut pieces: Vec<&str> = tail.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// HTTP methods of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or does.
    Post,
    /// Replaces.
    Put,
    /// Changes a part.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The method as HTTP has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// The method and path under which the API offers a function: `POST /payment`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Route {
    method: Method,
    path: String,
}

impl Route {
    /// The HTTP method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The path, with its leading slash.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for Route {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let shape = || ValueError(format!("{text:?} is not a route; write method and path, such as \"POST /payment\""));
        let (method, path) = text.split_once(' ').ok_or_else(shape)?;
        let Some(method) = Method::ALL.into_iter().find(|known| known.as_str() == method) else {
            let known = Method::ALL.map(Method::as_str).join(", ");
            return Err(ValueError(format!("{method:?} is not a method the API offers; one of {known}")));
        };
        let segments = path.strip_prefix('/').ok_or_else(shape)?;
        let segment = |part: &str| {
            let inner = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(part);
            consists(inner, 1..=128, |c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if !segments.split('/').all(segment) {
            return Err(ValueError(format!(
                "{path:?} is not a path of the API; segments of letters, digits, - _ and ., such as \"/payment\""
            )));
        }
        Ok(Self { method, path: path.to_owned() })
    }
}

impl TryFrom<String> for Route {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<Route> for String {
    fn from(route: Route) -> Self {
        route.to_string()
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.method.as_str(), self.path))
    }
}

impl schemars::JsonSchema for Route {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Route".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["POST /payment"] })
    }
}

/// How many days CloudWatch Logs keeps the entries of a log group; AWS takes these numbers and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct RetentionDays(u32);

impl RetentionDays {
    const ALLOWED: [u32; 22] =
        [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
    /// A month, the default of every log group.
    pub(super) const MONTH: Self = Self(30);

    /// The number of days.
    pub fn days(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for RetentionDays {
    type Error = ValueError;

    fn try_from(days: u32) -> Result<Self, ValueError> {
        if Self::ALLOWED.contains(&days) {
            return Ok(Self(days));
        }
        let allowed = Self::ALLOWED.map(|days| days.to_string()).join(", ");
        Err(ValueError(format!("CloudWatch Logs cannot keep entries for {days} days; one of {allowed}")))
    }
}

impl From<RetentionDays> for u32 {
    fn from(retention: RetentionDays) -> Self {
        retention.0
    }
}

impl fmt::Display for RetentionDays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl schemars::JsonSchema for RetentionDays {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RetentionDays".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "enum": Self::ALLOWED })
    }
}
