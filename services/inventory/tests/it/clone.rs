//! Two live agents under one id: the older keeps the machine, the younger is given one of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use cwpp_chassis::Reason;
use cwpp_contracts::inventory::v1::*;
use tonic::Status;

use crate::world::*;

const CLASS: AssetClass = AssetClass::SystemPackage;

/// An agent, and the host that it runs on.
#[derive(Clone)]
struct Agent {
    request: RegisterMachineRequest,
    id: String,
}

impl Agent {
    /// The disk of every such host has the same machine id; `number` is that of the agent's start, `boot` the kernel's.
    fn new(tenant: &Tenant, number: u8, boot: u8) -> Self {
        let request = RegisterMachineRequest {
            quuid: String::new(),
            host_id_hash: vec![5; 32],
            instance_nonce: vec![number; 16],
            boot_id_hash: vec![boot; 32],
            ..registration(tenant, &format!("start-{number}"))
        };
        Self { request, id: String::new() }
    }

    async fn register(&mut self, w: &World) -> RegisterMachineResponse {
        let answer = w.register(self.request.clone()).await.unwrap();
        self.id = answer.machine.clone().unwrap().machine_id;
        self.request.distinct_id.clone_from(&answer.distinct_id);
        answer
    }

    async fn beat(&self, w: &World) -> HeartbeatResponse {
        let beat = MachineHeartbeat {
            machine_id: self.id.clone(),
            instance_nonce: self.request.instance_nonce.clone(),
            cpu_percent: Some(f64::from(self.request.instance_nonce[0])),
            ..Default::default()
        };
        let request = HeartbeatRequest { app_id: self.request.app_id, heartbeats: vec![beat] };
        w.machines.clone().heartbeat(request).await.unwrap().into_inner()
    }

    fn host(&self) -> Host {
        Host { app_id: self.request.app_id, id: self.id.clone() }
    }

    async fn report(&self, w: &World, items: &[AssetItem]) -> Result<Vec<ClassResult>, Status> {
        let classes = offers(&[CLASS], items);
        let request = NegotiateReportRequest {
            app_id: self.request.app_id,
            machine_id: self.id.clone(),
            classes: classes.clone(),
            instance_nonce: self.request.instance_nonce.clone(),
            ..Default::default()
        };
        let token = w.assets.clone().negotiate_report(request).await?.into_inner().report_token;
        w.send(messages(&self.host(), &token, classes, items)).await
    }

    async fn machine(&self, w: &World) -> Machine {
        let request = GetMachineRequest { app_id: self.request.app_id, machine_id: self.id.clone() };
        w.machines.clone().get_machine(request).await.unwrap().into_inner().machine.unwrap()
    }
}

both! {
    async fn the_older_keeps_its_id_its_first_sight_and_its_assets(w: World) {
        let tenant = w.tenant().await;
        let mut older = Agent::new(&tenant, 1, 1);
        older.register(w).await;
        older.report(w, &[package("bash", "5")]).await.unwrap();
        let before = (older.machine(w).await, w.stored(&older.host(), CLASS).await);

        w.clock.advance(Duration::from_secs(30));
        let mut younger = Agent::new(&tenant, 2, 2);
        let first = younger.register(w).await;
        assert!(first.contested && !first.created && younger.id == older.id);
        assert!(first.machine.unwrap().contested && older.machine(w).await.contested);
        assert_eq!(reason(younger.report(w, &[package("nginx", "1")]).await), Reason::MachineContested);
        assert_eq!(younger.beat(w).await.contested_machine_ids, std::slice::from_ref(&older.id));
        w.clock.advance(Duration::from_secs(30));
        assert_eq!(older.beat(w).await, HeartbeatResponse::default());
        assert_eq!(younger.beat(w).await.cloned_machine_ids, std::slice::from_ref(&older.id));
        assert_eq!(reason(younger.report(w, &[package("nginx", "1")]).await), Reason::MachineCloned);

        let mut again = younger.clone();
        let own = younger.register(w).await;
        assert!(own.created && !own.contested && younger.id != older.id && own.distinct_id.len() == 16);
        let repeated = again.register(w).await;
        assert_eq!((repeated.created, &again.id, repeated.distinct_id), (false, &younger.id, own.distinct_id), "repeated");
        younger.report(w, &[package("nginx", "1")]).await.unwrap();
        assert_eq!(younger.beat(w).await, HeartbeatResponse::default());

        let (machine, assets) = before;
        assert_eq!(w.stored(&older.host(), CLASS).await, assets);
        let now = older.machine(w).await;
        assert!(!now.contested, "it is settled");
        assert_eq!((now.create_time, now.facts, now.cpu_percent), (machine.create_time, machine.facts, Some(1.0)));
        assert_eq!(younger.machine(w).await.facts.unwrap().name, "start-2");
        assert_eq!(w.count(tenant.app_id, "", CLASS).await, (2, 2));

        // What the agent was given survives its restarts, also on another start of its host.
        w.clock.advance(Duration::from_secs(3600));
        let mut restarted = Agent::new(&tenant, 3, 3);
        restarted.request.distinct_id.clone_from(&younger.request.distinct_id);
        assert!(!restarted.register(w).await.contested);
        assert_eq!(restarted.id, younger.id);
        assert_eq!(restarted.report(w, &[package("nginx", "1")]).await.unwrap()[0].unchanged, 1);
    }

    async fn two_cloned_hosts_at_once_end_with_two_ids(w: World) {
        let tenant = w.tenant().await;
        let mut agents: Vec<Agent> = (1..=2).map(|n| Agent::new(&tenant, n, n)).collect();
        let answers = futures::future::join_all(agents.iter_mut().map(|a| a.register(w))).await;
        assert_eq!(answers.iter().filter(|a| a.contested).count(), 1, "one of them was first");
        let mut reported = BTreeSet::new();
        let mut registrations = 0;
        for _ in 0..6 {
            for (n, agent) in agents.iter_mut().enumerate() {
                let own = [package(&format!("only-on-{n}"), "1")];
                if agent.report(w, &own).await.is_ok() {
                    reported.insert(agent.id.clone());
                }
                let answer = agent.beat(w).await;
                if !answer.cloned_machine_ids.is_empty() || !answer.unknown_machine_ids.is_empty() {
                    agent.register(w).await;
                    registrations += 1;
                }
            }
            w.clock.advance(Duration::from_secs(60));
        }
        assert_eq!((reported.len(), registrations), (2, 1));
        for (n, agent) in agents.iter().enumerate() {
            let names: Vec<String> = w.stored(&agent.host(), CLASS).await.iter().map(name).collect();
            assert_eq!(names, [format!("only-on-{n}")], "neither ever overwrote the other");
            assert!(agent.report(w, &[package(&format!("only-on-{n}"), "1")]).await.is_ok());
        }
        assert_eq!(w.count(tenant.app_id, "", CLASS).await, (2, 2));
    }

    async fn a_restart_is_no_clone(w: World) {
        let tenant = w.tenant().await;
        let mut first = Agent::new(&tenant, 1, 1);
        first.register(w).await;
        first.report(w, &[package("bash", "5")]).await.unwrap();
        // The same start of the kernel: at once.
        w.clock.advance(Duration::from_secs(1));
        let mut second = Agent::new(&tenant, 2, 1);
        let answer = second.register(w).await;
        assert!(!answer.contested && !answer.created && answer.distinct_id.is_empty());
        assert_eq!(second.report(w, &[package("bash", "5")]).await.unwrap()[0].unchanged, 1);
        // Another start: once the former one has been silent for ten minutes.
        w.clock.advance(Duration::from_secs(60));
        let mut third = Agent::new(&tenant, 3, 2);
        assert!(third.register(w).await.contested);
        for _ in 0..9 {
            w.clock.advance(Duration::from_secs(60));
            assert_eq!(third.beat(w).await.cloned_machine_ids, [""; 0]);
        }
        w.clock.advance(Duration::from_secs(61));
        assert_eq!(third.beat(w).await, HeartbeatResponse::default());
        assert!(third.report(w, &[package("bash", "5")]).await.is_ok());
        assert_eq!((&first.id, &second.id), (&third.id, &third.id));
    }

    async fn the_clones_of_one_image_are_told_apart_by_batched_signs_of_life_too(w: World) {
        let tenant = w.tenant().await;
        let mut agents: Vec<Agent> = (1..=6).map(|n| Agent::new(&tenant, n, n)).collect();
        for agent in &mut agents {
            agent.register(w).await;
        }
        for _ in 0..6 {
            w.clock.advance(Duration::from_secs(60));
            let beats = futures::future::join_all(agents.iter().map(|a| a.beat(w))).await;
            for (agent, answer) in agents.iter_mut().zip(beats) {
                if !answer.cloned_machine_ids.is_empty() {
                    agent.register(w).await;
                }
            }
        }
        let ids: BTreeSet<_> = agents.iter().map(|a| a.id.clone()).collect();
        assert_eq!(ids.len(), 6);
        for agent in &agents {
            assert_eq!(agent.beat(w).await, HeartbeatResponse::default());
        }
    }

    async fn wrong_bytes_of_an_identity_are_all_named(w: World) {
        let tenant = w.tenant().await;
        let request = RegisterMachineRequest {
            distinct_id: vec![1],
            boot_id_hash: vec![1; 16],
            instance_nonce: vec![1; 15],
            ..registration(&tenant, "web-1")
        };
        assert_eq!(fields(w.register(request).await), ["instance_nonce", "distinct_id", "boot_id_hash"]);
        let host = w.host(&tenant, "web-1").await;
        let request = NegotiateReportRequest {
            app_id: tenant.app_id,
            machine_id: host.id,
            classes: offers(&[CLASS], &[]),
            instance_nonce: vec![1],
            ..Default::default()
        };
        assert_eq!(fields(w.assets.negotiate_report(request).await), ["instance_nonce"]);
    }
}
