//! The retention service.
