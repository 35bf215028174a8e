//! What an earlier limiterctl has left in force.

use crate::bpf::Pins;
use crate::failure::Failure;
use crate::policy::Numbering;
use crate::state::State;

/// Finds it; `None` where there is nothing to go on with. `fresh` forgets what was counted, but leaves in force what there is
/// until other programs take its place.
///
/// # Errors
///
/// Limits that are in force and cannot be gone on with.
pub fn find(pins: &Pins, fresh: bool) -> anyhow::Result<Option<State>> {
    // Without a link there may be something yet that waits for what it is to be on.
    let waits = || State::load().ok().flatten().is_some_and(|state| !state.waiting.is_empty());
    if pins.links()?.is_empty() && !waits() {
        // Maps without a link were left by somebody who was killed while he attached, or detached.
        State::remove();
        pins.remove()?;
        return Ok(None);
    }
    let cure = "go on without what is counted: limiterctl attach --fresh; or take all off: limiterctl detach";
    if let Some(other) = pins.other_layout()?
        && !fresh
    {
        return Err(Failure::new(
            format!(
                "the limits in force are those of another version, whose tables this one cannot read ({})",
                other.display()
            ),
            cure,
        )
        .into());
    }
    if fresh {
        pins.forget_maps()?;
        // Which interface has which mode is still good to know.
        return Ok(Some(State {
            numbering: Numbering::default(),
            ..State::load().ok().flatten().unwrap_or_default()
        }));
    }
    match State::load() {
        Ok(Some(state)) => Ok(Some(state)),
        Ok(None) => Err(Failure::new(
            "limits are in force, but what they are called is lost: /run/limiterctl/state.json is missing",
            cure,
        )
        .into()),
        Err(error) => {
            Err(error
                .context(Failure::new("limits are in force, but what they are called cannot be read", cure)))
        }
    }
}
