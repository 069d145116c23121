//! What calls on several things at once, or page by page, have in common on the wire.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use cwpp_chassis::{Error, Reason, Result, Violations, deadline};
use cwpp_contracts::common::v1::{BulkResult, Page};

/// Most things that one call may name.
pub(crate) const MOST_AT_ONCE: usize = 100;
/// What has to be left of a call's time for another chunk of its work.
const ENOUGH: Duration = Duration::from_secs(2);

/// Says that things are each named once; two of the same are `DUPLICATE_ITEM`.
pub(crate) fn unique<T: Hash + Eq>(things: impl IntoIterator<Item = T>, field: impl Fn(usize) -> String) -> Result<()> {
    let mut places: HashMap<T, usize> = HashMap::new();
    let mut error = None;
    for (i, thing) in things.into_iter().enumerate() {
        if let Some(first) = places.insert(thing, i) {
            let so_far = error
                .take()
                .unwrap_or_else(|| Error::new(Reason::DuplicateItem, "one thing is named twice in one call"));
            error = Some(Error::violation(so_far, field(i), format!("the same as {}", field(first))));
        }
    }
    error.map_or(Ok(()), Err)
}

/// Says whether too little is left of the call's time for another chunk of its work.
pub(crate) fn is_over() -> bool {
    deadline::remaining().is_some_and(|left| left < ENOUGH)
}

/// Writes what became of each thing of a bulk call.
pub(crate) fn results(ids: impl IntoIterator<Item = impl ToString>, done: Vec<Result<()>>) -> Vec<BulkResult> {
    let result = |(id, done): (String, Result<()>)| match done {
        Ok(()) => BulkResult { id, ok: true, ..Default::default() },
        Err(error) => BulkResult {
            id,
            ok: false,
            reason: error.reason().as_str().to_owned(),
            message: error.message().to_owned(),
        },
    };
    ids.into_iter().map(|id| id.to_string()).zip(done).map(result).collect()
}

/// Checks how many things a bulk call names.
pub(crate) fn check(field: &str, count: usize, violations: &mut Violations) {
    violations.check((1..=MOST_AT_ONCE).contains(&count), field, format!("must be 1 to {MOST_AT_ONCE}, are {count}"));
}

/// Checks the size of a page.
pub(crate) fn check_page(page: Option<&Page>, violations: &mut Violations) {
    violations.check(page.is_none_or(|p| p.page_size >= 0), "page.page_size", "must not be negative");
}
