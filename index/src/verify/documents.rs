//! Documents: each token that a build takes lies at its row number, and each position leads to its document, which may be its id itself.
use super::error::VerifyError;
use super::records::Records;
use super::values::check_values;
use super::watch::Watch;
use crate::Segment;
use crate::format::{OpenError, SectionKind, VectorsOf};
use crate::open::Documents;
use crate::open::ids::IdReader;

/// Checks the tokens and documents of a segment that has some.
pub(super) fn check(
    segment: &Segment,
    documents: &Documents,
    watch: &mut Watch<'_>,
) -> Result<(), VerifyError> {
    watch.name("documents");
    let (shape, path) =
        (segment.shape().vectors(VectorsOf::Column), &segment.vectors(VectorsOf::Column).path);
    let mut records = Records::open(segment, VectorsOf::Column)?;
    for row in 0..segment.records(VectorsOf::Column) {
        let record = records.next(watch)?;
        if record.id != row {
            return Err(OpenError::field(path, format!("row number of token {row}"), record.id, row).into());
        }
        check_values(shape, record.vector, record.inverse_norm)
            .map_err(|(found, expected)| OpenError::field(path, format!("token {row}"), found, expected))?;
    }
    records.finish()?;
    let mut pages = IdReader::new(segment.read(SectionKind::Ids)?, segment.ids.layout, segment.count);
    while let Some(page) = pages.next()? {
        for (row, position) in page.pairs {
            let row = u32::try_from(row).ok().filter(|&row| u64::from(row) < segment.count);
            let expected = row.map(|row| match documents.encoder() {
                Some(_) => row as usize, // CAST: widening
                None => documents.offsets().document_of(row),
            });
            let found = documents.of_positions().get(position as usize).copied(); // CAST: widening
            if expected != found.map(|found| found as usize) || expected.is_none() {
                let field = format!("document of position {position}");
                let [found, expected] = [found.map(|found| found as usize), expected]
                    .map(|document| document.map_or("none".to_owned(), |document| document.to_string()));
                return Err(OpenError::field(documents.path(), field, found, expected).into());
            }
        }
        watch.step(0)?;
    }
    Ok(())
}
