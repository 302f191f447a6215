//! An npy file of single-precision numbers of any shape, read whole: codebooks, rotations.
#![deny(clippy::indexing_slicing)]
use std::path::Path;

use fs_err::File;

use super::FileError;
use super::layout::Header;
use super::npy_array::{Floats, NpyArray};

/// Longest file read: codebooks take at most 256 values for each dimension, rotations one for each pair.
const BYTES_MAX: u64 = 1 << 30;

/// Numbers in C order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Sizes, the slowest first.
    pub shape: Vec<usize>,
    /// The values, in order; their number is the product of the sizes.
    pub values: Vec<f32>,
}

impl Array {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError`] for a file that is no npy file of `<f4` in C order, is longer than a gibibyte, or than its header
    /// says, or shorter.
    pub fn read(path: impl AsRef<Path>) -> Result<Array, FileError> {
        let path = path.as_ref();
        let file = File::open(path)?;
        let header = Header::of_npy(path, &file)?;
        let file_bytes = header.file_bytes;
        if file_bytes > BYTES_MAX {
            let expected = format!("at most {BYTES_MAX} bytes");
            return Err(header.refuse("file length", 0, expected, format!("{file_bytes} bytes")));
        }
        let NpyArray { sizes: shape, data_at, .. } =
            NpyArray::open(path, &file, 0..file_bytes, Floats::Single)?;
        let mut bytes = vec![0; (file_bytes - data_at) as usize]; // CAST: at most BYTES_MAX
        header.read_into(data_at, &mut bytes)?;
        let values = bytes.as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x)).collect();
        Ok(Array { shape, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, descr: &str, shape: &str, values: &[f32]) -> std::path::PathBuf {
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        values.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
        let path = dir.join("array.npy");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn reads_arrays_and_refuses_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let values: Vec<f32> = (0..24).map(|x| x as f32).collect();
        let read = |descr, shape, values: &[f32]| Array::read(file(dir.path(), descr, shape, values));
        for (shape, sizes) in [("(2, 3, 4)", vec![2, 3, 4]), ("(24,)", vec![24]), ("(4, 6)", vec![4, 6])] {
            assert_eq!(read("<f4", shape, &values).unwrap(), Array { shape: sizes, values: values.clone() });
        }
        assert_eq!(read("<f4", "()", &values[..1]).unwrap().shape, [0; 0]);
        let header = |read: Result<Array, FileError>| match read.unwrap_err() {
            FileError::Header { field, .. } => field,
            e => panic!("{e}"),
        };
        assert_eq!(header(read("<f2", "(2, 3, 4)", &values)), "npy element type");
        assert_eq!(header(read(">f4", "(2, 3, 4)", &values)), "npy element type");
        assert_eq!(header(read("<f8", "(2, 3, 4)", &values)), "npy element type");
        assert_eq!(header(read("<f4", "(2, -3, 4)", &values)), "npy shape");
        assert_eq!(header(read("<f4", "(,)", &values)), "npy shape");
        assert_eq!(header(read("<f4", "2", &values)), "npy shape");
        for shape in ["(2, 3, 5)", "(2, 3)", "(99999999999, 99999999999, 99999999999)", "(0, 4)"] {
            assert!(matches!(read("<f4", shape, &values), Err(FileError::Size { .. })), "{shape}");
        }
    }
}
