//! Enumerations whose values have names in flags, files and messages, and how these quote long texts and tell sizes.
mod cut;
mod size;

use std::fmt;

pub use cut::{QUOTED_MAX, cut};
pub use size::{size_left, size_needed};

/// A word that names no value of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} '{found}', expected {}", Choice(expected))]
pub struct UnknownName {
    /// What a value of the enumeration is called.
    pub kind: &'static str,
    /// The word, by its beginning and end where it is long.
    pub found: String,
    /// The names there are.
    pub expected: &'static [&'static str],
}

impl UnknownName {
    /// The names there are, as in "a, b or c".
    pub fn choice(&self) -> impl fmt::Display {
        Choice(self.expected)
    }
}

/// Gives each value of an enumeration its name: `named! { Metric, "metric", L2 => "l2", Cosine => "cosine" }`.
///
/// The enumeration gets `ALL`, `name`, `Display` that prints the name, and `FromStr` that reads it. A value without a name
/// does not compile.
#[macro_export]
macro_rules! named {
    ($of:ident, $kind:literal, $($value:ident => $name:literal),+ $(,)?) => {
        impl $of {
            const NAMES: &'static [&'static str] = &[$($name),+];

            /// Every value, in order.
            pub const ALL: [$of; $of::NAMES.len()] = [$($of::$value),+];

            /// The name in flags, files and messages.
            pub const fn name(self) -> &'static str {
                match self {
                    $($of::$value => $name),+
                }
            }

            fn unknown(found: &str) -> $crate::UnknownName {
                let found = $crate::cut(found, $crate::QUOTED_MAX).into_owned();
                $crate::UnknownName { kind: $kind, found, expected: $of::NAMES }
            }
        }

        impl ::std::fmt::Display for $of {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl ::std::str::FromStr for $of {
            type Err = $crate::UnknownName;

            fn from_str(text: &str) -> Result<$of, $crate::UnknownName> {
                $of::ALL.into_iter().find(|value| value.name() == text).ok_or_else(|| $of::unknown(text))
            }
        }
    };
}

/// Names as in "a, b or c".
struct Choice(&'static [&'static str]);

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().enumerate() {
            let before = match at {
                0 => "",
                _ if at + 1 == self.0.len() => " or ",
                _ => ", ",
            };
            write!(f, "{before}{name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro is made for enumerations that are public")]
mod tests {
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Side {
        Left,
        Right,
        Both,
    }

    named! { Side, "side", Left => "left", Right => "right", Both => "both" }

    #[test]
    fn names_are_printed_and_read() {
        assert_eq!(Side::ALL, [Side::Left, Side::Right, Side::Both]);
        for side in Side::ALL {
            assert_eq!(side.to_string().parse(), Ok(side));
        }
        assert_eq!(format!("{:>6}", Side::Left), "  left");
    }

    #[test]
    fn a_word_that_is_no_name_is_told_with_the_names_there_are() {
        let error = "Left".parse::<Side>().expect_err("names are spelled in one way");
        assert_eq!(error.to_string(), "unknown side 'Left', expected left, right or both");
        let error = "x".repeat(1000).parse::<Side>().expect_err("no name");
        assert!(error.found.len() < 150, "{error}");
    }
}
