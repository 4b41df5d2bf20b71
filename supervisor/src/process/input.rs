//! Standard input of a process, for those who ask to write to it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::unix::pipe;

use crate::keeper::Parked;

/// A process that does not read its standard input may have this much waiting.
const MAX_WAITING_BYTES: usize = 1024 * 1024;
/// The gauge of an input that was closed.
const CLOSED: usize = usize::MAX;

/// Our end.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) pipe: pipe::Sender,
    pub(super) parked: Option<Parked>,
    waiting: VecDeque<u8>,
    gauge: InputGauge,
}

/// How many bytes wait to be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct InputGauge(Arc<AtomicUsize>);

impl InputGauge {
    /// Whether there is room, or why not.
    pub(crate) fn takes(&self, bytes: usize) -> Result<(), String> {
        match self.0.load(Ordering::Relaxed) {
            CLOSED => Err("has closed its standard input".to_owned()),
            waiting if waiting.saturating_add(bytes) > MAX_WAITING_BYTES => {
                Err(format!("does not read its standard input: {waiting} bytes wait already"))
            }
            _ => Ok(()),
        }
    }
}

impl Input {
    /// The end a process inherits, and ours.
    pub(super) fn pair() -> io::Result<(OwnedFd, Self)> {
        let (theirs, ours) = io::pipe()?;
        Ok((theirs.into(), Self::over(ours.into(), Vec::new())?))
    }

    /// Goes on with a pipe of another supervisor.
    pub(super) fn resume(pipe: OwnedFd, parked: Parked, waiting: Vec<u8>) -> io::Result<Self> {
        Ok(Self { parked: Some(parked), ..Self::over(pipe, waiting)? })
    }

    fn over(pipe: OwnedFd, waiting: Vec<u8>) -> io::Result<Self> {
        // Only our end: the process may expect its own to wait.
        let pipe = pipe::Sender::from_owned_fd(pipe)?;
        let gauge = InputGauge(Arc::new(AtomicUsize::new(waiting.len())));
        Ok(Self { pipe, parked: None, waiting: waiting.into(), gauge })
    }

    pub(super) fn gauge(&self) -> InputGauge {
        self.gauge.clone()
    }

    /// Queues bytes; whether there is room was asked before.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend(bytes);
        self.measure();
    }

    /// What was not written yet.
    pub(super) fn into_waiting(self) -> Vec<u8> {
        self.waiting.into()
    }

    fn measure(&self) {
        self.gauge.0.store(self.waiting.len(), Ordering::Relaxed);
    }
}

/// Writes what waits; never ends while there is nothing. Cancel-safe.
pub(super) async fn write_on(input: &mut Option<Input>) {
    let Some(open) = input.as_mut().filter(|input| !input.waiting.is_empty()) else {
        return std::future::pending().await;
    };
    let written = match open.pipe.writable().await {
        Ok(()) => open.pipe.try_write(open.waiting.as_slices().0),
        Err(error) => Err(error),
    };
    match written {
        Ok(count) => {
            open.waiting.drain(..count);
            open.measure();
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(_) => {
            open.gauge.0.store(CLOSED, Ordering::Relaxed);
            *input = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn what_is_written_arrives_and_what_is_not_read_waits_within_bounds() {
        let (theirs, input) = Input::pair().unwrap();
        let gauge = input.gauge();
        let mut input = Some(input);
        let bytes = vec![b'x'; MAX_WAITING_BYTES];
        gauge.takes(bytes.len()).unwrap();
        input.as_mut().unwrap().push(&bytes);
        assert!(gauge.takes(1).unwrap_err().contains("does not read"));
        let reader = std::thread::spawn(move || {
            let mut seen = vec![0; MAX_WAITING_BYTES];
            std::fs::File::from(theirs).read_exact(&mut seen).unwrap();
            seen
        });
        while gauge.takes(MAX_WAITING_BYTES).is_err() {
            write_on(&mut input).await;
        }
        assert_eq!(reader.join().unwrap(), bytes);
        // The other end is closed by now.
        input.as_mut().unwrap().push(b"late");
        write_on(&mut input).await;
        assert!(input.is_none() && gauge.takes(1).unwrap_err().contains("closed"));
    }
}
