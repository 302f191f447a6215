//! What compiling a filter takes: processor time with everything that it reads in memory, and reads without.
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use spandrel_benches::filters::compiled;
use spandrel_filter::Filter;
use spandrel_index::{Index, OpenOptions, Tier};

use crate::kinds::{self, Kind, SHARES};
use crate::orders::Order;

/// Least processor time to take a mean over, in seconds.
const SECONDS: f64 = 0.05;

/// One filter, and what compiling it takes.
pub(crate) struct Compiled {
    kind: Kind,
    /// Whether the matches lie together.
    is_near: bool,
    share: f64,
    cost: Cost,
}

/// What compiling a filter takes.
struct Cost {
    matches: u64,
    /// Processor time with postings and frames kept, in microseconds.
    kept_us: f64,
    /// Time of the first of an index that was just opened, its files in the page cache.
    first_us: f64,
    read: Read,
}

/// Reads, and their bytes.
#[derive(Clone, Copy)]
struct Read {
    requests: u64,
    bytes: u64,
}

impl Compiled {
    pub(crate) const HEAD: &str = "kind   near    share  matches   kept us  first us  reads     KiB";

    /// Of the filters of all kinds and shares, by the first order whose vectors lie together and by the first other one.
    pub(crate) fn all(dir: &Path, orders: &[Order], mut each: impl FnMut(Compiled)) -> Result<()> {
        for is_near in [false, true] {
            let Some(number) = orders.iter().position(|order| order.is_near() == is_near) else { continue };
            for (place, share) in SHARES.into_iter().enumerate() {
                for kind in Kind::ALL {
                    let filter = kinds::filter(kind, number, place, orders[number].len());
                    each(Compiled { kind, is_near, share, cost: Cost::of(dir, &filter)? });
                }
            }
        }
        Ok(())
    }
}

impl Cost {
    fn of(dir: &Path, filter: &Filter) -> Result<Cost> {
        let options = OpenOptions { codes: Some(Tier::Ssd), ..OpenOptions::default() };
        let index = Index::open_with(dir, options)?;
        // What saying so reads by itself.
        let idle = Read::so_far()?.since(Read::so_far()?);
        let (before, begun) = (Read::so_far()?, Instant::now());
        let matches = compiled(&index, filter)?.count();
        let first_us = 1e6 * begun.elapsed().as_secs_f64();
        let read = before.since(Read::so_far()?);
        let (cpu, mut times) = (cpu_seconds()?, 0);
        let kept = loop {
            for _ in 0..10 {
                compiled(&index, filter)?;
                times += 1;
            }
            let kept = cpu_seconds()? - cpu;
            if kept > SECONDS {
                break kept;
            }
        };
        Ok(Cost { matches, kept_us: 1e6 * kept / f64::from(times), first_us, read: idle.since(read) })
    }
}

impl fmt::Display for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Compiled { kind, is_near, share, cost } = self;
        let Cost { matches, kept_us, first_us, read: Read { requests, bytes } } = cost;
        let (kind, is_near) = (kind.name(), if *is_near { "yes" } else { "no" });
        let kib = bytes.div_ceil(1024);
        write!(
            f,
            "{kind:<6} {is_near:<4} {share:>8} {matches:>8} {kept_us:>9.1} {first_us:>9.0} {requests:>6} {kib:>7}"
        )
    }
}

impl Read {
    /// What this process has read.
    fn so_far() -> Result<Read> {
        let text = fs::read_to_string("/proc/self/io")?;
        let field = |name| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            Ok::<u64, anyhow::Error>(line.context("a field of /proc/self/io")?.trim().parse()?)
        };
        Ok(Read { requests: field("syscr:")?, bytes: field("rchar:")? })
    }

    /// What `later` has more.
    fn since(self, later: Read) -> Read {
        let more = |later: u64, before| later.saturating_sub(before);
        Read { requests: more(later.requests, self.requests), bytes: more(later.bytes, self.bytes) }
    }
}

/// Processor time of this thread.
fn cpu_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(1e-9 * text.split(' ').next().context("a time")?.parse::<f64>()?)
}
