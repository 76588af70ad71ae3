//! The arguments of a call as values; what the runner does not know ends in a skip.

use super::names;
use crate::scenario::script::{Call, Field, Value};
use crate::scenario::verdict::Stop;

/// The number a value stands for.
pub(in crate::scenario) fn number(value: &Value) -> Result<i64, Stop> {
    match value {
        Value::Int(number) => Ok(*number),
        Value::Hex(number) => {
            i64::try_from(*number).map_err(|_| Stop::skip(format!("{number:#x} is too large")))
        }
        Value::Name(name) => {
            names::constant(name).ok_or_else(|| Stop::skip(format!("`{name}` is not known")))
        }
        Value::Or(parts) => parts.iter().try_fold(0, |sum, part| Ok(sum | number(part)?)),
        Value::Ellipsis | Value::Text(_) | Value::List(_) | Value::Struct(_) => {
            Err(Stop::skip("a number was expected here, nothing else is supported"))
        }
    }
}

/// The call's argument at `index`.
pub(super) fn argument(call: &Call, index: usize) -> Result<&Value, Stop> {
    call.args
        .get(index)
        .ok_or_else(|| Stop::fail(format!("{} has too few arguments: {}", call.name, call.args.len())))
}

/// The number at `index`.
pub(super) fn int(call: &Call, index: usize) -> Result<i64, Stop> {
    number(argument(call, index)?)
}

/// `count` arguments, neither more nor fewer.
pub(super) fn expect(call: &Call, count: usize) -> Result<(), Stop> {
    if call.args.len() == count {
        return Ok(());
    }
    Err(Stop::fail(format!("{} takes {count} arguments, not {}", call.name, call.args.len())))
}

/// The size of the runner's buffer `..., size` from `index` on.
pub(super) fn buffer(call: &Call, index: usize) -> Result<usize, Stop> {
    ellipsis(call, index)?;
    size(argument(call, index + 1)?)
}

/// `...`, the only address and buffer there is.
pub(super) fn ellipsis(call: &Call, index: usize) -> Result<(), Stop> {
    match argument(call, index)? {
        Value::Ellipsis => Ok(()),
        _ => Err(Stop::skip("only `...` is supported as an address or a buffer")),
    }
}

fn size(value: &Value) -> Result<usize, Stop> {
    usize::try_from(number(value)?).map_err(|_| Stop::skip("a size below zero"))
}

/// The sizes in `[{..., size}, …]`, of which there must be `count`.
pub(super) fn vectors(value: &Value, count: i64) -> Result<usize, Stop> {
    let Value::List(entries) = value else { return Err(Stop::skip("a list of buffers was expected")) };
    if entries.len() as i64 != count {
        return Err(Stop::fail(format!("{} buffers, but {count} are announced", entries.len())));
    }
    entries.iter().try_fold(0, |sum, entry| match entry {
        Value::Struct(fields) => match fields.as_slice() {
            [Field::Positional(Value::Ellipsis), Field::Positional(len)] => Ok(sum + size(len)?),
            _ => Err(Stop::skip("only `{..., size}` is supported as a buffer")),
        },
        _ => Err(Stop::skip("only `{..., size}` is supported as a buffer")),
    })
}

/// The bytes of a `{msg_name(...)=..., msg_iov(n)=[…], msg_flags=f}`.
pub(super) fn message(value: &Value) -> Result<usize, Stop> {
    let Value::Struct(fields) = value else { return Err(Stop::skip("a message header was expected")) };
    let mut len = 0;
    for field in fields {
        match field {
            Field::Named { name, value: Value::Ellipsis, .. } if name == "msg_name" => {}
            Field::Named { name, argument: Some(count), value } if name == "msg_iov" => {
                len = vectors(value, number(count)?)?;
            }
            // What a message header's flags say is of control data and cut datagrams, which are not supported.
            Field::Named { name, value, .. } if name == "msg_flags" && number(value)? == 0 => {}
            Field::Named { name, .. } => {
                return Err(Stop::skip(format!("`{name}` of a message is not supported")));
            }
            Field::Positional(_) => return Err(Stop::skip("fields of a message have names")),
        }
    }
    Ok(len)
}

/// The named number in a `{…}`.
pub(super) fn field(value: &Value, wanted: &str) -> Result<i64, Stop> {
    let Value::Struct(fields) = value else {
        return Err(Stop::skip(format!("`{{{wanted}=…}}` was expected")));
    };
    let found = fields.iter().find_map(|field| match field {
        Field::Named { name, argument: None, value } if name == wanted => Some(value),
        _ => None,
    });
    number(found.ok_or_else(|| Stop::fail(format!("`{wanted}` is missing")))?)
}

/// The single number in `[n]`.
pub(super) fn single(value: &Value) -> Result<&Value, Stop> {
    match value {
        Value::List(entries) if entries.len() == 1 => Ok(&entries[0]),
        _ => Err(Stop::skip("`[value]` was expected")),
    }
}
