//! The incidents service.
