//! The host under collection: its file tree, the time, and what several classes need and is read only once.

use std::cell::OnceCell;
use std::rc::Rc;

use chrono::{DateTime, Utc};

use crate::class::system_package::Owners;
use crate::class::{Class, ClassSnapshot, Describer, Names, Outcome, Sites};
use crate::person::{People, Person};
use crate::process::{Process, Processes};
use crate::product::{self, Installed, Instance, Programs};
use crate::{ReadError, Root};

/// One collection of one host.
pub struct Host<'a> {
    root: &'a Root,
    now: DateTime<Utc>,
    processes: OnceCell<Result<Processes, ReadError>>,
    describer: OnceCell<Option<Describer>>,
    installed: OnceCell<Installed>,
    owners: OnceCell<Owners>,
    programs: OnceCell<Programs>,
    sites: OnceCell<Sites>,
    names: OnceCell<Rc<Names>>,
    people: People,
}

impl<'a> Host<'a> {
    /// The host below `root`. Nothing is read yet.
    pub fn new(root: &'a Root, now: DateTime<Utc>) -> Self {
        Host {
            root,
            now,
            processes: OnceCell::new(),
            describer: OnceCell::new(),
            installed: OnceCell::new(),
            owners: OnceCell::new(),
            programs: OnceCell::new(),
            sites: OnceCell::new(),
            names: OnceCell::new(),
            people: People::default(),
        }
    }

    /// Its file tree.
    pub fn root(&self) -> &'a Root {
        self.root
    }

    /// The time of the collection.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Its processes, read at the first call.
    pub fn processes(&self) -> Result<&Processes, &ReadError> {
        self.processes.get_or_init(|| Processes::read(self.root)).as_ref()
    }

    /// What is known of its processes beyond their own files; none where they cannot be read, or not be told apart.
    pub(crate) fn describer(&self) -> Option<&Describer> {
        self.describer.get_or_init(|| Describer::read(self.root, self.processes().ok()?)).as_ref()
    }

    /// The names of its users and groups.
    pub(crate) fn names(&self) -> &Rc<Names> {
        self.names.get_or_init(|| Rc::new(Names::read(self.root)))
    }

    /// Who a process runs as, by the names of its own file tree.
    pub(crate) fn person(&self, process: &Process) -> Person {
        self.people.of(self, process)
    }

    /// What of the names that processes run by was not read.
    pub(crate) fn unread_names(&self) -> Option<String> {
        self.people.unread()
    }

    /// The known products whose executable is on the disk.
    pub(crate) fn installed(&self) -> &Installed {
        self.installed.get_or_init(|| product::installed(self.root))
    }

    /// The packages of all executables that run, and of those of known products.
    pub(crate) fn owners(&self) -> &Owners {
        self.owners.get_or_init(|| {
            let running = self.processes().into_iter().flat_map(Processes::iter);
            let exes = running.filter_map(|process| process.exe.as_deref());
            Owners::find(self.root, &exes.chain(self.installed().keys().map(String::as_bytes)).collect())
        })
    }

    /// The known products that run or are installed.
    pub(crate) fn programs(&self) -> &Programs {
        self.programs.get_or_init(|| Programs::find(self))
    }

    /// What of its processes cannot be seen.
    pub(crate) fn unseen(&self) -> Vec<String> {
        self.processes().map_or_else(|_| vec!["/proc".to_owned()], Processes::unseen)
    }

    /// An empty snapshot of a class that comes from what runs; failed when that cannot be seen.
    pub(crate) fn snapshot_of_running(&self, class: Class) -> ClassSnapshot {
        match self.processes() {
            Ok(processes) => {
                let mut snapshot = ClassSnapshot::new(class);
                snapshot.unread_sources.extend(processes.unseen());
                snapshot
            }
            Err(e) if e.is_missing() => ClassSnapshot::failed(class, Outcome::NotPresent { reason: e.to_string() }),
            Err(e) => ClassSnapshot::failed(class, Outcome::Unreadable { reason: e.to_string() }),
        }
    }

    /// The sites of the web servers that run.
    pub(crate) fn sites(&self) -> &Sites {
        self.sites.get_or_init(|| Sites::find(self))
    }

    /// The name of the user that an instance runs as, by its own file tree.
    pub(crate) fn user_of(&self, instance: &Instance) -> Option<String> {
        Some(self.person(self.processes().ok()?.get(instance.pid)?).user(instance.uid?))
    }
}
