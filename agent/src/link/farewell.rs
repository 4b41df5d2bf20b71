//! Keeps the reason that a server gives when it ends a TLS connection.
//!
//! With TLS 1.3 a client is done with its handshake before the server has looked at its certificate. A refusal comes
//! later, as an alert, when HTTP/2 is already under way; there it would end as "broken pipe". The stream is therefore
//! watched, and what was said is kept for whoever wonders why the connection is gone.

use rustls::AlertDescription as Alert;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Why the server ended the connection, when it said.
#[derive(Debug, Clone, Default)]
pub struct Farewell(Arc<Mutex<Option<Alert>>>);

impl Farewell {
    fn note(&self, error: &io::Error) {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(alert)) = tls {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(*alert);
        }
    }

    /// The refusal of our certificate, in words; `None` when it was something else.
    pub fn refusal(&self) -> Option<&'static str> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Alert::CertificateRevoked) => Some(
                "the identity of this node was revoked; to come back, ask for `muster node invite NAME --replace` and join with --force",
            ),
            Some(Alert::CertificateExpired) => {
                Some("the certificate of this node ran out too long ago; join with --force and a fresh token")
            }
            Some(
                Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown | Alert::AccessDenied,
            ) => Some(
                "the certificate of this node is not one that the controller knows; join with --force and a fresh token",
            ),
            _ => None,
        }
    }
}

/// A stream whose last words are kept.
pub(super) struct Watched<S> {
    stream: S,
    farewell: Farewell,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    pub(super) fn new(stream: S, farewell: Farewell) -> Self {
        Self { stream, farewell }
    }

    /// A write that fails is answered by looking for what the server had to say before it hung up.
    fn written<T>(&mut self, cx: &mut Context<'_>, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            let mut buffer = [0; 256];
            if let Poll::Ready(Err(error)) =
                Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut buffer))
            {
                self.farewell.note(&error);
            }
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        if let Err(error) = &result {
            self.farewell.note(error);
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(self.written(cx, result))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(self.written(cx, result))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        Poll::Ready(self.written(cx, result))
    }
}
