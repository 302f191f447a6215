//! Lines as most files have them: keys and texts without escapes, numbers, and arrays of texts and whole numbers. They are read here in one
//! go over their bytes. All else, and all that is wrong, is left to the JSON library.
use super::fields::{EachField, TagList, Value};

/// Digits of a whole number that fit 64 bits in any case.
const DIGITS_MAX: usize = 18;

/// Reads plain lines, with memory for what it keeps of one.
#[derive(Debug, Default)]
pub(super) struct PlainReader {
    /// Where the keys of the line begin and end.
    keys: Vec<(usize, usize)>,
}

impl PlainReader {
    /// Calls `each` with every key and value of a line. None where it is not plain: `each` may have been called then, with keys and values as
    /// they are there.
    pub(super) fn read(&mut self, line: &str, tags: &mut TagList, each: EachField<'_>) -> Option<()> {
        let mut text = Text { line, at: 0 };
        self.keys.clear();
        text.eat(b'{')?;
        if text.peek()? == b'}' {
            text.at += 1;
            return text.is_over().then_some(());
        }
        loop {
            let key = text.string()?;
            self.keys.push((text.at - 1 - key.len(), text.at - 1));
            text.eat(b':')?;
            match text.peek()? {
                b'[' => {
                    text.array(tags)?;
                    each(key, Value::Array(tags));
                }
                _ => each(key, text.scalar()?),
            }
            match text.peek()? {
                b',' => text.at += 1,
                b'}' => break,
                _ => return None,
            }
        }
        text.at += 1;
        (text.is_over() && self.are_different(line)).then_some(())
    }

    /// Whether no key comes twice.
    fn are_different(&mut self, line: &str) -> bool {
        let key = |&(start, end): &(usize, usize)| line.get(start..end);
        if let [a, b] = self.keys.as_slice() {
            return key(a) != key(b);
        }
        self.keys.sort_unstable_by_key(key);
        self.keys.iter().zip(self.keys.iter().skip(1)).all(|(a, b)| key(a) != key(b))
    }
}

/// A line and how far it is read.
struct Text<'t> {
    line: &'t str,
    at: usize,
}

impl<'t> Text<'t> {
    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.line.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn is_over(&mut self) -> bool {
        self.peek().is_none()
    }

    /// A text without escapes.
    fn string(&mut self) -> Option<&'t str> {
        self.eat(b'"')?;
        let rest = self.line.as_bytes().get(self.at..)?;
        let length = plain_length(rest);
        if rest.get(length) != Some(&b'"') {
            return None;
        }
        let string = self.line.get(self.at..self.at + length)?;
        self.at += length + 1;
        Some(string)
    }

    /// What is neither an array nor an object.
    fn scalar(&mut self) -> Option<Value<'t>> {
        match self.peek()? {
            b'"' => self.string().map(Value::Text),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Value<'t>) -> Option<Value<'t>> {
        self.line.get(self.at..)?.starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    fn number(&mut self) -> Option<Value<'t>> {
        let rest = self.line.get(self.at..)?;
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let number = rest.get(..rest.bytes().take_while(is_part).count())?;
        self.at += number.len();
        match whole(number) {
            Some(whole) => Some(Value::Whole(whole.into())),
            // A whole number of many digits may be one or not.
            None if number.contains(['.', 'e', 'E']) => serde_json::from_str(number).ok().map(Value::Number),
            None => None,
        }
    }

    /// An array of texts and whole numbers, which are tags as they are written.
    fn array(&mut self, tags: &mut TagList) -> Option<()> {
        self.eat(b'[')?;
        tags.clear();
        let start = self.at;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            let (first, quotes) = match self.peek()? {
                b'"' => (self.at + 1, 1),
                b'0'..=b'9' | b'-' => (self.at, 0),
                _ => return None,
            };
            match self.scalar()? {
                Value::Text(_) | Value::Whole(_) => tags.push_place(first - start, self.at - quotes - start),
                _ => return None,
            }
            match self.peek()? {
                b',' => self.at += 1,
                b']' => break,
                _ => return None,
            }
        }
        tags.finish(self.line.get(start..self.at)?);
        self.at += 1;
        Some(())
    }
}

/// Bytes before the first quote, backslash or control character, or all.
fn plain_length(bytes: &[u8]) -> usize {
    let of_eight = |byte: u8| u64::from_le_bytes([byte; 8]);
    let (ones, highs) = (of_eight(1), of_eight(0x80));
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The lowest high bit of each is that of the first byte that is zero, or below a space: those above may be others.
        let zero = |of: u64| of.wrapping_sub(ones) & !of;
        let control = word.wrapping_sub(of_eight(b' ')) & !word;
        let found = (zero(word ^ of_eight(b'"')) | zero(word ^ of_eight(b'\\')) | control) & highs;
        if found != 0 {
            return 8 * number + found.trailing_zeros() as usize / 8; // CAST: widening
        }
    }
    let others = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ');
    8 * words.len() + others.unwrap_or(rest.len())
}

/// A whole number as JSON writes it, of few digits. -0 is none.
fn whole(number: &str) -> Option<i64> {
    let digits = number.strip_prefix('-').unwrap_or(number);
    let is_plain = match digits.as_bytes() {
        [b'0'] => digits.len() == number.len(),
        [b'1'..=b'9', others @ ..] => {
            digits.len() <= DIGITS_MAX && others.iter().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    };
    if is_plain { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::attributes::fields::read_by_library;

    /// A key and what was read of its value.
    type Read = (String, String);

    /// What is read of a line, and whether that is all.
    fn read(read: impl FnOnce(&mut TagList, EachField<'_>) -> bool) -> Option<Vec<Read>> {
        let mut fields = Vec::new();
        let mut each = |key: &str, value: Value<'_>| {
            let value = match value {
                Value::Array(tags) => format!("{:?} {:?}", tags.iter().collect::<Vec<_>>(), tags.check(key)),
                Value::Number(number) => format!("bits {:x}", number.to_bits()),
                other => format!("{other:?}"),
            };
            fields.push((key.to_owned(), value));
        };
        read(&mut TagList::default(), &mut each).then_some(fields)
    }

    fn plain(line: &str) -> Option<Vec<Read>> {
        read(|tags, each| PlainReader::default().read(line, tags, each).is_some())
    }

    fn library(line: &str) -> Option<Vec<Read>> {
        read(|tags, each| read_by_library(line, tags, each).is_ok())
    }

    #[test]
    fn texts_end_at_what_is_not_plain() {
        let usual = "plain text, grün, of more than one word: ~\u{7f}\u{80}";
        for at in 0..=usual.len() {
            for end in 0..=u8::MAX {
                let mut bytes = usual.as_bytes().to_vec();
                bytes.insert(at, end);
                let is_end = end == b'"' || end == b'\\' || end < b' ';
                assert_eq!(plain_length(&bytes), if is_end { at } else { bytes.len() }, "{end} at {at}");
            }
        }
    }

    #[test]
    fn usual_lines_are_plain() {
        for line in [
            r#"{"id":0,"tags":["0","2",7,"-5",-5]}"#,
            "{ \"id\" : 12 ,\t\"é\":\"grün\", \"n\":null, \"ok\":true, \"no\" : false, \"x\":-1.5e3, \"none\":[ ] } \r",
            "{}",
        ] {
            assert_eq!(plain(line), library(line), "{line}");
            assert!(plain(line).is_some(), "{line}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_library() {
        for line in [
            r#"{"id":0,"id":1}"#,
            r#"{"id":0,"a":{"b":1}}"#,
            r#"{"id":0,"a":["x",["y"]]}"#,
            r#"{"id":0,"a":["x",]}"#,
            r#"{"id":0,"a":[1.5]}"#,
            r#"{"id":0,"a":"\n"}"#,
            "{\"id\":0,\"a\":\"\t\"}",
            r#"{"id":0} {"#,
            r#"{"id":01}"#,
            r#"{"id":-0}"#,
            r#"{"id":1.}"#,
            r#"{"id":1e999}"#,
            r#"{"id":9223372036854775808}"#,
            r#"{"id":truely}"#,
            r#"{"id":0,}"#,
            r#"{"id"}"#,
            r#"{"id":0"#,
            "[1]",
            "",
        ] {
            assert_eq!(plain(line), None, "{line}");
        }
    }

    /// Pieces of lines, put together in any order, with one byte changed or not.
    fn lines() -> impl Strategy<Value = String> {
        let pieces = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\"a\"",
            "\"b\"",
            "\"id\"",
            "\"\\u00e9\"",
            "\"é\"",
            "0",
            "-0",
            "17",
            "-3",
            "1.25",
            "1e5",
            "1E-400",
            "123456789012345678",
            "12345678901234567890",
            "true",
            "false",
            "null",
            "\"",
            "-",
            ".",
        ];
        let value = prop_oneof![
            prop::sample::select(pieces.to_vec()).prop_map(str::to_owned),
            prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..4)
                .prop_map(|of| format!("[{}]", of.join(","))),
        ];
        let field = (prop::sample::select(vec!["id", "a", "b", "é", "c\\n"]), value);
        let line = prop::collection::vec(field, 0..4).prop_map(|fields| {
            let fields: Vec<String> =
                fields.into_iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
            format!("{{{}}}", fields.join(", "))
        });
        (line, any::<prop::sample::Index>(), prop::sample::select(pieces.to_vec()), any::<bool>()).prop_map(
            |(mut line, at, piece, is_changed)| {
                let at = at.index(line.len());
                if is_changed && line.is_char_boundary(at) {
                    line.insert_str(at, piece);
                }
                line
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn what_is_plain_is_read_as_by_the_library(line in lines()) {
            if let Some(fields) = plain(&line) {
                prop_assert_eq!(Some(fields), library(&line), "{}", line);
            }
        }
    }
}
