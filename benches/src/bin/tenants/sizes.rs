//! Which vectors are of which tenant.
use std::ops::ControlFlow;

use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use spandrel_filter::{Attribute, AttributeType, Cell, Filter, Schema, Value};
use spandrel_index::{AttributeSource, AttributeSourceError};

pub(crate) const TENANT: &str = "tenant";

/// Rows of each tenant, the largest first.
pub(crate) struct Tenants {
    schema: Schema,
    rows: Vec<Vec<u32>>,
    of_row: Vec<u32>,
}

impl Tenants {
    /// `tenants` of `count` rows: number `i`, from 1, has `largest / i`, and less where these would be more rows than there are.
    pub(crate) fn new(count: usize, tenants: usize, largest: usize) -> Result<Tenants> {
        ensure!((1..=count).contains(&tenants), "{tenants} tenants of {count} vectors");
        let sizes = |largest: usize| (1..=tenants).map(move |tenant| (largest / tenant).max(1));
        let (mut low, mut high) = (1, largest + 1);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if sizes(middle).sum::<usize>() <= count { low = middle } else { high = middle }
        }
        let mut order: Vec<u32> = (0..u32::try_from(count)?).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
        let (mut rows, mut of_row, mut rest) = (Vec::new(), vec![0; count], order.as_slice());
        for (tenant, size) in (0..).zip(sizes(low)) {
            let (mut own, others) = (rest[..size].to_vec(), &rest[size..]);
            own.sort_unstable();
            own.iter().for_each(|&row| of_row[row as usize] = tenant);
            rows.push(own);
            rest = others;
        }
        // What rounding leaves over.
        for (&row, tenant) in rest.iter().zip((0..tenants).rev().cycle()) {
            of_row[row as usize] = u32::try_from(tenant)?;
            rows[tenant].push(row);
        }
        let attribute = Attribute { name: TENANT.to_owned(), kind: AttributeType::Keyword };
        Ok(Tenants { schema: Schema::new(vec![attribute])?, rows, of_row })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn rows(&self, tenant: usize) -> &[u32] {
        &self.rows[tenant]
    }

    /// What matches the vectors of a tenant.
    pub(crate) fn filter(tenant: usize) -> Filter {
        Filter::Compare {
            name: TENANT.to_owned(),
            comparison: spandrel_filter::Comparison::Equal,
            value: Value::Text(name(tenant)),
        }
    }
}

fn name(tenant: usize) -> String {
    format!("tenant {tenant}")
}

impl AttributeSource for Tenants {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        self.of_row.len() as u64 // CAST: widening
    }

    fn scan(
        &self,
        each: &mut dyn FnMut(u64, &[Cell]) -> ControlFlow<()>,
    ) -> Result<(), AttributeSourceError> {
        for (row, &tenant) in (0..).zip(&self.of_row) {
            if each(row, &[Cell::Keyword(name(tenant as usize))]).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        "tenants by size".to_owned()
    }
}
