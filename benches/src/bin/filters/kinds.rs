//! What vectors are given so that filters of each kind match the first vectors of an order, and those filters.
use std::fmt;
use std::str::FromStr;

use spandrel_filter::{AttributeType, Filter, TagMode, Value};

use crate::orders::Order;

/// Shares of the vectors that match, most first.
pub(crate) const SHARES: [f64; 9] = [0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001, 0.0001];
/// Values of a keyword between one share and the next.
const PARTS: u32 = 8;

/// One of [`SHARES`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share(pub(crate) f64);

impl Share {
    /// Its number among all.
    pub(crate) fn number(self) -> usize {
        SHARES.iter().position(|&share| share == self.0).unwrap_or_default()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let found = SHARES.into_iter().find(|share| text.parse() == Ok(*share)).map(Share);
        found.ok_or_else(|| format!("expected one of {}", SHARES.map(|share| share.to_string()).join(", ")))
    }
}

/// What a filter is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// One tag.
    Tag,
    /// Two tags, each on up to twice the vectors that have both.
    And,
    /// A number from 0 to a limit.
    Range,
    /// Without a tag.
    Not,
    /// A keyword that is one of several.
    In,
}

impl Kind {
    pub(crate) const ALL: [Kind; 5] = [Kind::Tag, Kind::And, Kind::Range, Kind::Not, Kind::In];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Tag => "tag",
            Kind::And => "and",
            Kind::Range => "range",
            Kind::Not => "not",
            Kind::In => "in",
        }
    }
}

/// How many of `vectors` vectors match.
pub(crate) fn matches(share: f64, vectors: usize) -> usize {
    ((share * vectors as f64).round() as usize).max(1) // CAST: not negative, exact to 2^53
}

/// Vectors with either tag of [`Kind::And`] besides those that have both.
fn apart(matches: usize, vectors: usize) -> usize {
    matches.min((vectors - matches) / 2)
}

/// Tags of a vector.
pub(crate) fn tags(orders: &[Order], row: usize) -> Vec<String> {
    let mut tags = Vec::new();
    for (number, order) in orders.iter().enumerate() {
        let (place, vectors) = (order.place(row) as usize, order.len()); // CAST: widening
        for (at, share) in SHARES.into_iter().enumerate() {
            let matches = matches(share, vectors);
            let apart = apart(matches, vectors);
            let has = [
                ("tag", place < matches),
                ("a", place < matches + apart),
                ("b", place < matches || (matches + apart..matches + 2 * apart).contains(&place)),
                ("not", place >= matches),
            ];
            tags.extend(has.iter().filter(|(_, has)| *has).map(|(name, _)| tag(number, at, name)));
        }
    }
    tags
}

fn tag(order: usize, share: usize, name: &str) -> String {
    format!("{order}.{share}.{name}")
}

/// Attributes besides `tags`, of each order: its places, and keywords of those.
pub(crate) fn attributes(orders: usize) -> impl Iterator<Item = (String, AttributeType)> {
    (0..orders).flat_map(|order| {
        [(number_name(order), AttributeType::I64), (keyword_name(order), AttributeType::Keyword)]
    })
}

pub(crate) const TAGS: &str = "tags";

fn number_name(order: usize) -> String {
    format!("number{order}")
}

fn keyword_name(order: usize) -> String {
    format!("keyword{order}")
}

/// The keyword at a place: the least share that holds it, and one of its parts.
pub(crate) fn keyword(place: usize, vectors: usize) -> String {
    let band = (0..=SHARES.len()).rev().find(|&band| place < start(band, vectors)).unwrap_or(0);
    format!("{band}.{}", place as u32 % PARTS) // CAST: places are u32
}

/// Vectors before the end of a band: band `i` ends where share number `i - 1` does, band 0 with the last vector.
fn start(band: usize, vectors: usize) -> usize {
    band.checked_sub(1).map_or(vectors, |share| matches(SHARES[share], vectors))
}

/// The filter of a kind that matches the first of an order, for share number `share`.
pub(crate) fn filter(kind: Kind, order: usize, share: usize, vectors: usize) -> Filter {
    let contains = |names: &[&str]| Filter::Contains {
        name: TAGS.to_owned(),
        tags: names.iter().map(|name| tag(order, share, name)).collect(),
        mode: TagMode::All,
    };
    match kind {
        Kind::Tag => contains(&["tag"]),
        Kind::And => contains(&["a", "b"]),
        Kind::Not => Filter::Not(Box::new(contains(&["not"]))),
        Kind::Range => Filter::Between {
            name: number_name(order),
            low: Value::I64(0),
            high: Value::I64(matches(SHARES[share], vectors) as i64 - 1), // CAST: far below 2^63
        },
        Kind::In => Filter::In {
            name: keyword_name(order),
            values: (share + 1..=SHARES.len())
                .flat_map(|band| (0..PARTS).map(move |part| Value::Text(format!("{band}.{part}"))))
                .collect(),
            negated: false,
        },
    }
}
