//! Texts that are too long, and lists: each is cut to the bound that its comment in the contract names, and counted, or
//! refused by name where it tells one item from another.

use std::collections::BTreeMap;
use std::path::Path;

use cwpp_chassis::Reason;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::asset::class::CLASSES;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};

use crate::fixture::item;
use crate::world::*;

/// More than any column takes.
const LONG: usize = 70_000;
/// More than any list may hold.
const MANY: usize = 600;

/// A text or a list of an item: the fields that lead to it, the last of which is what is looked at.
type Place = Vec<FieldDescriptor>;

/// The comments of all fields of the contract, by message and field.
fn comments() -> BTreeMap<(String, String), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/cwpp/inventory/v1");
    let mut comments = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let (mut message, mut comment) = (String::new(), String::new());
        for line in std::fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            if let Some(name) = line.strip_prefix("message ").and_then(|rest| rest.split(' ').next()) {
                message = name.to_owned();
            } else if let Some(text) = line.trim().strip_prefix("// ") {
                comment = format!("{comment}{text} ");
                continue;
            } else if let Some((field, _)) = line.split_once(" = ") {
                let name = field.rsplit(' ').next().unwrap().to_owned();
                comments.insert((message.clone(), name), comment);
            }
            comment = String::new();
        }
    }
    comments
}

/// The number before the first " bytes" of a comment.
fn bytes(comment: &str) -> Option<usize> {
    let before = comment.split(" bytes").next().filter(|before| before.len() < comment.len())?;
    before.rsplit(' ').next()?.replace(',', "").parse().ok()
}

/// The number behind the first "at most" of a comment.
fn most(comment: &str) -> Option<usize> {
    let behind = comment.split("at most ").nth(1)?;
    behind.split(|c: char| !c.is_ascii_digit() && c != ',').next()?.replace(',', "").parse().ok()
}

/// Every text of a message, also in its lists.
fn texts(message: &MessageDescriptor, before: &[FieldDescriptor]) -> Vec<Place> {
    let mut places = Vec::new();
    for field in message.fields() {
        let place = [before, std::slice::from_ref(&field)].concat();
        match field.kind() {
            Kind::String => places.push(place),
            Kind::Message(inner) if field.is_list() => places.extend(texts(&inner, &place)),
            _ => {}
        }
    }
    places
}

/// Gives what stands at a place; of a list the first.
fn at<'a>(value: &'a Value, place: &[FieldDescriptor]) -> &'a Value {
    let value = value.as_list().map_or(value, |list| &list[0]);
    match place.split_first() {
        Some((field, rest)) => match value.as_message().unwrap().get_field(field) {
            std::borrow::Cow::Borrowed(value) => at(value, rest),
            std::borrow::Cow::Owned(_) => panic!("{} is not set", field.full_name()),
        },
        None => value,
    }
}

/// Puts a text at a place; of a list into the first.
fn put(message: &mut DynamicMessage, place: &[FieldDescriptor], text: &str) {
    let (field, rest) = place.split_first().unwrap();
    let text_of = || Value::String(text.to_owned());
    match message.get_field_mut(field) {
        Value::List(list) if rest.is_empty() => list[0] = text_of(),
        Value::List(list) => put(list[0].as_message_mut().unwrap(), rest, text),
        value => *value = text_of(),
    }
}

fn whole(item: &AssetItem) -> (FieldDescriptor, DynamicMessage) {
    let pool = DescriptorPool::decode(cwpp_contracts::FILE_DESCRIPTOR_SET).unwrap();
    let whole = pool.get_message_by_name("cwpp.inventory.v1.AssetItem").unwrap();
    let whole = DynamicMessage::decode(whole, &item.encode_to_vec()[..]).unwrap();
    let (class, _) = whole.fields().next().unwrap();
    (class, whole)
}

fn packed(whole: &DynamicMessage) -> AssetItem {
    AssetItem::decode(&whole.encode_to_vec()[..]).unwrap()
}

both! {
    async fn a_text_of_any_field_is_cut_to_its_bound_and_counted_or_refused_by_name(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let comments = comments();
        let (mut cut, mut refused) = (0, 0);
        for class in CLASSES.iter().map(|class| class.class()) {
            let (of_class, plain) = whole(&item(class, 1));
            let message = plain.get_field(&of_class).as_message().unwrap().descriptor();
            for place in texts(&message, &[]) {
                let mut sent = plain.clone();
                put(sent.get_field_mut(&of_class).as_message_mut().unwrap(), &place, &"x".repeat(LONG));
                let names: Vec<&str> = place.iter().map(FieldDescriptor::name).collect();
                let what = format!("{}.{}", of_class.name(), names.join("."));
                // The bound stands at the text, or at the list of records that it is in.
                let bound = place.iter().rev().find_map(|field| {
                    bytes(&comments[&(field.parent_message().name().to_owned(), field.name().to_owned())])
                });
                let bound = bound.unwrap_or_else(|| panic!("the contract names no bound of {what}"));
                let items = [packed(&sent)];
                // A volatile field alone would not be written.
                w.report(&host, &[class], &[]).await;
                let offers = offers(&[class], &items);
                let token = w.negotiate(&host, offers.clone()).await.unwrap().report_token;
                match w.send(messages(&host, &token, offers, &items)).await {
                    Ok(results) => {
                        cut += 1;
                        assert_eq!(results[0].clipped, 1, "{what}");
                        let stored = w.stored(&host, class).await.remove(0).item.unwrap();
                        let (_, stored) = whole(&stored);
                        let text = at(&Value::Message(stored), &[&[of_class.clone()][..], &place].concat()).as_str().unwrap().to_owned();
                        assert_eq!(text, "x".repeat(bound), "{what}");
                    }
                    Err(status) => {
                        refused += 1;
                        let violations = cwpp_chassis::status::violations(&status);
                        assert_eq!(violations.len(), 1, "{what}: {status:?}");
                        assert_eq!(violations[0].0, format!("items[0].{what}"));
                        assert_eq!(violations[0].1, format!("must have at most {bound} bytes, has {LONG}"), "{what}");
                        assert_eq!(reason::<()>(Err(status)), Reason::InvalidField, "{what}");
                    }
                }
            }
        }
        assert!(cut > 70 && refused > 30, "{cut} are cut, {refused} are refused");
    }

    async fn every_list_is_cut_to_its_bound_and_counted(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let comments = comments();
        let mut lists = 0;
        for class in CLASSES.iter().map(|class| class.class()) {
            let (of_class, plain) = whole(&item(class, 1));
            let message = plain.get_field(&of_class).as_message().unwrap().descriptor();
            for field in message.fields().filter(FieldDescriptor::is_list) {
                lists += 1;
                let mut sent = plain.clone();
                let Value::List(list) = sent.get_field_mut(&of_class).as_message_mut().unwrap().get_field_mut(&field) else {
                    unreachable!("a list")
                };
                *list = vec![list[0].clone(); MANY];
                let what = format!("{}.{}", of_class.name(), field.name());
                let bound = most(&comments[&(message.name().to_owned(), field.name().to_owned())]);
                w.report(&host, &[class], &[]).await;
                let result = w.report(&host, &[class], &[packed(&sent)]).await.remove(0);
                assert_eq!(result.clipped, 1, "{what}");
                let (_, stored) = whole(&w.stored(&host, class).await.remove(0).item.unwrap());
                let stored = stored.get_field(&of_class).as_message().unwrap().get_field(&field).as_list().map(<[Value]>::len);
                assert_eq!(stored, bound, "{what}");
            }
        }
        assert!(lists >= 9, "{lists} lists");
    }
}
