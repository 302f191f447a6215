//! How a server is set: by flags, by the environment, by a file, in this order.
//!
//! [`Settings`] declares each setting once, as a flag; [`layers`] finds the variable and the key of the same name.
mod config;
mod declared;
mod file;
mod layers;
mod values;

pub(in crate::commands) use declared::Settings;
pub(in crate::commands) use file::SettingsFile;
pub(in crate::commands) use layers::{Flags, parse};
pub(in crate::commands) use values::NamedDir;
