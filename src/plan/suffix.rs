//! The suffix: the short name that makes one deployment unique.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The short name of a deployment (`dev`), part of the name of every resource.
///
/// It has 1 to [`Suffix::MAX_LEN`] lower-case letters, digits and hyphens, begins with a letter, does not end with a
/// hyphen and has no two in a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Suffix(String);

impl Suffix {
    /// The greatest length of a suffix; every rule about names reckons with it, so that a plan that loads fits every
    /// suffix.
    pub const MAX_LEN: usize = 16;

    /// The suffix as it stands in names.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no suffix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a suffix: {why}")]
pub struct SuffixError {
    text: String,
    why: &'static str,
}

impl FromStr for Suffix {
    type Err = SuffixError;

    fn from_str(text: &str) -> Result<Self, SuffixError> {
        let why = if text.is_empty() {
            "it is empty; write a short name such as dev"
        } else if text.chars().any(|c| c.is_ascii_uppercase()) {
            "S3 buckets and DNS names take lower-case letters only"
        } else if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            "S3 buckets and DNS names take lower-case letters, digits and hyphens only"
        } else if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            "it must begin with a letter"
        } else if text.len() > Self::MAX_LEN {
            "it has more than 16 characters, and load balancers and target groups have 32 for their whole name"
        } else if text.ends_with('-') {
            "it ends with a hyphen, which Aurora identifiers and DNS names forbid"
        } else if text.contains("--") {
            "it has two hyphens in a row, which Aurora identifiers forbid"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(SuffixError { text: text.to_owned(), why })
    }
}

impl TryFrom<String> for Suffix {
    type Error = SuffixError;

    fn try_from(text: String) -> Result<Self, SuffixError> {
        text.parse()
    }
}

impl From<Suffix> for String {
    fn from(suffix: Suffix) -> Self {
        suffix.0
    }
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lower_case_names_are_taken() {
        for text in ["a", "dev", "pr-1234", "abcdefghijklmnop"] {
            assert_eq!(text.parse::<Suffix>().map(|suffix| suffix.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn every_other_text_says_which_service_refuses_it() {
        for (text, why) in [
            ("", "it is empty"),
            ("Dev", "lower-case letters only"),
            ("de_v", "lower-case letters, digits and hyphens only"),
            ("1dev", "begin with a letter"),
            ("abcdefghijklmnopq", "more than 16 characters"),
            ("dev-", "ends with a hyphen"),
            ("de--v", "two hyphens in a row"),
            ("dév", "lower-case letters, digits and hyphens only"),
        ] {
            let error = text.parse::<Suffix>().expect_err(text).to_string();
            assert!(error.contains(why) && error.starts_with(&format!("{text:?} is not a suffix")), "{error}");
        }
    }
}
