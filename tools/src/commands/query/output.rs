//! The answers to queries on their way out: printed as they come, or written to a file at the end.
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use spandrel_datasets::{Format, OutFile, RangeTruth};
use spandrel_engine::{Answer, Filtered, Limit, Neighbour, UnionAnswer};

use super::explained;
use super::promised::{Promised, Unreached};
use super::table::Table;
use crate::commands::neighbour_attributes::object;
use crate::values::OutputFormat;
use crate::{Advised, Session, UsageError};

/// How answers are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Form {
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
pub(in crate::commands) struct Output<'a> {
    pub(super) session: &'a Session,
    form: Form,
    table: Table,
    within: RangeTruth,
    limited: Limited,
    unreached: Unreached,
    incomplete: usize,
    /// Names of the attributes that neighbours have.
    attributes: Vec<String>,
    /// Names of the indexes that neighbours are of, where there are several.
    indexes: Vec<String>,
}

impl<'a> Output<'a> {
    pub(super) fn new(form: Form, k: usize, session: &'a Session) -> Output<'a> {
        let table = Table::new(k);
        let (within, limited) = (RangeTruth::default(), Limited::default());
        Output {
            session,
            form,
            table,
            within,
            limited,
            unreached: Unreached::default(),
            incomplete: 0,
            attributes: Vec::new(),
            indexes: Vec::new(),
        }
    }

    /// Names the attributes that the neighbours of all answers have.
    pub(in crate::commands) fn name_attributes(&mut self, names: Vec<String>) {
        self.attributes = names;
    }

    /// Names the indexes that the neighbours of all answers are of.
    pub(in crate::commands) fn name_indexes(&mut self, names: Vec<String>) {
        self.indexes = names;
    }

    /// Takes the next answers of several indexes; the first of them is to query `first`.
    pub(in crate::commands) fn take_union(
        &mut self,
        first: u64,
        answers: &[UnionAnswer],
    ) -> anyhow::Result<()> {
        let told = answers.iter().map(|united| (&united.answer, &united.indexes[..], None));
        self.take_each(first, told)
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
        let within = |at: usize| matches.get(at).copied().flatten();
        let told = answers.iter().enumerate().map(|(at, answer)| (answer, &[][..], within(at)));
        self.take_each(first, told)
    }

    /// Takes answers, each with the numbers of the indexes of its neighbours and the vectors that match its filter within a radius.
    fn take_each<'b>(
        &mut self,
        first: u64,
        answers: impl Iterator<Item = (&'b Answer, &'b [u32], Option<u64>)>,
    ) -> anyhow::Result<()> {
        let mut text = String::new();
        if first == 0 && self.form == Form::Lines {
            let index = if self.indexes.is_empty() { "" } else { "\tindex" };
            let more = if self.attributes.is_empty() { "" } else { "\tattributes" };
            text = format!("{HEAD}{index}{more}\n");
        }
        for (query, (answer, of, within)) in (first..).zip(answers) {
            self.incomplete += usize::from(answer.missing.parts() > 0);
            self.limited.count(answer);
            self.unreached.count(answer);
            let indexes = OfIndexes { names: &self.indexes, of };
            let told = Told { query, answer, attributes: &self.attributes, indexes, within };
            match self.form {
                Form::Lines => text += &told.lines(self.table.k),
                Form::Json => text += &told.json()?,
                Form::Ibin | Form::Npy => self.table.push(&answer.neighbours)?,
                Form::Range => push_within(&mut self.within, answer)?,
            }
        }
        if matches!(self.form, Form::Lines | Form::Json) { self.session.print(&text) } else { Ok(()) }
    }

    /// Writes what is left to write: how many answers are not whole.
    pub(in crate::commands) fn finish(self, out: Option<&Path>) -> anyhow::Result<usize> {
        if let Some(path) = out {
            match self.form {
                Form::Range => self.within.write(path)?,
                Form::Npy => self.table.write(path, Format::Npy)?,
                _ => self.table.write(path, Format::Ibin)?,
            }
            self.session.note(&format!("wrote {}", path.display()));
        }
        self.limited.tell(self.session);
        self.unreached.tell(self.session);
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

const LIMITS: [Limit; 4] = [Limit::MaxLists, Limit::MaxBytes, Limit::MaxResults, Limit::MinHeadScore];

impl Limited {
    fn count(&mut self, answer: &Answer) {
        for (count, limit) in self.0.iter_mut().zip(LIMITS) {
            *count += usize::from(answer.limited_by == Some(limit));
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
    /// Of which indexes its neighbours are, where there are several.
    indexes: OfIndexes<'a>,
    /// Vectors that match its filter, where all within a radius were asked for.
    within: Option<u64>,
}

/// The indexes of some neighbours.
#[derive(Clone, Copy, Default)]
struct OfIndexes<'a> {
    names: &'a [String],
    /// For each neighbour the number of its own.
    of: &'a [u32],
}

impl<'a> OfIndexes<'a> {
    fn name(self, at: usize) -> Option<&'a str> {
        let number = *self.of.get(at)?;
        self.names.get(number as usize).map(String::as_str) // CAST: widening
    }
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
            let index = self.indexes.name(at).map(|name| format!("\t{name}")).unwrap_or_default();
            let _ = writeln!(text, "{query}\t{rank}\t{id}\t{distance}{index}{attributes}{mark}");
        }
        if let Some(Filtered { matches, .. }) = answer.filtered
            && matches < k as u64
        {
            let _ = writeln!(text, "# query {query}: {matches} match");
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
struct Line<'a> {
    query: u64,
    neighbours: Vec<Found<'a>>,
    /// The limit that cut the answer short.
    limited_by: Option<String>,
    /// Whether no list and no page had to be left out.
    whole: bool,
    /// None where it aimed at no recall.
    promise: Option<Promised>,
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
struct Found<'a> {
    id: u64,
    distance: f32,
    estimated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<Map<String, Value>>,
}

impl Told<'_> {
    fn json(&self) -> anyhow::Result<String> {
        let Told { query, answer, .. } = self;
        let found = answer.neighbours.iter().enumerate().map(|(at, neighbour)| {
            let &Neighbour { id, distance, estimated } = neighbour;
            let index = self.indexes.name(at);
            Found { id, distance, estimated, index, attributes: self.attributes_of(at) }
        });
        let line = Line {
            query: *query,
            neighbours: found.collect(),
            limited_by: answer.limited_by.map(|limit| limit.to_string()),
            whole: answer.missing.parts() == 0,
            promise: Promised::of(answer),
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
        Told { query: 7, answer, attributes: &[], indexes: OfIndexes::default(), within: None }
    }

    #[test]
    fn lines_number_neighbours_and_say_where_few_match() {
        let mut found = answer(&[4, 5]);
        assert_eq!(told(&found).lines(10), "7\t1\t4\t0.5\n7\t2\t5\t0.5\n");
        found.filtered = Some(Filtered { matches: 2, plan: FilterPlan::Exact, widened: false });
        assert_eq!(told(&found).lines(10), "7\t1\t4\t0.5\n7\t2\t5\t0.5\n# query 7: 2 match\n");
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
    fn indexes_stand_beside_distances() {
        let (found, names) = (answer(&[4, 5]), ["a".to_owned(), "b".to_owned()]);
        let told = Told { indexes: OfIndexes { names: &names, of: &[1, 0] }, ..told(&found) };
        assert_eq!(told.lines(2), "7\t1\t4\t0.5\tb\n7\t2\t5\t0.5\ta\n");
        let json = told.json().unwrap();
        assert!(json.contains(r#"{"id":4,"distance":0.5,"estimated":false,"index":"b"}"#), "{json}");
    }

    #[test]
    fn lines_of_json_hold_what_there_is() {
        let mut found = answer(&[3]);
        let expected = r#"{"query":7,"neighbours":[{"id":3,"distance":0.5,"estimated":false}],"limited_by":null,"whole":true,"promise":null"#;
        assert_eq!(told(&found).json().unwrap(), format!("{expected}}}\n"));
        found.filtered = Some(Filtered { matches: 2, plan: FilterPlan::Exact, widened: false });
        let filter = r#","filter":{"matches":2,"plan":"exact","widened":false}"#;
        assert_eq!(told(&found).json().unwrap(), format!("{expected}{filter}}}\n"));
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
