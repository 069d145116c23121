//! What starts with the machine: all that `default.target` pulls in.

use std::collections::{BTreeMap, BTreeSet};

use super::{Units, base};

/// The keys of `[Unit]` that pull another unit in.
const PULLS: [&str; 4] = ["Wants", "Requires", "BindsTo", "Upholds"];
/// Hosts without a `default.target` of their own start one of these.
const DEFAULTS: [&str; 3] = ["default.target", "graphical.target", "multi-user.target"];

impl Units<'_> {
    /// The names of all units that start with the machine, aliases resolved.
    pub(crate) fn started(&self) -> BTreeSet<String> {
        let mut pulls: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (owner, links) in self.folders.iter().flat_map(|folder| &folder.pulls) {
            let owner = owner.rsplit_once('.').map_or(owner.as_str(), |(owner, _)| owner);
            let units = pulls.entry(self.real_name(owner)).or_default();
            // Under its link's name: the link of an instance leads to its template.
            units.extend(links.iter().cloned());
        }
        let first = DEFAULTS.into_iter().find(|name| self.find(name).is_some());
        let mut open: Vec<String> = first.into_iter().map(|name| self.default_target(name)).collect();
        let mut started = BTreeSet::new();
        while let Some(name) = open.pop() {
            let name = self.real_name(&name);
            if self.find(&name).is_none() || self.is_masked(&name) || !started.insert(name.clone()) {
                continue;
            }
            open.extend(pulls.get(&name).into_iter().flatten().cloned());
            if let Some(template) = super::template(&name) {
                open.extend(pulls.get(&template).into_iter().flatten().cloned());
            }
            if let Some(settings) = self.settings(&name) {
                open.extend(PULLS.iter().flat_map(|key| settings.words("Unit", key)));
                // Targets aside, every unit needs the basic system.
                if settings.last("Unit", "DefaultDependencies") != Some(b"no") {
                    open.push("sysinit.target".to_owned());
                    open.push("basic.target".to_owned());
                }
            }
        }
        started
    }

    /// `default.target` may be a link out of the search path, to a target of the same folder.
    fn default_target(&self, name: &str) -> String {
        let real = self.real_name(name);
        if self.is_system
            && real == "default.target"
            && let Ok(path) = self.root.resolve("/etc/systemd/system/default.target")
            && let Some(target) = path.to_str().map(base)
        {
            return target.to_owned();
        }
        real
    }

    fn is_masked(&self, name: &str) -> bool {
        self.file(name).is_some_and(|file| file.state.starts_with("masked"))
    }
}
