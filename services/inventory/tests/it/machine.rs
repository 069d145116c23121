//! Machines: enrolment, signs of life, lists.

use std::time::Duration;

use chrono::TimeDelta;
use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::Page;
use cwpp_contracts::inventory::v1::list_machines_request::Filter;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::machine::store;
use uuid::Uuid;

use crate::world::*;

fn beat(machine_id: &str) -> MachineHeartbeat {
    MachineHeartbeat { machine_id: machine_id.into(), instance_nonce: vec![1; 16], ..Default::default() }
}

fn list(tenant: &Tenant, filter: Option<Filter>) -> ListMachinesRequest {
    ListMachinesRequest { app_id: tenant.app_id, filter, ..Default::default() }
}

async fn names(w: &World, mut request: ListMachinesRequest) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let answer = w.machines.clone().list_machines(request.clone()).await.unwrap().into_inner();
        names.extend(answer.machines.into_iter().map(|m| m.facts.unwrap().name));
        if answer.next_page_token.is_empty() {
            return names;
        }
        let page_size = request.page.as_ref().map_or(0, |p| p.page_size);
        request.page = Some(Page { page_size, page_token: answer.next_page_token });
    }
}

async fn get(w: &World, host: &Host) -> Machine {
    let request = GetMachineRequest { app_id: host.app_id, machine_id: host.id.clone() };
    w.machines.clone().get_machine(request).await.unwrap().into_inner().machine.unwrap()
}

both! {
    async fn a_machine_that_tells_its_clouds_id_later_stays_the_same(w: World) {
        let tenant = w.tenant().await;
        let agent = |quuid: &str, serial_number: &str| {
            let mut request = RegisterMachineRequest { quuid: quuid.into(), host_id_hash: vec![7; 32], ..registration(&tenant, "web-1") };
            request.facts.as_mut().unwrap().serial_number = serial_number.into();
            request
        };
        let id = async |agent: RegisterMachineRequest| w.register(agent).await.unwrap().machine.unwrap().machine_id;
        let first = id(agent("", "S1")).await;
        // A copy of its disk in another machine, or one of which that is not known, or of another name, is another.
        let mut renamed = agent("q-4", "S1");
        renamed.facts.as_mut().unwrap().name = "web-2".into();
        let others = [id(agent("q-2", "S2")).await, id(agent("q-3", "")).await, id(renamed).await];
        assert!(!others.contains(&first));
        // One that speaks beside it, even of the same start of a kernel, has to wait until the first is silent.
        let boot_id_hash = vec![5; 32];
        w.register(RegisterMachineRequest { boot_id_hash: boot_id_hash.clone(), ..agent("", "S1") }).await.unwrap();
        let beside = RegisterMachineRequest { boot_id_hash, instance_nonce: vec![2; 16], ..agent("q-5", "S1") };
        let told = w.register(beside.clone()).await.unwrap();
        assert!(told.contested && told.machine.unwrap().machine_id == first);
        for nonce in [1, 2, 1] {
            w.clock.advance(Duration::from_secs(60));
            let heartbeats = vec![MachineHeartbeat { instance_nonce: vec![nonce; 16], ..beat(&first) }];
            w.machines.clone().heartbeat(HeartbeatRequest { app_id: tenant.app_id, heartbeats }).await.unwrap();
        }
        let told = w.register(beside).await.unwrap();
        assert!(told.created && told.distinct_id.is_empty(), "its own id is enough to tell it from the first");
        let later = w.register(agent("q-1", "S1")).await.unwrap();
        assert_eq!((later.created, later.machine.as_ref().unwrap().quuid.as_str()), (false, "q-1"));
        assert_eq!(later.machine.unwrap().machine_id, first);
        assert_eq!(id(agent("q-1", "S1")).await, first);
        assert_ne!(id(agent("", "S1")).await, first, "the cloud's id is what it is found by now");
        assert_eq!(names(w, list(&tenant, None)).await.len(), 6);
    }

    async fn a_machine_is_enrolled_once_and_its_facts_are_written_when_they_differ(w: World) {
        let tenant = w.tenant().await;
        let db = w.db().await;
        let request = registration(&tenant, "web-1");
        let first = w.register(request.clone()).await.unwrap();
        let again = w.register(request.clone()).await.unwrap();
        assert_eq!((first.created, again.created), (true, false));
        let id = Uuid::parse_str(&first.machine.unwrap().machine_id).unwrap();
        assert_eq!(id.get_version_num(), 7);
        let version = async || {
            let scope = scope(&tenant);
            db.read(&scope, |read| async move { store::get(&read, id).await }).await.unwrap().unwrap().version
        };
        assert_eq!(version().await, 1, "the same facts are not written");
        let mut renamed = request.clone();
        renamed.facts.as_mut().unwrap().name = "web-one".into();
        let changed = w.register(renamed).await.unwrap().machine.unwrap();
        assert_eq!((changed.machine_id.as_str(), changed.facts.unwrap().name.as_str()), (id.to_string().as_str(), "web-one"));
        assert_eq!(version().await, 2);

        let by_hash = |byte: u8| RegisterMachineRequest { quuid: String::new(), host_id_hash: vec![byte; 32], ..request.clone() };
        let at_once = futures::future::join_all((0..8).map(|_| w.register(by_hash(7)))).await;
        let answers: Vec<_> = at_once.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|a| a.created).count(), 1);
        let ids: std::collections::BTreeSet<_> = answers.into_iter().map(|a| a.machine.unwrap().machine_id).collect();
        assert_eq!(ids.len(), 1, "at once they are one");
        assert!(w.register(by_hash(8)).await.unwrap().created);
        db.close().await;
    }

    async fn every_wrong_field_of_an_enrolment_is_named_at_once(w: World) {
        let tenant = w.tenant().await;
        let facts = MachineFacts {
            ip_addresses: vec!["10.0.0.1".into(), "ten".into()],
            machine_type: 77,
            kernel_version: "k".repeat(256),
            ..Default::default()
        };
        let request = RegisterMachineRequest {
            app_id: tenant.app_id,
            instance_nonce: vec![1],
            facts: Some(facts),
            ..Default::default()
        };
        let wanted = [
            "host_id_hash",
            "instance_nonce",
            "facts.name",
            "facts.ip_addresses[1]",
            "facts.machine_type",
            "facts.os_type",
            "facts.kernel_version",
        ];
        assert_eq!(fields(w.register(request).await), wanted);
        assert_eq!(reason(w.register(registration(&w.nobody(), "web-1")).await), Reason::TenantUnknown);
    }

    async fn a_machine_is_online_for_ten_minutes_after_a_sign_of_life(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        assert_eq!(get(w, &host).await.agent_state(), AgentState::Online);
        w.clock.advance(Duration::from_secs(601));
        assert_eq!(get(w, &host).await.agent_state(), AgentState::Offline);
        let stranger = Uuid::now_v7().to_string();
        let ahead = timestamp(w.clock.now() + TimeDelta::hours(30));
        let beats = vec![
            MachineHeartbeat { cpu_percent: Some(12.5), observed_time: Some(ahead), ..beat(&host.id) },
            beat(&stranger),
        ];
        let request = HeartbeatRequest { app_id: tenant.app_id, heartbeats: beats };
        let answer = w.machines.clone().heartbeat(request).await.unwrap().into_inner();
        assert_eq!(answer.unknown_machine_ids, [stranger]);
        assert_eq!(answer.skewed_machine_ids, std::slice::from_ref(&host.id));
        let machine = get(w, &host).await;
        assert_eq!((machine.agent_state(), machine.cpu_percent), (AgentState::Online, Some(12.5)));
        assert_eq!(machine.clock_skew.unwrap().seconds, 86_400, "clamped");

        w.negotiate(&host, offers(&[AssetClass::Account], &[])).await.unwrap();
        assert_eq!(get(w, &host).await.cpu_percent, Some(12.5), "a negotiation tells no load and takes none away");
    }

    async fn wrong_signs_of_life_change_nothing(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let before = get(w, &host).await;
        w.clock.advance(Duration::from_secs(5));
        let send = |heartbeats| {
            let (mut machines, app_id) = (w.machines.clone(), tenant.app_id);
            async move { machines.heartbeat(HeartbeatRequest { app_id, heartbeats }).await }
        };
        let wrong = MachineHeartbeat { instance_nonce: vec![1], disk_percent: Some(f64::NAN), ..beat("x") };
        let wanted = ["heartbeats[1].machine_id", "heartbeats[1].instance_nonce", "heartbeats[1].disk_percent"];
        assert_eq!(fields(send(vec![beat(&host.id), wrong]).await), wanted);
        assert_eq!(reason(send(vec![beat(&host.id), beat(&host.id)]).await), Reason::DuplicateItem);
        assert_eq!(fields(send(Vec::new()).await), ["heartbeats"]);
        assert_eq!(fields(send(vec![beat(&host.id); 1001]).await), ["heartbeats"]);
        assert_eq!(get(w, &host).await, before);
    }

    async fn many_signs_of_life_at_once_are_all_taken(w: World) {
        let tenant = w.tenant().await;
        let hosts = futures::future::join_all((0..60).map(|n| { let (w, tenant) = (&*w, &tenant); async move { w.host(tenant, &format!("h{n}")).await } })).await;
        w.clock.advance(Duration::from_secs(700));
        let beats = hosts.iter().flat_map(|h| [h, h]).map(|host| {
            let (mut machines, app_id) = (w.machines.clone(), tenant.app_id);
            let heartbeats = vec![beat(&host.id)];
            async move { machines.heartbeat(HeartbeatRequest { app_id, heartbeats }).await.unwrap().into_inner() }
        });
        for answer in futures::future::join_all(beats).await {
            assert_eq!(answer, HeartbeatResponse::default());
        }
        let online = ListMachinesRequest { agent_state: AgentState::Online.into(), ..list(&tenant, None) };
        assert_eq!(names(w, online).await.len(), 60);
    }

    async fn machines_are_listed_by_name_address_enrolment_and_state(w: World) {
        let tenant = w.tenant().await;
        for (n, name) in ["web-2", "Web-1", "web-1", "db_1", "dbx1"].into_iter().enumerate() {
            let mut request = registration(&tenant, name);
            request.facts.as_mut().unwrap().ip_addresses = vec![format!("10.0.{}.1", n % 2), format!("2001:DB8::{n}")];
            w.register(request).await.unwrap();
            w.clock.advance(Duration::from_secs(200));
        }
        let small = |mut request: ListMachinesRequest| { request.page = Some(Page { page_size: 1, ..Default::default() }); request };
        let all = small(list(&tenant, None));
        assert_eq!(names(w, all.clone()).await, ["web-2", "Web-1", "web-1", "db_1", "dbx1"]);
        let by_name = ListMachinesRequest { order: MachineOrder::Name.into(), ..all.clone() };
        assert_eq!(names(w, by_name).await, ["Web-1", "db_1", "dbx1", "web-1", "web-2"], "case counts");
        assert_eq!(names(w, small(list(&tenant, Some(Filter::Name(prefix("db_")))))).await, ["db_1"], "nothing is a wildcard");
        assert_eq!(names(w, small(list(&tenant, Some(Filter::Name(exact("web-1")))))).await, ["web-1"]);
        assert_eq!(names(w, small(list(&tenant, Some(Filter::IpAddress(exact("10.0.1.1")))))).await, ["Web-1", "db_1"]);
        assert_eq!(names(w, small(list(&tenant, Some(Filter::IpAddress(prefix("10.0.")))))).await.len(), 5);
        let of = |state: AgentState| ListMachinesRequest { agent_state: state.into(), ..all.clone() };
        assert_eq!(names(w, of(AgentState::Offline)).await, ["web-2", "Web-1"]);
        assert_eq!(names(w, of(AgentState::Online)).await, ["web-1", "db_1", "dbx1"]);

        let contains = cwpp_contracts::common::v1::StringMatch {
            how: Some(cwpp_contracts::common::v1::string_match::How::Contains("web".into())),
        };
        let bad = ListMachinesRequest {
            order: MachineOrder::CreateTime.into(),
            agent_state: 9,
            page: Some(Page { page_size: -1, ..Default::default() }),
            ..list(&tenant, Some(Filter::Name(contains)))
        };
        let refused = w.machines.list_machines(bad).await;
        assert_eq!(fields(refused), ["name.contains", "order", "agent_state", "page.page_size"]);
    }
}
