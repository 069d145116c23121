//! What holds for the contracts as a whole.

use std::collections::BTreeSet;

use cwpp_contracts::FILE_DESCRIPTOR_SET;
use prost_reflect::DescriptorPool;

#[test]
fn every_method_of_the_descriptor_has_a_rule() {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("a descriptor set");
    let methods: BTreeSet<String> = pool
        .services()
        .filter(|s| s.package_name().starts_with("cwpp."))
        .flat_map(|s| s.methods().map(|m| format!("/{}/{}", s.full_name(), m.name())).collect::<Vec<_>>())
        .collect();
    let rules: BTreeSet<String> = cwpp_access::ops::RULES.iter().map(|r| r.path.to_owned()).collect();
    assert_eq!(methods, rules);
    assert!(methods.len() > 30);
}

#[test]
fn the_options_survive_into_the_descriptor_that_is_served() {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("a descriptor set");
    let privacy = pool.get_extension_by_name("cwpp.common.v1.privacy").expect("the option");
    let fields = pool
        .all_messages()
        .filter(|m| m.package_name().starts_with("cwpp."))
        .flat_map(|m| m.fields().collect::<Vec<_>>());
    let mut labelled = 0;
    for field in fields {
        assert!(field.options().has_extension(&privacy), "{}", field.full_name());
        labelled += 1;
    }
    assert!(labelled > 250, "{labelled}");
}

#[test]
fn every_reason_is_raised_somewhere() {
    let mut sources = String::new();
    for folder in ["../shared", "../services"] {
        read(folder.as_ref(), &mut sources);
    }
    let raised = |name: &str| sources.contains(&format!("Reason::{name}")) || sources.contains(&format!(" {name},"));
    let idle: Vec<String> =
        cwpp_chassis::Reason::ALL.iter().map(|r| format!("{r:?}")).filter(|name| !raised(name)).collect();
    assert!(idle.is_empty(), "raised nowhere, so not to be promised: {idle:?}");
}

fn read(folder: &std::path::Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("tests") {
            read(&path, sources);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("reason.rs") {
            sources.push_str(&std::fs::read_to_string(path).expect("a file"));
        }
    }
}
