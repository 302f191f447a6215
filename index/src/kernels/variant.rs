//! The instruction sets that kernels are written for.
use std::fmt;
use std::sync::OnceLock;

static BEST: OnceLock<Variant> = OnceLock::new();

/// One implementation of every kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Plain Rust, for any machine.
    Scalar,
    /// 128-bit vectors of aarch64, which every such machine has.
    Neon,
    /// 256-bit vectors of x86-64: AVX2, FMA and F16C.
    Avx2,
    /// 512-bit vectors of x86-64: AVX-512 F, BW, VL, DQ and VNNI.
    Avx512,
}

impl Variant {
    /// Every variant, also those that this machine cannot run.
    pub const ALL: [Variant; 4] = [Variant::Scalar, Variant::Neon, Variant::Avx2, Variant::Avx512];

    /// Whether this machine can run it.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn is_available(self) -> bool {
        match self {
            Variant::Scalar => true,
            Variant::Neon => false,
            Variant::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            Variant::Avx512 => {
                Variant::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
            }
        }
    }

    /// Whether this machine can run it.
    #[cfg(target_arch = "aarch64")]
    pub(crate) fn is_available(self) -> bool {
        match self {
            Variant::Scalar => true,
            Variant::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Variant::Avx2 | Variant::Avx512 => false,
        }
    }

    /// The variants this machine can run, slowest first.
    pub fn available() -> Vec<Variant> {
        Self::ALL.into_iter().filter(|v| v.is_available()).collect()
    }

    /// The fastest variant this machine can run, or the one that was chosen by [`Variant::choose`].
    pub fn best() -> Variant {
        // Asked for at every list: the machine stays the same.
        *BEST.get_or_init(|| {
            Variant::ALL.into_iter().rev().find(|v| v.is_available()).unwrap_or(Variant::Scalar)
        })
    }

    /// Makes this variant the best one of the process, as on a machine that has no faster one. For tests of the bytes
    /// that such machines write, before any kernel is used.
    ///
    /// # Panics
    /// Where the machine cannot run it, or kernels of another variant are in use.
    pub fn choose(self) {
        assert!(self.is_available(), "this machine has no {self} kernels");
        assert_eq!(*BEST.get_or_init(|| self), self, "kernels of another variant are in use");
    }

    /// The lower-case name, as recorded in manifests and figures.
    pub const fn name(self) -> &'static str {
        match self {
            Variant::Scalar => "scalar",
            Variant::Neon => "neon",
            Variant::Avx2 => "avx2",
            Variant::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The flags the kernel reports decide what must be there, so a variant that is lost fails here.
    #[test]
    fn a_machine_offers_every_variant_its_flags_allow() {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let line = info.lines().find(|l| l.starts_with("flags") || l.starts_with("Features")).unwrap();
        let has = |flags: &[&str]| flags.iter().all(|f| line.split_whitespace().any(|w| w == *f));
        let mut expected = vec![Variant::Scalar];
        if cfg!(target_arch = "aarch64") {
            expected.push(Variant::Neon);
        }
        if cfg!(target_arch = "x86_64") && has(&["avx2", "fma", "f16c"]) {
            expected.push(Variant::Avx2);
            if has(&["avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"]) {
                expected.push(Variant::Avx512);
            }
        }
        assert_eq!(Variant::available(), expected);
        assert_eq!(Variant::best(), expected[expected.len() - 1]);
    }

    #[test]
    fn names_are_stable() {
        assert_eq!(Variant::ALL.map(Variant::name), ["scalar", "neon", "avx2", "avx512"]);
    }
}
