//! Lines as most files have them: keys and texts without escapes, numbers, and arrays of texts and whole numbers. They are read here in one
//! go over their bytes. All else, and all that is wrong, is left to the JSON library.
use super::value::{EachField, TagList, Value};

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
pub(super) fn plain_length(bytes: &[u8]) -> usize {
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
