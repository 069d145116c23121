//! Fault points: places where a test stops, fails or kills the process. Nothing without the feature `failpoints`.

/// A place where a test may act. Costs nothing in a usual build.
macro_rules! fault {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        {
            fail::fail_point!($name);
        }
    };
}
pub(crate) use fault;
