//! The state of a unit file, by the rules of `systemctl list-unit-files`.

use super::{Entry, Settings, UnitFile, Units, base, is_unit, template, template_mark};

/// What the folders say about a unit under a given rule.
#[derive(Debug, Default)]
struct Links {
    enabled: bool,
    enabled_runtime: bool,
    enabled_elsewhere: bool,
    same_name: Option<&'static str>,
}

impl Units<'_> {
    /// The unit file of a name, with its state.
    pub(super) fn file(&self, name: &str) -> Option<UnitFile> {
        let at = self.folders.iter().position(|folder| folder.units.contains_key(name))?;
        let folder = &self.folders[at];
        let path = format!("{}/{name}", folder.path);
        let state = self.state(name, at, &path);
        Some(UnitFile { name: name.to_owned(), path, state })
    }

    fn state(&self, name: &str, at: usize, path: &str) -> &'static str {
        let folder = &self.folders[at];
        if self.is_null(path) {
            return if folder.place.is_runtime() { "masked-runtime" } else { "masked" };
        }
        if let Some(Entry::Link(target)) = folder.units.get(name) {
            if self.root.metadata(path).is_err() {
                return "bad";
            }
            if template(name).as_deref() == Some(base(target)) {
                return if folder.place.is_runtime() { "enabled-runtime" } else { "enabled" };
            }
            if base(target) != name
                && self.folders.iter().any(|folder| is_below(target, &folder.path, &self.folders[at].path))
            {
                return "alias";
            }
            return if folder.place.is_runtime() { "linked-runtime" } else { "linked" };
        }
        match folder.place {
            super::Place::Generated => return "generated",
            super::Place::Transient => return "transient",
            _ => {}
        }
        let settings = self.settings(name).unwrap_or_default();
        self.by_links(name, at, &settings, true).unwrap_or_else(|| {
            if self.by_links(name, at, &settings, false).is_some() {
                // In use under a name that enabling it would not have given it.
                return "indirect";
            }
            let has = |key| !settings.words("Install", key).is_empty();
            if has("WantedBy") || has("RequiredBy") || has("UpheldBy") || has("Alias") {
                "disabled"
            } else if has("Also") {
                "indirect"
            } else {
                "static"
            }
        })
    }

    /// True for what says that there is no such unit: an empty file, or a link to `/dev/null`.
    fn is_null(&self, path: &str) -> bool {
        let Ok(real) = self.root.resolve(path) else { return false };
        if !self.root.is_host() && real.ends_with("dev/null") {
            return true;
        }
        match std::fs::metadata(&real) {
            Ok(metadata) if metadata.is_file() => metadata.len() == 0,
            Ok(metadata) => !metadata.is_dir(),
            Err(_) => false,
        }
    }

    /// What links say; with `known`, only links under the names that enabling the unit gives it count.
    fn by_links(&self, name: &str, own: usize, settings: &Settings, known: bool) -> Option<&'static str> {
        let known_names = known.then(|| known_names(name, settings));
        let mut links = Links::default();
        for (at, folder) in self.folders.iter().enumerate() {
            // Below the unit's own folder a link of its name is hidden by it.
            let ignore_same_name = at > own;
            let counts = |link: &str| known_names.as_ref().is_none_or(|names| names.iter().any(|known| known == link));
            let pulled = folder
                .pulls
                .iter()
                .flat_map(|(_, links)| links)
                .any(|link| (link == name || template(link).as_deref() == Some(name)) && counts(link));
            let mut aliased = false;
            for (link, entry) in &folder.units {
                let Entry::Link(target) = entry else { continue };
                let path = !ignore_same_name && link == name;
                let target = base(target) == name;
                if path && target {
                    if folder.place == super::Place::Configuration {
                        links.same_name = Some("linked");
                    } else if folder.place.is_runtime() {
                        links.same_name = links.same_name.or(Some("linked-runtime"));
                    }
                } else if (path || target) && counts(link) {
                    aliased = true;
                }
            }
            if pulled || aliased {
                match folder.place {
                    super::Place::Configuration => links.enabled = true,
                    place if place.is_runtime() => links.enabled_runtime = true,
                    _ => links.enabled_elsewhere = true,
                }
            }
        }
        if links.enabled {
            Some("enabled")
        } else if links.enabled_runtime {
            Some("enabled-runtime")
        } else if links.enabled_elsewhere && template(name).is_some() {
            Some("static")
        } else {
            links.same_name
        }
    }
}

/// True when a link's target, from a file in `from`, lies in the folder `path`.
fn is_below(target: &str, path: &str, from: &str) -> bool {
    let target = match target.strip_prefix('/') {
        Some(_) => target.to_owned(),
        None => normalised(&format!("{from}/{target}")),
    };
    let Some((directory, name)) = target.rsplit_once('/') else { return false };
    let usual =
        |path: &str| path.strip_prefix("/usr").filter(|rest| rest.starts_with("/lib")).unwrap_or(path).to_owned();
    usual(directory) == usual(path) && is_unit(name)
}

fn normalised(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The names under which enabling a unit links it.
fn known_names(name: &str, settings: &Settings) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    names.extend(settings.words("Install", "Alias"));
    if template_mark(name)
        && let Some(instance) = settings.last("Install", "DefaultInstance")
    {
        names.push(name.replacen("@.", &format!("@{}.", String::from_utf8_lossy(instance)), 1));
    }
    names
}
