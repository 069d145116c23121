//! The tables of followed policies.

use cwpp_storage::migrate::{Migration, Table};

/// Returns the steps in order.
pub(crate) fn migrations() -> Vec<Migration> {
    vec![
        Migration::table(
            "2001_followed_policy",
            Table::of_tenant("followed_policy")
                .uuid("policy_id")
                .small("kind")
                .small("scope_kind")
                .json("tags")
                .blob("spec")
                .big("since")
                .key(&["app_id", "policy_id"]),
        ),
        Migration::table(
            "2002_followed_policy_machine",
            Table::of_tenant("followed_policy_machine").uuid("machine_id").uuid("policy_id").key(&[
                "app_id",
                "machine_id",
                "policy_id",
            ]),
        ),
        // Serves replacing the machines of a policy.
        Migration::index(
            "2003_followed_policy_machine_policy",
            "followed_policy_machine_policy",
            "followed_policy_machine",
            &["app_id", "policy_id", "machine_id"],
        ),
    ]
}
