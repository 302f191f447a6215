//! The answers to queries on their way out: printed as they come, or written to a file at the end.
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use spandrel_datasets::{Format, OutFile, RangeTruth, Truth};
use spandrel_engine::{Answer, Filtered, Limit, Neighbour};

use super::explained;
use crate::commands::neighbour_attributes::object;
use crate::values::OutputFormat;
use crate::{Advised, Session, UsageError, write_file};

/// How answers are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Lines,
    Json,
    Ibin,
    Npy,
    /// Results of any number for each query.
    Range,
}

impl Form {
    pub(super) fn of(
        out: Option<&Path>,
        format: Option<Format>,
        printed: OutputFormat,
    ) -> Result<Form, UsageError> {
        let Some(path) = out else {
            return Ok(if printed == OutputFormat::Json { Form::Json } else { Form::Lines });
        };
        match (OutFile { path, format }).format() {
            Ok(Format::Ibin) => Ok(Form::Ibin),
            Ok(Format::Npy) => Ok(Form::Npy),
            _ => {
                let path = path.display();
                let message = format!(
                    "{path}: expected a file ending in .ibin or .npy, or one of these with --out-format"
                );
                Err(UsageError(message))
            }
        }
    }
}

/// What becomes of answers.
pub(super) struct Output<'a> {
    pub(super) session: &'a Session,
    form: Form,
    table: Table,
    within: RangeTruth,
    limited: Limited,
    incomplete: usize,
    /// Names of the attributes that neighbours have.
    attributes: Vec<String>,
}

impl<'a> Output<'a> {
    pub(super) fn new(form: Form, k: usize, session: &'a Session) -> Output<'a> {
        let table = Table { k, ids: Vec::new(), distances: Vec::new() };
        let (within, limited) = (RangeTruth::default(), Limited::default());
        Output { session, form, table, within, limited, incomplete: 0, attributes: Vec::new() }
    }

    /// Names the attributes that the neighbours of all answers have.
    pub(super) fn name_attributes(&mut self, names: Vec<String>) {
        self.attributes = names;
    }

    /// Takes the next answers; the first of them is to query `first`.
    pub(super) fn take(&mut self, first: u64, answers: &[Answer]) -> anyhow::Result<()> {
        self.take_within(first, answers, &[])
    }

    /// As [`Output::take`], within a radius; `matches` are the vectors that match the filters of these queries, if they have some.
    pub(super) fn take_within(
        &mut self,
        first: u64,
        answers: &[Answer],
        matches: &[Option<u64>],
    ) -> anyhow::Result<()> {
        self.incomplete += answers.iter().filter(|answer| answer.missing.parts() > 0).count();
        self.limited.count(answers);
        match self.form {
            Form::Lines | Form::Json => {
                let mut text = String::new();
                if first == 0 && self.form == Form::Lines {
                    let more = if self.attributes.is_empty() { "" } else { "\tattributes" };
                    text = format!("{HEAD}{more}\n");
                }
                for (at, answer) in answers.iter().enumerate() {
                    let (query, within) = (first + at as u64, matches.get(at).copied().flatten()); // CAST: widening
                    let told = Told { query, answer, attributes: &self.attributes, within };
                    text += &if self.form == Form::Json { told.json()? } else { told.lines(self.table.k) };
                }
                self.session.print(&text)
            }
            Form::Ibin | Form::Npy => {
                answers.iter().for_each(|answer| self.table.push(answer));
                Ok(())
            }
            Form::Range => answers.iter().try_for_each(|answer| push_within(&mut self.within, answer)),
        }
    }

    /// Writes what is left to write: how many answers are not whole. `index` is what was searched, for messages.
    pub(super) fn finish(self, out: Option<&Path>, index: &str) -> anyhow::Result<usize> {
        if let Some(path) = out {
            match self.form {
                Form::Range => self.within.write(path)?,
                form => self.table.write(form, path, index)?,
            }
            self.session.note(&format!("wrote {}", path.display()));
        }
        self.limited.tell(self.session);
        Ok(self.incomplete)
    }
}

/// Appends an answer of any length.
fn push_within(all: &mut RangeTruth, answer: &Answer) -> anyhow::Result<()> {
    let wide = answer.neighbours.iter().map(|n| n.id).find(|id| *id > Format::Ivecs.id_max());
    if let Some(id) = wide {
        let message = format!("id {id} does not fit 31 bits");
        return Err(Advised::new(message, "print the answers instead").into());
    }
    all.push(answer.neighbours.iter().map(|n| (n.id, n.distance))).map_err(|_| {
        let message = format!("more than {} results in all", RangeTruth::RESULTS_MAX);
        Advised::new(message, "print the answers instead, or ask for fewer").into()
    })
}

/// Answers that a limit cut short, by the limit.
#[derive(Debug, Default)]
struct Limited([usize; LIMITS.len()]);

const LIMITS: [Limit; 3] = [Limit::MaxLists, Limit::MaxBytes, Limit::MaxResults];

impl Limited {
    fn count(&mut self, answers: &[Answer]) {
        for (count, limit) in self.0.iter_mut().zip(LIMITS) {
            *count += answers.iter().filter(|answer| answer.limited_by == Some(limit)).count();
        }
    }

    fn tell(&self, session: &Session) {
        for (answers, limit) in self.0.into_iter().zip(LIMITS) {
            if answers > 0 {
                let verb = if answers == 1 { "answer was" } else { "answers were" };
                session.note(&format!("note: {answers} {verb} cut short by {limit}"));
            }
        }
    }
}

/// Heading of the lines.
const HEAD: &str = "query\trank\tid\tdistance";

/// What is printed of a query.
struct Told<'a> {
    query: u64,
    answer: &'a Answer,
    /// Names of those that its neighbours have.
    attributes: &'a [String],
    /// Vectors that match its filter, where all within a radius were asked for.
    within: Option<u64>,
}

impl Told<'_> {
    fn lines(&self, k: usize) -> String {
        let Told { query, answer, .. } = self;
        let mut text = String::new();
        for (at, neighbour) in answer.neighbours.iter().enumerate() {
            let rank = at + 1;
            let attributes =
                self.attributes_of(at).map(|of| format!("\t{}", Value::from(of))).unwrap_or_default();
            // Writing to a string does not fail, here and below.
            let mark = if neighbour.estimated { "\t~" } else { "" };
            let Neighbour { id, distance, .. } = neighbour;
            let _ = writeln!(text, "{query}\t{rank}\t{id}\t{distance}{attributes}{mark}");
        }
        if let Some(Filtered { matches, .. }) = answer.filtered
            && matches < k as u64
        {
            let _ = writeln!(text, "# query {query}: {matches} vectors match");
        }
        if let Some(matches) = self.within {
            let found = answer.neighbours.len();
            let _ =
                writeln!(text, "# query {query}: {found} within the radius of {matches} vectors that match");
        }
        text + &explained::text(*query, answer).unwrap_or_default()
    }

    /// What neighbour number `at` has in attributes, where it was asked for.
    fn attributes_of(&self, at: usize) -> Option<Map<String, Value>> {
        let count = self.attributes.len();
        let cells = self.answer.cells.get(at * count..(at + 1) * count).filter(|_| count > 0)?;
        Some(object(self.attributes, cells))
    }
}

/// An answer as a line of JSON.
#[derive(Serialize)]
struct Line {
    query: u64,
    neighbours: Vec<Found>,
    /// The limit that cut the answer short.
    limited_by: Option<String>,
    /// Whether no list and no page had to be left out.
    whole: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Matched>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Value>,
}

/// How the vectors that match a filter were searched.
#[derive(Serialize)]
struct Matched {
    matches: u64,
    /// None within a radius.
    plan: Option<&'static str>,
    /// Whether more lists were searched, since those planned held few matches.
    widened: bool,
}

#[derive(Serialize)]
struct Found {
    id: u64,
    distance: f32,
    estimated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<Map<String, Value>>,
}

impl Told<'_> {
    fn json(&self) -> anyhow::Result<String> {
        let Told { query, answer, .. } = self;
        let found = answer.neighbours.iter().enumerate().map(|(at, neighbour)| {
            let &Neighbour { id, distance, estimated } = neighbour;
            Found { id, distance, estimated, attributes: self.attributes_of(at) }
        });
        let line = Line {
            query: *query,
            neighbours: found.collect(),
            limited_by: answer.limited_by.map(|limit| limit.to_string()),
            whole: answer.missing.parts() == 0,
            filter: match (answer.filtered, self.within) {
                (Some(Filtered { matches, plan, widened }), _) => {
                    Some(Matched { matches, plan: Some(plan.name()), widened })
                }
                (None, within) => within.map(|matches| Matched { matches, plan: None, widened: false }),
            },
            explanation: explained::json(answer),
        };
        Ok(serde_json::to_string(&line)? + "\n")
    }
}

/// Answers as rows of `k`, padded.
struct Table {
    k: usize,
    ids: Vec<Option<u64>>,
    distances: Vec<f32>,
}

impl Table {
    fn push(&mut self, answer: &Answer) {
        for at in 0..self.k {
            let found = answer.neighbours.get(at);
            self.ids.push(found.map(|n| n.id));
            self.distances.push(found.map_or(f32::INFINITY, |n| n.distance));
        }
    }

    fn write(self, form: Form, path: &Path, index: &str) -> anyhow::Result<()> {
        let queries = self.ids.len() / self.k;
        if form == Form::Npy {
            return Ok(write_file(path, &npy(&self.ids, queries, self.k)?)?);
        }
        let mut ids = Vec::with_capacity(self.ids.len());
        for id in self.ids {
            let narrow = u32::try_from(id.unwrap_or(u32::MAX.into())).map_err(|_| {
                let message = format!("an id of {index} does not fit 32 bits");
                Advised::new(message, "write the answers as .npy")
            })?;
            ids.push(narrow.into());
        }
        Truth { queries, k: self.k, ids, distances: Some(self.distances) }
            .write(OutFile { path, format: Some(Format::Ibin) })?;
        Ok(())
    }
}

/// Ids as an array of int64 in NumPy's format, version 1.
fn npy(ids: &[Option<u64>], rows: usize, columns: usize) -> anyhow::Result<Vec<u8>> {
    const HEADER_BYTES: usize = 128;
    const PREFIX: &[u8; 8] = b"\x93NUMPY\x01\x00";
    let mut text = format!("{{'descr': '<i8', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let text_bytes = HEADER_BYTES - PREFIX.len() - 2;
    text = format!("{text:<width$}\n", width = text_bytes - 1);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + ids.len() * 8);
    bytes.extend_from_slice(PREFIX);
    bytes.extend_from_slice(&(text_bytes as u16).to_le_bytes()); // CAST: 118
    bytes.extend_from_slice(text.as_bytes());
    for id in ids {
        let signed = match id {
            None => -1,
            Some(id) => i64::try_from(*id).map_err(|_| {
                Advised::new(
                    format!("id {id} does not fit a signed 64-bit number"),
                    "print the answers instead",
                )
            })?,
        };
        bytes.extend_from_slice(&signed.to_le_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel_engine::FilterPlan;
    use spandrel_filter::Cell;

    fn answer(ids: &[u64]) -> Answer {
        let neighbours = ids.iter().map(|&id| Neighbour { id, distance: 0.5, estimated: false }).collect();
        Answer { neighbours, ..Answer::default() }
    }

    fn told(answer: &Answer) -> Told<'_> {
        Told { query: 7, answer, attributes: &[], within: None }
    }

    #[test]
    fn lines_number_neighbours_and_say_where_few_match() {
        let mut found = answer(&[4, 5]);
        assert_eq!(told(&found).lines(10), "7\t1\t4\t0.5\n7\t2\t5\t0.5\n");
        found.filtered = Some(Filtered { matches: 2, plan: FilterPlan::Exact, widened: false });
        assert_eq!(told(&found).lines(10), "7\t1\t4\t0.5\n7\t2\t5\t0.5\n# query 7: 2 vectors match\n");
        assert_eq!(told(&found).lines(2).lines().count(), 2);
        found.filtered = None;
        let within = Told { within: Some(40), ..told(&found) };
        assert!(within.lines(10).ends_with("\n# query 7: 2 within the radius of 40 vectors that match\n"));
        assert!(within.json().unwrap().contains(r#""filter":{"matches":40,"plan":null,"widened":false}"#));
    }

    #[test]
    fn attributes_stand_beside_distances() {
        let cells = [Cell::I64(3), Cell::Null, Cell::I64(-1), Cell::Keyword("x".to_owned())];
        let mut found = Answer { cells: cells.into(), ..answer(&[4, 5]) };
        found.neighbours[1].estimated = true;
        let told = Told { attributes: &["n".to_owned(), "k".to_owned()], ..told(&found) };
        let lines = "7\t1\t4\t0.5\t{\"k\":null,\"n\":3}\n7\t2\t5\t0.5\t{\"k\":\"x\",\"n\":-1}\t~\n";
        assert_eq!(told.lines(2), lines);
        let expected = r#"{"id":5,"distance":0.5,"estimated":true,"attributes":{"k":"x","n":-1}}"#;
        assert!(told.json().unwrap().contains(expected));
    }

    #[test]
    fn lines_of_json_hold_what_there_is() {
        let mut found = answer(&[3]);
        let expected = r#"{"query":7,"neighbours":[{"id":3,"distance":0.5,"estimated":false}],"limited_by":null,"whole":true"#;
        assert_eq!(told(&found).json().unwrap(), format!("{expected}}}\n"));
        found.filtered = Some(Filtered { matches: 2, plan: FilterPlan::Exact, widened: false });
        let filter = r#","filter":{"matches":2,"plan":"exact","widened":false}"#;
        assert_eq!(told(&found).json().unwrap(), format!("{expected}{filter}}}\n"));
    }

    #[test]
    fn arrays_are_padded() {
        let bytes = npy(&[Some(3), None], 1, 2).unwrap();
        assert_eq!(bytes.len(), 128 + 16);
        assert_eq!(bytes[127], b'\n');
        assert_eq!(&bytes[8..10], &[118, 0]);
        assert_eq!(&bytes[128..], [3_i64.to_le_bytes(), (-1_i64).to_le_bytes()].concat());
        assert!(npy(&[Some(u64::MAX)], 1, 1).is_err());
        assert!(npy(&[], usize::MAX, usize::MAX).unwrap().len() == 128);
    }

    #[test]
    fn forms_by_extension() {
        assert_eq!(Form::of(None, None, OutputFormat::Text).unwrap(), Form::Lines);
        assert_eq!(Form::of(Some(Path::new("a.ibin")), None, OutputFormat::Json).unwrap(), Form::Ibin);
        assert!(Form::of(Some(Path::new("a.fbin")), None, OutputFormat::Text).is_err());
        let stdout = Some(Path::new("/dev/stdout"));
        assert!(Form::of(stdout, None, OutputFormat::Text).unwrap_err().to_string().contains("--out-format"));
        assert_eq!(Form::of(stdout, Some(Format::Npy), OutputFormat::Text).unwrap(), Form::Npy);
    }
}
