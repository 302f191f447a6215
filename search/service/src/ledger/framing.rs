//! Where messages of gRPC begin and end in a body: a flag byte, a length of four bytes, the message.
use tonic::Status;

/// Bytes before each message.
pub(super) const PREFIX: usize = 5;

/// The messages in bytes that hold whole ones alone.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&[_, a, b, c, d], rest) = bytes.split_first_chunk::<PREFIX>()?;
        let length = u32::from_le_bytes([d, c, b, a]) as usize; // CAST: widening
        let (message, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some(message)
    })
}

/// Follows a body from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Framing {
    /// The last prefix, and how many bytes of it have come.
    prefix: [u8; PREFIX],
    prefix_bytes: usize,
    /// Bytes of the message that have not come yet.
    left: usize,
    /// Bytes that have come of what is not complete.
    partial: usize,
}

impl Framing {
    /// Bytes that have come of a message that is not complete, its prefix included.
    pub(super) fn partial(&self) -> usize {
        self.partial
    }

    /// Takes note of bytes: how many of them there are to the end of the last message that ended in them, 0 where none did.
    /// Refuses a message of more than `limit` bytes by its prefix.
    pub(super) fn feed(&mut self, mut bytes: &[u8], limit: usize) -> Result<usize, Status> {
        let (all, mut end) = (bytes.len(), 0);
        while !bytes.is_empty() {
            if self.prefix_bytes < PREFIX {
                let (&byte, rest) = bytes.split_first().unwrap_or((&0, &[]));
                if let Some(place) = self.prefix.get_mut(self.prefix_bytes) {
                    *place = byte;
                }
                self.prefix_bytes += 1;
                self.partial += 1;
                bytes = rest;
                if self.prefix_bytes == PREFIX {
                    let [_, a, b, c, d] = self.prefix;
                    self.left = u32::from_le_bytes([d, c, b, a]) as usize; // CAST: widening
                    if self.left > limit {
                        let message =
                            format!("a message of {} bytes, the server's limit is {limit}", self.left);
                        return Err(Status::out_of_range(message));
                    }
                }
            } else {
                let (now, rest) = bytes.split_at(bytes.len().min(self.left));
                self.left -= now.len();
                self.partial += now.len();
                bytes = rest;
            }
            if self.prefix_bytes == PREFIX && self.left == 0 {
                (self.prefix_bytes, self.partial, end) = (0, 0, all - bytes.len());
            }
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn message(bytes: u8) -> Vec<u8> {
        let mut message = vec![0, 0, 0, 0, bytes];
        message.extend(vec![7; bytes.into()]);
        message
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let body = [message(3), message(0), message(200), message(9)].concat();
        for size in 1..body.len() {
            let mut framing = Framing::default();
            let mut found = Vec::new();
            let mut held = Vec::new();
            for part in body.chunks(size) {
                let (ended, begun) = part.split_at(framing.feed(part, 200).unwrap());
                held.extend(ended);
                if !ended.is_empty() {
                    found.extend(messages(&held).map(<[u8]>::to_vec));
                    held.clear();
                }
                held.extend(begun);
                assert_eq!(framing.partial(), held.len());
            }
            let whole = [3, 0, 200, 9].map(|bytes| vec![7; bytes]);
            assert_eq!(found, whole, "{size}");
        }
        let mut framing = Framing::default();
        assert!(framing.feed(&body[..4], 200).unwrap() == 0 && framing.partial() == 4);
        assert!(framing.feed(&body[4..20], 200).unwrap() == 9 && framing.partial() == 7);
    }

    /// What a body comes to, looked at as a whole: whether a message ended, and bytes of the one that did not; nothing where
    /// one is over the limit.
    fn whole(body: &[u8], limit: usize) -> Option<(bool, usize)> {
        let (mut rest, mut is_complete) = (body, false);
        while let Some((prefix, after)) = rest.split_at_checked(PREFIX) {
            let bytes = prefix[1..].iter().fold(0, |bytes, &byte| bytes << 8 | usize::from(byte));
            if bytes > limit {
                return None;
            }
            let Some((_, next)) = after.split_at_checked(bytes) else { break };
            (rest, is_complete) = (next, true);
        }
        Some((is_complete, rest.len()))
    }

    #[test]
    fn hostile_bodies_come_to_the_same_in_any_parts() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut good, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let limit = rng.random_range(0..60);
            let mut body: Vec<u8> =
                (0..rng.random_range(0..6)).flat_map(|_| message(rng.random_range(0..50))).collect();
            for _ in 0..rng.random_range(0..3) {
                match body.len() {
                    0 => body.push(rng.random()),
                    bytes => body[rng.random_range(0..bytes)] = rng.random(),
                }
            }
            let mut framing = Framing::default();
            let (mut rest, mut is_complete, mut is_refused) = (&body[..], false, false);
            while !rest.is_empty() && !is_refused {
                let (part, after) = rest.split_at(rng.random_range(1..=rest.len()));
                rest = after;
                match framing.feed(part, limit) {
                    Ok(end) => is_complete |= end > 0,
                    Err(_) => is_refused = true,
                }
            }
            let found = (!is_refused).then_some((is_complete, framing.partial()));
            assert_eq!(found, whole(&body, limit), "{body:?}, limit {limit}");
            if is_refused { refused += 1 } else { good += 1 }
        }
        assert!(good > 1000 && refused > 1000, "{good} good, {refused} refused");
    }

    #[test]
    fn a_message_over_the_limit_is_refused_by_its_prefix() {
        let mut framing = Framing::default();
        assert_eq!(framing.feed(&[0, 0, 1, 0], 255).unwrap(), 0);
        let refused = framing.feed(&[0], 255).unwrap_err();
        assert!(refused.message().contains("65536") && refused.message().contains("255"), "{refused}");
    }
}
