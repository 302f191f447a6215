//! Vectors in another element type.
use spandrel_index::{DType, SourceError, VectorSource, decode_into, encode};

/// A source whose rows are given in another element type: to f16 rounded to nearest, to integers where they are whole
/// numbers in range. In its own type they pass unchanged.
#[derive(Debug, Clone)]
pub struct Converted<S> {
    source: S,
    dtype: DType,
}

impl<S: VectorSource> Converted<S> {
    /// The rows of `source` as `dtype`. Values are converted as they are read.
    pub fn new(source: S, dtype: DType) -> Converted<S> {
        Converted { source, dtype }
    }

    /// Whether values are rounded on the way.
    pub fn rounds(&self) -> bool {
        (self.source.dtype(), self.dtype) == (DType::F32, DType::F16)
    }

    /// The source itself.
    pub fn source(&self) -> &S {
        &self.source
    }
}

impl<S: VectorSource> VectorSource for Converted<S> {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn dim(&self) -> usize {
        self.source.dim()
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    /// # Errors
    /// [`SourceError::Value`] for the first value that the type cannot hold, and those of the source.
    fn read_rows(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        if self.source.dtype() == self.dtype {
            return self.source.read_rows(first, out);
        }
        let mut bytes = vec![0; out.len() / self.row_bytes() * self.source.row_bytes()];
        self.source.read_rows(first, &mut bytes)?;
        let (mut values, mut encoded) = (Vec::new(), Vec::with_capacity(out.len()));
        decode_into(self.source.dtype(), &bytes, &mut values);
        encode(self.dtype, &values, &mut encoded).map_err(|at| SourceError::Value {
            name: self.name(),
            row: first + (at / self.dim()) as u64, // CAST: usize is 64 bits here
            element: at % self.dim(),
            value: values[at],
            dtype: self.dtype,
        })?;
        out.copy_from_slice(&encoded);
        Ok(())
    }

    fn name(&self) -> String {
        self.source.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rows;

    fn floats(values: &[f32]) -> Rows {
        Rows::new(DType::F32, 2, values.iter().flat_map(|x| x.to_le_bytes()).collect()).unwrap()
    }

    #[test]
    fn rows_are_given_in_another_type() {
        let source = floats(&[0.0, 255.0, 7.0, 9.0]);
        let bytes = Converted::new(&source, DType::U8);
        assert_eq!((bytes.len(), bytes.dim(), bytes.row_bytes()), (2, 2, 2));
        assert_eq!(Rows::read(&bytes).unwrap().bytes(), [0, 255, 7, 9]);
        let mut last = [0; 2];
        bytes.read_rows(1, &mut last).unwrap();
        assert_eq!(last, [7, 9]);
        assert_eq!(Rows::read(&Converted::new(&source, DType::F32)).unwrap(), source);
        let halves = Converted::new(floats(&[0.1, 1.0]), DType::F16);
        assert!(halves.rounds() && !bytes.rounds());
        let back = Rows::read(&Converted::new(halves, DType::F32)).unwrap();
        assert_eq!(back.row(0)[4..], 1_f32.to_le_bytes());
    }

    #[test]
    fn the_first_value_without_a_place_is_named() {
        for (values, dtype, row, element) in [
            ([1.0, 2.0, 3.0, 0.5], DType::U8, 1, 1),
            ([1.0, -2.0, 3.0, 0.5], DType::U8, 0, 1),
            ([1.0, 2.0, 200.0, 0.5], DType::I8, 1, 0),
            ([1.0, 2.0, 3.0, 1e6], DType::F16, 1, 1),
            ([1.0, f32::NAN, 3.0, 4.0], DType::I8, 0, 1),
        ] {
            let error = Rows::read(&Converted::new(floats(&values), dtype)).unwrap_err().to_string();
            let says = format!("row {row}, element {element} is ");
            assert!(
                error.contains(&says) && error.contains(&format!("which {dtype} cannot hold")),
                "{error}"
            );
        }
    }
}
