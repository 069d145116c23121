//! The inventory service as a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    cwpp_chassis::app::main::<cwpp_inventory::Inventory>()
}
