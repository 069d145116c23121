//! The steps of the schema; forward only, each safe to repeat.

use cwpp_storage::migrate::{Migration, Table};

/// Returns the steps in order.
pub(crate) fn all() -> Vec<Migration> {
    vec![
        Migration::table(
            "1001_tenant",
            Table::of_tenant("tenant")
                .big("uin")
                .uuid("request_id")
                .varchar("region", 63)
                .varchar("agreement_version", 63)
                .time("agreement_accepted_time")
                .time("create_time")
                .version()
                .key(&["app_id"]),
        ),
        // Holds a UIN to one tenant. It cannot begin with `app_id`: what it forbids is the same UIN in two of them.
        Migration::unique_index("1002_tenant_uin", "tenant_uin", "tenant", &["uin"]),
        Migration::table(
            "1003_policy_head",
            Table::of_tenant("policy_head").big("revision").int("policies").big("bytes").key(&["app_id"]),
        ),
        Migration::table(
            "1004_policy",
            Table::of_tenant("policy")
                .uuid("policy_id")
                .small("kind")
                .varchar("name", 128)
                .bool("enabled")
                .small("scope_kind")
                .json("tags")
                .json("spec")
                .varchar("reason", 255)
                .int("bytes")
                .big("revision")
                .version()
                .time("create_time")
                .time("update_time")
                .key(&["app_id", "policy_id"]),
        ),
        // Holds a name to one policy of a kind; serves ListPolicies, of one kind and of all, and GetEffectivePolicies.
        Migration::unique_index("1005_policy_name", "policy_name", "policy", &["app_id", "kind", "name"]),
        Migration::table(
            "1006_policy_machine",
            Table::of_tenant("policy_machine").uuid("machine_id").uuid("policy_id").key(&[
                "app_id",
                "machine_id",
                "policy_id",
            ]),
        ),
        // Serves reading and replacing the machines of policies.
        Migration::index(
            "1007_policy_machine_policy",
            "policy_machine_policy",
            "policy_machine",
            &["app_id", "policy_id", "machine_id"],
        ),
        Migration::table(
            "1008_policy_revision",
            Table::of_tenant("policy_revision")
                .big("revision")
                .uuid("policy_id")
                .small("change")
                .small("author")
                .uuid("author_hash")
                .varchar("reason", 255)
                .small("kind")
                .varchar("name", 128)
                .bool("enabled")
                .small("scope_kind")
                .json("tags")
                .json("machine_ids")
                .json("spec")
                .time("change_time")
                .key(&["app_id", "revision"]),
        ),
    ]
}
