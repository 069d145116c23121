//! Masks: generated code that blanks personal fields of a message, and finds them in a request.

use std::fmt::Write as _;

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use crate::descriptor::{Contract, camel, path};
use crate::operations::oneof_module;

/// Writes `Mask` for every message of the contracts.
pub(crate) fn write(contract: &Contract, out: &mut String) -> anyhow::Result<()> {
    for message in contract.messages() {
        one(contract, &message, out)?;
    }
    Ok(())
}

fn one(contract: &Contract, message: &MessageDescriptor, out: &mut String) -> anyhow::Result<()> {
    let (mut blank, mut find) = (String::new(), String::new());
    for field in message.fields().filter(|f| real_oneof(f).is_none()) {
        plain(contract, &field, &mut blank, &mut find)?;
    }
    for oneof in message.oneofs() {
        let fields: Vec<_> = oneof.fields().filter(|f| real_oneof(f).is_some()).collect();
        if fields.is_empty() {
            continue;
        }
        let (mut arms, mut find_arms) = (String::new(), String::new());
        let mut clear = String::new();
        for field in &fields {
            let variant = format!("{}::{}::{}", oneof_module(message), camel(oneof.name()), camel(field.name()));
            if contract.is_personal(field) {
                if field.kind() == Kind::String {
                    writeln!(arms, "            Some({variant}(v)) => crate::mask::text(v),")?;
                } else {
                    write!(clear, "{}{variant}(_)", if clear.is_empty() { "" } else { " | " })?;
                }
                writeln!(find_arms, "            Some({variant}(_)) => return Some({:?}),", field.full_name())?;
            } else if is_ours(field) {
                writeln!(arms, "            Some({variant}(v)) => v.mask(),")?;
                writeln!(
                    find_arms,
                    "            Some({variant}(v)) => if let Some(found) = v.personal() {{ return Some(found); }},"
                )?;
            }
        }
        if !clear.is_empty() {
            writeln!(blank, "        if matches!(self.{0}, Some({clear})) {{ self.{0} = None; }}", oneof.name())?;
        }
        if !arms.is_empty() {
            writeln!(blank, "        match &mut self.{} {{\n{arms}            _ => {{}}\n        }}", oneof.name())?;
        }
        if !find_arms.is_empty() {
            writeln!(find, "        match &self.{} {{\n{find_arms}            _ => {{}}\n        }}", oneof.name())?;
        }
    }
    writeln!(
        out,
        "#[allow(unreachable_patterns, clippy::all)]\nimpl crate::mask::Mask for {} {{\n    fn mask(&mut self) {{\n{blank}    }}\n    fn personal(&self) -> Option<&'static str> {{\n{find}        None\n    }}\n}}\n",
        path(message)
    )?;
    Ok(())
}

fn plain(contract: &Contract, field: &FieldDescriptor, blank: &mut String, find: &mut String) -> anyhow::Result<()> {
    let name = field.name();
    let presence = field.supports_presence() || field.cardinality() == Cardinality::Repeated;
    if contract.is_personal(field) {
        let (clear, set) = match field.kind() {
            _ if field.is_list() || field.is_map() => {
                (format!("self.{name}.clear();"), format!("!self.{name}.is_empty()"))
            }
            _ if presence => (format!("self.{name} = None;"), format!("self.{name}.is_some()")),
            Kind::String => (format!("crate::mask::text(&mut self.{name});"), format!("!self.{name}.is_empty()")),
            Kind::Bytes => (format!("self.{name} = Default::default();"), format!("!self.{name}.is_empty()")),
            _ => (format!("self.{name} = Default::default();"), format!("crate::mask::is_set(&self.{name})")),
        };
        writeln!(blank, "        {clear}")?;
        writeln!(find, "        if {set} {{ return Some({:?}); }}", field.full_name())?;
    } else if let Some(values) = field.kind().as_enum().filter(|_| field.cardinality() != Cardinality::Repeated) {
        let personal = contract.personal_orders(values);
        if !personal.is_empty() {
            let value = if presence { format!("self.{name}.unwrap_or_default()") } else { format!("self.{name}") };
            writeln!(find, "        if {personal:?}.contains(&{value}) {{ return Some({:?}); }}", field.full_name())?;
        }
    } else if is_ours(field) {
        writeln!(blank, "        self.{name}.iter_mut().for_each(crate::mask::Mask::mask);")?;
        writeln!(
            find,
            "        if let Some(found) = self.{name}.iter().find_map(crate::mask::Mask::personal) {{ return Some(found); }}"
        )?;
    }
    Ok(())
}

/// Returns the oneof of a field, unless it is the hidden one of `optional`.
fn real_oneof(field: &FieldDescriptor) -> Option<prost_reflect::OneofDescriptor> {
    field.containing_oneof().filter(|o| !o.is_synthetic())
}

fn is_ours(field: &FieldDescriptor) -> bool {
    field.kind().as_message().is_some_and(|m| m.package_name().starts_with("cwpp."))
}
