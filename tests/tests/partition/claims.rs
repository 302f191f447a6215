//! What the manifest says of a partition.
use spandrel_index::Index;
use spandrel_index::format::{Manifest, PartitionEntry, current, publish_manifest};
use spandrel_io::FolderStore;

use super::{base, codes};
use crate::support::verify_index;

type Change = fn(&mut PartitionEntry);

/// Each claim of the manifest about the partition is compared with what is there.
#[test]
fn a_partition_that_is_not_there_is_found() {
    let (base, dir) = (base(400), tempfile::tempdir().unwrap());
    base.build(&codes(dir.path())).unwrap();
    let store = FolderStore::new(dir.path());
    let good = Manifest::open(&store, current(&store).unwrap()).unwrap();
    let mut version = good.version;
    let mut check = |change: Change| {
        version += 1;
        let mut wrong = Manifest { version, ..good.clone() };
        change(wrong.segments[0].partition.as_mut().unwrap());
        publish_manifest(&store, &wrong).unwrap();
        (Index::open(dir.path()).map(|_| ()), verify_index(dir.path(), true).unwrap_err().to_string())
    };
    let of_open: [(Change, &str); 6] = [
        (|by| by.attribute = "colour".into(), "attribute of the partition"),
        (|by| by.attribute = "tags".into(), "attribute of the partition"),
        (|by| by.shared_lists = 1 << 40, "partition"),
        (|by| by.own_values = 1 << 40, "partition"),
        (|by| by.shared_vectors -= 1, "shared_vectors"),
        (|by| by.shared_lists -= 1, "shared_vectors"),
    ];
    for (change, part) in of_open {
        let (opened, verified) = check(change);
        assert!(opened.unwrap_err().to_string().contains(part), "{part}");
        assert!(verified.contains(part), "{verified}");
    }
    // What opening cannot see, since it takes every vector's value.
    let of_verify: [(Change, &str); 4] = [
        (|by| by.attribute = "is_odd".into(), "list"),
        (|by| by.own_values -= 1, "own_values"),
        (|by| by.own_vectors_min += 1, "2000 vectors of a value"),
        (|by| by.own_vectors_min -= 1, "1999 vectors of a value"),
    ];
    for (change, part) in of_verify {
        let (opened, verified) = check(change);
        opened.unwrap();
        assert!(verified.contains(part), "{part}: {verified}");
    }
    publish_manifest(&store, &Manifest { version: version + 1, ..good }).unwrap();
    verify_index(dir.path(), true).unwrap();
}
