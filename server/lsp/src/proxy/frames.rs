//! The messages of a stream of bytes.

use bytes::BytesMut;

use crate::transport::frame::{FrameDecoder, WireFrame};

/// Splits the bytes of the editor or the daemon into messages.
pub struct FrameStream(FrameDecoder);

impl FrameStream {
    /// Creates a stream that skips messages longer than `max_body` bytes.
    pub fn new(max_body: usize) -> Self {
        Self(FrameDecoder::new(max_body))
    }

    /// Returns the buffer to read into.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.0.buffer
    }

    /// Returns the body of the next message, or `None` until more bytes have been read.
    ///
    /// # Errors
    ///
    /// The bytes are not a message; the error is the reason, for the sender.
    pub fn next_message(&mut self) -> Option<Result<Vec<u8>, String>> {
        Some(match self.0.next_frame()? {
            WireFrame::Body(body) => Ok(body.to_vec()),
            WireFrame::Malformed(why) => Err(why),
        })
    }
}

/// Puts a frame around a body.
pub fn encode_frame(body: &[u8]) -> Vec<u8> {
    let mut out = format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}
