//! The arguments of a call as values; what the runner does not know ends in a skip.

use super::names;
use crate::scenario::script::{Call, Field, Value};
use crate::scenario::verdict::Stop;

/// What the runner's own buffers of one call may be long, together.
const MAX_BUFFER: usize = 64 << 20;

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
    let size = usize::try_from(number(value)?).map_err(|_| Stop::skip("a size below zero"))?;
    bounded(size)
}

/// A script's number must not exhaust the memory of whoever runs it.
fn bounded(size: usize) -> Result<usize, Stop> {
    let refusal = || Stop::skip(format!("buffers of {size} bytes are not supported, {MAX_BUFFER} are"));
    if size <= MAX_BUFFER { Ok(size) } else { Err(refusal()) }
}

/// The sizes in `[{..., size}, …]`, of which there must be `count`.
pub(super) fn vectors(value: &Value, count: i64) -> Result<usize, Stop> {
    let Value::List(entries) = value else { return Err(Stop::skip("a list of buffers was expected")) };
    if entries.len() as i64 != count {
        return Err(Stop::fail(format!("{} buffers, but {count} are announced", entries.len())));
    }
    entries.iter().try_fold(0, |sum, entry| match entry {
        Value::Struct(fields) => match fields.as_slice() {
            [Field::Positional(Value::Ellipsis), Field::Positional(len)] => bounded(sum + size(len)?),
            _ => Err(Stop::skip("only `{..., size}` is supported as a buffer")),
        },
        _ => Err(Stop::skip("only `{..., size}` is supported as a buffer")),
    })
}

/// The bytes of a `{msg_name(...)=..., msg_iov(n)=[…], msg_flags=f}`.
pub(super) fn message(value: &Value) -> Result<usize, Stop> {
    let Value::Struct(fields) = value else { return Err(Stop::skip("a message header was expected")) };
    distinct(fields)?;
    let mut len = None;
    for field in fields {
        match field {
            Field::Named { name, value: Value::Ellipsis, .. } if name == "msg_name" => {}
            Field::Named { name, argument: Some(count), value } if name == "msg_iov" => {
                len = Some(vectors(value, number(count)?)?);
            }
            // What a message header's flags say is of control data and cut datagrams, which are not supported.
            Field::Named { name, argument: None, value } if name == "msg_flags" && number(value)? == 0 => {}
            Field::Named { name, .. } => {
                return Err(Stop::skip(format!("`{name}` of a message is not supported")));
            }
            Field::Positional(_) => return Err(Stop::skip("fields of a message have names")),
        }
    }
    len.ok_or_else(|| Stop::skip("a message without `msg_iov` is not supported"))
}

/// No field may stand there twice.
fn distinct(fields: &[Field]) -> Result<(), Stop> {
    let names: Vec<&str> = fields.iter().filter_map(field_name).collect();
    match (1..names.len()).find(|&place| names[..place].contains(&names[place])) {
        Some(place) => Err(Stop::skip(format!("`{}` stands there twice", names[place]))),
        None => Ok(()),
    }
}

fn field_name(field: &Field) -> Option<&str> {
    match field {
        Field::Named { name, .. } => Some(name),
        Field::Positional(_) => None,
    }
}

/// The named numbers in a `{…}`, in the order of `wanted`; it has nothing else.
pub(super) fn fields<const N: usize>(value: &Value, wanted: [&str; N]) -> Result<[i64; N], Stop> {
    let expected = || Stop::skip(format!("only `{{{}=…}}` is supported here", wanted.join("=…, ")));
    let Value::Struct(fields) = value else { return Err(expected()) };
    distinct(fields)?;
    let mut numbers = [None; N];
    for field in fields {
        let Field::Named { name, argument: None, value } = field else { return Err(expected()) };
        let place = wanted.iter().position(|wanted| wanted == name).ok_or_else(expected)?;
        numbers[place] = Some(number(value)?);
    }
    match (0..N).find(|&place| numbers[place].is_none()) {
        Some(place) => Err(Stop::fail(format!("`{}` is missing", wanted[place]))),
        None => Ok(numbers.map(Option::unwrap_or_default)),
    }
}

/// `..., ...`, `NULL, NULL` or `NULL, 0` for an address that nobody looks at.
pub(super) fn any_address(call: &Call, index: usize) -> Result<(), Stop> {
    for index in [index, index + 1] {
        match argument(call, index)? {
            Value::Ellipsis | Value::Int(0) => {}
            Value::Name(name) if name == "NULL" => {}
            _ => return Err(Stop::skip("only `...` and NULL are supported as an address here")),
        }
    }
    Ok(())
}

/// The single number in `[n]`.
pub(super) fn single(value: &Value) -> Result<&Value, Stop> {
    match value {
        Value::List(entries) if entries.len() == 1 => Ok(&entries[0]),
        _ => Err(Stop::skip("`[value]` was expected")),
    }
}
