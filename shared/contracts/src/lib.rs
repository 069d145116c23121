//! Messages, service stubs and the descriptor set of the contracts.

pub mod codec;

/// The descriptor set with all custom options, for reflection and for reading rules.
pub static FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// Paths of the methods that may be repeated safely, from `idempotency_level`.
pub static IDEMPOTENT_METHODS: &[&str] = include!(concat!(env!("OUT_DIR"), "/idempotent_methods.rs"));

/// Says whether the method of this path (`/package.Service/Method`) may be repeated safely.
pub fn is_idempotent(path: &str) -> bool {
    IDEMPOTENT_METHODS.contains(&path)
}

macro_rules! package {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        pub mod $name {
            #[doc = $doc]
            #[allow(missing_docs, unreachable_pub, clippy::all)]
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/cwpp.", stringify!($name), ".v1.rs"));
            }
        }
    };
}

package!(common, "What all contracts share: privacy, access, paging, severity, status.");
package!(inventory, "Machines and their assets.");
package!(incidents, "Authentication events and incidents.");
package!(configuration, "Tenants and policies.");
package!(retention, "Deletions and certificates.");
package!(erasure, "What every service answers to retention.");
