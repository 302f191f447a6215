//! Other formats, parts of a file, and what a file holds.
use std::ops::Range;
use std::path::{Path, PathBuf};

use spandrel_index::{Outliers, SourceError, Spread, VectorSource, decode_into};

use crate::converted::Converted;
use crate::file::{
    Contents, FileError, Format, InFile, OutFile, Truth, VectorFile, VectorWriter, contents, same_file,
};
use crate::values::is_zero;
use crate::watch::{Stopped, Watch, for_each_block};

/// Why a file could not be converted or cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The rows asked for are none, or not all there.
    #[error("{path}: rows {start}..{end} asked for, expected a part of 0..{rows}", path = path.display())]
    Rows {
        /// The file read.
        path: PathBuf,
        /// First row asked for.
        start: u64,
        /// One past the last.
        end: u64,
        /// Rows there are.
        rows: u64,
    },
    /// The output would take the place of the input, and what was left out would be lost.
    #[error("{path}: the output is the input; write to another file", path = path.display())]
    SameFile {
        /// File that is input and output.
        path: PathBuf,
    },
    /// One of the files could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Rows could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The stop flag was set.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Writes a file in the format of another extension; npy keeps the element type. Returns the number of rows.
///
/// Files of ids become other files of ids; all but ibin lose the distances. To f16, values are rounded to nearest.
///
/// # Errors
/// A value that the new type cannot hold (integers must be exact), and what reading and writing refuse. Nothing
/// is left in place of the output then.
pub fn convert<'a>(
    input: impl Into<InFile<'a>>,
    output: impl Into<OutFile<'a>>,
    watch: Watch<'_>,
) -> Result<u64, ConvertError> {
    let (input, output) = (input.into(), output.into());
    let (_, found) = contents(input)?;
    refuse_same_file(input.path, output.path)?;
    if let Contents::Ids { rows, .. } = found {
        Truth::open(input.path)?.write(output)?;
        return Ok(rows);
    }
    let file = VectorFile::open_as(input)?;
    let rows = 0..file.len();
    copy(&file, rows, output, watch)
}

/// Writes some rows of a file of vectors or ids, in the format of the output's extension.
///
/// # Errors
/// Rows that do not exist, and those of [`convert`].
pub fn crop<'a>(
    input: impl Into<InFile<'a>>,
    output: impl Into<OutFile<'a>>,
    rows: Range<u64>,
    watch: Watch<'_>,
) -> Result<u64, ConvertError> {
    let (input, output) = (input.into(), output.into());
    let (_, found) = contents(input)?;
    if rows.start >= rows.end || rows.end > found.rows() {
        let path = input.path.to_owned();
        return Err(ConvertError::Rows { path, start: rows.start, end: rows.end, rows: found.rows() });
    }
    refuse_same_file(input.path, output.path)?;
    if let Contents::Ids { .. } = found {
        let truth = Truth::open(input.path)?;
        // CAST: both are rows of a truth in memory
        let part = rows.start as usize * truth.k..rows.end as usize * truth.k;
        let cut = Truth {
            queries: part.len() / truth.k,
            k: truth.k,
            ids: truth.ids[part.clone()].to_vec(),
            distances: truth.distances.map(|d| d[part].to_vec()),
        };
        cut.write(output)?;
        return Ok(rows.end - rows.start);
    }
    copy(&VectorFile::open_as(input)?, rows, output, watch)
}

fn refuse_same_file(input: &Path, output: &Path) -> Result<(), ConvertError> {
    if same_file(input, output) { Err(ConvertError::SameFile { path: output.to_owned() }) } else { Ok(()) }
}

fn copy(
    file: &VectorFile,
    rows: Range<u64>,
    output: OutFile<'_>,
    watch: Watch<'_>,
) -> Result<u64, ConvertError> {
    let source = Converted::new(file, output.format()?.dtype().unwrap_or(file.dtype()));
    let mut writer = VectorWriter::create(output, source.dtype(), source.dim())?;
    for_each_block(&source, rows, watch, |_, block| -> Result<(), ConvertError> {
        Ok(writer.write_rows(block)?)
    })?;
    Ok(writer.finish()?)
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Info {
    /// Format of the file.
    pub format: Format,
    /// Vectors or ids.
    pub contents: Contents,
    /// Rows: vectors, or queries of a file of ids.
    pub rows: u64,
    /// Elements of each row: the dimension, or k.
    pub dim: usize,
    /// Length of the file in bytes.
    pub bytes: u64,
}

/// Reads the header of a file of vectors or ids and checks it against the file's length.
///
/// # Errors
/// Those of opening the file.
pub fn info<'a>(from: impl Into<InFile<'a>>) -> Result<Info, FileError> {
    let from = from.into();
    let (format, contents) = contents(from)?;
    let bytes = fs_err::metadata(from.path)?.len();
    Ok(Info { format, contents, rows: contents.rows(), dim: contents.dim(), bytes })
}

/// What the values of a set of vectors are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValueScan {
    /// Smallest value that is not NaN.
    pub min: f32,
    /// Largest value that is not NaN.
    pub max: f32,
    /// Rows whose elements are all zero.
    pub zero_rows: u64,
    /// Elements that are NaN.
    pub nan_count: u64,
    /// Elements that are infinite.
    pub infinite_count: u64,
    /// Smallest, mean and largest Euclidean norm of the rows that are finite.
    pub norms: Norms,
    /// Rows far from all others, of those that are finite.
    pub outliers: Outliers,
}

/// Euclidean norms of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norms {
    /// Smallest norm of a row.
    pub min: f64,
    /// Mean norm over all rows.
    pub mean: f64,
    /// Largest norm of a row.
    pub max: f64,
}

/// Reads every row and sums up its values.
///
/// # Errors
/// Rows that cannot be read, the stop flag.
pub fn scan_values(source: &dyn VectorSource, watch: Watch<'_>) -> Result<ValueScan, ConvertError> {
    let (dtype, dim) = (source.dtype(), source.dim());
    let mut scan = ValueScan {
        min: f32::INFINITY,
        max: f32::NEG_INFINITY,
        zero_rows: 0,
        nan_count: 0,
        infinite_count: 0,
        norms: Norms { min: f64::INFINITY, mean: 0.0, max: 0.0 },
        outliers: Outliers::default(),
    };
    let spread = sampled_spread(source, watch)?;
    let (mut values, mut finite_rows, mut norm_sum) = (Vec::new(), 0_u64, 0.0);
    for_each_block(source, 0..source.len(), watch, |_, block| -> Result<(), ConvertError> {
        decode_into(dtype, block, &mut values);
        for (row, bytes) in values.chunks_exact(dim).zip(block.chunks_exact(dtype.row_bytes(dim))) {
            let mut squares = 0.0;
            for &value in row {
                // The comparisons leave NaN out.
                scan.min = scan.min.min(value);
                scan.max = scan.max.max(value);
                scan.nan_count += u64::from(value.is_nan());
                scan.infinite_count += u64::from(value.is_infinite());
                squares += f64::from(value) * f64::from(value);
            }
            scan.zero_rows += u64::from(is_zero(dtype, bytes));
            let norm = squares.sqrt();
            if norm.is_finite() {
                scan.norms.min = scan.norms.min.min(norm);
                scan.norms.max = scan.norms.max.max(norm);
                norm_sum += norm;
                finite_rows += 1;
                scan.outliers.see(&spread, row);
            }
        }
        Ok(())
    })?;
    scan.norms.mean = norm_sum / finite_rows.max(1) as f64; // CAST: a mean needs no more digits
    Ok(scan)
}

/// How rows from all over the source are spread, without those that have no length.
fn sampled_spread(source: &dyn VectorSource, watch: Watch<'_>) -> Result<Spread, ConvertError> {
    let (dtype, dim, all) = (source.dtype(), source.dim(), source.len());
    let count = all.min(Spread::sample_rows(dim) as u64); // CAST: usize is 64 bits
    let (mut bytes, mut row, mut rows) = (vec![0; dtype.row_bytes(dim)], Vec::new(), Vec::new());
    for at in 0..count {
        watch.step(0, all)?;
        source.read_rows((u128::from(at) * u128::from(all) / u128::from(count)) as u64, &mut bytes)?; // CAST: below `all`
        decode_into(dtype, &bytes, &mut row);
        if row.iter().all(|x| x.is_finite()) {
            rows.extend_from_slice(&row);
        }
    }
    Ok(Spread::of(&rows, dim))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rows;
    use spandrel_index::{DType, encode};
    use tempfile::TempDir;

    fn write(path: &Path, dtype: DType, values: &[f32]) {
        let mut bytes = Vec::new();
        encode(dtype, values, &mut bytes).unwrap();
        let mut writer = VectorWriter::create(path, dtype, 2).unwrap();
        writer.write_rows(&bytes).unwrap();
        writer.finish().unwrap();
    }

    fn values(path: &Path) -> Vec<f32> {
        let file = VectorFile::open(path).unwrap();
        let rows = Rows::read(&file).unwrap();
        spandrel_index::decode(file.dtype(), rows.bytes())
    }

    #[test]
    fn small_integers_survive_every_pair_of_formats() {
        let folder = TempDir::new().unwrap();
        let original = [0.0, 1.0, 127.0, 5.0, 6.0, 7.0];
        let formats = Format::ALL.into_iter().filter(|f| !matches!(f, Format::Ibin | Format::Ivecs));
        for from in formats.clone() {
            let input = folder.path().join(format!("in.{from}"));
            write(&input, from.dtype().unwrap_or(DType::I8), &original);
            for to in formats.clone() {
                let output = folder.path().join(format!("out.{to}"));
                assert_eq!(convert(&input, &output, Watch::none()).unwrap(), 3);
                assert_eq!(values(&output), original);
                let out = info(&output).unwrap();
                assert_eq!((out.format, out.rows, out.dim), (to, 3, 2));
                assert_eq!(crop(&input, &output, 1..2, Watch::none()).unwrap(), 1);
                assert_eq!(values(&output), [127.0, 5.0]);
            }
        }
    }

    #[test]
    fn a_value_that_does_not_fit_is_named() {
        let folder = TempDir::new().unwrap();
        let (input, output) = (folder.path().join("in.fbin"), folder.path().join("out.u8bin"));
        write(&input, DType::F32, &[0.0, 1.0, 127.0, 5.5]);
        std::fs::write(&output, b"old").unwrap();
        let error = convert(&input, &output, Watch::none()).unwrap_err();
        assert!(
            error.to_string().ends_with("in.fbin: row 1, element 1 is 5.5, which u8 cannot hold"),
            "{error}"
        );
        assert_eq!(std::fs::read(&output).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn rows_must_exist() {
        let folder = TempDir::new().unwrap();
        let (input, output) = (folder.path().join("in.fbin"), folder.path().join("out.fbin"));
        write(&input, DType::F32, &[0.0; 8]);
        for rows in [0..0, 3..5, 4..5, 0..u64::MAX] {
            let error = crop(&input, &output, rows, Watch::none()).unwrap_err();
            assert!(matches!(error, ConvertError::Rows { rows: 4, .. }), "{error}");
        }
        let stop = true.into();
        let stopped = crop(&input, &output, 0..2, Watch { stop: &stop, ..Watch::none() }).unwrap_err();
        assert!(matches!(stopped, ConvertError::Stopped(_)));
    }

    #[test]
    fn a_file_is_not_written_over_itself() {
        let folder = TempDir::new().unwrap();
        let input = folder.path().join("in.fbin");
        write(&input, DType::F32, &[1.0, 2.0, 3.0, 4.0]);
        let link = folder.path().join("link.fbin");
        std::os::unix::fs::symlink(&input, &link).unwrap();
        for output in [&input, &folder.path().join("./in.fbin"), &link] {
            let cut = crop(&input, output, 0..1, Watch::none());
            assert!(matches!(cut, Err(ConvertError::SameFile { .. })), "{cut:?}");
            let converted = convert(&input, output, Watch::none());
            assert!(matches!(converted, Err(ConvertError::SameFile { .. })), "{converted:?}");
        }
        assert_eq!(values(&input), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn truth_is_converted_and_cut() {
        let folder = TempDir::new().unwrap();
        let (input, output) = (folder.path().join("in.ibin"), folder.path().join("out.ibin"));
        let distances = Some(vec![0.0, 1.0, 2.0, 3.0]);
        let truth = Truth { queries: 2, k: 2, ids: vec![1, 2, 3, 4], distances };
        truth.write(&input).unwrap();
        assert_eq!(crop(&input, &output, 1..2, Watch::none()).unwrap(), 1);
        let cut = Truth { queries: 1, k: 2, ids: vec![3, 4], distances: Some(vec![2.0, 3.0]) };
        assert_eq!(Truth::open(&output).unwrap(), cut);
        let ivecs = folder.path().join("out.ivecs");
        assert_eq!(convert(&input, &ivecs, Watch::none()).unwrap(), 2);
        assert_eq!(Truth::open(&ivecs).unwrap(), Truth { distances: None, ..truth });
        assert_eq!(info(&input).unwrap().contents, Contents::Ids { rows: 2, k: 2, distances: true });
    }

    #[test]
    fn scan_counts() {
        let folder = TempDir::new().unwrap();
        let input = folder.path().join("in.fbin");
        write(&input, DType::F32, &[3.0, 4.0, 0.0, -0.0, f32::NAN, 1.0, f32::INFINITY, -2.0]);
        let scan = scan_values(&VectorFile::open(&input).unwrap(), Watch::none()).unwrap();
        let norms = Norms { min: 0.0, mean: 2.5, max: 5.0 };
        let expected = ValueScan {
            min: -2.0,
            max: f32::INFINITY,
            zero_rows: 1,
            nan_count: 1,
            infinite_count: 1,
            norms,
            outliers: Outliers::default(),
        };
        assert_eq!(scan, expected);
    }

    #[test]
    fn outliers_are_counted_among_finite_rows() {
        let mut values: Vec<f32> = (0..400).map(|i| (i * 7919 % 101) as f32 / 50.0).collect();
        values[100..102].copy_from_slice(&[1e6, 0.0]);
        values[102..104].copy_from_slice(&[f32::INFINITY, 0.0]);
        values[398..400].copy_from_slice(&[-2e6, 3.0]);
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let outliers =
            scan_values(&Rows::new(DType::F32, 2, bytes).unwrap(), Watch::none()).unwrap().outliers;
        assert!(outliers.count == 2 && outliers.farthest > 1e6, "{outliers}");
    }
}
