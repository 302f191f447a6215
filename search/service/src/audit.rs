//! The audit log: who changed what, and who was turned away. Lines have the target `audit`; none holds a secret.
use std::net::SocketAddr;

use crate::throttle::Throttle;
use crate::tokens::Denied;

/// Writes the audit log.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    refused: Throttle,
}

impl Audit {
    /// An action of an administrator, and how it ended.
    pub(crate) fn action(&self, peer: SocketAddr, caller: &str, method: &str, outcome: &str) {
        tracing::info!(target: "audit", %peer, caller, method, outcome, "admin action");
    }

    /// A call that shows no token, a wrong one, or one of too small a scope. Everybody can make these, so that most of a
    /// flood are counted instead.
    pub(crate) fn refused(&self, peer: SocketAddr, method: &str, why: &Denied) {
        if let Some(kept_back) = self.refused.pass() {
            let caller = why.caller();
            tracing::warn!(target: "audit", %peer, caller, method, outcome = %why, kept_back, "call refused");
        }
    }
}
