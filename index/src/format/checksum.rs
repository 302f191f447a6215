//! The checksum that ends a page.

/// Bytes of a sum.
pub(crate) const CRC_BYTES: usize = 4;

/// Checks the sum at the end of a page: the sums found and expected if they differ.
pub(super) fn check_sum(uuid: u128, page_number: u64, page: &[u8]) -> Result<(), (u32, u32)> {
    let Some((body, stored)) = page.split_last_chunk::<CRC_BYTES>() else { return Err((0, 0)) };
    let (found, stored) = (checksum(uuid, page_number, body), u32::from_le_bytes(*stored));
    if found == stored { Ok(()) } else { Err((found, stored)) }
}

/// crc32c over the uuid, the page's number and the page without its sum.
pub(super) fn checksum(uuid: u128, page_number: u64, body: &[u8]) -> u32 {
    crc32c::crc32c_append(checksum_seed(uuid, page_number), body)
}

/// The sum before the first byte of the page.
pub(crate) fn checksum_seed(uuid: u128, page_number: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&uuid.to_le_bytes()), &page_number.to_le_bytes())
}
