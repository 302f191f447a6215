//! What is printed of a query, in lines and as JSON.
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};
use spandrel_engine::{Answer, Filtered, Neighbour};

use super::explained;
use super::promised::Promised;
use crate::commands::neighbour_attributes::object;

/// What is printed of a query.
pub(super) struct Told<'a> {
    pub(super) query: u64,
    pub(super) answer: &'a Answer,
    /// Names of those that its neighbours have.
    pub(super) attributes: &'a [String],
    /// Of which indexes its neighbours are, where there are several.
    pub(super) indexes: OfIndexes<'a>,
    /// Vectors that match its filter, where all within a radius were asked for.
    pub(super) within: Option<u64>,
}

/// The indexes of some neighbours.
#[derive(Clone, Copy, Default)]
pub(super) struct OfIndexes<'a> {
    pub(super) names: &'a [String],
    /// For each neighbour the number of its own.
    pub(super) of: &'a [u32],
    /// Of each index its own answer, where that is told.
    pub(super) explained: &'a [Answer],
}

impl<'a> OfIndexes<'a> {
    fn name(self, at: usize) -> Option<&'a str> {
        let number = *self.of.get(at)?;
        self.names.get(number as usize).map(String::as_str) // CAST: widening
    }

    /// How each index answered, after its name.
    fn text(self, query: u64) -> String {
        let each = self.names.iter().zip(self.explained);
        each.filter_map(|(name, answer)| Some(format!("# index {name}\n") + &explained::text(query, answer)?))
            .collect()
    }

    /// The same for programs; none where it is not told.
    fn json(self) -> Option<Vec<Value>> {
        let each = self.names.iter().zip(self.explained);
        let one = |(name, answer): (&String, &Answer)| {
            let mut told = explained::json(answer)?;
            told["index"] = name.as_str().into();
            Some(told)
        };
        (!self.explained.is_empty()).then(|| each.filter_map(one).collect())
    }
}

impl Told<'_> {
    pub(super) fn lines(&self, k: usize) -> String {
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
        text + &explained::text(*query, answer).unwrap_or_default() + &self.indexes.text(*query)
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
    /// That of each index, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanations: Option<Vec<Value>>,
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
    pub(super) fn json(&self) -> anyhow::Result<String> {
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
            explanations: self.indexes.json(),
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
        let told = Told { indexes: OfIndexes { names: &names, of: &[1, 0], explained: &[] }, ..told(&found) };
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
}
