//! What people, clouds and installers say of machines, and what a fleet is in numbers.

use std::time::Duration;

use cwpp_access::{Job, SystemScope};
use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::{BulkResult, Page, StringMatch, string_match::How};
use cwpp_contracts::inventory::v1::list_machines_request::Filter;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::config;
use cwpp_inventory::machine::sweep;
use prost_types::FieldMask;
use uuid::Uuid;

use crate::world::*;

fn tags(id: &str, tags: &[&str]) -> MachineTags {
    MachineTags { machine_id: id.into(), tags: tags.iter().map(|t| (*t).to_owned()).collect() }
}

fn change(id: &str, paths: &[&str]) -> MachineUpdate {
    let paths = paths.iter().map(|p| (*p).to_owned()).collect();
    MachineUpdate { machine_id: id.into(), update_mask: Some(FieldMask { paths }), ..Default::default() }
}

async fn get(w: &World, host: &Host) -> Machine {
    let request = GetMachineRequest { app_id: host.app_id, machine_id: host.id.clone() };
    w.machines.clone().get_machine(request).await.unwrap().into_inner().machine.unwrap()
}

async fn beat(w: &World, host: &Host, (cpu, memory, disk): (Option<f64>, Option<f64>, Option<f64>)) {
    let beat = MachineHeartbeat {
        machine_id: host.id.clone(),
        instance_nonce: vec![1; 16],
        cpu_percent: cpu,
        memory_percent: memory,
        disk_percent: disk,
        ..Default::default()
    };
    w.machines.clone().heartbeat(HeartbeatRequest { app_id: host.app_id, heartbeats: vec![beat] }).await.unwrap();
}

/// Lists names, a machine a page.
async fn names(w: &World, tenant: &Tenant, ask: impl FnOnce(&mut ListMachinesRequest)) -> Vec<String> {
    let mut request = ListMachinesRequest { app_id: tenant.app_id, ..Default::default() };
    ask(&mut request);
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        request.page = Some(Page { page_size: 1, page_token });
        let answer = w.machines.clone().list_machines(request.clone()).await.unwrap().into_inner();
        names.extend(answer.machines.into_iter().map(|m| m.facts.unwrap().name));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            return names;
        }
    }
}

fn reasons(results: &[BulkResult]) -> Vec<&str> {
    results.iter().map(|r| if r.ok { "" } else { r.reason.as_str() }).collect()
}

/// Counts the machines of each tag, a tag a page.
async fn tag_counts(w: &World, tenant: &Tenant, ask: impl FnOnce(&mut ListTagsRequest)) -> Vec<(String, u64)> {
    let mut request = ListTagsRequest { app_id: tenant.app_id, ..Default::default() };
    ask(&mut request);
    let (mut counts, mut page_token) = (Vec::new(), String::new());
    loop {
        request.page = Some(Page { page_size: 1, page_token });
        let answer = w.machines.clone().list_tags(request.clone()).await.unwrap().into_inner();
        counts.extend(answer.tags.into_iter().map(|t| (t.tag, t.machines)));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            return counts;
        }
    }
}

both! {
    async fn machines_are_listed_forth_and_backwards(w: World) {
        let tenant = w.tenant().await;
        for name in ["b", "a", "c"] {
            w.host(&tenant, name).await;
            w.clock.advance(Duration::from_secs(1));
        }
        for (order, forth) in [(MachineOrder::CreateTime, ["b", "a", "c"]), (MachineOrder::Name, ["a", "b", "c"])] {
            let names = async |descending| names(w, &tenant, |r| { r.order = order.into(); r.descending = descending }).await;
            assert_eq!(names(false).await, forth);
            let mut back = names(true).await;
            back.reverse();
            assert_eq!(back, forth);
        }
    }

    async fn tags_are_set_per_machine_and_find_their_machines(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let mut hosts = Vec::new();
        for n in 0..4 {
            hosts.push(w.host(&tenant, &format!("web-{n}")).await);
        }
        let foreign = w.host(&neighbour, "other").await;
        let set = async |machines: Vec<MachineTags>| {
            let request = SetTagsRequest { app_id: tenant.app_id, machines };
            w.machines.clone().set_tags(request).await.map(|answer| answer.into_inner().results)
        };
        let ids: Vec<&str> = hosts.iter().map(|h| h.id.as_str()).collect();
        let results = set(vec![tags(ids[0], &["blue", "db"]), tags(&foreign.id, &["blue"]), tags(ids[2], &["blue"])]).await.unwrap();
        assert_eq!(reasons(&results), ["", "MACHINE_UNKNOWN", ""]);
        assert_eq!(results[1].id, foreign.id);
        assert_eq!(get(w, &hosts[0]).await.tags, ["blue", "db"]);
        let tagged = |tag: &'static str| move |r: &mut ListMachinesRequest| r.filter = Some(Filter::Tag(tag.into()));
        assert_eq!(names(w, &tenant, tagged("blue")).await, ["web-0", "web-2"]);
        assert_eq!(names(w, &tenant, tagged("Blue")).await, [""; 0]);
        assert_eq!(names(w, &neighbour, tagged("blue")).await, [""; 0]);
        set(vec![tags(ids[0], &["db", "Blau ü"]), tags(ids[2], &[])]).await.unwrap();
        assert_eq!(names(w, &tenant, tagged("blue")).await, [""; 0]);
        assert_eq!(get(w, &hosts[0]).await.tags, ["Blau ü", "db"]);
        let both = |r: &mut ListMachinesRequest| { tagged("db")(r); r.agent_state = AgentState::Offline.into() };
        assert_eq!(names(w, &tenant, both).await, [""; 0]);
        w.clock.advance(Duration::from_secs(700));
        assert_eq!(names(w, &tenant, both).await, ["web-0"]);

        let many: Vec<String> = (0..51).map(|n| n.to_string()).collect();
        let wrong = vec![
            MachineTags { machine_id: "x".into(), tags: vec!["a".into(), String::new(), " a".into(), "a\n".into(), "a".into()] },
            MachineTags { machine_id: ids[0].into(), tags: many },
            tags(ids[1], &[&"ü".repeat(64)]),
        ];
        let wanted = [
            "machines[0].machine_id",
            "machines[0].tags[1]",
            "machines[0].tags[2]",
            "machines[0].tags[3]",
            "machines[0].tags[4]",
            "machines[1].tags",
            "machines[2].tags[0]",
        ];
        assert_eq!(fields(set(wrong).await), wanted);
        assert_eq!(fields(set(Vec::new()).await), ["machines"]);
        assert_eq!(fields(set(vec![tags(ids[0], &[]); 101]).await), ["machines"]);
        assert_eq!(reason(set(vec![tags(ids[0], &[]), tags(ids[0], &[])]).await), Reason::DuplicateItem);
        let nobody = SetTagsRequest { app_id: w.nobody().app_id, machines: vec![tags(ids[0], &[])] };
        assert_eq!(reason(w.machines.clone().set_tags(nobody).await), Reason::TenantUnknown);
        assert!(set(vec![tags(ids[1], &[&"ü".repeat(63)])]).await.is_ok());
    }

    async fn the_cloud_tells_states_and_people_remarks_apart_from_the_agent(w: World) {
        let tenant = w.tenant().await;
        let hosts = [w.host(&tenant, "web-0").await, w.host(&tenant, "web-1").await];
        let update = async |updates: Vec<MachineUpdate>| {
            let request = UpdateMachinesRequest { app_id: tenant.app_id, updates };
            w.machines.clone().update_machines(request).await.map(|answer| answer.into_inner().results)
        };
        let before = get(w, &hosts[0]).await;
        assert_eq!((before.instance_state(), before.risk_counters), (InstanceState::Unspecified, None));
        let stopped = MachineUpdate { instance_state: InstanceState::Stopped.into(), ..change(&hosts[0].id, &["instance_state"]) };
        let remark = MachineUpdate { remark: "rack 7".into(), etag: before.etag.clone(), ..change(&hosts[1].id, &["remark"]) };
        let results = update(vec![stopped.clone(), remark, change(&Uuid::now_v7().to_string(), &["remark"])]).await.unwrap();
        assert_eq!(reasons(&results), ["", "", "MACHINE_UNKNOWN"]);
        let after = get(w, &hosts[0]).await;
        assert_eq!((after.instance_state(), after.agent_state()), (InstanceState::Stopped, AgentState::Online));
        assert_ne!(after.etag, before.etag);
        let late = MachineUpdate { etag: before.etag, ..stopped.clone() };
        assert_eq!(reasons(&update(vec![late]).await.unwrap()), ["ETAG_MISMATCH"]);
        update(vec![stopped]).await.unwrap();
        assert_eq!(get(w, &hosts[0]).await.etag, after.etag, "a repeat writes nothing");

        // What the agent says of the machine changes neither.
        let mut renamed = registration(&tenant, "web-1");
        renamed.facts.as_mut().unwrap().name = "web-one".into();
        let machine = w.register(renamed).await.unwrap().machine.unwrap();
        assert_eq!((machine.remark.as_str(), machine.facts.unwrap().name.as_str()), ("rack 7", "web-one"));
        assert_eq!(names(w, &tenant, |r| r.instance_state = Some(InstanceState::Stopped.into())).await, ["web-0"]);

        let wrong = vec![
            MachineUpdate { instance_state: 9, remark: "r".repeat(256), etag: "x".into(), ..change("x", &["instance_state", "remark", "name"]) },
            change(&hosts[0].id, &[]),
        ];
        let mut found = fields(update(wrong).await);
        found.sort();
        let wanted = ["updates[0].etag", "updates[0].instance_state", "updates[0].machine_id", "updates[0].remark", "updates[0].update_mask", "updates[1].update_mask"];
        assert_eq!(found, wanted);
        assert_eq!(fields(update(Vec::new()).await), ["updates"]);
        let twice = change(&hosts[0].id, &["remark"]);
        assert_eq!(reason(update(vec![twice.clone(), twice]).await), Reason::DuplicateItem);
    }

    async fn an_uninstalled_agent_is_neither_online_nor_offline_until_it_registers_again(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let host = w.host(&tenant, "web-0").await;
        let unregister = async |app_id: u64, machine_id: &str| {
            let request = UnregisterMachineRequest { app_id, machine_id: machine_id.into() };
            w.machines.clone().unregister_machine(request).await.map(|answer| answer.into_inner().machine.unwrap())
        };
        let machine = unregister(tenant.app_id, &host.id).await.unwrap();
        assert_eq!((machine.agent_state(), machine.uninstall_time), (AgentState::Uninstalled, Some(timestamp(noon()))));
        w.clock.advance(Duration::from_secs(60));
        assert_eq!(unregister(tenant.app_id, &host.id).await.unwrap(), machine, "a repeat changes nothing");
        beat(w, &host, (Some(1.0), None, None)).await;
        assert_eq!(names(w, &tenant, |r| r.agent_state = AgentState::Uninstalled.into()).await, ["web-0"]);
        assert_eq!(names(w, &tenant, |r| r.agent_state = AgentState::Online.into()).await, [""; 0]);
        assert_eq!(names(w, &tenant, |r| r.cpu_load = LoadBucket::Unknown.into()).await, ["web-0"]);
        assert_eq!(w.host(&tenant, "web-0").await.id, host.id);
        assert_eq!(get(w, &host).await.agent_state(), AgentState::Online);
        assert_eq!(reason(unregister(neighbour.app_id, &host.id).await), Reason::MachineUnknown);
        assert_eq!(fields(unregister(tenant.app_id, "x").await), ["machine_id"]);
    }

    async fn facts_are_kept_and_checked(w: World) {
        let tenant = w.tenant().await;
        let mut request = registration(&tenant, "web-0");
        let facts = request.facts.as_mut().unwrap();
        facts.machine_type = MachineType::CloudVm.into();
        (facts.provider, facts.instance_id, facts.region) = ("aws".into(), "i-0abc".into(), "eu-1".into());
        (facts.serial_number, facts.product_name) = ("S1".into(), "Amazon EC2 m5".into());
        let component = |name: &str, state: ComponentState| AgentComponent { name: name.into(), version: "1.2".into(), state: state.into() };
        facts.components = vec![component("collector", ComponentState::Running), component("auth-log", ComponentState::Stopped)];
        let stored = w.register(request.clone()).await.unwrap().machine.unwrap();
        assert_eq!(stored.facts, request.facts);
        let host = Host { app_id: tenant.app_id, id: stored.machine_id };
        assert_eq!(get(w, &host).await.facts, request.facts);
        let by = |how| move |r: &mut ListMachinesRequest| r.filter = Some(Filter::InstanceId(how));
        assert_eq!(names(w, &tenant, by(exact("i-0abc"))).await, ["web-0"]);
        assert_eq!(names(w, &tenant, by(prefix("i-0"))).await, ["web-0"]);
        assert_eq!(names(w, &tenant, by(prefix("i-1"))).await, [""; 0]);

        let facts = request.facts.as_mut().unwrap();
        facts.provider = "p".repeat(64);
        facts.serial_number = "s".repeat(128);
        facts.components = vec![component("", ComponentState::Unspecified), component("a", ComponentState::Running), component("a", ComponentState::Running)];
        let wanted = ["facts.provider", "facts.serial_number", "facts.components[0].name", "facts.components[0].state", "facts.components[2].name"];
        assert_eq!(fields(w.register(request.clone()).await), wanted);
        request.facts.as_mut().unwrap().components = vec![component("a", ComponentState::Running); 33];
        assert!(fields(w.register(request).await).contains(&"facts.components".to_owned()));
    }

    async fn lists_look_for_what_is_asked_among_the_driving_rows(w: World) {
        let tenant = w.tenant().await;
        for (n, (os, load)) in [("Debian 13", Some(10.0)), ("Debian 12", Some(20.0)), ("Rocky 9", Some(20.1)), ("100% Linux", None)].into_iter().enumerate() {
            let mut request = registration(&tenant, &format!("web-{n}"));
            let facts = request.facts.as_mut().unwrap();
            facts.os_name = os.into();
            facts.machine_type = if n == 2 { MachineType::CloudVm } else { MachineType::Other }.into();
            facts.os_type = if n == 3 { OsType::Windows } else { OsType::Linux }.into();
            let id = w.register(request).await.unwrap().machine.unwrap().machine_id;
            beat(w, &Host { app_id: tenant.app_id, id }, (load, load, load)).await;
            w.clock.advance(Duration::from_secs(1));
        }
        let os = |how: How| move |r: &mut ListMachinesRequest| r.os_name = Some(StringMatch { how: Some(how) });
        assert_eq!(names(w, &tenant, os(How::Contains("ebian".into()))).await, ["web-0", "web-1"]);
        assert_eq!(names(w, &tenant, os(How::Contains("debian".into()))).await, [""; 0], "case counts");
        assert_eq!(names(w, &tenant, os(How::Contains("%".into()))).await, ["web-3"], "nothing is a wildcard");
        assert_eq!(names(w, &tenant, os(How::Prefix("Debian".into()))).await, ["web-0", "web-1"]);
        assert_eq!(names(w, &tenant, os(How::Exact("Rocky 9".into()))).await, ["web-2"]);
        assert_eq!(names(w, &tenant, |r| r.machine_type = MachineType::CloudVm.into()).await, ["web-2"]);
        assert_eq!(names(w, &tenant, |r| r.os_type = OsType::Windows.into()).await, ["web-3"]);
        assert_eq!(names(w, &tenant, |r| r.cpu_load = LoadBucket::UpTo20.into()).await, ["web-0", "web-1"]);
        assert_eq!(names(w, &tenant, |r| r.memory_load = LoadBucket::UpTo50.into()).await, ["web-2"]);
        assert_eq!(names(w, &tenant, |r| r.disk_load = LoadBucket::Unknown.into()).await, ["web-3"]);
        let after = timestamp(noon() + chrono::TimeDelta::seconds(1));
        assert_eq!(names(w, &tenant, |r| r.created_after = Some(after)).await, ["web-2", "web-3"]);
        let several = |r: &mut ListMachinesRequest| {
            r.filter = Some(Filter::Name(prefix("web")));
            r.cpu_load = LoadBucket::UpTo20.into();
            r.os_name = Some(prefix("Debian 1"));
            r.agent_state = AgentState::Online.into();
        };
        assert_eq!(names(w, &tenant, several).await, ["web-0", "web-1"]);

        let bad = ListMachinesRequest {
            app_id: tenant.app_id,
            filter: Some(Filter::Tag(" ".into())),
            order: MachineOrder::Name.into(),
            os_name: Some(StringMatch::default()),
            created_after: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
            instance_state: Some(9),
            machine_type: 9,
            os_type: 9,
            cpu_load: 9,
            memory_load: -1,
            disk_load: 77,
            ..Default::default()
        };
        let mut found = fields(w.machines.list_machines(bad).await);
        found.sort();
        let wanted = ["cpu_load", "created_after", "disk_load", "instance_state", "machine_type", "memory_load", "order", "os_name", "os_type", "tag"];
        assert_eq!(found, wanted);
    }

    async fn the_summary_agrees_with_the_lists(w: World) {
        let (tenant, neighbour, empty) = (w.tenant().await, w.tenant().await, w.tenant().await);
        let summarize = async |app_id: u64| {
            w.machines.clone().get_machine_summary(GetMachineSummaryRequest { app_id }).await.map(|a| a.into_inner())
        };
        let old = w.host(&tenant, "old").await;
        w.clock.advance(Duration::from_secs(16 * 86_400));
        let mut hosts = Vec::new();
        for n in 0..9_u8 {
            let mut request = registration(&tenant, &format!("web-{n}"));
            let facts = request.facts.as_mut().unwrap();
            facts.machine_type = if n < 3 { MachineType::CloudVm } else { MachineType::Other }.into();
            facts.os_type = if n == 8 { OsType::Windows } else { OsType::Linux }.into();
            facts.provider = if n < 2 { "aws" } else { "" }.into();
            let id = w.register(request).await.unwrap().machine.unwrap().machine_id;
            let host = Host { app_id: tenant.app_id, id };
            beat(w, &host, (Some(f64::from(n) * 12.5), (n > 1).then_some(50.0), Some(0.0))).await;
            hosts.push(host);
        }
        w.host(&neighbour, "other").await;
        let request = UnregisterMachineRequest { app_id: tenant.app_id, machine_id: hosts[7].id.clone() };
        w.machines.clone().unregister_machine(request).await.unwrap();
        let running = |host: &Host| MachineUpdate { instance_state: InstanceState::Running.into(), ..change(&host.id, &["instance_state"]) };
        let updates = [&old, &hosts[0]].map(running).to_vec();
        w.machines.clone().update_machines(UpdateMachinesRequest { app_id: tenant.app_id, updates }).await.unwrap();

        let summary = summarize(tenant.app_id).await.unwrap();
        assert_eq!((summary.machines, summary.new_machines), (10, 9));
        assert_eq!(summary.summary_time, Some(timestamp(w.clock.now())));
        for count in &summary.agent_states {
            let listed = names(w, &tenant, |r| r.agent_state = count.agent_state).await;
            assert_eq!(listed.len() as u64, count.machines, "{count:?}");
        }
        let agents: Vec<u64> = summary.agent_states.iter().map(|c| c.machines).collect();
        assert_eq!(agents, [8, 1, 1]);
        let instances: Vec<(i32, u64)> = summary.instance_states.iter().map(|c| (c.instance_state, c.machines)).collect();
        assert_eq!(instances, [(0, 8), (1, 2)]);
        for count in &summary.os_types {
            assert_eq!(names(w, &tenant, |r| r.os_type = count.os_type).await.len() as u64, count.machines);
        }
        for count in &summary.machine_types {
            assert_eq!(names(w, &tenant, |r| r.machine_type = count.machine_type).await.len() as u64, count.machines);
        }
        assert_eq!((summary.os_types.len(), summary.machine_types.len()), (2, 2));
        let providers: Vec<(&str, u64)> = summary.providers.iter().map(|p| (p.provider.as_str(), p.machines)).collect();
        assert_eq!(providers, [("", 8), ("aws", 2)]);
        assert_eq!(names(w, &tenant, |r| r.provider = Some(String::new())).await.len(), 8);
        for (state, machines) in instances {
            assert_eq!(names(w, &tenant, |r| r.instance_state = Some(state)).await.len() as u64, machines, "{state}");
        }
        assert_eq!(names(w, &tenant, |r| r.provider = Some("aws".into())).await.len(), 2);
        type Ask = fn(&mut ListMachinesRequest, i32);
        let loads: [(&Option<LoadSummary>, Ask); 3] = [
            (&summary.cpu_load, |r, b| r.cpu_load = b),
            (&summary.memory_load, |r, b| r.memory_load = b),
            (&summary.disk_load, |r, b| r.disk_load = b),
        ];
        for (load, ask) in loads {
            let buckets = &load.as_ref().unwrap().buckets;
            assert_eq!(buckets.iter().map(|b| b.machines).sum::<u64>(), 10);
            for bucket in buckets {
                let listed = names(w, &tenant, |r| ask(r, bucket.bucket)).await;
                assert_eq!(listed.len() as u64, bucket.machines, "{bucket:?}");
            }
        }
        let cpu = summary.cpu_load.unwrap();
        assert_eq!(cpu.buckets.iter().map(|b| b.machines).collect::<Vec<_>>(), [2, 2, 3, 2, 1]);
        let top: Vec<(&str, f64)> = cpu.top.iter().map(|t| (t.name.as_str(), t.percent)).collect();
        assert_eq!(top, [("web-8", 100.0), ("web-6", 75.0), ("web-5", 62.5), ("web-4", 50.0), ("web-3", 37.5)]);
        let none = summarize(empty.app_id).await.unwrap();
        assert_eq!((none.machines, none.cpu_load.unwrap().top.len()), (0, 0));
        assert_eq!(reason(summarize(w.nobody().app_id).await), Reason::TenantUnknown);
    }

    async fn the_load_of_a_day_is_kept_a_value_an_hour(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let host = w.host(&tenant, "web-0").await;
        let series = async |app_id: u64, machine_id: &str| {
            let request = GetMachineLoadRequest { app_id, machine_id: machine_id.into() };
            w.machines.clone().get_machine_load(request).await.map(|a| a.into_inner().samples)
        };
        assert_eq!(series(tenant.app_id, &host.id).await.unwrap(), []);
        for round in 0..30 * 4 {
            w.clock.advance(Duration::from_secs(900));
            beat(w, &host, (Some(f64::from(round) / 4.0), None, Some(1.0))).await;
        }
        let samples = series(tenant.app_id, &host.id).await.unwrap();
        assert_eq!(samples.len(), 24);
        let cpu: Vec<f64> = samples.iter().map(|s| s.cpu_percent.unwrap()).collect();
        assert!(cpu.windows(2).all(|w| (w[1] - w[0] - 1.0).abs() < 1e-9), "{cpu:?}");
        assert!(samples.iter().all(|s| s.memory_percent.is_none() && s.disk_percent == Some(1.0)));
        assert!(samples.iter().all(|s| s.load_average.is_none()));
        let average = |value: f64| MachineHeartbeat { machine_id: host.id.clone(), load_average: Some(value), ..Default::default() };
        let tell = async |value: f64| w.machines.clone().heartbeat(HeartbeatRequest { app_id: tenant.app_id, heartbeats: vec![average(value)] }).await;
        w.clock.advance(Duration::from_secs(3600));
        tell(12.5).await.unwrap();
        assert_eq!(series(tenant.app_id, &host.id).await.unwrap().last().unwrap().load_average, Some(12.5));
        let machine = get(w, &host).await;
        assert_eq!((machine.load_average, machine.cpu_percent), (Some(12.5), None));
        for wrong in [-0.1, f64::NAN, f64::INFINITY] {
            assert_eq!(fields(tell(wrong).await), ["heartbeats[0].load_average"]);
        }
        w.clock.advance(Duration::from_secs(20 * 3600));
        assert!(series(tenant.app_id, &host.id).await.unwrap().len() < 5, "what is older than a day is not told");
        assert_eq!(reason(series(neighbour.app_id, &host.id).await), Reason::MachineUnknown);
        assert_eq!(fields(series(tenant.app_id, "x").await), ["machine_id"]);
    }

    async fn tags_are_listed_with_their_machines(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let mut hosts = Vec::new();
        for n in 0..4 {
            hosts.push(w.host(&tenant, &format!("web-{n}")).await);
        }
        let other = w.host(&neighbour, "web-0").await;
        let set = async |app_id: u64, machines: Vec<MachineTags>| {
            w.machines.clone().set_tags(SetTagsRequest { app_id, machines }).await.unwrap()
        };
        let given: [&[&str]; 4] = [&["blue", "db"], &["blue", "web"], &["blue", "bluer"], &[]];
        set(tenant.app_id, hosts.iter().zip(given).map(|(h, t)| tags(&h.id, t)).collect()).await;
        set(neighbour.app_id, vec![tags(&other.id, &["blue"])]).await;
        let counts = |counts: &[(&str, u64)]| counts.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect::<Vec<_>>();
        let all = tag_counts(w, &tenant, |_| {}).await;
        assert_eq!(all, counts(&[("blue", 3), ("bluer", 1), ("db", 1), ("web", 1)]));
        assert_eq!(tag_counts(w, &tenant, |r| r.order = TagOrder::Machines.into()).await[0], ("blue".into(), 3));
        assert_eq!(tag_counts(w, &tenant, |r| r.tag = Some(prefix("blue"))).await, counts(&[("blue", 3), ("bluer", 1)]));
        assert_eq!(tag_counts(w, &tenant, |r| r.tag = Some(exact("blue"))).await, counts(&[("blue", 3)]));
        // A repeat counts nothing twice; what no machine has is no tag any more.
        set(tenant.app_id, vec![tags(&hosts[0].id, &["blue", "web"]), tags(&hosts[2].id, &["blue", "bluer"])]).await;
        assert_eq!(tag_counts(w, &tenant, |_| {}).await, counts(&[("blue", 3), ("bluer", 1), ("web", 2)]));
        let machine_ids = hosts[1..3].iter().map(|h| h.id.clone()).collect();
        w.machines.clone().delete_machines(DeleteMachinesRequest { app_id: tenant.app_id, machine_ids, ..Default::default() }).await.unwrap();
        let left = tag_counts(w, &tenant, |_| {}).await;
        assert_eq!(left, counts(&[("blue", 1), ("web", 1)]));
        for (tag, machines) in left {
            assert_eq!(names(w, &tenant, |r| r.filter = Some(Filter::Tag(tag))).await.len() as u64, machines);
        }
        assert_eq!(tag_counts(w, &neighbour, |_| {}).await, counts(&[("blue", 1)]));

        let wrong = ListTagsRequest {
            app_id: tenant.app_id,
            tag: Some(prefix("b")),
            order: TagOrder::Machines.into(),
            page: Some(Page { page_size: -1, ..Default::default() }),
        };
        assert_eq!(fields(w.machines.list_tags(wrong.clone()).await), ["order", "page.page_size"]);
        let wrong = ListTagsRequest { order: 9, page: None, tag: Some(StringMatch::default()), ..wrong };
        assert_eq!(fields(w.machines.list_tags(wrong).await), ["order", "tag"]);
    }

    async fn tags_are_added_and_taken_away_beside_others(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let (one, two, other) = (w.host(&tenant, "web-1").await, w.host(&tenant, "web-2").await, w.host(&neighbour, "web-1").await);
        let set = vec![tags(&one.id, &["blue", "db"]), tags(&two.id, &(0..50).map(|n| format!("t{n:02}")).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>())];
        w.machines.set_tags(SetTagsRequest { app_id: tenant.app_id, machines: set }).await.unwrap();
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let change = async |ids: &[&str], add: &[&str], remove: &[&str]| {
            let request = ChangeTagsRequest { app_id: tenant.app_id, machine_ids: names(ids), add: names(add), remove: names(remove) };
            w.machines.clone().change_tags(request).await.map(|a| a.into_inner().results)
        };
        let results = change(&[&one.id, &two.id, &other.id], &["web", "blue"], &["db", "none"]).await.unwrap();
        assert_eq!(reasons(&results), ["", "INVALID_FIELD", "MACHINE_UNKNOWN"]);
        assert_eq!(get(w, &one).await.tags, ["blue", "web"]);
        assert_eq!(get(w, &two).await.tags.len(), 50);
        assert_eq!(reasons(&change(&[&two.id], &["web"], &["t00"]).await.unwrap()), [""]);
        assert_eq!(tag_counts(w, &tenant, |r| r.tag = Some(exact("web"))).await, [("web".to_owned(), 2)]);
        assert_eq!(tag_counts(w, &tenant, |r| r.tag = Some(prefix("t0"))).await.len(), 9);
        assert_eq!(fields(change(&[&one.id], &[], &[]).await), ["add"]);
        assert_eq!(fields(change(&["x"], &["a", "a", " "], &["a"]).await), ["machine_ids[0]", "add[1]", "add[2]", "remove[0]"]);
        assert_eq!(fields(change(&[], &["a"], &[]).await), ["machine_ids"]);
        assert_eq!(reason(change(&[&one.id, &one.id], &["a"], &[]).await), Reason::DuplicateItem);
    }

    async fn a_tag_is_renamed_or_deleted_on_all_machines(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let mut hosts = Vec::new();
        for n in 0..45 {
            hosts.push(w.host(&tenant, &format!("web-{n:02}")).await);
        }
        let other = w.host(&neighbour, "web-0").await;
        let set = vec![tags(&other.id, &["blue"])];
        w.machines.clone().set_tags(SetTagsRequest { app_id: neighbour.app_id, machines: set }).await.unwrap();
        // All are blue, every other one is navy too, and three are red.
        let given = |n: usize| [&["blue"][..], if n.is_multiple_of(2) { &["navy"] } else { &[] }, if n < 3 { &["red"] } else { &[] }].concat();
        let set = hosts.iter().enumerate().map(|(n, host)| tags(&host.id, &given(n))).collect();
        w.machines.clone().set_tags(SetTagsRequest { app_id: tenant.app_id, machines: set }).await.unwrap();
        let rename = async |tag: &str, new_tag: &str| {
            let request = RenameTagRequest { app_id: tenant.app_id, tag: tag.into(), new_tag: new_tag.into() };
            w.machines.clone().rename_tag(request).await.map(|a| a.into_inner()).map(|a| (a.machines, a.more))
        };
        let delete = async |tags: &[&str], timeout: Duration| {
            let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            let mut request = tonic::Request::new(DeleteTagsRequest { app_id: tenant.app_id, tags });
            request.set_timeout(timeout);
            w.machines.clone().delete_tags(request).await.map(|a| a.into_inner()).map(|a| (a.machines, a.more))
        };
        let counts = |counts: &[(&str, u64)]| counts.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect::<Vec<_>>();
        assert_eq!(rename("blue", "navy").await.unwrap(), (45, false));
        assert_eq!(tag_counts(w, &tenant, |_| {}).await, counts(&[("navy", 45), ("red", 3)]));
        assert_eq!(get(w, &hosts[0]).await.tags, ["navy", "red"]);
        assert_eq!(rename("blue", "navy").await.unwrap(), (0, false));
        assert_eq!(tag_counts(w, &neighbour, |_| {}).await, counts(&[("blue", 1)]));
        let long = Duration::from_secs(10);
        assert_eq!(delete(&["none"], long).await.unwrap(), (0, false));
        // A call with little time does a part.
        let (some, more) = delete(&["red", "navy"], Duration::from_millis(1_900)).await.unwrap();
        assert!((1..45).contains(&some) && more, "{some}");
        assert_eq!(names(w, &tenant, |r| r.filter = Some(Filter::Tag("navy".into()))).await.len() as u64, 45 - some);
        assert_eq!(delete(&["red", "navy"], long).await.unwrap(), (45 - some, false));
        assert_eq!(tag_counts(w, &tenant, |_| {}).await, []);

        assert_eq!(fields(rename("", "").await), ["tag", "new_tag", "new_tag"]);
        assert_eq!(fields(rename(" a", "a\n").await), ["tag", "new_tag"]);
        assert_eq!(fields(delete(&["a", "", "a"], long).await), ["tags[1]", "tags[2]"]);
        assert_eq!(fields(delete(&[], long).await), ["tags"]);
        assert_eq!(fields(delete(&["a"; 101], long).await)[0], "tags");
    }

    async fn names_of_operating_systems_are_listed_with_their_machines(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let systems = ["Debian 13", "Debian 12", "", "Debian 13", "Ubuntu 24.04"];
        for (tenant, systems) in [(&tenant, &systems[..]), (&neighbour, &["Fedora 44"])] {
            for (n, system) in systems.iter().enumerate() {
                let mut agent = registration(tenant, &format!("web-{n}"));
                agent.facts.as_mut().unwrap().os_name = (*system).into();
                w.register(agent).await.unwrap();
            }
        }
        let list = async |os_name: Option<StringMatch>| {
            let (mut found, mut page_token) = (Vec::new(), String::new());
            loop {
                let page = Some(Page { page_size: 2, page_token });
                let request = ListOsNamesRequest { app_id: tenant.app_id, os_name: os_name.clone(), page };
                let answer = w.machines.clone().list_os_names(request).await.unwrap().into_inner();
                found.extend(answer.os_names.into_iter().map(|c| (c.os_name, c.machines)));
                page_token = answer.next_page_token;
                if page_token.is_empty() {
                    return found;
                }
            }
        };
        let counts = |counts: &[(&str, u64)]| counts.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect::<Vec<_>>();
        let all = list(None).await;
        assert_eq!(all, counts(&[("", 1), ("Debian 12", 1), ("Debian 13", 2), ("Ubuntu 24.04", 1)]));
        for (name, machines) in all {
            assert_eq!(names(w, &tenant, |r| r.os_name = Some(exact(&name))).await.len() as u64, machines, "{name}");
        }
        assert_eq!(list(Some(prefix("Debian"))).await, counts(&[("Debian 12", 1), ("Debian 13", 2)]));
        assert_eq!(list(Some(exact("Debian 1"))).await, []);
        assert_eq!(list(Some(exact(""))).await, counts(&[("", 1)]));
        let page = Some(Page { page_size: -1, page_token: String::new() });
        let wrong = ListOsNamesRequest { app_id: tenant.app_id, os_name: Some(StringMatch::default()), page };
        assert_eq!(fields(w.machines.list_os_names(wrong).await), ["os_name", "page.page_size"]);
    }

    async fn a_public_address_stands_on_every_row_and_finds_its_machine(w: World) {
        let tenant = w.tenant().await;
        let told = async |address: &str| {
            let mut agent = registration(&tenant, "web-1");
            agent.facts.as_mut().unwrap().public_ip_address = address.into();
            w.register(agent).await.map(|answer| answer.machine.unwrap())
        };
        let by = async |address: &str| names(w, &tenant, |r| r.filter = Some(Filter::AnyIpAddress(address.into()))).await;
        let machine = told("2001:DB8::7").await.unwrap();
        assert_eq!(machine.facts.unwrap().public_ip_address, "2001:db8::7");
        let host = Host { app_id: tenant.app_id, id: machine.machine_id };
        w.report(&host, &[AssetClass::Account], &[account("root", 0)]).await;
        let rows = w.stored(&host, AssetClass::Account).await;
        assert_eq!(rows[0].host.as_ref().unwrap().public_ip_address, "2001:db8::7");
        assert_eq!((by("2001:db8::7").await, by("10.1.2.3").await), (vec!["web-1".into()], vec!["web-1".into()]));
        // One of its own addresses is found once, also when it is the public one no more.
        told("10.1.2.3").await.unwrap();
        assert_eq!((by("2001:db8::7").await, by("10.1.2.3").await), (vec![], vec!["web-1".to_owned()]));
        told("").await.unwrap();
        assert_eq!(by("10.1.2.3").await, ["web-1"]);
        assert_eq!(fields(told("here").await), ["facts.public_ip_address"]);
    }

    async fn tags_stay_counted_amid_changes_and_removals(w: World) {
        let tenant = w.tenant().await;
        let mut ids = Vec::new();
        for n in 0..12 {
            ids.push(w.host(&tenant, &format!("web-{n:02}")).await.id);
        }
        let word = |n: usize| format!("t{}", n % 5);
        let (w, ids, app_id) = (&*w, &ids, tenant.app_id);
        let set = |n: usize| async move {
            let machines = ids.iter().skip(n).map(|id| tags(id, &[&word(n), &word(n + 1)])).collect();
            let _ = w.machines.clone().set_tags(SetTagsRequest { app_id, machines }).await;
        };
        let change = |n: usize| async move {
            let (add, remove) = (vec![word(n), word(n + 2)], vec![word(n + 1)]);
            let machine_ids = ids.iter().rev().skip(n).cloned().collect();
            let _ = w.machines.clone().change_tags(ChangeTagsRequest { app_id, machine_ids, add, remove }).await;
        };
        let delete = |n: usize| async move {
            let machine_ids = vec![ids[n].clone()];
            w.machines.clone().delete_machines(DeleteMachinesRequest { app_id, machine_ids, ..Default::default() }).await.unwrap();
        };
        futures::join!(set(0), change(1), set(2), change(3), delete(4), set(5), change(6), delete(7));
        futures::join!(change(0), delete(0), set(1), change(2));
        let counts = tag_counts(w, &tenant, |_| {}).await;
        assert!(!counts.is_empty());
        for (tag, machines) in counts {
            assert_eq!(names(w, &tenant, |r| r.filter = Some(Filter::Tag(tag.clone()))).await.len() as u64, machines, "{tag}");
        }
        for n in 0..5 {
            let found = names(w, &tenant, |r| r.filter = Some(Filter::Tag(word(n)))).await.len() as u64;
            let counted = tag_counts(w, &tenant, |r| r.tag = Some(exact(&word(n)))).await;
            assert_eq!(counted.first().map_or(0, |(_, machines)| *machines), found);
        }
    }

    async fn machines_are_found_by_ids_and_by_any_address(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let mut hosts = Vec::new();
        for (n, (provider, region)) in [("aws", "eu-1"), ("aws", "us-1"), ("", ""), ("azure", "eu-1")].into_iter().enumerate() {
            let mut request = registration(&tenant, &format!("web-{n}"));
            let facts = request.facts.as_mut().unwrap();
            (facts.provider, facts.region) = (provider.into(), region.into());
            facts.ip_addresses = vec![format!("10.0.0.{n}"), "fe80::1".into(), format!("192.168.0.{n}"), format!("192.168.0.{n}")];
            hosts.push(w.register(request).await.unwrap().machine.unwrap());
        }
        w.host(&neighbour, "web-0").await;
        let identifiers = |values: &[&str]| MachineIdentifiers { values: values.iter().map(|v| (*v).to_owned()).collect() };
        let by = |filter: Filter| move |r: &mut ListMachinesRequest| r.filter = Some(filter);
        let ids = identifiers(&[&hosts[2].machine_id, &hosts[0].machine_id, &Uuid::now_v7().to_string()]);
        assert_eq!(names(w, &tenant, by(Filter::MachineIds(ids.clone()))).await, ["web-0", "web-2"]);
        assert_eq!(names(w, &neighbour, by(Filter::MachineIds(ids))).await, [""; 0]);
        let quuids = identifiers(&["web-3", "web-1", "web-1", "web-9"]);
        assert_eq!(names(w, &tenant, by(Filter::Quuids(quuids.clone()))).await, ["web-1", "web-3"]);
        let few = |r: &mut ListMachinesRequest| (r.filter, r.region) = (Some(Filter::Quuids(quuids)), Some("eu-1".into()));
        assert_eq!(names(w, &tenant, few).await, ["web-3"]);
        assert_eq!(names(w, &tenant, |r| r.provider = Some("aws".into())).await, ["web-0", "web-1"]);
        assert_eq!(names(w, &tenant, |r| (r.provider, r.region) = (Some("aws".into()), Some("eu-1".into()))).await, ["web-0"]);
        let address = |text: &str| by(Filter::AnyIpAddress(text.into()));
        assert_eq!(names(w, &tenant, address("192.168.0.1")).await, ["web-1"]);
        assert_eq!(names(w, &tenant, address("10.0.0.1")).await, ["web-1"], "the main one is one of all");
        assert_eq!(names(w, &tenant, address("FE80:0::1")).await, ["web-0", "web-1", "web-2", "web-3"], "however it is written");
        assert_eq!(names(w, &tenant, |r| (r.filter, r.provider) = (Some(Filter::AnyIpAddress("fe80::1".into())), Some("azure".into()))).await, ["web-3"]);

        // Addresses follow the facts.
        let mut moved = registration(&tenant, "web-1");
        moved.facts.as_mut().unwrap().ip_addresses = vec!["10.0.0.1".into(), "172.16.0.1".into()];
        w.register(moved).await.unwrap();
        assert_eq!(names(w, &tenant, address("192.168.0.1")).await, [""; 0]);
        assert_eq!(names(w, &tenant, address("172.16.0.1")).await, ["web-1"]);
        let machine_ids = vec![hosts[1].machine_id.clone()];
        w.machines.clone().delete_machines(DeleteMachinesRequest { app_id: tenant.app_id, machine_ids, ..Default::default() }).await.unwrap();
        assert_eq!(names(w, &tenant, address("172.16.0.1")).await, [""; 0]);

        let refused = async |filter: Filter| {
            let request = ListMachinesRequest { app_id: tenant.app_id, filter: Some(filter), ..Default::default() };
            fields(w.machines.clone().list_machines(request).await)
        };
        assert_eq!(refused(Filter::MachineIds(identifiers(&[]))).await, ["machine_ids.values"]);
        assert_eq!(refused(Filter::MachineIds(identifiers(&["x"]))).await, ["machine_ids.values[0]"]);
        assert_eq!(refused(Filter::Quuids(identifiers(&["q"; 101]))).await, ["quuids.values"]);
        assert_eq!(refused(Filter::Quuids(identifiers(&["", &"q".repeat(64)]))).await, ["quuids.values[0]", "quuids.values[1]"]);
        assert_eq!(refused(Filter::AnyIpAddress("10.0.0".into())).await, ["any_ip_address"]);
        let long = ListMachinesRequest { app_id: tenant.app_id, provider: Some("p".repeat(64)), region: Some("r".repeat(64)), ..Default::default() };
        assert_eq!(fields(w.machines.list_machines(long).await), ["provider", "region"]);
    }

    async fn machines_are_counted_once_a_day(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let db = w.db().await;
        let days = async |days: u32| {
            let request = ListMachineDaysRequest { app_id: tenant.app_id, days };
            w.machines.clone().list_machine_days(request).await.map(|a| a.into_inner().days)
        };
        let sweep = async || sweep::once(&db, &w.clock, &config::Machines::default(), &SystemScope::job(Job::Harness)).await.unwrap();
        w.host(&neighbour, "other").await;
        let gone = w.host(&tenant, "web-0").await;
        w.host(&tenant, "web-1").await;
        let gone = gone.id;
        w.machines.clone().unregister_machine(UnregisterMachineRequest { app_id: tenant.app_id, machine_id: gone.clone() }).await.unwrap();
        assert_eq!(days(0).await.unwrap(), []);
        sweep().await;
        w.clock.advance(Duration::from_secs(3600));
        w.host(&tenant, "web-2").await;
        sweep().await;
        let told = |day: &MachineDay| {
            assert_eq!(day.machines, day.agent_states.iter().map(|s| s.machines).sum::<u64>());
            (day.agent_states.iter().map(|s| s.machines).collect::<Vec<_>>(), day.new_machines)
        };
        let first = days(0).await.unwrap();
        assert_eq!(first.iter().map(told).collect::<Vec<_>>(), [(vec![1, 0, 1], 2)], "once a day");
        assert_eq!(first[0].count_time, Some(timestamp(noon())));
        w.clock.advance(Duration::from_secs(12 * 3600));
        w.host(&tenant, "web-3").await;
        sweep().await;
        let both = days(0).await.unwrap();
        assert_eq!(both.iter().map(told).collect::<Vec<_>>(), [(vec![1, 0, 1], 2), (vec![1, 2, 1], 4)]);
        assert_eq!(days(1).await.unwrap(), both[1..]);
        // Of a machine that goes, the number stays; a repeat removes nothing.
        let remove = |id: &str| DeleteMachinesRequest { app_id: tenant.app_id, machine_ids: vec![id.into()], ..Default::default() };
        for _ in 0..2 {
            w.machines.clone().delete_machines(remove(&gone)).await.unwrap();
        }
        let removed = days(1).await.unwrap();
        assert_eq!((removed[0].removed_machines, removed[0].retired_machines), (1, 0));
        assert_eq!(removed, [MachineDay { removed_machines: 1, ..both[1].clone() }]);
        let both = [both[0].clone(), removed[0].clone()];
        w.clock.advance(Duration::from_secs(89 * 86_400));
        assert_eq!(days(90).await.unwrap(), both[1..]);
        sweep().await;
        let request = ListMachineDaysRequest { app_id: neighbour.app_id, days: 90 };
        assert_eq!(w.machines.clone().list_machine_days(request).await.unwrap().into_inner().days.len(), 2, "no more is kept");
        assert_eq!(fields(days(91).await), ["days"]);
        db.close().await;
    }
}
