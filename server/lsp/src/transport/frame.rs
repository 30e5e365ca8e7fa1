//! The framing of messages: header lines, an empty line, a body.
//!
//! The decoder is tolerant, because a malformed frame must not cost the frames after it.

use bytes::{Buf, BytesMut};
use memchr::memchr;
use serde_json::Value;

use crate::transport::skipped::MessageScanner;

/// How many bytes are read at once, unless a body needs fewer.
const READ: usize = 64 * 1024;
/// A buffer beyond this size is given back once its message has been taken.
const KEPT_BUFFER: usize = 1024 * 1024;
/// The longest header line in bytes. Longer input is not a header.
const MAX_LINE: usize = 8 * 1024;
const LENGTH: &[u8] = b"content-length:";

/// One unit found in the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WireFrame {
    /// The body of a message.
    Body(BytesMut),
    /// Bytes that are not a message, with the reason. Decoding continues after them.
    Malformed(String),
    /// A message that was longer than the limit and has been skipped.
    TooLong {
        /// The reason, for the sender.
        why: String,
        /// The id of the reply: that of a request, or null. `None` for a reply of the client.
        reply_id: Option<Value>,
    },
}

/// Splits a stream of bytes into frames.
pub(crate) struct FrameDecoder {
    /// Bytes that have been read and not yet split.
    buffer: BytesMut,
    max_body: usize,
    state: DecoderState,
}

enum DecoderState {
    Headers(FrameHeaders),
    Body(usize),
    Skip(SkippedBody),
}

#[derive(Default)]
struct FrameHeaders {
    /// Whether a line that is not empty has been read.
    started: bool,
    length: Option<u64>,
    fault: Option<String>,
    /// The number of bytes in the buffer that contain no line end.
    searched: usize,
}

/// A body that is passed over.
struct SkippedBody {
    length: u64,
    left: u64,
    scanner: MessageScanner,
}

impl FrameDecoder {
    pub(crate) fn new(max_body: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            max_body,
            state: DecoderState::Headers(FrameHeaders::default()),
        }
    }

    /// Returns the buffer to read into, with room for one read. Call [`FrameDecoder::next_frame`]
    /// after each read.
    pub(crate) fn read_buffer(&mut self) -> &mut BytesMut {
        let wanted = match &self.state {
            DecoderState::Body(length) => length.saturating_sub(self.buffer.len()),
            DecoderState::Headers(_) | DecoderState::Skip(_) => READ,
        };
        // A length is only a claim, so a body's memory is taken as it arrives.
        let room = wanted.clamp(1, READ.max(self.buffer.len()));
        self.buffer.reserve(room);
        &mut self.buffer
    }

    /// Returns the next frame, or `None` until more bytes have been read.
    pub(crate) fn next_frame(&mut self) -> Option<WireFrame> {
        loop {
            match &mut self.state {
                DecoderState::Skip(body) => {
                    let here = usize::try_from(body.left)
                        .unwrap_or(usize::MAX)
                        .min(self.buffer.len());
                    body.scanner.scan(&self.buffer[..here]);
                    self.buffer.advance(here);
                    body.left -= here as u64;
                    if body.left > 0 {
                        return None;
                    }
                    let why = format!(
                        "a message of {} bytes; the limit is {}",
                        body.length, self.max_body
                    );
                    let reply_id = std::mem::take(&mut body.scanner).reply_id();
                    self.state = DecoderState::Headers(FrameHeaders::default());
                    return Some(WireFrame::TooLong { why, reply_id });
                }
                DecoderState::Body(length) => {
                    if self.buffer.len() < *length {
                        return None;
                    }
                    let body = self.buffer.split_to(*length);
                    if *length > KEPT_BUFFER {
                        self.buffer = BytesMut::from(&self.buffer[..]);
                    }
                    self.state = DecoderState::Headers(FrameHeaders::default());
                    return Some(WireFrame::Body(body));
                }
                DecoderState::Headers(headers) => {
                    let unseen = self.buffer.get(headers.searched..).unwrap_or_default();
                    let Some(end) = memchr(b'\n', unseen) else {
                        headers.searched = self.buffer.len();
                        if self.buffer.len() > MAX_LINE {
                            // The tail is kept, because the next real header may begin in it.
                            let garbage = self.buffer.len() - LENGTH.len();
                            self.buffer.advance(garbage);
                            headers.started = true;
                            headers.searched = self.buffer.len();
                        }
                        return None;
                    };
                    let end = std::mem::take(&mut headers.searched) + end;
                    let line = self.buffer.split_to(end + 1);
                    if let Some(frame) = self.header_line(line.trim_ascii()) {
                        return Some(frame);
                    }
                }
            }
        }
    }

    fn header_line(&mut self, line: &[u8]) -> Option<WireFrame> {
        let DecoderState::Headers(headers) = &mut self.state else {
            return None;
        };
        if !line.is_empty() {
            headers.read_line(line);
            return None;
        }
        let headers = std::mem::take(headers);
        match headers {
            // An empty line between frames is harmless.
            FrameHeaders { started: false, .. } => None,
            FrameHeaders {
                fault: Some(fault), ..
            } => Some(WireFrame::Malformed(fault)),
            FrameHeaders { length: None, .. } => Some(WireFrame::Malformed(
                "a message without Content-Length".into(),
            )),
            FrameHeaders {
                length: Some(length),
                ..
            } => match usize::try_from(length) {
                Ok(length) if length <= self.max_body => {
                    self.state = DecoderState::Body(length);
                    None
                }
                _ => {
                    tracing::warn!(length, "skipping a message over the limit");
                    self.state = DecoderState::Skip(SkippedBody {
                        length,
                        left: length,
                        scanner: MessageScanner::default(),
                    });
                    None
                }
            },
        }
    }
}

impl FrameHeaders {
    fn read_line(&mut self, line: &[u8]) {
        self.started = true;
        // The header may be anywhere in the line: after a body of unknown length, the next header
        // follows the last line of that body.
        let lower = line.to_ascii_lowercase();
        let Some(at) = lower
            .windows(LENGTH.len())
            .rposition(|window| window == LENGTH)
        else {
            return;
        };
        let value = line[at + LENGTH.len()..].trim_ascii();
        let parsed = std::str::from_utf8(value)
            .ok()
            .and_then(|v| v.parse::<u64>().ok());
        match parsed {
            None => {
                self.fault = Some(format!(
                    "Content-Length {:?} is not a number of bytes",
                    String::from_utf8_lossy(value)
                ));
            }
            // No client sends a message of this size, so the number is wrong.
            Some(length) if length > 1 << 40 => {
                self.fault = Some(format!("Content-Length {length} cannot be right"));
            }
            Some(length) if self.length.is_some_and(|other| other != length) => {
                self.fault = Some("two different Content-Length headers".into());
            }
            Some(length) => self.length = Some(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8], step: usize) -> Vec<String> {
        let mut decoder = FrameDecoder::new(1000);
        let mut found = Vec::new();
        for chunk in input.chunks(step) {
            decoder.read_buffer().extend_from_slice(chunk);
            while let Some(frame) = decoder.next_frame() {
                found.push(match frame {
                    WireFrame::Body(body) => String::from_utf8_lossy(&body).into_owned(),
                    WireFrame::Malformed(why) => format!("! {why}"),
                    WireFrame::TooLong { why, reply_id } => format!("! {why} {reply_id:?}"),
                });
            }
        }
        found
    }

    #[track_caller]
    fn check(input: &str, expected: &[&str]) {
        for step in 1..=input.len() {
            assert_eq!(
                decode(input.as_bytes(), step),
                expected,
                "in steps of {step}"
            );
        }
    }

    #[test]
    fn headers_in_any_case_and_order() {
        check("Content-Length: 2\r\n\r\n{}", &["{}"]);
        check("content-length:2\n\n{}", &["{}"]);
        check(
            "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nCONTENT-LENGTH: 2 \r\n\r\n{}",
            &["{}"],
        );
        check(
            "\r\n\r\nContent-Length: 2\r\n\r\n{}\r\nContent-Length: 3\r\n\r\n[1]",
            &["{}", "[1]"],
        );
        check("Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", &["{}"]);
        check(
            "Content-Length: 0\r\n\r\nContent-Length: 2\r\n\r\n{}",
            &["", "{}"],
        );
    }

    #[test]
    fn reading_goes_on_behind_what_is_refused() {
        let good = "Content-Length: 2\r\n\r\n{}";
        let check = |bad: &str, why: &str| {
            let input = format!("{bad}{good}{good}");
            // Every step for short inputs, a sample for long ones.
            for step in (1..=input.len()).step_by(input.len() / 100 + 1) {
                let found = decode(input.as_bytes(), step);
                let (last, complaints) = found.split_last().unwrap();
                assert_eq!(last, "{}", "{bad:?} in steps of {step}: {found:?}");
                assert!(
                    complaints
                        .iter()
                        .any(|c| c.starts_with("! ") && c.contains(why)),
                    "{bad:?} in steps of {step}: {found:?}"
                );
            }
        };
        check("Content-Length: -5\r\n\r\n{\"a\":1}", "is not a number");
        check("Content-Length: ten\r\n\r\n{\"a\":1}", "is not a number");
        check(
            "Content-Length: 99999999999999999999999\r\n\r\n",
            "is not a number",
        );
        check(
            "Content-Length: 9999999999999999\r\n\r\n{}",
            "cannot be right",
        );
        check("Content-Type: x\r\n\r\n{\"a\":1}", "without Content-Length");
        check(
            "Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
            "two different",
        );
        check(
            &format!("Content-Length: 1500\r\n\r\n{}", "x".repeat(1500)),
            "the limit is 1000",
        );
        check(
            &format!("{}\r\n\r\n", "x".repeat(3 * MAX_LINE)),
            "without Content-Length",
        );
    }

    /// Reads as a socket does that always has bytes: as many as there is room for. Returns the frames, the
    /// number of reads, and the largest buffer.
    fn read_all(decoder: &mut FrameDecoder, mut input: &[u8]) -> (Vec<WireFrame>, usize, usize) {
        let (mut frames, mut reads, mut largest) = (Vec::new(), 0, 0);
        while !input.is_empty() {
            let buffer = decoder.read_buffer();
            let room = buffer.capacity() - buffer.len();
            assert!(room > 0);
            let (now, later) = input.split_at(room.min(input.len()));
            buffer.extend_from_slice(now);
            (reads, largest, input) = (reads + 1, largest.max(buffer.capacity()), later);
            while let Some(frame) = decoder.next_frame() {
                frames.push(frame);
            }
        }
        (frames, reads, largest)
    }

    #[test]
    fn a_message_over_the_limit_takes_few_reads_and_no_memory() {
        const LONG: usize = 65 << 20;
        let start = r#"{"jsonrpc":"2.0","id":5,"method":"m","params":""#;
        let text = format!("{start}{}\"}}", "x".repeat(LONG - start.len() - 2));
        let input = format!("Content-Length: {LONG}\r\n\r\n{text}Content-Length: 2\r\n\r\n{{}}");
        let mut decoder = FrameDecoder::new(64 << 20);
        let (frames, reads, largest) = read_all(&mut decoder, input.as_bytes());
        let why = "a message of 68157440 bytes; the limit is 67108864".to_owned();
        let reply_id = Some(Value::from(5));
        let expected = [
            WireFrame::TooLong { why, reply_id },
            WireFrame::Body(BytesMut::from("{}")),
        ];
        assert_eq!(frames, expected);
        assert!(reads <= LONG / READ + 4, "{reads} reads");
        assert!(largest <= 4 * READ, "{largest} bytes");
    }

    #[test]
    fn the_buffer_of_a_long_message_is_given_back() {
        const LONG: usize = 16 << 20;
        let input = format!("Content-Length: {LONG}\r\n\r\n{}", "x".repeat(LONG));
        let mut decoder = FrameDecoder::new(LONG);
        let (frames, reads, largest) = read_all(&mut decoder, input.as_bytes());
        assert!(matches!(&frames[..], [WireFrame::Body(body)] if body.len() == LONG));
        assert!(reads <= LONG / READ + 4, "{reads} reads");
        assert!(largest <= 4 * LONG, "{largest} bytes");
        assert!(decoder.read_buffer().capacity() <= 4 * READ);
        // What is claimed is not reserved before it arrives.
        let mut decoder = FrameDecoder::new(LONG);
        let (_, _, largest) = read_all(&mut decoder, &input.as_bytes()[..1000]);
        assert!(largest <= 4 * READ, "{largest} bytes");
    }
}
