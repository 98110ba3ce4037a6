//! Kinds without their types, as the engine handles them: specs and outputs are canonical JSON.
//!
//! The tags of a taggable kind are the field `tags` of its JSON spec; typed specs do not have them.

use std::marker::PhantomData;

use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{AnyKind, AnyObject, AnyWanted, Context, Deletion, Kind, Object, Parent, Task, Traits, Wanted};
use crate::aws::Error;
use crate::aws::error::Result;

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

    fn is_indexed(&self) -> bool {
        K::TRAITS.taggable && K::INDEXED
    }

    fn parent(&self) -> Option<Parent> {
        K::PARENT
    }

    fn orders_creation(&self, field: &str) -> bool {
        K::ORDERING_CREATION.contains(&field)
    }

    fn turn(&self, field: &str, outputs: &Value) -> Option<u32> {
        K::IN_TURNS.contains(&field).then_some(())?;
        Some(K::turn(&typed(K::TRAITS.name, "outputs", outputs).ok()?))
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
    let name = &wanted.address.to_string();
    Ok(Wanted {
        address: wanted.address.clone(),
        spec: typed(name, "spec", &wanted.spec)?,
        outputs: wanted.outputs.as_ref().map(|outputs| typed(name, "outputs", outputs)).transpose()?,
    })
}

fn typed<T: DeserializeOwned>(of: &str, what: &str, value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|error| Error::Failed(format!("this is no {what} of {of}: {error}")))
}

fn to_json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("specs and outputs are plain data")
}
