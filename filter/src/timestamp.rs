//! Timestamps in text, as RFC 3339 has them: `2024-05-01T12:00:00Z`, optionally with a fraction and another offset.
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Nanoseconds in a microsecond.
const NANOS: i128 = 1000;

/// A text that is no timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// It is not written as RFC 3339 says, or names a day or an hour that does not exist.
    #[error("{0:?} is no timestamp such as 2024-05-01T12:00:00Z or 2024-05-01T14:00:00.25+02:00 (RFC 3339)")]
    Form(String),
    /// Its fraction does not end at microseconds.
    #[error("{0:?} is finer than microseconds, which timestamps are counted in")]
    Fine(String),
}

/// Microseconds since 1970-01-01T00:00:00Z.
///
/// # Errors
/// Texts that are no RFC 3339 timestamp, or finer than microseconds. Leap seconds (`:60`) are refused: no count of
/// microseconds tells them from the second after.
pub fn parse_timestamp(text: &str) -> Result<i64, TimestampError> {
    let shown = || text.chars().take(60).collect::<String>();
    let form = |_| TimestampError::Form(shown());
    let nanos = OffsetDateTime::parse(text, &Rfc3339).map_err(form)?.unix_timestamp_nanos();
    // A leap second has become the last nanosecond of its minute.
    if text.get(17..19) == Some("60") {
        return Err(TimestampError::Form(shown()));
    }
    // Digits beyond nanoseconds were left out, so the digits are looked at.
    let fraction = text.bytes().skip(20).take_while(u8::is_ascii_digit);
    if fraction.skip(6).any(|digit| digit != b'0') {
        return Err(TimestampError::Fine(shown()));
    }
    i64::try_from(nanos / NANOS).map_err(|_| TimestampError::Form(shown()))
}

/// The text of microseconds since 1970-01-01T00:00:00Z; none outside of the years 0 to 9999.
pub fn format_timestamp(micros: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * NANOS).ok()?;
    time.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        let times = [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000001Z", 1),
            ("1969-12-31T23:59:59.5Z", -500_000),
            ("2000-02-29T12:30:00Z", 951_827_400_000_000),
            ("2024-05-01T12:00:00Z", 1_714_564_800_000_000),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000_000),
        ];
        for (text, micros) in times {
            assert_eq!(parse_timestamp(text), Ok(micros), "{text}");
            assert_eq!(format_timestamp(micros).as_deref(), Some(text));
        }
        assert_eq!(parse_timestamp("2024-05-01t14:00:00.250000000+02:00"), Ok(1_714_564_800_250_000));
        assert_eq!(parse_timestamp("2024-05-01 06:30:00-05:30"), Ok(1_714_564_800_000_000));
        assert_eq!(parse_timestamp("2024-05-01T12:00:00.2500000000000Z"), Ok(1_714_564_800_250_000));
        assert_eq!(parse_timestamp("2024-05-01T12:00:00.5+00:01"), Ok(1_714_564_740_500_000));
    }

    #[test]
    fn every_day_comes_back() {
        let mut micros = -62_167_219_200_000_000;
        while micros < 253_402_300_800_000_000 {
            assert_eq!(parse_timestamp(&format_timestamp(micros).unwrap()), Ok(micros));
            micros += 13 * 86_400_000_000 + 1;
        }
        assert_eq!((format_timestamp(i64::MAX), format_timestamp(i64::MIN)), (None, None));
    }

    #[test]
    fn other_texts_are_refused() {
        let bad = [
            "",
            "2024",
            "2024-05-01",
            "2024-05-01T12:00:00",
            "2024-05-01T12:00Z",
            "2024-13-01T12:00:00Z",
            "2023-02-29T12:00:00Z",
            "1900-02-29T12:00:00Z",
            "2024-05-00T12:00:00Z",
            "2024-05-01T24:00:00Z",
            "2024-05-01T12:60:00Z",
            "2016-12-31T23:59:60Z",
            "2024-05-01T12:00:00.Z",
            "2024-05-01T12:00:00+0200",
            "2024-05-01T12:00:00+24:00",
            "2024-05-01T12:00:00Zx",
            "2024/05/01T12:00:00Z",
            "+024-05-01T12:00:00Z",
            "2024-05-01T12-00-00Z",
            "２024-05-01T12:00:00Z",
            "2024-05-01T12:00:00.5",
        ];
        for text in bad {
            assert!(matches!(parse_timestamp(text), Err(TimestampError::Form(_))), "{text}");
        }
        let fine = parse_timestamp("2024-05-01T12:00:00.0000001Z").unwrap_err().to_string();
        assert_eq!(
            fine,
            "\"2024-05-01T12:00:00.0000001Z\" is finer than microseconds, which timestamps are counted in"
        );
        let finer = parse_timestamp("2024-05-01T12:00:00.0000000001+02:00");
        assert!(matches!(finer, Err(TimestampError::Fine(_))), "{finer:?}");
    }
}
