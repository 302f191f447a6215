//! Calibration that fails.
use std::error::Error;
use std::fs;

use spandrel_builder::{BuildError, Calibrate, Silent, Unpublished};
use spandrel_engine::{CalibrateError, CalibrateParams, calibrate};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{BODY_AT, OpenError, RecallCurves, current};
use spandrel_index::{DType, Index, Metric, Tier};
use spandrel_io::FolderStore;
use spandrel_tests::{Base, LIMITS, clustered, coded};

use super::calibrated;
use crate::support::identity;

#[test]
fn what_cannot_be_calibrated_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 16, 4000, 1));
    base.build(&coded(Metric::L2, CodeSpec::RaBitQ { bits: 2 }, Tier::Memory, dir.path())).unwrap();
    let index = Index::open(dir.path()).unwrap();
    let stopped =
        calibrate(dir.path(), index.manifest(), CalibrateParams::new(LIMITS), &mut |_| false).unwrap_err();
    assert!(matches!(stopped, CalibrateError::Stopped), "{stopped}");
    // A bit in every page of vectors.
    let path = dir.path().join("vectors-1");
    let mut bytes = fs::read(&path).unwrap();
    bytes.iter_mut().skip(BODY_AT as usize).step_by(512).for_each(|byte| *byte ^= 1);
    fs::write(&path, bytes).unwrap();
    let damaged = calibrated(dir.path(), LIMITS).unwrap_err();
    // Vectors that fit in memory are read when the index is opened.
    assert!(matches!(damaged, CalibrateError::Open(OpenError::Checksum { .. })), "{damaged}");
}

/// Fails.
struct Failing;

impl Calibrate for Failing {
    fn calibrate(
        &self,
        _: Unpublished<'_>,
        _: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<RecallCurves>, Box<dyn Error + Send + Sync>> {
        Err("calibration refused".into())
    }
}

/// Has no opinion.
struct Shrugging;

impl Calibrate for Shrugging {
    fn calibrate(
        &self,
        _: Unpublished<'_>,
        _: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<RecallCurves>, Box<dyn Error + Send + Sync>> {
        Ok(None)
    }
}

#[test]
fn a_build_that_fails_to_calibrate_goes_on_with_or_without() {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::U8, 16, 4000, 1));
    let code = CodeSpec::RaBitQ { bits: 2 };
    let usual = coded(Metric::L2, code, Tier::Memory, &dir.path().join("usual"));
    base.build(&usual).unwrap();
    for (name, by) in [("without", None), ("shrugging", Some(&Shrugging as &dyn Calibrate))] {
        let mut config = coded(Metric::L2, code, Tier::Memory, &dir.path().join(name));
        let failed = base.build_watched(&config, Some(&Failing), &Silent).unwrap_err();
        assert!(matches!(failed, BuildError::Calibrate(_)), "{failed}");
        assert_eq!(failed.source().unwrap().to_string(), "calibration refused");
        assert!(
            matches!(current(&FolderStore::new(&config.out)), Err(OpenError::NotAnIndex { .. })),
            "nothing was published"
        );
        config.resume = true;
        base.build_watched(&config, by, &Silent).unwrap();
        assert!(identity(&config.out) == identity(&usual.out), "{name}");
    }
}
