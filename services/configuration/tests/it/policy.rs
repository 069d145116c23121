//! Policies: made, read, changed and deleted under names, etags, revisions and limits.

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::{MachineScopeKind, Page, TenantState};
use cwpp_contracts::configuration::v1::policy::Spec;
use cwpp_contracts::configuration::v1::*;

use crate::world::*;

both! {
    async fn a_policy_comes_back_as_it_was_made(w: World) {
        let tenant = w.tenant().await;
        let (one, two) = (id(), id());
        let wanted = Policy {
            machines: machines(MachineScopeKind::Selected, &[&one, &two]),
            ..whitelist("office")
        };
        let made = w.policy(&tenant, wanted.clone()).await.unwrap();
        assert_eq!((made.revision, made.name.as_str(), made.enabled), (1, "office", true));
        assert_eq!((&made.spec, &made.reason), (&wanted.spec, &wanted.reason));
        let mut named = made.machines.clone().unwrap().machine_ids;
        let mut expected = vec![one, two];
        named.sort();
        expected.sort();
        assert_eq!(named, expected);
        let get = GetPolicyRequest { app_id: tenant.app_id, policy_id: made.policy_id.clone() };
        assert_eq!(w.policies.get_policy(get).await.unwrap().into_inner().policy, Some(made));
    }

    async fn the_same_request_makes_one_policy(w: World) {
        let tenant = w.tenant().await;
        let request =
            CreatePolicyRequest { app_id: tenant.app_id, request_id: id(), policy: Some(whitelist("office")) };
        let made = w.policies.create_policy(request.clone()).await.unwrap().into_inner();
        assert_eq!(w.policies.create_policy(request.clone()).await.unwrap().into_inner(), made);
        let other = CreatePolicyRequest { policy: Some(whitelist("home")), ..request };
        assert_eq!(reason(w.policies.create_policy(other).await), Reason::RequestIdReused);
        assert_eq!(w.list(&tenant).await.len(), 1);
    }

    async fn a_name_is_taken_once(w: World) {
        let tenant = w.tenant().await;
        w.policy(&tenant, whitelist("office")).await.unwrap();
        let refused = w.policy(&tenant, whitelist("office")).await;
        assert_eq!(fields(refused.clone()), ["policy.name"]);
        assert_eq!(reason(refused), Reason::AlreadyExists);
        let home = w.policy(&tenant, whitelist("home")).await.unwrap();
        let renamed = Policy { name: "office".into(), ..home };
        assert_eq!(reason(w.update(&tenant, renamed, &["name"]).await), Reason::AlreadyExists);
        // Spaces and case make another name, and so does another tenant.
        w.policy(&tenant, whitelist("office ")).await.unwrap();
        w.policy(&tenant, whitelist("Office")).await.unwrap();
        let neighbour = w.tenant().await;
        w.policy(&neighbour, whitelist("office")).await.unwrap();
    }

    async fn an_update_changes_what_its_mask_names(w: World) {
        let tenant = w.tenant().await;
        let made = w.policy(&tenant, whitelist("office")).await.unwrap();
        let wanted = Policy {
            policy_id: made.policy_id.clone(),
            etag: made.etag.clone(),
            name: "ignored".into(),
            enabled: false,
            ..Default::default()
        };
        let changed = w.update(&tenant, wanted, &["enabled"]).await.unwrap();
        assert_eq!((changed.revision, changed.enabled), (2, false));
        assert_ne!(changed.etag, made.etag);
        let seconds = |policy: &Policy| policy.update_time.map(|time| (time.seconds, time.nanos));
        assert!(seconds(&changed) > seconds(&made));
        let same = Policy {
            enabled: true,
            etag: made.etag.clone(),
            revision: 1,
            update_time: made.update_time,
            ..changed.clone()
        };
        assert_eq!(same, made);
        let machine = id();
        let moved = Policy { machines: machines(MachineScopeKind::AllExcept, &[&machine]), ..changed };
        let moved = w.update(&tenant, moved, &["machines", "reason"]).await.unwrap();
        assert_eq!(moved.machines.unwrap().machine_ids, [machine]);
        assert_eq!(w.rows(&tenant, "policy_machine").await, 1);
    }

    async fn a_stale_etag_changes_nothing(w: World) {
        let tenant = w.tenant().await;
        let made = w.policy(&tenant, whitelist("office")).await.unwrap();
        w.update(&tenant, Policy { enabled: false, ..made.clone() }, &["enabled"]).await.unwrap();
        let stale = w.update(&tenant, Policy { name: "late".into(), ..made.clone() }, &["name"]).await;
        assert_eq!(reason(stale), Reason::EtagMismatch);
        assert_eq!(reason(w.delete(&tenant, &made).await), Reason::EtagMismatch);
        let unguarded = Policy { etag: String::new(), name: "any".into(), ..made };
        assert_eq!(w.update(&tenant, unguarded, &["name"]).await.unwrap().revision, 3);
    }

    async fn every_wrong_field_of_a_policy_is_named(w: World) {
        let tenant = w.tenant().await;
        let spec = LoginWhitelist { countries: vec!["Germany".into()], time_zone: "CEST?".into(), ..Default::default() };
        let wrong = Policy {
            reason: "x".repeat(256),
            machines: machines(MachineScopeKind::Unspecified, &[]),
            spec: Some(Spec::LoginWhitelist(spec)),
            ..Default::default()
        };
        let request = CreatePolicyRequest { app_id: tenant.app_id, request_id: "?".into(), policy: Some(wrong.clone()) };
        let expected = [
            "request_id",
            "policy.name",
            "policy.machines.kind",
            "policy.reason",
            "policy.login_whitelist.countries[0]",
            "policy.login_whitelist.time_zone",
        ];
        assert_eq!(fields(w.policies.create_policy(request).await), expected);
        assert_eq!(fields(w.update(&tenant, wrong, &["name", "owner"]).await), ["update_mask.paths[1]", "policy.policy_id", "policy.name"]);
        let list = ListPoliciesRequest { app_id: tenant.app_id, kind: 99, ..Default::default() };
        assert_eq!(fields(w.policies.list_policies(list).await), ["kind"]);
        assert_eq!(w.rows(&tenant, "policy_revision").await, 0);
    }

    async fn what_is_unknown_is_answered_so(w: World) {
        let tenant = w.tenant().await;
        let other = w.tenant().await;
        let foreign = w.policy(&other, whitelist("office")).await.unwrap();
        let get = GetPolicyRequest { app_id: tenant.app_id, policy_id: foreign.policy_id.clone() };
        assert_eq!(reason(w.policies.get_policy(get).await), Reason::PolicyUnknown);
        assert_eq!(reason(w.update(&tenant, foreign.clone(), &["enabled"]).await), Reason::PolicyUnknown);
        assert_eq!(reason(w.delete(&tenant, &foreign).await), Reason::PolicyUnknown);
    }

    async fn policies_are_listed_in_pages_by_kind_and_name(w: World) {
        let tenant = w.tenant().await;
        for name in ["d", "b", "e", "a", "c"] {
            w.policy(&tenant, whitelist(name)).await.unwrap();
        }
        let (mut found, mut token) = (Vec::new(), String::new());
        let list = |page_token: String| ListPoliciesRequest {
            app_id: tenant.app_id,
            kind: PolicyKind::LoginWhitelist.into(),
            page: Some(Page { page_size: 2, page_token }),
        };
        loop {
            let reply = w.policies.list_policies(list(token)).await.unwrap().into_inner();
            found.extend(reply.policies.into_iter().map(|policy| policy.name));
            token = reply.next_page_token;
            if token.is_empty() {
                break;
            }
            // Bound to the filter.
            let every = ListPoliciesRequest { kind: 0, ..list(token.clone()) };
            assert_eq!(reason(w.policies.list_policies(every).await), Reason::PageTokenInvalid);
        }
        assert_eq!(found, ["a", "b", "c", "d", "e"]);
    }

    async fn a_machine_gets_the_enabled_policies_that_cover_it(w: World) {
        let tenant = w.tenant().await;
        let (here, there) = (id(), id());
        let mut wanted = vec![
            whitelist("all"),
            Policy { machines: machines(MachineScopeKind::Selected, &[&here]), ..whitelist("here") },
            Policy { machines: machines(MachineScopeKind::Selected, &[&there]), ..whitelist("there") },
            Policy { machines: machines(MachineScopeKind::AllExcept, &[&here]), ..whitelist("not here") },
            Policy { machines: machines(MachineScopeKind::AllExcept, &[&there]), ..whitelist("not there") },
            Policy { enabled: false, ..whitelist("off") },
            whitelist("tagged"),
        ];
        let tagged = wanted[6].machines.as_mut().unwrap();
        tagged.set_kind(MachineScopeKind::Tagged);
        tagged.tags = vec!["web".into()];
        for policy in wanted {
            w.policy(&tenant, policy).await.unwrap();
        }
        let request = GetEffectivePoliciesRequest { app_id: tenant.app_id, machine_id: here };
        let reply = w.policies.get_effective_policies(request).await.unwrap().into_inner();
        let names: Vec<_> = reply.policies.iter().map(|policy| policy.name.as_str()).collect();
        assert_eq!(names, ["all", "here", "not there"]);
        assert_eq!(reply.revision, 7);
    }

    async fn every_version_is_kept_with_who_and_why(w: World) {
        let tenant = w.tenant().await;
        let made = w.policy(&tenant, whitelist("office")).await.unwrap();
        let moved = Policy { reason: "we moved".into(), name: "new office".into(), ..made };
        let moved = w.update(&tenant, moved, &["name", "reason"]).await.unwrap();
        w.delete(&tenant, &moved).await.unwrap();
        assert!(w.list(&tenant).await.is_empty());
        assert_eq!(w.rows(&tenant, "policy_revision").await, 3);
        let Opened { app_id, incarnation } = tenant;
        let request = cwpp_contracts::erasure::v1::ExportTenantRequest { app_id, incarnation };
        let mut parts = w.erasure.export_tenant(request).await.unwrap().into_inner();
        let mut kept = Vec::new();
        while let Some(part) = parts.message().await.unwrap() {
            if part.table == "policy_revision" {
                kept.extend(part.rows);
            }
        }
        let rows: Vec<serde_json::Value> = kept.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        let of = |column: &str| rows.iter().map(|row| row[column].clone()).collect::<Vec<_>>();
        assert_eq!(of("revision"), [1, 2, 3]);
        assert_eq!(of("change"), [1, 2, 3]);
        assert_eq!(of("name"), ["office", "new office", "new office"]);
        assert_eq!(of("reason"), ["the office", "we moved", "we moved"]);
        assert_eq!(of("author"), [1, 1, 1]);
        assert!(kept.iter().all(|row| !row.contains("insecure")), "a caller's name is stored");
    }

    async fn changes_at_once_get_a_revision_each(w: World) {
        let tenant = w.tenant().await;
        let other = w.replica().await;
        let calls = (0..24).map(|n| {
            let mut policies = if n % 2 == 0 { w.policies.clone() } else { other.policies.clone() };
            let policy = Some(whitelist(&format!("{n}")));
            let request = CreatePolicyRequest { app_id: tenant.app_id, request_id: id(), policy };
            tokio::spawn(async move { policies.create_policy(request).await.unwrap().into_inner().policy.unwrap().revision })
        });
        let mut revisions: Vec<u64> = futures::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
        revisions.sort_unstable();
        assert_eq!(revisions, (1..=24).collect::<Vec<_>>());
        other.end().await;
    }

    async fn a_tenant_has_at_most_so_many_policies(w: World) {
        let tenant = w.tenant().await;
        let last = w.policy(&tenant, whitelist("last")).await.unwrap();
        w.sql(&format!("UPDATE policy_head SET policies = 1000 WHERE app_id = {}", tenant.app_id)).await;
        assert_eq!(reason(w.policy(&tenant, whitelist("too many")).await), Reason::LimitReached);
        let last = w.update(&tenant, last, &["enabled"]).await.unwrap();
        w.delete(&tenant, &last).await.unwrap();
        w.policy(&tenant, whitelist("one more")).await.unwrap();
        w.sql(&format!("UPDATE policy_head SET bytes = {} WHERE app_id = {}", 12 << 20, tenant.app_id)).await;
        assert_eq!(reason(w.policy(&tenant, whitelist("too big")).await), Reason::LimitReached);
    }

    async fn a_thousand_machines_are_named_in_one_call_and_no_more(w: World) {
        let tenant = w.tenant().await;
        let ids: Vec<String> = (0..1001).map(|_| id()).collect();
        let named: Vec<&str> = ids.iter().map(String::as_str).collect();
        let of = |ids: &[&str]| Policy { machines: machines(MachineScopeKind::Selected, ids), ..whitelist("many") };
        assert_eq!(fields(w.policy(&tenant, of(&named)).await), ["policy.machines.machine_ids"]);
        let made = w.policy(&tenant, of(&named[..1000])).await.unwrap();
        assert_eq!(made.machines.unwrap().machine_ids.len(), 1000);
        assert_eq!(w.rows(&tenant, "policy_machine").await, 1000);
    }

    async fn a_read_only_tenant_is_read_and_not_changed(w: World) {
        let tenant = w.tenant().await;
        let made = w.policy(&tenant, whitelist("office")).await.unwrap();
        w.fence(&tenant, TenantState::ReadOnly).await;
        assert_eq!(w.list(&tenant).await, std::slice::from_ref(&made));
        assert_eq!(w.get(tenant.app_id).await.unwrap().state(), TenantState::ReadOnly);
        assert_eq!(reason(w.policy(&tenant, whitelist("late")).await), Reason::TenantReadOnly);
        assert_eq!(reason(w.delete(&tenant, &made).await), Reason::TenantReadOnly);
        w.fence(&tenant, TenantState::Sealed).await;
        assert_eq!(reason(w.policy(&tenant, whitelist("late")).await), Reason::TenantFenced);
        let list = ListPoliciesRequest { app_id: tenant.app_id, ..Default::default() };
        assert_eq!(reason(w.policies.list_policies(list).await), Reason::TenantFenced);
    }
}
