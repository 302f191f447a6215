//! What queries go through where that is not what vectors do, as stored.
//!
//! ```text
//! scale of the vectors' matrix: f32, scale of the queries': f32, rows of the queries' matrix: i16, steps of 2^-15 times its scale
//! ```
use crate::codes::fields::Fields;
use crate::codes::rotation::Rotation;
use crate::format::OpenError;

/// How queries are mapped, as a model's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codes) enum MapForm {
    /// As vectors are.
    Same,
    /// By a matrix of their own.
    Mapped,
    /// By a matrix of their own; estimates are exact at the mean.
    Anchored,
}

/// What queries go through in place of the rotation of vectors.
#[derive(Debug, Clone)]
pub(in crate::codes) struct QueryMap {
    pub(in crate::codes) rotation: Rotation,
    /// Whether estimates are exact at the model's mean, which is then that of queries, for any code; else they are at the head of each
    /// list.
    pub(in crate::codes) is_anchored: bool,
}

impl MapForm {
    pub(in crate::codes) fn of(map: Option<&QueryMap>) -> MapForm {
        match map {
            None => MapForm::Same,
            Some(QueryMap { is_anchored: false, .. }) => MapForm::Mapped,
            Some(_) => MapForm::Anchored,
        }
    }

    /// The number in a model's header.
    pub(in crate::codes) fn number(self) -> u32 {
        match self {
            MapForm::Same => 0,
            MapForm::Mapped => 1,
            MapForm::Anchored => 2,
        }
    }

    pub(in crate::codes) fn read(fields: &mut Fields<'_>) -> Result<MapForm, OpenError> {
        Ok(match fields.number("queries", 0..=2)? {
            0 => MapForm::Same,
            1 => MapForm::Mapped,
            _ => MapForm::Anchored,
        })
    }

    /// Reads the map, if there is one, and gives the vectors' matrix its scale.
    ///
    /// # Errors
    /// [`OpenError::Field`] for a value that cannot be.
    pub(in crate::codes) fn read_map(
        self,
        fields: &mut Fields<'_>,
        of_vectors: &mut Rotation,
        dims: usize,
        dim: usize,
    ) -> Result<Option<QueryMap>, OpenError> {
        if self == MapForm::Same {
            return Ok(None);
        }
        let Rotation::Dense(of_vectors) = of_vectors else {
            return Err(OpenError::field(fields.path, "queries", self.number(), "0 without a matrix"));
        };
        if dims < dim {
            return Err(OpenError::field(
                fields.path,
                "dims of all segments",
                dims,
                format!("{dim} or more"),
            ));
        }
        of_vectors.set_scale(fields.positive("scale of the vectors' matrix")?);
        let scale = fields.positive("scale of the queries' matrix")?;
        let mut rotation = fields.matrix(dim, dims)?;
        rotation.set_scale(scale);
        Ok(Some(QueryMap { rotation: Rotation::Dense(rotation), is_anchored: self == MapForm::Anchored }))
    }
}

impl QueryMap {
    /// Appends it as stored, behind the model of whose vectors this is the rotation.
    pub(in crate::codes) fn push(&self, of_vectors: &Rotation, out: &mut Vec<u8>) {
        let matrix = |rotation: &Rotation| match rotation {
            Rotation::Dense(matrix) => Some(matrix.clone()),
            _ => None,
        };
        let (Some(vectors), Some(queries)) = (matrix(of_vectors), matrix(&self.rotation)) else { return };
        for scale in [vectors.scale(), queries.scale()] {
            out.extend_from_slice(&scale.to_le_bytes());
        }
        queries.steps().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
    }

    pub(in crate::codes) fn memory_bytes(&self) -> usize {
        self.rotation.memory_bytes()
    }
}
