//! The tables of collection settings.

use cwpp_storage::migrate::{Migration, Table};

/// Returns the steps in order.
pub(crate) fn migrations() -> Vec<Migration> {
    vec![
        Migration::table(
            "2001_collection_policy",
            Table::of_tenant("collection_policy")
                .uuid("policy_id")
                .small("scope_kind")
                .json("tags")
                .blob("spec")
                .big("since")
                .key(&["app_id", "policy_id"]),
        ),
        Migration::table(
            "2002_collection_policy_machine",
            Table::of_tenant("collection_policy_machine").uuid("machine_id").uuid("policy_id").key(&[
                "app_id",
                "machine_id",
                "policy_id",
            ]),
        ),
        // Serves replacing the machines of a policy.
        Migration::index(
            "2003_collection_policy_machine_policy",
            "collection_policy_machine_policy",
            "collection_policy_machine",
            &["app_id", "policy_id", "machine_id"],
        ),
    ]
}
