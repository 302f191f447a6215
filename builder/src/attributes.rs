//! The attributes of a build, and what their first rows say of their sizes.
use std::collections::HashMap;
use std::ops::ControlFlow;

use spandrel_filter::{AttributeType, Cell};
use spandrel_index::AttributeSource;

use crate::{Attributes, BuildError, Input};

/// Rows that sizes are estimated from.
const SAMPLE_ROWS: u64 = 4096;
/// Bytes of a dictionary's entry beside the value, and of what finds it.
const ENTRY_BYTES: f64 = 6.0;
/// Values up to which the number of one takes a byte in the forward array; it takes two of more, about.
const BYTE_VALUES: f64 = 127.0;

/// An attribute as it will be built.
#[derive(Debug, Clone)]
pub(crate) struct AttributeParams {
    pub(crate) name: String,
    pub(crate) kind: AttributeType,
    /// Whether all of it is kept in memory.
    pub(crate) resident: bool,
    sample: Sample,
}

/// What the first rows have in an attribute.
#[derive(Debug, Clone, Default)]
struct Sample {
    /// Rows, those without a value included.
    rows: f64,
    /// Values of all rows.
    pairs: f64,
    /// Texts, those that are there once, and bytes of all of them.
    texts: f64,
    once: f64,
    text_bytes: f64,
    /// Bytes of postings, by how far apart the positions of each text lie.
    posting_bytes: f64,
    /// Bits of the difference of the largest and the least number.
    bits: f64,
    /// Rows of each value.
    counts: Vec<u64>,
}

/// What an attribute is expected to take, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AttributeBytes {
    /// On disk.
    pub(crate) index: u64,
    /// In memory while searching, without postings that were read.
    pub(crate) memory: u64,
    pub(crate) scratch: u64,
}

impl AttributeParams {
    /// Those of an input; reads its first rows.
    pub(crate) fn of(input: Input<'_>) -> Result<Vec<AttributeParams>, BuildError> {
        let Some(Attributes { source, resident, .. }) = input.attributes else { return Ok(Vec::new()) };
        let refused = |parameter, found: String, expected: String| {
            Err(BuildError::Parameter { parameter, found, expected })
        };
        let items = input.items();
        if source.len() != items {
            let of = if input.documents.is_some() { "document" } else { "vector" };
            let (found, expected) = (source.len().to_string(), format!("{items}, one for each {of}"));
            return refused("--attributes: number of rows", found, expected);
        }
        let all = source.schema().attributes();
        if let Some(unknown) = resident.iter().find(|name| source.schema().find(name).is_none()) {
            let names: Vec<&str> = all.iter().map(|attribute| attribute.name.as_str()).collect();
            return refused("--resident-attribute", unknown.clone(), format!("one of {}", names.join(", ")));
        }
        let samples = sample(source, items)?;
        let params = |(attribute, sample): (&spandrel_filter::Attribute, Sample)| AttributeParams {
            name: attribute.name.clone(),
            kind: attribute.kind,
            resident: resident.contains(&attribute.name),
            sample,
        };
        Ok(all.iter().zip(samples).map(params).collect())
    }

    /// How it is called in fingerprints.
    pub(crate) fn text(&self) -> String {
        let resident = if self.resident { " resident" } else { "" };
        format!("{}: {}{resident}", self.name, self.kind)
    }

    /// The shares of `vectors` vectors that values have which `rows_min` of them or more have, where all vectors are like the
    /// first. To have none is a value too.
    pub(crate) fn shares_of_large(&self, vectors: u64, rows_min: u64) -> Vec<f64> {
        let Sample { rows, counts, .. } = &self.sample;
        let rows = rows.max(1.0);
        let least = rows_min as f64 * rows / vectors as f64; // CAST: an estimate, as below
        let nulls = rows - counts.iter().sum::<u64>() as f64;
        let counts = counts.iter().map(|&count| count as f64).chain([nulls]);
        counts.filter(|&count| count > 0.0 && count >= least).map(|count| count / rows).collect()
    }

    /// What it is expected to take for `vectors` vectors, of which the first are like all.
    #[expect(clippy::cast_possible_truncation, reason = "estimates, which saturate")]
    pub(crate) fn bytes(&self, vectors: u64) -> AttributeBytes {
        let Sample { rows, pairs, texts, once, text_bytes, posting_bytes, bits, .. } = self.sample;
        let vectors = vectors as f64; // CAST: an estimate, as all below
        let times = vectors / rows.max(1.0);
        let pairs = pairs * times;
        let (rest, resident, scratch) = if self.kind.is_number() {
            (vectors * bits / 8.0, vectors / 1024.0 * 24.0, 12.0 * pairs)
        } else {
            // Of the values that were seen once, more are to come.
            let values = (times.sqrt() * once + texts - once).min(pairs);
            let dictionary = values * (text_bytes / texts.max(1.0) + ENTRY_BYTES);
            let number_bytes = match self.kind {
                AttributeType::Tags if values <= BYTE_VALUES => 1.0,
                AttributeType::Tags => 2.0,
                _ if values <= BYTE_VALUES => 0.0,
                _ => 1.0,
            };
            let rest = posting_bytes * times + number_bytes * pairs + vectors;
            (rest, dictionary + vectors / 256.0 * 8.0, 12.0 * pairs + 2.0 * dictionary)
        };
        let index = rest + resident;
        let memory = if self.resident { index + resident } else { resident };
        AttributeBytes { index: index as u64, memory: memory as u64, scratch: scratch as u64 }
    }
}

fn sample(source: &dyn AttributeSource, vectors: u64) -> Result<Vec<Sample>, BuildError> {
    let count = source.schema().attributes().len();
    let mut texts: Vec<HashMap<String, u64>> = vec![HashMap::new(); count];
    let mut keys: Vec<HashMap<u64, u64>> = vec![HashMap::new(); count];
    let (mut numbers, mut pairs) = (vec![(u64::MAX, 0_u64); count], vec![0_u64; count]);
    let (mut seen, mut rows) = (0, vectors);
    source.scan(&mut |row, cells: &[Cell]| {
        for (at, cell) in cells.iter().enumerate() {
            if let Some(key) = cell.key() {
                numbers[at] = (numbers[at].0.min(key), numbers[at].1.max(key));
                pairs[at] += 1;
            }
            for text in cell.texts() {
                *texts[at].entry(text.to_owned()).or_default() += 1;
                pairs[at] += 1;
            }
            if let Some(key) = cell.key() {
                *keys[at].entry(key).or_default() += 1;
            }
        }
        seen += 1;
        if seen < SAMPLE_ROWS {
            return ControlFlow::Continue(());
        }
        rows = row + 1;
        ControlFlow::Break(())
    })?;
    let sample = |at: usize| Sample {
        // CAST: a sample is small
        rows: rows as f64,
        pairs: pairs[at] as f64,
        texts: texts[at].len() as f64,
        once: texts[at].values().filter(|&&times| times == 1).count() as f64,
        text_bytes: texts[at].keys().map(String::len).sum::<usize>() as f64,
        posting_bytes: texts[at].values().map(|&times| times as f64 * gap_bytes(rows, times)).sum(),
        counts: texts[at].values().chain(keys[at].values()).copied().collect(),
        bits: f64::from(64 - numbers[at].1.saturating_sub(numbers[at].0).leading_zeros()),
    };
    Ok((0..count).map(sample).collect())
}

/// Bytes of a position in a posting, after another, of a text that `times` of `rows` rows have.
fn gap_bytes(rows: u64, times: u64) -> f64 {
    match rows / times.max(1) {
        0..128 => 1.0,
        128..4096 if times > 1 => 2.0,
        // Seen once: how far apart they lie is not known.
        _ => 3.0,
    }
}
