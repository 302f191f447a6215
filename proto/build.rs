//! Generates the messages, and the client and server that features ask for, without a compiler from elsewhere.
use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

const FILES: [&str; 2] = ["spandrel/v1/search.proto", "spandrel/v1/admin.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let has = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).open_files(FILES)?;
    fs::write(out.join("descriptor.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .build_client(has("CLIENT"))
        .build_server(has("SERVER"))
        .bytes(".spandrel.v1.Raw.data")
        .compile_fds(compiler.file_descriptor_set())?;
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    Ok(())
}
