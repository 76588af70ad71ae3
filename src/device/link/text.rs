//! The textual form of a link: pairs of a name and a value, as `delay 25ms rate 100mbit loss 0.5%`.
//!
//! One table of names for the command line, for `serve --link` and for tests; what stands twice counts last. Times have a unit
//! (`us`, `ms`, `s`), rates end in `bit`, shares are percent or fractions, sizes are in bytes or `kb` and `mb`.

use std::str::FromStr;

use super::config::{Bursts, Codel, LinkConfig, Policer, Queue};
use crate::base::time::Duration;

/// A text that tells no link, and what would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LinkTextError(String);

/// Depth of a policer's bucket when only its rate is told: what passes in this time, or some large packets.
const BUCKET_TIME: Duration = Duration::from_millis(10);
const BUCKET_LEAST: u64 = 15_000;

impl LinkConfig {
    /// The names that [`LinkConfig::set`] knows.
    pub const NAMES: [&str; 13] = [
        "delay", "jitter", "rate", "queue", "codel", "loss", "burst", "reorder", "dup", "corrupt", "police",
        "bunch", "mtu",
    ];

    /// Sets one property by its name.
    ///
    /// # Errors
    /// An unknown name or a value that does not fit, with what would, in one line.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), LinkTextError> {
        let result = match name {
            "delay" => time(value).map(|delay| self.delay = delay),
            "jitter" => time(value).map(|jitter| self.jitter = jitter),
            "rate" => rate(value).map(|rate| self.rate = Some(rate)),
            "queue" => queue(value).map(|queue| self.queue = queue),
            "codel" => codel(value).map(|codel| self.codel = codel),
            "loss" => share(value).map(|loss| self.loss = loss),
            "burst" => bursts(value).map(|bursts| self.bursts = bursts),
            "reorder" => self.set_reorder(value),
            "dup" => share(value).map(|duplicate| self.duplicate = duplicate),
            "corrupt" => share(value).map(|corrupt| self.corrupt = corrupt),
            "police" => policer(value).map(|policer| self.policer = policer),
            "bunch" => time(value).map(|bunch| self.bunch = bunch),
            "mtu" => mtu(value).map(|mtu| self.mtu = mtu),
            _ => Err(format!("there are: {}", Self::NAMES.join(", "))),
        };
        result.map_err(|problem| LinkTextError(format!("link: {name} {value}: {problem}")))
    }

    /// Sets what `text` tells and leaves the rest.
    ///
    /// # Errors
    /// The first pair that does not fit, as [`LinkConfig::set`] tells it.
    pub fn apply(&mut self, text: &str) -> Result<(), LinkTextError> {
        let mut words = text.split_whitespace();
        while let Some(name) = words.next() {
            let Some(value) = words.next() else {
                return Err(LinkTextError(format!(
                    "link: {name} needs a value: delay 25ms loss 1%, for example"
                )));
            };
            self.set(name, value)?;
        }
        Ok(())
    }

    fn set_reorder(&mut self, value: &str) -> Result<(), String> {
        let (reorder, by) = value.split_once('/').map_or((value, None), |(reorder, by)| (reorder, Some(by)));
        self.reorder = share(reorder)?;
        self.reorder_by = by.map(time).transpose()?;
        Ok(())
    }
}

/// [`LinkConfig::apply`] over the default link.
///
/// ```
/// use tidegate::device::link::{LinkConfig, Queue};
/// use std::time::Duration;
///
/// let link: LinkConfig = "delay 25ms rate 100mbit queue 50ms loss 0.5% burst 1%/5 codel ecn".parse()?;
/// assert_eq!((link.rate, link.queue), (Some(100_000_000), Queue::Time(Duration::from_millis(50))));
/// assert!(link.codel.is_some_and(|codel| codel.mark));
/// # Ok::<(), tidegate::device::link::LinkTextError>(())
/// ```
impl FromStr for LinkConfig {
    type Err = LinkTextError;

    fn from_str(text: &str) -> Result<Self, LinkTextError> {
        let mut link = LinkConfig::default();
        link.apply(text).map(|()| link)
    }
}

/// A number and the letters behind it.
fn split(text: &str) -> Result<(f64, String), String> {
    let unit = text.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let number: f64 =
        text[..text.len() - unit.len()].parse().map_err(|_| "a number is missing".to_owned())?;
    Ok((number, unit.to_ascii_lowercase()))
}

fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let seconds = match unit.as_str() {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "" if number == 0.0 => 0.0,
        _ => return Err("a time ends in us, ms or s".to_owned()),
    };
    // An hour is longer than any path, and keeps sums far from the end of time.
    if seconds > 3600.0 {
        return Err("an hour at most, please".to_owned());
    }
    Ok(Duration::from_nanos((seconds * 1e9).round() as u64))
}

fn rate(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let factor = match unit.trim_end_matches("bit") {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        _ => return Err("a rate ends in bit, kbit, mbit or gbit".to_owned()),
    };
    let rate = number * factor;
    if (1.0..=1e12).contains(&rate) {
        Ok(rate as u64)
    } else {
        Err("between 1bit and 1000gbit, please".to_owned())
    }
}

fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = split(text)?;
    let share = match unit.as_str() {
        "%" => number / 100.0,
        "" => number,
        _ => return Err("a share is percent or a fraction: 1% or 0.01".to_owned()),
    };
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("between 0% and 100%, please".to_owned()) }
}

fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let factor = match unit.as_str() {
        "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        _ => return Err("a size ends in b, kb or mb".to_owned()),
    };
    Ok((number * factor) as u64)
}

fn queue(text: &str) -> Result<Queue, String> {
    let (number, unit) = split(text)?;
    Ok(match unit.as_str() {
        "" | "p" => Queue::Packets(number as usize),
        unit if unit.ends_with('b') => Queue::Bytes(bytes(text)? as usize),
        unit if unit.ends_with('s') => Queue::Time(time(text)?),
        _ => return Err("a queue is packets, bytes or time: 100p, 64kb or 50ms".to_owned()),
    })
}

/// Its parts in any order: `on`, `ecn`, the target, the interval; or `off`.
fn codel(text: &str) -> Result<Option<Codel>, String> {
    if text == "off" {
        return Ok(None);
    }
    let (mut codel, mut times) = (Codel::default(), Vec::new());
    for part in text.split('/') {
        match part {
            "on" => {}
            "ecn" => codel.mark = true,
            part => times.push(time(part)?),
        }
    }
    match times[..] {
        [] => {}
        [target] => codel.target = target,
        [target, interval] if !interval.is_zero() => (codel.target, codel.interval) = (target, interval),
        _ => return Err("on, ecn, TARGET/INTERVAL or TARGET/INTERVAL/ecn, as 5ms/100ms/ecn".to_owned()),
    }
    Ok(Some(codel))
}

/// Mean share and mean length; or `off`.
fn bursts(text: &str) -> Result<Option<Bursts>, String> {
    if text == "off" {
        return Ok(None);
    }
    let (loss, length) = text.split_once('/').ok_or("SHARE/LENGTH, as 1%/5 for runs of five packets")?;
    let (loss, (length, unit)) = (share(loss)?, split(length)?);
    if loss >= 1.0 || length < 1.0 || !unit.is_empty() {
        return Err("a share below 100% in runs of at least one packet, as 1%/5".to_owned());
    }
    Ok(Some(Bursts::mean(loss, length)))
}

/// Rate, and the bucket's depth; or `off`.
fn policer(text: &str) -> Result<Option<Policer>, String> {
    if text == "off" {
        return Ok(None);
    }
    let (text, bucket) = text.split_once('/').map_or((text, None), |(rate, bucket)| (rate, Some(bucket)));
    let rate = rate(text)?;
    let default = (rate as u128 * BUCKET_TIME.as_nanos() / 8_000_000_000) as u64;
    let bucket = bucket.map_or(Ok(default.max(BUCKET_LEAST)), bytes)?;
    Ok(Some(Policer { rate, bucket }))
}

fn mtu(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(mtu @ 68..=65_535) => Ok(mtu),
        _ => Err("between 68 and 65535 bytes, please".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_is_read_with_its_units() {
        let text = "delay 25ms jitter 500us rate 1.5gbit queue 64kb codel 2ms/30ms/ecn loss 0.5% burst 1%/4 \
                    reorder 2%/3ms dup 0.1% corrupt 0.0001 police 10mbit/20kb bunch 20ms mtu 9000";
        let names: Vec<_> = text.split_whitespace().step_by(2).collect();
        assert_eq!(names, LinkConfig::NAMES);
        let wanted = LinkConfig {
            mtu: 9_000,
            policer: Some(Policer { rate: 10_000_000, bucket: 20_000 }),
            rate: Some(1_500_000_000),
            queue: Queue::Bytes(64_000),
            codel: Some(Codel {
                target: Duration::from_millis(2),
                interval: Duration::from_millis(30),
                mark: true,
            }),
            delay: Duration::from_millis(25),
            jitter: Duration::from_micros(500),
            bunch: Duration::from_millis(20),
            loss: 0.005,
            bursts: Some(Bursts::mean(0.01, 4.0)),
            duplicate: 0.001,
            reorder: 0.02,
            reorder_by: Some(Duration::from_millis(3)),
            corrupt: 0.0001,
        };
        assert_eq!(text.parse(), Ok(wanted));
        assert_eq!("".parse(), Ok(LinkConfig::default()));
    }

    #[test]
    fn short_forms_have_defaults_and_the_last_word_counts() {
        let link: LinkConfig = "codel on queue 7 police 80mbit queue 9p".parse().unwrap();
        assert_eq!((link.codel, link.queue), (Some(Codel::default()), Queue::Packets(9)));
        assert_eq!(link.policer, Some(Policer { rate: 80_000_000, bucket: 100_000 }));
        let off: LinkConfig =
            "codel ecn codel off burst 1%/2 burst off police 1mbit police off".parse().unwrap();
        assert_eq!(off, LinkConfig::default());
    }

    #[test]
    fn what_does_not_fit_is_told_in_one_line_with_what_would() {
        for text in [
            "delay",
            "delay 25",
            "delay ms",
            "delay -1ms",
            "delay 2h",
            "delay 2e9s",
            "rate 0",
            "rate fast",
            "rate 10mb",
            "loss 101%",
            "loss x",
            "loss 1%x",
            "queue 5x",
            "queue",
            "codel 5ms/0ms",
            "codel a",
            "codel 1ms/1ms/1ms",
            "burst 1%",
            "burst 100%/2",
            "burst 1%/0.5",
            "police",
            "police 1mbit/5",
            "mtu 67",
            "mtu big",
            "speed 1",
            "reorder 1%/5",
            "größe 5",
            "loss ½",
        ] {
            let error = text.parse::<LinkConfig>().unwrap_err().to_string();
            assert!(
                error.starts_with("link: ") && !error.contains('\n') && error.len() < 200,
                "{text}: {error}"
            );
        }
    }
}
