//! The contract as read from the compiler: packages, messages and methods with their options.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, ServiceDescriptor,
};

/// From this number of `Sensitivity` on whoever has no grant sees nothing.
const PERSONAL: i32 = 3;
/// Prefix of the packages that are ours.
const OURS: &str = "cwpp.";

/// A compiled and checked contract.
pub struct Contract {
    pool: DescriptorPool,
    set: tonic_prost_build::FileDescriptorSet,
    encoded: Vec<u8>,
    privacy: ExtensionDescriptor,
    orders_by: ExtensionDescriptor,
    access: ExtensionDescriptor,
}

/// What a call speaks about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One tenant, field 1 of each request.
    Tenant,
    /// No tenant, or all of them.
    System,
    /// Whoever knows the id in the request.
    Capability,
}

/// A method with its rule.
pub struct Method {
    descriptor: MethodDescriptor,
    /// What it speaks about.
    pub scope: Scope,
    /// The right that it needs.
    pub right: String,
    /// `Read`, `Write`, `Delete` or `Export`.
    pub action: &'static str,
    /// Weight.
    pub cost: u32,
    /// Whether agents may call it.
    pub agent: bool,
    /// Where an agent's machine stands in the request.
    pub machine_path: String,
    /// Whether repeating does no harm.
    pub idempotent: bool,
}

impl Method {
    /// Returns the method's descriptor.
    pub fn descriptor(&self) -> &MethodDescriptor {
        &self.descriptor
    }

    /// Returns the HTTP/2 path, `/package.Service/Method`.
    pub fn path(&self) -> String {
        format!("/{}/{}", self.descriptor.parent_service().full_name(), self.descriptor.name())
    }
}

/// Compiles every `.proto` file under `root` and checks that each field and each method has its option.
pub fn compile(root: &Path) -> anyhow::Result<Contract> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&files).context("the contracts do not compile")?;
    let encoded = compiler.encode_file_descriptor_set();
    let set = compiler.file_descriptor_set();
    let pool = DescriptorPool::decode(encoded.as_slice())?;
    let extension =
        |name: &str| pool.get_extension_by_name(name).with_context(|| format!("the option {name} is not declared"));
    let (privacy, access) = (extension("cwpp.common.v1.privacy")?, extension("cwpp.common.v1.access")?);
    let orders_by = extension("cwpp.common.v1.orders_by")?;
    let contract = Contract { pool, set, encoded, privacy, orders_by, access };
    contract.check()?;
    Ok(contract)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

impl Contract {
    /// Returns the descriptor set as the compiler encodes it, options included.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Returns the descriptor set for the message generator.
    pub fn file_descriptor_set(&self) -> &tonic_prost_build::FileDescriptorSet {
        &self.set
    }

    /// Returns our services.
    pub fn services(&self) -> impl Iterator<Item = ServiceDescriptor> + '_ {
        self.pool.services().filter(|s| s.package_name().starts_with(OURS))
    }

    /// Returns our messages.
    pub fn messages(&self) -> impl Iterator<Item = MessageDescriptor> + '_ {
        self.pool.all_messages().filter(|m| m.package_name().starts_with(OURS) && !m.is_map_entry())
    }

    /// Returns the methods of all services; the contract is checked, so none is left out.
    pub fn methods(&self) -> Vec<Method> {
        self.services().flat_map(|s| s.methods().collect::<Vec<_>>()).filter_map(|m| self.method(&m).ok()).collect()
    }

    /// Reads the rule of a method.
    pub fn method(&self, descriptor: &MethodDescriptor) -> anyhow::Result<Method> {
        let name = descriptor.full_name().to_owned();
        let options = descriptor.options();
        ensure!(options.has_extension(&self.access), "{name}: the option cwpp.common.v1.access is missing");
        let value = options.get_extension(&self.access);
        let rule = value.as_message().with_context(|| name.clone())?;
        let scope = match number(rule, "scope") {
            1 => Scope::Tenant,
            2 => Scope::System,
            3 => Scope::Capability,
            _ => bail!("{name}: access.scope is missing"),
        };
        let action = match number(rule, "action") {
            1 => "Read",
            2 => "Write",
            3 => "Delete",
            4 => "Export",
            _ => bail!("{name}: access.action is missing"),
        };
        let right = text(rule, "right");
        ensure!(right.split('.').count() == 3, "{name}: access.right must read service.resource.verb");
        let cost = rule.get_field_by_name("cost").and_then(|v| v.as_u32()).unwrap_or_default();
        ensure!(cost > 0, "{name}: access.cost is missing");
        let agent = rule.get_field_by_name("agent").and_then(|v| v.as_bool()).unwrap_or_default();
        let machine_path = text(rule, "machine_path");
        let method = Method {
            scope,
            right,
            action,
            cost,
            agent,
            machine_path,
            idempotent: number(&options, "idempotency_level") > 0,
            descriptor: descriptor.clone(),
        };
        if scope == Scope::Tenant {
            let first = descriptor.input().get_field(1);
            ensure!(
                first.is_some_and(|f| f.name() == "app_id" && f.kind() == Kind::Uint64),
                "{name}: a request of scope TENANT starts with `uint64 app_id = 1`"
            );
        }
        if !method.machine_path.is_empty() {
            ensure!(method.agent, "{name}: access.machine_path is for methods that agents may call");
            let mut message = Some(descriptor.input());
            for part in method.machine_path.split('.') {
                let field = message
                    .and_then(|m| m.get_field_by_name(part))
                    .with_context(|| format!("{name}: access.machine_path names no field {part}"))?;
                message = field.kind().as_message().cloned();
            }
        }
        Ok(method)
    }

    /// Says whether a field is personal or secret.
    pub fn is_personal(&self, field: &FieldDescriptor) -> bool {
        self.label(field).is_some_and(|(_, sensitivity, _)| sensitivity >= PERSONAL)
    }

    /// Returns the values of an enum that order rows by a personal field.
    pub fn personal_orders(&self, values: &EnumDescriptor) -> Vec<i32> {
        let is_personal = |value: &prost_reflect::EnumValueDescriptor| {
            let options = value.options();
            let by = options.get_extension(&self.orders_by).as_enum_number();
            options.has_extension(&self.orders_by) && by.is_some_and(|by| by >= PERSONAL)
        };
        values.values().filter(is_personal).map(|value| value.number()).collect()
    }

    /// Names the orders of a message that are by a personal field of it without saying so: `FOO_ORDER_BAR` orders by `bar`.
    fn silent_orders(&self, message: &MessageDescriptor) -> Vec<String> {
        let Some(orders) = self.pool.get_enum_by_name(&format!("{}Order", message.full_name())) else {
            return Vec::new();
        };
        let told = self.personal_orders(&orders);
        let prefix = format!("{}_", snake(orders.name()).to_uppercase());
        let by_personal = |name: &str| {
            let field = name.strip_prefix(&prefix).and_then(|name| message.get_field_by_name(&name.to_lowercase()));
            field.is_some_and(|field| self.is_personal(&field))
        };
        let silent = orders.values().filter(|value| by_personal(value.name()) && !told.contains(&value.number()));
        silent.map(|value| value.full_name().to_owned()).collect()
    }

    fn label(&self, field: &FieldDescriptor) -> Option<(i32, i32, i32)> {
        let options = field.options();
        if !options.has_extension(&self.privacy) {
            return None;
        }
        let value = options.get_extension(&self.privacy);
        let label = value.as_message()?;
        Some((number(label, "data_class"), number(label, "sensitivity"), number(label, "purpose")))
    }

    fn check(&self) -> anyhow::Result<()> {
        let mut problems = Vec::new();
        for message in self.messages() {
            for order in self.silent_orders(&message) {
                problems.push(format!("{order}: it orders by a personal field: cwpp.common.v1.orders_by is missing"));
            }
            for field in message.fields() {
                match self.label(&field) {
                    Some((a, b, c)) if a > 0 && b > 0 && c > 0 => {}
                    Some(_) => problems.push(format!("{}: its privacy label is incomplete", field.full_name())),
                    None => {
                        problems.push(format!("{}: the option cwpp.common.v1.privacy is missing", field.full_name()))
                    }
                }
            }
        }
        for service in self.services() {
            for method in service.methods() {
                if let Err(e) = self.method(&method) {
                    problems.push(e.to_string());
                }
            }
        }
        ensure!(problems.is_empty(), "the contracts are incomplete:\n  {}", problems.join("\n  "));
        Ok(())
    }
}

fn number(message: &DynamicMessage, field: &str) -> i32 {
    message.get_field_by_name(field).and_then(|v| v.as_enum_number()).unwrap_or_default()
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Returns the Rust path of a message's package.
pub(crate) fn module(package: &str) -> String {
    let inner = package.strip_prefix(OURS).unwrap_or(package);
    format!("::cwpp_contracts::{}", inner.replace('.', "::"))
}

/// Returns the Rust path of a message.
pub(crate) fn path(message: &MessageDescriptor) -> String {
    format!("{}::{}", module(message.package_name()), message.name())
}

/// Turns `CamelCase` into `snake_case`.
pub(crate) fn snake(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && i > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Turns `snake_case` into `CamelCase`.
pub(crate) fn camel(name: &str) -> String {
    name.split('_')
        .map(|part| {
            let mut chars = part.chars();
            chars.next().map_or_else(String::new, |c| c.to_ascii_uppercase().to_string() + chars.as_str())
        })
        .collect()
}
