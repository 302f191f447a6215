//! The answers to queries on their way out: printed as they come, or written to a file at the end.
use std::path::Path;

use spandrel_datasets::{Format, OutFile, RangeTruth};
use spandrel_engine::{Answer, Limit, UnionAnswer};

use super::promised::Unreached;
use super::table::Table;
use super::told::{OfIndexes, Told};
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
    pub(in crate::commands) session: &'a Session,
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
        self.take_union_within(first, answers, &[])
    }

    /// As [`Output::take_union`], within a radius; `matches` are the vectors that match the filters of these queries, if they have some.
    pub(in crate::commands) fn take_union_within(
        &mut self,
        first: u64,
        answers: &[UnionAnswer],
        matches: &[Option<u64>],
    ) -> anyhow::Result<()> {
        let told = answers.iter().enumerate().map(|(at, united)| Taken {
            answer: &united.answer,
            indexes: &united.indexes,
            explained: &united.explained,
            within: matches.get(at).copied().flatten(),
        });
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
        let told = answers.iter().enumerate().map(|(at, answer)| Taken {
            answer,
            indexes: &[],
            explained: &[],
            within: matches.get(at).copied().flatten(),
        });
        self.take_each(first, told)
    }

    fn take_each<'b>(&mut self, first: u64, answers: impl Iterator<Item = Taken<'b>>) -> anyhow::Result<()> {
        let mut text = String::new();
        if first == 0 && self.form == Form::Lines {
            let index = if self.indexes.is_empty() { "" } else { "\tindex" };
            let more = if self.attributes.is_empty() { "" } else { "\tattributes" };
            text = format!("{HEAD}{index}{more}\n");
        }
        for (query, Taken { answer, indexes: of, explained, within }) in (first..).zip(answers) {
            self.incomplete += usize::from(answer.missing.parts() > 0);
            self.limited.count(answer);
            self.unreached.count(answer);
            let indexes = OfIndexes { names: &self.indexes, of, explained };
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

/// An answer that is taken.
struct Taken<'a> {
    answer: &'a Answer,
    /// Of which index each neighbour is, where there are several.
    indexes: &'a [u32],
    /// How each of these answered, where that is told.
    explained: &'a [Answer],
    /// Vectors that match its filter, where all within a radius were asked for.
    within: Option<u64>,
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

#[cfg(test)]
mod tests {
    use super::*;

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
