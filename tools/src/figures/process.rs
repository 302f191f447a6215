//! Memory of this process, as the kernel counts it.

/// Memory of a process in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessMemory {
    /// Anonymous memory that is resident now: what the process itself allocated, not files it mapped.
    pub rss_anon_bytes: u64,
    /// The most memory that was ever resident, of any kind.
    pub rss_peak_bytes: u64,
}

/// Reads `/proc/self/status`. None where it cannot be read, as in some containers.
pub fn process_memory() -> Option<ProcessMemory> {
    parse_status(&fs_err::read_to_string("/proc/self/status").ok()?)
}

fn parse_status(text: &str) -> Option<ProcessMemory> {
    let field = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = rest.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(ProcessMemory { rss_anon_bytes: field("RssAnon:")?, rss_peak_bytes: field("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        let text = "Name:\tspandrel\nVmHWM:\t    2048 kB\nRssAnon:\t    1024 kB\nRssFile:\t 5 kB\n";
        let expected = ProcessMemory { rss_anon_bytes: 1 << 20, rss_peak_bytes: 2 << 20 };
        assert_eq!(parse_status(text), Some(expected));
        assert_eq!(parse_status("VmHWM:\t x kB\nRssAnon: 1 kB"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let memory = process_memory().unwrap();
        assert!(memory.rss_anon_bytes > 0 && memory.rss_peak_bytes >= memory.rss_anon_bytes);
    }
}
