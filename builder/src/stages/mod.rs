//! The phases of a build, in order. Each takes what earlier ones left in the checkpoint and the scratch
//! folder, and leaves the bytes that its input and parameters decide.
mod attributes;
mod aware;
mod calibrate;
mod check;
mod cluster;
mod column;
mod documents;
mod encode;
mod file;
mod graph;
mod hashes;
mod heads;
mod ids;
mod judge;
mod list;
mod neighbours;
mod pages;
mod part;
mod positions;
mod publish;
mod records;
mod sample;
mod section;
mod train;
mod training;
mod value_parts;
mod wanted;
mod write;

pub(crate) use attributes::{
    attributes, gather, glance as glance_attributes, hash_attributes, partition, sorting_bytes,
};
pub(crate) use calibrate::calibrate;
pub(crate) use check::{check, glance, hash_column, hash_input, hash_sample};
pub(crate) use cluster::cluster;
pub(crate) use column::column;
pub(crate) use documents::documents;
pub(crate) use file::file;
pub(crate) use graph::graph;
pub(crate) use ids::ids;
pub(crate) use neighbours::{neighbours_bytes, scores_bytes};
pub(crate) use part::part;
pub(crate) use publish::{publish, verify};
pub(crate) use section::{Content, read_checked};
pub(crate) use train::train;
pub(crate) use wanted::wanted;
pub(crate) use write::write;
