//! What a caller without a grant does not see.

/// A message whose personal fields can be blanked; generated for every message of the contracts.
pub trait Mask {
    /// Blanks every PERSONAL and SECRET field: texts become [`MASKED`], the rest becomes absent or empty.
    fn mask(&mut self);

    /// Returns the name of a PERSONAL or SECRET field that is set.
    fn personal(&self) -> Option<&'static str>;
}

/// What stands in place of a masked text.
pub const MASKED: &str = "***";

/// Blanks a text; an empty one stays empty, which tells that there was nothing.
pub(crate) fn text(value: &mut String) {
    if !value.is_empty() {
        MASKED.clone_into(value);
    }
}

/// Says whether a number or a flag differs from what an absent field holds.
pub(crate) fn is_set<T: Default + PartialEq>(value: &T) -> bool {
    *value != T::default()
}
