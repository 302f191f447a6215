//! The `k` nearest so far by their estimates alone, and in which lists they were found.

/// Lists that count as the last ones.
const RECENT: u32 = 16;

/// Keeps the `k` smallest estimates, and for each the number of lists searched before its own.
#[derive(Debug, Default)]
pub(crate) struct Front {
    /// 0 to keep nothing.
    k: usize,
    /// Estimates, ascending, each with that number.
    nearest: Vec<(f32, u32)>,
    /// Lists searched.
    searched: u32,
}

/// How the search for the `k` nearest goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FrontState {
    /// The `k`-th smallest estimate.
    pub(crate) kth: f32,
    /// Lists searched since one gave one of the `k`.
    pub(crate) idle: u32,
    /// Those of the `k` that the last [`RECENT`] lists gave.
    pub(crate) recent: u32,
}

impl Front {
    pub(crate) fn reset(&mut self, k: usize) {
        self.k = k;
        self.nearest.clear();
        self.searched = 0;
    }

    pub(crate) fn is_on(&self) -> bool {
        self.k > 0
    }

    /// Offers a vector of the list that is being searched.
    #[inline]
    pub(crate) fn offer(&mut self, estimate: f32) {
        if self.nearest.len() >= self.k {
            if self.nearest.last().is_none_or(|&(last, _)| estimate >= last) {
                return;
            }
            self.nearest.pop();
        }
        let at = self.nearest.partition_point(|&(before, _)| before <= estimate);
        self.nearest.insert(at, (estimate, self.searched));
    }

    /// Before the list that `searched` others were searched before.
    pub(crate) fn begin_list(&mut self, searched: u32) {
        self.searched = searched;
    }

    /// None while there are fewer than `k`.
    pub(crate) fn state(&self) -> Option<FrontState> {
        let &(kth, _) = self.nearest.last().filter(|_| self.nearest.len() == self.k)?;
        let (mut last, mut recent) = (0, 0);
        for &(_, list) in &self.nearest {
            last = last.max(list);
            recent += u32::from(list + RECENT >= self.searched);
        }
        Some(FrontState { kth, idle: self.searched - last, recent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_long_nothing_was_found() {
        let mut front = Front::default();
        front.reset(2);
        front.offer(5.0);
        assert_eq!(front.state(), None);
        front.offer(7.0);
        front.begin_list(1);
        assert_eq!(front.state(), Some(FrontState { kth: 7.0, idle: 1, recent: 2 }));
        front.begin_list(21);
        front.offer(7.0);
        assert_eq!(front.state(), Some(FrontState { kth: 7.0, idle: 21, recent: 0 }));
        front.offer(6.0);
        front.begin_list(22);
        assert_eq!(front.state(), Some(FrontState { kth: 6.0, idle: 1, recent: 1 }));
        front.offer(1.0);
        assert_eq!(front.state(), Some(FrontState { kth: 5.0, idle: 0, recent: 1 }));
        front.reset(0);
        front.offer(1.0);
        front.begin_list(9);
        assert_eq!(front.state(), None);
    }
}
