//! The phases of a build, in order, each a value: what it needs, what it gives, what it leaves nobody to read.
use std::time::Instant;

use spandrel_index::codes::CodeSpec;
use spandrel_io::StoreError;

use crate::checkpoint::{
    ATTRIBUTE_ENTRIES, ATTRIBUTE_FORWARD, ATTRIBUTE_RUNS, COLUMN_ROWS, FILED, HEADS, ID_RUNS, LEAVES,
    PARTITION, PARTITION_RUNS, PARTS, Product, SAMPLE,
};
use crate::state::BuildState;
use crate::{BuildError, stages};

/// A step that is made durable as a whole.
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    /// What it takes from the checkpoint.
    needs: &'static [Product],
    /// What it adds to the checkpoint; a phase that adds nothing runs each time.
    gives: Option<Product>,
    /// Scratch files that no later phase reads.
    drops: &'static [&'static str],
    /// Whether this build has the phase.
    wanted: fn(&BuildState<'_>) -> bool,
    run: fn(&mut BuildState<'_>) -> Result<(), BuildError>,
}

const fn always(_: &BuildState<'_>) -> bool {
    true
}

/// All phases but publication, which is one switch at the end.
pub(crate) const PHASES: [Phase; 16] = [
    Phase {
        name: "check",
        needs: &[],
        gives: Some(Product::Checked),
        drops: &[],
        wanted: always,
        run: |state| stages::check(state).map(|checked| state.done.checked = Some(checked)),
    },
    Phase {
        name: "partition",
        needs: &[Product::Checked],
        gives: Some(Product::Partitioned),
        drops: &[PARTITION_RUNS],
        wanted: |state| state.params.partition.is_some(),
        run: |state| stages::partition(state).map(|partitioned| state.done.partitioned = Some(partitioned)),
    },
    Phase {
        name: "sample",
        needs: &[Product::Checked],
        gives: Some(Product::Sampled),
        drops: &[],
        wanted: |state| state.params.query_sample.is_some(),
        run: |state| stages::wanted(state).map(|sampled| state.done.sampled = Some(sampled)),
    },
    Phase {
        name: "part",
        needs: &[Product::Checked, Product::Partitioned, Product::Sampled],
        gives: Some(Product::Parted),
        drops: &[SAMPLE],
        wanted: always,
        run: |state| stages::part(state).map(|parted| state.done.parted = Some(parted)),
    },
    Phase {
        name: "cluster",
        needs: &[Product::Checked, Product::Partitioned, Product::Sampled, Product::Parted],
        gives: Some(Product::Clustered),
        drops: &[],
        wanted: always,
        run: |state| stages::cluster(state).map(|clustered| state.done.clustered = Some(clustered)),
    },
    Phase {
        name: "file",
        needs: &[Product::Checked, Product::Parted, Product::Clustered],
        gives: Some(Product::Filed),
        drops: &[PARTS, LEAVES],
        wanted: always,
        run: |state| stages::file(state).map(|filed| state.done.filed = Some(filed)),
    },
    Phase {
        name: "train",
        needs: &[Product::Checked, Product::Sampled, Product::Clustered, Product::Filed],
        gives: Some(Product::Model),
        drops: &[],
        wanted: |state| state.params.code != CodeSpec::Full,
        run: |state| {
            let (model, code) = stages::train(state)?;
            state.done.model = Some(model);
            if let Some(sampled) = &mut state.done.sampled {
                sampled.record.code = code;
            }
            Ok(())
        },
    },
    Phase {
        name: "write",
        needs: &[
            Product::Checked,
            Product::Partitioned,
            Product::Sampled,
            Product::Clustered,
            Product::Filed,
            Product::Model,
        ],
        gives: Some(Product::Written),
        drops: &[FILED, HEADS, PARTITION],
        wanted: always,
        run: |state| stages::write(state).map(|written| state.done.written = Some(written)),
    },
    Phase {
        name: "graph",
        needs: &[Product::Checked, Product::Written],
        gives: Some(Product::Graph),
        drops: &[],
        wanted: always,
        run: |state| stages::graph(state).map(|graph| state.done.graph = Some(graph)),
    },
    Phase {
        name: "ids",
        needs: &[Product::Checked, Product::Written],
        gives: Some(Product::Ids),
        drops: &[ID_RUNS],
        wanted: always,
        run: |state| stages::ids(state).map(|ids| state.done.ids = Some(ids)),
    },
    Phase {
        name: "column",
        needs: &[Product::Checked, Product::Written, Product::Ids],
        gives: Some(Product::Column),
        drops: &[COLUMN_ROWS],
        wanted: |state| state.params.column.is_some(),
        run: |state| stages::column(state).map(|column| state.done.column = Some(column)),
    },
    Phase {
        name: "documents",
        needs: &[Product::Checked, Product::Written, Product::Ids],
        gives: Some(Product::Documents),
        drops: &[],
        wanted: |state| state.params.documents.is_some(),
        run: |state| stages::documents(state).map(|documents| state.done.documents = Some(documents)),
    },
    Phase {
        name: "gather",
        needs: &[Product::Checked, Product::Written, Product::Ids],
        gives: Some(Product::Gathered),
        drops: &[],
        wanted: |state| state.input.attributes.is_some(),
        run: |state| stages::gather(state).map(|gathered| state.done.gathered = Some(gathered)),
    },
    Phase {
        name: "attributes",
        needs: &[Product::Checked, Product::Written, Product::Gathered],
        gives: Some(Product::Attributes),
        drops: &[ATTRIBUTE_RUNS, ATTRIBUTE_ENTRIES, ATTRIBUTE_FORWARD],
        wanted: |state| state.input.attributes.is_some(),
        run: |state| stages::attributes(state).map(|sections| state.done.attributes = Some(sections)),
    },
    Phase {
        name: "verify",
        needs: &[
            Product::Checked,
            Product::Model,
            Product::Written,
            Product::Graph,
            Product::Ids,
            Product::Column,
            Product::Documents,
            Product::Attributes,
        ],
        gives: None,
        drops: &[],
        wanted: always,
        run: |state| stages::verify(state),
    },
    Phase {
        name: "calibrate",
        needs: &[
            Product::Checked,
            Product::Model,
            Product::Written,
            Product::Graph,
            Product::Ids,
            Product::Column,
            Product::Documents,
            Product::Attributes,
        ],
        gives: Some(Product::Calibrated),
        drops: &[],
        // It compares what is searched with the vectors themselves.
        wanted: |state| state.calibrate.is_some() && state.params.keeps_vectors(),
        run: |state| {
            let Some(by) = state.calibrate else { return Ok(()) };
            stages::calibrate(state, by).map(|calibrated| state.done.calibrated = Some(calibrated))
        },
    },
];

/// Runs the phases that are not done yet, committing each.
pub(crate) fn run(state: &mut BuildState<'_>) -> Result<(), BuildError> {
    for phase in &PHASES {
        let done = phase.gives.is_some_and(|product| state.done.has(product));
        if !done && (phase.wanted)(state) {
            phase.run(state)?;
        }
    }
    Ok(())
}

impl Phase {
    fn run(&self, state: &mut BuildState<'_>) -> Result<(), BuildError> {
        state.context.check_stop()?;
        for &needed in self.needs {
            let has = state.done.has(needed) || !PHASES.iter().any(|phase| phase.will_give(needed, state));
            assert!(has, "{} ran before {needed:?} was there", self.name);
        }
        let start = Instant::now();
        (self.run)(state)?;
        state.done.seconds.push((self.name.to_owned(), start.elapsed().as_secs_f64()));
        if self.gives.is_some() { self.commit(state) } else { Ok(()) }
    }

    fn will_give(&self, product: Product, state: &BuildState<'_>) -> bool {
        self.gives == Some(product) && (self.wanted)(state)
    }

    /// Makes the phase durable, then removes scratch files that no later phase reads.
    fn commit(&self, state: &BuildState<'_>) -> Result<(), BuildError> {
        // The checkpoint names sections and scratch files: their names have to survive a crash that it survives.
        state.index.sync()?;
        state.scratch.sync()?;
        state.done.write(&*state.scratch)?;
        for name in self.drops {
            match state.scratch.remove(name) {
                Ok(()) | Err(StoreError::Missing { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_phase_needs_was_given_before() {
        let mut given = Vec::new();
        for phase in &PHASES {
            for needed in phase.needs {
                assert!(given.contains(needed), "{} needs {needed:?}, which comes later", phase.name);
            }
            assert!(phase.gives.is_none_or(|product| !given.contains(&product)), "{}", phase.name);
            given.extend(phase.gives);
        }
    }
}
