//! Requests to the server, read as far as they are without an index. The first byte says of which method.
#![no_main]
use libfuzzer_sys::fuzz_target;
use spandrel_service::testing::read_request;

fuzz_target!(|input: &[u8]| {
    let Some((&method, message)) = input.split_first() else { return };
    read_request(method, message);
});
