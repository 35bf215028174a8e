//! Messages made worse: bytes changed, ends cut off, pieces of others put in, numbers at their extremes.

/// Longest message that is made: the kernel runs a program on a packet of one page, less what it keeps beside it.
const MOST: usize = 3600;
/// Numbers at which something may go wrong.
const EXTREMES: [u16; 12] = [0, 1, 4, 12, 16, 63, 64, 65, 255, 0x7fff, 0xc00c, 0xffff];

/// Random numbers, the same ones for the same beginning (`SplitMix64`).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next one, below `end`.
    pub const fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ bits >> 31) as usize % end
    }
}

/// One of the messages with up to four changes, and never empty.
pub fn mutant(random: &mut Random, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut message = messages[random.below(messages.len())].clone();
    for _ in 0..random.below(5) {
        change(random, &mut message, messages);
        message.truncate(MOST);
        if message.is_empty() {
            message.push(0);
        }
    }
    message
}

fn change(random: &mut Random, message: &mut Vec<u8>, others: &[Vec<u8>]) {
    let place = random.below(message.len());
    match random.below(10) {
        0..=2 => message[place] = random.below(256) as u8,
        3 => message[place] ^= 1 << random.below(8),
        4 => message.truncate(place),
        5 => {
            message.drain(..random.below(place + 1).min(40));
        }
        6 => {
            let other = &others[random.below(others.len())];
            let from = random.below(other.len());
            message.truncate(place);
            message.extend_from_slice(&other[from..]);
        }
        7 => {
            let other = &others[random.below(others.len())];
            let from = random.below(other.len());
            let to = from + random.below(other.len() - from).min(80);
            message.splice(place..place, other[from..to].iter().copied());
        }
        // Counts in the header more often than elsewhere; a length lies at any place.
        8 => put(message, [4, 6, 6, 6, 10][random.below(5)], EXTREMES[random.below(EXTREMES.len())]),
        _ => put(message, place, EXTREMES[random.below(EXTREMES.len())]),
    }
}

fn put(message: &mut [u8], place: usize, number: u16) {
    for (byte, value) in message.iter_mut().skip(place).zip(number.to_be_bytes()) {
        *byte = value;
    }
}
