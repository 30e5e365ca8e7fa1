//! Messages cut out of a stream of bytes, and put into one.

use bytes::BytesMut;

use crate::frame::{Decoder, Frame};

/// Cuts what the editor or the daemon sends into messages.
pub struct Frames(Decoder);

impl Frames {
    /// Messages longer than `max_body` bytes are skipped.
    pub fn new(max_body: usize) -> Self {
        Self(Decoder::new(max_body))
    }

    /// Where to read into.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.0.buffer
    }

    /// The next message's body; what is no message comes as the reason, to be told to its sender.
    /// `None` until more has been read.
    pub fn next_message(&mut self) -> Option<Result<Vec<u8>, String>> {
        Some(match self.0.next()? {
            Frame::Body(body) => Ok(body.to_vec()),
            Frame::Malformed(why) => Err(why),
        })
    }
}

/// A body with its frame around it.
pub fn frame(body: &[u8]) -> Vec<u8> {
    let mut out = format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}
