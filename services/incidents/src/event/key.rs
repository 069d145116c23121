//! Keys of 16 bytes that stand for texts of any length.

use std::net::IpAddr;

use uuid::Uuid;

/// Hashes parts, each with its length before it, so that no text can be taken for the end of another.
fn hash(purpose: &str, parts: &[&[u8]]) -> Uuid {
    let mut hash = blake3::Hasher::new_derive_key(purpose);
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut key = [0; 16];
    hash.finalize_xof().fill(&mut key);
    Uuid::from_bytes(key)
}

/// Stands for a source at a service.
pub(super) fn source(address: IpAddr, service: &str) -> Uuid {
    hash("cwpp incidents 2026 source at a service", &[address.to_string().as_bytes(), service.as_bytes()])
}

/// Stands for an account.
pub(super) fn account(name: &str) -> Uuid {
    hash("cwpp incidents 2026 account", &[name.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_other_fields_are_other_keys() {
        let address = IpAddr::from([192, 0, 2, 1]);
        assert_ne!(source(address, "ssh"), source(address, "ssh from 192.0.2.1"));
        assert_ne!(account("root"), account("root\0"));
        assert_ne!(account("root from 192.0.2.1 port 22 ssh2"), account("root"));
        assert_eq!(account("root"), account("root"));
    }
}
