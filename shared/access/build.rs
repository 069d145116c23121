//! Generates the operation traits, guards and masks from the contracts.

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let contract = cwpp_codegen::compile(root)?;
    cwpp_codegen::operations(&contract, &PathBuf::from(std::env::var("OUT_DIR")?))?;
    Ok(())
}
