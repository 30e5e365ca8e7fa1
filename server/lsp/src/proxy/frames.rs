//! The messages of a stream of bytes.

use bytes::BytesMut;
use serde_json::Value;

use crate::{
    proxy::{PARSE_ERROR, REQUEST_FAILED, error_reply, to_bytes},
    transport::frame::{FrameDecoder, WireFrame},
};

/// Splits the bytes of the editor or the daemon into messages.
pub struct FrameStream(FrameDecoder);

impl FrameStream {
    /// Creates a stream that skips messages longer than `max_body` bytes.
    pub fn new(max_body: usize) -> Self {
        Self(FrameDecoder::new(max_body))
    }

    /// Returns the buffer to read into, with room for one read.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.0.read_buffer()
    }

    /// Returns the body of the next message, or `None` until more bytes have been read.
    ///
    /// # Errors
    ///
    /// The bytes are not a message, or the message is too long; the error is the reply to the sender.
    pub fn next_message(&mut self) -> Option<Result<Vec<u8>, Vec<u8>>> {
        loop {
            let (id, code, why) = match self.0.next_frame()? {
                WireFrame::Body(body) => return Some(Ok(body.to_vec())),
                WireFrame::Malformed(why) => (Value::Null, PARSE_ERROR, why),
                WireFrame::TooLong { why, reply_id } => match reply_id {
                    None => continue,
                    Some(Value::Null) => (Value::Null, PARSE_ERROR, why),
                    Some(id) => (id, REQUEST_FAILED, why),
                },
            };
            return Some(Err(to_bytes(&error_reply(&id, code, &why))));
        }
    }
}

/// Puts a frame around a body.
pub fn encode_frame(body: &[u8]) -> Vec<u8> {
    let mut out = format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}
