//! Bytes and JSON as a bad disk, another writer or a hostile hand would leave them.
use std::fs;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

/// Numbers at which arithmetic goes wrong.
const NUMBERS: [u64; 12] =
    [0, 1, 2, 127, 255, 65_535, 1 << 31, u32::MAX as u64, 1 << 32, (1 << 53) + 1, i64::MAX as u64, u64::MAX];

/// One to four changes: bits, bytes, whole numbers in binary or in digits, parts cut off, added, left out or repeated. Half of
/// them near the front, where headers are.
pub fn mutated(good: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        if bytes.is_empty() {
            bytes.push(rng.random());
        }
        let end = if rng.random() { bytes.len() } else { bytes.len().min(128) };
        let at = rng.random_range(0..end);
        let rest = bytes.len() - at;
        let number = NUMBERS[rng.random_range(0..NUMBERS.len())];
        match rng.random_range(0..9) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => {
                let width = [2, 4, 8][rng.random_range(0..3)].min(rest);
                let little = number.to_le_bytes();
                let of_number = if rng.random() { little } else { number.swap_bytes().to_le_bytes() };
                bytes[at..at + width].copy_from_slice(&of_number[..width]);
            }
            3 => bytes.truncate(at),
            4 => bytes.extend((0..rng.random_range(1..40)).map(|_| rng.random::<u8>())),
            5 => drop(bytes.drain(at..at + rng.random_range(1..=rest.min(40)))),
            6 => {
                let part = bytes[at..at + rng.random_range(1..=rest.min(40))].to_vec();
                bytes.splice(at..at, part);
            }
            7 => {
                let part = bytes[at..at + rng.random_range(1..=rest.min(40))].to_vec();
                let to = rng.random_range(0..=bytes.len() - part.len());
                bytes[to..to + part.len()].copy_from_slice(&part);
            }
            _ => {
                let is_digit = |byte: &u8| byte.is_ascii_digit();
                let Some(start) = bytes[at..].iter().position(is_digit) else { continue };
                let digits = bytes[at + start..].iter().take_while(|byte| is_digit(byte)).count();
                bytes.splice(at + start..at + start + digits, number.to_string().into_bytes());
            }
        }
    }
    bytes
}

/// One or two values of a document replaced, left out or repeated.
pub fn mutated_json(good: &Value, rng: &mut ChaCha8Rng) -> Value {
    let mut value = good.clone();
    for _ in 0..rng.random_range(1..=2) {
        mutate(&mut value, rng);
    }
    value
}

/// Goes down to a random place, and changes what is there.
fn mutate(value: &mut Value, rng: &mut ChaCha8Rng) {
    let goes_on = rng.random_range(0..8) != 0;
    match value {
        Value::Object(fields) if goes_on && !fields.is_empty() => {
            let name = fields.keys().nth(rng.random_range(0..fields.len())).cloned().unwrap_or_default();
            match rng.random_range(0..12) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert(format!("{name}x"), json!(1))),
                _ => mutate(&mut fields[&name], rng),
            }
        }
        Value::Array(values) if goes_on && !values.is_empty() => {
            let at = rng.random_range(0..values.len());
            match rng.random_range(0..8) {
                0 => drop(values.remove(at)),
                1 => values.push(values[at].clone()),
                _ => mutate(&mut values[at], rng),
            }
        }
        other => *other = replacement(other, rng),
    }
}

fn replacement(value: &Value, rng: &mut ChaCha8Rng) -> Value {
    let number = NUMBERS[rng.random_range(0..NUMBERS.len())];
    match (value, rng.random_range(0..8)) {
        (_, 0) => Value::Null,
        (_, 1) => [json!(""), json!(-1), json!(1.5), json!([])][rng.random_range(0..4)].clone(),
        (Value::Number(of), 2) => json!(of.as_u64().unwrap_or_default().wrapping_add(1)),
        (Value::Number(of), 3) => json!(of.as_u64().unwrap_or_default().wrapping_sub(1)),
        (Value::Number(_), 4) => json!([-1e300, 1e300, -0.5, 1e-300][rng.random_range(0..4)]),
        (Value::Number(_), _) => json!(number),
        (Value::String(text), 2) => json!(text.repeat(20)),
        (Value::String(_), 3) => json!("../../elsewhere"),
        (Value::String(text), _) => json!(text.chars().rev().collect::<String>()),
        (Value::Bool(is), _) => json!(!is),
        (_, 2) => Value::Object(Map::new()),
        (_, _) => json!(number),
    }
}

/// Most memory that the process ever had reserved, in bytes: one length of a file that is believed shows in it.
///
/// # Panics
/// Where the system does not tell.
pub fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).expect("a peak");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("kilobytes") << 10
}
