//! Which interfaces there are, and until when those stay that serve nobody any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::Given;
use super::interface::Interface;

/// The interfaces of every region, by region and id.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<(String, String), Entry>);

#[derive(Debug)]
struct Entry {
    interface: Interface,
    stay: Stay,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stay {
    /// It serves something.
    InUse,
    /// It serves nothing, and goes at this time of AWS's.
    Until(Duration),
    /// Nobody is left who could take it away.
    ForGood,
}

impl Ledger {
    /// The regions in which there are interfaces.
    pub(super) fn regions(&self) -> BTreeSet<String> {
        self.0.keys().map(|(region, _)| region.clone()).collect()
    }

    /// Takes down which interfaces of a region are in use; those that were and no longer are begin to go.
    pub(super) fn note(&mut self, region: &str, in_use: Vec<Interface>, given: &Given) {
        let now = given.clock.now();
        let used: BTreeSet<String> = in_use.iter().map(|interface| interface.id.clone()).collect();
        for mut interface in in_use {
            let key = (region.to_owned(), interface.id.clone());
            if let Some(known) = self.0.remove(&key) {
                let former = known.interface.roles.into_iter().filter(|role| !interface.roles.contains(role));
                let former: Vec<String> = former.collect();
                interface.roles.extend(former);
            }
            self.0.insert(key, Entry { interface, stay: Stay::InUse });
        }
        for ((_, id), entry) in self.0.iter_mut().filter(|((of, _), _)| of == region) {
            if entry.stay == Stay::InUse && !used.contains(id) {
                let owner = entry.interface.owner;
                let [shortest, longest] = owner.linger();
                let span = given.dice.span(&format!("lingering-interfaces/{owner:?}/{region}"), shortest, longest);
                entry.stay = Stay::Until(now + span);
            }
        }
        self.0.retain(|_, entry| !matches!(entry.stay, Stay::Until(end) if end <= now));
    }

    /// The interfaces of a region, as last taken down.
    pub(super) fn present(&self, region: &str) -> Vec<Interface> {
        let all = self.0.iter().filter(|((of, _), _)| of == region);
        all.map(|(_, entry)| entry.interface.clone()).collect()
    }

    /// A role is gone: interfaces that only it could have released stay.
    pub(super) fn strand(&mut self, role: &str) {
        for entry in self.0.values_mut().filter(|entry| entry.interface.roles.iter().any(|one| one == role)) {
            entry.interface.roles.retain(|one| one != role);
            if entry.interface.roles.is_empty() {
                entry.stay = Stay::ForGood;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::super::interface::Owner;
    use super::*;
    use crate::scenarios::tests::given;

    const EAST: &str = "us-east-1";

    fn function() -> Interface {
        let interface = Interface::new(Owner::Function, "pay", "subnet-1", "vpc-1", &["sg-1".to_owned()]);
        Interface { roles: vec!["pay".to_owned()], ..interface }
    }

    #[tokio::test(start_paused = true)]
    async fn an_interface_stays_for_a_while_after_its_function() {
        let (mut ledger, given) = (Ledger::default(), given(7));
        ledger.note(EAST, vec![function()], &given);
        advance(Duration::from_secs(24 * 3600)).await;
        ledger.note(EAST, vec![function()], &given);
        assert_eq!(ledger.present(EAST).len(), 1, "it is in use");
        ledger.note(EAST, Vec::new(), &given);
        advance(Duration::from_secs(19 * 60)).await;
        ledger.note(EAST, Vec::new(), &given);
        assert_eq!(ledger.present(EAST).len(), 1, "no function lets go within 20 minutes");
        assert_eq!(ledger.present("us-east-2").len(), 0);
        advance(Duration::from_secs(27 * 60)).await;
        ledger.note(EAST, Vec::new(), &given);
        assert_eq!(ledger.present(EAST).len(), 0, "every function has let go after 45 minutes");
    }

    /// Invariant 2.
    #[tokio::test(start_paused = true)]
    async fn without_its_role_an_interface_stays_for_good() {
        let (mut ledger, given) = (Ledger::default(), given(7));
        ledger.note(EAST, vec![function()], &given);
        ledger.note(EAST, Vec::new(), &given);
        ledger.strand("health");
        ledger.strand("pay");
        advance(Duration::from_secs(24 * 3600)).await;
        ledger.note(EAST, Vec::new(), &given);
        assert_eq!(ledger.present(EAST).len(), 1);
    }
}
