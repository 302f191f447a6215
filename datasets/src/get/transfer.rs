//! One file from its address to its name: tries, continuations, fresh starts.
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::error::GetError;
use super::header::FileHeader;
use super::options::{Options, Step};
use super::part::{Part, part_path};
use super::wire::{Arrival, Head, Request, Wire, WireError};
use crate::catalogue::{HEADER_BYTES, RemoteFile};

/// Fresh starts before giving up: a file that changes, or a server that cannot continue.
const RESTARTS_MAX: u32 = 3;
/// A try that brought this much was worth it: the count of failures begins anew.
const GOOD_TRY_BYTES: u64 = 1 << 20;
const STOP_LOOK: Duration = Duration::from_millis(50);

/// The download of one file.
pub(super) struct Transfer<'a, 'o> {
    pub(super) file: &'a RemoteFile,
    pub(super) url: &'a str,
    pub(super) path: &'a Path,
    pub(super) options: &'a mut Options<'o>,
}

/// How a try ended without completing the file.
enum Setback {
    Stopped,
    /// Try again, not before the wait the server asked for.
    Passing {
        cause: String,
        wait: Option<Duration>,
    },
    /// Try again from the start.
    Restart {
        cause: String,
    },
    Fatal(GetError),
}

impl From<GetError> for Setback {
    fn from(error: GetError) -> Self {
        Setback::Fatal(error)
    }
}

impl Transfer<'_, '_> {
    /// Fetches the file and gives the number of bytes received for it.
    pub(super) fn run(mut self) -> Result<u64, GetError> {
        let mut part = Part::open(self.path, self.file, self.url)?;
        let total = self.file.bytes();
        (self.options.progress)(Step::Begin { url: self.url, have: part.have(), total });
        let mut received = 0;
        match self.fetch(&mut part, &mut received) {
            Ok(()) => {
                part.finish(self.path, total)?;
                (self.options.progress)(Step::Finished(self.path));
                Ok(received)
            }
            Err(error) => {
                // The first error is the one to report; a part that cannot be kept is only begun anew.
                let _ = part.leave();
                Err(error)
            }
        }
    }

    /// Tries until the part is complete.
    fn fetch(&mut self, part: &mut Part, received: &mut u64) -> Result<(), GetError> {
        let (mut tries, mut restarts) = (0, 0);
        let mut wait = self.options.backoff.first;
        while part.have() < self.file.bytes() {
            let before = *received;
            let setback = match self.attempt(part, received) {
                Ok(()) => continue,
                Err(setback) => setback,
            };
            if *received - before >= GOOD_TRY_BYTES {
                (tries, wait) = (0, self.options.backoff.first);
            }
            match setback {
                Setback::Fatal(error) => return Err(error),
                Setback::Stopped => return Err(self.stopped(part)),
                Setback::Restart { cause } => {
                    restarts += 1;
                    if restarts > RESTARTS_MAX {
                        return Err(GetError::Restarts {
                            url: self.url.to_owned(),
                            restarts: RESTARTS_MAX,
                            cause,
                        });
                    }
                    (self.options.progress)(Step::Restart { url: self.url, cause: &cause });
                    part.restart()?;
                }
                Setback::Passing { cause, wait: asked } => {
                    tries += 1;
                    if tries >= self.options.backoff.tries {
                        return Err(GetError::GaveUp { url: self.url.to_owned(), tries, cause });
                    }
                    let pause = asked.unwrap_or(wait).max(wait).min(self.options.backoff.longest);
                    (self.options.progress)(Step::Retry { url: self.url, cause: &cause, wait: pause });
                    part.keep()?;
                    if !self.pause(pause) {
                        return Err(self.stopped(part));
                    }
                    wait = wait.saturating_mul(2);
                }
            }
        }
        Ok(())
    }

    /// One request: asks for what is missing and appends what comes.
    fn attempt(&mut self, part: &mut Part, received: &mut u64) -> Result<(), Setback> {
        if part.have() > 0 && part.version().guard().is_none() {
            let cause =
                "the server named no version of the file that a part could be held against".to_owned();
            return Err(Setback::Restart { cause });
        }
        let wire = Wire::open(self.request(part)).map_err(|e| self.lost(e))?;
        let Arrival::Head(head) = self.next(&wire)? else {
            return Err(self.senseless("a body came before its head"));
        };
        self.check_head(&head, part)?;
        if head.status == 200 && part.have() > 0 {
            // The whole file comes: the version changed, or the server does not do ranges. A page that only
            // looks like an answer, as a hotel's network sends, must not cost the part.
            self.check_header(self.first_bytes(&wire)?)?;
            let changed = head.version.contradicts(part.version());
            let cause = if changed { "the file changed" } else { "the server sends whole files only" };
            return Err(Setback::Restart { cause: cause.to_owned() });
        }
        self.take_body(&wire, &head, part, received)
    }

    fn request(&self, part: &Part) -> Request {
        let last = self.file.bytes() - 1;
        let wanted = part.have() > 0 || self.file.is_crop();
        let if_range = if part.have() > 0 { part.version().guard().map(str::to_owned) } else { None };
        Request { url: self.url.to_owned(), range: wanted.then_some((part.have(), last)), if_range }
    }

    /// Refuses an answer that does not fit the catalogue or the part, before any of its body is used.
    fn check_head(&self, head: &Head, part: &Part) -> Result<(), Setback> {
        if let Some(encoding) = head.content_encoding.as_deref().filter(|e| *e != "identity") {
            return Err(
                self.senseless(&format!("the body is encoded as '{encoding}' though none was asked for"))
            );
        }
        match head.status {
            200 => self.check_size(head.content_length),
            206 => {
                let Some((first, last, total)) = head.content_range else {
                    return Err(self.senseless("a partial answer without a sound Content-Range"));
                };
                self.check_size(total)?;
                if first != part.have() || last >= self.file.bytes() {
                    let wanted = format!("{}-{}", part.have(), self.file.bytes() - 1);
                    return Err(self.senseless(&format!("asked for bytes {wanted}, got {first}-{last}")));
                }
                if head.content_length.is_some_and(|len| len != last - first + 1) {
                    return Err(self.senseless("Content-Length and Content-Range contradict each other"));
                }
                if part.have() > 0 && head.version.contradicts(part.version()) {
                    return Err(Setback::Restart { cause: "the file changed".to_owned() });
                }
                Ok(())
            }
            416 if part.have() > 0 => Err(Setback::Restart {
                cause: "the server has no bytes after those already there".to_owned(),
            }),
            408 | 429 | 500 | 502 | 503 | 504 => {
                Err(Setback::Passing { cause: format!("status {}", head.status), wait: head.retry_after })
            }
            status => Err(Setback::Fatal(GetError::Status { url: self.url.to_owned(), status })),
        }
    }

    /// Bytes of the published file, where the server tells them.
    fn check_size(&self, told: Option<u64>) -> Result<(), Setback> {
        match told {
            Some(found) if found != self.file.source_bytes() => Err(self.wrong_size(found)),
            _ => Ok(()),
        }
    }

    /// Appends the body up to the end of the file wanted.
    fn take_body(
        &mut self,
        wire: &Wire,
        head: &Head,
        part: &mut Part,
        received: &mut u64,
    ) -> Result<(), Setback> {
        let total = self.file.bytes();
        let mut lead = Vec::new();
        loop {
            let mut chunk = match self.next(wire)? {
                Arrival::Bytes(chunk) => chunk,
                Arrival::Head(_) => return Err(self.senseless("a second head came")),
                Arrival::End => {
                    let found = part.have() + lead.len() as u64; // CAST: usize to u64
                    let cause = format!("the body ended at byte {found} of {total}");
                    return Err(Setback::Passing { cause, wait: None });
                }
            };
            *received += chunk.len() as u64; // CAST: usize to u64
            if part.have() == 0 {
                lead.append(&mut chunk);
                let Some((header, rest)) = lead.split_first_chunk() else { continue };
                chunk = rest.to_vec();
                self.check_header(*header)?;
                part.begin(head.version.clone())?;
            }
            let missing = total - part.have();
            if (chunk.len() as u64) < missing {
                part.append(&chunk)?;
                (self.options.progress)(Step::Bytes { have: part.have(), total });
                continue;
            }
            // CAST: `missing` is no more than the chunk's length here.
            let (wanted, beyond) = chunk.split_at(missing as usize);
            if let Err(setback) = self.check_end(wire, head, beyond) {
                part.restart()?;
                return Err(setback);
            }
            part.append(wanted)?;
            (self.options.progress)(Step::Bytes { have: part.have(), total });
            return Ok(());
        }
    }

    /// The first bytes of a body, up to the length of a header.
    fn first_bytes(&self, wire: &Wire) -> Result<[u8; HEADER_BYTES as usize], Setback> {
        let mut lead = Vec::new();
        loop {
            match self.next(wire)? {
                Arrival::Bytes(mut chunk) => lead.append(&mut chunk),
                _ => {
                    return Err(Setback::Passing {
                        cause: "the body ended inside its header".to_owned(),
                        wait: None,
                    });
                }
            }
            if let Some(header) = lead.first_chunk() {
                return Ok(*header);
            }
        }
    }

    /// Checks the published header.
    fn check_header(&self, header: [u8; HEADER_BYTES as usize]) -> Result<(), Setback> {
        let (expected, found) = (FileHeader::published(self.file), FileHeader::from_bytes(header));
        if found == expected {
            return Ok(());
        }
        Err(Setback::Fatal(GetError::Header { url: self.url.to_owned(), expected, found }))
    }

    /// A whole file must end where the catalogue says, also where the server told no size.
    fn check_end(&self, wire: &Wire, head: &Head, beyond: &[u8]) -> Result<(), Setback> {
        if self.file.is_crop() {
            return Ok(());
        }
        let mut found = self.file.bytes() + beyond.len() as u64; // CAST: usize to u64
        if beyond.is_empty() && head.status == 200 && head.content_length.is_none() {
            match self.next(wire)? {
                Arrival::Bytes(more) => found += more.len() as u64, // CAST: usize to u64
                Arrival::End => {}
                Arrival::Head(_) => return Err(self.senseless("a second head came")),
            }
        }
        if found == self.file.bytes() { Ok(()) } else { Err(self.wrong_size(found)) }
    }

    fn next(&self, wire: &Wire) -> Result<Arrival, Setback> {
        wire.next(self.options.stop).map_err(|error| self.lost(error))
    }

    fn lost(&self, error: WireError) -> Setback {
        match error {
            WireError::Stopped => Setback::Stopped,
            WireError::Passing(cause) => Setback::Passing { cause, wait: None },
            WireError::Lasting(cause) => self.senseless(&cause),
        }
    }

    fn wrong_size(&self, found: u64) -> Setback {
        Setback::Fatal(GetError::Size { url: self.url.to_owned(), expected: self.file.source_bytes(), found })
    }

    fn senseless(&self, cause: &str) -> Setback {
        Setback::Fatal(GetError::Protocol { url: self.url.to_owned(), cause: cause.to_owned() })
    }

    fn stopped(&self, part: &Part) -> GetError {
        GetError::Stopped { path: part_path(self.path), have: part.have(), total: self.file.bytes() }
    }

    /// Waits, and says false if the stop flag ended the wait.
    fn pause(&self, wait: Duration) -> bool {
        let end = Instant::now() + wait;
        loop {
            if self.options.stop.load(Ordering::Relaxed) {
                return false;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(STOP_LOOK));
        }
    }
}
