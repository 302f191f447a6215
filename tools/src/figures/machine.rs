//! The machine a figure was measured on.
use std::fmt;

use spandrel_index::kernels::Variant;

use super::units;

/// What a figure depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The processor's own name, or its architecture where it gives none.
    pub cpu: String,
    /// Processors this process may use.
    pub cores: usize,
    /// Memory in bytes, 0 where it is not told.
    pub memory_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The instruction set that distances are computed with.
    pub variant: Variant,
}

impl Machine {
    /// Looks at this machine.
    pub fn detect() -> Machine {
        let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
        let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
        Machine {
            cpu: value(&read("/proc/cpuinfo"), "model name").unwrap_or(std::env::consts::ARCH).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: value(&read("/proc/meminfo"), "MemTotal").and_then(kib).unwrap_or(0),
            kernel: if kernel.is_empty() { "unknown".to_owned() } else { kernel },
            variant: Variant::best(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cores, memory_bytes, kernel, variant } = self;
        let memory = units::bytes(*memory_bytes as f64); // CAST: shown to three digits
        write!(f, "{cpu}, {cores} cores, {memory}, Linux {kernel}, {} kernels", variant.name())
    }
}

/// The value of the first line `name : value`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, v)| v.trim())
}

fn kib(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC 7R13: 2.6 GHz\nMemTotal:  16 kB\n";
        assert_eq!(value(text, "model name"), Some("AMD EPYC 7R13: 2.6 GHz"));
        assert_eq!(value(text, "MemTotal").and_then(kib), Some(16384));
        assert_eq!(value(text, "model"), None);
    }

    #[test]
    fn this_machine() {
        let machine = Machine::detect();
        assert!(machine.cores > 0 && machine.memory_bytes > 0);
        assert!(machine.to_string().contains(machine.variant.name()));
    }
}
