//! Values of settings: addresses, names, switches, sizes within bounds.
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::{StringValueParser, TypedValueParser};

use crate::values::{ByteSize, parse_index_name};

/// An index on the command line: `NAME=DIR`, or `NAME=DIR@N` for version N of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedDir {
    /// Name to serve it under.
    pub name: String,
    /// Folder of the index.
    pub dir: PathBuf,
    /// The version to serve; if none is named, the one that was approved, else the one in force.
    pub version: Option<u64>,
}

impl FromStr for NamedDir {
    type Err = String;

    fn from_str(text: &str) -> Result<NamedDir, String> {
        let (name, dir) = text.split_once('=').unwrap_or_default();
        // A folder of such a name is written with a slash at its end.
        let versioned = dir.rsplit_once('@').and_then(|(dir, version)| Some((dir, version.parse().ok()?)));
        let (dir, version) = versioned.map_or((dir, None), |(dir, version)| (dir, Some(version)));
        if name.is_empty() || dir.is_empty() || version == Some(0) {
            let expected = "expected NAME=DIR, such as sift=/data/sift-index, or NAME=DIR@N for its version N, 1 or more";
            return Err(expected.to_owned());
        }
        let name = parse_index_name(name).map_err(|error| error.to_string())?;
        Ok(NamedDir { name, dir: PathBuf::from(dir), version })
    }
}

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is.
    #[value(aliases = ["true", "yes", "1"])]
    On,
    /// It is not.
    #[value(aliases = ["false", "no", "0"])]
    Off,
}

impl Switch {
    /// The words that are taken, in an error.
    pub(super) const EXPECTED: &str = "expected true or false, on or off, yes or no, 1 or 0";

    /// What a word means in a variable, and in a file: the same for every setting that is there or not.
    pub(super) fn of(word: &str) -> Option<Switch> {
        ValueEnum::from_str(word, true).ok()
    }
}

/// Reads a value that may be on, off, or something else, with the words that a [`Switch`] has.
pub(super) fn switched<T: FromStr>(text: &str) -> Result<T, T::Err> {
    match Switch::of(text) {
        Some(Switch::On) => "on".parse(),
        Some(Switch::Off) => "off".parse(),
        None => text.parse(),
    }
}

/// An address to serve at: numbers and a port, or the name of a host and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub(super) SocketAddr);

impl Address {
    /// A port on loopback.
    pub(super) const fn local(port: u16) -> Address {
        Address(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        if let Ok(address) = text.parse() {
            return Ok(Address(address));
        }
        if text.contains('/') || text.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err("expected an address and a port, such as 127.0.0.1:7700 or localhost:7700".to_owned());
        }
        let found = text.to_socket_addrs().map_err(|e| format!("the host cannot be found: {e}"))?;
        // Of `localhost` IPv4, which is where clients look by default.
        let best = found.min_by_key(SocketAddr::is_ipv6).ok_or("the host has no address")?;
        Ok(Address(best))
    }
}

/// Where metrics are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metrics {
    /// Nowhere.
    Off,
    /// There.
    At(Address),
}

impl Metrics {
    /// The address, if there is one.
    pub(super) fn address(self) -> Option<SocketAddr> {
        match self {
            Metrics::Off => None,
            Metrics::At(address) => Some(address.0),
        }
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Metrics::Off => f.write_str("off"),
            Metrics::At(address) => address.fmt(f),
        }
    }
}

impl FromStr for Metrics {
    type Err = String;

    fn from_str(text: &str) -> Result<Metrics, String> {
        match Switch::of(text) {
            Some(Switch::Off) => Ok(Metrics::Off),
            _ => text.parse().map(Metrics::At).map_err(|e| format!("{e}, or off")),
        }
    }
}

/// Reads sizes within bounds, in bytes.
pub(super) fn size(bounds: RangeInclusive<u64>) -> impl TypedValueParser<Value = ByteSize> {
    StringValueParser::new().try_map(move |text| match text.parse::<ByteSize>() {
        Ok(size) if bounds.contains(&size.0) => Ok(size),
        Ok(size) => Err(format!("{} bytes, expected {} to {}", size.0, bounds.start(), bounds.end())),
        Err(error) => Err(error.to_string()),
    })
}

/// Reads whole numbers within bounds.
pub(super) fn whole<T: TryFrom<u64> + Clone + Send + Sync + 'static>(
    bounds: RangeInclusive<u64>,
) -> impl TypedValueParser<Value = T> {
    StringValueParser::new().try_map(move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        let (least, most) = (bounds.start(), bounds.end());
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("expected a whole number from {least} to {most}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_have_many_words() {
        for (words, expected) in
            [("on true yes 1 True ON", Switch::On), ("off false no 0 False", Switch::Off)]
        {
            words.split(' ').for_each(|word| assert_eq!(Switch::of(word), Some(expected), "{word}"));
        }
        assert_eq!((Switch::of("perhaps"), Switch::of("")), (None, None));
        let direct = |word: &str| switched::<spandrel_io::Direct>(word).unwrap().to_string();
        assert_eq!(["auto", "yes", "0"].map(direct), ["auto", "on", "off"]);
        assert_eq!("no".parse(), Ok(Metrics::Off));
    }

    #[test]
    fn addresses_may_be_names() {
        let address = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(address("127.0.0.1:7700").unwrap(), "127.0.0.1:7700");
        assert_eq!(address("[::1]:7700").unwrap(), "[::1]:7700");
        assert!("localhost:7700".parse::<Address>().unwrap().0.ip().is_loopback());
        for bad in
            ["localhost", "localhost:", "127.0.0.1", ":x", "", "localhost:77000", "http://localhost:7700"]
        {
            assert!(address(bad).unwrap_err().contains("localhost:7700"), "{bad}");
        }
        let metrics = |text: &str| text.parse::<Metrics>().map(|metrics| metrics.to_string());
        assert_eq!(metrics("off").unwrap(), "off");
        assert_eq!(metrics("127.0.0.1:2").unwrap(), "127.0.0.1:2");
        assert!(metrics("on").unwrap_err().ends_with(", or off"));
    }

    #[test]
    fn indexes_have_a_name_and_a_folder() {
        let of = |dir: &str, version| Ok(NamedDir { name: "a".to_owned(), dir: dir.into(), version });
        assert_eq!("a=b=c".parse(), of("b=c", None));
        assert_eq!("a=b@7".parse(), of("b", Some(7)));
        assert_eq!("a=b@7/".parse(), of("b@7/", None));
        assert_eq!("a=b@x".parse(), of("b@x", None));
        for bad in ["a", "=x", "a="] {
            assert!(bad.parse::<NamedDir>().is_err(), "{bad}");
        }
        let refused = "a b=c".parse::<NamedDir>().unwrap_err();
        assert!(refused.starts_with("'a b' is no name of an index, expected 1 to 64 of A-Z"), "{refused}");
    }
}
