//! Filters part by part, and positions of a block together.
use super::filters::{filter, term};
use super::*;
use crate::attributes::parts;

/// A filter and its parts, each before its own.
fn listed(filter: &Filter, out: &mut Vec<Filter>) {
    out.push(filter.clone());
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| listed(part, out)),
        Filter::Not(part) if !matches!(**part, Filter::IsNull { .. }) => listed(part, out),
        _ => {}
    }
}

/// The first hundred parts are told, and those after them count for the parts around them.
#[test]
fn parts_of_a_filter_match_what_each_matches_alone() {
    let dir = tempfile::tempdir().unwrap();
    let made = write(dir.path(), attributes(false));
    let index = Index::open(dir.path()).unwrap();
    let stop = AtomicBool::new(false);
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut filters: Vec<Filter> = (0..150).map(|turn| filter(&made, turn % 6, &mut rng)).collect();
    let many = |rng: &mut ChaCha8Rng| (0..150).map(|_| term(&made, rng)).collect::<Vec<_>>();
    filters.extend([Filter::And(many(&mut rng)), Filter::Or(many(&mut rng))]);
    let deep =
        Filter::Or(vec![Filter::And(many(&mut rng)), Filter::Not(Box::new(Filter::Or(many(&mut rng))))]);
    filters.push(deep);
    let mut most = 0;
    for filter in filters {
        let found = parts(&index, &filter, limits(&stop)).unwrap();
        let mut expected = Vec::new();
        listed(&filter, &mut expected);
        assert_eq!(found.len(), expected.len().min(100), "{filter:?}");
        most = most.max(expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let bound = expected.bind(index.schema()).unwrap();
            let alone = compile(&index, &bound, limits(&stop)).unwrap().count();
            assert_eq!(found.matches, alone, "{} of {filter:?}", found.text);
        }
    }
    assert!(most > 200, "{most}");
    let whole = Filter::Not(Box::new(filter(&made, 4, &mut rng)));
    let small = CompileLimits { memory_bytes: 10, ..limits(&stop) };
    let refused = parts(&index, &whole, small);
    assert!(matches!(refused, Err(crate::attributes::PartsError::Compile(CompileError::Memory { .. }))));
}

#[test]
fn positions_of_a_block_are_read_together_as_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), attributes(false));
    let index = Index::open(dir.path()).unwrap();
    for stored in index.segments()[0].attributes() {
        // Of one block and one frame, some more than once.
        let wanted = [3, 3, 9, 10, 11, 200, 255, 255];
        let piece = stored.cell_piece(wanted[0]);
        let mut bytes = vec![0; piece.bytes as usize];
        stored.blob().unwrap().read_into(piece.offset, &mut bytes).unwrap();
        let content = stored.check_piece(piece, &bytes).unwrap();
        let nulls = |position| {
            stored.cell(position).unwrap() == Cell::Null && stored.cell_piece(position).block.is_some()
        };
        let mut found = Vec::new();
        let taken = stored.cells_in::<OpenError>(wanted.into_iter(), content, |number, cell| {
            assert_eq!(number, found.len());
            found.push(cell);
            Ok(())
        });
        taken.unwrap();
        for (&position, cell) in wanted.iter().zip(found) {
            // The number of a position without one means nothing.
            assert!(nulls(position) || cell == stored.cell(position).unwrap(), "position {position}");
        }
        let halted = stored.cells_in::<OpenError>(wanted.into_iter(), content, |number, _| match number {
            4 => Err(OpenError::field(dir.path(), "cell", 4, "fewer")),
            _ => Ok(()),
        });
        assert!(halted.is_err());
    }
}
