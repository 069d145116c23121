//! Messages of machines: checked on their way in, written on their way out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use cwpp_chassis::{Error, Reason, Result, Violations};
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::{
    AgentState, ComponentState, InstanceState, LoadBucket, MachineFacts, MachineType, OsType,
};
use prost_types::Timestamp;
use uuid::Uuid;

use super::contact::{Contact, Load};
use super::ops::{Change, Machine, Registration};
use super::skew::duration;
use super::summary::{self, Kind, Summary};
use super::{day, entity, load, query, tag};
use crate::asset::check::{instant, timestamp};
use crate::asset::natural_key::short;
use crate::bulk;

/// Most signs of life in one call.
const MOST_HEARTBEATS: usize = 1000;
/// Most addresses of a machine.
const MOST_ADDRESSES: usize = 64;
/// Most parts of an agent.
const MOST_COMPONENTS: usize = 32;
/// Days that are answered where no number is asked for.
const USUAL_DAYS: u32 = 30;

/// Writes an address in its one canonical form, so that it is found however it was written.
pub(crate) fn canonical(by: &mut cwpp_contracts::common::v1::StringMatch) {
    use cwpp_contracts::common::v1::string_match::How;
    if let Some(How::Exact(text)) = &mut by.how
        && let Ok(address) = text.parse::<IpAddr>()
    {
        *text = address.to_string();
    }
}

pub(super) fn registration(mut request: api::RegisterMachineRequest) -> Result<Registration> {
    let mut violations = Violations::new();
    if let Some(facts) = &mut request.facts {
        facts.provider.make_ascii_lowercase();
    }
    violations.characters("quuid", &request.quuid, 0, 63);
    let (given, length) = (!request.host_id_hash.is_empty(), request.host_id_hash.len());
    if given || request.quuid.is_empty() {
        let description = match given {
            true => format!("must have 32 bytes, has {length}"),
            false => "must be given where quuid is empty".to_owned(),
        };
        violations.check(length == 32, "host_id_hash", description);
    }
    bytes("instance_nonce", &request.instance_nonce, 16, &mut violations);
    bytes("distinct_id", &request.distinct_id, 16, &mut violations);
    bytes("boot_id_hash", &request.boot_id_hash, 32, &mut violations);
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
        distinct: Uuid::from_slice(&request.distinct_id).ok(),
        nonce: request.instance_nonce,
        boot: (!request.boot_id_hash.is_empty()).then(|| short(&blake3::hash(&request.boot_id_hash))),
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
    if !facts.public_ip_address.is_empty() {
        facts.public_ip_address = query::address("facts.public_ip_address", &facts.public_ip_address, violations);
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
    for (field, value, most) in [
        ("provider", &facts.provider, 63),
        ("instance_id", &facts.instance_id, 63),
        ("region", &facts.region, 63),
        ("serial_number", &facts.serial_number, 127),
        ("product_name", &facts.product_name, 255),
    ] {
        violations.length(format!("facts.{field}"), value, 0, most);
    }
    check_components(&facts.components, violations);
    facts
}

fn check_components(components: &[api::AgentComponent], violations: &mut Violations) {
    let count = components.len();
    violations.check(
        count <= MOST_COMPONENTS,
        "facts.components",
        format!("must be at most {MOST_COMPONENTS}, are {count}"),
    );
    for (i, component) in components.iter().take(MOST_COMPONENTS).enumerate() {
        let field = |name: &str| format!("facts.components[{i}].{name}");
        violations.length(field("name"), &component.name, 1, 63);
        violations.length(field("version"), &component.version, 0, 63);
        chosen::<ComponentState>(&field("state"), component.state, violations);
        let first = components.iter().position(|c| c.name == component.name);
        violations.check(first == Some(i), field("name"), "is named before");
    }
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

/// Checks bytes that may be absent.
pub(crate) fn bytes(field: &str, value: &[u8], wanted: usize, violations: &mut Violations) {
    let length = value.len();
    violations.check(length == 0 || length == wanted, field, format!("must have {wanted} bytes, has {length}"));
}

pub(super) fn contacts(request: &api::HeartbeatRequest) -> Result<Vec<Contact>> {
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
        bytes(&field("instance_nonce"), &beat.instance_nonce, 16, &mut violations);
        time(&field("observed_time"), beat.observed_time, &mut violations);
        for (name, value) in [
            ("cpu_percent", beat.cpu_percent),
            ("memory_percent", beat.memory_percent),
            ("disk_percent", beat.disk_percent),
        ] {
            violations.check(value.is_none_or(|v| (0.0..=100.0).contains(&v)), field(name), "must be 0 to 100");
        }
        let average = beat.load_average;
        let fits = average.is_none_or(|v| v.is_finite() && v >= 0.0);
        violations.check(fits, field("load_average"), "must be a number from 0 on");
        contacts.push(Contact {
            machine_id,
            nonce: beat.instance_nonce.clone(),
            observed: instant(beat.observed_time),
            load: Some(Load { cpu: beat.cpu_percent, memory: beat.memory_percent, disk: beat.disk_percent, average }),
            classes: Vec::new(),
            unread: Vec::new(),
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

/// Reads changes of machines.
pub(super) fn updates(request: &api::UpdateMachinesRequest) -> Result<Vec<Change>> {
    let mut violations = Violations::new();
    bulk::check("updates", request.updates.len(), &mut violations);
    let mut changes = Vec::new();
    for (i, update) in request.updates.iter().take(bulk::MOST_AT_ONCE).enumerate() {
        let field = |name: &str| format!("updates[{i}].{name}");
        let machine_id = violations.uuid(field("machine_id"), &update.machine_id).unwrap_or_default();
        let mut change = Change { machine_id, ..Change::default() };
        let state = InstanceState::try_from(update.instance_state);
        let wrong = format!("{} is no value of this enum", update.instance_state);
        violations.check(state.is_ok(), field("instance_state"), wrong);
        let paths = update.update_mask.as_ref().map(|m| m.paths.as_slice()).unwrap_or_default();
        violations.check(!paths.is_empty(), field("update_mask"), "must name instance_state, remark, or both");
        for path in paths {
            match path.as_str() {
                "instance_state" => change.instance_state = state.ok(),
                "remark" => {
                    violations.characters(field("remark"), &update.remark, 0, 255);
                    change.remark = Some(update.remark.clone());
                }
                other => violations.push(field("update_mask"), format!("{other} cannot be changed")),
            }
        }
        if !update.etag.is_empty() {
            change.etag = update.etag.parse().ok();
            violations.check(change.etag.is_some(), field("etag"), "must be an etag as it was answered");
        }
        changes.push(change);
    }
    violations.finish()?;
    bulk::unique(changes.iter().map(|c| c.machine_id), |i| format!("updates[{i}].machine_id"))?;
    Ok(changes)
}

/// Reads the tags of machines, sorted.
pub(super) fn tags(request: api::SetTagsRequest) -> Result<Vec<(Uuid, Vec<String>)>> {
    let mut violations = Violations::new();
    bulk::check("machines", request.machines.len(), &mut violations);
    let mut all = Vec::new();
    for (i, machine) in request.machines.into_iter().take(bulk::MOST_AT_ONCE).enumerate() {
        let field = |name: &str| format!("machines[{i}].{name}");
        let id = violations.uuid(field("machine_id"), &machine.machine_id).unwrap_or_default();
        check_tags(&field("tags"), &machine.tags, &mut violations);
        let mut tags = machine.tags;
        tags.sort_unstable();
        all.push((id, tags));
    }
    violations.finish()?;
    bulk::unique(all.iter().map(|(id, _)| *id), |i| format!("machines[{i}].machine_id"))?;
    Ok(all)
}

fn check_tags(field: &str, tags: &[String], violations: &mut Violations) {
    let (count, most) = (tags.len(), tag::MOST);
    violations.check(count <= most, field, format!("must be at most {most}, are {count}"));
    check_each_tag(field, tags, most, violations);
}

fn check_each_tag(field: &str, tags: &[String], most: usize, violations: &mut Violations) {
    for (n, tag) in tags.iter().take(most).enumerate() {
        query::check_tag(&format!("{field}[{n}]"), tag, violations);
        let first = tags.iter().position(|t| t == tag);
        violations.check(first == Some(n), format!("{field}[{n}]"), "is named before");
    }
}

/// Reads the machines whose tags change.
pub(super) fn retagged(request: &api::ChangeTagsRequest) -> Result<Vec<Uuid>> {
    let mut violations = Violations::new();
    let ids = machine_ids(&request.machine_ids, &mut violations);
    check_tags("add", &request.add, &mut violations);
    check_tags("remove", &request.remove, &mut violations);
    let is_any = !request.add.is_empty() || !request.remove.is_empty();
    violations.check(is_any, "add", "must name a tag where remove names none");
    for (n, tag) in request.remove.iter().enumerate().take(tag::MOST) {
        violations.check(!request.add.contains(tag), format!("remove[{n}]"), "is to be added as well");
    }
    violations.finish()?;
    bulk::unique(ids.iter().copied(), |i| format!("machine_ids[{i}]"))?;
    Ok(ids)
}

/// Checks how a tag is renamed.
pub(super) fn check_rename(request: &api::RenameTagRequest) -> Result<()> {
    let mut violations = Violations::new();
    query::check_tag("tag", &request.tag, &mut violations);
    query::check_tag("new_tag", &request.new_tag, &mut violations);
    violations.check(request.tag != request.new_tag, "new_tag", "must be another one");
    violations.finish()
}

/// Checks the tags that are taken away everywhere.
pub(super) fn check_gone(request: &api::DeleteTagsRequest) -> Result<()> {
    let mut violations = Violations::new();
    bulk::check("tags", request.tags.len(), &mut violations);
    check_each_tag("tags", &request.tags, bulk::MOST_AT_ONCE, &mut violations);
    violations.finish()
}

fn machine_ids(named: &[String], violations: &mut Violations) -> Vec<Uuid> {
    bulk::check("machine_ids", named.len(), violations);
    let named = named.iter().take(bulk::MOST_AT_ONCE).enumerate();
    named.map(|(i, id)| violations.uuid(format!("machine_ids[{i}]"), id).unwrap_or_default()).collect()
}

/// Reads the machines that are to be removed, and the id of the request.
pub(super) fn removals(request: &api::DeleteMachinesRequest) -> Result<(Vec<Uuid>, Option<Uuid>)> {
    let mut violations = Violations::new();
    let ids = machine_ids(&request.machine_ids, &mut violations);
    let request_id = match request.request_id.as_str() {
        "" => None,
        text => violations.uuid("request_id", text),
    };
    violations.finish()?;
    bulk::unique(ids.iter().copied(), |i| format!("machine_ids[{i}]"))?;
    Ok((ids, request_id))
}

pub(super) fn to_wire(machine: Machine) -> api::Machine {
    let Machine { row, liveness, state, tags, contested } = machine;
    let live = liveness.as_ref();
    api::Machine {
        machine_id: row.machine_id.to_string(),
        quuid: row.quuid.clone(),
        facts: Some(row.facts()),
        agent_state: state.into(),
        create_time: Some(timestamp(row.created_at)),
        last_seen_time: live.map(|l| timestamp(l.last_seen_at)),
        clock_skew: live.map(|l| duration(l.clock_skew_us)),
        cpu_percent: live.and_then(|l| l.cpu_percent),
        memory_percent: live.and_then(|l| l.memory_percent),
        disk_percent: live.and_then(|l| l.disk_percent),
        instance_state: row.instance_state.into(),
        remark: row.remark,
        tags,
        etag: row.version.to_string(),
        // Nobody tells these yet; what is not known is not said.
        protection_edition: api::ProtectionEdition::Unspecified.into(),
        security_level: api::SecurityLevel::Unspecified.into(),
        risk_counters: None,
        uninstall_time: live.and_then(|l| l.uninstalled_at).map(timestamp),
        last_checked_time: live.and_then(|l| l.last_checked_at).map(timestamp),
        load_average: live.and_then(|l| l.load_average),
        contested,
        clock_clamped: live.is_some_and(|l| l.clock_clamped),
    }
}

/// Writes the numbers of a tenant's machines.
pub(super) fn summary(summary: Summary, now: DateTime<Utc>) -> api::GetMachineSummaryResponse {
    let by = |key: fn(&Kind) -> i16| {
        let mut sums: BTreeMap<i32, u64> = BTreeMap::new();
        for kind in &summary.kinds {
            *sums.entry(key(kind).into()).or_default() += kind.machines;
        }
        sums.into_iter()
    };
    let mut providers: BTreeMap<&str, u64> = BTreeMap::new();
    for kind in &summary.kinds {
        *providers.entry(&kind.provider).or_default() += kind.machines;
    }
    let provider = |(provider, machines): (&str, u64)| api::ProviderCount { provider: provider.to_owned(), machines };
    let [cpu, memory, disk] = &summary.loads;
    api::GetMachineSummaryResponse {
        machines: summary.kinds.iter().map(|k| k.machines).sum(),
        new_machines: summary.kinds.iter().map(|k| k.new).sum(),
        agent_states: agents(summary.agents),
        instance_states: by(|k| k.instance_state)
            .map(|(instance_state, machines)| api::InstanceStateCount { instance_state, machines })
            .collect(),
        os_types: by(|k| k.os_type).map(|(os_type, machines)| api::OsTypeCount { os_type, machines }).collect(),
        machine_types: by(|k| k.machine_type)
            .map(|(machine_type, machines)| api::MachineTypeCount { machine_type, machines })
            .collect(),
        cpu_load: Some(load(cpu)),
        memory_load: Some(load(memory)),
        disk_load: Some(load(disk)),
        summary_time: Some(timestamp(now)),
        providers: providers.into_iter().map(provider).collect(),
    }
}

/// Writes numbers of machines whose agent is online, offline, uninstalled.
fn agents(agents: [u64; 3]) -> Vec<api::AgentStateCount> {
    let states = [AgentState::Online, AgentState::Offline, AgentState::Uninstalled];
    let count = |(state, machines): (AgentState, u64)| api::AgentStateCount { agent_state: state.into(), machines };
    states.into_iter().zip(agents).map(count).collect()
}

/// Reads how many days are asked for.
pub(super) fn days(request: &api::ListMachineDaysRequest) -> Result<u32> {
    let mut violations = Violations::new();
    let kept = day::KEPT;
    violations.check(request.days <= kept, "days", format!("must be at most {kept}, is {}", request.days));
    violations.finish()?;
    Ok(if request.days == 0 { USUAL_DAYS } else { request.days })
}

/// Writes a day.
pub(super) fn day((row, [removed, retired]): day::Day) -> api::MachineDay {
    let counted = [row.online, row.offline, row.uninstalled].map(u64::from);
    api::MachineDay {
        count_time: Some(timestamp(row.counted_at)),
        machines: counted.iter().sum(),
        agent_states: agents(counted),
        new_machines: row.new_machines.into(),
        removed_machines: removed.into(),
        retired_machines: retired.into(),
    }
}

fn load(load: &summary::Load) -> api::LoadSummary {
    let bucket = |(bucket, machines): (LoadBucket, u64)| api::LoadBucketCount { bucket: bucket.into(), machines };
    let loaded = |(row, percent): &(entity::Model, f64)| api::LoadedMachine {
        machine_id: row.machine_id.to_string(),
        name: row.name.clone(),
        ip_address: row.ip_address.clone(),
        percent: *percent,
    };
    api::LoadSummary {
        buckets: summary::BUCKETS.into_iter().zip(load.buckets).map(bucket).collect(),
        top: load.top.iter().map(loaded).collect(),
    }
}

/// Writes a value of the series of loads.
pub(super) fn sample(row: load::Model) -> api::LoadSample {
    api::LoadSample {
        sample_time: Some(timestamp(row.at)),
        cpu_percent: row.cpu_percent,
        memory_percent: row.memory_percent,
        disk_percent: row.disk_percent,
        load_average: row.load_average,
    }
}
