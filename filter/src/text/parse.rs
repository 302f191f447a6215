//! From text to expression.
//!
//! ```text
//! filter    = conjunction { "or" conjunction }
//! conjunction = negation { "and" negation }
//! negation  = "not" negation | "(" filter ")" | predicate
//! predicate = name ( relation value | ["not"] "in" list | "between" value "and" value
//!                  | "is" ["not"] "null" | "exists" | "contains" ( tag | ("any" | "all") list ) )
//! list      = "[" [ value { "," value } ] "]"
//! ```
use super::error::{ParseError, Problem};
use super::token::{Placed, Token, Wrong, is_keyword, next};
use crate::attribute::ID;
use crate::expression::{Comparison, Filter, TagMode, Value, single_or};
use crate::limits::{FILTER_BYTES_MAX, NESTING_MAX, TERMS_MAX, VALUES_MAX};

pub(super) fn parse(text: &str) -> Result<Filter, ParseError> {
    let whole = || {
        if text.len() > FILTER_BYTES_MAX {
            return Err((0, Problem::Bytes(text.len())));
        }
        let mut parser = Parser { text, next: next(text, 0)?, terms: 0, values: 0 };
        let filter = parser.disjunction(0)?;
        match parser.next.token {
            Token::End => Ok(filter),
            _ => Err(parser.expected("and, or, or the end")),
        }
    };
    whole().map_err(|(offset, problem)| ParseError::new(text, offset, problem))
}

struct Parser<'a> {
    text: &'a str,
    /// The token not taken yet.
    next: Placed<'a>,
    terms: usize,
    values: usize,
}

impl<'a> Parser<'a> {
    fn disjunction(&mut self, depth: usize) -> Result<Filter, Wrong> {
        let mut parts = vec![self.conjunction(depth)?];
        while self.takes_word("or")? {
            parts.push(self.conjunction(depth)?);
        }
        Ok(single_or(parts, Filter::Or))
    }

    fn conjunction(&mut self, depth: usize) -> Result<Filter, Wrong> {
        let mut parts = vec![self.negation(depth)?];
        while self.takes_word("and")? {
            parts.push(self.negation(depth)?);
        }
        Ok(single_or(parts, Filter::And))
    }

    fn negation(&mut self, depth: usize) -> Result<Filter, Wrong> {
        // The innermost comparison may have brackets of its own.
        if depth > NESTING_MAX + 1 {
            return Err((self.next.bytes.start, Problem::Nesting));
        }
        if self.takes_word("not")? {
            return Ok(Filter::Not(Box::new(self.negation(depth + 1)?)));
        }
        if self.takes_sign("(")? {
            let inner = self.disjunction(depth + 1)?;
            self.sign(")", "and, or, or )")?;
            return Ok(inner);
        }
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err((self.next.bytes.start, Problem::Terms));
        }
        self.predicate()
    }

    fn predicate(&mut self) -> Result<Filter, Wrong> {
        let name = self.name()?;
        if name == ID {
            return self.ids();
        }
        if let Some(comparison) = self.takes_comparison()? {
            return Ok(Filter::Compare { name, comparison, value: self.value()? });
        }
        if self.takes_word("in")? {
            return Ok(Filter::In { name, values: self.list(Self::value)?, negated: false });
        }
        if self.takes_word("not")? {
            self.word("in", "in")?;
            return Ok(Filter::In { name, values: self.list(Self::value)?, negated: true });
        }
        if self.takes_word("between")? {
            let low = self.value()?;
            self.word("and", "and")?;
            return Ok(Filter::Between { name, low, high: self.value()? });
        }
        if self.takes_word("exists")? {
            return Ok(Filter::Not(Box::new(Filter::IsNull { name })));
        }
        if self.takes_word("is")? {
            let negated = self.takes_word("not")?;
            self.word("null", if negated { "null" } else { "null or not null" })?;
            let is_null = Filter::IsNull { name };
            return Ok(if negated { Filter::Not(Box::new(is_null)) } else { is_null });
        }
        if self.takes_word("contains")? {
            let mode = match () {
                () if self.takes_word("any")? => TagMode::Any,
                () if self.takes_word("all")? => TagMode::All,
                () => return Ok(Filter::Contains { name, tags: vec![self.tag()?], mode: TagMode::Any }),
            };
            return Ok(Filter::Contains { name, tags: self.list(Self::tag)?, mode });
        }
        Err(self.expected("= != < <= > >= in, not in, between, is, exists or contains"))
    }

    fn ids(&mut self) -> Result<Filter, Wrong> {
        let comparison = self.takes_comparison()?;
        let (ids, negated) = match comparison {
            Some(Comparison::Equal) => (vec![self.id()?], false),
            Some(Comparison::NotEqual) => (vec![self.id()?], true),
            None if self.takes_word("in")? => (self.list(Self::id)?, false),
            None if self.takes_word("not")? => {
                self.word("in", "in")?;
                (self.list(Self::id)?, true)
            }
            _ => return Err(self.expected("=, !=, in or not in after id, which is the row's id")),
        };
        Ok(if negated { Filter::Not(Box::new(Filter::Ids(ids))) } else { Filter::Ids(ids) })
    }

    fn name(&mut self) -> Result<String, Wrong> {
        let name = match &self.next.token {
            Token::Word(word) if !is_keyword(word) => (*word).to_owned(),
            Token::Word(_) => {
                return Err(self.expected("a name; quote one that is a word of the language, as `in`"));
            }
            Token::Quoted { quote: '`' | '"', text } => text.clone(),
            _ => return Err(self.expected("a name, not or (")),
        };
        self.advance()?;
        Ok(name)
    }

    fn value(&mut self) -> Result<Value, Wrong> {
        let value = match &self.next.token {
            Token::Quoted { quote: '"' | '\'', text } => Value::Text(text.clone()),
            Token::Number(digits) => self.number(digits)?,
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Value::Bool(true),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Value::Bool(false),
            Token::Word(word) if word.eq_ignore_ascii_case("null") => {
                return Err(self.expected("a value; rows without one are found by `is null`"));
            }
            Token::Word(_) => return Err(self.expected("a value; text stands in quotes, as \"red\"")),
            _ => return Err(self.expected("a value")),
        };
        self.advance()?;
        Ok(value)
    }

    fn number(&self, digits: &str) -> Result<Value, Wrong> {
        if let Ok(whole) = digits.parse() {
            return Ok(Value::I64(whole));
        }
        let number: Option<f64> = digits.parse().ok().filter(|number: &f64| number.is_finite());
        Ok(Value::F64(number.ok_or((self.next.bytes.start, Problem::Number))?))
    }

    fn tag(&mut self) -> Result<String, Wrong> {
        let tag = match &self.next.token {
            Token::Quoted { quote: '"' | '\'', text } => Some(text.clone()),
            // Tags of files that number them are read as their digits.
            Token::Number(digits) => digits.parse::<i64>().ok().map(|number| number.to_string()),
            _ => None,
        };
        let tag = tag.ok_or_else(|| self.expected("a tag in quotes, as \"red\", or a whole number"))?;
        self.advance()?;
        Ok(tag)
    }

    fn id(&mut self) -> Result<u64, Wrong> {
        let id = match self.next.token {
            Token::Number(digits) => digits.parse().ok().filter(|&id| id != u64::MAX),
            _ => None,
        };
        let id = id.ok_or((self.next.bytes.start, Problem::Id))?;
        self.advance()?;
        Ok(id)
    }

    fn list<T>(&mut self, item: fn(&mut Self) -> Result<T, Wrong>) -> Result<Vec<T>, Wrong> {
        self.sign("[", "a list in [ ]")?;
        let mut items = Vec::new();
        if self.takes_sign("]")? {
            return Ok(items);
        }
        loop {
            self.values += 1;
            if self.values > VALUES_MAX {
                return Err((self.next.bytes.start, Problem::Values));
            }
            items.push(item(self)?);
            if !self.takes_sign(",")? {
                self.sign("]", ", or ]")?;
                return Ok(items);
            }
        }
    }

    fn takes_comparison(&mut self) -> Result<Option<Comparison>, Wrong> {
        let found = Comparison::ALL.into_iter().find(|c| self.next.token == Token::Sign(c.sign()));
        if found.is_some() {
            self.advance()?;
        }
        Ok(found)
    }

    fn takes_word(&mut self, word: &str) -> Result<bool, Wrong> {
        let found = matches!(self.next.token, Token::Word(next) if next.eq_ignore_ascii_case(word));
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn takes_sign(&mut self, sign: &'static str) -> Result<bool, Wrong> {
        let found = self.next.token == Token::Sign(sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn word(&mut self, word: &str, expected: &'static str) -> Result<(), Wrong> {
        if self.takes_word(word)? { Ok(()) } else { Err(self.expected(expected)) }
    }

    fn sign(&mut self, sign: &'static str, expected: &'static str) -> Result<(), Wrong> {
        if self.takes_sign(sign)? { Ok(()) } else { Err(self.expected(expected)) }
    }

    fn advance(&mut self) -> Result<(), Wrong> {
        self.next = next(self.text, self.next.bytes.end)?;
        Ok(())
    }

    fn expected(&self, expected: &'static str) -> Wrong {
        let text = self.text.get(self.next.bytes.clone()).unwrap_or_default();
        let found = match self.next.token {
            Token::End => "the end".to_owned(),
            _ => text.chars().take(40).collect(),
        };
        (self.next.bytes.start, Problem::Expected { expected, found })
    }
}
