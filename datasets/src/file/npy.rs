//! The header of an npy file.
//!
//! ```text
//! 0   6 magic 93 'NUMPY'
//! 6   1 major    7  1 minor (ignored)
//! 8   2 length of the text (major 1), or
//! 8   4 length of the text (major 2 and 3)
//!     . text: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } padded with spaces, then LF
//! ```
//! Only what holds rows of vectors or ids is accepted: two dimensions, or one of ids.
#![deny(clippy::indexing_slicing)]
use std::ops::Range;

use spandrel_index::DType;

use super::element::Element;

/// Bytes that tell where the text lies, in every version.
pub(super) const PREAMBLE_BYTES: usize = 12;
/// Longest text accepted: every file that NumPy writes for two dimensions needs under 128 bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of every header written here, as NumPy itself writes it.
pub(super) const WRITTEN_HEADER_BYTES: usize = 128;
const SHAPE: &str = "two dimensions; a single vector is saved as x.reshape(1, -1)";
const MAGIC: [u8; 6] = *b"\x93NUMPY";
const MAJOR_AT: u64 = 6;
const LENGTH_AT: u64 = 8;

/// How the elements of an array lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NpyOrder {
    pub(super) big_endian: bool,
    /// Whether the first dimension runs fastest (Fortran order).
    pub(super) by_column: bool,
}

/// What the text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NpyHeader {
    pub(super) element: Element,
    pub(super) order: NpyOrder,
    pub(super) rows: u64,
    pub(super) width: u64,
}

/// A header that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NpyError {
    pub(super) field: &'static str,
    pub(super) offset: u64,
    pub(super) expected: &'static str,
    pub(super) found: String,
}

/// Where the text of a header lies in the file. Its length is bounded, not yet checked against the file.
pub(super) fn text_range(preamble: &[u8; PREAMBLE_BYTES]) -> Result<Range<usize>, NpyError> {
    let [m0, m1, m2, m3, m4, m5, major, _minor, l0, l1, l2, l3] = *preamble;
    let magic = [m0, m1, m2, m3, m4, m5];
    if magic != MAGIC {
        return Err(error("npy magic", 0, "93 4e 55 4d 50 59", format!("{magic:02x?}")));
    }
    let (start, len) = match major {
        1 => (10, u32::from(u16::from_le_bytes([l0, l1]))),
        2 | 3 => (12, u32::from_le_bytes([l0, l1, l2, l3])),
        _ => return Err(error("npy version", MAJOR_AT, "1, 2 or 3", major.to_string())),
    };
    match usize::try_from(len) {
        Ok(len) if len <= TEXT_BYTES_MAX => Ok(start..start + len),
        _ => Err(error("npy header length", LENGTH_AT, "at most 65536", len.to_string())),
    }
}

/// Where the text lies at the least, for errors.
const TEXT_AT: u64 = MAJOR_AT + 4;

/// Parses the text of a header of any number of dimensions: the sizes, the slowest first.
pub(super) fn parse_sizes(text: &[u8]) -> Result<(Element, NpyOrder, Vec<u64>), NpyError> {
    let printable = String::from_utf8_lossy(text);
    let (element, order, shape) = element_and_shape(&printable)?;
    let bad_shape = || error("npy shape", TEXT_AT, "sizes in brackets", shape.chars().take(60).collect());
    let inner = shape.strip_prefix('(').and_then(|s| s.strip_suffix(')')).ok_or_else(bad_shape)?;
    let sizes = inner.strip_suffix(',').unwrap_or(inner);
    if inner.is_empty() {
        return Ok((element, order, Vec::new()));
    }
    let sizes: Option<Vec<u64>> = sizes.split(',').map(|size| number(size.trim())).collect();
    Ok((element, order, sizes.ok_or_else(bad_shape)?))
}

/// Parses the text of a header.
pub(super) fn parse(text: &[u8]) -> Result<NpyHeader, NpyError> {
    let printable = String::from_utf8_lossy(text);
    let (element, order, shape) = element_and_shape(&printable)?;
    let bad_shape = || error("npy shape", TEXT_AT, SHAPE, shape.chars().take(60).collect());
    let inner = shape.strip_prefix('(').and_then(|s| s.strip_suffix(')')).ok_or_else(bad_shape)?;
    let mut sizes = inner.split(',').map(str::trim);
    let (Some(rows), Some(width)) = (sizes.next(), sizes.next()) else { return Err(bad_shape()) };
    // `numpy.arange(n)` is as good as a column of ids.
    let is_column = shape == format!("({rows},)") && matches!(element, Element::Id { .. });
    let width = if is_column { "1" } else { width };
    // A comma may close the tuple, nothing else may follow.
    if sizes.next().is_some_and(|s| !s.is_empty()) || sizes.next().is_some() {
        return Err(bad_shape());
    }
    let (Some(rows), Some(width)) = (number(rows), number(width)) else { return Err(bad_shape()) };
    Ok(NpyHeader { element, order, rows, width })
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// What the header of a file of one value a row says.
pub(super) struct ColumnHeader {
    /// The element type as written, without quotes.
    pub(super) descr: String,
    pub(super) rows: u64,
}

/// Parses the text of a header of one dimension, of any element type.
pub(super) fn parse_column(text: &[u8]) -> Result<ColumnHeader, NpyError> {
    let printable = String::from_utf8_lossy(text);
    let Written { descr, shape, .. } = written(&printable)?;
    let inner = shape.strip_prefix('(').and_then(|s| s.strip_suffix(",)"));
    let bad_shape = || error("npy shape", TEXT_AT, "one dimension", shape.chars().take(60).collect());
    let rows = inner.and_then(|rows| number(rows.trim())).ok_or_else(bad_shape)?;
    Ok(ColumnHeader { descr: unquoted(descr).chars().take(60).collect(), rows })
}

/// The three values of the dictionary, as written.
struct Written<'a> {
    descr: &'a str,
    fortran_order: &'a str,
    shape: &'a str,
}

fn written(printable: &str) -> Result<Written<'_>, NpyError> {
    let fields = Fields::parse(printable).unwrap_or_default();
    match (fields.descr, fields.fortran_order, fields.shape) {
        (Some(descr), Some(fortran_order), Some(shape)) => Ok(Written { descr, fortran_order, shape }),
        _ => Err(malformed(printable)),
    }
}

fn malformed(printable: &str) -> NpyError {
    let shown = printable.trim_end().chars().take(120).collect();
    error("npy header", TEXT_AT, "a dictionary of descr, fortran_order and shape", shown)
}

fn unquoted(descr: &str) -> &str {
    let quoted = |quote| descr.strip_prefix(quote).and_then(|d| d.strip_suffix(quote));
    quoted('\'').or_else(|| quoted('"')).unwrap_or(descr)
}

/// Element type, order and shape, the latter as written.
fn element_and_shape(printable: &str) -> Result<(Element, NpyOrder, &str), NpyError> {
    let Written { descr, fortran_order, shape } = written(printable)?;
    let name = unquoted(descr);
    let (big_endian, name) = match name.strip_prefix('>') {
        Some(name) => (true, name),
        None => (false, name.strip_prefix(['<', '|']).unwrap_or(name)),
    };
    let element = match name {
        "f4" => Element::Vector(DType::F32),
        "f2" => Element::Vector(DType::F16),
        "f8" => Element::Double,
        "u1" => Element::Vector(DType::U8),
        "i1" => Element::Vector(DType::I8),
        "i4" => Element::Id { bytes: 4, signed: true },
        "u4" => Element::Id { bytes: 4, signed: false },
        "i8" => Element::Id { bytes: 8, signed: true },
        "u8" => Element::Id { bytes: 8, signed: false },
        _ => {
            let expected = "'<f4', '<f2', '<f8', '|u1', '|i1' (ids: '<i4', '<u4', '<i8', '<u8')";
            let mut found: String = descr.chars().take(60).collect();
            if name.starts_with(['b', 'f', 'g', 'i', 'u']) {
                found += ", of which x.astype('float32') makes vectors";
            } else if name.starts_with(['U', 'S', 'V', 'O']) {
                found += ", which is text, raw bytes or objects; ids are whole numbers, so number what strings and \
                          UUIDs name and keep the table";
            }
            return Err(error("npy element type", TEXT_AT, expected, found));
        }
    };
    let by_column = match fortran_order {
        "False" => false,
        "True" => true,
        _ => return Err(malformed(printable)),
    };
    Ok((element, NpyOrder { big_endian, by_column }, shape))
}

/// The header of a file of `rows` rows of `width` vector elements, NumPy's own bytes.
pub(super) fn write(descr: &str, rows: u64, width: usize) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let text_bytes = WRITTEN_HEADER_BYTES - 10;
    let mut header = Vec::with_capacity(WRITTEN_HEADER_BYTES);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&[1, 0]);
    header.extend_from_slice(&u16::try_from(text_bytes).unwrap_or(u16::MAX).to_le_bytes());
    header.extend_from_slice(text.as_bytes());
    header.resize(WRITTEN_HEADER_BYTES - 1, b' ');
    header.push(b'\n');
    header
}

/// The name of a type in a header.
pub(super) fn descr(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "<f4",
        DType::F16 => "<f2",
        DType::U8 => "|u1",
        DType::I8 => "|i1",
    }
}

fn error(field: &'static str, offset: u64, expected: &'static str, found: String) -> NpyError {
    NpyError { field, offset, expected, found }
}

/// The values of the dictionary as they are written.
#[derive(Default)]
struct Fields<'a> {
    descr: Option<&'a str>,
    fortran_order: Option<&'a str>,
    shape: Option<&'a str>,
}

impl<'a> Fields<'a> {
    /// None when the text is no dictionary, or has an unknown or repeated key.
    fn parse(text: &'a str) -> Option<Fields<'a>> {
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        let mut fields = Fields::default();
        while !rest.is_empty() {
            let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
            let (key, after) = rest.strip_prefix(quote)?.split_once(quote)?;
            let after = after.trim_start().strip_prefix(':')?.trim_start();
            let end = value_end(after)?;
            let (value, after) = after.split_at_checked(end)?;
            let slot = match key {
                "descr" => &mut fields.descr,
                "fortran_order" => &mut fields.fortran_order,
                "shape" => &mut fields.shape,
                _ => return None,
            };
            if slot.replace(value.trim()).is_some() {
                return None;
            }
            rest = after.strip_prefix(',').unwrap_or(after).trim_start();
        }
        Some(fields)
    }
}

/// Where a value ends: at a comma outside quotes and brackets, or with the text.
fn value_end(text: &str) -> Option<usize> {
    let (mut depth, mut quoted) = (0_usize, None);
    for (at, c) in text.char_indices() {
        match (quoted, c) {
            (Some(quote), _) if c == quote => quoted = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quoted = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.checked_sub(1)?,
            (None, ',') if depth == 0 => return Some(at),
            _ => {}
        }
    }
    (depth == 0 && quoted.is_none()).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_of(text: &str) -> &'static str {
        parse(text.as_bytes()).unwrap_err().field
    }

    #[test]
    fn reads_what_numpy_writes() {
        let text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }    \n";
        let order = NpyOrder { big_endian: false, by_column: false };
        let expected = NpyHeader { element: Element::Vector(DType::F32), order, rows: 3, width: 4 };
        assert_eq!(parse(text), Ok(expected));
        let other_order = b"{\"shape\":(3,4,),\"fortran_order\":False,\"descr\":\"<f4\"}";
        assert_eq!(parse(other_order), Ok(expected));
        let columns = b"{'descr': '>f8', 'fortran_order': True, 'shape': (3, 4), }";
        let order = NpyOrder { big_endian: true, by_column: true };
        assert_eq!(parse(columns), Ok(NpyHeader { element: Element::Double, order, ..expected }));
    }

    #[test]
    fn ids_that_are_no_numbers_are_named() {
        for descr in ["<U36", "|S36", "|V16", "|O"] {
            let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (3,), }}");
            let refused = parse(text.as_bytes()).unwrap_err();
            assert!(refused.found.contains(descr) && refused.found.contains("UUIDs"), "{}", refused.found);
        }
    }

    #[test]
    fn one_dimension_of_ids_is_a_column() {
        let ids = b"{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }";
        let header = parse(ids).unwrap();
        assert_eq!(header.element, Element::Id { bytes: 8, signed: true });
        assert_eq!((header.rows, header.width), (3, 1));
        for shape in ["(3,,)", "(,)", "(3)", "()"] {
            let text = format!("{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}");
            assert_eq!(field_of(&text), "npy shape", "{shape}");
        }
    }

    #[test]
    fn refuses_by_name() {
        let text = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}")
        };
        for number in ["'<f16'", "'<i2'", "'|b1'"] {
            let refused = parse(text(number, "False", "(3, 4)").as_bytes()).unwrap_err();
            assert!(refused.field == "npy element type" && refused.found.contains("astype"), "{refused:?}");
        }
        assert_eq!(field_of(&text("'<c8'", "False", "(3, 4)")), "npy element type");
        assert_eq!(field_of(&text("[('x', '<f4'), ('y', '<f4')]", "False", "(3, 4)")), "npy element type");
        assert_eq!(field_of(&text("'<f4'", "Maybe", "(3, 4)")), "npy header");
        for shape in
            ["()", "(3,)", "(3, 4, 5)", "(3, -4)", "(3, +4)", "3", "(3, 4,,)", "(99999999999999999999, 1)"]
        {
            assert_eq!(field_of(&text("'<f4'", "False", shape)), "npy shape", "{shape}");
        }
        let single = parse(text("'<f4'", "False", "(256,)").as_bytes()).unwrap_err();
        assert!(single.found == "(256,)" && single.expected.ends_with("x.reshape(1, -1)"), "{single:?}");
        for bad in ["", "{", "{}", "[]", "{'descr': '<f4'}", "{'descr: 1}", "{'x': (}", "{'descr' '<f4'}"] {
            assert_eq!(field_of(bad), "npy header", "{bad}");
        }
        let twice = "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)}";
        assert_eq!(field_of(twice), "npy header");
    }

    #[test]
    fn preamble_is_bounded() {
        let v1 = text_range(b"\x93NUMPY\x01\x00\x76\x00{'");
        assert_eq!(v1, Ok(10..128));
        assert_eq!(text_range(b"\x93NUMPY\x03\x00\x76\x00\x00\x00"), Ok(12..130));
        assert_eq!(text_range(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").unwrap_err().field, "npy header length");
        assert_eq!(text_range(b"\x93NUMPY\x04\x00\x76\x00{'").unwrap_err().field, "npy version");
        assert_eq!(text_range(b"\x93numpy\x01\x00\x76\x00{'").unwrap_err().field, "npy magic");
    }

    #[test]
    fn written_headers_fit_the_largest_counts() {
        let header = write("<f4", u64::MAX, spandrel_index::DIM_MAX);
        assert_eq!(header.len(), WRITTEN_HEADER_BYTES);
        let parsed = parse(header.get(10..).unwrap()).unwrap();
        assert_eq!((parsed.rows, parsed.width), (u64::MAX, 16_384));
    }
}
