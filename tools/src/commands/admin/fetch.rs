//! Vectors and attributes by their ids.
use clap::Args;
use half::f16;
use serde_json::{Value, json};
use spandrel_client::v1;

use super::reach::Server;
use crate::Session;
use crate::commands::neighbour_attributes::object;
use crate::commands::remote::cells;

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
    let mut rows = elements.chunks(vectors.dim.max(1) as usize); // CAST: widening
    let (mut text, mut values, mut absent) = (String::new(), Vec::new(), 0);
    for ((number, &id), &found) in (0_u32..).zip(&args.ids).zip(&response.found) {
        let damaged = response.damaged.contains(&number);
        let row = if found { rows.next() } else { None };
        let attributes = row.and_then(|_| objects.next()).filter(|_| !names.is_empty()).map(Value::from);
        let beside = attributes.as_ref().map(|of| format!("\t{of}")).unwrap_or_default();
        absent += usize::from(row.is_none());
        text += &match row {
            Some(row) => {
                let elements: Vec<String> = row.iter().map(f32::to_string).collect();
                format!("{id}\t{}{beside}\n", elements.join(" "))
            }
            None if damaged => format!("{id}\tdamaged\n"),
            None => format!("{id}\tabsent\n"),
        };
        let mut value = json!({ "id": id, "vector": row, "damaged": damaged });
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

/// Elements of all vectors.
fn elements(vectors: &v1::Vectors) -> anyhow::Result<Vec<f32>> {
    let Some(v1::vectors::Form::Raw(raw)) = &vectors.form else { return Ok(Vec::new()) };
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
