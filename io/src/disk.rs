//! The limits of a disk.
