//! Decoding while an answer arrives: bytes in, batches of rows out, neither held as a whole.
//!
//! Decoders read as one reads a file, so each stream has a blocking thread of its own. Both channels are short: a slow consumer
//! slows the platform down instead of filling memory.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Decoder, Meter, Undecoded};

/// A batch is handed on when it has so many rows, or was made of so many bytes.
const BATCH_ROWS: usize = 1_000;
const BATCH_BYTES: u64 = 1024 * 1024;
/// Pieces of the answer that wait to be decoded.
const PIECES: usize = 4;

/// Rows, and how many bytes of the answer they took.
pub(crate) struct Batch {
    pub(crate) rows: Vec<Value>,
    pub(crate) bytes: u64,
}

/// Where the pieces of an answer go; an error says that no more will come though it is not whole.
pub(crate) type Pieces = mpsc::Sender<io::Result<Bytes>>;

/// Starts decoding. `limit` is how many bytes the answer may have when unpacked; `memory` is how many a batch may take once it is decoded.
pub(crate) fn start(
    decoder: Decoder,
    limit: usize,
    memory: usize,
) -> (Pieces, mpsc::Receiver<Result<Batch, Undecoded>>) {
    let (pieces, arriving) = mpsc::channel(PIECES);
    let (batches, ready) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        let taken = Rc::new(Cell::new(0u64));
        let pipe = Pipe {
            arriving,
            piece: Bytes::new(),
            taken: Rc::clone(&taken),
        };
        let meter = Meter::new(memory);
        let mut rows = Vec::new();
        let mut told = 0u64;
        let mut sink = |row| {
            rows.push(row);
            let bytes = taken.get() - told;
            if rows.len() < BATCH_ROWS && bytes < BATCH_BYTES {
                return Ok(());
            }
            told = taken.get();
            let rows = std::mem::take(&mut rows);
            meter.hand_on();
            let sent = batches.blocking_send(Ok(Batch { rows, bytes }));
            sent.map_err(|_| Undecoded::Stopped)
        };
        let outcome = decoder.rows(BufReader::new(pipe), limit, &meter, &mut sink);
        // Nobody listens any more if these fail.
        if !rows.is_empty() {
            let bytes = taken.get() - told;
            let _ = batches.blocking_send(Ok(Batch { rows, bytes }));
        }
        match outcome {
            Ok(()) | Err(Undecoded::Stopped) => {}
            Err(error) => {
                let _ = batches.blocking_send(Err(error));
            }
        }
    });
    (pieces, ready)
}

/// The pieces of an answer as one stream.
struct Pipe {
    arriving: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
    taken: Rc<Cell<u64>>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.arriving.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = self.piece.len().min(buffer.len());
        let given = self.piece.split_to(count);
        for (to, from) in buffer.iter_mut().zip(&given) {
            *to = *from;
        }
        self.taken.set(self.taken.get() + count as u64);
        Ok(count)
    }
}
