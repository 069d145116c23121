//! The units of users' managers: those that all of them have, and those in accounts' homes. Whoever owns a home may put
//! anything into it, so all of it is bounded.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use super::{ENTRY_CAP, Folder, Place, Units};
use crate::{ReadError, Root};

/// Where the units of all users lie, the one that counts first.
const SHARED: [(&str, Place); 6] = [
    ("/etc/systemd/user", Place::Configuration),
    ("/run/systemd/user", Place::Runtime),
    ("/usr/local/share/systemd/user", Place::Other),
    ("/usr/share/systemd/user", Place::Other),
    ("/usr/local/lib/systemd/user", Place::Other),
    ("/usr/lib/systemd/user", Place::Other),
];
/// Where an account's own lie in its home.
const OWN: [(&str, Place); 2] =
    [(".config/systemd/user", Place::Configuration), (".local/share/systemd/user", Place::Other)];
/// Accounts whose managers run without a login.
const LINGER: &str = "/var/lib/systemd/linger";
/// The most entries of a folder in a home, and the most homes with units.
const HOME_CAP: usize = 200;
const HOMES_CAP: usize = 1_000;
/// So much of all unit files in homes is read, and of those in one home.
const BYTES_CAP: usize = 32 << 20;
const HOME_BYTES_CAP: usize = 8 << 20;
/// So many of what cannot be read are named.
const UNREAD_CAP: usize = 20;

/// Whose units they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whose {
    /// The account; none where every user's manager has them.
    pub(crate) account: Option<String>,
    /// Whether the manager, of shared units any manager, starts with the machine.
    pub(crate) lingers: bool,
}

/// The units of users' managers.
#[derive(Debug, Default)]
pub(crate) struct UserUnits<'a> {
    pub(crate) all: Vec<(Whose, Units<'a>)>,
    /// What could not be read.
    pub(crate) unread: Vec<String>,
}

impl<'a> UserUnits<'a> {
    /// Reads them, those of all users first. Of a home that several accounts have the first of them has the units.
    pub(crate) fn read(root: &'a Root, homes: &[(String, String)]) -> Self {
        let mut units = UserUnits::default();
        let mut hidden = 0_usize;
        let mut folder = |unread: &mut Vec<String>, path: String, place: Place, cap: usize| {
            let read = Folder::read(root, path, place, cap);
            let told = match &read {
                Ok(folder) if folder.is_cut => Some(format!("{} (too many files)", folder.path)),
                Err(ReadError::Unreadable { path, .. }) => Some(path.clone()),
                _ => None,
            };
            match told {
                Some(told) if unread.len() < UNREAD_CAP => unread.push(told),
                Some(_) => hidden += 1,
                None => {}
            }
            read.ok().map(Rc::new)
        };
        let lingering: BTreeSet<String> = root.list(LINGER).unwrap_or_default().into_iter().collect();
        let shared =
            SHARED.iter().filter_map(|(path, place)| folder(&mut units.unread, (*path).to_owned(), *place, ENTRY_CAP));
        let shared: Vec<Rc<Folder>> = shared.collect();
        let all_left = Rc::new(Cell::new(BYTES_CAP));
        if shared.iter().any(|folder| !folder.units.is_empty()) {
            let left = Cell::new(usize::MAX);
            let (whose, all_left) = (Whose { account: None, lingers: !lingering.is_empty() }, Rc::new(left.clone()));
            let (own, folders) = (shared.len(), shared.clone());
            units.all.push((
                whose,
                Units { root, own, folders, is_system: false, left, all_left, texts: RefCell::default() },
            ));
        }
        let mut seen = BTreeSet::new();
        for (account, home) in homes {
            let home = home.trim_end_matches('/');
            if !seen.insert(home) {
                continue;
            }
            let own = OWN
                .iter()
                .filter_map(|(path, place)| folder(&mut units.unread, format!("{home}/{path}"), *place, HOME_CAP));
            let mut folders: Vec<Rc<Folder>> = own.collect();
            if folders.is_empty() {
                continue;
            }
            if units.all.len() > HOMES_CAP {
                units.unread.push("units in more homes than are looked into".to_owned());
                break;
            }
            let own = folders.len();
            folders.extend(shared.iter().cloned());
            let whose = Whose { account: Some(account.clone()), lingers: lingering.contains(account) };
            let (left, all_left) = (Cell::new(HOME_BYTES_CAP), Rc::clone(&all_left));
            units.all.push((
                whose,
                Units { root, folders, own, is_system: false, left, all_left, texts: RefCell::default() },
            ));
        }
        if hidden > 0 {
            units.unread.push(format!("{hidden} more folders of units in homes"));
        }
        units
    }
}
