//! Requests and answers that fit each other: queries say their dimension, and an answer has a row for each.
use spandrel_proto::v1;
use spandrel_proto::v1::documents::Tokens;
use spandrel_proto::v1::vectors::Form;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Refuses vectors of `field` that do not say their dimension: a server takes two of half its index's dimension for one. How many
/// there are; whether they fit the index the server says.
pub(crate) fn queries(vectors: Option<&v1::Vectors>, field: &str) -> Result<usize, Status> {
    let Some(vectors) = vectors else { return Ok(0) };
    let elements = match &vectors.form {
        None => return Ok(0),
        Some(Form::Ids(ids)) => return Ok(ids.values.len()),
        Some(Form::Floats(floats)) => floats.values.len(),
        Some(Form::Raw(raw)) => elements_of(raw),
        Some(Form::Documents(documents)) => match &documents.tokens {
            None => return Ok(0),
            Some(Tokens::Floats(floats)) => floats.values.len(),
            Some(Tokens::Raw(raw)) => elements_of(raw),
        },
    };
    if vectors.dim == 0 {
        return Err(refused(field, format!("{field}: vectors that do not say their dimension; set dim")));
    }
    Ok(match &vectors.form {
        // Without offsets all vectors are one.
        Some(Form::Documents(documents)) => documents.offsets.len().saturating_sub(1).max(1),
        _ => elements / vectors.dim as usize, // CAST: widening
    })
}

fn elements_of(raw: &v1::Raw) -> usize {
    raw.data.len()
        / match raw.dtype() {
            v1::Dtype::F32 => 4,
            v1::Dtype::F16 => 2,
            v1::Dtype::I8 | v1::Dtype::U8 | v1::Dtype::Unspecified => 1,
        }
}

/// Refuses vectors in a column of another number of queries, or without their dimension.
pub(crate) fn column(column: Option<&v1::ColumnQueries>, asked: usize) -> Result<(), Status> {
    const FIELD: &str = "column_queries.vectors";
    let Some(v1::ColumnQueries { vectors, .. }) = column else { return Ok(()) };
    let found = queries(vectors.as_ref(), FIELD)?;
    match found == asked {
        true => Ok(()),
        false => Err(refused(FIELD, format!("{found} vectors of the column for {asked} queries"))),
    }
}

fn refused(field: &str, message: String) -> Status {
    let details = ErrorDetails::with_bad_request_violation(field, &message);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// Refuses an answer to another number of queries or ids than were asked.
pub(crate) fn answered(asked: usize, found: usize) -> Result<(), Status> {
    match asked == found {
        true => Ok(()),
        false => Err(Status::internal(format!("{found} answers to {asked} queries or ids"))),
    }
}

/// Refuses an answer that does not say which versions of the `asked` indexes it is of, where several were asked as one: a server that does not
/// know of that answers from one of them.
///
/// # Errors
/// UNIMPLEMENTED.
pub fn check_united(asked: usize, versions: usize) -> Result<(), Status> {
    match asked == 0 || asked == versions {
        true => Ok(()),
        false => Err(Status::unimplemented(format!(
            "an answer of {versions} of {asked} indexes: the server does not search several as one; update it"
        ))),
    }
}

/// As [`check_united`], of a message of an answer within a radius.
pub(crate) fn part(asked: usize, part: &v1::SearchRangeResponse) -> Result<(), Status> {
    let is_told = part.indexes.len() == part.ids.len();
    match &part.end {
        Some(end) => check_united(asked, end.versions.len()),
        None if is_told => Ok(()),
        None => check_united(asked, 0),
    }
}

/// Refuses an answer whose parts are not of one length.
pub(crate) fn whole(response: &v1::SearchBatchResponse) -> Result<(), Status> {
    let counted: u64 = response.counts.iter().map(|&count| u64::from(count)).sum();
    let (ids, distances) = (response.ids.len(), response.distances.len());
    // CAST: widening
    if counted == ids as u64 && ids == distances {
        return Ok(());
    }
    Err(Status::internal(format!(
        "an answer of {counted} neighbours with {ids} ids and {distances} distances"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_counted_by_their_own_dimension() {
        let raw = |dim, dtype| v1::Vectors::raw(dim, dtype, vec![0; 512]);
        let floats = |dim| v1::Vectors::floats(dim, vec![0.0; 512]);
        for (vectors, expected) in [
            (floats(128), 4),
            (raw(256, v1::Dtype::U8), 2),
            (raw(256, v1::Dtype::F16), 1),
            (raw(16, v1::Dtype::F32), 8),
            (v1::Vectors::ids(vec![7; 3]), 3),
            (v1::Vectors::documents(8, v1::Dtype::U8, vec![0; 512], vec![0, 3, 40, 64]), 3),
            (v1::Vectors::documents(8, v1::Dtype::F16, vec![0; 512], Vec::new()), 1),
        ] {
            assert_eq!(queries(Some(&vectors), "queries").unwrap(), expected);
        }
        for field in ["queries", "column_queries.vectors"] {
            let refused = queries(Some(&floats(0)), field).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
            assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, field);
        }
    }

    #[test]
    fn answers_of_several_indexes_say_so() {
        assert!(check_united(0, 0).is_ok() && check_united(2, 2).is_ok());
        let older = check_united(2, 0).unwrap_err();
        assert_eq!(older.code(), Code::Unimplemented);
        assert!(older.message().contains("0 of 2 indexes"), "{older}");
    }

    #[test]
    fn answers_have_a_row_for_each_query() {
        assert!(answered(3, 3).is_ok());
        assert!(answered(3, 6).unwrap_err().message().contains("6 answers to 3"));
        let mut response = v1::SearchBatchResponse {
            counts: vec![1, 0],
            ids: vec![7],
            distances: vec![0.5],
            ..Default::default()
        };
        assert!(whole(&response).is_ok());
        response.counts = vec![1, 1];
        assert!(whole(&response).unwrap_err().message().contains("2 neighbours with 1 ids"));
    }
}
