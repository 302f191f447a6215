//! Where messages of gRPC begin and end in a body: a flag byte, a length of four bytes, the message.
use tonic::Status;

/// Bytes before each message.
const PREFIX: usize = 5;

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

    /// Takes note of bytes: whether a message ended in them. Refuses a message of more than `limit` bytes by its prefix.
    pub(super) fn feed(&mut self, mut bytes: &[u8], limit: usize) -> Result<bool, Status> {
        let mut is_complete = false;
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
                (self.prefix_bytes, self.partial, is_complete) = (0, 0, true);
            }
        }
        Ok(is_complete)
    }
}

#[cfg(test)]
mod tests {
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
            let complete = body.chunks(size).filter(|part| framing.feed(part, 200).unwrap()).count();
            assert!(complete >= 1 && framing.partial() == 0, "{size}");
        }
        let mut framing = Framing::default();
        assert!(!framing.feed(&body[..4], 200).unwrap() && framing.partial() == 4);
        assert!(framing.feed(&body[4..20], 200).unwrap() && framing.partial() == 7);
    }

    #[test]
    fn a_message_over_the_limit_is_refused_by_its_prefix() {
        let mut framing = Framing::default();
        assert!(!framing.feed(&[0, 0, 1, 0], 255).unwrap());
        let refused = framing.feed(&[0], 255).unwrap_err();
        assert!(refused.message().contains("65536") && refused.message().contains("255"), "{refused}");
    }
}
