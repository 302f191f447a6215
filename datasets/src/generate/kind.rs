//! Kinds of sets.
use spandrel_index::DType;
use spandrel_names::named;

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

named! { Kind, "kind of set", Sift => "sift", Embedding => "embedding", Ood => "ood" }

impl Kind {
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
