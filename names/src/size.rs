//! Numbers of bytes in messages, in a unit that fits, as flags for sizes take them.

/// Units, and the least number of bytes that each is used for.
const UNITS: [(u64, u64, &str); 3] =
    [(10_000_000_000, 100_000_000, "GB"), (10_000_000, 1_000_000, "MB"), (10_000, 1_000, "kB")];

/// Bytes that are needed, rounded up: `53MB`, `12.5GB`, `200B`.
pub fn size_needed(bytes: u64) -> String {
    size(bytes, u64::div_ceil)
}

/// Bytes that there are, rounded down.
pub fn size_left(bytes: u64) -> String {
    size(bytes, |bytes, step| bytes / step)
}

fn size(bytes: u64, divided: fn(u64, u64) -> u64) -> String {
    let Some((_, step, name)) = UNITS.into_iter().find(|(least, ..)| bytes >= *least) else {
        return format!("{bytes}B");
    };
    let steps = divided(bytes, step);
    match name {
        "GB" => format!("{}.{}GB", steps / 10, steps % 10),
        name => format!("{steps}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `--memory 200` was told as 0MB.
    #[test]
    fn sizes_have_a_unit_that_fits() {
        for (bytes, needed, left) in [
            (0, "0B", "0B"),
            (200, "200B", "200B"),
            (12_345, "13kB", "12kB"),
            (52_100_001, "53MB", "52MB"),
            (9_999_999_999, "10000MB", "9999MB"),
            (12_340_000_000, "12.4GB", "12.3GB"),
            (u64::MAX, "18446744073.8GB", "18446744073.7GB"),
        ] {
            assert_eq!((size_needed(bytes), size_left(bytes)), (needed.to_owned(), left.to_owned()));
        }
    }
}
