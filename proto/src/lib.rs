//! The messages and services of BuildKit's wire protocol that mbuild speaks.
