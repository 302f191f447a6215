//! Timestamps in text, as RFC 3339 has them: `2024-05-01T12:00:00Z`, with a fraction and another offset if need be.
use std::fmt::Write;

const MICROS: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

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
    let Parsed { seconds, fraction } = parse(text).ok_or_else(|| TimestampError::Form(shown()))?;
    if fraction.bytes().skip(6).any(|digit| digit != b'0') {
        return Err(TimestampError::Fine(shown()));
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = digits.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0'));
    Ok(seconds * MICROS + micros)
}

struct Parsed<'a> {
    seconds: i64,
    /// Digits after the point.
    fraction: &'a str,
}

fn parse(text: &str) -> Option<Parsed<'_>> {
    if !text.is_ascii() {
        return None;
    }
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month, day) = (number(date, 0..4)?, number(date, 5..7)?, number(date, 8..10)?);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let (hour, minute, second) = (number(clock, 0..2)?, number(clock, 3..5)?, number(clock, 6..8)?);
    let signs = [date.get(4..5)?, date.get(7..8)?, clock.get(2..3)?, clock.get(5..6)?];
    let in_range = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if signs != ["-", "-", ":", ":"] || !in_range || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("0", rest),
    };
    if fraction.is_empty() {
        return None;
    }
    let seconds = days_to(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
    Some(Parsed { seconds: seconds - offset_seconds(zone)?, fraction })
}

/// Seconds by which a zone is before UTC.
fn offset_seconds(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('+') { 1 } else { -1 };
    let clock =
        zone.strip_prefix(['+', '-']).filter(|clock| clock.len() == 5 && clock.get(2..3) == Some(":"))?;
    let (hours, minutes) = (number(clock, 0..2)?, number(clock, 3..5)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

fn number(text: &str, digits: std::ops::Range<usize>) -> Option<i64> {
    let digits = text.get(digits)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, in years that begin in March, so that the leap day is the last.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The timestamp in text, in UTC, with no more digits than it needs. A year that RFC 3339 cannot write (before 0 or after
/// 9999) makes it the count of microseconds.
pub fn format_timestamp(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(MICROS), micros.rem_euclid(MICROS));
    let (days, second) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
    let of_1_march_0 = days + 719_468;
    let (era, of_era) = (of_1_march_0.div_euclid(146_097), of_1_march_0.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    if !(0..=9999).contains(&year) {
        return micros.to_string();
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        let _ = write!(text, ".{}", digits.trim_end_matches('0'));
    }
    text.push('Z');
    text
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
            assert_eq!(format_timestamp(micros), text);
        }
        assert_eq!(parse_timestamp("2024-05-01t14:00:00.250000000+02:00"), Ok(1_714_564_800_250_000));
        assert_eq!(parse_timestamp("2024-05-01 06:30:00-05:30"), Ok(1_714_564_800_000_000));
        assert_eq!(format_timestamp(i64::MAX), i64::MAX.to_string());
        assert_eq!(format_timestamp(i64::MIN), i64::MIN.to_string());
    }

    #[test]
    fn every_day_comes_back() {
        let mut micros = -62_167_219_200_000_000;
        while micros < 253_402_300_800_000_000 {
            assert_eq!(parse_timestamp(&format_timestamp(micros)), Ok(micros));
            micros += DAY_SECONDS * MICROS * 13 + 1;
        }
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
    }
}
