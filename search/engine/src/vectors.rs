//! Vectors and attributes by id on their way through a worker: pages of ids, then pages of vectors and blocks of attributes, each in
//! one burst.
use std::ops::Range;

use spandrel_filter::Cell;
use spandrel_index::Location;
use spandrel_index::format::{ID_PAGE_BYTES, PageLayout, VectorsOf};
use spandrel_io::{Read, ReadBuf, ReadError};

use crate::cells::{CellReads, cells_number};
use crate::damage::{DamageReason, DamagedPart};
use crate::error::with_cause;
use crate::ids::{FetchState, Ids, PIECE, Piece};
use crate::job::Running;
use crate::pages::{PageKey, PageRead, merge_pages};
use crate::query::Tools;
use crate::reads::{FileKind, Outbox, number_of, slot_of};
use crate::terms::End;

/// What is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Ids,
    Content,
}

/// An id of the piece under way.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    id: u64,
    /// Its place in the piece.
    at: usize,
    /// The place of its vector among the rows of the piece.
    row: usize,
    /// Where its vector is, once that is known.
    location: Location,
    /// The page to be read for it.
    page: PageKey,
}

/// A place for a piece of a fetch in flight.
#[derive(Default)]
pub(crate) struct FetchSlot {
    pub(crate) running: Option<Running<Ids>>,
    stage: Stage,
    /// Which vectors are wanted, if any.
    of: VectorsOf,
    /// What is being looked for in this stage, by page.
    wanted: Vec<Wanted>,
    /// What is known for the next stage.
    located: Vec<Wanted>,
    requests: Vec<PageRead>,
    cells: CellReads,
    reads_left: usize,
    piece: Piece,
    end: Option<End>,
}

impl FetchSlot {
    /// Appends the reads of the pages of ids, tagged `tag` and their number.
    pub(crate) fn start(&mut self, running: Running<Ids>, tools: &Tools, tag: u32, out: &mut Vec<Read>) {
        let ids = running.job.ids.chunks(PIECE).nth(running.number).unwrap_or_default();
        let content = &running.job.content;
        let row_bytes = content.vectors.map_or(0, |of| tools.index.shape_of(of).row_bytes());
        self.of = content.vectors.unwrap_or_default();
        let documents = tools.index.documents();
        let rows_of = |&id: &u64| match documents {
            Some(documents) => {
                documents.find(id).map_or(0, |of| documents.offsets().rows_of(of as usize).len())
            } // CAST: widening
            None => 1,
        };
        let row_counts: Vec<u32> = match content.vectors {
            Some(_) => ids.iter().map(|id| rows_of(id) as u32).collect(), // CAST: rows have 32 bits
            None => Vec::new(),
        };
        let rows: usize = row_counts.iter().map(|&count| count as usize).sum(); // CAST: widening
        self.piece = Piece {
            rows: vec![0; rows * row_bytes],
            row_counts,
            cells: vec![Cell::Null; ids.len() * content.attributes.len()],
            states: vec![FetchState::Absent; ids.len()],
        };
        let lookup = &running.job.lookup;
        self.wanted.clear();
        self.located.clear();
        let unknown = |at: usize, id: u64| Wanted {
            id,
            at,
            row: at,
            location: Location::default(),
            page: PageKey::new(0, 0),
        };
        match documents {
            // Where they are is in memory.
            Some(documents) => self.located.extend(ids.iter().enumerate().filter_map(|(at, &id)| {
                let location = Location::new(0, documents.find(id)?);
                Some(Wanted { location, ..unknown(at, id) })
            })),
            None => {
                self.wanted.extend(ids.iter().enumerate().flat_map(|(at, &id)| {
                    lookup.pages(id).map(move |page| Wanted { page, ..unknown(at, id) })
                }))
            }
        }
        self.requests.clear();
        (self.stage, self.end) = (Stage::Ids, None);
        self.running = Some(running);
        self.ask(tools, tag, out);
        self.go_on(tools, tag, out);
    }

    /// Appends the reads for the pages of all that is wanted and not known to be damaged, merged where they are near.
    fn ask(&mut self, tools: &Tools, tag: u32, out: &mut Vec<Read>) {
        let (stage, of, states) = (self.stage, self.of, &mut self.piece.states);
        self.wanted.retain(|wanted| {
            let quarantined =
                tools.damage.is_quarantined(wanted.page.segment(), part(stage, of, wanted.page));
            if quarantined {
                states[wanted.at] = FetchState::Damaged;
            }
            !quarantined
        });
        self.wanted.sort_unstable_by_key(|wanted| (wanted.page, wanted.row));
        self.requests.clear();
        let pages = self.wanted.iter().map(|wanted| wanted.page);
        merge_pages(pages, self.page_bytes(tools), tools.index.merging(), |read| self.requests.push(read));
        self.submit(0, tools, tag, out);
    }

    /// Appends the requests from number `first` on.
    fn submit(&mut self, first: usize, tools: &Tools, tag: u32, out: &mut Vec<Read>) {
        let page_bytes = self.page_bytes(tools);
        for (number, read) in self.requests.iter().enumerate().skip(first) {
            Outbox { slot: tag, files: &tools.files, reads: out }
                .push(read.extent(self.file(), page_bytes), number);
        }
        self.reads_left += self.requests.len() - first;
    }

    fn file(&self) -> FileKind {
        match self.stage {
            Stage::Ids => FileKind::Ids,
            Stage::Content => FileKind::of(self.of),
        }
    }

    /// Shape of the pages of the vectors that are wanted.
    fn layout(&self, tools: &Tools) -> PageLayout {
        tools.index.shape_of(self.of).pages
    }

    fn page_bytes(&self, tools: &Tools) -> usize {
        match self.stage {
            Stage::Ids => ID_PAGE_BYTES,
            Stage::Content => self.layout(tools).page_bytes(),
        }
    }

    /// Takes in one read; what could not be merged into one is asked for again, page by page. Says whether it was just found
    /// out that the piece is no longer wanted: what else was asked for is of no use then.
    pub(crate) fn arrive(
        &mut self,
        tag: u64,
        result: &Result<ReadBuf, ReadError>,
        tools: &Tools,
        out: &mut Vec<Read>,
    ) -> bool {
        let slot = slot_of(tag);
        self.reads_left -= 1;
        let was_over = self.end.is_some();
        self.end = self.end.or_else(|| self.running.as_ref().and_then(|running| running.job.end()));
        if self.end.is_some() {
            return !was_over;
        }
        if let (Some(number), Some(running)) = (cells_number(number_of(tag)), &self.running) {
            let taken = self.cells.arrive(number, result, &running.job, &mut self.piece, tools);
            self.end = taken.err();
            return self.end.is_some();
        }
        let read = self.requests[number_of(tag)];
        match result {
            Ok(bytes) => self.take_in(read, bytes, tools),
            Err(_) if read.pages > 1 => {
                let first_request = self.requests.len();
                let mut first = read.first;
                for of_page in self.wanted[read.first..read.end].chunk_by(|a, b| a.page == b.page) {
                    let end = first + of_page.len();
                    self.requests.push(PageRead { first_page: of_page[0].page, pages: 1, first, end });
                    first = end;
                }
                self.submit(first_request, tools, slot, out);
            }
            Err(error) => {
                self.damaged(read.first..read.end, tools, DamageReason::Read(with_cause(error)));
            }
        }
        self.go_on(tools, slot, out);
        false
    }

    /// Looks for what is wanted in the pages of a read, each checked before.
    fn take_in(&mut self, read: PageRead, bytes: &[u8], tools: &Tools) {
        let page_bytes = self.page_bytes(tools);
        let mut first = read.first;
        while first < read.end {
            let page = self.wanted[first].page;
            let end = first + self.wanted[first..read.end].partition_point(|wanted| wanted.page == page);
            let at = page.after(read.first_page) as usize * page_bytes; // CAST: inside a read
            let bytes = &bytes[at..at + page_bytes];
            let checked = match self.stage {
                Stage::Ids => self.locate(first..end, page, bytes, tools),
                Stage::Content => self.copy(first..end, page, bytes, tools),
            };
            match checked {
                Ok(()) => tools.damage.whole(page.segment(), part(self.stage, self.of, page)),
                Err(reason) => self.damaged(first..end, tools, reason),
            }
            first = end;
        }
    }

    /// Finds ids in their page.
    fn locate(
        &mut self,
        wanted: Range<usize>,
        page: PageKey,
        bytes: &[u8],
        tools: &Tools,
    ) -> Result<(), DamageReason> {
        let Some(running) = &self.running else { unreachable!("a fetch waits for all of its reads") };
        let pairs = running.job.lookup.pairs(page, bytes).map_err(sums)?;
        for &wanted in &self.wanted[wanted] {
            let Ok(found) = pairs.binary_search_by_key(&wanted.id, |&(id, _)| id) else { continue };
            let position = pairs[found].1;
            let vectors = tools.index.segments()[usize::from(page.segment())].count;
            if u64::from(position) >= vectors {
                let id = wanted.id;
                let text = format!("id {id} is said to be at position {position} of {vectors}");
                return Err(DamageReason::Read(text));
            }
            let location = Location::new(page.segment(), position);
            let page = PageKey::of(location, &self.layout(tools));
            self.located.push(Wanted { location, page, ..wanted });
        }
        Ok(())
    }

    /// Copies vectors from their page.
    fn copy(
        &mut self,
        wanted: Range<usize>,
        page: PageKey,
        bytes: &[u8],
        tools: &Tools,
    ) -> Result<(), DamageReason> {
        let layout = self.layout(tools);
        let uuid = tools.index.segments()[usize::from(page.segment())].vectors(self.of).uuid;
        layout.check_page(uuid, page.number(), bytes).map_err(sums)?;
        for &Wanted { row, location, .. } in &self.wanted[wanted] {
            self.piece.put(row, layout.record(bytes, layout.place(location.position()).1).vector);
        }
        if let Some(cache) = tools.cache_of(self.of) {
            cache.insert(page.bits(), bytes);
        }
        Ok(())
    }

    /// Gives up what is wanted of one page, and remembers why.
    fn damaged(&mut self, wanted: Range<usize>, tools: &Tools, reason: DamageReason) {
        let page = self.wanted[wanted.start].page;
        let extent = page.extent(self.file(), self.page_bytes(tools));
        tools.damage.add(page.segment(), part(self.stage, self.of, page), extent, reason);
        for wanted in &self.wanted[wanted] {
            self.piece.states[wanted.at] = FetchState::Damaged;
        }
    }

    /// With nothing under way in the first stage: begins the second, with what is not in memory or in the cache.
    fn go_on(&mut self, tools: &Tools, tag: u32, out: &mut Vec<Read>) {
        if self.reads_left > 0 || self.stage == Stage::Content || self.end.is_some() {
            return;
        }
        self.stage = Stage::Content;
        self.wanted.clear();
        // Until something of them turns out to be damaged.
        self.located.iter().for_each(|wanted| self.piece.states[wanted.at] = FetchState::Found);
        let Some(running) = &self.running else { unreachable!("a fetch has ids") };
        let located = self.located.iter().map(|wanted| (wanted.at, wanted.location));
        match self.cells.begin(located, &running.job, &mut self.piece, tools, (tag, out)) {
            Ok(reads) => self.reads_left += reads,
            Err(end) => {
                self.end = Some(end);
                return;
            }
        }
        if running.job.content.vectors.is_some() {
            self.locate_tokens(tools);
            self.put_at_hand(tools);
            self.ask(tools, tag, out);
        }
    }

    /// From the documents that were located to their tokens.
    fn locate_tokens(&mut self, tools: &Tools) {
        let Some(documents) = tools.index.documents() else { return };
        let layout = self.layout(tools);
        let (mut tokens, mut first, mut at) = (Vec::new(), 0, 0);
        for of in self.located.drain(..) {
            // Ids without a document have no rows.
            let before = &self.piece.row_counts[at..of.at];
            first += before.iter().map(|&count| count as usize).sum::<usize>(); // CAST: widening
            at = of.at;
            let rows = documents.offsets().rows_of(of.location.position() as usize); // CAST: widening
            tokens.extend(rows.zip(first..).map(|(position, row)| {
                let location = Location::new(0, position);
                Wanted { row, location, page: PageKey::of(location, &layout), ..of }
            }));
        }
        self.located = tokens;
    }

    /// Copies the vectors that are in memory or in the cache; the others are wanted.
    fn put_at_hand(&mut self, tools: &Tools) {
        let layout = self.layout(tools);
        let (of, piece) = (self.of, &mut self.piece);
        for wanted in self.located.drain(..) {
            let (segment, position) = (wanted.location.segment(), wanted.location.position());
            if let Some(vectors) = &tools.index.segments()[usize::from(segment)].vectors(of).resident {
                piece.put(wanted.row, vectors.record(position).vector);
                continue;
            }
            let cached = tools.cache_of(of).is_some_and(|cache| {
                cache.get(wanted.page.bits(), |bytes| {
                    let (_, slot) = layout.place(position);
                    piece.put(wanted.row, layout.record(bytes, slot).vector);
                })
            });
            if !cached {
                self.wanted.push(wanted);
            }
        }
    }

    /// When nothing is awaited any more: hands in the piece. Says whether that freed the slot.
    pub(crate) fn finish_if_done(&mut self) -> bool {
        if self.reads_left > 0 {
            return false;
        }
        let Some(running) = self.running.take() else { return false };
        match self.end {
            Some(end) => running.abandon(end),
            None => {
                self.cells.finish(&mut self.piece);
                running.finish(std::mem::take(&mut self.piece));
            }
        }
        true
    }
}

fn part(stage: Stage, of: VectorsOf, page: PageKey) -> DamagedPart {
    match stage {
        Stage::Ids => DamagedPart::IdPage(page.number()),
        Stage::Content => DamagedPart::page(of, page.number()),
    }
}

fn sums((found, expected): (u32, u32)) -> DamageReason {
    DamageReason::Hash { found: found.into(), expected: expected.into() }
}
