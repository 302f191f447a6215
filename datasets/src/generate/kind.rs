//! Kinds of sets.
use std::fmt;
use std::str::FromStr;

use spandrel_index::DType;

/// What kind of vectors to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Histograms of gradients: whole numbers in 0..=255, norm near 512, as SIFT descriptors.
    Sift,
    /// Unit vectors around a common mean, clustered, with a falling spectrum, as text embeddings.
    Embedding,
    /// A base like [`Kind::Embedding`] with norms near 1, and queries of another mean and covariance, as in
    /// searching images by text.
    Ood,
}

/// A name that is no kind of generated set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of set '{0}', expected sift, embedding or ood")]
pub struct UnknownKind(pub String);

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 3] = [Kind::Sift, Kind::Embedding, Kind::Ood];

    /// The name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Sift => "sift",
            Kind::Embedding => "embedding",
            Kind::Ood => "ood",
        }
    }

    /// Elements of a vector where nothing else is asked for.
    pub const fn default_dim(self) -> usize {
        match self {
            Kind::Sift => 128,
            Kind::Embedding => 384,
            Kind::Ood => 200,
        }
    }

    /// Element type where nothing else is asked for.
    pub const fn default_dtype(self) -> DType {
        match self {
            Kind::Sift => DType::U8,
            Kind::Embedding | Kind::Ood => DType::F32,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(s: &str) -> Result<Kind, UnknownKind> {
        Self::ALL.into_iter().find(|k| k.name() == s).ok_or_else(|| UnknownKind(s.to_owned()))
    }
}
