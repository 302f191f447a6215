//! Numbers for people.

/// A count with its thousands apart: `1 000 000`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Three digits that matter, or all digits before the point: `1.53`, `15.3`, `153`, `1 530`.
pub fn three_digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => {
            let sign = if value < 0.0 { "-" } else { "" };
            sign.to_owned() + &count(size.round() as u64) // CAST: saturates, which only a broken file can cause
        }
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Bytes in powers of 1000: `375 kB`, `1.53 GB`.
pub fn bytes(value: f64) -> String {
    let mut scaled = value;
    for name in ["B", "kB", "MB", "GB"] {
        if scaled < 999.5 {
            return if name == "B" {
                format!("{scaled:.0} B")
            } else {
                format!("{} {name}", three_digits(scaled))
            };
        }
        scaled /= 1000.0;
    }
    format!("{} TB", three_digits(scaled))
}

/// Microseconds in the unit that suits: `870 us`, `1.53 ms`, `2.10 s`.
pub fn micros(value: f64) -> String {
    if value < 999.5 {
        format!("{} us", three_digits(value))
    } else if value < 999_500.0 {
        format!("{} ms", three_digits(value / 1e3))
    } else {
        format!("{} s", three_digits(value / 1e6))
    }
}

/// Seconds as people say them: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`.
pub fn seconds(value: f64) -> String {
    if value < 0.95 {
        return format!("{value:.1} s");
    }
    let whole = value.round() as u64; // CAST: saturates, which is as good as any number here
    match whole {
        0..100 => format!("{whole} s"),
        100..7200 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        assert_eq!(
            [0, 12, 123, 1234, 123_456, 1_234_567].map(count),
            ["0", "12", "123", "1 234", "123 456", "1 234 567"]
        );
    }

    #[test]
    fn digits() {
        assert_eq!(
            [0.0, 0.0123, 0.9999, 1.529, 9.996, 15.34, 99.96, 1529.7].map(three_digits),
            ["0.00", "0.012", "1.00", "1.53", "10.0", "15.3", "100", "1 530"]
        );
        assert_eq!(three_digits(-1234.0), "-1 234");
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(
            [0.0, 999.0, 999.6, 375_000.0, 1.53e9, 2e15].map(bytes),
            ["0 B", "999 B", "1.00 kB", "375 kB", "1.53 GB", "2 000 TB"]
        );
        assert_eq!(
            [87.0, 999.7, 1530.0, 2_100_000.0].map(micros),
            ["87.0 us", "1.00 ms", "1.53 ms", "2.10 s"]
        );
        assert_eq!(
            [0.04, 1.2, 99.0, 185.0, 7800.0].map(seconds),
            ["0.0 s", "1 s", "99 s", "3 min 05 s", "2 h 10 min"]
        );
    }
}
