//! End-to-end suites by capability, and their harness.
