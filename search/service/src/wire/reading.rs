//! Requests, read as far as they are without an index: for tests and for fuzzing.
use prost::Message;
use spandrel_filter::Schema;
use spandrel_proto::v1;

use super::convert;
use super::kinds::tier;
use crate::ask::{AskFilter, Fit, Form, Numbers, Target, offsets};
use crate::ledger::weight;
use crate::method::Method;

/// What requests are read for.
pub(crate) struct Reading<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) fit: Fit<'a>,
}

impl Reading<'_> {
    /// Whether a message to a method is a request that could be answered: `None` where it could not.
    pub(crate) fn request(&self, method: Method, message: &[u8]) -> Option<()> {
        let most = self.fit.limits.message_bytes;
        if weight(method, message, most)? > most {
            return None;
        }
        match method {
            Method::Search => self.one(decoded(message)?),
            Method::SearchStream => self.one(decoded::<v1::SearchStreamRequest>(message)?.request?),
            Method::SearchBatch => {
                let ask = convert::many(decoded(message)?).ok()?;
                self.target(&ask.target, ask.form)?;
                self.filter(ask.filter.as_deref())
            }
            Method::SearchRange => {
                let ask = convert::within(decoded(message)?).ok()?;
                ask.check(self.fit.limits).ok()?;
                self.target(&ask.target, Form::One)?;
                self.filter(ask.filter.as_deref())
            }
            Method::Fetch => decoded(message).map(|fetch| drop(convert::by_id(fetch))),
            Method::StartLoad => {
                let load: v1::StartLoadRequest = decoded(message)?;
                tier("codes", load.codes).ok()?;
                tier("vectors", load.vectors).ok().map(drop)
            }
            Method::StartSwitch => decoded::<v1::StartSwitchRequest>(message).map(drop),
            _ => None,
        }
    }

    fn one(&self, request: v1::SearchRequest) -> Option<()> {
        let ask = convert::one(request).ok()?;
        self.target(&ask.target, ask.form)?;
        if let Some(column) = &ask.column {
            self.target(&column.target, ask.form.of_column())?;
        }
        self.filter(ask.filter.as_deref())
    }

    fn target(&self, target: &Target, form: Form) -> Option<()> {
        let count = |numbers: &Numbers, dim, form| numbers.count(dim, Fit { form, ..self.fit }).ok();
        match target {
            Target::Ids(ids) => form.check(ids.len(), self.fit.limits).ok(),
            Target::Vectors { numbers, dim } => count(numbers, *dim, form).map(drop),
            Target::Documents { numbers, dim, offsets: given } => {
                let rows = count(numbers, *dim, form.of_tokens())?;
                offsets(given, rows, form, self.fit.limits).ok().map(drop)
            }
        }
    }

    fn filter(&self, filter: Option<&AskFilter>) -> Option<()> {
        filter.map_or(Some(()), |filter| filter.bind(self.schema, true).ok().map(drop))
    }
}

fn decoded<M: Message + Default>(message: &[u8]) -> Option<M> {
    M::decode(message).ok()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::testing::{methods, read_request};

    fn requests() -> Vec<(&'static str, Vec<u8>)> {
        let raw = Some(v1::Vectors::raw(4, v1::Dtype::U8, vec![1, 2, 3, 4]));
        let floats = v1::vectors::Form::Floats(v1::Floats { values: vec![1.0; 8] });
        let tokens = v1::documents::Tokens::Floats(v1::Floats { values: vec![1.0; 8] });
        let documents = v1::Documents { offsets: vec![0, 1, 2], tokens: Some(tokens) };
        let of_documents = v1::vectors::Form::Documents(documents);
        let options =
            |filter| v1::SearchOptions { recall: Some(0.9), filter: Some(filter), ..Default::default() };
        let ids = v1::condition::Kind::Ids(v1::Ids { values: vec![1, 2, 300] });
        let contains = v1::condition::Kind::Contains(v1::Contains {
            attribute: "t".to_owned(),
            tags: vec!["1".to_owned()],
            all: true,
        });
        let tree: v1::Conditions = [ids, contains].into_iter().collect();
        let one = v1::SearchRequest {
            query: raw.clone(),
            k: 10,
            options: Some(options(v1::Filter::text("k = 'x' and i > 3"))),
            ..Default::default()
        };
        let batch = |form, filter| v1::SearchBatchRequest {
            queries: Some(v1::Vectors { dim: 4, form: Some(form) }),
            k: 10,
            options: Some(options(filter)),
            ..Default::default()
        };
        let of_tree = v1::condition::Kind::AnyOf(tree).into();
        let json = v1::Filter { form: Some(v1::filter::Form::Json("{\"i\": 3}".to_owned())) };
        let load =
            v1::StartLoadRequest { index: "a".to_owned(), path: "/a".to_owned(), ..Default::default() };
        vec![
            ("Search", one.encode_to_vec()),
            ("SearchStream", v1::SearchStreamRequest { tag: 1, request: Some(one) }.encode_to_vec()),
            ("SearchBatch", batch(floats, of_tree).encode_to_vec()),
            ("SearchBatch", batch(of_documents, json).encode_to_vec()),
            (
                "SearchRange",
                v1::SearchRangeRequest { query: raw, radius: Some(2.0), ..Default::default() }
                    .encode_to_vec(),
            ),
            ("Fetch", v1::FetchRequest { ids: vec![1, 2, 300], ..Default::default() }.encode_to_vec()),
            ("StartLoad", load.encode_to_vec()),
        ]
    }

    #[test]
    fn hostile_messages_are_read_or_refused() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (mut read, mut refused) = (0, 0);
        for (name, good) in requests() {
            let method = methods().position(|method| method == name).unwrap() as u8;
            assert!(read_request(method, &good), "{name}");
            for _ in 0..1500 {
                let mut message = good.clone();
                for _ in 0..rng.random_range(1..4) {
                    let at = rng.random_range(0..message.len());
                    match rng.random_range(0..5) {
                        0 => message[at] = rng.random(),
                        1 => message[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
                        2 => message.insert(at, rng.random()),
                        3 => message.extend_from_within(at / 2..at),
                        _ => message.truncate(at + 1),
                    }
                }
                if read_request(method, &message) { read += 1 } else { refused += 1 }
            }
        }
        assert!(read > 500 && refused > 3000, "{read} read, {refused} refused");
    }
}
