//! Writes `proto/generated` from `proto/spandrel/v1`, without a compiler from elsewhere:
//! `cargo run --manifest-path proto/generate/Cargo.toml`.
use std::error::Error;
use std::fs;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

const SOURCES: [&str; 3] =
    ["spandrel/v1/explanation.proto", "spandrel/v1/search.proto", "spandrel/v1/admin.proto"];
const CODE: &str = "generated/spandrel.v1.rs";
const DESCRIPTOR: &str = "generated/descriptor.bin";

fn main() -> Result<(), Box<dyn Error>> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("run it by cargo run")?;
    std::env::set_current_dir(Path::new(&here).join(".."))?;
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).open_files(SOURCES)?;
    fs::write(DESCRIPTOR, compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .client_mod_attribute("spandrel.v1", "#[cfg(feature = \"client\")]")
        .server_mod_attribute("spandrel.v1", "#[cfg(feature = \"server\")]")
        .bytes(".spandrel.v1.Raw.data")
        .out_dir("generated")
        .compile_fds(compiler.file_descriptor_set())?;
    // What a test compares, so that neither side changes without the other.
    let mut hashes = String::new();
    for file in SOURCES.into_iter().chain([CODE, DESCRIPTOR]) {
        hashes += &format!("{:016x} {file}\n", xxh3_64(&fs::read(file)?));
    }
    fs::write("generated/hashes.txt", hashes)?;
    Ok(())
}
