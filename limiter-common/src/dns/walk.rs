//! A message and how far it has been read.

use super::{HEADER, Header, MAX_MESSAGE, MAX_RECORDS, MAX_STEPS, Record, Unread};
use crate::key::Address;
use crate::name::{LabelHash, MAX_LABEL, MAX_LABELS, MAX_NAME, NameHash, NameSecret};

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
/// Type, class, TTL and length of a record.
const FIXED: u32 = 10;

/// A message and how far it has been read.
///
/// In the kernel this lies in map memory, where the verifier takes every field for an unknown number: on the stack it
/// would follow each position by itself and never come to an end. Hence the masks on every index.
#[repr(C)]
#[derive(Debug, Clone)]
pub struct Walk {
    /// Where the next piece begins.
    position: u32,
    /// How long the message is; at most [`MAX_MESSAGE`].
    length: u32,
    /// Bytes of the current label that are still to come.
    label_left: u32,
    /// Labels that are complete.
    label_count: u32,
    /// Records that are still to come.
    records_left: u32,
    /// Steps that they have taken.
    steps: u32,
    /// How long `text` is.
    text_length: u32,
    /// [`Unread`] and 1, or 0.
    failure: u32,
    label: LabelHash,
    labels: [LabelHash; MAX_LABELS + 1],
    text: [u8; MAX_NAME + 1],
    message: [u8; MAX_MESSAGE],
}

/// Whether there is more to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Call again.
    More,
    /// Call again, and here is an address.
    Address(Record),
    /// All is read, or [`Walk::failure`] says why not.
    End,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// How many labels its name has; at least one.
    pub labels: u32,
    /// The type of the records that are asked for.
    pub kind: u16,
}

impl Walk {
    /// Without a message.
    pub const fn new() -> Self {
        Self {
            position: 0,
            length: 0,
            label_left: 0,
            label_count: 0,
            records_left: 0,
            steps: 0,
            text_length: 0,
            failure: 0,
            label: LabelHash::EMPTY,
            labels: [LabelHash::EMPTY; MAX_LABELS + 1],
            text: [0; MAX_NAME + 1],
            message: [0; MAX_MESSAGE],
        }
    }

    /// Where a message goes that is to be read.
    #[inline(always)]
    pub const fn buffer(&mut self) -> &mut [u8; MAX_MESSAGE] {
        &mut self.message
    }

    /// Starts over with the `length` bytes that now lie in the buffer.
    ///
    /// # Errors
    ///
    /// A header that is cut off; a message that is not a query, or does not ask one question.
    #[inline(always)]
    pub fn begin(&mut self, length: u32) -> Result<Header, Unread> {
        self.length = length;
        self.position = HEADER;
        (self.label_left, self.label_count, self.text_length) = (0, 0, 0);
        (self.steps, self.failure) = (0, 0);
        if length < HEADER {
            return Err(Unread::Truncated);
        }
        let header = Header {
            id: self.u16(0),
            is_answer: self.byte(2) & 0x80 != 0,
            questions: self.u16(4),
            answers: self.u16(6),
        };
        let is_query = self.byte(2) & 0x78 == 0;
        if !is_query || header.questions != 1 {
            return Err(Unread::NotOneQuestion);
        }
        self.records_left = u32::from(header.answers);
        Ok(header)
    }

    /// Reads one byte of the name that is asked for. There are at most [`MAX_NAME`].
    #[inline(always)]
    pub fn question_step(&mut self, secret: &NameSecret) -> Step {
        if self.position >= self.length {
            return self.fail(Unread::Truncated);
        }
        let byte = self.byte(self.position).to_ascii_lowercase();
        self.position += 1;
        self.text[self.text_length as usize & MAX_NAME] = byte;
        self.text_length += 1;
        if self.text_length > MAX_NAME as u32 {
            return self.fail(Unread::BadName);
        }
        if self.label_left > 0 {
            self.label = self.label.push(secret, byte);
            self.label_left -= 1;
            if self.label_left == 0 {
                self.labels[self.label_count as usize & MAX_LABELS] = self.label;
                self.label_count += 1;
            }
            return Step::More;
        }
        match byte {
            0 if self.label_count == 0 => self.fail(Unread::BadName),
            0 => Step::End,
            1..=MAX_LABEL => {
                self.label_left = u32::from(byte);
                self.label = LabelHash::EMPTY;
                Step::More
            }
            _ => self.fail(Unread::BadName),
        }
    }

    /// What is asked for, once [`Self::question_step`] has come to an end; goes on to the records.
    ///
    /// # Errors
    ///
    /// What was wrong with the name; type and class that are cut off.
    #[inline(always)]
    pub fn question(&mut self) -> Result<Question, Unread> {
        self.failure()?;
        let kind = self.u16(self.position);
        self.position += 4;
        if self.position > self.length {
            return Err(Unread::Truncated);
        }
        Ok(Question { labels: self.label_count, kind })
    }

    /// How many labels of the name have been read.
    #[inline(always)]
    pub const fn labels(&self) -> u32 {
        self.label_count
    }

    /// The hash of the name's `count + 1` last labels, from that of its `count` last ones.
    #[inline(always)]
    pub fn fold(&self, secret: &NameSecret, hash: NameHash, count: u32) -> NameHash {
        let index = self.label_count.wrapping_sub(count).wrapping_sub(1);
        hash.push(secret, self.labels[index as usize & MAX_LABELS])
    }

    /// The name in its wire form, in lower case, and how long it is.
    #[inline(always)]
    pub const fn text(&self) -> (&[u8; MAX_NAME + 1], u32) {
        (&self.text, self.text_length)
    }

    /// Reads one record of the answer, or one label of its owner name.
    #[inline(always)]
    pub fn record_step(&mut self) -> Step {
        if self.records_left == 0 {
            return Step::End;
        }
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return self.fail(Unread::TooManyRecords);
        }
        if self.position >= self.length {
            return self.fail(Unread::Truncated);
        }
        match self.byte(self.position) {
            0 => self.record(1),
            label @ 1..=MAX_LABEL => {
                self.position += 1 + u32::from(label);
                Step::More
            }
            0xc0.. => self.record(2),
            _ => self.fail(Unread::BadRecord),
        }
    }

    /// Reads what comes behind an owner name, of which `rest` bytes are left.
    #[inline(always)]
    fn record(&mut self, rest: u32) -> Step {
        let fixed = self.position + rest;
        let data = fixed + FIXED;
        if data > self.length {
            return self.fail(Unread::Truncated);
        }
        let length = u32::from(self.u16(fixed + 8));
        self.position = data + length;
        if self.position > self.length {
            return self.fail(Unread::Truncated);
        }
        self.records_left -= 1;
        let ttl = u32::from(self.u16(fixed + 4)) << 16 | u32::from(self.u16(fixed + 6));
        let address = match (self.u16(fixed), self.u16(fixed + 2), length) {
            (TYPE_A, CLASS_IN, 4) => Address::from_words([0, 0, 0xffff, self.u32(data)]),
            (TYPE_AAAA, CLASS_IN, 16) => Address::from_words([
                self.u32(data),
                self.u32(data + 4),
                self.u32(data + 8),
                self.u32(data + 12),
            ]),
            _ => return Step::More,
        };
        // RFC 2181, 8: a TTL with its highest bit set means 0.
        Step::Address(Record { address, ttl: if ttl > i32::MAX as u32 { 0 } else { ttl } })
    }

    /// Why reading has come to an end before the end.
    ///
    /// # Errors
    ///
    /// That reason.
    #[inline(always)]
    pub fn failure(&self) -> Result<(), Unread> {
        match self.failure {
            0 => Ok(()),
            number => Err(Unread::from_number(number - 1).unwrap_or(Unread::Internal)),
        }
    }

    /// How many records there are room for: all, or [`MAX_RECORDS`] of them.
    ///
    /// # Errors
    ///
    /// [`Unread::TooManyRecords`]; the first ones can be read all the same.
    #[inline(always)]
    pub fn limit_records(&mut self) -> Result<(), Unread> {
        if self.records_left <= MAX_RECORDS {
            return Ok(());
        }
        self.records_left = MAX_RECORDS;
        Err(Unread::TooManyRecords)
    }

    #[inline(always)]
    fn fail(&mut self, reason: Unread) -> Step {
        self.failure = reason as u32 + 1;
        Step::End
    }

    #[inline(always)]
    const fn byte(&self, position: u32) -> u8 {
        self.message[position as usize & (MAX_MESSAGE - 1)]
    }

    #[inline(always)]
    const fn u16(&self, position: u32) -> u16 {
        (self.byte(position) as u16) << 8 | self.byte(position + 1) as u16
    }

    #[inline(always)]
    const fn u32(&self, position: u32) -> u32 {
        (self.u16(position) as u32) << 16 | self.u16(position + 2) as u32
    }
}

impl Default for Walk {
    fn default() -> Self {
        Self::new()
    }
}
