//! The text of a plan file as a tree of values that know where they stand.
//!
//! Invariants:
//! 1. The path of a node names it as the file has it, also after wrong nodes were taken out of the tree.
//! 2. An error of reading a type from the tree names the innermost node that does not fit.

use std::fmt;
use std::ops::Range;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value of the file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where it belongs, as in `network.primary.cidr` or `functions[0].route`.
    pub(super) path: String,
    /// The bytes of its key; those of the value for the elements of a list.
    pub(super) key: Range<usize>,
    /// The bytes of the value; the header for a table that has one.
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Whole(i128),
    Number(f64),
    Flag(bool),
    Time(String),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

/// Appends a key to a path, in quotes when TOML needs them.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let dot = if path.is_empty() { "" } else { "." };
    if bare { format!("{path}{dot}{key}") } else { format!("{path}{dot}{key:?}") }
}

impl Node {
    /// The whole document.
    pub(super) fn root(table: &DeTable<'_>) -> Self {
        Self { path: String::new(), key: 0..0, span: 0..0, value: Value::Table(children("", table)) }
    }

    fn new(path: String, key: Range<usize>, value: &Spanned<DeValue<'_>>) -> Self {
        let content = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.clone().into_owned()),
            DeValue::Integer(digits) => {
                let beyond = if digits.as_str().starts_with('-') { i128::MIN } else { i128::MAX };
                Value::Whole(i128::from_str_radix(digits.as_str(), digits.radix()).unwrap_or(beyond))
            }
            DeValue::Float(digits) => Value::Number(digits.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(time) => Value::Time(time.to_string()),
            DeValue::Array(array) => {
                let elements = array.iter().enumerate();
                Value::List(
                    elements.map(|(n, element)| Self::new(format!("{path}[{n}]"), element.span(), element)).collect(),
                )
            }
            DeValue::Table(table) => Value::Table(children(&path, table)),
        };
        Self { path, key, span: value.span(), value: content }
    }

    /// Follows a path whose list numbers count the elements that are left: the last node on the way, and the rest of
    /// the path when the file does not go on.
    pub(super) fn locate<'a>(&'a self, path: &'a str) -> (&'a Self, &'a str) {
        let rest = path.strip_prefix('.').unwrap_or(path);
        let ends = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        let step = match &self.value {
            Value::Table(children) => children.iter().find_map(|(name, child)| {
                let rest = rest.strip_prefix(join("", name).as_str())?;
                ends(rest).then_some((child, rest))
            }),
            Value::List(elements) => {
                rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).and_then(|(number, rest)| {
                    let element = elements.get(number.parse::<usize>().ok()?)?;
                    Some((element, rest))
                })
            }
            _ => None,
        };
        match step {
            Some((node, rest)) => node.locate(rest),
            None => (self, path),
        }
    }

    /// The node that has a path in the file.
    pub(super) fn node(&self, path: &str) -> Option<&Self> {
        if self.path == path {
            return Some(self);
        }
        match &self.value {
            Value::Table(children) => children.iter().find_map(|(_, child)| child.node(path)),
            Value::List(elements) => elements.iter().find_map(|element| element.node(path)),
            _ => None,
        }
    }

    /// Takes the node at a path, which is not the root, out of the tree.
    pub(super) fn take_out(&mut self, path: &str) {
        match &mut self.value {
            Value::Table(children) => {
                children.retain(|(_, child)| child.path != path);
                children.iter_mut().for_each(|(_, child)| child.take_out(path));
            }
            Value::List(elements) => {
                elements.retain(|element| element.path != path);
                elements.iter_mut().for_each(|element| element.take_out(path));
            }
            _ => {}
        }
    }
}

fn children(path: &str, table: &DeTable<'_>) -> Vec<(String, Node)> {
    let entry = |(key, value): (&Spanned<_>, &_)| {
        let name: &str = std::borrow::Borrow::borrow(key);
        (name.to_owned(), Node::new(join(path, name), key.span(), value))
    };
    table.iter().map(entry).collect()
}

/// Why a type could not be read from a tree.
#[derive(Debug)]
pub(super) struct ReadError {
    pub(super) message: String,
    /// The path of the innermost node that does not fit.
    pub(super) path: Option<String>,
    /// Whether it is the key of the node that does not fit.
    pub(super) key: bool,
}

impl ReadError {
    fn at(mut self, path: &str) -> Self {
        self.path.get_or_insert_with(|| path.to_owned());
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl serde::de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), path: None, key: false }
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Text(text) | Value::Time(text) => visitor.visit_borrowed_str(text),
            Value::Whole(number) => match (u64::try_from(*number), i64::try_from(*number)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i64(number),
                _ => visitor.visit_i128(*number),
            },
            Value::Number(number) => visitor.visit_f64(*number),
            Value::Flag(flag) => visitor.visit_bool(*flag),
            Value::List(elements) => visitor.visit_seq(Elements(elements.iter())),
            Value::Table(children) => visitor.visit_map(Children { rest: children.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Text(text) => IntoDeserializer::<ReadError>::into_deserializer(text.as_str())
                .deserialize_enum(name, variants, visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The elements of a list. Errors get their path here, not in the deserializer of the element: a type that refuses a
/// text does so after the text was read.
struct Elements<'a>(std::slice::Iter<'a, Node>);

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(element) = self.0.next() else {
            return Ok(None);
        };
        seed.deserialize(element).map(Some).map_err(|error| error.at(&element.path))
    }
}

/// The entries of a table; errors of a key belong to its entry.
struct Children<'a> {
    rest: std::slice::Iter<'a, (String, Node)>,
    value: Option<&'a Node>,
}

impl<'de> MapAccess<'de> for Children<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some((name, child)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(child);
        let key = seed.deserialize(BorrowedStrDeserializer::new(name));
        key.map(Some).map_err(|error: ReadError| ReadError { key: true, ..error.at(&child.path) })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let child = self.value.take().expect("serde asks for a value after its key");
        seed.deserialize(child).map_err(|error| error.at(&child.path))
    }
}
