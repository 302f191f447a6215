//! Numbers of 32 bits in JSON, with the digits that they are told by.
use serde::Serialize;
use serde_json::Value;

/// The number of the fewest digits that stands for this one: as a number of 64 bits it would have more.
pub(crate) fn short(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::NAN)
}

/// A value as it is written: a `Value` made of it directly holds its numbers of 32 bits with the digits of 64.
pub(crate) fn written(value: &impl Serialize) -> Value {
    serde_json::to_string(value).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_32_bits() {
        assert_eq!(serde_json::json!({ "a": 0.95_f32 }).to_string(), r#"{"a":0.949999988079071}"#);
        assert_eq!(short(0.95).to_string(), "0.95");
        assert_eq!(written(&[Some(0.95_f32), None]).to_string(), "[0.95,null]");
        assert_eq!(written(&f32::NAN), Value::Null);
    }
}
