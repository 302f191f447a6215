//! The gRPC interface: messages of `spandrel.v1`, its client with feature `client`, its server with `server`.
//!
//! Generated from the files in `spandrel/v1`, which document every field, by `cargo run --manifest-path
//! proto/generate/Cargo.toml`; a test holds both together. Fields are only ever added; another test holds the
//! interface against the one committed in `tests/interface.txt`. It knows no engine and no transport.

mod filters;
mod vectors;

/// Messages and services.
#[expect(
    missing_docs,
    clippy::all,
    clippy::too_many_lines,
    reason = "generated; the .proto files document them"
)]
pub mod v1 {
    include!("../generated/spandrel.v1.rs");
}

/// The files of `spandrel/v1` as a serialised `FileDescriptorSet`, for reflection.
pub const DESCRIPTOR: &[u8] = include_bytes!("../generated/descriptor.bin");
