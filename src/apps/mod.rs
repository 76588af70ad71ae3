//! Applications: echo, discard, chargen and HTTP, written against `AsyncRead` and `AsyncWrite` alone.
