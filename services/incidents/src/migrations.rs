//! The steps of the schema; forward only, each safe to repeat.

use cwpp_storage::migrate::{Migration, Table};

/// Returns the steps in order.
pub(crate) fn all() -> Vec<Migration> {
    [events(), incidents(), policies()].concat()
}

fn events() -> Vec<Migration> {
    vec![
        Migration::table(
            "1001_auth_machine",
            Table::of_tenant("auth_machine").uuid("machine_id").time("update_time").key(&["app_id", "machine_id"]),
        ),
        Migration::table(
            "1002_auth_spool",
            Table::of_tenant("auth_spool")
                .uuid("machine_id")
                .uuid("spool_id")
                .big("next_sequence")
                .big("clamped_events")
                .time("update_time")
                .key(&["app_id", "machine_id", "spool_id"]),
        ),
        Migration::table(
            "1003_auth_bucket",
            Table::of_tenant("auth_bucket")
                .uuid("machine_id")
                .uuid("source_key")
                .big("minute")
                .uuid("account_key")
                .varchar("source_address", 45)
                .varchar("service", 63)
                .varchar("account", 255)
                .big("failures")
                .big("unknown_failures")
                .big("successes")
                .time_null("first_failure_time")
                .time_null("last_failure_time")
                .time_null("first_success_time")
                .time_null("last_success_time")
                .key(&["app_id", "machine_id", "source_key", "minute", "account_key"]),
        ),
        // Serves the look at one account of a source; the key serves that at all of them.
        Migration::index(
            "1004_auth_bucket_account",
            "auth_bucket_account",
            "auth_bucket",
            &["app_id", "machine_id", "source_key", "account_key", "minute"],
        ),
    ]
}

fn incidents() -> Vec<Migration> {
    const TABLE: &str = "incident";
    vec![
        Migration::table(
            "1101_incident",
            Table::of_tenant(TABLE)
                .uuid("incident_id")
                .uuid("machine_id")
                .small("kind")
                .small("severity")
                .small("status")
                .uuid("subject_key")
                .big("series")
                .varchar("account", 255)
                .varchar("source_address", 45)
                .varchar("service", 63)
                .time("first_time")
                .time("last_time")
                .time_null("threshold_time")
                .big("attempts")
                .big("accounts")
                .bool("cracked")
                .bool("account_exists")
                .bool("risky_place")
                .bool("risky_account")
                .bool("risky_time")
                .bool("risky_source")
                .varchar("note", 255)
                .time("create_time")
                .time("update_time")
                .version()
                .key(&["app_id", "incident_id"]),
        ),
        // Holds a series of a natural key to one incident; serves detection's look at what was found already.
        Migration::unique_index(
            "1102_incident_subject",
            "incident_subject",
            TABLE,
            &["app_id", "machine_id", "subject_key", "series"],
        ),
        // Serves the list of all, the one last seen first.
        Migration::index("1103_incident_last", "incident_last", TABLE, &["app_id", "last_time", "incident_id"]),
        // Serves the list of a machine.
        Migration::index(
            "1104_incident_machine",
            "incident_machine",
            TABLE,
            &["app_id", "machine_id", "last_time", "incident_id"],
        ),
        // Serves the list of a source.
        Migration::index(
            "1105_incident_source",
            "incident_source",
            TABLE,
            &["app_id", "source_address", "last_time", "incident_id"],
        ),
        // Serves the list of a status.
        Migration::index(
            "1106_incident_status",
            "incident_status",
            TABLE,
            &["app_id", "status", "last_time", "incident_id"],
        ),
        // Serves the list of a kind.
        Migration::index("1107_incident_kind", "incident_kind", TABLE, &["app_id", "kind", "last_time", "incident_id"]),
        Migration::table(
            "1108_incident_account",
            Table::of_tenant("incident_account").uuid("incident_id").uuid("account_key").key(&[
                "app_id",
                "incident_id",
                "account_key",
            ]),
        ),
    ]
}

fn policies() -> Vec<Migration> {
    vec![
        Migration::table(
            "1201_login_policy",
            Table::of_tenant("login_policy")
                .uuid("policy_id")
                .small("scope_kind")
                .json("tags")
                .blob("spec")
                .big("revision")
                .key(&["app_id", "policy_id"]),
        ),
        Migration::table(
            "1202_login_policy_machine",
            Table::of_tenant("login_policy_machine").uuid("machine_id").uuid("policy_id").key(&[
                "app_id",
                "machine_id",
                "policy_id",
            ]),
        ),
        // Serves replacing the machines of a policy.
        Migration::index(
            "1203_login_policy_machine_policy",
            "login_policy_machine_policy",
            "login_policy_machine",
            &["app_id", "policy_id", "machine_id"],
        ),
        Migration::table(
            "1204_machine_tag",
            Table::of_tenant("machine_tag").uuid("machine_id").varchar("tag", 63).key(&["app_id", "machine_id", "tag"]),
        ),
    ]
}
