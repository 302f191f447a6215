//! Files of tokens.
#![no_main]
use libfuzzer_sys::fuzz_target;
use spandrel_fuzz::file;
use spandrel_service::testing::read_tokens;

fuzz_target!(|bytes: &[u8]| {
    read_tokens(&file("tokens", bytes));
});
