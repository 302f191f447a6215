//! Vectors and attributes by their ids.
use clap::Args;
use half::f16;
use serde_json::{Value, json};
use spandrel_client::v1;
use spandrel_client::v1::documents::Tokens;
use spandrel_client::v1::vectors::Form;

use super::reach::Server;
use crate::Session;
use crate::commands::neighbour_attributes::object;
use crate::commands::remote::cells;
use crate::figures::written;

/// Vectors by their ids; all vectors of a document, a line for each.
#[derive(Debug, Args)]
pub(super) struct FetchArgs {
    /// Ids.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<u64>,
    /// Name of the index [default: that of requests that name none].
    #[arg(long, value_name = "NAME")]
    index_name: Option<String>,
    /// Give the vectors of the index's column of this name, in place of those that are searched.
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// Give what each vector has in these attributes, or in all that the index has.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', num_args = 0..=1)]
    with_attributes: Option<Vec<String>>,
}

pub(super) async fn fetch(server: &Server, args: &FetchArgs, session: &Session) -> anyhow::Result<()> {
    let index = args.index_name.clone().unwrap_or_default();
    let with_attributes = args.with_attributes.clone().map(|names| v1::AttributeSelection { names });
    let column = args.column.clone().unwrap_or_default();
    let request = v1::FetchRequest { index, ids: args.ids.clone(), with_attributes, column };
    let response = server.client.fetch(request).await.map_err(server.told())?;
    let names: Vec<String> = response.attributes.iter().map(|of| of.name.clone()).collect();
    let mut objects =
        (0..response.found.len()).map(|at| object(&names, &cells(&response.attributes, at..at + 1)));
    let vectors = response.vectors.unwrap_or_default();
    let elements = elements(&vectors)?;
    let rows: Vec<&[f32]> = elements.chunks(vectors.dim.max(1) as usize).collect(); // CAST: widening
    let (is_of_documents, mut counts) = counts(&vectors, rows.len())?;
    let (mut text, mut values, mut absent, mut rows) = (String::new(), Vec::new(), 0, &rows[..]);
    for ((number, &id), &found) in (0_u32..).zip(&args.ids).zip(&response.found) {
        let damaged = response.damaged.contains(&number);
        let own = if found { counts.next().and_then(|count| rows.split_off(..count)) } else { None };
        let attributes = own.and_then(|_| objects.next()).filter(|_| !names.is_empty()).map(Value::from);
        let beside = attributes.as_ref().map(|of| format!("\t{of}")).unwrap_or_default();
        absent += usize::from(own.is_none());
        for row in own.into_iter().flatten() {
            let elements: Vec<String> = row.iter().map(f32::to_string).collect();
            text += &format!("{id}\t{}{beside}\n", elements.join(" "));
        }
        match (own, damaged) {
            (Some(_), _) => {}
            (None, true) => text += &format!("{id}\tdamaged\n"),
            (None, false) => text += &format!("{id}\tabsent\n"),
        }
        let mut value = match is_of_documents {
            true => json!({ "id": id, "vectors": written(&own), "damaged": damaged }),
            false => json!({ "id": id, "vector": written(&own.and_then(<[_]>::first)), "damaged": damaged }),
        };
        if let Some(attributes) = attributes {
            value["attributes"] = attributes;
        }
        values.push(value);
    }
    let version = response.index_version;
    session.show(&text, &json!({ "index_version": version, "vectors": Value::Array(values) }))?;
    if absent == 0 {
        Ok(())
    } else {
        anyhow::bail!("{absent} of {} vectors are not there or damaged", args.ids.len())
    }
}

/// Whether vectors are those of documents, and how many of `rows` there are of each id that was found.
fn counts(vectors: &v1::Vectors, rows: usize) -> anyhow::Result<(bool, std::vec::IntoIter<usize>)> {
    let Some(Form::Documents(documents)) = &vectors.form else {
        return Ok((false, vec![1; rows].into_iter()));
    };
    let count = |pair: &[u32]| pair[1].checked_sub(pair[0]).map(|count| count as usize); // CAST: widening
    let counts: Option<Vec<usize>> = documents.offsets.windows(2).map(count).collect();
    match counts.filter(|counts| counts.iter().sum::<usize>() == rows) {
        Some(counts) => Ok((true, counts.into_iter())),
        None => anyhow::bail!("the server's offsets of documents are not those of {rows} vectors"),
    }
}

/// Elements of all vectors.
fn elements(vectors: &v1::Vectors) -> anyhow::Result<Vec<f32>> {
    let raw = match &vectors.form {
        Some(Form::Raw(raw)) => raw,
        Some(Form::Documents(v1::Documents { tokens: Some(Tokens::Raw(raw)), .. })) => raw,
        _ => return Ok(Vec::new()),
    };
    let data = &raw.data;
    Ok(match raw.dtype() {
        v1::Dtype::F32 => data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        v1::Dtype::F16 => {
            data.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect()
        }
        v1::Dtype::I8 => data.iter().map(|&byte| f32::from(byte.cast_signed())).collect(),
        v1::Dtype::U8 => data.iter().map(|&byte| f32::from(byte)).collect(),
        v1::Dtype::Unspecified => anyhow::bail!("vectors of a type that is not known here"),
    })
}
