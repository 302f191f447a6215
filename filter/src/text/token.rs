//! Words, numbers, quoted texts and signs of a filter in text.
#![deny(clippy::indexing_slicing)]
use std::ops::Range;

use super::error::Problem;

/// One piece of the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// A plain name or a word of the language.
    Word(&'a str),
    /// What is between quotes, escapes replaced.
    Quoted { quote: char, text: String },
    /// Digits with sign, point and exponent.
    Number(&'a str),
    /// A bracket, comma or relation.
    Sign(&'static str),
    /// The end of the text.
    End,
}

/// Signs; those that begin with another stand before it.
const SIGNS: [&str; 11] = ["!=", "<=", ">=", "<", ">", "=", "(", ")", "[", "]", ","];

/// Words that no plain name can be.
const KEYWORDS: [&str; 12] =
    ["and", "or", "not", "in", "between", "is", "null", "exists", "contains", "any", "all", "true"];

/// Whether a word belongs to the language, in any case.
pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword)) || word.eq_ignore_ascii_case("false")
}

/// Whether a name needs no quotes.
pub(super) fn is_plain(name: &str) -> bool {
    name.starts_with(begins_word) && name.chars().all(continues_word) && !is_keyword(name)
}

fn begins_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn continues_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

/// A token and where it lies.
#[derive(Debug, Clone)]
pub(super) struct Placed<'a> {
    pub(super) token: Token<'a>,
    pub(super) bytes: Range<usize>,
}

/// What is wrong, and at which byte.
pub(super) type Wrong = (usize, Problem);

/// The first token at or after a byte, which lies between characters.
pub(super) fn next(text: &str, from: usize) -> Result<Placed<'_>, Wrong> {
    let rest = text.get(from..).unwrap_or_default();
    let trimmed = rest.trim_start();
    let start = from + rest.len() - trimmed.len();
    let placed = |token, len: usize| Ok(Placed { token, bytes: start..start + len });
    let Some(first) = trimmed.chars().next() else { return placed(Token::End, 0) };
    if let Some(sign) = SIGNS.into_iter().find(|sign| trimmed.starts_with(sign)) {
        return placed(Token::Sign(sign), sign.len());
    }
    let up_to = |belongs: fn(char) -> bool| {
        let len = trimmed.find(|c| !belongs(c)).unwrap_or(trimmed.len());
        trimmed.get(..len).unwrap_or_default()
    };
    if begins_word(first) {
        let word = up_to(continues_word);
        return placed(Token::Word(word), word.len());
    }
    if first.is_ascii_digit() || matches!(first, '-' | '+' | '.') {
        let number = number(trimmed).ok_or((start, Problem::Number))?;
        return placed(Token::Number(number), number.len());
    }
    if matches!(first, '"' | '\'' | '`') {
        let (inner, len) = quoted(trimmed, first).map_err(|(at, problem)| (start + at, problem))?;
        return placed(Token::Quoted { quote: first, text: inner }, len);
    }
    Err((start, Problem::Character(first)))
}

/// The number that a text begins with. None where it is not followed by a space or a sign, or is not written as JSON does.
fn number(text: &str) -> Option<&str> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
    let number = text.get(..text.find(|c| !is_part(c)).unwrap_or(text.len()))?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = number.strip_prefix('-').unwrap_or(number);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    (digits(whole) && digits(fraction) && digits(exponent)).then_some(number)
}

/// The text between quotes, and how many bytes it takes with them.
fn quoted(text: &str, quote: char) -> Result<(String, usize), Wrong> {
    let mut inner = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok((inner, at + 1));
        }
        if c != '\\' {
            inner.push(c);
            continue;
        }
        let bad = (at, Problem::Escape);
        inner.push(match chars.next().map(|(_, c)| c) {
            Some(c @ ('"' | '\'' | '`' | '\\')) => c,
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let Some(('{', hex)) = chars.next().map(|(at, c)| (c, at + 1)) else { return Err(bad) };
                let end =
                    chars.by_ref().take(7).find(|&(_, c)| c == '}').map(|(at, _)| at).ok_or(bad.clone())?;
                let code = text.get(hex..end).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
                code.and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32).ok_or(bad)?
            }
            _ => return Err(bad),
        });
    }
    Err((0, Problem::Unterminated(quote)))
}
