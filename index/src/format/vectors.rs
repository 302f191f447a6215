//! Every vector once, in position order, in pages.
//!
//! ```text
//! page   = records | zeros | crc32c: u32           page_bytes, a multiple of 512
//! record = vector | id (4 or 8 bytes) | inverse norm: f32 (cosine only)
//! ```
//! Position p is record `p % records` of page `p / records`; no record straddles pages. The checksum is
//! seeded with the index's uuid and the page's number. 128 bytes with 4-byte ids: 31 x 132 + 4 = 4096.
use super::checksum::{CRC_BYTES, check_sum, checksum};
use super::{IdBytes, UNIT_BYTES, padded_bytes};
use crate::Metric;

/// Pages are no larger than this unless one record needs more.
const PAGE_BYTES_USUAL: usize = 4096;

/// Shape of the pages of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLayout {
    row_bytes: usize,
    id_bytes: IdBytes,
    norms: bool,
    page_bytes: usize,
}

/// One record of a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record<'a> {
    /// The vector exactly as given.
    pub vector: &'a [u8],
    /// The caller's number for it.
    pub id: u64,
    /// One over its length, under cosine.
    pub inverse_norm: Option<f32>,
}

impl PageLayout {
    /// The layout that wastes the least of a page, for vectors of `row_bytes` compared by `metric`.
    pub fn new(row_bytes: usize, metric: Metric, id_bytes: IdBytes) -> PageLayout {
        let mut layout =
            PageLayout { row_bytes, id_bytes, norms: metric == Metric::Cosine, page_bytes: PAGE_BYTES_USUAL };
        let record = layout.record_bytes();
        let largest = padded_bytes(record + CRC_BYTES).max(PAGE_BYTES_USUAL);
        // Useful share of a page, compared crosswise in integers; of equals the larger page wins.
        let mut best = 0;
        for page in (UNIT_BYTES..=largest).step_by(UNIT_BYTES) {
            let useful = (page - CRC_BYTES) / record * record;
            if useful * layout.page_bytes >= best * page {
                best = useful;
                layout.page_bytes = page;
            }
        }
        layout
    }

    /// Bytes of one record.
    pub fn record_bytes(&self) -> usize {
        self.row_bytes + self.id_bytes.get() + if self.norms { 4 } else { 0 }
    }

    /// Bytes of one page.
    pub fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// Records a page holds.
    pub fn page_records(&self) -> usize {
        (self.page_bytes - CRC_BYTES) / self.record_bytes()
    }

    /// Pages that `vectors` vectors take.
    pub fn pages(&self, vectors: u64) -> u64 {
        vectors.div_ceil(self.page_records() as u64)
    }

    /// Bytes of all pages of `vectors` vectors.
    pub fn body_bytes(&self, vectors: u64) -> u64 {
        self.pages(vectors) * self.page_bytes as u64 // CAST: widening
    }

    /// Page and slot of a position.
    pub fn place(&self, position: u32) -> (u64, usize) {
        let records = self.page_records();
        ((position as usize / records) as u64, position as usize % records)
    }

    /// Appends one record to a page being filled; `inverse_norm` is stored only under cosine.
    pub fn write_record(&self, record: Record<'_>, page: &mut Vec<u8>) {
        assert_eq!(record.vector.len(), self.row_bytes);
        page.extend_from_slice(record.vector);
        self.id_bytes.write(record.id, page);
        if self.norms {
            page.extend_from_slice(&record.inverse_norm.unwrap_or_default().to_le_bytes());
        }
    }

    /// Pads a page with zeros and signs it.
    pub fn finish_page(&self, uuid: u128, page_number: u64, page: &mut Vec<u8>) {
        assert!(page.len() <= self.page_bytes - CRC_BYTES);
        page.resize(self.page_bytes - CRC_BYTES, 0);
        page.extend_from_slice(&checksum(uuid, page_number, page).to_le_bytes());
    }

    /// Whether the bytes are those written for this page of this index: the sums found and expected if not.
    pub fn check_page(&self, uuid: u128, page_number: u64, page: &[u8]) -> Result<(), (u32, u32)> {
        check_sum(uuid, page_number, page)
    }

    /// Record `slot` of a page that was checked.
    pub fn record<'a>(&self, page: &'a [u8], slot: usize) -> Record<'a> {
        let (_, tail) = page.split_at(slot * self.record_bytes());
        let (vector, tail) = tail.split_at(self.row_bytes);
        let (id, tail) = tail.split_at(self.id_bytes.get());
        let inverse_norm = match tail.first_chunk::<4>() {
            Some(&bytes) if self.norms => Some(f32::from_le_bytes(bytes)),
            _ => None,
        };
        Record { vector, id: self.id_bytes.read(id, 0), inverse_norm }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_waste_little() {
        let sift = PageLayout::new(128, Metric::L2, IdBytes::Four);
        assert_eq!((sift.page_bytes(), sift.page_records(), sift.record_bytes()), (4096, 31, 132));
        let wide = PageLayout::new(4 * 768, Metric::L2, IdBytes::Four);
        assert_eq!((wide.page_bytes(), wide.page_records()), (3584, 1));
        for row in [1, 2, 100, 384, 768, 4000, 4088, 4096, 65_536] {
            let layout = PageLayout::new(row, Metric::Cosine, IdBytes::Eight);
            assert!(layout.page_records() >= 1);
            assert_eq!(layout.page_bytes() % UNIT_BYTES, 0);
            assert!(layout.page_records() * layout.record_bytes() + CRC_BYTES <= layout.page_bytes());
        }
    }

    #[test]
    fn a_page_knows_its_place() {
        let layout = PageLayout::new(3, Metric::Cosine, IdBytes::Eight);
        let mut page = Vec::new();
        layout.write_record(Record { vector: b"abc", id: 1 << 40, inverse_norm: Some(0.5) }, &mut page);
        layout.write_record(Record { vector: b"xyz", id: 2, inverse_norm: Some(2.0) }, &mut page);
        layout.finish_page(77, 3, &mut page);
        assert_eq!(page.len(), layout.page_bytes());
        assert!(layout.check_page(77, 3, &page).is_ok());
        assert!(layout.check_page(77, 4, &page).is_err());
        assert!(layout.check_page(78, 3, &page).is_err());
        assert_eq!(layout.record(&page, 1).vector, b"xyz");
        assert_eq!(layout.record(&page, 0).id, 1 << 40);
        assert_eq!(layout.record(&page, 1).inverse_norm, Some(2.0));
        page[100] ^= 4;
        assert!(layout.check_page(77, 3, &page).is_err());
    }
}
