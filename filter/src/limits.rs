//! What a filter and a row may hold.

/// Most attributes of a schema.
pub const ATTRIBUTES_MAX: usize = 1_000;
/// Most bytes of an attribute's name.
pub const NAME_BYTES_MAX: usize = 255;
/// Most bytes of a keyword or of a tag in a row.
pub const VALUE_BYTES_MAX: usize = 4_096;
/// Most tags of a row in one attribute.
pub const TAGS_MAX: usize = 65_536;
/// Most comparisons in a filter.
pub const TERMS_MAX: usize = 10_000;
/// Most values, tags and ids in all lists of a filter together.
pub const VALUES_MAX: usize = 100_000;
/// Most levels of AND, OR, NOT and brackets in each other.
pub const NESTING_MAX: usize = 100;
/// Most bytes of a filter in text or JSON.
pub const FILTER_BYTES_MAX: usize = 1 << 20;
