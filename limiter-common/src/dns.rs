//! Reads DNS messages: the name that is asked for, the addresses in the answer (RFC 1035, 3596).
//!
//! A message lies in a [`Walk`], together with how far it has been read. Each step reads one piece and says whether
//! there is more, so that the kernel can call it from `bpf_loop` and the host from a plain loop.

mod stream;
mod walk;
pub mod whole;

pub use stream::{Awaited, Part};
pub use walk::{Question, Step, Walk};

use crate::key::Address;

/// How much of a message is read. Sixty-four IPv6 addresses and the longest name take 2,127 bytes.
pub const MAX_MESSAGE: usize = 4096;
/// How many records of an answer are looked at.
pub const MAX_RECORDS: u32 = 64;
/// How many steps all records of an answer may take: each takes one, and so does each label of an uncompressed owner name.
pub const MAX_STEPS: u32 = 5 * MAX_RECORDS;
/// Bytes of the fixed header.
pub const HEADER: u32 = 12;

/// The fields of the fixed header that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Chosen by who asks.
    pub id: u16,
    /// An answer, not a query.
    pub is_answer: bool,
    /// How many questions there are.
    pub questions: u16,
    /// How many records answer them.
    pub answers: u16,
}

/// An address record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// From an A record, or an AAAA record.
    pub address: Address,
    /// How many seconds it may be kept.
    pub ttl: u32,
}

/// Why a message was not, or not wholly, understood.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It ends in the middle of something.
    Truncated = 0,
    /// It does not ask for exactly one name, or the operation is not a query.
    NotOneQuestion = 1,
    /// The name asked for is the root, is longer than 255 bytes, or is compressed.
    BadName = 2,
    /// An owner name with a label of a kind that does not exist.
    BadRecord = 3,
    /// More records than [`MAX_RECORDS`], or more labels in them than [`MAX_STEPS`] allow; the first were learned from.
    TooManyRecords = 4,
    /// Has records behind the first [`MAX_MESSAGE`] bytes; those before were learned from.
    TooLong = 5,
    /// Over TCP, and not in one segment; the records in the first were learned from.
    Split = 6,
    /// Behind IPv6 extension headers, or in a fragment.
    Headers = 7,
    /// An answer that nobody asked for: teaches nothing.
    Unsolicited = 8,
    /// The address has as many names as are kept for one; the name was not added.
    NamesFull = 9,
    /// The table of addresses is full; the name was not added.
    AddressesFull = 10,
    /// No memory to work in, or a map that must be there is missing.
    Internal = 11,
}

impl Unread {
    /// All, in the order of their counters.
    pub const ALL: [Self; 12] = [
        Self::Truncated,
        Self::NotOneQuestion,
        Self::BadName,
        Self::BadRecord,
        Self::TooManyRecords,
        Self::TooLong,
        Self::Split,
        Self::Headers,
        Self::Unsolicited,
        Self::NamesFull,
        Self::AddressesFull,
        Self::Internal,
    ];

    /// The word for it in every output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::NotOneQuestion => "not_one_question",
            Self::BadName => "bad_name",
            Self::BadRecord => "bad_record",
            Self::TooManyRecords => "too_many_records",
            Self::TooLong => "too_long",
            Self::Split => "split",
            Self::Headers => "headers",
            Self::Unsolicited => "unsolicited",
            Self::NamesFull => "names_full",
            Self::AddressesFull => "addresses_full",
            Self::Internal => "internal",
        }
    }

    /// The one with this number; see [`Skip::from_number`](crate::verdict::Skip::from_number) for why a match.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Truncated,
            1 => Self::NotOneQuestion,
            2 => Self::BadName,
            3 => Self::BadRecord,
            4 => Self::TooManyRecords,
            5 => Self::TooLong,
            6 => Self::Split,
            7 => Self::Headers,
            8 => Self::Unsolicited,
            9 => Self::NamesFull,
            10 => Self::AddressesFull,
            11 => Self::Internal,
            _ => return None,
        })
    }
}
