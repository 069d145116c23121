//! Per service a trait `XOps` and `XGuarded`, which stands between tonic and it.

use std::fmt::Write as _;

use prost_reflect::{MessageDescriptor, ServiceDescriptor};

use crate::descriptor::{Contract, Method, Scope, module, path, snake};

/// Writes traits, guards and the table of rules.
pub(crate) fn write(contract: &Contract, out: &mut String) -> anyhow::Result<()> {
    let mut rules = String::new();
    for service in contract.services() {
        let methods = service.methods().map(|m| contract.method(&m)).collect::<anyhow::Result<Vec<_>>>()?;
        ops(&service, &methods, out)?;
        guarded(&service, &methods, out)?;
        for method in &methods {
            writeln!(rules, "    &{}_RULES.{},", constant(&service), snake(method.descriptor().name()))?;
        }
    }
    writeln!(out, "/// The rule of every method of the contracts.")?;
    writeln!(out, "pub static RULES: &[&crate::rule::Rule] = &[\n{rules}];")?;
    Ok(())
}

fn constant(service: &ServiceDescriptor) -> String {
    snake(service.name()).to_ascii_uppercase()
}

fn scope_type(method: &Method) -> &'static str {
    match method.scope {
        Scope::Tenant => "crate::scope::TenantScope",
        Scope::System => "crate::scope::SystemScope",
        Scope::Capability => "crate::scope::CapabilityScope",
    }
}

/// Writes the parameters and the result of an operation.
fn signature(method: &Method) -> String {
    let descriptor = method.descriptor();
    let (input, output) = (path(&descriptor.input()), path(&descriptor.output()));
    let request = if descriptor.is_client_streaming() {
        format!("requests: crate::stream::Incoming<{input}>")
    } else {
        format!("request: {input}")
    };
    let reply = if descriptor.is_server_streaming() { format!("crate::stream::Outgoing<{output}>") } else { output };
    format!(
        "async fn {}(&self, scope: {}, {request}) -> Result<{reply}, ::cwpp_chassis::Error>",
        snake(descriptor.name()),
        scope_type(method),
    )
}

fn ops(service: &ServiceDescriptor, methods: &[Method], out: &mut String) -> anyhow::Result<()> {
    writeln!(out, "/// The operations of `{}`, called only by [`{}Guarded`].", service.full_name(), service.name())?;
    writeln!(out, "#[::async_trait::async_trait]\npub trait {}Ops: Send + Sync + 'static {{", service.name())?;
    for method in methods {
        writeln!(out, "    /// Serves `{}`.", method.path())?;
        writeln!(out, "    {};", signature(method))?;
    }
    writeln!(out, "}}\n")?;
    Ok(())
}

fn guarded(service: &ServiceDescriptor, methods: &[Method], out: &mut String) -> anyhow::Result<()> {
    let name = service.name();
    let rules = format!("{}_RULES", constant(service));
    writeln!(out, "struct {name}Rules {{")?;
    for method in methods {
        writeln!(out, "    {}: crate::rule::Rule,", snake(method.descriptor().name()))?;
    }
    writeln!(out, "}}\nstatic {rules}: {name}Rules = {name}Rules {{")?;
    for method in methods {
        writeln!(
            out,
            "    {}: crate::rule::Rule {{ path: {:?}, scope: crate::rule::ScopeKind::{}, right: {:?}, action: crate::rule::Action::{}, cost: {}, agent: {} }},",
            snake(method.descriptor().name()),
            method.path(),
            match method.scope {
                Scope::Tenant => "Tenant",
                Scope::System => "System",
                Scope::Capability => "Capability",
            },
            method.right,
            method.action,
            method.cost,
            method.agent,
        )?;
    }
    writeln!(out, "}};\n")?;
    let server = format!("{}::{}_server", module(service.package_name()), snake(name));
    writeln!(
        out,
        "/// Decodes, permits, calls, masks and audits every call of `{}`.\n\
         pub struct {name}Guarded<T> {{ ops: ::std::sync::Arc<T>, gate: crate::gate::Gate }}\n\n\
         impl<T: {name}Ops> {name}Guarded<T> {{\n\
         \x20   /// Makes the tonic service with its message limits; no other way leads to the operations.\n\
         \x20   pub fn server(ops: ::std::sync::Arc<T>, gate: crate::gate::Gate) -> {server}::{name}Server<Self> {{\n\
         \x20       let (receive, send) = gate.message_limits();\n\
         \x20       {server}::{name}Server::new(Self {{ ops, gate }}).max_decoding_message_size(receive).max_encoding_message_size(send)\n\
         \x20   }}\n}}\n",
        service.full_name()
    )?;
    writeln!(out, "#[::tonic::async_trait]\nimpl<T: {name}Ops> {server}::{name} for {name}Guarded<T> {{")?;
    for method in methods {
        call(method, &rules, out)?;
    }
    writeln!(out, "}}\n")?;
    Ok(())
}

fn call(method: &Method, rules: &str, out: &mut String) -> anyhow::Result<()> {
    let descriptor = method.descriptor();
    let fn_name = snake(descriptor.name());
    let (input, output) = (path(&descriptor.input()), path(&descriptor.output()));
    let request = if descriptor.is_client_streaming() { format!("::tonic::Streaming<{input}>") } else { input };
    let reply = if descriptor.is_server_streaming() {
        writeln!(out, "    type {}Stream = crate::stream::Replies<{output}>;", descriptor.name())?;
        format!("Self::{}Stream", descriptor.name())
    } else {
        output
    };
    writeln!(
        out,
        "    async fn {fn_name}(&self, request: ::tonic::Request<{request}>) -> Result<::tonic::Response<{reply}>, ::tonic::Status> {{"
    )?;
    writeln!(out, "        let rule = &{rules}.{fn_name};")?;
    writeln!(out, "        let principal = crate::gate::principal(request.extensions())?;")?;
    let argument = if descriptor.is_client_streaming() {
        let app_id = if method.scope == Scope::Tenant { "|m| m.app_id" } else { "|_| 0" };
        writeln!(
            out,
            "        let (first, requests) = crate::stream::Incoming::open(request.into_inner(), {app_id}).await?;"
        )?;
        writeln!(out, "        let first = &first;")?;
        "requests"
    } else {
        writeln!(out, "        let request = request.into_inner();")?;
        writeln!(out, "        let first = &request;")?;
        "request"
    };
    let machines = machines(&descriptor.input(), &method.machine_path);
    match method.scope {
        Scope::Tenant => writeln!(
            out,
            "        let permitted = self.gate.tenant(rule, principal, first.app_id, || {machines}, first).await?;"
        )?,
        Scope::System => writeln!(out, "        let permitted = self.gate.system(rule, principal, first)?;")?,
        Scope::Capability => writeln!(out, "        let permitted = self.gate.capability(rule, principal, first)?;")?,
    }
    writeln!(out, "        let reply = self.ops.{fn_name}(permitted.scope, {argument}).await?;")?;
    if descriptor.is_server_streaming() {
        writeln!(out, "        Ok(::tonic::Response::new(permitted.permit.stream(reply)))")?;
    } else {
        writeln!(out, "        Ok(::tonic::Response::new(permitted.permit.reply(reply).await?))")?;
    }
    writeln!(out, "    }}")?;
    Ok(())
}

/// Writes an expression that yields the ids of all machines named in the request `first`.
fn machines(input: &MessageDescriptor, machine_path: &str) -> String {
    if machine_path.is_empty() {
        return "Vec::new()".to_owned();
    }
    let mut expression = String::from("vec![first]");
    let mut message = Some(input.clone());
    for part in machine_path.split('.') {
        let Some(field) = message.as_ref().and_then(|m| m.get_field_by_name(part)) else {
            continue;
        };
        let access = if let Some(oneof) = field.containing_oneof() {
            format!(
                "match &m.{} {{ Some({}::{}::{}(v)) => vec![v], _ => Vec::new() }}",
                oneof.name(),
                oneof_module(field.parent_message()),
                crate::descriptor::camel(oneof.name()),
                crate::descriptor::camel(part)
            )
        } else if field.is_list() || field.kind().as_message().is_some() {
            format!("m.{part}.iter().collect::<Vec<_>>()")
        } else {
            format!("vec![&m.{part}]")
        };
        expression = format!("{expression}.into_iter().flat_map(|m| {access})");
        message = field.kind().as_message().cloned();
    }
    format!("{expression}.cloned().collect::<Vec<String>>()")
}

/// Returns the module that prost gives the oneofs of a message.
pub(crate) fn oneof_module(message: &MessageDescriptor) -> String {
    format!("{}::{}", module(message.package_name()), snake(message.name()))
}
