//! Documents of many vectors, searched by their tokens and compared by MaxSim.
//!
//! Each token of a query document is a query of its own, which scans lists of codes and compares nothing exactly. Estimates are summed by
//! document; a document that a token has not found counts with the worst estimate that this token has kept, as in XTR (Lee et al., "Rethinking
//! the Role of Token Retrieval in Multi-Vector Retrieval", NeurIPS 2023) and WARP (Scheerer et al., SIGIR 2025). The best documents are read
//! in one burst and compared by MaxSim (Khattab and Zaharia, "ColBERT", SIGIR 2020).
//!
//! In an index of encodings a query document is one query, that of its own encoding, and the best documents are those whose encodings have
//! the largest products with it (MUVERA).
mod explained;
mod params;
mod ranking;
mod request;
mod slot;
mod task;

pub use params::{
    DOCUMENTS_COMPARED, DocumentDefaults, DocumentParams, ENCODED_COMPARED, ENCODING_LISTS_MIN, TOKEN_LISTS,
    TOKENS_KEPT, vector_queries,
};
pub(crate) use ranking::Ranking;
pub use request::{DocumentRequest, QueryDocuments};
pub(crate) use slot::DocumentSlot;
pub(crate) use task::DocumentTask;
