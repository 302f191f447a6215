//! Versions of the model that vectors come from: their flags, and what is told of them.
use clap::Args;
use spandrel_index::Index;
use spandrel_index::format::{EmbeddingEntry, Manifest};

use crate::Advised;

/// Which version of a model the vectors of an index come from.
#[derive(Debug, Clone, Args)]
pub struct EmbeddingArgs {
    /// Version of the model that made the vectors, a short word. Queries that name a version are answered only if the index lists it.
    #[arg(long, value_name = "VERSION")]
    pub embedding_version: Option<String>,
    /// Other versions whose queries may be compared with the vectors, separated by commas.
    #[arg(long, value_name = "VERSION,VERSION", value_delimiter = ',', requires = "embedding_version")]
    pub compatible_version: Vec<String>,
}

impl EmbeddingArgs {
    /// What a manifest is to say.
    pub(super) fn entry(&self) -> Option<EmbeddingEntry> {
        let version = self.embedding_version.clone()?;
        Some(EmbeddingEntry { version, compatible: self.compatible_version.clone() })
    }
}

/// Which version of a model queries come from.
#[derive(Debug, Clone, Args)]
pub struct QueryEmbeddingArgs {
    /// Version of the model that made the queries: refused by an index that does not list it [default: any is answered].
    #[arg(long, value_name = "VERSION")]
    pub embedding_version: Option<String>,
}

impl QueryEmbeddingArgs {
    /// Refuses queries of a version that an index does not list.
    pub(super) fn check(&self, index: &Index) -> anyhow::Result<()> {
        let answers = index.manifest().answers_version(self.embedding_version.as_deref());
        answers.map_err(|error| {
            let message = format!("{}: {error}", index.dir().display());
            Advised::new(message, "ask with a version that is listed, or with none").into()
        })
    }
}

/// What an index says of its vectors, in a line; none where it names no version.
pub(super) fn text(manifest: &Manifest) -> Option<String> {
    let embedding = manifest.embedding.as_ref()?;
    let others = match embedding.compatible.as_slice() {
        [] => String::new(),
        others => format!(", which answer queries of {} too", others.join(", ")),
    };
    Some(format!("vectors of version {}{others}", embedding.version))
}
