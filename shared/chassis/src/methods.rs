//! What the contract says of each method: whether it streams and whether it may be repeated. Read from the descriptor set.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::FileDescriptorSet;
use prost_types::method_options::IdempotencyLevel;

/// The label of a method that no contract knows, so that callers cannot make labels.
pub const OTHER: &str = "_OTHER";

/// One method of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// `package.Service/Method`, or `_OTHER`.
    pub name: &'static str,
    /// The caller sends a stream.
    pub client_streaming: bool,
    /// The service answers with a stream.
    pub server_streaming: bool,
    /// It may be repeated without harm (`idempotency_level`).
    pub idempotent: bool,
    /// Health and reflection: they skip authentication, limits and histograms.
    pub infrastructure: bool,
}

impl Method {
    /// Whether either side sends a stream.
    pub fn streams(&self) -> bool {
        self.client_streaming || self.server_streaming
    }
}

/// Every method of a descriptor set, by path.
#[derive(Debug, Clone, Default)]
pub struct Methods {
    by_path: BTreeMap<String, Method>,
    services: Vec<&'static str>,
}

impl Methods {
    /// Reads a descriptor set as the compiler wrote it.
    pub fn from_descriptor(descriptor: &[u8]) -> anyhow::Result<Self> {
        let set = FileDescriptorSet::decode(descriptor)?;
        let mut methods = Self::default();
        for (package, service) in set.file.iter().flat_map(|f| f.service.iter().map(move |s| (f.package(), s))) {
            let full =
                if package.is_empty() { service.name().to_owned() } else { format!("{package}.{}", service.name()) };
            // Leaked once per service and method of a process, so that labels need no allocation per call.
            let full: &'static str = full.leak();
            methods.services.push(full);
            for method in &service.method {
                let level = method.options.as_ref().map(|options| options.idempotency_level()).unwrap_or_default();
                let name: &'static str = format!("{full}/{}", method.name()).leak();
                let method = Method {
                    name,
                    client_streaming: method.client_streaming(),
                    server_streaming: method.server_streaming(),
                    idempotent: level != IdempotencyLevel::IdempotencyUnknown,
                    infrastructure: false,
                };
                methods.by_path.insert(format!("/{name}"), method);
            }
        }
        Ok(methods)
    }

    /// What is known of a path such as `/package.Service/Method`.
    pub fn find(&self, path: &str) -> Method {
        if let Some(method) = self.by_path.get(path) {
            return *method;
        }
        let infrastructure = INFRASTRUCTURE.iter().find(|(known, _)| path == *known);
        Method {
            name: infrastructure.map_or(OTHER, |(known, _)| &known[1..]),
            client_streaming: infrastructure.is_some_and(|(known, _)| known.contains("Reflection")),
            server_streaming: infrastructure.is_some_and(|(_, streams)| *streams),
            idempotent: infrastructure.is_some(),
            infrastructure: infrastructure.is_some(),
        }
    }

    /// The full name of every service, in the order of the descriptor set.
    pub fn services(&self) -> &[&'static str] {
        &self.services
    }

    /// Every method, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Method)> {
        self.by_path.iter().map(|(path, method)| (path.as_str(), method))
    }
}

/// Paths that every server answers, and whether they answer with a stream.
const INFRASTRUCTURE: &[(&str, bool)] = &[
    ("/grpc.health.v1.Health/Check", false),
    ("/grpc.health.v1.Health/List", false),
    ("/grpc.health.v1.Health/Watch", true),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", true),
];
