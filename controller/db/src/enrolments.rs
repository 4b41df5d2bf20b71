//! Invitations, and what became of them.
