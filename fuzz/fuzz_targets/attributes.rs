//! Files of attributes, of filters and of a schema. The first byte says which.
#![no_main]
use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use spandrel_datasets::{BaseRows, Filters, Watch, open_attributes, read_schema};
use spandrel_fuzz::file;

fuzz_target!(|input: &[u8]| {
    let Some((&which, bytes)) = input.split_first() else { return };
    let ending = ["jsonl", "spmat", "json"][usize::from(which) % 3];
    let path = file(ending, bytes);
    if ending == "json" {
        drop(read_schema(&path));
        return;
    }
    drop(Filters::open(&path));
    let base = BaseRows { rows: 20, ids: None };
    if let Ok(source) = open_attributes(&path, base, None, Watch::none()) {
        let columns = source.schema().attributes().len();
        let scanned = source.scan(&mut |row, cells| {
            assert!(row < 20 && cells.len() == columns);
            ControlFlow::Continue(())
        });
        assert!(scanned.is_ok(), "a file that was checked cannot be read: {scanned:?}");
    }
});
