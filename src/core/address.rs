//! The identity of a resource: scope, kind and name.
//!
//! An address is the same text everywhere: in the graph, the state file, the tags of objects, events and errors.
//! This module never looks at AWS, and no other module takes an address apart by hand.
//!
//! Invariants:
//! 1. `Address::to_string` and `Address::from_str` are inverses.
//! 2. A region is part of the address; there is no default region anywhere in drctl.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Where a resource lives: one of the plan's regions, or `global`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(Arc<str>);

impl Scope {
    /// The scope of services that have no region (IAM, Route 53, Global Accelerator) or span them.
    pub fn global() -> Self {
        Self("global".into())
    }

    /// The scope of one region, for example `us-east-1`.
    pub fn region(name: &str) -> Self {
        Self(name.into())
    }

    /// Tells whether this is the scope of services that have no region.
    pub fn is_global(&self) -> bool {
        &*self.0 == "global"
    }

    /// The scope as it is written in addresses.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Scope {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        check_part(&text, &text)?;
        Ok(Self(text.into()))
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0.as_ref().to_owned()
    }
}

/// `scope/kind/name`, for example `us-east-1/ec2_subnet/private-a`. A clone shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    /// First, because it alone decides what is equal and what comes first.
    text: Arc<str>,
    scope: Scope,
    /// Where the name begins in the text.
    name_at: usize,
}

impl Address {
    /// Makes an address from its parts.
    ///
    /// # Panics
    /// When a part is empty or has a character that addresses do not allow: names come from drctl's own code,
    /// or from plan fields that were checked before.
    pub fn new(scope: Scope, kind: &str, name: &str) -> Self {
        let text = format!("{scope}/{kind}/{name}");
        text.parse().expect("addresses are made of checked parts")
    }

    /// The scope the resource lives in.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The kind of the resource, for example `ec2_subnet`.
    pub fn kind(&self) -> &str {
        &self.text[self.scope.as_str().len() + 1..self.name_at - 1]
    }

    /// The name of the resource within its scope and kind.
    pub fn name(&self) -> &str {
        &self.text[self.name_at..]
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut parts = text.splitn(3, '/');
        let (Some(scope), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(AddressError { text: text.to_owned(), why: "it needs three parts: scope/kind/name" });
        };
        for part in [scope, kind, name] {
            check_part(part, text)?;
        }
        Ok(Self { scope: Scope(scope.into()), name_at: text.len() - name.len(), text: text.into() })
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address: {why}")]
pub struct AddressError {
    text: String,
    why: &'static str,
}

/// The characters allowed are those that AWS allows in every tag value.
fn check_part(part: &str, text: &str) -> Result<(), AddressError> {
    let why = if part.is_empty() {
        "a part of it is empty"
    } else if !part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@+=:".contains(c)) {
        "a part may have letters, digits and -_.@+=: only"
    } else {
        return Ok(());
    };
    Err(AddressError { text: text.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant 1.
    #[test]
    fn text_and_address_are_inverses() {
        let address = Address::new(Scope::region("us-east-1"), "ec2_subnet", "private-a");
        assert_eq!(address.to_string(), "us-east-1/ec2_subnet/private-a");
        assert_eq!(
            (address.scope().as_str(), address.kind(), address.name()),
            ("us-east-1", "ec2_subnet", "private-a")
        );
        assert_eq!(address.to_string().parse(), Ok(address));
    }

    #[test]
    fn wrong_texts_say_why() {
        for (text, why) in [
            ("us-east-1/ec2_vpc", "three parts"),
            ("us-east-1//main", "empty"),
            ("us-east-1/ec2_vpc/a b", "letters, digits"),
            ("us-east-1/ec2_vpc/a/b", "letters, digits"),
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
