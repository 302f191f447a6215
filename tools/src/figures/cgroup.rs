//! The memory that control groups leave to this process.
use std::path::{Path, PathBuf};

/// The least limit of the process's control groups and all groups above them, in versions 1 and 2; none without one.
pub fn memory_limit() -> Option<u64> {
    let read = |path: &Path| fs_err::read_to_string(path).ok();
    let (groups, mounts) = (read(Path::new("/proc/self/cgroup"))?, read(Path::new("/proc/self/mountinfo"))?);
    least_limit(&groups, &mounts, &read)
}

/// As [`memory_limit`], from the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn least_limit(groups: &str, mounts: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let limits = mounts.lines().filter_map(Hierarchy::of_mount).filter_map(|hierarchy| {
        let group = groups.lines().find_map(|line| hierarchy.group(line))?;
        hierarchy.limit(group, read)
    });
    limits.min()
}

/// A hierarchy of control groups that may limit memory.
struct Hierarchy<'a> {
    unified: bool,
    /// The group that is mounted, and where.
    root: &'a str,
    point: &'a Path,
}

impl<'a> Hierarchy<'a> {
    /// From `ID PARENT DEVICE ROOT POINT OPTIONS [FIELD ...] - TYPE SOURCE OPTIONS`.
    fn of_mount(line: &'a str) -> Option<Hierarchy<'a>> {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        let mut system = system.split(' ');
        let (kind, options) = (system.next()?, system.nth(1)?);
        let unified = kind == "cgroup2";
        let limits = unified || kind == "cgroup" && options.split(',').any(|option| option == "memory");
        limits.then(|| Hierarchy { unified, root, point: Path::new(point) })
    }

    /// The group of the process, from `NUMBER:CONTROLLERS:GROUP`, if the line is of this hierarchy.
    fn group(&self, line: &'a str) -> Option<&'a str> {
        let (number, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        let ours = match self.unified {
            true => number == "0" && controllers.is_empty(),
            false => controllers.split(',').any(|controller| controller == "memory"),
        };
        ours.then_some(group)
    }

    /// The least limit from a group up to the one that is mounted. A group outside of that one, as containers see theirs,
    /// is the mounted one.
    fn limit(&self, group: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
        let file = if self.unified { "memory.max" } else { "memory.limit_in_bytes" };
        let inside = Path::new(group).strip_prefix(self.root).unwrap_or(Path::new(""));
        let inside = inside.strip_prefix("/").unwrap_or(inside);
        // "max" is no number, and no limit.
        let limit = |group: &Path| -> Option<u64> {
            let path: PathBuf = [self.point, group, Path::new(file)].iter().collect();
            read(&path)?.trim().parse().ok()
        };
        inside.ancestors().filter_map(limit).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Option<u64> {
        let read = |path: &Path| {
            files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned())
        };
        least_limit(groups, mounts, &read)
    }

    const UNIFIED: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const FIRST: &str = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        33 32 0:29 / /sys/fs/cgroup/cpu rw shared:10 - cgroup cgroup rw,cpu\n\
        34 32 0:30 /docker/4f /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory\n";

    #[test]
    fn the_least_limit_of_all_groups_above_counts() {
        let files = [
            ("/sys/fs/cgroup/user.slice/build.scope/memory.max", "max\n"),
            ("/sys/fs/cgroup/user.slice/memory.max", "536870912\n"),
            ("/sys/fs/cgroup/memory.max", "max\n"),
        ];
        let groups = "0::/user.slice/build.scope\n";
        assert_eq!(found(groups, UNIFIED, &files), Some(512 << 20));
        let own = ("/sys/fs/cgroup/user.slice/build.scope/memory.max", "1048576");
        assert_eq!(found(groups, UNIFIED, &[&[own], &files[1..]].concat()), Some(1 << 20));
        assert_eq!(found(groups, UNIFIED, &files[..1]), None);
        // In a container with a namespace of its own.
        assert_eq!(found("0::/\n", UNIFIED, &[("/sys/fs/cgroup/memory.max", "7\n")]), Some(7));
        assert_eq!(found("0::/../other\n", UNIFIED, &[("/sys/fs/cgroup/memory.max", "7\n")]), Some(7));
    }

    #[test]
    fn groups_of_the_first_version_are_looked_at() {
        let files = [
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
            ("/sys/fs/cgroup/cpu/memory.limit_in_bytes", "1\n"),
        ];
        let groups = "12:cpu:/docker/4f\n11:memory,hugetlb:/docker/4f\n0::/docker/4f\n";
        assert_eq!(found(groups, FIRST, &files), Some(256 << 20));
        let inner = ("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "4096\n");
        let groups = "11:memory:/docker/4f/job\n";
        assert_eq!(found(groups, FIRST, &[inner, files[0]]), Some(4096));
        // Both versions at once.
        let both = FIRST.to_owned() + &UNIFIED.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified");
        let unified = ("/sys/fs/cgroup/unified/memory.max", "8192\n");
        assert_eq!(found("0::/\n11:memory:/docker/4f\n", &both, &[files[0], unified]), Some(8192));
        assert_eq!(found("", FIRST, &files), None);
    }
}
