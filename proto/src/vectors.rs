//! Making and reading [`Vectors`].
use bytes::Bytes;

use crate::v1::documents::Tokens;
use crate::v1::vectors::Form;
use crate::v1::{Documents, Dtype, Floats, Ids, Raw, Vectors};

impl Vectors {
    /// Vectors of `dim` elements each, back to back, as numbers.
    pub fn floats(dim: u32, values: Vec<f32>) -> Vectors {
        Vectors { dim, form: Some(Form::Floats(Floats { values })) }
    }

    /// Vectors of `dim` elements each, back to back, as little-endian bytes of a type.
    pub fn raw(dim: u32, dtype: Dtype, data: impl Into<Bytes>) -> Vectors {
        let raw = Raw { data: data.into(), dtype: dtype.into() };
        Vectors { dim, form: Some(Form::Raw(raw)) }
    }

    /// Vectors of the index itself.
    pub fn ids(values: Vec<u64>) -> Vectors {
        Vectors { dim: 0, form: Some(Form::Ids(Ids { values })) }
    }

    /// Documents, whose vectors of `dim` elements lie back to back as little-endian bytes of a type: document `i` is those from offset `i`
    /// up to offset `i + 1`. Without offsets all are one document.
    pub fn documents(dim: u32, dtype: Dtype, data: impl Into<Bytes>, offsets: Vec<u32>) -> Vectors {
        let tokens = Some(Tokens::Raw(Raw { data: data.into(), dtype: dtype.into() }));
        Vectors { dim, form: Some(Form::Documents(Documents { offsets, tokens })) }
    }

    /// The bytes of vectors in the forms that answers have; none of another form. Those of documents lie back to back, as their offsets
    /// say.
    pub fn raw_data(&self) -> Bytes {
        match &self.form {
            Some(Form::Raw(raw)) => raw.data.clone(),
            Some(Form::Documents(Documents { tokens: Some(Tokens::Raw(raw)), .. })) => raw.data.clone(),
            _ => Bytes::new(),
        }
    }
}
