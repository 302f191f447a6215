//! Writes lists, their heads and directory, and the vectors, in one sequential pass.
use rayon::prelude::*;
use spandrel_index::HeadSpace;
use spandrel_index::codes::CodeModel;
use spandrel_index::format::{DirectoryEntry, SectionKind, UNIT_BYTES, list_hash};
use spandrel_io::FileWriter;

use super::encode::{Encoded, Encoding, ListEncoder};
use super::heads::StoredHeads;
use super::ids::IdRuns;
use super::list::{FormedList, Former};
use super::pages::{PageWriter, PagesOf};
use super::records::{Part, REPLICA_BIT, RecordLayout, cut_groups};
use super::sample::FiledCopies;
use super::section::{Layouts, SectionOf, SectionShape, finish_section, read_section};
use crate::checkpoint::{FILED, ListStats, Section, Written};
use crate::config::{GROUP_BYTES, Params};
use crate::measured::CAP_OF_MEAN;
use crate::partition::Keys;
use crate::progress::Context;
use crate::spill::SpillReader;
use crate::state::BuildState;
use crate::{BuildError, Target};

pub(crate) fn write(state: &BuildState<'_>) -> Result<Written, BuildError> {
    let &BuildState { params, context, .. } = state;
    let mut writer = Writer::create(state)?;
    let formation = Formation::open(state)?;
    let positions = formation.positions_for_replicas(context)?;
    let model =
        state.done.model.as_ref().map(|section| read_model(params, state.target(), section)).transpose()?;
    let (spread, _) = FiledCopies::open(state)?.spread(context)?;
    let encoding = Encoding {
        params,
        space: writer.space,
        layout: writer.layouts.list,
        model: model.as_ref(),
        positions: &positions,
        spread: &spread,
    };
    context.progress.phase("write", params.vectors, "vectors");
    let encoder = || ListEncoder::new(&encoding);
    let encode =
        |encoder: &mut ListEncoder<'_>, records: &[u8], list: &FormedList| encoder.encode(records, list);
    formation.each_group(context, encoder, encode, |records, formed| {
        for lists in formed {
            writer.stats.split += u64::from(lists.len() > 1);
            for (list, encoded) in lists {
                writer.push(records, list, encoded)?;
                context.progress.advance(list.primaries.len() as u64);
            }
        }
        Ok(())
    })?;
    writer.finish(state.clustered().heads)
}

/// The filed copies, and what it takes to form lists of them.
struct Formation<'a> {
    params: &'a Params,
    space: HeadSpace,
    spill: SpillReader,
    /// What of the copies is in memory at once.
    groups: Vec<Part>,
    heads: Vec<u8>,
    /// Heads of lists that are formed by nearness, the first of all.
    filed: u32,
    /// Where rows of the other lists belong.
    keys: Option<Keys>,
    /// Most entries of a list.
    cap: usize,
}

impl<'a> Formation<'a> {
    fn open(state: &'a BuildState<'_>) -> Result<Formation<'a>, BuildError> {
        let &BuildState { params, ref scratch, .. } = state;
        let clustered = state.clustered();
        let spill = SpillReader::open(&**scratch, FILED, &state.filed().spill)?;
        // Where one vector is there very often, its group does not fit in memory.
        let groups = cut_groups(&spill, GROUP_BYTES / params.filed_record_bytes() as u64); // CAST: widening
        let copies: u64 = groups.iter().map(Part::len).sum();
        let heads = StoredHeads::read(params, clustered, &**scratch)?;
        let mean = copies as f64 / f64::from(clustered.heads);
        Ok(Formation {
            params,
            space: state.space(),
            spill,
            groups,
            filed: heads.filed,
            heads: heads.heads,
            keys: state.keys()?,
            cap: (CAP_OF_MEAN * mean).ceil().max(2.0) as usize, // CAST: a few vectors
        })
    }

    /// Forms the lists of each group, or of each part of one that is too large, hands every one to `work` on any thread,
    /// and the group's, head by head in order, to `take`.
    fn each_group<S, T: Send>(
        &self,
        context: Context<'_>,
        init: impl Fn() -> S + Sync + Send,
        work: impl Fn(&mut S, &[u8], &FormedList) -> T + Sync + Send,
        mut take: impl FnMut(&[u8], &[Vec<(FormedList, T)>]) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        let layout = RecordLayout::of_filed(self.params);
        let mut records = Vec::new();
        for part in &self.groups {
            context.check_stop()?;
            self.spill.read(part.group, part.records.clone(), &mut records)?;
            let former = Former { params: self.params, space: self.space, records: &records, cap: self.cap };
            let by_head = by_head(&records, layout);
            let form = |state: &mut S, (head, picks): &(u32, Vec<u32>)| {
                let row_bytes = self.params.head_row_bytes();
                let row = &self.heads[*head as usize * row_bytes..][..row_bytes];
                let lists = match &self.keys {
                    Some(keys) if *head >= self.filed => vec![former.shared(row, picks, keys)],
                    _ => former.form(row, picks),
                };
                let lists = lists.into_iter();
                lists
                    .map(|list| (work(state, &records, &list), list))
                    .map(|(made, list)| (list, made))
                    .collect()
            };
            let formed: Vec<Vec<(FormedList, T)>> =
                context.pool.install(|| by_head.par_iter().map_init(&init, form).collect());
            take(&records, &formed)?;
        }
        Ok(())
    }

    /// The position that each row will have, where replicas need them; found by forming all lists once more
    /// than needed, which is cheaper than sorting replicas by row and back.
    fn positions_for_replicas(&self, context: Context<'_>) -> Result<Vec<u32>, BuildError> {
        if !self.params.replicas_need_positions() {
            return Ok(Vec::new());
        }
        context.progress.phase("place", self.params.vectors, "vectors");
        let layout = RecordLayout::of_filed(self.params);
        let rows = self.params.vectors as usize; // CAST: usize is 64 bits
        let (mut positions, mut next) = (vec![0_u32; rows], 0);
        self.each_group(
            context,
            || (),
            |(), _, _| (),
            |records, formed| {
                for (list, ()) in formed.iter().flatten() {
                    for &pick in &list.primaries {
                        positions[layout.row(layout.record(records, pick)) as usize] = next;
                        next += 1;
                    }
                    context.progress.advance(list.primaries.len() as u64);
                }
                Ok(())
            },
        )?;
        Ok(positions)
    }
}

/// The model that was trained for the lists.
fn read_model(params: &Params, target: Target<'_>, section: &Section) -> Result<CodeModel, BuildError> {
    let body = read_section(target, section)?;
    Ok(CodeModel::from_bytes(&target.store.path(&section.file), &body, params.code, params.dim)?)
}

/// The records of a group by head, each head's primaries before its replicas, in row order.
fn by_head(records: &[u8], layout: RecordLayout) -> Vec<(u32, Vec<u32>)> {
    let mut keyed: Vec<(u32, bool, u32, u32)> = records
        .chunks_exact(layout.bytes)
        .zip(0..)
        .map(|(record, number)| {
            let list = layout.list(record);
            (list & !REPLICA_BIT, list & REPLICA_BIT != 0, layout.row(record), number)
        })
        .collect();
    keyed.sort_unstable();
    keyed
        .chunk_by(|a, b| a.0 == b.0)
        .map(|copies| (copies[0].0, copies.iter().map(|copy| copy.3).collect()))
        .collect()
}

/// The files that grow together.
struct Writer<'a> {
    params: &'a Params,
    target: Target<'a>,
    space: HeadSpace,
    layouts: Layouts,
    heads: FileWriter,
    codes: FileWriter,
    /// None where a column stands in for them.
    vectors: Option<PageWriter>,
    directory: Vec<u8>,
    position: u32,
    lists: u32,
    shared_lists: u32,
    shared_vectors: u64,
    ids: IdRuns,
    stats: ListStats,
}

impl<'a> Writer<'a> {
    fn create(state: &'a BuildState<'_>) -> Result<Writer<'a>, BuildError> {
        let (params, target) = (state.params, state.target());
        let create = |kind| target.create(kind);
        let layouts = Layouts::new(params, state.checked());
        let pages =
            PagesOf { layout: layouts.page, metric: params.metric, dtype: params.dtype, uuid: target.uuid };
        let vectors = params.keeps_vectors().then(|| create(SectionKind::Vectors)).transpose()?;
        Ok(Writer {
            params,
            target,
            space: state.space(),
            layouts,
            heads: create(SectionKind::Heads)?,
            codes: create(SectionKind::Codes)?,
            vectors: vectors.map(|vectors| PageWriter::new(pages, vectors)),
            directory: Vec::new(),
            position: 0,
            lists: 0,
            shared_lists: 0,
            shared_vectors: 0,
            ids: IdRuns::create(params, &*state.scratch)?,
            stats: ListStats::default(),
        })
    }

    fn push(&mut self, records: &[u8], list: &FormedList, encoded: &Encoded) -> Result<(), BuildError> {
        let Encoded { bytes, outliers, radius } = encoded;
        let offset = self.codes.bytes() / UNIT_BYTES as u64;
        let offset_units = u32::try_from(offset).map_err(|_| BuildError::Parameter {
            parameter: "--base",
            found: "lists of more than 2 TiB".into(),
            expected: "less: build from a part of the file, or with fewer replicas".into(),
        })?;
        let entry = DirectoryEntry {
            offset_units,
            primaries: list.primaries.len() as u32, // CAST: a list has fewer than 2^32 entries
            replicas: list.replicas.len() as u32,   // CAST: as above
            radius: *radius,
            hash: list_hash(self.target.uuid, self.lists, bytes),
        };
        entry.write(&mut self.directory);
        self.codes.append(bytes)?;
        self.heads.append(&list.head)?;
        self.lists += 1;
        if list.is_shared {
            self.shared_lists += 1;
            self.shared_vectors += u64::from(entry.primaries);
        }
        self.stats.outliers.add(*outliers);
        self.stats.copies += entry.count() as u64;
        self.stats.trimmed += list.trimmed;
        self.stats.longest = self.stats.longest.max(entry.count() as u64);
        let layout = RecordLayout::of_filed(self.params);
        for &pick in &list.primaries {
            let record = layout.record(records, pick);
            let id = layout.id(record);
            self.ids.push(id, self.position)?;
            self.position += 1;
            if let Some(vectors) = &mut self.vectors {
                vectors.push(layout.vector(record), id)?;
            }
        }
        Ok(())
    }

    fn finish(mut self, heads_before: u32) -> Result<Written, BuildError> {
        let id_runs = self.ids.finish()?;
        let mut directory = self.target.create(SectionKind::Directory)?;
        directory.append(&self.directory)?;
        let (params, target) = (self.params, self.target);
        let finish = |kind, writer, unit_bytes, count| {
            finish_section(
                params,
                target,
                SectionShape { kind, unit_bytes, count, of: SectionOf::Main },
                writer,
            )
        };
        let lists = u64::from(self.lists);
        let page_bytes = self.layouts.page.page_bytes() as u32; // CAST: a page is 4 KiB or one record, padded
        let mut sections = vec![
            finish(SectionKind::Heads, self.heads, 0, lists)?,
            finish(SectionKind::Directory, directory, 0, lists)?,
            finish(SectionKind::Codes, self.codes, UNIT_BYTES as u32, lists)?, // CAST: 512
        ];
        if let Some(vectors) = self.vectors {
            sections.push(finish(SectionKind::Vectors, vectors.finish()?, page_bytes, self.params.vectors)?);
        }
        self.stats.mean = self.stats.copies as f64 / lists as f64;
        self.stats.dropped = u64::from(heads_before).saturating_sub(lists - self.stats.split);
        Ok(Written {
            lists: self.lists,
            shared_lists: self.shared_lists,
            shared_vectors: self.shared_vectors,
            sections,
            id_runs,
            stats: self.stats,
        })
    }
}
