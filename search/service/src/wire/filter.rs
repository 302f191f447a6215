//! Filters as messages.
use std::fmt::{self, Write as _};
use std::sync::Arc;

use spandrel_filter::{BindError, Comparison, Filter, TERMS_MAX, TagMode, Value};
use spandrel_proto::v1;
use spandrel_proto::v1::condition::Kind;
use spandrel_proto::v1::filter::Form;
use spandrel_proto::v1::value::Kind as ValueKind;

use crate::ask::{AskFilter, FilterForm};
use crate::filter_fault::FilterFault;
use crate::refusal::Refusal;

/// The filter of a request, if it has one; `field` is the one that holds it. Texts are not parsed yet.
pub(super) fn filter(
    field: &'static str,
    filter: Option<v1::Filter>,
) -> Result<Option<Arc<AskFilter>>, Refusal> {
    let bytes = filter.as_ref().map_or(0, prost::Message::encoded_len);
    let Some(v1::Filter { form }) = filter else { return Ok(None) };
    let form = match form {
        None => return Err(Refusal::field(field, "no condition; set text, json or tree")),
        Some(Form::Text(text)) => FilterForm::Text(text),
        Some(Form::Json(json)) => FilterForm::Json(json),
        Some(Form::Tree(tree)) => {
            let mut place = Place { path: format!("{field}.tree"), terms: 0 };
            FilterForm::Tree(place.condition(tree)?)
        }
    };
    Ok(Some(Arc::new(AskFilter { field, form, bytes })))
}

/// Where in a tree a condition is.
struct Place {
    /// The path of its field.
    path: String,
    /// Comparisons so far.
    terms: usize,
}

impl Place {
    /// Goes one field down, for as long as `read` takes.
    fn at<T>(
        &mut self,
        field: impl fmt::Display,
        read: impl FnOnce(&mut Place) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let before = self.path.len();
        // Writing to a text does not fail.
        let _ = write!(self.path, ".{field}");
        let read = read(self)?;
        self.path.truncate(before);
        Ok(read)
    }

    fn refusal(&self, message: impl Into<String>) -> Refusal {
        Refusal::Filter { field: self.path.clone(), fault: FilterFault::new(message) }
    }

    /// As deep as messages nest, which decoding bounds.
    fn condition(&mut self, condition: v1::Condition) -> Result<Filter, Refusal> {
        if !matches!(condition.kind, Some(Kind::AllOf(_) | Kind::AnyOf(_) | Kind::Negation(_))) {
            self.terms += 1;
        }
        // Read no further: a message may hold millions.
        if self.terms > TERMS_MAX {
            return Err(self.refusal(BindError::Terms.to_string()));
        }
        match condition.kind {
            None => Err(self.refusal(
                "no condition that is known here, expected one of all_of, any_of, negation, comparison, membership, between, \
                 is_null, contains and ids",
            )),
            Some(Kind::AllOf(parts)) => self.at("all_of", |at| Ok(Filter::And(at.conditions(parts, "AND")?))),
            Some(Kind::AnyOf(parts)) => self.at("any_of", |at| Ok(Filter::Or(at.conditions(parts, "OR")?))),
            Some(Kind::Negation(inner)) => {
                self.at("negation", |at| Ok(Filter::Not(at.condition(*inner)?.into())))
            }
            Some(Kind::Comparison(v1::Comparison { attribute: name, operator, value })) => {
                self.at("comparison", |at| {
                    let (comparison, value) = (at.operator(operator)?, at.value("value", value)?);
                    Ok(Filter::Compare { name, comparison, value })
                })
            }
            Some(Kind::Membership(v1::Membership { attribute: name, values, negated })) => {
                self.at("membership", |at| {
                    let values = (0..).zip(values).map(|(number, value): (usize, _)| {
                        at.value(format_args!("values[{number}]"), Some(value))
                    });
                    Ok(Filter::In { name, values: values.collect::<Result<_, _>>()?, negated })
                })
            }
            Some(Kind::Between(v1::Between { attribute: name, low, high })) => self.at("between", |at| {
                let (low, high) = (at.value("low", low)?, at.value("high", high)?);
                Ok(Filter::Between { name, low, high })
            }),
            Some(Kind::IsNull(name)) => Ok(Filter::IsNull { name }),
            Some(Kind::Contains(v1::Contains { attribute: name, tags, all })) => {
                Ok(Filter::Contains { name, tags, mode: if all { TagMode::All } else { TagMode::Any } })
            }
            Some(Kind::Ids(v1::Ids { values })) => Ok(Filter::Ids(values)),
        }
    }

    fn conditions(&mut self, parts: v1::Conditions, what: &'static str) -> Result<Vec<Filter>, Refusal> {
        // Refused here, so that there are no more conditions than comparisons and levels allow.
        if parts.conditions.is_empty() {
            return Err(self.refusal(BindError::Empty(what).to_string()));
        }
        let numbered = (0..).zip(parts.conditions);
        let read = |(number, part): (usize, _)| {
            self.at(format_args!("conditions[{number}]"), |at| at.condition(part))
        };
        numbered.map(read).collect()
    }

    fn operator(&mut self, code: i32) -> Result<Comparison, Refusal> {
        Ok(match v1::Operator::try_from(code) {
            Ok(v1::Operator::Equal) => Comparison::Equal,
            Ok(v1::Operator::NotEqual) => Comparison::NotEqual,
            Ok(v1::Operator::Less) => Comparison::Less,
            Ok(v1::Operator::AtMost) => Comparison::AtMost,
            Ok(v1::Operator::Greater) => Comparison::Greater,
            Ok(v1::Operator::AtLeast) => Comparison::AtLeast,
            Ok(v1::Operator::Unspecified) | Err(_) => {
                return self.at("operator", |at| Err(at.refusal(format!("{code}, expected 1 to 6"))));
            }
        })
    }

    fn value(&mut self, field: impl fmt::Display, value: Option<v1::Value>) -> Result<Value, Refusal> {
        match value.and_then(|value| value.kind) {
            Some(ValueKind::Text(text)) => Ok(Value::Text(text)),
            Some(ValueKind::Boolean(value)) => Ok(Value::Bool(value)),
            Some(ValueKind::Integer(value)) => Ok(Value::I64(value)),
            Some(ValueKind::Number(value)) => Ok(Value::F64(value)),
            None => self.at(field, |at| {
                Err(at.refusal(
                    "no value that is known here, expected one of text, boolean, integer and number",
                ))
            }),
        }
    }
}
