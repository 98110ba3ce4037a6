//! `tags`: the user's own tags, which every resource that takes tags carries beside those of drctl.
//!
//! Each service has rules of its own (`x.tags.rules`), and what one of them refuses is refused here, before anything is
//! made. A plan always has a resource of each service, but for Aurora's and the accelerator's, which may be switched on
//! later.
//!
//! | what | the narrowest rule | whose |
//! |---|---|---|
//! | number of tags | 10, three of which are drctl's | Route 53 |
//! | length of a key | 127 | EC2; the others take 128 |
//! | length of a value | 1 to 256 | RDS; the others also take an empty one |
//! | characters | letters, digits, space and `_.:/=+-@`; letters of other alphabets are not taken by all | API Gateway |
//! | keys that differ in case alone | are one key | IAM; for the others they are two |
//! | beginning of a key | not `aws:`; not `rds:` | all; RDS |
//! | beginning of a value | neither `aws:` nor `rds:` | RDS |
//! | spaces at an end | some services cut them off, and the tag would differ for ever | not verified |

use std::collections::BTreeMap;

use super::rules::Violation;
use super::tree::join;
use super::values::{consists, require, text_value};

/// The tag that drctl gives every resource, so that its name shows in the AWS console.
pub const NAME: &str = "Name";
/// How many tags are drctl's own: the name, the deployment and the address.
const OWN: usize = 3;
/// How many tags a resource of every kind takes.
const MOST: usize = 10;

/// The beginnings that keys may not have, and to whom they belong.
const RESERVED: [(&str, &str); 3] =
    [("aws:", "AWS"), ("rds:", "AWS's databases"), ("drctl:", "drctl, which finds its resources by them")];

text_value! {
    /// The key of an extra tag; the prefixes `aws:`, `rds:` and `drctl:` and the key `Name` are taken.
    TagKey, example = "cost-centre", check = |text| {
        for (prefix, owner) in RESERVED {
            require(!begins(text, prefix), || format!("{text:?} begins with \"{prefix}\"; these keys belong to {owner}"))?;
        }
        require(!text.eq_ignore_ascii_case(NAME), || {
            format!("{text:?} is taken: drctl tags each resource with the name it has, and IAM ignores case in keys")
        })?;
        require(consists(text, 1..=127, is_tag_character), || {
            format!("{text:?} is not a tag key; 1 to 127 letters (a to z), digits, spaces and _ . : / = + - @")
        })?;
        require(text.trim() == text, || format!("{text:?} begins or ends with a space; not every service keeps it"))
    }
}

text_value! {
    /// The value of an extra tag.
    TagValue, example = "payments", check = |text| {
        require(consists(text, 1..=256, is_tag_character), || {
            format!("{text:?} is not a tag value; 1 to 256 letters (a to z), digits, spaces and _ . : / = + - @")
        })?;
        for prefix in ["aws:", "rds:"] {
            require(!begins(text, prefix), || format!("{text:?} begins with \"{prefix}\"; RDS refuses such values"))?;
        }
        require(text.trim() == text, || format!("{text:?} begins or ends with a space; not every service keeps it"))
    }
}

fn begins(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The characters that every AWS service takes in tags.
fn is_tag_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}

/// What the tags of a plan must be to each other.
pub(super) fn check(tags: &BTreeMap<TagKey, TagValue>) -> Vec<Violation> {
    let mut broken = Vec::new();
    let most = MOST - OWN;
    if tags.len() > most {
        broken.push(Violation {
            paths: vec!["tags".to_owned()],
            message: format!(
                "{} extra tags; Route 53 takes {MOST} on a health check and a hosted zone, and {OWN} of them are drctl's",
                tags.len()
            ),
            help: Some(format!("keep {most}")),
        });
    }
    let mut known: BTreeMap<String, &TagKey> = BTreeMap::new();
    for key in tags.keys() {
        if let Some(other) = known.insert(key.as_str().to_lowercase(), key) {
            broken.push(Violation {
                paths: [key, other].map(|key| join("tags", key.as_str())).to_vec(),
                message: format!(
                    "{:?} and {:?} differ in case alone, and IAM takes them for one key",
                    key.as_str(),
                    other.as_str()
                ),
                help: Some("keep one of them".to_owned()),
            });
        }
    }
    broken
}
