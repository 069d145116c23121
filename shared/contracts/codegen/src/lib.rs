//! Generates messages, operation traits, guards and masks from the contracts.
//!
//! Two build scripts use it: that of `cwpp-contracts` calls [`messages`], that of `cwpp-access` calls [`operations`].
//! Both read the same descriptor, made by [`compile`], and refuse a contract in which a field lacks its privacy label
//! or a method its access rule.

mod descriptor;
mod mask;
mod operations;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

pub use descriptor::{Contract, compile};

/// Writes the messages, the tonic stubs, the descriptor set and the list of idempotent methods into `out`.
///
/// The descriptor set comes from the compiler's own encoding, which keeps custom options; prost's types drop them.
pub fn messages(contract: &Contract, out: &Path) -> anyhow::Result<()> {
    fs::write(out.join("descriptor_set.bin"), contract.encoded())?;
    tonic_prost_build::configure()
        .out_dir(out)
        .codec_path("crate::codec::ProstCodec")
        .compile_fds(contract.file_descriptor_set().clone())?;
    let mut list = String::from("&[\n");
    for method in contract.methods() {
        if method.idempotent {
            writeln!(list, "    {:?},", method.path())?;
        }
    }
    list.push(']');
    fs::write(out.join("idempotent_methods.rs"), list)?;
    Ok(())
}

/// Writes the operation traits, their guards, the masks and the table of rules into `out/operations.rs`.
pub fn operations(contract: &Contract, out: &Path) -> anyhow::Result<()> {
    let mut code = String::new();
    operations::write(contract, &mut code)?;
    mask::write(contract, &mut code)?;
    fs::write(out.join("operations.rs"), code)?;
    Ok(())
}
