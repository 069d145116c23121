//! Assets: what is found on machines, class by class.

pub mod budget;
pub mod check;
pub mod class;
pub mod natural_key;
pub mod row;
pub mod token;
