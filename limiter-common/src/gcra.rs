//! The generic cell rate algorithm (ITU-T I.371): one number per source says when its next attempt is due.
//!
//! That number is the theoretical arrival time. An attempt is admitted when it comes no earlier than `tolerance`
//! before that time, and moves the time one `emission_interval` on. So `tolerance / emission_interval + 1`
//! attempts pass at once (the burst), and one an interval after that, without a counter to refill.
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC`, compared by signed distance, so that they may wrap. They are kept
//! even: the lowest bit of a [`State`] marks a back-off, and then the rest is the time at which it ends.

/// The longest time that a limit may look ahead: burst, interval and back-off all end within it.
///
/// A cell of the table of sources keeps 48 bits of a time, which wrap every 78 hours. Whoever cleans that table
/// must do so at least once in the difference, or a source that was away for three days could meet its past.
pub const MAX_HORIZON: u64 = 24 * 3600 * 1_000_000_000;

/// The highest rate: an interval of 100 ns still has less than 1 % of rounding error.
pub const MAX_PER_SECOND: u64 = 10_000_000;

/// How much the clocks of two CPUs may disagree before a state is taken for that of another limit.
const SKEW: u64 = 1 << 30;

/// Further ahead than any limit can have left a state.
const RELIC: i64 = (MAX_HORIZON + SKEW) as i64;

const SECOND: u64 = 1_000_000_000;

/// A rate with its burst and its back-off, as the kernel uses them. All fields in nanoseconds, all even.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// The time that one admitted attempt uses up; 0 where there is no limit.
    pub emission_interval: u64,
    /// How far the theoretical arrival time may run ahead: (burst - 1) intervals.
    pub tolerance: u64,
    /// How long everything is refused after the limit was passed; 0 for no back-off.
    pub backoff: u64,
}

const _: () = assert!(size_of::<Limit>() == 24);

/// Why a rate cannot be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitError {
    /// No attempt would ever pass.
    Zero,
    /// More than [`MAX_PER_SECOND`].
    TooFast,
    /// The burst, the interval or the back-off lasts longer than [`MAX_HORIZON`].
    TooLong,
}

/// A theoretical arrival time, or the end of a back-off.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State(u64);

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Within the limit.
    Admitted,
    /// Over the limit, just now.
    Over,
    /// Refused because the limit was passed earlier and the back-off has not ended.
    BackingOff,
}

/// An outcome, and the state to keep. Where `next` is the state that was given, there is nothing to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What became of the attempt.
    pub outcome: Outcome,
    /// The state after it.
    pub next: State,
}

/// What a state means at a given time.
enum Position {
    /// The theoretical arrival time is so many nanoseconds ahead.
    Ahead(i64),
    /// The back-off ends in so many nanoseconds.
    BackingOff(i64),
}

impl Limit {
    /// No limit at all.
    pub const NONE: Self = Self { emission_interval: 0, tolerance: 0, backoff: 0 };

    /// `count` attempts every `per` nanoseconds, `burst` of them at once, then `backoff` nanoseconds of silence.
    ///
    /// # Errors
    ///
    /// See [`LimitError`]. Within those bounds the interval is exact to one nanosecond.
    pub const fn new(count: u64, per: u64, burst: u64, backoff: u64) -> Result<Self, LimitError> {
        if count == 0 || per == 0 || burst == 0 {
            return Err(LimitError::Zero);
        }
        if count as u128 * SECOND as u128 > MAX_PER_SECOND as u128 * per as u128 {
            return Err(LimitError::TooFast);
        }
        // The nearest even number of nanoseconds.
        let emission_interval = (per as u128 + count as u128) / (2 * count as u128) * 2;
        let tolerance = emission_interval.saturating_mul(burst as u128 - 1);
        if tolerance + emission_interval > MAX_HORIZON as u128 || backoff > MAX_HORIZON {
            return Err(LimitError::TooLong);
        }
        Ok(Self {
            emission_interval: emission_interval as u64,
            tolerance: tolerance as u64,
            backoff: backoff & !1,
        })
    }

    /// Whether there is no rate to hold.
    #[inline(always)]
    pub const fn is_none(&self) -> bool {
        self.emission_interval == 0
    }

    /// The same for clocks that lag behind by up to so many nanoseconds, each CPU's by another time; `None` where that would
    /// be noticed.
    ///
    /// So much is added to the tolerance: whoever keeps to the rate, or sends his burst, is not refused for what the clocks
    /// disagree about. Then `burst + rate x (time + 2 lag)` are admitted at most: one attempt too many, or a hundredth of
    /// the burst. A back-off ends a hundredth too early.
    pub const fn by_clocks_that_lag(&self, lag: u64) -> Option<Self> {
        let much = 200 * lag;
        if self.is_none() {
            return Some(*self);
        }
        if self.emission_interval < 2 * lag && self.tolerance < much
            || self.backoff != 0 && self.backoff < much
        {
            return None;
        }
        Some(Self { tolerance: self.tolerance + lag, ..*self })
    }

    /// Judges one attempt at `now` against `state`.
    #[inline(always)]
    pub const fn admit(&self, state: State, now: u64) -> Decision {
        self.admit_cost(state, now, self.emission_interval)
    }

    /// Judges an attempt that uses up `cost` nanoseconds instead of one interval.
    ///
    /// All of it must fit: what costs more than the burst never passes.
    #[inline(always)]
    pub const fn admit_cost(&self, state: State, now: u64, cost: u64) -> Decision {
        let (now, cost) = (now & !1, cost & !1);
        let state = self.cut_back(state, now);
        let most = (self.tolerance + self.emission_interval) as i64 - cost as i64;
        match self.position(state, now) {
            Position::BackingOff(_) => Decision { outcome: Outcome::BackingOff, next: state },
            Position::Ahead(ahead) if ahead <= most => Decision {
                outcome: Outcome::Admitted,
                next: State(now.wrapping_add(ahead as u64).wrapping_add(cost)),
            },
            Position::Ahead(_) if self.backoff == 0 => Decision { outcome: Outcome::Over, next: state },
            Position::Ahead(ahead) => {
                // Never shorter than the rate itself asks for: what `retry_after` says must hold.
                let due = ahead - self.tolerance as i64;
                let pause = if due > self.backoff as i64 { due } else { self.backoff as i64 };
                Decision {
                    outcome: Outcome::Over,
                    next: State(now.wrapping_add(pause as u64) | State::BACKOFF),
                }
            }
        }
    }

    /// The state of whoever has just passed another limit of the same rule: its back-off begins.
    #[inline(always)]
    pub const fn back_off(&self, now: u64) -> State {
        State((now & !1).wrapping_add(self.backoff) | State::BACKOFF)
    }

    /// Whether `state` is a back-off that has not ended.
    #[inline(always)]
    pub const fn is_backing_off(&self, state: State, now: u64) -> bool {
        let now = now & !1;
        matches!(self.position(self.cut_back(state, now), now), Position::BackingOff(_))
    }

    /// Nanoseconds from `now` until an attempt is admitted, if none comes before: 0 where one would be now.
    pub const fn retry_after(&self, state: State, now: u64) -> u64 {
        let even = now & !1;
        let wait = match self.position(self.cut_back(state, even), even) {
            Position::BackingOff(wait) => wait,
            Position::Ahead(ahead) => ahead - self.tolerance as i64,
        };
        if wait > 0 { wait as u64 - (now & 1) } else { 0 }
    }

    /// A state as this limit can have left it.
    ///
    /// What lies further ahead was left by a limit that this one has replaced: then its bucket is full, or its back-off begins
    /// now. So a limit that is tightened hands out no fresh bursts, and one that is loosened keeps nobody waiting for longer
    /// than its own burst or back-off lasts. What lies so far ahead that no limit can have left it is the relic of a clock that wrapped.
    #[inline(always)]
    const fn cut_back(&self, state: State, now: u64) -> State {
        let ahead = state.distance(now);
        if ahead <= self.horizon() {
            return state;
        }
        // Without branches, of which the verifier would follow each: masks of all bits, or of none.
        let is_relic = ((RELIC - ahead) >> 63) as u64;
        let backs_off = 0_u64.wrapping_sub(state.0 & (0_u64.wrapping_sub(self.backoff) >> 63));
        let whole = self.tolerance + self.emission_interval;
        let left = whole ^ (whole ^ (self.backoff | State::BACKOFF)) & backs_off;
        State(now.wrapping_add(left & !is_relic))
    }

    #[inline(always)]
    const fn position(&self, state: State, now: u64) -> Position {
        let ahead = state.distance(now);
        let ahead = if state.is_backoff() {
            if ahead > 0 {
                return Position::BackingOff(ahead);
            }
            // Ended. When it began, the theoretical arrival time was at most one interval over the tolerance;
            // and the rate alone admits one attempt at its end (see `admit`).
            let spent = self.emission_interval as i64 - self.backoff as i64;
            ahead + self.tolerance as i64 + if spent < 0 { spent } else { 0 }
        } else {
            ahead
        };
        Position::Ahead(if ahead > 0 { ahead } else { 0 })
    }

    /// The furthest that a state of this limit can lie ahead.
    #[inline(always)]
    const fn horizon(&self) -> i64 {
        let rate = self.tolerance + self.emission_interval;
        (if rate > self.backoff { rate } else { self.backoff } + SKEW) as i64
    }
}

impl State {
    const BACKOFF: u64 = 1;

    /// A state as it lies in memory.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As it lies in memory: the time in nanoseconds, and in bit 0 whether it is the end of a back-off.
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// How many nanoseconds this lies ahead of `now`; negative when it is past.
    #[inline(always)]
    pub const fn distance(self, now: u64) -> i64 {
        (self.0 & !Self::BACKOFF).wrapping_sub(now) as i64
    }

    /// Nanoseconds from `now` until its back-off ends; `None` where it is none, or none that any limit can have left.
    ///
    /// For who counts states and does not know their limits; a limit that has changed meanwhile may end it earlier.
    pub const fn backs_off_for(self, now: u64) -> Option<u64> {
        let ahead = self.distance(now);
        if self.is_backoff() && ahead > 0 && ahead <= RELIC { Some(ahead as u64) } else { None }
    }

    #[inline(always)]
    const fn is_backoff(self) -> bool {
        self.0 & Self::BACKOFF != 0
    }
}
