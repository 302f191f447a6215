//! Sizes in bytes, as people write them.
use std::fmt;
use std::str::FromStr;

/// A number of bytes: `8GiB`, `512MiB`, `2g`, `1.5G`, `100MB`, `4096`.
///
/// A lone letter counts in powers of 1024, like `KiB` and its kin; `kB`, `MB`, `GB`, `TB` count in powers of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// What is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a number of bytes with an optional unit, such as 8GiB, 512MiB or 2g")]
pub struct BadSize;

/// Units by their lower-case names.
const UNITS: [(&str, u64); 14] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
];

impl FromStr for ByteSize {
    type Err = BadSize;

    fn from_str(text: &str) -> Result<ByteSize, BadSize> {
        let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits_end);
        let unit = unit.trim_start().to_ascii_lowercase();
        let (_, unit_bytes) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(BadSize)?;
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(unit_bytes).map(ByteSize).ok_or(BadSize);
        }
        let bytes = number.parse::<f64>().map_err(|_| BadSize)? * unit_bytes as f64; // CAST: at most 2^40
        // The bound keeps the conversion exact enough and far from overflow.
        if unit_bytes == 1 || !(0.0..9e18).contains(&bytes) {
            return Err(BadSize);
        }
        Ok(ByteSize(bytes.round() as u64)) // CAST: checked just above
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 > 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{name}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("17b", 17),
            ("2g", 2 << 30),
            ("2G", 2 << 30),
            ("8GiB", 8 << 30),
            ("8 gib", 8 << 30),
            ("512MiB", 512 << 20),
            ("1.5GiB", 3 << 29),
            ("100MB", 100_000_000),
            ("64k", 65_536),
            ("1tb", 1_000_000_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for bad in ["", "g", "-1", "+1g", "1.5", "1..5g", "1e9", "8 GiBs", "99999999t", "1,5g", "0x10", "."] {
            assert_eq!(bad.parse::<ByteSize>(), Err(BadSize), "{bad}");
        }
    }

    #[test]
    fn shown_as_it_is_read() {
        for bytes in [0, 1, 1000, 4096, 3 << 29, 8 << 30, 5 << 40] {
            let size = ByteSize(bytes);
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        assert_eq!(ByteSize(8 << 30).to_string(), "8GiB");
    }
}
