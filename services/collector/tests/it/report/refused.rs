//! What is too much for a report, and what the server refuses.

use cwpp_collector::class::{ClassSnapshot, Item, Outcome};

use super::*;

/// A class of so many items, each with a text of so many bytes. All are modules, as here only number and size count.
fn class(class: Class, items: usize, bytes: usize) -> ClassSnapshot {
    let item = |number: usize| {
        let text = "d".repeat(bytes);
        let module = serde_json::json!({
            "class": "kernel_module", "name": format!("m{number}"), "description": text, "size_bytes": 1,
            "dependencies": [], "used_by": [], "parameters": {}, "escaped": false, "truncated": [],
        });
        serde_json::from_value::<Item>(module).unwrap()
    };
    ClassSnapshot {
        class,
        outcome: Outcome::Complete,
        items: (0..items).map(item).collect(),
        skipped: Vec::new(),
        skipped_count: 0,
        unread_sources: Vec::new(),
    }
}

/// Reports these classes; what the server was told of each that was cut, by its number.
async fn cut(classes: Vec<ClassSnapshot>) -> (Report, HashMap<i32, String>, Vec<inventory::ClassDigest>) {
    let (services, mut reporter) = start().await;
    let mut snapshot = snapshot(&host(1));
    snapshot.classes = classes;
    reporter.register(&snapshot).await.unwrap();
    let report = reporter.report(&snapshot).await.unwrap();
    let memory = services.0.lock().unwrap();
    let unread = memory.unread.iter().map(|unread| (unread.asset_class, unread.reason.clone())).collect();
    (report, unread, memory.headers.concat())
}

#[tokio::test]
async fn a_report_has_no_more_items_than_the_server_takes_and_tells_what_is_left_out() {
    let large = [Class::Account, Class::Process, Class::JarPackage, Class::SystemPackage];
    let mut classes = large.map(|one| class(one, 30_000, 1)).to_vec();
    classes.push(class(Class::KernelModule, 5, 1));
    let (report, unread, sent) = cut(classes).await;
    assert!(matches!(of(&report, Class::KernelModule), ClassReport::Sent { added: 5, truncated: false, .. }));
    let all: u32 = sent.iter().map(|class| class.items).sum();
    assert!((95_000..=100_000).contains(&all), "{all}");
    for (one, digest) in large.into_iter().zip(&sent) {
        assert!(matches!(of(&report, one), ClassReport::Sent { truncated: true, .. }));
        assert_eq!(digest.found, 30_000);
        assert_eq!(unread[&digest.asset_class], format!("{} of 30000 are told", digest.items));
    }
    assert_eq!(unread.len(), 4);
}

#[tokio::test]
async fn a_class_takes_the_bytes_that_others_leave_and_tells_what_is_too_much_even_so() {
    let (report, unread, _) = cut(vec![class(Class::KernelModule, 30, 100_000), class(Class::Account, 30, 1)]).await;
    assert!(matches!(of(&report, Class::KernelModule), ClassReport::Sent { added: 30, truncated: false, .. }));
    assert!(unread.is_empty(), "{unread:?}");
    let (report, unread, sent) =
        cut(vec![class(Class::KernelModule, 700, 100_000), class(Class::Account, 30, 1)]).await;
    assert!(matches!(of(&report, Class::Account), ClassReport::Sent { added: 30, truncated: false, .. }));
    assert!((550..640).contains(&sent[0].items) && sent[0].found == 700, "{}", sent[0].items);
    assert_eq!(unread.into_values().collect::<Vec<_>>(), [format!("{} of 700 are told", sent[0].items)]);
}

#[tokio::test]
async fn a_class_that_is_cut_elsewhere_is_sent_again() {
    let (services, mut reporter) = start().await;
    let mut snapshot = snapshot(&host(1));
    snapshot.classes = vec![class(Class::KernelModule, 700, 100_000), class(Class::Account, 60, 100_000)];
    reporter.register(&snapshot).await.unwrap();
    reporter.report(&snapshot).await.unwrap();
    let before = services.0.lock().unwrap().headers[0][0].clone();
    snapshot.classes[1] = class(Class::Account, 1, 1);
    reporter.report(&snapshot).await.unwrap();
    let after = services.0.lock().unwrap().headers[1][0].clone();
    assert!(before.items < after.items && before.digest != after.digest, "{} and {}", before.items, after.items);
}

#[tokio::test]
async fn a_class_that_the_server_refuses_silences_no_other() {
    let jar = inventory::AssetClass::JarPackage.into();
    for reason in [Reason::InvalidField, Reason::DuplicateItem, Reason::ItemCountMismatch, Reason::ReportBudget] {
        let (services, mut reporter) = start().await;
        let snapshot = snapshot(&host(3));
        services.0.lock().unwrap().refused.insert(jar, reason);
        reporter.register(&snapshot).await.unwrap();
        let report = reporter.report(&snapshot).await.unwrap();
        assert!(matches!(of(&report, Class::Account), ClassReport::Sent { added: 3, .. }), "{report:?}");
        let expected = format!("refused by the server: {reason}: it is wrong");
        assert_eq!(of(&report, Class::JarPackage), &ClassReport::NotRead { reason: expected.clone() });
        let memory = services.0.lock().unwrap();
        let told = memory.unread.iter().rfind(|unread| unread.asset_class == jar).unwrap();
        assert_eq!(told.reason, expected);
        assert!(!memory.digests.iter().any(|(class, _)| *class == jar));
    }
}

#[tokio::test]
async fn a_class_that_the_server_does_not_know_silences_no_other() {
    let (services, mut reporter) = start().await;
    let snapshot = snapshot(&host(3));
    // Nor is the reason taken why it was not read.
    let unknown = [inventory::AssetClass::JarPackage, inventory::AssetClass::KernelModule].map(i32::from);
    services.0.lock().unwrap().unknown.extend(unknown);
    services.0.lock().unwrap().disabled.insert(inventory::AssetClass::WebSite.into());
    reporter.register(&snapshot).await.unwrap();
    let wanted = reporter.ask(&Class::ALL, noon()).await.unwrap();
    assert_eq!((wanted.on.len(), wanted.off), (Class::ALL.len() - 1, vec![Class::WebSite]));
    let report = reporter.report(&snapshot).await.unwrap();
    assert!(matches!(of(&report, Class::Account), ClassReport::Sent { added: 3, .. }), "{report:?}");
    for class in [Class::JarPackage, Class::KernelModule] {
        assert!(matches!(of(&report, class), ClassReport::NotRead { .. }), "{report:?}");
    }
    assert_eq!(report.classes.len(), Class::ALL.len());
}

#[tokio::test]
async fn a_busy_server_refuses_no_class() {
    let (services, mut reporter) = start().await;
    let snapshot = snapshot(&host(3));
    reporter.register(&snapshot).await.unwrap();
    services.0.lock().unwrap().refusals.extend([Reason::ReportBudget; 6]);
    let refused = reporter.report(&snapshot).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::ReportBudget));
    assert_eq!(reporter.report(&snapshot).await.unwrap().written(), 3);
}
