//! Placeholder removed by the first module.
