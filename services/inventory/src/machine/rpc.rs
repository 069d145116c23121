//! Machines on the wire: validates, translates.

use std::collections::HashMap;
use std::net::IpAddr;

use async_trait::async_trait;
use cwpp_access::TenantScope;
use cwpp_access::ops::MachineServiceOps;
use cwpp_chassis::{Error, Reason, Result, Violations};
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::list_machines_request::Filter;
use cwpp_contracts::inventory::v1::{AgentState, MachineFacts, MachineOrder, MachineType, OsType};
use prost_types::Timestamp;
use uuid::Uuid;

use super::contact::{Contact, Load};
use super::ops::{Machine, Machines, Registration};
use super::skew::duration;
use crate::asset::check::{instant, timestamp};

/// Most signs of life in one call.
const MOST_HEARTBEATS: usize = 1000;
/// Most addresses of a machine.
const MOST_ADDRESSES: usize = 64;

#[async_trait]
impl MachineServiceOps for Machines {
    async fn register_machine(
        &self,
        scope: TenantScope,
        request: api::RegisterMachineRequest,
    ) -> Result<api::RegisterMachineResponse> {
        let registration = registration(request)?;
        let (machine, created) = self.register(&scope, registration).await?;
        Ok(api::RegisterMachineResponse { machine: Some(to_wire(machine)), created })
    }

    async fn heartbeat(&self, scope: TenantScope, request: api::HeartbeatRequest) -> Result<api::HeartbeatResponse> {
        let contacts = contacts(&request)?;
        let mut response = api::HeartbeatResponse::default();
        for (beat, answer) in request.heartbeats.into_iter().zip(self.beat(&scope, contacts).await?) {
            if !answer.known {
                response.unknown_machine_ids.push(beat.machine_id);
            } else if answer.skew.clamped {
                response.skewed_machine_ids.push(beat.machine_id);
            }
        }
        Ok(response)
    }

    async fn get_machine(
        &self,
        scope: TenantScope,
        request: api::GetMachineRequest,
    ) -> Result<api::GetMachineResponse> {
        let mut violations = Violations::new();
        let id = violations.uuid("machine_id", &request.machine_id);
        violations.finish()?;
        let machine = self.get(&scope, id.unwrap_or_default()).await?;
        Ok(api::GetMachineResponse { machine: Some(to_wire(machine)) })
    }

    async fn list_machines(
        &self,
        scope: TenantScope,
        mut request: api::ListMachinesRequest,
    ) -> Result<api::ListMachinesResponse> {
        let mut violations = Violations::new();
        let page = request.page.take();
        if let Some(Filter::IpAddress(by)) = &mut request.filter {
            canonical(by);
        }
        let order = MachineOrder::try_from(request.order);
        let driven = match &request.filter {
            Some(Filter::Name(_)) => Some(MachineOrder::Name),
            Some(Filter::IpAddress(_)) => None,
            None => Some(MachineOrder::CreateTime),
        };
        match order {
            Ok(MachineOrder::Unspecified) => {}
            Ok(order) if request.filter.is_some() && driven != Some(order) => {
                violations.push("order", "must be the order of the filter, or absent");
            }
            Ok(_) => {}
            Err(_) => violations.push("order", format!("{} is no value of this enum", request.order)),
        }
        let state = AgentState::try_from(request.agent_state);
        violations.check(state.is_ok(), "agent_state", format!("{} is no value of this enum", request.agent_state));
        let plan = super::store::plan(&request, &mut violations);
        violations.check(page.as_ref().is_none_or(|p| p.page_size >= 0), "page.page_size", "must not be negative");
        violations.finish()?;
        let (machines, next_page_token) =
            self.list(&scope, &request, page.as_ref(), plan, state.unwrap_or_default()).await?;
        Ok(api::ListMachinesResponse { machines: machines.into_iter().map(to_wire).collect(), next_page_token })
    }
}

/// Writes an address in its one canonical form, so that it is found however it was written.
pub(crate) fn canonical(by: &mut cwpp_contracts::common::v1::StringMatch) {
    use cwpp_contracts::common::v1::string_match::How;
    if let Some(How::Exact(text)) = &mut by.how
        && let Ok(address) = text.parse::<IpAddr>()
    {
        *text = address.to_string();
    }
}

fn registration(request: api::RegisterMachineRequest) -> Result<Registration> {
    let mut violations = Violations::new();
    let characters = request.quuid.chars().count();
    violations.check(characters <= 63, "quuid", format!("must have at most 63 characters, has {characters}"));
    let (given, length) = (!request.host_id_hash.is_empty(), request.host_id_hash.len());
    if given || request.quuid.is_empty() {
        let description = match given {
            true => format!("must have 32 bytes, has {length}"),
            false => "must be given where quuid is empty".to_owned(),
        };
        violations.check(length == 32, "host_id_hash", description);
    }
    nonce("instance_nonce", &request.instance_nonce, &mut violations);
    time("observed_time", request.observed_time, &mut violations);
    let facts = match request.facts {
        Some(facts) => check_facts(facts, &mut violations),
        None => {
            violations.push("facts", "must be given");
            MachineFacts::default()
        }
    };
    violations.finish()?;
    Ok(Registration {
        quuid: request.quuid,
        host_id_hash: request.host_id_hash,
        nonce: request.instance_nonce,
        observed: instant(request.observed_time),
        facts,
    })
}

fn check_facts(mut facts: MachineFacts, violations: &mut Violations) -> MachineFacts {
    violations.length("facts.name", &facts.name, 1, 255);
    let count = facts.ip_addresses.len();
    violations.check(
        count <= MOST_ADDRESSES,
        "facts.ip_addresses",
        format!("must be at most {MOST_ADDRESSES}, are {count}"),
    );
    for (i, text) in facts.ip_addresses.iter_mut().take(MOST_ADDRESSES).enumerate() {
        match text.parse::<IpAddr>() {
            Ok(address) => *text = address.to_string(),
            Err(_) => violations
                .push(format!("facts.ip_addresses[{i}]"), "must be an address such as 10.0.0.1 or 2001:db8::1"),
        }
    }
    chosen::<MachineType>("facts.machine_type", facts.machine_type, violations);
    chosen::<OsType>("facts.os_type", facts.os_type, violations);
    violations.length("facts.os_name", &facts.os_name, 0, 255);
    violations.length("facts.kernel_version", &facts.kernel_version, 0, 255);
    violations.length("facts.architecture", &facts.architecture, 0, 63);
    violations.length("facts.agent_version", &facts.agent_version, 0, 63);
    time("facts.agent_install_time", facts.agent_install_time, violations);
    time("facts.boot_time", facts.boot_time, violations);
    time("facts.last_user_login_time", facts.last_user_login_time, violations);
    facts
}

fn chosen<E: TryFrom<i32>>(field: &str, value: i32, violations: &mut Violations) {
    if value == 0 {
        violations.push(field, "must be given");
    } else {
        violations.check(E::try_from(value).is_ok(), field, format!("{value} is no value of this enum"));
    }
}

fn time(field: &str, value: Option<Timestamp>, violations: &mut Violations) {
    violations.check(
        value.is_none() || instant(value).is_some(),
        field,
        "must be a time between the years 1000 and 9999",
    );
}

fn nonce(field: &str, value: &[u8], violations: &mut Violations) {
    let length = value.len();
    violations.check(length == 0 || length == 16, field, format!("must have 16 bytes, has {length}"));
}

fn contacts(request: &api::HeartbeatRequest) -> Result<Vec<Contact>> {
    let count = request.heartbeats.len();
    let mut violations = Violations::new();
    violations.check(
        (1..=MOST_HEARTBEATS).contains(&count),
        "heartbeats",
        format!("must be 1 to {MOST_HEARTBEATS}, are {count}"),
    );
    let mut contacts = Vec::with_capacity(count.min(MOST_HEARTBEATS));
    for (i, beat) in request.heartbeats.iter().take(MOST_HEARTBEATS).enumerate() {
        let field = |name: &str| format!("heartbeats[{i}].{name}");
        let machine_id = violations.uuid(field("machine_id"), &beat.machine_id).unwrap_or_default();
        nonce(&field("instance_nonce"), &beat.instance_nonce, &mut violations);
        time(&field("observed_time"), beat.observed_time, &mut violations);
        for (name, value) in [
            ("cpu_percent", beat.cpu_percent),
            ("memory_percent", beat.memory_percent),
            ("disk_percent", beat.disk_percent),
        ] {
            violations.check(value.is_none_or(|v| (0.0..=100.0).contains(&v)), field(name), "must be 0 to 100");
        }
        contacts.push(Contact {
            machine_id,
            nonce: Some(beat.instance_nonce.clone()),
            observed: instant(beat.observed_time),
            load: Some(Load { cpu: beat.cpu_percent, memory: beat.memory_percent, disk: beat.disk_percent }),
            classes: Vec::new(),
        });
    }
    violations.finish()?;
    let mut places: HashMap<Uuid, usize> = HashMap::with_capacity(contacts.len());
    let mut error = None;
    for (i, contact) in contacts.iter().enumerate() {
        if let Some(first) = places.insert(contact.machine_id, i) {
            let so_far = error
                .take()
                .unwrap_or_else(|| Error::new(Reason::DuplicateItem, "two signs of life of one machine in one call"));
            error = Some(
                so_far.violation(format!("heartbeats[{i}].machine_id"), format!("the same as heartbeats[{first}]")),
            );
        }
    }
    error.map_or(Ok(contacts), Err)
}

pub(super) fn to_wire(machine: Machine) -> api::Machine {
    let Machine { row, liveness, online } = machine;
    let live = liveness.as_ref();
    api::Machine {
        machine_id: row.machine_id.to_string(),
        quuid: row.quuid.clone(),
        facts: Some(row.facts()),
        agent_state: if online { AgentState::Online } else { AgentState::Offline } as i32,
        create_time: Some(timestamp(row.created_at)),
        last_seen_time: live.map(|l| timestamp(l.last_seen_at)),
        clock_skew: live.map(|l| duration(l.clock_skew_us)),
        cpu_percent: live.and_then(|l| l.cpu_percent),
        memory_percent: live.and_then(|l| l.memory_percent),
        disk_percent: live.and_then(|l| l.disk_percent),
    }
}
