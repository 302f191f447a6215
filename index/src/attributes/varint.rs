//! Whole numbers in as few bytes as they need: seven bits a byte, low ones first, the top bit on all bytes but the last.

/// Most bytes of a number.
const BYTES_MAX: usize = 10;

/// Appends a number.
pub(super) fn write(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80); // CAST: the low seven bits
        number >>= 7;
    }
    out.push(number as u8); // CAST: below 0x80
}

/// Takes a number off the front; none where the bytes end before it does, or where it does not fit 64 bits.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (at, &byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if at == BYTES_MAX - 1 && bits > 1 {
            return None;
        }
        number |= bits << (7 * at);
        if byte < 0x80 {
            *bytes = bytes.get(at + 1..).unwrap_or_default();
            return Some(number);
        }
    }
    None
}

/// As [`take`], of a number that fits 32 bits.
pub(super) fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).and_then(|number| u32::try_from(number).ok())
}

/// Takes the first `count` bytes off the front.
pub(super) fn take_bytes<'a>(bytes: &mut &'a [u8], count: u64) -> Option<&'a [u8]> {
    let (first, rest) = bytes.split_at_checked(usize::try_from(count).ok()?)?;
    *bytes = rest;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_what_is_cut_or_too_large_is_refused() {
        for number in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            write(number, &mut bytes);
            let mut rest = bytes.as_slice();
            assert_eq!((take(&mut rest), rest.len()), (Some(number), 0));
            assert_eq!(take(&mut &bytes[..bytes.len() - 1]), None, "{number}");
            assert_eq!(take_u32(&mut bytes.as_slice()), u32::try_from(number).ok());
        }
        assert_eq!(take(&mut [0xff; 11].as_slice()), None);
        assert_eq!(take(&mut [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2].as_slice()), None);
    }
}
