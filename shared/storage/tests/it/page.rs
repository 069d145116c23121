use chrono::{DateTime, TimeDelta, Utc};
use cwpp_access::AppId;
use cwpp_chassis::Reason;
use cwpp_contracts::common::v1 as wire;
use cwpp_contracts::inventory::v1::ListMachinesRequest;
use cwpp_storage::Keys;
use cwpp_storage::page::{Binding, Page, next};

fn tenant(n: i64) -> AppId {
    AppId::from_row(n)
}

fn binding(app_id: i64, method: &str, order: i32) -> Binding {
    Binding::new(tenant(app_id), method, &ListMachinesRequest { order, ..Default::default() })
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

fn read(keys: &Keys, token: &str, binding: &Binding, at: DateTime<Utc>) -> Result<Option<u32>, Reason> {
    let page = wire::Page { page_size: 0, page_token: token.to_owned() };
    Page::<u32>::read(keys, Some(&page), binding, at).map(|p| p.after).map_err(|e| e.reason())
}

#[test]
fn a_token_opens_where_it_was_made_and_nowhere_else() {
    let keys = Keys::random();
    let here = binding(1, "/a", 1);
    let token = next(&keys, Some(&7u32), &here, now()).unwrap();
    assert_eq!(read(&keys, &token, &here, now()), Ok(Some(7)));
    for elsewhere in [binding(2, "/a", 1), binding(1, "/b", 1), binding(1, "/a", 2)] {
        assert_eq!(read(&keys, &token, &elsewhere, now()), Err(Reason::PageTokenInvalid));
    }
    assert_eq!(read(&Keys::random(), &token, &here, now()), Err(Reason::PageTokenInvalid));
}

#[test]
fn what_is_no_token_is_refused() {
    let keys = Keys::random();
    let here = binding(1, "/a", 1);
    let token = next(&keys, Some(&7u32), &here, now()).unwrap();
    let mut changed = token.clone();
    changed.replace_range(20..21, if &token[20..21] == "A" { "B" } else { "A" });
    for text in ["x", "not base64 !", &token[..token.len() - 2], &changed, &"A".repeat(9000)] {
        assert_eq!(read(&keys, text, &here, now()), Err(Reason::PageTokenInvalid), "{text}");
    }
}

#[test]
fn a_token_expires_after_72_hours() {
    let keys = Keys::random();
    let here = binding(1, "/a", 1);
    let token = next(&keys, Some(&7u32), &here, now()).unwrap();
    assert_eq!(read(&keys, &token, &here, now() + TimeDelta::hours(72)), Ok(Some(7)));
    assert_eq!(read(&keys, &token, &here, now() + TimeDelta::seconds(72 * 3600 + 1)), Err(Reason::PageTokenExpired));
}

#[test]
fn a_token_of_the_former_key_opens_while_that_key_is_kept() {
    let here = binding(1, "/a", 1);
    let token = next(&Keys::of(vec![[1; 32]]), Some(&7u32), &here, now()).unwrap();
    assert_eq!(read(&Keys::of(vec![[2; 32], [1; 32]]), &token, &here, now()), Ok(Some(7)));
    assert_eq!(read(&Keys::of(vec![[2; 32]]), &token, &here, now()), Err(Reason::PageTokenInvalid));
}

#[test]
fn sizes_are_bounded_and_negative_ones_refused() {
    let (keys, here) = (Keys::random(), binding(1, "/a", 1));
    let size = |n: i32| {
        let page = wire::Page { page_size: n, page_token: String::new() };
        Page::<u32>::read(&keys, Some(&page), &here, now()).map(|p| p.size).map_err(|e| e.reason())
    };
    assert_eq!(size(0), Ok(50));
    assert_eq!(size(7), Ok(7));
    assert_eq!(size(1_000_000), Ok(1000));
    assert_eq!(size(-1), Err(Reason::InvalidField));
}
