//! Kinds without their types, as the engine handles them: specs and outputs are canonical JSON.
//!
//! The tags of a taggable kind are the field `tags` of its JSON spec; typed specs do not have them.

use std::marker::PhantomData;

use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Context, Deletion, Kind, Object, Task, Traits, Wanted};
use crate::address::Address;
use crate::aws::error::Result;
use crate::aws::{Error, Tags};

/// A kind whose types are JSON.
pub trait AnyKind: Send + Sync {
    /// What the engine has to know.
    fn traits(&self) -> &'static Traits;

    /// Tells whether an update in place may change this output.
    fn changes_on_update(&self, output: &str) -> bool;

    /// Tells whether the object keeps what this field refers to from being deleted.
    fn holds(&self, field: &str) -> bool;

    /// See [`Kind::RETURNS`].
    fn returns(&self) -> bool {
        false
    }

    /// See [`Kind::UNHELD`].
    fn is_unheld(&self) -> bool {
        false
    }

    /// See [`Kind::remark`]. Outputs that are none of this kind have no remark.
    fn remark(&self, outputs: &Value) -> Option<String> {
        let _ = outputs;
        None
    }

    /// The canonical form of a spec: defaults filled in, sets sorted, policies normalised. References may be unknown.
    ///
    /// # Errors
    /// When the JSON is not a spec of this kind.
    fn canonical(&self, spec: &Value) -> Result<Value>;

    /// See [`Kind::observe`].
    fn observe<'a>(
        &'a self,
        context: &'a Context,
        wanted: &'a [AnyWanted],
    ) -> BoxFuture<'a, Result<Vec<Option<AnyObject>>>>;

    /// See [`Kind::ensure`].
    fn ensure<'a>(
        &'a self,
        task: &'a Task<'a>,
        spec: &'a Value,
        object: Option<AnyObject>,
    ) -> BoxFuture<'a, Result<Value>>;

    /// See [`Kind::delete`].
    fn delete<'a>(&'a self, task: &'a Task<'a>, spec: &'a Value, outputs: &'a Value)
    -> BoxFuture<'a, Result<Deletion>>;
}

/// A resource to look for.
#[derive(Clone, Debug)]
pub struct AnyWanted {
    /// Its address.
    pub address: Address,
    /// The desired spec, or the recorded one.
    pub spec: Value,
    /// The recorded outputs.
    pub outputs: Option<Value>,
}

/// What AWS has.
#[derive(Clone, Debug, PartialEq)]
pub struct AnyObject {
    /// Its properties, without tags.
    pub spec: Value,
    /// Its outputs.
    pub outputs: Value,
    /// All its tags.
    pub tags: Tags,
}

/// Wraps a typed kind.
pub struct Erased<K>(PhantomData<fn() -> K>);

impl<K> Erased<K> {
    /// The wrapper, which holds nothing.
    pub const NEW: Self = Self(PhantomData);
}

impl<K: Kind> AnyKind for Erased<K> {
    fn traits(&self) -> &'static Traits {
        const { &K::TRAITS }
    }

    fn changes_on_update(&self, output: &str) -> bool {
        K::CHANGING_OUTPUTS.contains(&output)
    }

    fn holds(&self, field: &str) -> bool {
        K::HOLDS.contains(&field)
    }

    fn returns(&self) -> bool {
        K::RETURNS
    }

    fn is_unheld(&self) -> bool {
        K::UNHELD
    }

    fn remark(&self, outputs: &Value) -> Option<String> {
        K::remark(&typed(K::TRAITS.name, "outputs", outputs).ok()?)
    }

    fn canonical(&self, spec: &Value) -> Result<Value> {
        let mut canonical = to_json(&typed::<K::Spec>(K::TRAITS.name, "spec", spec)?);
        if let (Some(tags), Some(fields)) = (spec.get("tags"), canonical.as_object_mut()) {
            fields.insert("tags".to_owned(), tags.clone());
        }
        Ok(canonical)
    }

    fn observe<'a>(
        &'a self,
        context: &'a Context,
        wanted: &'a [AnyWanted],
    ) -> BoxFuture<'a, Result<Vec<Option<AnyObject>>>> {
        Box::pin(async move {
            let wanted: Vec<Wanted<K>> = wanted.iter().map(typed_wanted).collect::<Result<_>>()?;
            let objects = K::observe(context, &wanted).await?;
            assert_eq!(objects.len(), wanted.len(), "{} answers every wanted resource", K::TRAITS.name);
            Ok(objects
                .into_iter()
                .map(|object| {
                    object.map(|object| AnyObject {
                        spec: to_json(&object.spec),
                        outputs: to_json(&object.outputs),
                        tags: object.tags,
                    })
                })
                .collect())
        })
    }

    fn ensure<'a>(
        &'a self,
        task: &'a Task<'a>,
        spec: &'a Value,
        object: Option<AnyObject>,
    ) -> BoxFuture<'a, Result<Value>> {
        Box::pin(async move {
            let name = K::TRAITS.name;
            let spec = typed::<K::Spec>(name, "spec", spec)?;
            let object = match object {
                Some(object) => Some(Object {
                    spec: typed(name, "spec", &object.spec)?,
                    outputs: typed(name, "outputs", &object.outputs)?,
                    tags: object.tags,
                }),
                None => None,
            };
            Ok(to_json(&K::ensure(task, &spec, object).await?))
        })
    }

    fn delete<'a>(
        &'a self,
        task: &'a Task<'a>,
        spec: &'a Value,
        outputs: &'a Value,
    ) -> BoxFuture<'a, Result<Deletion>> {
        Box::pin(async move {
            let name = K::TRAITS.name;
            K::delete(task, &typed(name, "spec", spec)?, &typed(name, "outputs", outputs)?).await
        })
    }
}

fn typed_wanted<K: Kind>(wanted: &AnyWanted) -> Result<Wanted<K>> {
    let name = K::TRAITS.name;
    Ok(Wanted {
        address: wanted.address.clone(),
        spec: typed(name, "spec", &wanted.spec)?,
        outputs: wanted.outputs.as_ref().map(|outputs| typed(name, "outputs", outputs)).transpose()?,
    })
}

fn typed<T: DeserializeOwned>(kind: &str, what: &str, value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|error| Error::Failed(format!("this is no {what} of {kind}: {error}")))
}

fn to_json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("specs and outputs are plain data")
}
