//! The CRC-32 of zip archives (ISO 3309), byte by byte: they are read once in a build.

/// The polynomial, reflected.
const POLYNOMIAL: u32 = 0xedb8_8320;

const TABLE: [u32; 256] = table();

#[expect(clippy::indexing_slicing, reason = "the loop ends at the table's length")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32; // CAST: at most 255
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { POLYNOMIAL ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

/// A sum under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crc32(u32);

impl Default for Crc32 {
    fn default() -> Crc32 {
        Crc32(u32::MAX)
    }
}

impl Crc32 {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let [low, ..] = self.0.to_le_bytes();
            let entry = TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default();
            self.0 = entry ^ (self.0 >> 8);
        }
    }

    pub(super) fn finish(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standard() {
        let of = |pieces: &[&[u8]]| {
            let mut crc = Crc32::default();
            pieces.iter().for_each(|piece| crc.add(piece));
            crc.finish()
        };
        assert_eq!(of(&[b"123456789"]), 0xcbf4_3926);
        assert_eq!(of(&[b"1234", b"", b"56789"]), 0xcbf4_3926);
        assert_eq!(of(&[]), 0);
    }
}
