//! Numbers as unsigned keys in the same order, which indexes hold and ranges are made of.

const SIGN: u64 = 1 << 63;

/// The key of a whole number or a timestamp.
pub fn key_of_i64(value: i64) -> u64 {
    value.cast_unsigned() ^ SIGN
}

/// The number with this key.
pub fn i64_of_key(key: u64) -> i64 {
    (key ^ SIGN).cast_signed()
}

/// The key of a finite number; that of -0 is the key of 0.
pub fn key_of_f64(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The number with this key.
pub fn f64_of_key(key: u64) -> f64 {
    f64::from_bits(if key & SIGN == 0 { !key } else { key ^ SIGN })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_numbers() {
        let whole = [i64::MIN, -2, -1, 0, 1, 2, i64::MAX];
        assert!(whole.windows(2).all(|pair| key_of_i64(pair[0]) < key_of_i64(pair[1])));
        assert!(whole.iter().all(|&value| i64_of_key(key_of_i64(value)) == value));
        let numbers = [f64::MIN, -1.5, -1.0, -f64::MIN_POSITIVE, 0.0, 5e-324, 1.0, 1.5, f64::MAX];
        assert!(numbers.windows(2).all(|pair| key_of_f64(pair[0]) < key_of_f64(pair[1])));
        assert!(numbers.iter().all(|&value| f64_of_key(key_of_f64(value)) == value));
        assert_eq!(key_of_f64(-0.0), key_of_f64(0.0));
    }
}
