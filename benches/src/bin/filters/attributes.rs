//! The attributes of the vectors of a set, made as they are read.
use std::ops::ControlFlow;

use spandrel_filter::{Attribute, AttributeType, Cell, Schema, SchemaError};
use spandrel_index::{AttributeSource, AttributeSourceError};

use crate::kinds;
use crate::orders::Order;

/// Attributes by which filters of every kind match the first vectors of some orders.
pub(crate) struct Attributes<'a> {
    orders: &'a [Order],
    schema: Schema,
}

impl Attributes<'_> {
    pub(crate) fn of(orders: &[Order]) -> Result<Attributes<'_>, SchemaError> {
        let tags = (kinds::TAGS.to_owned(), AttributeType::Tags);
        let all = std::iter::once(tags).chain(kinds::attributes(orders.len()));
        let schema = Schema::new(all.map(|(name, kind)| Attribute { name, kind }).collect())?;
        Ok(Attributes { orders, schema })
    }
}

impl AttributeSource for Attributes<'_> {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        self.orders.first().map_or(0, |order| order.len() as u64) // CAST: widening
    }

    fn scan(
        &self,
        each: &mut dyn FnMut(u64, &[Cell]) -> ControlFlow<()>,
    ) -> Result<(), AttributeSourceError> {
        let mut cells = vec![Cell::Null; self.schema.attributes().len()];
        for row in 0..self.len() {
            let vector = row as usize; // CAST: sets are in memory
            cells.clear();
            let mut tags = kinds::tags(self.orders, vector);
            tags.sort_unstable();
            cells.push(if tags.is_empty() { Cell::Null } else { Cell::Tags(tags.into_iter().collect()) });
            for order in self.orders {
                let place = order.place(vector);
                cells.push(Cell::I64(place.into()));
                cells.push(Cell::Keyword(kinds::keyword(place as usize, order.len()))); // CAST: widening
            }
            if each(row, &cells).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        "attributes by place".to_owned()
    }
}
