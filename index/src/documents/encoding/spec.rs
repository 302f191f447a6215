//! How documents are encoded, as flags and manifests say it.
use std::fmt;
use std::str::FromStr;

use spandrel_names::named;

use crate::{DIM_MAX, HeadSpace, Metric};

/// What stands in a document's block of a bucket without tokens. A query's is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EmptyBuckets {
    /// Zeros stand in it.
    Zero,
    /// The token whose bucket differs in the fewest planes, the first of these, as in the paper.
    Nearest,
}

named! { EmptyBuckets, "what stands in empty buckets", Zero => "zero", Nearest => "nearest" }

/// How documents are encoded: `muvera`, or `muvera:R=20,k=3,d=16,dim=2560,empty=zero` with any of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EncodingSpec {
    /// Repetitions, each with planes of its own.
    pub repetitions: u32,
    /// Planes of a repetition, which make `2^planes` buckets.
    pub planes: u32,
    /// Elements that a token is projected to; that of the tokens for no projection.
    pub width: u32,
    /// Elements of the encoding. Where blocks have more in all, they are summed by a random choice of places and signs (count sketch).
    pub dim: u32,
    /// What stands in a document's empty buckets.
    pub empty: EmptyBuckets,
}

/// Text that is no encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown encoding '{text}': {wrong}, expected such as muvera or muvera:R=20,k=3,d=16,dim=2048,empty=zero"
)]
pub struct EncodingSpecError {
    text: String,
    wrong: String,
}

const NAME: &str = "muvera";
const REPETITIONS_MAX: u32 = 1024;
const PLANES_MAX: u32 = 12;
/// Most elements of all blocks before they are summed to fewer.
const BLOCKS_MAX: u64 = 1 << 20;
/// Most products of numbers that encoding a token takes, which are the numbers of planes and projections in memory.
const PRODUCTS_MAX: u64 = 16 << 20;

impl EncodingSpec {
    /// What is taken where nothing else is asked for.
    pub const USUAL: EncodingSpec =
        EncodingSpec { repetitions: 20, planes: 3, width: 16, dim: 2560, empty: EmptyBuckets::Zero };

    /// Most elements of an encoding: head space has one more.
    pub fn dim_max() -> u32 {
        let beyond = HeadSpace::of(Metric::InnerProduct, 0.0).dim(0);
        (DIM_MAX - beyond) as u32 // CAST: `DIM_MAX` is below 2^32
    }

    /// Elements of all blocks together.
    pub fn block_elements(&self) -> u64 {
        (u64::from(self.repetitions) * u64::from(self.width)) << self.planes.min(PLANES_MAX)
    }

    /// What is wrong with it for tokens of `token_dim` elements, in words: they are too few, or planes and projections too many.
    pub fn wrong_for(&self, token_dim: usize) -> Option<String> {
        let EncodingSpec { repetitions, planes, width, .. } = *self;
        // CAST: widening
        if width as usize > token_dim {
            return Some(format!("d of {width} is not in 1 to {token_dim}, the elements of a token"));
        }
        let rows = u64::from(repetitions) * (u64::from(planes) + u64::from(width));
        let products = rows.saturating_mul(token_dim as u64); // CAST: widening
        (products > PRODUCTS_MAX).then(|| {
            format!("R x (k + d) x {token_dim} elements of a token is {products}, more than {PRODUCTS_MAX}")
        })
    }

    /// What is wrong with it, in words.
    fn wrong(&self) -> Option<String> {
        let outside = |name: &str, found: u32, most: u64| {
            (found == 0 || u64::from(found) > most)
                .then(|| format!("{name} of {found} is not in 1 to {most}"))
        };
        let blocks = self.block_elements();
        outside("R", self.repetitions, REPETITIONS_MAX.into())
            .or_else(|| outside("k", self.planes, PLANES_MAX.into()))
            .or_else(|| outside("d", self.width, DIM_MAX as u64)) // CAST: widening
            .or_else(|| {
                let text = format!("R x 2^k x d is {blocks}, more than {BLOCKS_MAX}");
                (blocks > BLOCKS_MAX).then_some(text)
            })
            .or_else(|| outside("dim", self.dim, blocks.min(EncodingSpec::dim_max().into())))
    }
}

impl fmt::Display for EncodingSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EncodingSpec { repetitions, planes, width, dim, empty } = self;
        f.pad(&format!("{NAME}:R={repetitions},k={planes},d={width},dim={dim},empty={empty}"))
    }
}

impl FromStr for EncodingSpec {
    type Err = EncodingSpecError;

    fn from_str(text: &str) -> Result<EncodingSpec, EncodingSpecError> {
        let wrong = |wrong: String| EncodingSpecError { text: text.to_owned(), wrong };
        let settings = match text.strip_prefix(NAME) {
            Some("") => "",
            Some(rest) => rest.strip_prefix(':').ok_or_else(|| wrong("no such name".to_owned()))?,
            None => return Err(wrong("no such name".to_owned())),
        };
        let (mut spec, mut dim) = (EncodingSpec::USUAL, None);
        for setting in settings.split(',').filter(|_| !settings.is_empty()) {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            let number = || value.parse::<u32>().map_err(|_| wrong(format!("'{setting}' is not {name}=N")));
            match name {
                "R" => spec.repetitions = number()?,
                "k" => spec.planes = number()?,
                "d" => spec.width = number()?,
                "dim" => dim = Some(number()?),
                "empty" => spec.empty = value.parse().map_err(|e| wrong(format!("{e}")))?,
                _ => return Err(wrong(format!("'{name}' is none of R, k, d, dim and empty"))),
            }
        }
        // CAST: at most the largest dimension
        let all = spec.block_elements().clamp(1, EncodingSpec::dim_max().into()) as u32;
        spec.dim = dim.unwrap_or(all);
        spec.wrong().map_or(Ok(spec), |text| Err(wrong(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        let usual: EncodingSpec = "muvera".parse().unwrap();
        assert_eq!(usual, EncodingSpec::USUAL);
        let paper: EncodingSpec = "muvera:R=20,k=5,d=16,empty=nearest".parse().unwrap();
        assert_eq!((paper.block_elements(), paper.dim), (10_240, 10_240));
        assert_eq!(paper.to_string(), "muvera:R=20,k=5,d=16,dim=10240,empty=nearest");
        assert_eq!("muvera:R=100,k=6,d=32".parse::<EncodingSpec>().unwrap().dim, 16_383);
        for spec in [usual, paper] {
            assert_eq!(spec.to_string().parse(), Ok(spec));
        }
        for (text, says) in [
            ("", "no such name"),
            ("muverax", "no such name"),
            ("fde:R=1", "no such name"),
            ("muvera:R", "'R' is not R=N"),
            ("muvera:R=0", "R of 0 is not in 1 to 1024"),
            ("muvera:R=99999999999", "'R=99999999999' is not R=N"),
            ("muvera:k=13", "k of 13 is not in 1 to 12"),
            ("muvera:k=0", "k of 0"),
            ("muvera:d=0", "d of 0"),
            ("muvera:R=1024,k=12,d=1", "R x 2^k x d is 4194304, more than 1048576"),
            ("muvera:R=1,k=1,d=4,dim=9", "dim of 9 is not in 1 to 8"),
            ("muvera:dim=0", "dim of 0"),
            ("muvera:dim=16384,k=7", "dim of 16384 is not in 1 to 16383"),
            ("muvera:b=1", "'b' is none of R, k, d, dim and empty"),
            ("muvera:empty=full", "expected zero or nearest"),
        ] {
            let error = text.parse::<EncodingSpec>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn what_tokens_are_too_narrow_or_too_wide_for_is_told() {
        let spec: EncodingSpec = "muvera:R=1024,k=1,d=128".parse().unwrap();
        let wrong = |dim| spec.wrong_for(dim).unwrap_or_default();
        assert_eq!(wrong(127), "d of 128 is not in 1 to 127, the elements of a token");
        assert!(wrong(128).contains("is 16908288, more than 16777216"), "{}", wrong(128));
        assert_eq!(EncodingSpec::USUAL.wrong_for(16_384), None);
        let least: EncodingSpec = "muvera:R=1024,k=1,d=15".parse().unwrap();
        assert_eq!((least.wrong_for(1024), least.wrong_for(1025).is_some()), (None, true));
    }
}
