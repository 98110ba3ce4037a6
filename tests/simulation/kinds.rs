//! The kinds of the cloud in memory: one for each way in which AWS recognises an object.
//!
//! All have the same spec: `parent` (what it is in; immutable), `uses` (outputs of others), `size`, `shape` (immutable), tags.
//! The output `version` changes with every update, `endpoint` is known only when the object is ready.

use std::time::Duration;

use drctl_core::address::{Address, Scope};
use drctl_core::aws::error::Result;
use drctl_core::aws::wait::{Look, Patience};
use drctl_core::aws::{Error, tags};
use drctl_core::kind::{
    Adoption, AnyKind, AnyObject, AnyWanted, Context, Deletion, Expected, Index, Kinds, Parent, Permissions, Provider,
    Task, Traits,
};
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::cloud::{Object, begin, call, cloud, refusal};

/// How an object is kept from being made twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Recognised {
    ByToken,
    ByName,
    /// By tags alone.
    ByTags,
    /// By its parent and its own name; it has no tags.
    InParent,
}

/// The cloud of the run on this thread.
#[derive(Debug)]
pub(crate) struct OfThread;

/// How long the index of tags is late.
const LATE: Duration = Duration::from_secs(30);

impl Provider for OfThread {
    fn index_regions(&self, scope: &Scope) -> Vec<String> {
        vec![if scope.is_global() { "us-east-1".to_owned() } else { scope.to_string() }]
    }

    /// It lacks what is new, and has what went a moment ago.
    fn index<'a>(&'a self, region: &'a str, suffix: &'a str) -> BoxFuture<'a, Result<Index>> {
        Box::pin(async move {
            call("tag:GetResources", false, |cloud| {
                let now = cloud.now();
                let scope = |object: &Object| object.tags.get(tags::ADDRESS)?.split('/').next().map(str::to_owned);
                let is_listed = |object: &Object| {
                    let is_here = scope(object)
                        .is_some_and(|scope| scope == region || scope == "global" && region == "us-east-1");
                    let is_ours = object.tags.get(tags::DEPLOYMENT).is_some_and(|owner| owner == suffix);
                    let is_old = object.visible_at + LATE <= now;
                    is_here && is_ours && is_old && object.gone_at.is_none_or(|at| at + LATE > now)
                };
                let listed = cloud.objects.iter().filter(|(_, object)| is_listed(object));
                Ok(listed.map(|(id, object)| (format!("arn:sim:{}/{id}", object.kind), object.tags.clone())).collect())
            })
            .await
        })
    }
}

struct InMemory {
    traits: &'static Traits,
    recognised: Recognised,
    seconds: u64,
}

const fn traits(name: &'static str, recognised: Recognised, data_bearing: bool, seconds: u32) -> Traits {
    let in_parent = matches!(recognised, Recognised::InParent);
    Traits {
        name,
        taggable: !in_parent,
        data_bearing,
        adoption: if in_parent { Adoption::ByName } else { Adoption::ByTag },
        immutable: &["parent", "shape"],
        locked_by: if in_parent { Some("parent") } else { None },
        expected: Expected::seconds(seconds, 1, seconds),
        permissions: Permissions { read: &["sim:Look"], change: &["sim:Change"] },
        retries: &[],
    }
}

static KINDS: &[InMemory] = &[
    InMemory {
        traits: &const { traits("sim_token", Recognised::ByToken, false, 2) },
        recognised: Recognised::ByToken,
        seconds: 2,
    },
    InMemory {
        traits: &const { traits("sim_slow", Recognised::ByToken, false, 60) },
        recognised: Recognised::ByToken,
        seconds: 60,
    },
    InMemory {
        traits: &const { traits("sim_named", Recognised::ByName, false, 1) },
        recognised: Recognised::ByName,
        seconds: 1,
    },
    InMemory {
        traits: &const { traits("sim_data", Recognised::ByName, true, 5) },
        recognised: Recognised::ByName,
        seconds: 5,
    },
    InMemory {
        traits: &const { traits("sim_tagged", Recognised::ByTags, false, 1) },
        recognised: Recognised::ByTags,
        seconds: 1,
    },
    InMemory {
        traits: &const { traits("sim_part", Recognised::InParent, false, 1) },
        recognised: Recognised::InParent,
        seconds: 1,
    },
];

/// The kinds, as the engine takes them.
pub(crate) fn kinds() -> Kinds {
    Kinds::of(KINDS.iter().map(|kind| kind as &dyn AnyKind))
}

impl InMemory {
    fn operation(&self, verb: &str) -> String {
        format!("{}:{verb}", self.traits.name)
    }

    fn name(&self, suffix: &str, address: &Address, spec: &Value) -> Option<String> {
        match self.recognised {
            Recognised::ByToken | Recognised::ByTags => None,
            Recognised::ByName => Some(format!("{suffix}/{address}")),
            Recognised::InParent => Some(format!("{}/{}", spec["parent"].as_str()?, address.name())),
        }
    }

    /// What the object is known by, among those that are there.
    fn find(&self, context: &Context, wanted: &AnyWanted) -> Option<String> {
        cloud(|cloud| {
            if let Some(id) = wanted.outputs.as_ref().and_then(|outputs| outputs["id"].as_str()) {
                let is_seen = |object: &&Object| object.visible_at <= cloud.now();
                return cloud.get(id).filter(is_seen).map(|_| id.to_owned());
            }
            if let Some(name) = self.name(context.suffix(), &wanted.address, &wanted.spec) {
                return cloud.named(self.traits.name, Some(&name)).filter(|id| cloud.get(id).is_some());
            }
            let found = cloud.live().find(|(_, object)| {
                object.kind == self.traits.name
                    && object.visible_at <= cloud.now()
                    && context.owns(&object.tags)
                    && object.tags.get(tags::ADDRESS) == Some(&wanted.address.to_string())
            });
            found.map(|(id, _)| id.clone())
        })
    }

    fn look(&self, context: &Context, wanted: &AnyWanted) -> Option<AnyObject> {
        let id = self.find(context, wanted)?;
        cloud(|cloud| {
            if cloud.hides(&id) {
                return None;
            }
            let object = cloud.get(&id)?;
            let outputs = cloud.outputs(&id, object);
            Some(AnyObject { spec: object.spec.clone(), outputs, tags: object.tags.clone() })
        })
    }

    async fn create(&self, task: &Task<'_>, spec: &Value) -> Result<AnyObject> {
        let operation = self.operation("Create");
        let name = self.name(task.suffix(), task.address, spec);
        let token = (self.recognised == Recognised::ByToken).then_some(&**task.token);
        let made = loop {
            let made = call(&operation, true, |cloud| {
                if cloud.refused.contains(task.address) {
                    return Err(refusal(&operation, "LimitExceeded", 400));
                }
                let now = cloud.now();
                let extra = cloud.extra.get(task.address).copied().unwrap_or_default();
                let object = Object {
                    address: Some(task.address.clone()),
                    kind: self.traits.name,
                    taggable: self.traits.taggable,
                    name: name.clone(),
                    spec: spec.clone(),
                    tags: task.tags.clone(),
                    version: 1,
                    ready_at: now + Duration::from_secs(self.seconds) + extra,
                    visible_at: now + cloud.milliseconds(4000),
                    gone_at: None,
                };
                cloud.create(&operation, token, object)
            })
            .await;
            let taken = made.as_ref().is_err_and(|error| error.is(&["AlreadyExists"]));
            if !taken {
                break made;
            }
            // The one of that name is ours, or on its way out, or somebody else's.
            let wanted = AnyWanted { address: task.address.clone(), spec: spec.clone(), outputs: None };
            match self.look(&task.context, &wanted) {
                Some(object) if task.owns(&object.tags) || !self.traits.taggable => return Ok(object),
                Some(_) => return Err(Error::Taken(format!("{} belongs to somebody else", task.address))),
                None => task.wait("the name to be free", Patience::seconds(600, 5), || self.is_free(&name)).await?,
            }
        };
        let id = made?;
        task.identified(&json!({ "id": id })).await?;
        tokio::time::sleep(cloud(|cloud| cloud.work.get(task.address).copied().unwrap_or_default())).await;
        Ok(AnyObject { spec: spec.clone(), outputs: json!({ "id": id }), tags: task.tags.clone() })
    }

    async fn is_free(&self, name: &Option<String>) -> Result<Look<()>> {
        call(&self.operation("Look"), false, |cloud| {
            Ok(match cloud.named(self.traits.name, name.as_deref()) {
                None => Look::Ready(()),
                Some(_) => Look::Pending("taken".to_owned()),
            })
        })
        .await
    }

    async fn is_ready(&self, id: &str) -> Result<Look<Value>> {
        call(&self.operation("Look"), false, |cloud| {
            let Some(object) = cloud.get(id) else {
                return Err(Error::Failed(format!("{id} is gone")));
            };
            Ok(match object.ready_at.max(object.visible_at) <= cloud.now() {
                true => Look::Ready(cloud.outputs(id, object)),
                false => Look::Pending("creating".to_owned()),
            })
        })
        .await
    }

    async fn is_gone(&self, id: &str) -> Result<Look<()>> {
        call(&self.operation("Look"), false, |cloud| {
            let gone = cloud.objects.get(id).is_none_or(|object| object.gone_at.is_some_and(|at| at <= cloud.now()));
            Ok(if gone { Look::Ready(()) } else { Look::Pending("deleting".to_owned()) })
        })
        .await
    }

    async fn update(&self, id: &str, spec: &Value, task: &Task<'_>) -> Result<()> {
        let operation = self.operation("Update");
        call(&operation, true, |cloud| {
            cloud.check_references(&operation, spec)?;
            let object = cloud.objects.get_mut(id).filter(|object| object.gone_at.is_none());
            let object = object.ok_or_else(|| refusal(&operation, "NotFound", 400))?;
            object.spec = spec.clone();
            object.version += 1;
            cloud.deeds.push(super::cloud::Deed::Made(task.address.clone()));
            Ok(())
        })
        .await
    }

    async fn sync_tags(&self, id: &str, object: &AnyObject, task: &Task<'_>) -> Result<()> {
        let changes = task.tag_changes(&object.tags);
        if !self.traits.taggable || changes.is_empty() {
            return Ok(());
        }
        call(&self.operation("Tag"), true, |cloud| {
            if let Some(object) = cloud.objects.get_mut(id) {
                object.tags.extend(changes.set);
                object.tags.retain(|key, _| !changes.remove.contains(key));
            }
            Ok(())
        })
        .await
    }

    fn locks(&self, spec: &Value, id: Option<&str>) -> Vec<String> {
        match self.recognised {
            Recognised::InParent => spec["parent"].as_str().into_iter().map(str::to_owned).collect(),
            _ => id.into_iter().map(str::to_owned).collect(),
        }
    }
}

impl AnyKind for InMemory {
    fn traits(&self) -> &'static Traits {
        self.traits
    }

    fn holds(&self, _: &str) -> bool {
        false
    }

    fn parent(&self) -> Option<Parent> {
        (self.recognised == Recognised::InParent).then_some(Parent::apart("parent"))
    }

    fn changes_on_update(&self, output: &str) -> bool {
        output == "version"
    }

    fn canonical(&self, spec: &Value) -> Result<Value> {
        let mut spec = spec.clone();
        if let Some(uses) = spec.get_mut("uses").and_then(Value::as_array_mut) {
            uses.sort_by_key(ToString::to_string);
        }
        Ok(spec)
    }

    fn observe<'a>(
        &'a self,
        context: &'a Context,
        wanted: &'a [AnyWanted],
    ) -> BoxFuture<'a, Result<Vec<Option<AnyObject>>>> {
        let operation = self.operation("List");
        Box::pin(async move {
            call(&operation, false, |_| Ok(())).await?;
            Ok(wanted.iter().map(|wanted| self.look(context, wanted)).collect())
        })
    }

    fn ensure<'a>(
        &'a self,
        task: &'a Task<'a>,
        spec: &'a Value,
        object: Option<AnyObject>,
    ) -> BoxFuture<'a, Result<Value>> {
        Box::pin(async move {
            let mut spec = spec.clone();
            spec.as_object_mut().expect("a spec is an object").remove("tags");
            let known = object.as_ref().and_then(|object| object.outputs["id"].as_str()).map(str::to_owned);
            let _busy = begin("ensure", task.address, Some(&spec), self.locks(&spec, known.as_deref()));
            let object = match object {
                Some(object) => object,
                None => self.create(task, &spec).await?,
            };
            let id = object.outputs["id"].as_str().expect("every object has an id").to_owned();
            for field in self.traits.immutable {
                if object.spec[field] != spec[field] {
                    let text = format!("{}: asked to change `{field}` in place", task.address);
                    cloud(|cloud| cloud.violations.push(text.clone()));
                    return Err(Error::Failed(text));
                }
            }
            let patience = Patience::seconds(7200, 60);
            task.wait("it to be ready", patience, || self.is_ready(&id)).await?;
            if object.spec != spec {
                self.update(&id, &spec, task).await?;
            }
            self.sync_tags(&id, &object, task).await?;
            task.wait("it to be ready again", patience, || self.is_ready(&id)).await
        })
    }

    fn delete<'a>(
        &'a self,
        task: &'a Task<'a>,
        spec: &'a Value,
        outputs: &'a Value,
    ) -> BoxFuture<'a, Result<Deletion>> {
        Box::pin(async move {
            let id = outputs["id"].as_str().expect("what is deleted has an id");
            let _busy = begin("delete", task.address, None, self.locks(spec, Some(id)));
            if let Some(until) = cloud(|cloud| cloud.deferred.get(task.address).copied().filter(|at| *at > cloud.now()))
            {
                let until = Timestamp::UNIX_EPOCH + until;
                return Ok(Deletion::Deferred { until, reason: "replicas may go once a day".to_owned() });
            }
            if cloud(|cloud| cloud.get(id).is_some_and(|object| object.ready_at > cloud.now())) {
                task.wait("it to be ready", Patience::seconds(7200, 60), || self.is_ready(id)).await?;
            }
            let operation = self.operation("Delete");
            match call(&operation, true, |cloud| cloud.delete(&operation, id, self.seconds)).await {
                Err(error) if error.is_gone() => return Ok(Deletion::Gone),
                answered => answered?,
            }
            task.wait("it to be gone", Patience::seconds(7200, 60), || self.is_gone(id)).await?;
            Ok(Deletion::Gone)
        })
    }
}
