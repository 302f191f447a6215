//! Aligned buffers, direct reads and durable writes. Knows bytes and files, never vectors.
