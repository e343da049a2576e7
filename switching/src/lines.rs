//! Lines from a socket, with a limit on their length.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum LineIn {
    /// A line, without its line end.
    Line(Vec<u8>),
    /// A line over the limit; it was read to its end and thrown away.
    TooLong,
    /// The peer closed, perhaps in the middle of a line.
    End,
}

/// Reads a line of at most `limit` bytes. Memory is bounded by `limit` whatever the peer sends.
///
/// Not safe to cancel: a cancelled call may lose part of a line.
///
/// # Errors
/// Those of the socket.
pub async fn read_line<R: AsyncBufRead + Unpin>(
    from: &mut R,
    limit: usize,
) -> std::io::Result<LineIn> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let chunk = from.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(LineIn::End);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        too_long |= line.len().saturating_add(part.len()) > limit;
        if !too_long {
            line.extend_from_slice(part);
        }
        let used = part.len().saturating_add(usize::from(end.is_some()));
        from.consume(used);
        if end.is_some() {
            return Ok(if too_long { LineIn::TooLong } else { LineIn::Line(line) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_end_at_the_limit() {
        let mut from: &[u8] = b"one\ntoo long\n\ntail";
        assert_eq!(read_line(&mut from, 4).await.unwrap(), LineIn::Line(b"one".to_vec()));
        assert_eq!(read_line(&mut from, 4).await.unwrap(), LineIn::TooLong);
        assert_eq!(read_line(&mut from, 4).await.unwrap(), LineIn::Line(Vec::new()));
        assert_eq!(read_line(&mut from, 4).await.unwrap(), LineIn::End);
    }
}
