//! What every field of every method answers to a value that it must not have.
//!
//! The requests are made from the contract's descriptor, so that a new field is tested as soon as it is there.

use cwpp_access::ops::RULES;
use cwpp_access::rule::{Rule, ScopeKind};
use cwpp_chassis::{Reason, status};
use cwpp_contracts::FILE_DESCRIPTOR_SET;
use cwpp_contracts::common::v1::MachineScopeKind;
use cwpp_tests::on_every_backend;
use cwpp_tests::world::{Backend, World};
use prost_reflect::{Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::refusals::{call, channel};

on_every_backend![no_value_of_any_field_breaks_a_service, ids_and_enums_that_cannot_be_are_named];

const TENANT: u64 = 51;

/// Every tenant method with its request's descriptor; the methods that end a tenant are left out.
fn methods() -> anyhow::Result<Vec<(&'static Rule, MessageDescriptor)>> {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET)?;
    let mut methods = Vec::new();
    for rule in RULES.iter().filter(|rule| rule.scope == ScopeKind::Tenant) {
        let (service, method) = rule.path.trim_start_matches('/').split_once('/').unwrap_or_default();
        let service = pool.get_service_by_name(service).unwrap_or_else(|| panic!("{service}"));
        let method = service.methods().find(|m| m.name() == method).unwrap_or_else(|| panic!("{method}"));
        methods.push((*rule, method.input()));
    }
    Ok(methods)
}

/// A way from a request to one of its fields, through messages.
#[derive(Clone)]
struct Way(Vec<FieldDescriptor>);

impl Way {
    fn leaf(&self) -> &FieldDescriptor {
        &self.0[self.0.len() - 1]
    }

    /// Spells it as violations do.
    fn name(&self) -> String {
        let part = |field: &FieldDescriptor| match field.cardinality() {
            Cardinality::Repeated => format!("{}[0]", field.name()),
            _ => field.name().to_owned(),
        };
        self.0.iter().map(part).collect::<Vec<_>>().join(".")
    }

    /// Makes a request that has nothing but the tenant and this value.
    fn request(&self, request: &MessageDescriptor, value: &Value) -> DynamicMessage {
        let mut inner = value.clone();
        for field in self.0.iter().rev() {
            let mut message = DynamicMessage::new(field.parent_message().clone());
            let value =
                if field.is_list() && !matches!(inner, Value::List(_)) { Value::List(vec![inner]) } else { inner };
            message.set_field(field, value);
            // Machines are looked at where the scope is one of machines.
            if field.parent_message().full_name() == "cwpp.common.v1.MachineScope" && field.name() == "machine_ids" {
                message.set_field_by_name("kind", Value::EnumNumber(MachineScopeKind::Selected.into()));
            }
            inner = Value::Message(message);
        }
        let Value::Message(mut message) = inner else { unreachable!("a way has a field") };
        if self.leaf().full_name() != format!("{}.app_id", request.full_name()) {
            message.set_field_by_name("app_id", Value::U64(TENANT));
        }
        message
    }
}

/// Lists the fields of a message, those of its messages included; times and durations are leaves.
fn ways(message: &MessageDescriptor, before: &[FieldDescriptor], found: &mut Vec<Way>) {
    for field in message.fields() {
        let mut way = before.to_vec();
        way.push(field.clone());
        match field.kind() {
            Kind::Message(inner) if inner.package_name() != "google.protobuf" && before.len() < 4 => {
                ways(&inner, &way, found);
            }
            _ => found.push(Way(way)),
        }
    }
}

/// Values at the edges of what the wire admits.
fn edges(field: &FieldDescriptor) -> Vec<Value> {
    let one = match field.kind() {
        Kind::String => vec![
            Value::String(String::new()),
            Value::String("x".repeat(70_000)),
            Value::String("a\0b\n{\"level\":\"ERROR\"} '; DROP TABLE x -- \u{202e}".into()),
        ],
        Kind::Bytes => vec![Value::Bytes(vec![0xff; 70_000].into())],
        Kind::Enum(_) => vec![Value::EnumNumber(9_999), Value::EnumNumber(-1)],
        Kind::Bool => vec![Value::Bool(true)],
        Kind::Double => vec![Value::F64(f64::NAN), Value::F64(f64::INFINITY), Value::F64(-1e300)],
        Kind::Float => vec![Value::F32(f32::NAN)],
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => vec![Value::I32(i32::MIN), Value::I32(i32::MAX)],
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => vec![Value::I64(i64::MIN), Value::I64(i64::MAX)],
        Kind::Uint32 | Kind::Fixed32 => vec![Value::U32(u32::MAX)],
        Kind::Uint64 | Kind::Fixed64 => vec![Value::U64(u64::MAX)],
        Kind::Message(message) => {
            let mut edges = vec![Value::Message(DynamicMessage::new(message.clone()))];
            if message.get_field_by_name("seconds").is_some() {
                for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, i32::MIN), (253_402_300_800, 0)] {
                    let mut time = DynamicMessage::new(message.clone());
                    time.set_field_by_name("seconds", Value::I64(seconds));
                    time.set_field_by_name("nanos", Value::I32(nanos));
                    edges.push(Value::Message(time));
                }
            }
            edges
        }
    };
    if !field.is_list() {
        return one;
    }
    let mut many: Vec<Value> = one.iter().map(|value| Value::List(vec![value.clone()])).collect();
    many.extend(one.into_iter().next().map(|value| Value::List(vec![value; 20_000])));
    many
}

/// Holds an answer against what every refusal must be.
fn is_typed(refused: &Status, what: &str) {
    assert!(!matches!(refused.code(), Code::Internal | Code::Unknown), "{what}: {refused:?}");
    let reason = status::reason(refused);
    assert!(reason.is_some(), "{what}: no reason in {refused:?}");
    if reason == Some(Reason::InvalidField) {
        assert!(!status::violations(refused).is_empty(), "{what}: no violation named");
    }
    if reason != Some(Reason::MalformedMessage) {
        assert!(refused.get_error_details().request_info().is_some(), "{what}: no RequestInfo");
    }
}

async fn no_value_of_any_field_breaks_a_service(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(TENANT).await?;
    let (mut tried, mut refusals) = (0, 0);
    for (rule, request) in methods()? {
        let mut found = Vec::new();
        ways(&request, &[], &mut found);
        for way in found {
            for (n, value) in edges(way.leaf()).iter().enumerate() {
                let what = format!("{} {} edge {n}", rule.path, way.name());
                for channel in channel(&world, rule)? {
                    tried += 1;
                    if let Err(refused) = call(channel, rule, way.request(&request, value)).await {
                        refusals += 1;
                        is_typed(&refused, &what);
                    }
                }
            }
        }
    }
    assert!(tried > 500 && refusals * 2 > tried, "{refusals} refusals in {tried} calls");
    world.end().await
}

/// Fields that are ids by their name, and all enums: what cannot be one is refused by the field's name.
async fn ids_and_enums_that_cannot_be_are_named(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(TENANT).await?;
    let (mut named, mut other) = (0, Vec::new());
    for (rule, request) in methods()? {
        let mut found = Vec::new();
        ways(&request, &[], &mut found);
        for way in found {
            let name = way.leaf().name();
            let value = match way.leaf().kind() {
                // Given by the service: what a new policy says there is nobody's business.
                Kind::String if way.name() == "policy.policy_id" && rule.path.ends_with("/CreatePolicy") => continue,
                // The container engine's and the cloud's, not ours: any text.
                Kind::String if name == "container_id" || name == "instance_id" => continue,
                // What follows a header that is missing is not looked at; reports are tested for themselves.
                _ if way.name().starts_with("chunk.") => continue,
                Kind::String if name.ends_with("_id") || name.ends_with("_ids") => Value::String("no id".into()),
                Kind::Enum(_) => Value::EnumNumber(9_999),
                _ => continue,
            };
            for channel in channel(&world, rule)? {
                let what = format!("{} {}", rule.path, way.name());
                let refused = call(channel, rule, way.request(&request, &value)).await.expect_err(&what);
                is_typed(&refused, &what);
                match status::violations(&refused).iter().any(|(field, _)| *field == way.name()) {
                    true => named += 1,
                    false => other.push(format!("{what}: {refused:?}")),
                }
            }
        }
    }
    assert!(other.is_empty(), "{} of {} are not named:\n{}", other.len(), named + other.len(), other.join("\n"));
    world.end().await
}
