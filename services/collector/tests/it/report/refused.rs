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
async fn what_does_not_fit_into_one_report_goes_in_another_and_no_class_is_cut_for_it() {
    let large = [Class::Account, Class::Process, Class::JarPackage, Class::SystemPackage];
    let mut classes = large.map(|one| class(one, 30_000, 1)).to_vec();
    classes.push(class(Class::KernelModule, 5, 1));
    let (report, unread, sent) = cut(classes).await;
    assert_eq!(sent.iter().map(|class| class.items).collect::<Vec<_>>(), [30_000, 30_000, 30_000, 30_000, 5]);
    for (one, added) in large.into_iter().map(|one| (one, 30_000)).chain([(Class::KernelModule, 5)]) {
        let ClassReport::Sent { added: told, truncated: false, .. } = of(&report, one) else { panic!("{report:?}") };
        assert_eq!(*told, added);
    }
    assert!(unread.is_empty(), "{unread:?}");
}

#[tokio::test]
async fn a_class_may_fill_a_report_and_tells_what_is_too_much_even_so() {
    let classes = vec![class(Class::KernelModule, 500, 100_000), class(Class::Account, 300, 100_000)];
    let (report, unread, _) = cut(classes).await;
    for (one, added) in [(Class::KernelModule, 500), (Class::Account, 300)] {
        let ClassReport::Sent { added: told, truncated: false, .. } = of(&report, one) else { panic!("{report:?}") };
        assert_eq!(*told, added);
    }
    assert!(unread.is_empty(), "{unread:?}");
    let (report, unread, sent) =
        cut(vec![class(Class::KernelModule, 700, 100_000), class(Class::Account, 30, 1)]).await;
    assert!(matches!(of(&report, Class::Account), ClassReport::Sent { added: 30, truncated: false, .. }));
    assert!((600..640).contains(&sent[0].items) && sent[0].found == 700, "{}", sent[0].items);
    assert_eq!(unread.into_values().collect::<Vec<_>>(), [format!("{} of 700 are told", sent[0].items)]);
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
        assert_eq!(of(&report, Class::JarPackage), &ClassReport::Refused { reason: expected.clone() });
        // While it is the same it is told, and not offered again.
        services.0.lock().unwrap().unread.clear();
        services.0.lock().unwrap().offered.clear();
        let again = reporter.report(&snapshot).await.unwrap();
        assert_eq!(of(&again, Class::JarPackage), of(&report, Class::JarPackage));
        assert_eq!(of(&again, Class::Account), &ClassReport::Unchanged);
        let memory = services.0.lock().unwrap();
        let told = memory.unread.iter().rfind(|unread| unread.asset_class == jar).unwrap();
        assert_eq!(told.reason, expected);
        assert!(memory.offered.len() == 1 && !memory.offered[0].contains(&jar), "{:?}", memory.offered);
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
    assert!(matches!(of(&report, Class::JarPackage), ClassReport::Refused { .. }), "{report:?}");
    assert!(matches!(of(&report, Class::KernelModule), ClassReport::NotRead { .. }), "{report:?}");
    assert_eq!(report.classes.len(), Class::ALL.len());
}

#[tokio::test]
async fn a_busy_server_refuses_no_class() {
    let (services, mut reporter) = start().await;
    let snapshot = snapshot(&host(3));
    reporter.register(&snapshot).await.unwrap();
    services.0.lock().unwrap().refusals.extend([Reason::ReportBudget; 3]);
    let refused = reporter.report(&snapshot).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::ReportBudget));
    assert_eq!(reporter.report(&snapshot).await.unwrap().written(), 3);
}
